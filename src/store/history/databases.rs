//! What the statements of each database of a server did, added up: so few subjects that months of them are read at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Transaction, params};

use super::place::{self, Family, Numbers, Subjects};
use super::points::{hours_of, points};
use super::totals::{self, Totals};
use super::{HOUR, HOURS_OF_A_DAY, last_rolled_up, minutes_shown, record};
use crate::model::database_load::{DatabaseLoad, DatabaseLoadPoint};
use crate::model::history::{Counts as _, HistoryPoint, StatementCounts, StatementMinute};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::pack::unpack;
use crate::store::row::{micros, time};

/// The name of the place of a server's databases, among the places of its statements; that of the statements has none. Its
/// subjects are the databases, and one that has no name for all of them.
const PLACE: &str = "by database";
const ALL: &str = "";

/// Writes down what the statements of each database did since the look before.
pub fn record_databases(
    tx: &Transaction<'_>,
    numbers: &Numbers,
    server: &str,
    now: DateTime<Utc>,
    minute: &StatementMinute,
) -> Result<(), StoreError> {
    let mut databases: BTreeMap<&str, StatementCounts> = BTreeMap::new();
    let mut all = StatementCounts::default();
    for point in &minute.points {
        let sum = databases.entry(&*point.database).or_default();
        *sum = sum.then(point.counts);
        all = all.then(point.counts);
    }
    databases.insert(ALL, all);
    let place = place::of(tx, server, Family::Statement, PLACE)?;
    let mut subjects = Subjects::of(tx, numbers, place)?;
    let mut points = Vec::with_capacity(databases.len());
    for (database, counts) in databases {
        points.push((subjects.number(database, "", "")?, counts));
    }
    record(tx, place, now, minute.seconds, points)
}

impl Store {
    /// How busy a server was over a range, and so many of its databases that took most of it: minute by minute over the last
    /// hours, hour by hour over longer.
    ///
    /// # Errors
    /// If the store fails.
    pub fn database_load(
        &self,
        server: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        most: usize,
    ) -> Result<DatabaseLoad, StoreError> {
        self.read(|tx| {
            let Some(place) = place::known(tx, server, Family::Statement, PLACE)? else {
                return Ok(DatabaseLoad::default());
            };
            let Some(all) = place::subject(tx, place, ALL, "")? else {
                return Ok(DatabaseLoad::default());
            };
            let busiest = busiest(tx, place, all, (from, to), most)?;
            let points = points::<StatementCounts>(tx, place, all, from, to)?;
            let by_time = match to - from <= minutes_shown() {
                true => minutes_of(tx, place, &busiest, (from, to))?,
                false => hours_of_each(tx, place, &busiest, (from, to))?,
            };
            let point = |point: &HistoryPoint<StatementCounts>| {
                let begin = micros(point.from);
                let seconds = |of_database: &HashMap<i64, u64>| {
                    of_database.get(&begin).copied().unwrap_or(0) as f64 / 1e6
                };
                DatabaseLoadPoint {
                    from: point.from,
                    length_seconds: point.length_seconds,
                    seen_seconds: point.seen_seconds,
                    seconds: point.counts.map(|counts| counts.seconds()),
                    database_seconds: match point.counts {
                        Some(_) => by_time.iter().map(seconds).collect(),
                        None => Vec::new(),
                    },
                }
            };
            Ok(DatabaseLoad {
                points: points.iter().map(point).collect(),
                databases: busiest.into_iter().map(|(_, name)| name).collect(),
            })
        })
    }
}

/// The databases that took most time, with their numbers.
fn busiest(
    tx: &Transaction<'_>,
    place: i64,
    all: i64,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    most: usize,
) -> Result<Vec<(u64, String)>, StoreError> {
    let mut totals: Totals<StatementCounts> = totals::over(tx, place, from, to)?;
    totals.retain(|(id, counts)| *id != all.unsigned_abs() && counts.microseconds > 0);
    totals.sort_unstable_by_key(|(id, counts)| (Reverse(counts.microseconds), *id));
    totals.truncate(most);
    let mut name = tx.prepare_cached("SELECT database FROM history_subject WHERE id = ?1")?;
    let mut busiest = Vec::with_capacity(totals.len());
    for (id, _) in totals {
        busiest.push((id, name.query_row([id as i64], |row| row.get(0))?));
    }
    Ok(busiest)
}

/// Microseconds that each of the databases took, by the time at which a point begins.
type ByTime = Vec<HashMap<i64, u64>>;

/// What was written down from one time to another, look by look.
fn looks(
    tx: &Transaction<'_>,
    place: i64,
    (from, end): (i64, i64),
    databases: &[(u64, String)],
    mut take: impl FnMut(usize, i64, f64, u64),
) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT at, seconds, body FROM history_minute WHERE place = ?1 AND at >= ?2 AND at < ?3 ORDER BY at",
    )?;
    let mut rows = statement.query(params![place, from, end])?;
    while let Some(row) = rows.next()? {
        let (at, seconds): (i64, f64) = (row.get(0)?, row.get(1)?);
        for (id, counts) in unpack::<StatementCounts>(row.get_ref(2)?.as_blob().unwrap_or_default()) {
            if let Some(position) = databases.iter().position(|(known, _)| *known == id) {
                take(position, at, seconds, counts.microseconds);
            }
        }
    }
    Ok(())
}

fn minutes_of(
    tx: &Transaction<'_>,
    place: i64,
    databases: &[(u64, String)],
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Result<ByTime, StoreError> {
    let mut by_time: ByTime = vec![HashMap::new(); databases.len()];
    looks(
        tx,
        place,
        (micros(from), micros(to)),
        databases,
        |position, at, seconds, took| {
            // as the points of a subject begin
            let begin = time(at) - TimeDelta::milliseconds((seconds * 1000.0) as i64);
            by_time[position].insert(micros(begin), took);
        },
    )?;
    Ok(by_time)
}

fn hours_of_each(
    tx: &Transaction<'_>,
    place: i64,
    databases: &[(u64, String)],
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Result<ByTime, StoreError> {
    let (first, end) = (micros(from) / HOUR, micros(to) / HOUR + 1);
    // an hour that is being rolled up just now is told by its minutes
    let unrolled = micros(last_rolled_up(tx, place, end)?).max(first * HOUR);
    let mut by_time: ByTime = Vec::with_capacity(databases.len());
    for (id, _) in databases {
        let (first_day, last_day) = (first / HOURS_OF_A_DAY, (end - 1) / HOURS_OF_A_DAY);
        let hours = hours_of::<StatementCounts>(tx, *id as i64, first_day, last_day)?;
        let rolled_up = hours.range(first..(unrolled / HOUR).max(first));
        by_time.push(
            rolled_up
                .map(|(hour, counts)| (hour * HOUR, counts.microseconds))
                .collect(),
        );
    }
    looks(
        tx,
        place,
        (unrolled, end * HOUR),
        databases,
        |position, at, _, took| {
            let sum = by_time[position].entry(at / HOUR * HOUR).or_default();
            *sum = sum.saturating_add(took);
        },
    )?;
    Ok(by_time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::history::StatementPoint;
    use crate::model::unit::Period;
    use std::sync::Arc;

    /// So many minutes after the beginning of a day.
    fn at(minute: i64) -> DateTime<Utc> {
        time(20_000 * 24 * HOUR + minute * 60_000_000)
    }

    /// A look that ended at this minute, one minute after the look before, with the seconds of statements of databases.
    fn look(store: &Store, minute: i64, took: &[(&str, u64)]) {
        let point = |(database, seconds): &(&str, u64)| StatementPoint {
            database: Arc::from(*database),
            text: Arc::new(crate::sql::identify("SELECT 1 FROM a")),
            counts: StatementCounts {
                calls: 1,
                microseconds: seconds * 1_000_000,
                ..StatementCounts::default()
            },
        };
        let minute_seen = StatementMinute {
            seconds: 60.0,
            points: took.iter().map(point).collect(),
        };
        store
            .write(|tx| record_databases(tx, &store.inner.numbers, "main", at(minute), &minute_seen))
            .unwrap();
    }

    /// Six hours; nobody looks in the fourth.
    fn six_hours() -> Store {
        let store = Store::in_memory().unwrap();
        for minute in (1..360).filter(|minute| minute / 60 != 3) {
            // each statement of a database counts
            look(
                &store,
                minute,
                &[("shop", 1), ("small", 1), ("shop", 2), ("idle", 0)],
            );
        }
        store
    }

    fn told(load: &DatabaseLoad) -> Vec<(Option<f64>, Vec<f64>)> {
        let points = load.points.iter();
        points
            .map(|point| (point.seconds, point.database_seconds.clone()))
            .collect()
    }

    #[test]
    fn hours_are_the_same_before_and_after_they_are_rolled_up_and_a_gap_is_a_gap() {
        let store = six_hours();
        let hour = |minutes: f64| (Some(minutes * 4.0), vec![minutes * 3.0]);
        let gap = (None, Vec::new());
        let expected = vec![hour(59.0), hour(60.0), hour(60.0), gap, hour(60.0), hour(60.0)];
        for rolled_up_to in [0, 130, 370] {
            store.roll_up(at(rolled_up_to)).unwrap();
            let load = store.database_load("main", at(0), at(359), 1).unwrap();
            assert_eq!(load.databases, ["shop"], "rolled up to {rolled_up_to}");
            assert_eq!(told(&load), expected, "rolled up to {rolled_up_to}");
        }
        // the rest of it is not what the lists of statements tell
        let (busiest, _) = store.busiest_statements("main", None, at(0), at(359), 9).unwrap();
        assert!(busiest.is_empty());
        let other = store.database_load("other", at(0), at(359), 5).unwrap();
        assert_eq!(other, DatabaseLoad::default());
    }

    #[test]
    fn minutes_are_told_of_a_short_range() {
        let load = six_hours().database_load("main", at(300), at(310), 5).unwrap();
        assert_eq!(load.databases, ["shop", "small"], "one took no time");
        let minute = (Some(4.0), vec![3.0, 1.0]);
        assert_eq!(told(&load), vec![minute; 10]);
    }

    #[test]
    fn months_ago_is_told_after_minutes_and_hours_are_forgotten() {
        let store = six_hours();
        let later = 30 * 24 * 60;
        store.roll_up(at(later)).unwrap();
        store.prune(at(later), Period::days(90)).unwrap();
        let load = store.database_load("main", at(0), at(later), 5).unwrap();
        assert_eq!(load.databases, ["shop", "small"]);
        assert_eq!(told(&load)[1], (Some(240.0), vec![180.0, 60.0]));
        let seconds: f64 = load.points.iter().filter_map(|point| point.seconds).sum();
        assert_eq!(seconds, 299.0 * 4.0);
    }
}
