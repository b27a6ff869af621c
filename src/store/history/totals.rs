//! What every subject of a place did over a range of time, for lists.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{ToSql, Transaction, params};

use super::{HOUR, HOURS_OF_A_DAY, last_rolled_up, minutes_shown};
use crate::limits;
use crate::model::history::Counts;
use crate::store::error::StoreError;
use crate::store::pack::unpack;
use crate::store::row::{micros, time};

/// Counts of subjects, in the order of their numbers.
pub type Totals<C> = Vec<(u64, C)>;

/// Adds points, in the order of their numbers, of a time that follows.
pub fn add<C: Counts>(totals: &mut Totals<C>, points: impl Iterator<Item = (u64, C)>) {
    let before = std::mem::take(totals);
    totals.reserve(before.len());
    let mut before = before.into_iter().peekable();
    for (id, counts) in points {
        while let Some(known) = before.next_if(|(known, _)| *known < id) {
            totals.push(known);
        }
        let counts = match before.next_if(|(known, _)| *known == id) {
            Some((_, known)) => known.then(counts),
            None => counts,
        };
        totals.push((id, counts));
    }
    totals.extend(before);
}

/// Of one subject.
pub fn of<C: Counts>(totals: &Totals<C>, id: u64) -> Option<C> {
    let position = totals.binary_search_by_key(&id, |(known, _)| *known).ok()?;
    Some(totals[position].1)
}

/// What every subject of a place did from one time to another. What is longer ago than some hours is told in whole hours;
/// a range of more than a week begins with a whole day (UTC).
pub fn over<C: Counts>(
    tx: &Transaction<'_>,
    place: i64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Totals<C>, StoreError> {
    let mut totals = Totals::new();
    each(tx, place, from, to, &mut |body| add(&mut totals, unpack(body)))?;
    Ok(totals)
}

/// What every subject of a place did in those hours of a range that are not rolled up yet.
pub fn unrolled<C: Counts>(
    tx: &Transaction<'_>,
    place: i64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Totals<C>, StoreError> {
    let end_hour = micros(to) / HOUR + 1;
    let first = last_rolled_up(tx, place, end_hour)?.max(time(micros(from) / HOUR * HOUR));
    let mut totals = Totals::new();
    let end = end_hour * HOUR;
    bodies(tx, MINUTES, params![place, micros(first), end], &mut |body| {
        add(&mut totals, unpack(body))
    })?;
    Ok(totals)
}

const MINUTES: &str = "SELECT body FROM history_minute WHERE place = ?1 AND at >= ?2 AND at < ?3 ORDER BY at";
const HOURS: &str =
    "SELECT body FROM history_hour WHERE place = ?1 AND hour >= ?2 AND hour < ?3 AND body IS NOT NULL
                     ORDER BY hour";

/// The bodies of a range, oldest first.
pub fn each(
    tx: &Transaction<'_>,
    place: i64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    take: &mut dyn FnMut(&[u8]),
) -> Result<(), StoreError> {
    if to - from <= minutes_shown() {
        return bodies(tx, MINUTES, params![place, micros(from), micros(to)], take);
    }
    let (from_hour, end_hour) = (micros(from) / HOUR, micros(to) / HOUR + 1);
    let unrolled = last_rolled_up(tx, place, end_hour)?;
    let first_minute = match to - from <= hours_shown() {
        true => {
            bodies(tx, HOURS, params![place, from_hour, end_hour], take)?;
            from_hour * HOUR
        }
        false => {
            let mut first_day = from_hour / HOURS_OF_A_DAY;
            if to - from < hours_kept() {
                // the hours of the first day from there on; longer ranges begin with the day
                first_day += 1;
                bodies(
                    tx,
                    HOURS,
                    params![place, from_hour, first_day * HOURS_OF_A_DAY],
                    take,
                )?;
            }
            let last_day = (end_hour - 1) / HOURS_OF_A_DAY;
            let sql =
                "SELECT body FROM history_total WHERE place = ?1 AND day BETWEEN ?2 AND ?3 ORDER BY day";
            bodies(tx, sql, params![place, first_day, last_day], take)?;
            from_hour.min(first_day * HOURS_OF_A_DAY) * HOUR
        }
    };
    let first_minute = time(first_minute).max(unrolled);
    let last_minute = time(end_hour * HOUR);
    bodies(
        tx,
        MINUTES,
        params![place, micros(first_minute), micros(last_minute)],
        take,
    )
}

/// When a range begins as [`over`] tells it.
pub fn begin(from: DateTime<Utc>, to: DateTime<Utc>) -> DateTime<Utc> {
    match to - from < hours_kept() {
        true => from,
        false => time(micros(from) / HOUR / HOURS_OF_A_DAY * HOURS_OF_A_DAY * HOUR),
    }
}

/// How many seconds of a range were looked at: of a long one in the hours in which it begins and ends, too.
pub fn seen_seconds(
    tx: &Transaction<'_>,
    place: i64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<f64, StoreError> {
    let mut minutes = tx.prepare_cached(
        "SELECT coalesce(sum(seconds), 0.0) FROM history_minute WHERE place = ?1 AND at >= ?2 AND at < ?3",
    )?;
    if to - from <= minutes_shown() {
        return Ok(minutes.query_row(params![place, micros(from), micros(to)], |row| row.get(0))?);
    }
    let (from_hour, end_hour) = (micros(from) / HOUR, micros(to) / HOUR + 1);
    let rolled_up: f64 = tx
        .prepare_cached(
            "SELECT coalesce(sum(seconds), 0.0) FROM history_hour WHERE place = ?1 AND hour >= ?2 AND hour < ?3",
        )?
        .query_row(params![place, from_hour, end_hour], |row| row.get(0))?;
    let first_minute = last_rolled_up(tx, place, end_hour)?.max(time(from_hour * HOUR));
    let unrolled: f64 = minutes.query_row(params![place, micros(first_minute), end_hour * HOUR], |row| {
        row.get(0)
    })?;
    Ok(rolled_up + unrolled)
}

/// Ranges up to this are told hour by hour.
pub fn hours_shown() -> TimeDelta {
    TimeDelta::from_std(limits::HOURS_SHOWN).unwrap_or(TimeDelta::MAX)
}

/// Shorter ranges find all of their hours.
fn hours_kept() -> TimeDelta {
    TimeDelta::from_std(limits::HOURS_KEPT_BY_TIME).unwrap_or(TimeDelta::MAX) - TimeDelta::hours(12)
}

fn bodies(
    tx: &Transaction<'_>,
    sql: &'static str,
    parameters: &[&dyn ToSql],
    take: &mut dyn FnMut(&[u8]),
) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    while let Some(row) = rows.next()? {
        take(row.get_ref(0)?.as_blob().unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::history::IndexCounts;

    #[test]
    fn points_of_a_later_time_are_added_in_order() {
        let counts = |scans, bytes| IndexCounts { scans, bytes };
        let mut totals = vec![(2, counts(1, 10)), (5, counts(2, 20))];
        add(
            &mut totals,
            [(1, counts(7, 1)), (5, counts(3, 15)), (9, counts(4, 2))].into_iter(),
        );
        assert_eq!(
            totals,
            [
                (1, counts(7, 1)),
                (2, counts(1, 10)),
                (5, counts(5, 15)),
                (9, counts(4, 2))
            ]
        );
        add(&mut totals, std::iter::empty());
        assert_eq!((of(&totals, 5), of(&totals, 6)), (Some(counts(5, 15)), None));
    }
}
