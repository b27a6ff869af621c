//! What one subject did, point by point, for charts.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Transaction, params};

use super::{HOUR, HOURS_OF_A_DAY, last_rolled_up, minutes_shown};
use crate::model::history::{Counts, HistoryPoint, IndexCounts};
use crate::store::error::StoreError;
use crate::store::pack::unpack;
use crate::store::row::{micros, time};

/// What a subject did: minute by minute over the last hours, hour by hour over longer. Where nobody looked there is a point
/// without counts. The first look of all tells how things are and nothing of the time before: it is no point, and an hour that
/// holds no other look is one without counts.
pub fn points<C: Counts>(
    tx: &Transaction<'_>,
    place: i64,
    subject: i64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<HistoryPoint<C>>, StoreError> {
    let mut points = match to - from <= minutes_shown() {
        true => minutes(tx, place, subject, from, to)?,
        false => hours(tx, place, subject, from, to)?,
    };
    // where it was looked at and nothing happened, it stayed as it was
    let mut last = before(tx, place, subject, from)?;
    let mut told = Vec::with_capacity(points.len());
    for point in points.drain(..) {
        let counts = match point.counts {
            Seen::Nobody => None,
            Seen::Nothing => C::still(last),
            Seen::Did(counts) => Some(counts),
        };
        last = counts.or(last);
        if point.length_seconds > 0.0 {
            told.push(HistoryPoint {
                from: point.from,
                length_seconds: point.length_seconds,
                seen_seconds: point.seen_seconds,
                counts: counts.filter(|_| point.seen_seconds > 0.0),
            });
        }
    }
    Ok(told)
}

/// What was seen of a subject in some time.
enum Seen<C> {
    Nobody,
    Nothing,
    Did(C),
}

struct Point<C> {
    from: DateTime<Utc>,
    length_seconds: f64,
    seen_seconds: f64,
    counts: Seen<C>,
}

/// Seconds as a duration.
fn seconds(seconds: f64) -> TimeDelta {
    TimeDelta::milliseconds((seconds * 1000.0) as i64)
}

fn minutes<C: Counts>(
    tx: &Transaction<'_>,
    place: i64,
    subject: i64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<Point<C>>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT at, seconds, body FROM history_minute WHERE place = ?1 AND at >= ?2 AND at < ?3 ORDER BY at",
    )?;
    let mut rows = statement.query(params![place, micros(from), micros(to)])?;
    let mut points: Vec<Point<C>> = Vec::new();
    while let Some(row) = rows.next()? {
        let (at, length_seconds): (DateTime<Utc>, f64) = (time(row.get(0)?), row.get(1)?);
        let begin = at - seconds(length_seconds);
        if let Some(last) = points.last() {
            let end = last.from + seconds(last.length_seconds);
            let unseen = (begin - end).num_milliseconds() as f64 / 1000.0;
            // looks are not made by a metronome
            if unseen > 1.0_f64.max(length_seconds / 10.0) {
                points.push(Point {
                    from: end,
                    length_seconds: unseen,
                    seen_seconds: 0.0,
                    counts: Seen::Nobody,
                });
            }
        }
        let mut found = unpack(row.get_ref(2)?.as_blob().unwrap_or_default());
        let found = found.find(|(key, _)| *key == subject.unsigned_abs());
        points.push(Point {
            from: begin,
            length_seconds,
            seen_seconds: length_seconds,
            counts: found.map_or(Seen::Nothing, |(_, counts)| Seen::Did(counts)),
        });
    }
    Ok(points)
}

fn hours<C: Counts>(
    tx: &Transaction<'_>,
    place: i64,
    subject: i64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<Point<C>>, StoreError> {
    let range = micros(from) / HOUR..=micros(to) / HOUR;
    let mut looked_at = HashMap::new();
    let mut statement = tx.prepare_cached(
        "SELECT hour, seconds FROM history_hour WHERE place = ?1 AND hour BETWEEN ?2 AND ?3",
    )?;
    let mut rows = statement.query(params![place, range.start(), range.end()])?;
    while let Some(row) = rows.next()? {
        looked_at.insert(row.get::<_, i64>(0)?, row.get::<_, f64>(1)?);
    }
    let mut did: HashMap<i64, C> = HashMap::new();
    let days = range.start() / HOURS_OF_A_DAY..=range.end() / HOURS_OF_A_DAY;
    for (hour, counts) in hours_of(tx, subject, *days.start(), *days.end())? {
        // an hour that is being rolled up just now is told by its minutes
        if looked_at.contains_key(&hour) {
            did.insert(hour, counts);
        }
    }
    // the hours that are not rolled up yet
    let unrolled = last_rolled_up(tx, place, range.end() + 1)?.max(time(range.start() * HOUR));
    for point in minutes::<C>(tx, place, subject, unrolled, time((range.end() + 1) * HOUR))? {
        // a minute belongs to the hour in which it ends, as when it is rolled up
        let hour = micros(point.from + seconds(point.length_seconds)) / HOUR;
        if !matches!(point.counts, Seen::Nobody) {
            *looked_at.entry(hour).or_default() += point.length_seconds;
        }
        if let Seen::Did(counts) = point.counts {
            let together = did.get(&hour).map_or(counts, |known| known.then(counts));
            did.insert(hour, together);
        }
    }
    let point = |hour: i64| Point {
        from: time(hour * HOUR),
        length_seconds: 3600.0,
        seen_seconds: looked_at.get(&hour).copied().unwrap_or(0.0),
        counts: match (looked_at.contains_key(&hour), did.get(&hour)) {
            (false, _) => Seen::Nobody,
            (true, None) => Seen::Nothing,
            (true, Some(counts)) => Seen::Did(*counts),
        },
    };
    Ok(range.map(point).collect())
}

/// The hours of one subject's days, each found by its key.
pub fn hours_of<C: Counts>(
    tx: &Transaction<'_>,
    subject: i64,
    first_day: i64,
    last_day: i64,
) -> Result<BTreeMap<i64, C>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT day, hours FROM history_day WHERE subject = ?1 AND day BETWEEN ?2 AND ?3")?;
    let mut rows = statement.query([subject, first_day, last_day])?;
    let mut hours = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let day: i64 = row.get(0)?;
        let of_day = unpack(row.get_ref(1)?.as_blob().unwrap_or_default());
        hours.extend(of_day.map(|(hour, counts)| (day * HOURS_OF_A_DAY + hour as i64, counts)));
    }
    Ok(hours)
}

/// What is known of a subject from before a time.
pub fn before<C: Counts>(
    tx: &Transaction<'_>,
    place: i64,
    subject: i64,
    from: DateTime<Utc>,
) -> Result<Option<C>, StoreError> {
    // what is not rolled up yet is the latest
    let unrolled = last_rolled_up(tx, place, micros(from) / HOUR + 1)?;
    let mut minutes = tx.prepare_cached(
        "SELECT body FROM history_minute WHERE place = ?1 AND at >= ?2 AND at < ?3 ORDER BY at DESC",
    )?;
    let mut rows = minutes.query(params![place, micros(unrolled), micros(from)])?;
    while let Some(row) = rows.next()? {
        let mut points = unpack(row.get_ref(0)?.as_blob().unwrap_or_default());
        if let Some((_, counts)) = points.find(|(key, _)| *key == subject.unsigned_abs()) {
            return Ok(Some(counts));
        }
    }
    // of an hour in the middle of which the time lies the end is not told: what happens in it is in the range
    let hour = micros(from) / HOUR;
    let mut statement = tx.prepare_cached(
        "SELECT day, hours FROM history_day WHERE subject = ?1 AND day <= ?2 ORDER BY day DESC LIMIT 2",
    )?;
    let mut rows = statement.query([subject, hour / HOURS_OF_A_DAY])?;
    while let Some(row) = rows.next()? {
        let day: i64 = row.get(0)?;
        let of_day = unpack(row.get_ref(1)?.as_blob().unwrap_or_default());
        let earlier = of_day.filter(|(of_day, _)| day * HOURS_OF_A_DAY + (*of_day as i64) < hour);
        if let Some((_, counts)) = earlier.last() {
            return Ok(Some(counts));
        }
    }
    Ok(None)
}

/// When a subject was heard of first, where that was after a time: the end of the look that told it, or of its hour, where
/// that is all that is known.
pub fn first_at(
    tx: &Transaction<'_>,
    place: i64,
    subject: i64,
    after: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let mut days =
        tx.prepare_cached("SELECT day, hours FROM history_day WHERE subject = ?1 ORDER BY day LIMIT 1")?;
    let mut rows = days.query([subject])?;
    let rolled_up = match rows.next()? {
        None => None,
        Some(row) => {
            let day: i64 = row.get(0)?;
            let mut hours = unpack::<IndexCounts>(row.get_ref(1)?.as_blob().unwrap_or_default());
            hours.next().map(|(hour, _)| day * HOURS_OF_A_DAY + hour as i64)
        }
    };
    if rolled_up.is_some_and(|hour| (hour + 1) * HOUR <= micros(after)) {
        return Ok(None);
    }
    let (from, to) = match rolled_up {
        Some(hour) => (hour * HOUR, (hour + 1) * HOUR),
        None => (micros(last_rolled_up(tx, place, i64::MAX)?), i64::MAX),
    };
    let mut minutes = tx.prepare_cached(
        "SELECT at, body FROM history_minute WHERE place = ?1 AND at >= ?2 AND at < ?3 ORDER BY at",
    )?;
    let mut rows = minutes.query(params![place, from, to])?;
    let mut first = rolled_up.map(|hour| time((hour + 1) * HOUR));
    while let Some(row) = rows.next()? {
        let mut told = unpack::<IndexCounts>(row.get_ref(1)?.as_blob().unwrap_or_default());
        if told.any(|(key, _)| key == subject.unsigned_abs()) {
            first = Some(time(row.get(0)?));
            break;
        }
    }
    Ok(first.filter(|first| *first > after))
}

/// When a place was looked at first, as [`first_at`] tells it of a subject.
pub fn first_look(tx: &Transaction<'_>, place: i64) -> Result<Option<DateTime<Utc>>, StoreError> {
    let hour: Option<i64> = tx
        .prepare_cached("SELECT min(hour) FROM history_hour WHERE place = ?1")?
        .query_row([place], |row| row.get(0))?;
    let (from, to) = hour.map_or((i64::MIN, i64::MAX), |hour| (hour * HOUR, (hour + 1) * HOUR));
    let minute: Option<i64> = tx
        .prepare_cached("SELECT min(at) FROM history_minute WHERE place = ?1 AND at >= ?2 AND at < ?3")?
        .query_row([place, from, to], |row| row.get(0))?;
    Ok(minute.or(hour.map(|hour| (hour + 1) * HOUR)).map(time))
}

/// How a subject was when it was heard of first.
pub fn at_first<C: Counts>(tx: &Transaction<'_>, place: i64, subject: i64) -> Result<Option<C>, StoreError> {
    let mut days =
        tx.prepare_cached("SELECT hours FROM history_day WHERE subject = ?1 ORDER BY day LIMIT 1")?;
    let mut rows = days.query([subject])?;
    if let Some(row) = rows.next()? {
        let mut hours = unpack(row.get_ref(0)?.as_blob().unwrap_or_default());
        return Ok(hours.next().map(|(_, counts)| counts));
    }
    let mut minutes = tx.prepare_cached("SELECT body FROM history_minute WHERE place = ?1 ORDER BY at")?;
    let mut rows = minutes.query([place])?;
    while let Some(row) = rows.next()? {
        let mut points = unpack(row.get_ref(0)?.as_blob().unwrap_or_default());
        if let Some((_, counts)) = points.find(|(key, _)| *key == subject.unsigned_abs()) {
            return Ok(Some(counts));
        }
    }
    Ok(None)
}
