//! Counters of tables and indexes of one database, and what runs on them just now.

use tokio_postgres::types::Type;

use super::column;
use crate::limits;
use crate::model::snapshot::{IndexCounters, Progress, TableCounters, Work};
use crate::postgres::{Observe, PostgresError, queries};

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
    let limit = limits::RELATIONS_PER_DATABASE as i64;
    let tables = session
        .rows(queries::TABLE_COUNTERS.on(version_num), &[(&limit, Type::INT8)])
        .await?;
    let tables = tables
        .iter()
        .map(|row| TableCounters {
            oid: row.get(0),
            scans: row.get(1),
            live_rows: row.get(2),
            dead_rows: row.get(3),
            last_vacuum_at: row.get(4),
            rows_were_counted: row.get(5),
        })
        .collect();
    let indexes = session
        .rows(queries::INDEX_COUNTERS.on(version_num), &[(&limit, Type::INT8)])
        .await?;
    let indexes = indexes
        .iter()
        .map(|row| IndexCounters {
            oid: row.get(0),
            scans: row.get(1),
            last_scan_at: row.get(2),
        })
        .collect();
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
