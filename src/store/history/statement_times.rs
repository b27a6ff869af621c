//! What the statements of a list took over a range, step by step, for the small picture beside each. Minutes are read only of
//! what is not rolled up yet.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Transaction, params};

use super::place::{self, Family};
use super::points::hours_of;
use super::totals::hours_shown;
use super::{HOUR, HOURS_OF_A_DAY, last_rolled_up};
use crate::model::history::{StatementCounts, StatementTimes};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::pack::unpack;
use crate::store::row::{micros, time, to_json};

/// Ranges up to this are told day by day, longer ones in steps of two days: more points nobody sees in a small picture.
const DAYS_SHOWN: TimeDelta = TimeDelta::days(31);

impl Store {
    /// What some statements of a database took over a range, in steps of an hour, of a long range of a day or two. A statement
    /// that was never seen is not in it.
    ///
    /// # Errors
    /// If the store fails.
    pub fn statement_times(
        &self,
        server: &str,
        database: &str,
        statement_ids: &[&str],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<StatementTimes, StoreError> {
        self.read(|tx| {
            let Some(place) = place::known(tx, server, Family::Statement, "")? else {
                return Ok(StatementTimes::default());
            };
            let steps = Steps::of(from, to);
            let names = names(tx, place, database, statement_ids)?;
            let mut times = Times {
                seen_seconds: vec![0.0; steps.number],
                took: names.keys().map(|id| (*id, vec![0; steps.number])).collect(),
                steps,
            };
            times.read(tx, place)?;
            let took = times.took.into_iter().map(|(_, took)| took);
            Ok(StatementTimes {
                from: time(steps.hours().start * HOUR),
                step_seconds: steps.length as f64 * 3600.0,
                seen_seconds: times.seen_seconds,
                microseconds: names.into_values().zip(took).collect(),
            })
        })
    }
}

/// The names of statements, by their numbers.
fn names(
    tx: &Transaction<'_>,
    place: i64,
    database: &str,
    statement_ids: &[&str],
) -> Result<BTreeMap<u64, String>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT id, name FROM history_subject
         WHERE place = ?1 AND database = ?2 AND name IN (SELECT value FROM json_each(?3))",
    )?;
    let statement_ids = to_json("list of statements", &statement_ids)?;
    let found = statement.query_map(params![place, database, statement_ids], |row| {
        Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Steps of equal length that cover a range.
#[derive(Clone, Copy)]
struct Steps {
    /// In hours.
    length: i64,
    /// Steps of this length since 1970.
    first: i64,
    number: usize,
}

impl Steps {
    fn of(from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        let length = match to - from {
            range if range <= hours_shown() => 1,
            range if range <= DAYS_SHOWN => HOURS_OF_A_DAY,
            _ => 2 * HOURS_OF_A_DAY,
        };
        let step = |at: DateTime<Utc>| micros(at) / HOUR / length;
        let number = usize::try_from(step(to) - step(from)).unwrap_or(0) + 1;
        Self {
            length,
            first: step(from),
            number,
        }
    }

    /// Hours since 1970.
    fn hours(self) -> Range<i64> {
        self.first * self.length..(self.first + self.number as i64) * self.length
    }

    /// The step in which an hour is.
    fn of_hour(self, hour: i64) -> Option<usize> {
        let step = usize::try_from(hour / self.length - self.first).ok();
        step.filter(|step| *step < self.number)
    }
}

/// What is known of each step.
struct Times {
    steps: Steps,
    seen_seconds: Vec<f64>,
    /// Microseconds of each statement, in the order of their numbers.
    took: Vec<(u64, Vec<u64>)>,
}

impl Times {
    fn read(&mut self, tx: &Transaction<'_>, place: i64) -> Result<(), StoreError> {
        let hours = self.steps.hours();
        let mut statement = tx.prepare_cached(
            "SELECT hour, seconds FROM history_hour WHERE place = ?1 AND hour >= ?2 AND hour < ?3",
        )?;
        let mut rows = statement.query(params![place, hours.start, hours.end])?;
        let mut rolled_up = HashSet::new();
        while let Some(row) = rows.next()? {
            let hour: i64 = row.get(0)?;
            rolled_up.insert(hour);
            self.see(hour, row.get(1)?);
        }
        match self.steps.length {
            1 => self.add_hours(tx, &rolled_up)?,
            _ => self.add_days(tx, place)?,
        }
        self.add_minutes(tx, place)
    }

    fn see(&mut self, hour: i64, seconds: f64) {
        if let Some(step) = self.steps.of_hour(hour) {
            self.seen_seconds[step] += seconds;
        }
    }

    /// The hours of each statement's days.
    fn add_hours(&mut self, tx: &Transaction<'_>, rolled_up: &HashSet<i64>) -> Result<(), StoreError> {
        let hours = self.steps.hours();
        let (first_day, last_day) = (hours.start / HOURS_OF_A_DAY, (hours.end - 1) / HOURS_OF_A_DAY);
        for (id, took) in &mut self.took {
            for (hour, counts) in hours_of::<StatementCounts>(tx, *id as i64, first_day, last_day)? {
                // an hour that is being rolled up just now is told by its minutes
                let step = self.steps.of_hour(hour).filter(|_| rolled_up.contains(&hour));
                if let Some(step) = step {
                    took[step] = took[step].saturating_add(counts.microseconds);
                }
            }
        }
        Ok(())
    }

    /// What all statements took on each day: days of many statements are found faster so than one by one.
    fn add_days(&mut self, tx: &Transaction<'_>, place: i64) -> Result<(), StoreError> {
        let hours = self.steps.hours();
        let mut statement = tx.prepare_cached(
            "SELECT day, body FROM history_total WHERE place = ?1 AND day >= ?2 AND day < ?3",
        )?;
        let days = (hours.start / HOURS_OF_A_DAY, hours.end / HOURS_OF_A_DAY);
        let mut rows = statement.query(params![place, days.0, days.1])?;
        while let Some(row) = rows.next()? {
            let day: i64 = row.get(0)?;
            self.add(
                day * HOURS_OF_A_DAY,
                row.get_ref(1)?.as_blob().unwrap_or_default(),
            );
        }
        Ok(())
    }

    /// The minutes that are in no hour yet.
    fn add_minutes(&mut self, tx: &Transaction<'_>, place: i64) -> Result<(), StoreError> {
        let hours = self.steps.hours();
        let first = last_rolled_up(tx, place, hours.end)?.max(time(hours.start * HOUR));
        let mut statement = tx.prepare_cached(
            "SELECT at, seconds, body FROM history_minute WHERE place = ?1 AND at >= ?2 AND at < ?3",
        )?;
        let mut rows = statement.query(params![place, micros(first), hours.end * HOUR])?;
        while let Some(row) = rows.next()? {
            let hour = row.get::<_, i64>(0)? / HOUR;
            self.see(hour, row.get(1)?);
            self.add(hour, row.get_ref(2)?.as_blob().unwrap_or_default());
        }
        Ok(())
    }

    /// Adds what all statements did in some time that begins with an hour.
    fn add(&mut self, hour: i64, body: &[u8]) {
        let Some(step) = self.steps.of_hour(hour) else {
            return;
        };
        let mut wanted = self.took.iter_mut().peekable();
        for (id, counts) in unpack::<StatementCounts>(body) {
            // both are in the order of their numbers
            while wanted.next_if(|(known, _)| *known < id).is_some() {}
            if let Some((_, took)) = wanted.next_if(|(known, _)| *known == id) {
                took[step] = took[step].saturating_add(counts.microseconds);
            }
            if wanted.peek().is_none() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::record_statements;
    use super::*;
    use crate::model::history::{StatementMinute, StatementPoint};

    const A: &str = "SELECT 1 FROM a";
    const B: &str = "SELECT 1 FROM b";
    const DAY: i64 = 24 * 60;

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
                ..StatementCounts::default()
            },
        }
    }

    fn look(store: &Store, minute: i64, seconds: f64, points: Vec<StatementPoint>) {
        let seen = StatementMinute { seconds, points };
        store
            .write(|tx| record_statements(tx, &store.inner.numbers, "main", at(minute), &seen))
            .unwrap();
    }

    fn times(store: &Store, database: &str, from: i64, to: i64) -> StatementTimes {
        let ids = [A, B].map(|text| crate::sql::identify(text).statement_id);
        let ids = [ids[0].as_str(), ids[1].as_str(), "unknown"];
        store
            .statement_times("main", database, &ids, at(from), at(to))
            .unwrap()
    }

    fn per_hour(times: &StatementTimes, text: &str) -> Vec<Option<f64>> {
        times.seconds_per_hour(&crate::sql::identify(text).statement_id)
    }

    #[test]
    fn hours_are_told_as_they_were_before_and_after_they_are_rolled_up() {
        let store = Store::in_memory().unwrap();
        // A takes a second a minute, B three in the third hour; nobody looks in the sixth
        for minute in (1..600).filter(|minute| minute / 60 != 5) {
            let mut points = vec![point(A, 1)];
            if minute / 60 == 2 {
                points.push(point(B, 3));
            }
            look(&store, minute, 60.0, points);
        }
        let of_a: Vec<_> = (0..10).map(|hour| (hour != 5).then_some(60.0)).collect();
        let of_b: Vec<_> = (0..10)
            .map(|hour| (hour != 5).then_some(if hour == 2 { 180.0 } else { 0.0 }))
            .collect();
        for rolled_up_to in [0, 300, 601] {
            store.roll_up(at(rolled_up_to)).unwrap();
            let told = times(&store, "app", 0, 599);
            assert_eq!(per_hour(&told, A), of_a, "rolled up to {rolled_up_to}");
            assert_eq!(per_hour(&told, B), of_b, "rolled up to {rolled_up_to}");
            assert_eq!((told.from, told.step_seconds), (at(0), 3600.0));
            assert_eq!(told.microseconds.len(), 2, "what is unknown is not in it");
        }
        assert!(times(&store, "other", 0, 599).microseconds.is_empty());
        let elsewhere = store.statement_times("other", "app", &["a"], at(0), at(599));
        assert_eq!(elsewhere.unwrap(), StatementTimes::default());
    }

    #[test]
    fn long_ranges_are_told_in_days_and_longer_ones_in_two() {
        let store = Store::in_memory().unwrap();
        // once an hour A takes as many seconds as the number of the day says; nobody looks on the third day
        for hour in (0..5 * 24).filter(|hour| hour / 24 != 2) {
            look(
                &store,
                hour * 60 + 30,
                3600.0,
                vec![point(A, hour.unsigned_abs() / 24 + 1)],
            );
        }
        for rolled_up_to in [0, 2 * DAY, 5 * DAY + 60] {
            store.roll_up(at(rolled_up_to)).unwrap();
            let days = times(&store, "app", 60, 5 * DAY - 1);
            let expected = [Some(1.0), Some(2.0), None, Some(4.0), Some(5.0)];
            assert_eq!(per_hour(&days, A), expected, "rolled up to {rolled_up_to}");
            let quarter = times(&store, "app", 5 * DAY - 90 * DAY, 5 * DAY - 1);
            let of_a = per_hour(&quarter, A);
            assert_eq!(of_a.len(), 46);
            assert_eq!(
                of_a[43..],
                [Some(1.5), Some(4.0), Some(5.0)],
                "rolled up to {rolled_up_to}"
            );
            assert!(of_a[..43].iter().all(Option::is_none), "nobody looked");
        }
    }
}
