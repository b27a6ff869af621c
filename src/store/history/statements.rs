//! What statements did.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::place::{self, Family, Numbers, Subjects};
use super::points::{hours_of, points};
use super::totals::{self, Totals};
use super::{HOUR, HOURS_OF_A_DAY, record};
use crate::model::history::{Counts as _, HistoryPoint, StatementCounts, StatementMinute, StatementTotal};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::row::{micros, time, to_json};

/// The text of a statement, and what it did.
type TextAndHistory = (String, Vec<HistoryPoint<StatementCounts>>);

const WEEK: TimeDelta = TimeDelta::days(7);
/// What was looked at for less than this share of a time is not compared with.
const LOOKED_AT_LEAST: f64 = 0.9;

/// Writes down what statements did since the look before.
pub fn record_statements(
    tx: &Transaction<'_>,
    numbers: &Numbers,
    server: &str,
    now: DateTime<Utc>,
    minute: &StatementMinute,
) -> Result<(), StoreError> {
    let place = place::of(tx, server, Family::Statement, "")?;
    let mut subjects = Subjects::of(tx, numbers, place)?;
    let mut points = Vec::with_capacity(minute.points.len());
    for point in &minute.points {
        let id = subjects.number(&point.database, &point.text.statement_id, &point.text.text)?;
        points.push((id, point.counts));
    }
    record(tx, place, now, minute.seconds, points)
}

impl Store {
    /// What one statement did: minute by minute over the last hours, hour by hour over longer. Where nobody looked there
    /// is a point without counts; nothing where the statement was never seen.
    ///
    /// # Errors
    /// If the store fails.
    pub fn statement_history(
        &self,
        server: &str,
        database: &str,
        statement_id: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Option<TextAndHistory>, StoreError> {
        self.read(|tx| {
            let Some(place) = place::known(tx, server, Family::Statement, "")? else {
                return Ok(None);
            };
            let found: Option<(i64, String)> = tx
                .prepare_cached(
                    "SELECT id, text FROM history_subject WHERE place = ?1 AND database = ?2 AND name = ?3",
                )?
                .query_row(params![place, database, statement_id], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let Some((id, text)) = found else { return Ok(None) };
            Ok(Some((text, points(tx, place, id, from, to)?)))
        })
    }

    /// The texts of some statements of a server, by database and statement_id; without those that were never seen.
    ///
    /// # Errors
    /// If the store fails.
    pub fn statement_texts(
        &self,
        server: &str,
        statements: &BTreeSet<(&str, &str)>,
    ) -> Result<HashMap<(String, String), String>, StoreError> {
        self.read(|tx| {
            let Some(place) = place::known(tx, server, Family::Statement, "")? else {
                return Ok(HashMap::new());
            };
            // one probe of the index for each
            let mut statement = tx.prepare_cached(
                "SELECT s.database, s.name, s.text FROM json_each(?2) AS asked CROSS JOIN history_subject AS s
                 WHERE s.place = ?1 AND s.database = json_extract(asked.value, '$[0]')
                     AND s.name = json_extract(asked.value, '$[1]')",
            )?;
            let asked = to_json("list of statements", statements)?;
            let found = statement.query_map(params![place, asked], |row| {
                Ok(((row.get(0)?, row.get(1)?), row.get(2)?))
            })?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }

    /// The statements of a server, or of one of its databases, that took most time over a range, and how many there are.
    ///
    /// # Errors
    /// If the store fails.
    pub fn busiest_statements(
        &self,
        server: &str,
        database: Option<&str>,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        limit: usize,
    ) -> Result<(Vec<StatementTotal>, usize), StoreError> {
        self.read(|tx| {
            let Some(place) = place::known(tx, server, Family::Statement, "")? else {
                return Ok((Vec::new(), 0));
            };
            let totals = totals::over(tx, place, from, to)?;
            let (mut busiest, count) = ranked(tx, place, database, totals, limit)?;
            add_before(tx, place, from, to, &mut busiest)?;
            let total = |(_, total): (u64, StatementTotal)| total;
            Ok((busiest.into_iter().map(total).collect(), count))
        })
    }
}

/// The costliest of a database, or of all, with names and texts.
fn ranked(
    tx: &Transaction<'_>,
    place: i64,
    database: Option<&str>,
    mut totals: Totals<StatementCounts>,
    limit: usize,
) -> Result<(Vec<(u64, StatementTotal)>, usize), StoreError> {
    totals.retain(|(_, counts)| counts.calls > 0);
    if let Some(database) = database {
        let mut of_database =
            tx.prepare_cached("SELECT id FROM history_subject WHERE place = ?1 AND database = ?2")?;
        let ids: HashSet<i64> = of_database
            .query_map(params![place, database], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        totals.retain(|(id, _)| ids.contains(&(*id as i64)));
    }
    let all: f64 = totals.iter().map(|(_, counts)| counts.seconds()).sum();
    let count = totals.len();
    totals.sort_unstable_by_key(|(id, counts)| (std::cmp::Reverse(counts.microseconds), *id));
    totals.truncate(limit);
    let ids: Vec<u64> = totals.iter().map(|(id, _)| *id).collect();
    let mut named: HashMap<u64, (String, String, String)> = HashMap::new();
    let mut names = tx.prepare_cached(
        "SELECT id, database, name, text FROM history_subject WHERE id IN (SELECT value FROM json_each(?1))",
    )?;
    let mut rows = names.query([to_json("list of statements", &ids)?])?;
    while let Some(row) = rows.next()? {
        named.insert(
            row.get::<_, i64>(0)?.unsigned_abs(),
            (row.get(1)?, row.get(2)?, row.get(3)?),
        );
    }
    let total = |(id, counts): (u64, StatementCounts)| {
        let (database, statement_id, text) = named.remove(&id)?;
        let total = StatementTotal {
            statement_id,
            database,
            text,
            counts,
            mean_seconds: counts.mean_seconds(),
            share_ratio: counts.seconds() / all.max(f64::MIN_POSITIVE),
            before: None,
        };
        Some((id, total))
    };
    Ok((totals.into_iter().filter_map(total).collect(), count))
}

/// Puts beside each what it did over as long a time before: what ended a week ago, since most load has a week's rhythm.
fn add_before(
    tx: &Transaction<'_>,
    place: i64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    busiest: &mut [(u64, StatementTotal)],
) -> Result<(), StoreError> {
    let back = WEEK.max(to - from);
    let length_seconds = (to - from).num_seconds().max(1) as f64;
    let is_long = to - from >= WEEK;
    let (from, to) = (from - back, to - back);
    let (mut first, mut last) = (micros(from) / HOUR, micros(to) / HOUR);
    if is_long {
        // whole days; the one in which the range begins is told with the range
        first = first / HOURS_OF_A_DAY * HOURS_OF_A_DAY;
        last = last / HOURS_OF_A_DAY * HOURS_OF_A_DAY - 1;
    }
    let looked_at: f64 = tx
        .prepare_cached(
            "SELECT coalesce(sum(seconds), 0.0) FROM history_hour WHERE place = ?1 AND hour BETWEEN ?2 AND ?3",
        )?
        .query_row(params![place, first, last], |row| row.get(0))?;
    // of a time that was hardly looked at nothing can be said, and hours and days are not exactly as long as the range
    if looked_at < LOOKED_AT_LEAST * length_seconds {
        return Ok(());
    }
    let ratio = length_seconds / looked_at;
    // days are found in one go for all, hours are in the days of each
    let days = match is_long {
        true => {
            let (begin, end) = (time(first * HOUR), time((last + 1) * HOUR - 1));
            Some(totals::over::<StatementCounts>(tx, place, begin, end)?)
        }
        false => None,
    };
    for (id, total) in busiest {
        let counts = match &days {
            Some(days) => totals::of(days, *id).unwrap_or_default(),
            None => {
                hours_of::<StatementCounts>(tx, *id as i64, first / HOURS_OF_A_DAY, last / HOURS_OF_A_DAY)?
                    .range(first..=last)
                    .fold(StatementCounts::default(), |sum, (_, counts)| sum.then(*counts))
            }
        };
        total.before = Some(counts.scaled(ratio));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::roll_up::{add_hour, minutes_of};
    use super::*;
    use crate::model::history::StatementPoint;
    use crate::model::unit::Period;
    use std::sync::Arc;

    /// So many minutes after the beginning of a day.
    fn at(minute: i64) -> DateTime<Utc> {
        time(20_000 * 24 * HOUR + minute * 60_000_000)
    }

    fn point(text: &str, calls: u64) -> StatementPoint {
        StatementPoint {
            database: "app".into(),
            text: Arc::new(crate::sql::identify(text)),
            counts: StatementCounts {
                calls,
                microseconds: calls * 1_000_000,
                rows: calls,
                ..StatementCounts::default()
            },
        }
    }

    /// A look that ended at this minute, one minute after the look before.
    fn look(store: &Store, minute: i64, points: Vec<StatementPoint>) {
        let minute_seen = StatementMinute {
            seconds: 60.0,
            points,
        };
        store
            .write(|tx| record_statements(tx, &store.inner.numbers, "main", at(minute), &minute_seen))
            .unwrap();
    }

    fn id(text: &str) -> String {
        crate::sql::identify(text).statement_id
    }

    const A: &str = "SELECT 1 FROM a";
    const B: &str = "SELECT 1 FROM b";

    /// Ten hours in which A is called once a minute, B in the third only; nobody looks in the sixth.
    fn ten_hours() -> Store {
        let store = Store::in_memory().unwrap();
        for minute in (1..600).filter(|minute| minute / 60 != 5) {
            let mut points = vec![point(A, 1)];
            if minute / 60 == 2 {
                points.push(point(B, 3));
            }
            look(&store, minute, points);
        }
        store
    }

    fn calls(store: &Store, text: &str, from: i64, to: i64) -> Vec<Option<u64>> {
        let (_, points) = store
            .statement_history("main", "app", &id(text), at(from), at(to))
            .unwrap()
            .unwrap();
        points
            .iter()
            .map(|point| point.counts.map(|counts| counts.calls))
            .collect()
    }

    #[test]
    fn hours_are_the_same_before_and_after_they_are_rolled_up() {
        let store = ten_hours();
        let expected = vec![
            Some(59),
            Some(60),
            Some(60),
            Some(60),
            Some(60),
            None,
            Some(60),
            Some(60),
            Some(60),
            Some(60),
        ];
        assert_eq!(calls(&store, A, 0, 599), expected);
        // stopped anywhere and begun again
        store.roll_up(at(300)).unwrap();
        assert_eq!(calls(&store, A, 0, 599), expected);
        store.roll_up(at(601)).unwrap();
        store.roll_up(at(601)).unwrap();
        assert_eq!(calls(&store, A, 0, 599), expected);
        let zero = Some(0);
        assert_eq!(
            calls(&store, B, 0, 599),
            [zero, zero, Some(180), zero, zero, None, zero, zero, zero, zero]
        );
        assert!(
            store
                .statement_history("main", "app", "none", at(0), at(599))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn an_hour_that_is_rolled_up_in_part_counts_once_and_a_clock_that_went_back_loses_nothing() {
        let store = ten_hours();
        let expected = calls(&store, A, 0, 599);
        let hour = micros(at(60)) / HOUR;
        let (place, _, half) = store.hours_to_roll_up(at(700)).unwrap()[0];
        let (_, counts) = store
            .read(|tx| minutes_of::<StatementCounts>(tx, place, half))
            .unwrap();
        store.write(|tx| add_hour(tx, half, &counts)).unwrap();
        assert_eq!(
            calls(&store, A, 0, 599),
            expected,
            "killed before the hour was marked"
        );
        let (busiest, _) = store.busiest_statements("main", None, at(0), at(599), 1).unwrap();
        assert_eq!(busiest[0].counts.calls, 539);
        store.roll_up(at(700)).unwrap();
        look(&store, 60, vec![point(A, 5)]);
        let minute_seen = StatementMinute {
            seconds: 30.0,
            points: vec![point(A, 5)],
        };
        let between = time(hour * HOUR + 90_500_000);
        store
            .write(|tx| record_statements(tx, &store.inner.numbers, "main", between, &minute_seen))
            .unwrap();
        store.roll_up(at(700)).unwrap();
        assert_eq!(calls(&store, A, 0, 599)[1], Some(65));
        // an hour of a clock that was days ahead hides none of today
        look(&store, 20 * 24 * 60, vec![point(B, 1)]);
        store.roll_up(at(21 * 24 * 60)).unwrap();
        look(&store, 660, vec![point(A, 7)]);
        assert_eq!(calls(&store, A, 0, 665)[11], Some(7));
    }

    #[test]
    fn texts_are_found_by_database_and_identity_however_long_ago() {
        let store = ten_hours();
        let (a, b) = (id(A), id(B));
        let asked = [
            ("app", a.as_str()),
            ("app", b.as_str()),
            ("other", a.as_str()),
            ("app", "none"),
        ];
        let found = store.statement_texts("main", &asked.into()).unwrap();
        let text = |id: &String, text: &str| (("app".to_owned(), id.clone()), text.to_owned());
        assert_eq!(found, HashMap::from([text(&a, A), text(&b, B)]));
        assert!(store.statement_texts("other", &asked.into()).unwrap().is_empty());
        assert!(
            store
                .statement_texts("main", &BTreeSet::new())
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn minutes_show_where_nobody_looked() {
        let store = ten_hours();
        let minutes = calls(&store, A, 290, 370);
        assert_eq!(minutes.iter().filter(|calls| calls.is_none()).count(), 1);
        assert_eq!(minutes.iter().flatten().sum::<u64>(), 20);
    }

    #[test]
    fn the_busiest_come_first_with_their_share() {
        let store = ten_hours();
        for rolled_up_to in [0, 200, 601] {
            store.roll_up(at(rolled_up_to)).unwrap();
            let (busiest, count) = store
                .busiest_statements("main", Some("app"), at(0), at(599), 10)
                .unwrap();
            let told: Vec<_> = busiest
                .iter()
                .map(|total| (total.text.as_str(), total.counts.calls))
                .collect();
            assert_eq!(told, [(A, 539), (B, 180)], "rolled up to {rolled_up_to}");
            assert!((busiest[1].share_ratio - 180.0 / 719.0).abs() < 1e-9);
            assert_eq!(count, 2);
        }
        let other = store
            .busiest_statements("main", Some("other"), at(0), at(599), 10)
            .unwrap();
        assert_eq!(other, (vec![], 0));
        let (third, count) = store
            .busiest_statements("main", None, at(120), at(180), 1)
            .unwrap();
        assert_eq!((third[0].text.as_str(), third.len(), count), (B, 1, 2));
    }

    #[test]
    fn beside_each_stands_what_it_did_a_week_before_as_long_as_the_range_is() {
        const DAY: i64 = 24 * 60;
        const WEEK: i64 = 7 * DAY;
        let store = Store::in_memory().unwrap();
        // A once a minute, two weeks long; B from the second week on
        for minute in (1..2 * WEEK + 200).filter(|minute| !(WEEK - 100..WEEK - 50).contains(minute)) {
            let mut points = vec![point(A, 1)];
            if minute > WEEK {
                points.push(point(B, 1));
            }
            look(&store, minute, points);
        }
        let before = |from: i64, to: i64| {
            let (busiest, _) = store
                .busiest_statements("main", None, at(from), at(to), 9)
                .unwrap();
            let calls =
                |total: &StatementTotal| (total.text.clone(), total.before.map(|counts| counts.calls));
            busiest
                .iter()
                .map(calls)
                .collect::<std::collections::BTreeMap<_, _>>()
        };
        assert_eq!(before(WEEK + 90, WEEK + 150)[A], None, "not rolled up yet");
        store.roll_up(at(2 * WEEK + 200)).unwrap();
        // half hours are not twice as many calls
        assert_eq!(before(WEEK + 90, WEEK + 150)[A], Some(60));
        assert_eq!(before(WEEK + 90, WEEK + 150)[B], Some(0));
        assert_eq!(before(WEEK + 30, WEEK + 30 + DAY)[A], Some(1440));
        // a whole week, and the one before it, with an hour in which nobody looked
        let whole = before(WEEK + 90, 2 * WEEK + 90)[A].unwrap();
        assert!((WEEK - 10..=WEEK + 10).contains(&(whole as i64)), "{whole}");
        assert_eq!(before(WEEK - 110, WEEK - 40)[A], None, "hardly anybody looked");
        assert_eq!(before(0, 600)[A], None, "nobody looked then");
    }

    #[test]
    fn what_is_too_old_goes_and_what_is_not_rolled_up_stays() {
        let store = ten_hours();
        let count = |table: &str| -> i64 {
            store
                .read(|tx| Ok(tx.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?))
                .unwrap()
        };
        let week = at(7 * 24 * 60);
        store.prune(week, Period::days(90)).unwrap();
        assert_eq!(count("history_minute"), 539, "not rolled up yet");
        store.roll_up(week).unwrap();
        store.prune(week, Period::days(90)).unwrap();
        assert_eq!(
            (
                count("history_minute"),
                count("history_subject"),
                count("history_hour")
            ),
            (0, 2, 9)
        );
        assert_eq!(calls(&store, A, 0, 599)[1], Some(60));
        // of two statements one is seen again
        look(&store, 100 * 24 * 60, vec![point(A, 1)]);
        store.roll_up(at(100 * 24 * 60 + 120)).unwrap();
        store.prune(at(100 * 24 * 60 + 120), Period::days(90)).unwrap();
        assert_eq!((count("history_day"), count("history_hour")), (1, 1));
        assert!(
            store
                .statement_history("main", "app", &id(A), at(0), at(599))
                .unwrap()
                .is_some()
        );
    }
}
