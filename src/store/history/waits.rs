//! What sessions were seen doing, and waiting for.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Transaction, params};

use super::place::{self, Family, Numbers, Subjects};
use super::totals::{self, Totals, add};
use super::{HOUR, last_rolled_up, minutes_shown, record};
use crate::limits;
use crate::model::history::{Counts as _, WaitCounts, WaitHistory, WaitKey, WaitMinute, WaitPoint};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::pack::unpack;
use crate::store::row::{from_json, micros, time, to_json};

/// The subject that counts the samples themselves: no session waits for it.
const SAMPLES: &str = "samples";

/// Writes down what the samples saw since the look before.
pub fn record_waits(
    tx: &Transaction<'_>,
    numbers: &Numbers,
    server: &str,
    now: DateTime<Utc>,
    minute: &WaitMinute,
) -> Result<(), StoreError> {
    let place = place::of(tx, server, Family::Wait, "")?;
    let mut subjects = Subjects::of(tx, numbers, place)?;
    let samples = WaitCounts {
        sessions: minute.samples,
    };
    let mut points = BTreeMap::from([(subjects.number("", SAMPLES, "")?, samples)]);
    let known: i64 = tx
        .prepare_cached("SELECT count(*) FROM history_subject WHERE place = ?1")?
        .query_row([place], |row| row.get(0))?;
    let mut room = limits::WAITS_REMEMBERED.saturating_sub(known.unsigned_abs() as usize);
    for (key, counts) in &minute.points {
        let name = to_json("wait", key)?;
        let known = subjects.known(&key.database, &name)?;
        let id = match (known, room) {
            (Some(id), _) => id,
            // whoever can name an application could make as many as he likes
            (None, 0) => {
                let others = WaitKey {
                    event: key.event.clone(),
                    ..WaitKey::default()
                };
                subjects.number("", &to_json("wait", &others)?, "")?
            }
            (None, _) => {
                room -= 1;
                subjects.number(&key.database, &name, "")?
            }
        };
        let seen: &mut WaitCounts = points.entry(id).or_default();
        *seen = seen.then(*counts);
    }
    let points = points.into_iter().collect();
    record(tx, place, now, minute.seconds, points)
}

/// The waits of a place by their numbers, and the number that counts samples.
struct Names {
    keys: HashMap<u64, WaitKey>,
    samples: Option<u64>,
}

impl Names {
    fn of(tx: &Transaction<'_>, place: i64, seen: &Totals<WaitCounts>) -> Result<Self, StoreError> {
        let ids: Vec<u64> = seen.iter().map(|(id, _)| *id).collect();
        let mut statement = tx.prepare_cached(
            "SELECT id, name FROM history_subject WHERE place = ?1 AND id IN (SELECT value FROM json_each(?2))",
        )?;
        let mut rows = statement.query(params![place, to_json("list of waits", &ids)?])?;
        let (mut keys, mut samples) = (HashMap::new(), None);
        while let Some(row) = rows.next()? {
            let id = row.get::<_, i64>(0)?.unsigned_abs();
            match row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)? {
                SAMPLES => samples = Some(id),
                name => _ = keys.insert(id, from_json("wait", name)?),
            }
        }
        Ok(Self { keys, samples })
    }

    /// What samples saw before a look.
    fn minute(&self, look: &Look) -> WaitMinute {
        let named = |(id, counts): &(u64, WaitCounts)| Some((self.keys.get(id)?.clone(), *counts));
        let samples = self.samples.and_then(|id| totals::of(&look.seen, id));
        WaitMinute {
            seconds: look.sampled_seconds,
            samples: samples.map_or(0, |counts| counts.sessions),
            points: look.seen.iter().filter_map(named).collect(),
        }
    }

    /// Some time in which it was looked at.
    fn point(&self, (from, length_seconds): (DateTime<Utc>, f64), seen: &Totals<WaitCounts>) -> WaitPoint {
        let mut by_event: BTreeMap<String, u64> = BTreeMap::new();
        for (id, counts) in seen {
            if let Some(key) = self.keys.get(id) {
                *by_event.entry(key.event.clone()).or_default() += counts.sessions;
            }
        }
        let samples = self.samples.and_then(|id| totals::of(seen, id));
        WaitPoint {
            from,
            length_seconds,
            samples: samples.map_or(0, |counts| counts.sessions),
            sessions: Some(by_event),
        }
    }
}

/// Some time in which it was looked.
struct Look {
    /// When it began, and how many seconds it is long.
    time: (DateTime<Utc>, f64),
    /// For how many of these samples stand.
    sampled_seconds: f64,
    seen: Totals<WaitCounts>,
}

impl Store {
    /// What sessions were seen doing over a range of up to a week: minute by minute over the last hours, hour by hour over
    /// longer.
    ///
    /// # Errors
    /// If the store fails.
    pub fn wait_history(
        &self,
        server: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<WaitHistory, StoreError> {
        self.read(|tx| {
            let Some(place) = place::known(tx, server, Family::Wait, "")? else {
                return Ok(WaitHistory::default());
            };
            let looks = match to - from <= minutes_shown() {
                true => minutes(tx, place, from, to)?,
                false => hours(tx, place, from, to)?,
            };
            let mut all = Totals::new();
            for look in &looks {
                add(&mut all, look.seen.iter().copied());
            }
            let names = Names::of(tx, place, &all)?;
            let mut by_event: Vec<WaitPoint> = Vec::with_capacity(looks.len() + 2);
            by_event.extend(
                looks
                    .first()
                    .and_then(|first| unseen_at_an_edge(from, first.time.0, first)),
            );
            for look in &looks {
                let last = by_event.last().filter(|last| last.sessions.is_some());
                let between = unseen(last, look.time.0);
                by_event.extend(between);
                by_event.push(names.point(look.time, &look.seen));
            }
            by_event.extend(
                looks
                    .last()
                    .and_then(|last| unseen_at_an_edge(last.end(), to, last)),
            );
            let samples = names.samples.and_then(|id| totals::of(&all, id));
            let mut top: Vec<(WaitKey, WaitCounts)> = all
                .iter()
                .filter_map(|(id, counts)| Some((names.keys.get(id)?.clone(), *counts)))
                .collect();
            let sessions = top.iter().map(|(_, counts)| counts.sessions).sum();
            top.sort_by(|a, b| b.1.sessions.cmp(&a.1.sessions).then_with(|| a.0.cmp(&b.0)));
            top.truncate(limits::PAGE_ITEMS);
            Ok(WaitHistory {
                by_event,
                top,
                samples: samples.map_or(0, |counts| counts.sessions),
                sampled_seconds: looks.iter().map(|look| look.sampled_seconds).sum(),
                sessions,
            })
        })
    }
}

impl Store {
    /// What samples saw in the time by which waits are judged, each with the look that ended it, oldest first: for a daemon that
    /// begins anew.
    ///
    /// # Errors
    /// If the store fails.
    pub fn recent_waits(
        &self,
        server: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<(DateTime<Utc>, WaitMinute)>, StoreError> {
        let from = now - TimeDelta::from_std(limits::WAITS_WINDOW).unwrap_or_default();
        self.read(|tx| {
            let Some(place) = place::known(tx, server, Family::Wait, "")? else {
                return Ok(Vec::new());
            };
            let looks = minutes(tx, place, from, now)?;
            let mut all = Totals::new();
            for look in &looks {
                add(&mut all, look.seen.iter().copied());
            }
            let names = Names::of(tx, place, &all)?;
            let minute = |look: &Look| (look.end(), names.minute(look));
            Ok(looks.iter().map(minute).collect())
        })
    }
}

/// The time between two points in which nobody looked, if that is more than looks are ever apart.
fn unseen(last: Option<&WaitPoint>, next: DateTime<Utc>) -> Option<WaitPoint> {
    let last = last?;
    let end = last.from + TimeDelta::milliseconds((last.length_seconds * 1000.0) as i64);
    let length_seconds = (next - end).num_milliseconds() as f64 / 1000.0;
    (length_seconds > 1.0_f64.max(last.length_seconds / 10.0)).then(|| gap(end, length_seconds))
}

/// The time between the edge of a range and the look next to it, if that is more than one that is still to be written down.
fn unseen_at_an_edge(from: DateTime<Utc>, to: DateTime<Utc>, next_to_it: &Look) -> Option<WaitPoint> {
    let length_seconds = (to - from).num_milliseconds() as f64 / 1000.0;
    let usual = 2.0 * next_to_it.time.1.min(EDGE_SECONDS);
    (length_seconds > usual).then(|| gap(from, length_seconds))
}

/// Hours are no longer than this where it is asked what lies between them and the edge of a range.
const EDGE_SECONDS: f64 = 300.0;

fn gap(from: DateTime<Utc>, length_seconds: f64) -> WaitPoint {
    WaitPoint {
        from,
        length_seconds,
        samples: 0,
        sessions: None,
    }
}

impl Look {
    /// Some time, all of which was sampled.
    fn whole(begin: DateTime<Utc>, seconds: f64, seen: Totals<WaitCounts>) -> Self {
        Self {
            time: (begin, seconds),
            sampled_seconds: seconds,
            seen,
        }
    }

    fn end(&self) -> DateTime<Utc> {
        self.time.0 + TimeDelta::milliseconds((self.time.1 * 1000.0) as i64)
    }
}

fn minutes(
    tx: &Transaction<'_>,
    place: i64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<Look>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT at, seconds, body FROM history_minute WHERE place = ?1 AND at >= ?2 AND at < ?3 ORDER BY at",
    )?;
    let mut rows = statement.query(params![place, micros(from), micros(to)])?;
    let mut looks = Vec::new();
    while let Some(row) = rows.next()? {
        let (at, seconds): (DateTime<Utc>, f64) = (time(row.get(0)?), row.get(1)?);
        let begin = at - TimeDelta::milliseconds((seconds * 1000.0) as i64);
        let seen = unpack(row.get_ref(2)?.as_blob().unwrap_or_default()).collect();
        looks.push(Look::whole(begin, seconds, seen));
    }
    Ok(looks)
}

fn hours(
    tx: &Transaction<'_>,
    place: i64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<Look>, StoreError> {
    let (first, end) = (micros(from) / HOUR, micros(to) / HOUR + 1);
    let mut statement = tx.prepare_cached(
        "SELECT hour, seconds, body FROM history_hour WHERE place = ?1 AND hour >= ?2 AND hour < ?3 AND body IS NOT NULL
         ORDER BY hour",
    )?;
    let mut rows = statement.query(params![place, first, end])?;
    // each with the seconds of it that were sampled
    let mut looks: BTreeMap<i64, (f64, Totals<WaitCounts>)> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let seen = unpack(row.get_ref(2)?.as_blob().unwrap_or_default()).collect();
        looks.insert(row.get(0)?, (row.get(1)?, seen));
    }
    // the hours that are not rolled up yet
    let unrolled = last_rolled_up(tx, place, end)?.max(time(first * HOUR));
    for minute in minutes(tx, place, unrolled, time(end * HOUR))? {
        let (sampled_seconds, seen) = looks.entry(micros(minute.end()) / HOUR).or_default();
        *sampled_seconds += minute.sampled_seconds;
        add(seen, minute.seen.into_iter());
    }
    let hour = |(hour, (sampled_seconds, seen)): (i64, (f64, Totals<WaitCounts>))| Look {
        time: (time(hour * HOUR), 3600.0),
        sampled_seconds,
        seen,
    };
    Ok(looks.into_iter().map(hour).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        time(20_000 * 24 * HOUR + minute * 60_000_000)
    }

    fn key(event: &str) -> WaitKey {
        WaitKey {
            database: "app".into(),
            event: event.into(),
            ..WaitKey::default()
        }
    }

    #[test]
    fn what_lies_before_the_first_sample_and_after_the_last_is_a_gap() {
        let store = Store::in_memory().unwrap();
        for minute in 1441..=1455 {
            let seen = WaitMinute {
                seconds: 60.0,
                samples: 12,
                points: vec![(key("CPU"), WaitCounts { sessions: 24 })],
            };
            store
                .write(|tx| record_waits(tx, &store.inner.numbers, "main", at(minute), &seen))
                .unwrap();
        }
        let told = |from: i64, to: i64| {
            let told = store.wait_history("main", at(from), at(to)).unwrap();
            let points = told.by_event.iter();
            let points: Vec<(i64, bool)> = points
                .map(|point| (point.length_seconds as i64 / 60, point.sessions.is_some()))
                .collect();
            (points, told.sampled_seconds)
        };
        // a day and its end: one hour of it was looked at
        let day = vec![(1440 - 16, false), (60, true)];
        assert_eq!(told(16, 1456), (day, 900.0));
        let (hours, _) = told(1440, 1440 + 300);
        assert_eq!(hours, [(60, true), (240, false)]);
        // the newest minutes are still to be written down
        let (minutes, seconds) = told(1430, 1457);
        assert_eq!((minutes[0], minutes.len(), seconds), ((10, false), 16, 900.0));
        assert_eq!(told(1430, 1500).0.last(), Some(&(45, false)));
        assert!(told(0, 60).0.is_empty(), "nothing at all is no picture");
    }

    #[test]
    fn a_daemon_that_begins_anew_is_told_the_last_hour() {
        let store = Store::in_memory().unwrap();
        let seen = |sessions: u64| WaitMinute {
            seconds: 60.0,
            samples: 12,
            points: vec![(key("Lock: transactionid"), WaitCounts { sessions })],
        };
        for minute in 0_i64..100 {
            store
                .write(|tx| {
                    record_waits(
                        tx,
                        &store.inner.numbers,
                        "main",
                        at(minute),
                        &seen(minute.unsigned_abs()),
                    )
                })
                .unwrap();
        }
        store.roll_up(at(90)).unwrap();
        let told = store.recent_waits("main", at(100)).unwrap();
        let expected: Vec<(DateTime<Utc>, WaitMinute)> = (40_i64..100)
            .map(|minute| (at(minute), seen(minute.unsigned_abs())))
            .collect();
        assert_eq!(told, expected);
        assert!(store.recent_waits("main", at(300)).unwrap().is_empty());
        assert!(store.recent_waits("other", at(100)).unwrap().is_empty());
    }

    #[test]
    fn waits_are_the_same_before_and_after_they_are_rolled_up_with_their_gaps() {
        let store = Store::in_memory().unwrap();
        for minute in (1..600).filter(|minute| minute / 60 != 5) {
            let mut points = vec![(key("CPU"), WaitCounts { sessions: 2 })];
            if minute / 60 == 2 {
                points.push((key("Lock: transactionid"), WaitCounts { sessions: 12 }));
            }
            let seen = WaitMinute {
                seconds: 60.0,
                samples: 12,
                points,
            };
            store
                .write(|tx| record_waits(tx, &store.inner.numbers, "main", at(minute), &seen))
                .unwrap();
        }
        for rolled_up_to in [0, 200, 601] {
            store.roll_up(at(rolled_up_to)).unwrap();
            let told = store.wait_history("main", at(0), at(599)).unwrap();
            assert_eq!((told.samples, told.sessions), (539 * 12, 539 * 2 + 60 * 12));
            assert_eq!(told.sampled_seconds, 539.0 * 60.0, "rolled up to {rolled_up_to}");
            assert_eq!(told.top[0], (key("CPU"), WaitCounts { sessions: 1078 }));
            assert_eq!(told.top[1].1.sessions, 720);
            let gaps: Vec<usize> = (0..told.by_event.len())
                .filter(|hour| told.by_event[*hour].sessions.is_none())
                .collect();
            assert_eq!(
                (told.by_event.len(), gaps),
                (10, vec![5]),
                "rolled up to {rolled_up_to}"
            );
            let third = &told.by_event[2];
            assert_eq!(
                (third.samples, third.sessions.as_ref().unwrap()["CPU"]),
                (720, 120)
            );
            let minutes = store.wait_history("main", at(118), at(125)).unwrap();
            assert_eq!((minutes.by_event.len(), minutes.sampled_seconds), (7, 420.0));
        }
        assert_eq!(
            store.wait_history("other", at(0), at(9)).unwrap(),
            WaitHistory::default()
        );
    }
}
