//! An hour that is over is added up: for each of its subjects, and for its place.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::place::Family;
use super::totals::{Totals, add};
use super::{HOUR, HOURS_OF_A_DAY};
use crate::model::history::{Counts, IndexCounts, StatementCounts, TableCounts, WaitCounts};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::pack::{pack, unpack};
use crate::store::row::micros;

/// An hour is rolled up when it has been over for so long: a look that is being written down may still belong to it.
const AFTER: TimeDelta = TimeDelta::minutes(5);
/// Subjects whose day one transaction rewrites, so that nobody waits long.
const CHUNK: usize = 1000;

impl Store {
    /// Brings the minutes of each hour that is over into the days of their subjects and the totals of their place. What was
    /// done once is done again without harm, so that it may be stopped anywhere.
    ///
    /// # Errors
    /// If the store fails.
    pub fn roll_up(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        for (place, family, hour) in self.hours_to_roll_up(now - AFTER)? {
            match family {
                Family::Statement => self.roll_up_hour::<StatementCounts>(place, hour)?,
                Family::Table => self.roll_up_hour::<TableCounts>(place, hour)?,
                Family::Index => self.roll_up_hour::<IndexCounts>(place, hour)?,
                Family::Wait => self.roll_up_hour::<WaitCounts>(place, hour)?,
            }
        }
        // of a store that had no totals yet
        for (place, family, day) in self.days_without_total()? {
            match family {
                Family::Statement => self.total_day::<StatementCounts>(place, day)?,
                Family::Table => self.total_day::<TableCounts>(place, day)?,
                Family::Index => self.total_day::<IndexCounts>(place, day)?,
                Family::Wait => self.total_day::<WaitCounts>(place, day)?,
            }
        }
        Ok(())
    }

    /// The hours that are over and not rolled up yet, oldest first.
    pub(super) fn hours_to_roll_up(&self, now: DateTime<Utc>) -> Result<Vec<PlaceAndTime>, StoreError> {
        self.read(|tx| {
            let mut hours = tx.prepare_cached(
                "SELECT DISTINCT p.id, p.family, m.at / ?2 FROM history_minute AS m
                 JOIN history_place AS p ON p.id = m.place
                 WHERE m.at < ?1 AND NOT EXISTS (
                     SELECT 1 FROM history_hour AS h WHERE h.place = m.place AND h.hour = m.at / ?2)
                 ORDER BY 3, 1",
            )?;
            places_and_times(&mut hours, params![micros(now) / HOUR * HOUR, HOUR])
        })
    }

    fn days_without_total(&self) -> Result<Vec<PlaceAndTime>, StoreError> {
        self.read(|tx| {
            let mut days = tx.prepare_cached(
                "SELECT DISTINCT p.id, p.family, h.hour / ?1 FROM history_hour AS h
                 JOIN history_place AS p ON p.id = h.place
                 WHERE NOT EXISTS (SELECT 1 FROM history_total AS t WHERE t.place = h.place AND t.day = h.hour / ?1)",
            )?;
            places_and_times(&mut days, params![HOURS_OF_A_DAY])
        })
    }

    /// Rolls one hour up. Until its last transaction the hour counts as not rolled up: its minutes are still there.
    pub(super) fn roll_up_hour<C: Counts>(&self, place: i64, hour: i64) -> Result<(), StoreError> {
        let (seconds, counts) = self.read(|tx| minutes_of::<C>(tx, place, hour))?;
        for chunk in counts.chunks(CHUNK) {
            self.write(|tx| add_hour(tx, hour, chunk))?;
        }
        let day = hour / HOURS_OF_A_DAY;
        let total = self.read(|tx| day_total::<C>(tx, place, day))?;
        self.write(|tx| {
            tx.prepare_cached(
                "INSERT INTO history_hour (place, hour, seconds, body) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET seconds = excluded.seconds, body = excluded.body",
            )?
            .execute(params![place, hour, seconds, pack(&counts)])?;
            write_total(tx, place, day, &total)
        })
    }

    fn total_day<C: Counts>(&self, place: i64, day: i64) -> Result<(), StoreError> {
        let total = self.read(|tx| day_total::<C>(tx, place, day))?;
        self.write(|tx| write_total(tx, place, day, &total))
    }
}

/// A place, what it is about, and the hour or day that is meant.
type PlaceAndTime = (i64, Family, i64);

fn places_and_times(
    statement: &mut rusqlite::CachedStatement<'_>,
    parameters: &[&dyn rusqlite::ToSql],
) -> Result<Vec<PlaceAndTime>, StoreError> {
    let found = statement.query_map(parameters, |row| {
        let family = Family::of(row.get_ref(1)?.as_str()?);
        Ok((row.get(0)?, family, row.get(2)?))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The minutes of one hour, added up.
pub(super) fn minutes_of<C: Counts>(
    tx: &Transaction<'_>,
    place: i64,
    hour: i64,
) -> Result<(f64, Totals<C>), StoreError> {
    let mut minutes = tx.prepare_cached(
        "SELECT seconds, body FROM history_minute WHERE place = ?1 AND at >= ?2 AND at < ?2 + ?3 ORDER BY at",
    )?;
    let mut rows = minutes.query(params![place, hour * HOUR, HOUR])?;
    let (mut seconds, mut counts) = (0.0, Totals::new());
    while let Some(row) = rows.next()? {
        seconds += row.get::<_, f64>(0)?;
        add(&mut counts, unpack(row.get_ref(1)?.as_blob().unwrap_or_default()));
    }
    Ok((seconds, counts))
}

/// Puts the points of one hour into the days of their subjects.
pub(super) fn add_hour<C: Counts>(
    tx: &Transaction<'_>,
    hour: i64,
    counts: &[(u64, C)],
) -> Result<(), StoreError> {
    let (day, of_day) = (hour / HOURS_OF_A_DAY, (hour % HOURS_OF_A_DAY).unsigned_abs());
    let mut find = tx.prepare_cached("SELECT hours FROM history_day WHERE day = ?1 AND subject = ?2")?;
    // a subject that is known no more leaves its points nowhere
    let mut write = tx.prepare_cached(
        "INSERT INTO history_day (day, subject, hours) SELECT ?1, id, ?3 FROM history_subject WHERE id = ?2
         ON CONFLICT DO UPDATE SET hours = excluded.hours",
    )?;
    for (subject, counts) in counts {
        let subject = *subject as i64;
        let before: Option<Vec<u8>> = find.query_row([day, subject], |row| row.get(0)).optional()?;
        let mut hours: BTreeMap<u64, C> = unpack(&before.unwrap_or_default()).collect();
        hours.insert(of_day, *counts);
        let hours: Vec<_> = hours.into_iter().collect();
        write.execute(params![day, subject, pack(&hours)])?;
    }
    Ok(())
}

/// What every subject of a place did on a day.
fn day_total<C: Counts>(tx: &Transaction<'_>, place: i64, day: i64) -> Result<Totals<C>, StoreError> {
    let mut days = tx.prepare_cached(
        "SELECT d.subject, d.hours FROM history_day AS d CROSS JOIN history_subject AS s ON s.id = d.subject
         WHERE d.day = ?1 AND s.place = ?2 ORDER BY d.subject",
    )?;
    let mut rows = days.query([day, place])?;
    let mut total = Totals::new();
    while let Some(row) = rows.next()? {
        let hours = unpack::<C>(row.get_ref(1)?.as_blob().unwrap_or_default()).map(|(_, counts)| counts);
        if let Some(counts) = hours.reduce(C::then) {
            total.push((row.get::<_, i64>(0)?.unsigned_abs(), counts));
        }
    }
    Ok(total)
}

fn write_total<C: Counts>(
    tx: &Transaction<'_>,
    place: i64,
    day: i64,
    total: &[(u64, C)],
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO history_total (place, day, body) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET body = excluded.body",
    )?
    .execute(params![place, day, pack(total)])?;
    Ok(())
}
