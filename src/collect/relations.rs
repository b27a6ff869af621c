//! Counters of tables and indexes of one database, and what runs on them just now.

use crate::limits;
use crate::model::snapshot::{IndexCounters, Progress, TableCounters, Work};
use crate::postgres::{Arrays, Observe, PostgresError, column, queries};

/// Counters of one database.
pub struct Counters {
    pub tables: Vec<TableCounters>,
    pub indexes: Vec<IndexCounters>,
    pub progress: Progress,
}

/// Reads all of it.
///
/// # Errors
/// If the server refuses or does not answer.
pub async fn look(session: &Observe, version_num: i32) -> Result<Counters, PostgresError> {
    let limit = limits::RELATIONS_PER_DATABASE;
    let mut tables = tables(
        &session
            .arrays(queries::TABLE_COUNTERS.on(version_num), None, limit)
            .await?,
    )?;
    tables.sort_unstable_by_key(|table| table.oid);
    let mut indexes = indexes(
        &session
            .arrays(queries::INDEX_COUNTERS.on(version_num), None, limit)
            .await?,
    )?;
    indexes.sort_unstable_by_key(|index| index.oid);
    let mut progress = Progress::default();
    for row in session.rows(queries::PROGRESS.on(version_num), &[]).await? {
        let work = Work {
            pid: column(&row, "pid").unwrap_or(0),
            table_oid: column(&row, "table_oid"),
        };
        match column::<String>(&row, "kind").as_deref() {
            Some("vacuum") => progress.vacuuming.push(work),
            _ => progress.building.push(work),
        }
    }
    Ok(Counters {
        tables,
        indexes,
        progress,
    })
}

fn tables(arrays: &Arrays) -> Result<Vec<TableCounters>, PostgresError> {
    let mut oids = arrays.values(0)?;
    let (mut scans, mut live_rows, mut dead_rows) = (arrays.values(1)?, arrays.values(2)?, arrays.values(3)?);
    let mut written = arrays.values(4)?;
    let (mut last_vacuums_at, mut rows_were_counted) = (arrays.values(5)?, arrays.values(6)?);
    let table = || {
        Some(TableCounters {
            oid: oids.next()?,
            scans: scans.next()?,
            live_rows: live_rows.next()?,
            dead_rows: dead_rows.next()?,
            written: written.next()?,
            last_vacuum_at: last_vacuums_at.next()?,
            rows_were_counted: rows_were_counted.next()?,
        })
    };
    Ok(std::iter::from_fn(table).collect())
}

fn indexes(arrays: &Arrays) -> Result<Vec<IndexCounters>, PostgresError> {
    let (mut oids, mut scans, mut last_scans_at) = (arrays.values(0)?, arrays.values(1)?, arrays.values(2)?);
    let index = || {
        Some(IndexCounters {
            oid: oids.next()?,
            scans: scans.next()?,
            last_scan_at: last_scans_at.next()?,
        })
    };
    Ok(std::iter::from_fn(index).collect())
}
