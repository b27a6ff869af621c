//! What the session of a refresh asks before and after it, and what it writes beside it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tokio_postgres::types::{ToSql, Type};

use crate::model::refresh::{Counted, Inputs, Mode, RelationState, ViewState};
use crate::postgres::{
    Identifier, PostgresError, Refresh, Server, column, column_or_default, queries, relation_state,
    view_state,
};
use crate::refresh::plan::Step;

/// Takes the lock that all refreshers take, for as long as the transaction lasts; false if another one has it.
pub(super) async fn lock(session: &Refresh, step: &Step) -> Result<bool, PostgresError> {
    let key = step.oid.cast_signed();
    let rows = session.rows(queries::REFRESH_LOCK, &[(&key, Type::INT4)]).await?;
    Ok(rows.first().is_some_and(|row| column_or_default(row, "is_mine")))
}

/// A view as it is just now.
pub(super) struct Now {
    pub schema: String,
    pub name: String,
    pub state: ViewState,
    pub at: DateTime<Utc>,
    pub pid: i32,
    pub scans: i64,
    pub rows: Option<i64>,
}

pub(super) async fn state(session: &Refresh, oid: u32) -> Result<Option<Now>, PostgresError> {
    let rows = session.rows(queries::REFRESH_STATE, &[(&oid, Type::OID)]).await?;
    Ok(rows.first().map(|row| Now {
        schema: column_or_default(row, "schema"),
        name: column_or_default(row, "name"),
        state: view_state(row),
        at: column(row, "at").unwrap_or_else(Utc::now),
        pid: column_or_default(row, "pid"),
        scans: column_or_default(row, "scans"),
        rows: column(row, "rows"),
    }))
}

/// What the view reads, as it is now.
pub(super) async fn inputs(session: &Refresh, step: &Step) -> Result<Option<Inputs>, PostgresError> {
    let Some(reads) = &step.reads else { return Ok(None) };
    let rows = session
        .rows(queries::REFRESH_RELATIONS, &[(&reads.roots, Type::OID_ARRAY)])
        .await?;
    let relations: BTreeMap<u32, RelationState> = rows
        .iter()
        .map(|row| (column_or_default(row, "oid"), relation_state(row)))
        .collect();
    Ok(Some(Inputs {
        epoch: reads.epoch.clone(),
        definition: reads.definition.clone(),
        relations,
    }))
}

/// Takes the due moment in the table of runs, where there is one; false if it is taken.
pub(super) async fn take_moment(
    session: &Refresh,
    step: &Step,
    (at, mode): (DateTime<Utc>, Mode),
) -> Result<bool, PostgresError> {
    let Some(moment) = step.moment.filter(|_| step.uses_record) else {
        return Ok(true);
    };
    let mode = mode.word();
    let parameters: [(&(dyn ToSql + Sync), Type); 6] = [
        (&step.view.schema, Type::TEXT),
        (&step.view.name, Type::TEXT),
        (&moment, Type::TIMESTAMPTZ),
        (&at, Type::TIMESTAMPTZ),
        (&step.planned_at, Type::TIMESTAMPTZ),
        (&mode, Type::TEXT),
    ];
    let rows = session.rows(queries::REFRESH_CLAIM, &parameters).await?;
    Ok(!rows.is_empty())
}

/// What pg_stat_statements counted of the statement that refreshed the view; none where it is not installed in the database
/// of our connection settings, or does not track utility statements.
pub(super) async fn counted(server: &Server, step: &Step, mode: Mode) -> Option<Counted> {
    let home = server.observe_home().await.ok()?;
    let rows = home.rows(queries::EXTENSION.on(0), &[]).await.ok()?;
    let schema: String = column(rows.first()?, "schema")?;
    let query_id = step.counted.get(&mode).map(|counted| counted.query_id);
    let sql = step.sql();
    let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
        (&query_id, Type::INT8),
        (&sql, Type::TEXT),
        (&step.view.database, Type::TEXT),
    ];
    let schema = Identifier::new(schema);
    let rows = home
        .rows_in_schema(queries::REFRESH_COUNTED, &schema, &parameters)
        .await;
    let rows = rows.ok()?;
    let row = rows.first()?;
    Some(Counted {
        query_id: column(row, "query_id")?,
        calls: column_or_default(row, "calls"),
        wal_bytes: column_or_default(row, "wal_bytes"),
        temp_bytes: column_or_default(row, "temp_bytes"),
    })
}

/// The view and its size once its counters can be seen, and the end of its moment; it is refreshed whether this works or not.
pub(super) async fn afterwards(session: &Refresh, step: &Step) -> Option<(Now, Option<f64>)> {
    if let Some(moment) = step.moment.filter(|_| step.uses_record) {
        let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
            (&step.view.schema, Type::TEXT),
            (&step.view.name, Type::TEXT),
            (&moment, Type::TIMESTAMPTZ),
        ];
        for sql in [queries::REFRESH_CLAIM_END, queries::REFRESH_RECORD_PRUNE] {
            if let Err(error) = session.rows(sql, &parameters).await {
                tracing::warn!("the table of runs cannot be kept in order: {}", error.one_line());
            }
        }
    }
    // until 14 there is nothing to ask
    let _ = session.rows(queries::REFRESH_FLUSH, &[]).await;
    let now = state(session, step.oid).await.ok()??;
    let size = session
        .rows(queries::REFRESH_SIZE, &[(&step.oid, Type::OID)])
        .await
        .ok();
    let size = size.and_then(|rows| column(rows.first()?, "size_bytes"));
    Some((now, size))
}
