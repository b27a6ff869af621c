//! The history of statements, tables, indexes and waits: minute by minute for a few days and hour by hour for as long as
//! measurements are kept, over restarts, resets and evictions.
//!
//! Each look adds one row to its *place* with what the *subjects* there did (`record`). When an hour is over, it is added up
//! for every subject and for the place as a whole (`roll_up`); a chart reads the hours of one subject (`points`), a list the
//! hours or days of its place (`totals`). Who held others up is no number that adds up, and has a row of its own (`incidents`); so have
//! the few numbers of a server as a whole (`server_points`).

mod databases;
mod incidents;
mod listed;
mod lists;
mod place;
mod points;
mod prune;
mod relations;
mod roll_up;
mod server_points;
mod statement_times;
mod statements;
mod table_reads;
mod totals;
mod use_over_days;
mod waits;
mod write_price;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Transaction, params};

use super::error::StoreError;
use super::pack::pack;
use super::row::micros;
use crate::limits;
use crate::model::history::Counts;

pub(super) use databases::record_databases;
pub(super) use incidents::record_incidents;
pub(super) use place::Numbers;
pub(super) use relations::{forget_databases_but, record_relations};
pub(super) use server_points::record_server_point;
pub(super) use statements::record_statements;
pub(super) use waits::record_waits;

const HOUR: i64 = 3_600_000_000;
const HOURS_OF_A_DAY: i64 = 24;

/// Writes down what the subjects of a place did since the look before.
fn record<C: Counts>(
    tx: &Transaction<'_>,
    place: i64,
    now: DateTime<Utc>,
    seconds: f64,
    mut points: Vec<(u64, C)>,
) -> Result<(), StoreError> {
    points.sort_unstable_by_key(|(id, _)| *id);
    // a clock that was set back writes into an hour that was rolled up: that and what follows is rolled up again, but for
    // what has lost its minutes
    tx.prepare_cached(
        "DELETE FROM history_hour WHERE place = ?1 AND hour >= ?2 AND EXISTS (
             SELECT 1 FROM history_minute AS m WHERE m.place = ?1 AND m.at >= history_hour.hour * ?3
                 AND m.at < (history_hour.hour + 1) * ?3)",
    )?
    .execute(params![place, micros(now) / HOUR, HOUR])?;
    tx.prepare_cached(
        "INSERT INTO history_minute (place, at, seconds, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )?
    .execute(params![place, micros(now), seconds, pack(&points)])?;
    Ok(())
}

/// Ranges up to this are told minute by minute.
fn minutes_shown() -> TimeDelta {
    TimeDelta::from_std(limits::MINUTES_SHOWN).unwrap_or(TimeDelta::MAX)
}

/// When the minutes begin that are in no hour yet; hours that lie after a time are those of a clock that was wrong.
fn last_rolled_up(tx: &Transaction<'_>, place: i64, before: i64) -> Result<DateTime<Utc>, StoreError> {
    let hour: Option<i64> = tx
        .prepare_cached("SELECT max(hour) FROM history_hour WHERE place = ?1 AND hour < ?2")?
        .query_row(params![place, before], |row| row.get(0))?;
    Ok(super::row::time(hour.map_or(0, |hour| (hour + 1) * HOUR)))
}
