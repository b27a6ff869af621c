//! Counters of tables and indexes of one database, and what runs on them just now.

use tokio_postgres::Row;

use super::column;
use crate::limits;
use crate::model::snapshot::{Catalog, IndexCounters, Progress, TableCounters, Work};
use crate::postgres::{Observe, PostgresError, queries};

/// Counters of one database.
pub struct Counters {
    pub tables: Vec<TableCounters>,
    pub indexes: Vec<IndexCounters>,
    pub progress: Progress,
}

/// Reads all of it, about as much as is known.
///
/// # Errors
/// If the server refuses or does not answer.
pub async fn look(session: &Observe, version_num: i32, known: &Catalog) -> Result<Counters, PostgresError> {
    let limit = limits::RELATIONS_PER_DATABASE;
    let query = queries::TABLE_COUNTERS.on(version_num);
    let table = |row: &Row| TableCounters {
        oid: row.get(0),
        scans: row.get(1),
        live_rows: row.get(2),
        dead_rows: row.get(3),
        last_vacuum_at: row.get(4),
        rows_were_counted: row.get(5),
    };
    let mut tables = session
        .bounded(query, None, (limit, known.tables.len()), table)
        .await?;
    tables.sort_unstable_by_key(|table| table.oid);
    let query = queries::INDEX_COUNTERS.on(version_num);
    let index = |row: &Row| IndexCounters {
        oid: row.get(0),
        scans: row.get(1),
        last_scan_at: row.get(2),
    };
    let mut indexes = session
        .bounded(query, None, (limit, known.indexes.len()), index)
        .await?;
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
