//! The history of statements: what each did, minute by minute for a few days and hour by hour for as long as measurements
//! are kept, over restarts, resets and evictions.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::Store;
use super::error::StoreError;
use super::pack::{pack, unpack};
use super::row::{micros, time, to_json};
use crate::limits;
use crate::model::history::{HistoryPoint, StatementCounts, StatementMinute, StatementTotal};
use crate::model::unit::Period;

const HOUR: i64 = 3_600_000_000;
const HOURS_OF_A_DAY: i64 = 24;
/// An hour is rolled up when it has been over for so long.
const ROLL_UP_AFTER: TimeDelta = TimeDelta::minutes(5);
/// Statements whose day one transaction rewrites, so that nobody waits long.
const CHUNK: usize = 1000;

/// Writes down what statements did since the look before.
pub(super) fn record_statements(
    tx: &Transaction<'_>,
    server: &str,
    now: DateTime<Utc>,
    minute: &StatementMinute,
) -> Result<(), StoreError> {
    let mut points = Vec::with_capacity(minute.points.len());
    {
        let mut find = tx.prepare_cached(
            "SELECT id FROM statement WHERE server = ?1 AND database = ?2 AND statement_id = ?3",
        )?;
        let mut insert = tx.prepare_cached(
            "INSERT INTO statement (server, database, statement_id, text) VALUES (?1, ?2, ?3, ?4) RETURNING id",
        )?;
        for point in &minute.points {
            let id = point.text.statement_id.as_str();
            let known: Option<i64> = find
                .query_row(params![server, point.database, id], |row| row.get(0))
                .optional()?;
            let id = match known {
                Some(id) => id,
                None => insert.query_row(params![server, point.database, id, point.text.text], |row| {
                    row.get(0)
                })?,
            };
            points.push((id.unsigned_abs(), point.counts));
        }
    }
    points.sort_unstable_by_key(|(id, _)| *id);
    // a clock that was set back writes into an hour that was rolled up: it is rolled up again
    tx.prepare_cached("DELETE FROM statement_hour WHERE server = ?1 AND hour = ?2")?
        .execute(params![server, micros(now) / HOUR])?;
    tx.prepare_cached(
        "INSERT INTO statement_minute (server, at, seconds, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )?
    .execute(params![server, micros(now), minute.seconds, pack(&points)])?;
    Ok(())
}

/// The minutes of one hour that are still to be rolled up.
struct Hour {
    server: String,
    /// Hours since 1970.
    hour: i64,
    seconds: f64,
    counts: BTreeMap<u64, StatementCounts>,
}

impl Store {
    /// Brings the minutes of each hour that is over into the days of their statements. What was done once is done again
    /// without harm, so that it may be stopped anywhere.
    ///
    /// # Errors
    /// If the store fails.
    pub fn roll_up(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        // a look that is being written down just now may still belong to the hour before
        while let Some(hour) = self.next_hour(now - ROLL_UP_AFTER)? {
            let counts: Vec<(u64, StatementCounts)> = hour.counts.into_iter().collect();
            for chunk in counts.chunks(CHUNK) {
                self.write(|tx| add_hour(tx, hour.hour, chunk))?;
            }
            // last, so that an hour that was stopped halfway is begun again
            self.write(|tx| {
                tx.prepare_cached(
                    "INSERT INTO statement_hour (server, hour, seconds) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET seconds = excluded.seconds",
                )?
                .execute(params![hour.server, hour.hour, hour.seconds])?;
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The oldest hour that is over and not rolled up yet.
    fn next_hour(&self, now: DateTime<Utc>) -> Result<Option<Hour>, StoreError> {
        self.read(|tx| {
            let oldest: Option<(String, i64)> = tx
                .prepare_cached(
                    "SELECT m.server, m.at / ?2 FROM statement_minute AS m
                     WHERE m.at < ?1 AND NOT EXISTS (
                         SELECT 1 FROM statement_hour AS h WHERE h.server = m.server AND h.hour = m.at / ?2)
                     ORDER BY m.at LIMIT 1",
                )?
                .query_row(params![micros(now) / HOUR * HOUR, HOUR], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let Some((server, hour)) = oldest else {
                return Ok(None);
            };
            let mut minutes = tx.prepare_cached(
                "SELECT seconds, body FROM statement_minute WHERE server = ?1 AND at >= ?2 AND at < ?2 + ?3",
            )?;
            let mut rows = minutes.query(params![server, hour * HOUR, HOUR])?;
            let (mut seconds, mut counts) = (0.0, BTreeMap::new());
            while let Some(row) = rows.next()? {
                seconds += row.get::<_, f64>(0)?;
                let body: Vec<u8> = row.get(1)?;
                add(&mut counts, unpack(&body));
            }
            Ok(Some(Hour {
                server,
                hour,
                seconds,
                counts,
            }))
        })
    }

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
    ) -> Result<Option<(String, Vec<HistoryPoint>)>, StoreError> {
        self.read(|tx| {
            let found: Option<(i64, String)> = tx
                .prepare_cached(
                    "SELECT id, text FROM statement WHERE server = ?1 AND database = ?2 AND statement_id = ?3",
                )?
                .query_row(params![server, database, statement_id], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((id, text)) = found else { return Ok(None) };
            let points = match to - from <= minutes_shown() {
                true => minutes(tx, server, id.unsigned_abs(), from, to)?,
                false => hours(tx, server, id, from, to)?,
            };
            Ok(Some((text, points)))
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
            let mut totals: BTreeMap<u64, StatementCounts> = BTreeMap::new();
            let is_short = to - from <= minutes_shown();
            // more is told in whole hours
            let (minutes_from, minutes_to) = match is_short {
                true => (from, to),
                false => {
                    let begin = time(micros(from) / HOUR * HOUR);
                    let end = micros(to) / HOUR + 1;
                    (begin.max(last_rolled_up(tx, server, end)?), time(end * HOUR))
                }
            };
            let mut statement = tx.prepare_cached(
                "SELECT body FROM statement_minute WHERE server = ?1 AND at >= ?2 AND at < ?3",
            )?;
            let mut rows = statement.query(params![server, micros(minutes_from), micros(minutes_to)])?;
            while let Some(row) = rows.next()? {
                add(&mut totals, unpack(&row.get::<_, Vec<u8>>(0)?));
            }
            if !is_short {
                add_days(tx, server, from, to, &mut totals)?;
            }
            ranked(tx, server, database, totals, limit)
        })
    }

    /// Deletes what is too old, a little at a time.
    pub(super) fn prune_history(&self, now: DateTime<Utc>, retention: Period) -> Result<u64, StoreError> {
        let kept = TimeDelta::from_std(limits::MINUTES_KEPT).unwrap_or(TimeDelta::MAX);
        let oldest = micros(now - retention.as_delta());
        let minutes_before = micros(now - kept).max(oldest);
        let (hours_before, days_before) = (oldest / HOUR, oldest / HOUR / HOURS_OF_A_DAY);
        let steps: [(&str, i64); 4] = [
            (
                // minutes that are not rolled up yet stay
                "DELETE FROM statement_minute WHERE id IN (
                     SELECT m.id FROM statement_minute AS m
                     JOIN statement_hour AS h ON h.server = m.server AND h.hour = m.at / 3600000000
                     WHERE m.at < ?1 LIMIT ?2)",
                minutes_before,
            ),
            (
                "DELETE FROM statement_day WHERE (day, statement) IN (
                     SELECT day, statement FROM statement_day WHERE day < ?1 LIMIT ?2)",
                days_before,
            ),
            (
                "DELETE FROM statement_hour WHERE (server, hour) IN (
                     SELECT server, hour FROM statement_hour WHERE hour < ?1 LIMIT ?2)",
                hours_before,
            ),
            (
                // what is in no day, and was not seen since the last one was written
                "DELETE FROM statement WHERE id IN (
                     SELECT s.id FROM statement AS s
                     WHERE ?1 = ?1 AND NOT EXISTS (SELECT 1 FROM statement_day AS d WHERE d.statement = s.id)
                       AND s.id <= (SELECT max(statement) FROM statement_day) LIMIT ?2)",
                0,
            ),
        ];
        let mut deleted = 0;
        for (sql, before) in steps {
            deleted += self.delete_in_chunks(sql, before)?;
        }
        Ok(deleted)
    }
}

/// Ranges up to this are told minute by minute.
fn minutes_shown() -> TimeDelta {
    TimeDelta::from_std(limits::MINUTES_SHOWN).unwrap_or(TimeDelta::MAX)
}

fn add(totals: &mut BTreeMap<u64, StatementCounts>, points: impl Iterator<Item = (u64, StatementCounts)>) {
    for (id, counts) in points {
        let total = totals.entry(id).or_default();
        *total = total.plus(counts);
    }
}

/// Puts the points of one hour into the days of their statements.
fn add_hour(tx: &Transaction<'_>, hour: i64, counts: &[(u64, StatementCounts)]) -> Result<(), StoreError> {
    let (day, of_day) = (hour / HOURS_OF_A_DAY, (hour % HOURS_OF_A_DAY).unsigned_abs());
    let mut find = tx.prepare_cached("SELECT hours FROM statement_day WHERE day = ?1 AND statement = ?2")?;
    // a statement that is known no more leaves its points nowhere
    let mut write = tx.prepare_cached(
        "INSERT INTO statement_day (day, statement, hours) SELECT ?1, id, ?3 FROM statement WHERE id = ?2
         ON CONFLICT DO UPDATE SET hours = excluded.hours",
    )?;
    for (statement, counts) in counts {
        let statement = *statement as i64;
        let before: Option<Vec<u8>> = find.query_row([day, statement], |row| row.get(0)).optional()?;
        let mut hours: BTreeMap<u64, StatementCounts> = unpack(&before.unwrap_or_default()).collect();
        hours.insert(of_day, *counts);
        let hours: Vec<_> = hours.into_iter().collect();
        write.execute(params![day, statement, pack(&hours)])?;
    }
    Ok(())
}

/// When the minutes begin that are in no day yet; hours that lie after a time are those of a clock that was wrong.
fn last_rolled_up(tx: &Transaction<'_>, server: &str, before: i64) -> Result<DateTime<Utc>, StoreError> {
    let hour: Option<i64> = tx
        .prepare_cached("SELECT max(hour) FROM statement_hour WHERE server = ?1 AND hour < ?2")?
        .query_row(params![server, before], |row| row.get(0))?;
    Ok(time(hour.map_or(0, |hour| (hour + 1) * HOUR)))
}

fn minutes(
    tx: &Transaction<'_>,
    server: &str,
    id: u64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<HistoryPoint>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT at, seconds, body FROM statement_minute WHERE server = ?1 AND at >= ?2 AND at < ?3 ORDER BY at",
    )?;
    let mut rows = statement.query(params![server, micros(from), micros(to)])?;
    let mut points: Vec<HistoryPoint> = Vec::new();
    while let Some(row) = rows.next()? {
        let (at, seconds): (DateTime<Utc>, f64) = (time(row.get(0)?), row.get(1)?);
        let begin = at - TimeDelta::milliseconds((seconds * 1000.0) as i64);
        if let Some(last) = points.last() {
            let end = last.from + TimeDelta::milliseconds((last.length_seconds * 1000.0) as i64);
            let unseen = (begin - end).num_milliseconds() as f64 / 1000.0;
            if unseen > 1.0 {
                points.push(HistoryPoint {
                    from: end,
                    length_seconds: unseen,
                    counts: None,
                });
            }
        }
        let body: Vec<u8> = row.get(2)?;
        let counts = unpack(&body)
            .find(|(key, _)| *key == id)
            .map(|(_, counts)| counts);
        points.push(HistoryPoint {
            from: begin,
            length_seconds: seconds,
            counts: Some(counts.unwrap_or_default()),
        });
    }
    Ok(points)
}

fn hours(
    tx: &Transaction<'_>,
    server: &str,
    id: i64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<HistoryPoint>, StoreError> {
    let range = micros(from) / HOUR..=micros(to) / HOUR;
    let mut seen: HashMap<i64, f64> = HashMap::new();
    let mut statement = tx.prepare_cached(
        "SELECT hour, seconds FROM statement_hour WHERE server = ?1 AND hour BETWEEN ?2 AND ?3",
    )?;
    let mut rows = statement.query(params![server, range.start(), range.end()])?;
    while let Some(row) = rows.next()? {
        seen.insert(row.get(0)?, row.get(1)?);
    }
    let mut counts: HashMap<i64, StatementCounts> = HashMap::new();
    for (day, hours) in days_of(
        tx,
        id,
        range.start() / HOURS_OF_A_DAY,
        range.end() / HOURS_OF_A_DAY,
    )? {
        let of_day = unpack(&hours).map(|(hour, counts)| (day * HOURS_OF_A_DAY + hour as i64, counts));
        // an hour that is being rolled up just now is told by its minutes
        counts.extend(of_day.filter(|(hour, _)| seen.contains_key(hour)));
    }
    // the hours that are not rolled up yet
    let unrolled = last_rolled_up(tx, server, range.end() + 1)?.max(time(range.start() * HOUR));
    for point in minutes(
        tx,
        server,
        id.unsigned_abs(),
        unrolled,
        time((range.end() + 1) * HOUR),
    )? {
        // a minute belongs to the hour in which it ends, as when it is rolled up
        let end = point.from + TimeDelta::milliseconds((point.length_seconds * 1000.0) as i64);
        let hour = micros(end) / HOUR;
        if let Some(minute) = point.counts {
            *seen.entry(hour).or_default() += point.length_seconds;
            let total = counts.entry(hour).or_default();
            *total = total.plus(minute);
        }
    }
    let point = |hour: i64| HistoryPoint {
        from: time(hour * HOUR),
        length_seconds: 3600.0,
        counts: seen
            .contains_key(&hour)
            .then(|| counts.get(&hour).copied().unwrap_or_default()),
    };
    Ok(range.map(point).collect())
}

/// The rows of one statement's days, each found by its key.
fn days_of(tx: &Transaction<'_>, id: i64, first: i64, last: i64) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT d.day, d.hours FROM statement_day AS d WHERE d.statement = ?1 AND d.day BETWEEN ?2 AND ?3",
    )?;
    let rows = statement.query_map([id, first, last], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds the hours of a range that are rolled up.
fn add_days(
    tx: &Transaction<'_>,
    server: &str,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    totals: &mut BTreeMap<u64, StatementCounts>,
) -> Result<(), StoreError> {
    let range = micros(from) / HOUR..=micros(to) / HOUR;
    let mut rolled_up =
        tx.prepare_cached("SELECT hour FROM statement_hour WHERE server = ?1 AND hour BETWEEN ?2 AND ?3")?;
    let rolled_up: HashSet<i64> = rolled_up
        .query_map(params![server, range.start(), range.end()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut statement = tx.prepare_cached(
        "SELECT d.day, d.statement, d.hours FROM statement_day AS d JOIN statement AS s ON s.id = d.statement
         WHERE d.day BETWEEN ?1 AND ?2 AND s.server = ?3",
    )?;
    let days = params![
        range.start() / HOURS_OF_A_DAY,
        range.end() / HOURS_OF_A_DAY,
        server
    ];
    let mut rows = statement.query(days)?;
    while let Some(row) = rows.next()? {
        let (day, id): (i64, i64) = (row.get(0)?, row.get(1)?);
        let hours: Vec<u8> = row.get(2)?;
        let inside =
            unpack(&hours).filter(|(hour, _)| rolled_up.contains(&(day * HOURS_OF_A_DAY + *hour as i64)));
        add(totals, inside.map(|(_, counts)| (id.unsigned_abs(), counts)));
    }
    Ok(())
}

/// The costliest of a database, or of all, with names and texts.
fn ranked(
    tx: &Transaction<'_>,
    server: &str,
    database: Option<&str>,
    totals: BTreeMap<u64, StatementCounts>,
    limit: usize,
) -> Result<(Vec<StatementTotal>, usize), StoreError> {
    let mut totals: Vec<(u64, StatementCounts)> = totals
        .into_iter()
        .filter(|(_, counts)| counts.calls > 0)
        .collect();
    if let Some(database) = database {
        let mut of_database =
            tx.prepare_cached("SELECT id FROM statement WHERE server = ?1 AND database = ?2")?;
        let ids: std::collections::HashSet<i64> = of_database
            .query_map([server, database], |row| row.get(0))?
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
        "SELECT id, database, statement_id, text FROM statement WHERE id IN (SELECT value FROM json_each(?1))",
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
        Some(StatementTotal {
            statement_id,
            database,
            text,
            counts,
            mean_seconds: counts.mean_seconds(),
            share_ratio: counts.seconds() / all.max(f64::MIN_POSITIVE),
        })
    };
    Ok((totals.into_iter().filter_map(total).collect(), count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::history::StatementPoint;
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
            .write(|tx| record_statements(tx, "main", at(minute), &minute_seen))
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
        let half = store.next_hour(at(700)).unwrap().unwrap();
        let counts: Vec<_> = half.counts.into_iter().collect();
        store.write(|tx| add_hour(tx, half.hour, &counts)).unwrap();
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
            .write(|tx| record_statements(tx, "main", between, &minute_seen))
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
    fn what_is_too_old_goes_and_what_is_not_rolled_up_stays() {
        let store = ten_hours();
        let count = |table: &str| -> i64 {
            store
                .read(|tx| Ok(tx.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?))
                .unwrap()
        };
        let week = at(7 * 24 * 60);
        store.prune(week, Period::days(90)).unwrap();
        assert_eq!(count("statement_minute"), 539, "not rolled up yet");
        store.roll_up(week).unwrap();
        store.prune(week, Period::days(90)).unwrap();
        assert_eq!(
            (
                count("statement_minute"),
                count("statement"),
                count("statement_hour")
            ),
            (0, 2, 9)
        );
        assert_eq!(calls(&store, A, 0, 599)[1], Some(60));
        // of two statements one is seen again
        look(&store, 100 * 24 * 60, vec![point(A, 1)]);
        store.roll_up(at(100 * 24 * 60 + 120)).unwrap();
        store.prune(at(100 * 24 * 60 + 120), Period::days(90)).unwrap();
        assert_eq!((count("statement_day"), count("statement_hour")), (1, 1));
        assert!(
            store
                .statement_history("main", "app", &id(A), at(0), at(599))
                .unwrap()
                .is_some()
        );
    }
}
