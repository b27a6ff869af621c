//! Columns of answers, and what several rooms read from a row in the same way.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::FromSqlOwned;

use super::error::PostgresError;
use super::queries;
use super::session::Observe;
use crate::limits;
use crate::model::refresh::{MaterializedView, RelationState, ViewName, ViewState};
use crate::model::snapshot::DatabaseFacts;

/// A column of a row; a wrong type is an error of ours which the tests of every variant find, and a name that is not UTF-8
/// is somebody else's: both read as absent.
pub fn column<T: FromSqlOwned>(row: &Row, name: &str) -> Option<T> {
    row.try_get::<_, Option<T>>(name).ok().flatten()
}

/// A column of a row, or the default of its type where it is absent.
pub fn column_or_default<T: FromSqlOwned + Default>(row: &Row, name: &str) -> T {
    column(row, name).unwrap_or_default()
}

/// What moves when a materialized view is refreshed, from the columns version, filenode, written.
pub fn view_state(row: &Row) -> ViewState {
    ViewState {
        version: column_or_default(row, "version"),
        filenode: column_or_default(row, "filenode"),
        written: column_or_default(row, "written"),
    }
}

/// What tells whether a relation has changed, from the same columns.
pub fn relation_state(row: &Row) -> RelationState {
    RelationState {
        version: column_or_default(row, "version"),
        filenode: column_or_default(row, "filenode"),
        written: column_or_default(row, "written"),
    }
}

impl Observe {
    /// All databases of the server, by name.
    ///
    /// # Errors
    /// If the server refuses or does not answer.
    pub async fn databases(&self) -> Result<Vec<DatabaseFacts>, PostgresError> {
        let rows = self.rows(queries::DATABASES.on(0), &[]).await?;
        let database = |row: &Row| DatabaseFacts {
            oid: column_or_default(row, "oid"),
            name: column_or_default(row, "name"),
            allows_connections: column_or_default(row, "allows_connections"),
            may_connect: column(row, "may_connect").unwrap_or(true),
            is_template: column_or_default(row, "is_template"),
            frozen_xid_age: column_or_default(row, "frozen_xid_age"),
            statistics_reset_at: column(row, "statistics_reset_at"),
            blocks_hit: column_or_default(row, "blocks_hit"),
            blocks_read: column_or_default(row, "blocks_read"),
        };
        Ok(rows.iter().map(database).collect())
    }

    /// All materialized views of the session's database, by name.
    ///
    /// # Errors
    /// If the server refuses or does not answer.
    pub async fn materialized_views(&self, version_num: i32) -> Result<Vec<MaterializedView>, PostgresError> {
        let locks: HashMap<u32, Locks> = self
            .rows(queries::REFRESH_LOCKS, &[])
            .await?
            .iter()
            .map(|row| (column_or_default(row, "oid"), Locks::of(row)))
            .collect();
        let limit = (limits::MATERIALIZED_VIEWS_PER_DATABASE, 0);
        self.bounded(queries::REFRESH_VIEWS.on(version_num), limit, |row| {
            materialized_view(row, &locks)
        })
        .await
    }
}

/// Who is at a view.
#[derive(Clone, Default)]
struct Locks {
    is_busy: bool,
    busy_since: Option<DateTime<Utc>>,
    is_being_refreshed: bool,
}

impl Locks {
    fn of(row: &Row) -> Self {
        Self {
            is_busy: column_or_default(row, "is_busy"),
            busy_since: column(row, "busy_since"),
            is_being_refreshed: column_or_default(row, "is_being_refreshed"),
        }
    }
}

fn materialized_view(row: &Row, locks: &HashMap<u32, Locks>) -> MaterializedView {
    let oid = column_or_default(row, "oid");
    let locks = locks.get(&oid).cloned().unwrap_or_default();
    MaterializedView {
        oid,
        name: ViewName {
            database: column_or_default(row, "database"),
            schema: column_or_default(row, "schema"),
            name: column_or_default(row, "name"),
        },
        owner: column_or_default(row, "owner"),
        is_populated: column_or_default(row, "is_populated"),
        may_refresh: column_or_default(row, "may_refresh"),
        unique_index: column(row, "unique_index"),
        unusable_indexes: column_or_default(row, "unusable_indexes"),
        state: view_state(row),
        is_busy: locks.is_busy,
        busy_since: locks.busy_since,
        is_being_refreshed: locks.is_being_refreshed,
        scans: column_or_default(row, "scans"),
        committed_at: column(row, "committed_at"),
        size_bytes: column_or_default(row, "size_bytes"),
    }
}
