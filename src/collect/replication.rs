//! Slots, standbys, and how a standby itself keeps up.

use std::time::Instant;

use tokio_postgres::Row;

use super::Notes;
use crate::model::provider::Provider;
use crate::model::replication::{Replay, Replication, ReplicationSlot, Standby};
use crate::model::snapshot::ServerFacts;
use crate::postgres::{Observe, PostgresError, column, column_or_default, queries};

/// Reads all of it.
///
/// # Errors
/// Only if the session is lost; everything else is a gap.
pub async fn look(
    home: &Observe,
    facts: &ServerFacts,
    notes: &mut Notes,
) -> Result<Option<Replication>, PostgresError> {
    let started = Instant::now();
    match read(home, facts).await {
        Ok(replication) => {
            let rows = replication.slots.len() + replication.standbys.len();
            notes.look("replication", None, started, rows, None);
            Ok(Some(replication))
        }
        Err(error) if error.is_fatal() => Err(error),
        Err(error) => {
            notes.look("replication", None, started, 0, Some(error.one_line()));
            notes.gap("replication", None, error.one_line(), None).rules = vec!["replication.*".to_owned()];
            Ok(None)
        }
    }
}

async fn read(home: &Observe, facts: &ServerFacts) -> Result<Replication, PostgresError> {
    let version_num = facts.version_num;
    let slots = home.rows(queries::REPLICATION_SLOTS.on(version_num), &[]).await?;
    let standbys = home.rows(queries::STANDBYS.on(version_num), &[]).await?;
    let replay = home.rows(queries::REPLAY.on(version_num), &[]).await?;
    let position = match replay.first() {
        Some(row) => column(row, "wal_position_bytes"),
        None => position(home, facts).await?,
    };
    Ok(Replication {
        slots: slots.iter().map(slot).collect(),
        standbys: standbys.iter().map(standby).collect(),
        wal_position_bytes: position,
        replay: replay.first().map(|row| Replay {
            is_streaming: column_or_default(row, "is_streaming"),
            is_paused: column_or_default(row, "is_paused"),
            has_recovery_target: column(row, "has_recovery_target"),
            unreplayed_bytes: column(row, "unreplayed_bytes"),
            since_last_commit_seconds: column(row, "since_last_commit_seconds"),
            delay_seconds: column_or_default(row, "delay_seconds"),
            restores_from_archive: column(row, "restores_from_archive"),
            segment_bytes: column(row, "segment_bytes"),
        }),
    })
}

/// Where a primary stands: not worth losing its slots and standbys for, if it does not tell.
async fn position(home: &Observe, facts: &ServerFacts) -> Result<Option<f64>, PostgresError> {
    if facts.provider() == Some(Provider::Aurora) {
        return Ok(None);
    }
    let query = queries::WAL_POSITION.on(facts.version_num);
    match home.rows(query, &[]).await {
        Ok(rows) => Ok(rows.first().and_then(|row| column(row, "wal_position_bytes"))),
        Err(error) if error.is_fatal() => Err(error),
        Err(_) => Ok(None),
    }
}

fn slot(row: &Row) -> ReplicationSlot {
    ReplicationSlot {
        name: column_or_default(row, "name"),
        is_logical: column_or_default(row, "is_logical"),
        plugin: column(row, "plugin"),
        database: column(row, "database"),
        is_active: column_or_default(row, "is_active"),
        retained_bytes: column(row, "retained_bytes"),
        wal_status: column(row, "wal_status"),
        safe_wal_bytes: column(row, "safe_wal_bytes"),
        inactive_since: column(row, "inactive_since"),
    }
}

fn standby(row: &Row) -> Standby {
    Standby {
        name: column_or_default(row, "name"),
        address: column(row, "address"),
        role: column(row, "role"),
        state: column(row, "state"),
        sync_state: column(row, "sync_state"),
        replay_lag_bytes: column(row, "replay_lag_bytes"),
        write_lag_seconds: column(row, "write_lag_seconds"),
        flush_lag_seconds: column(row, "flush_lag_seconds"),
        replay_lag_seconds: column(row, "replay_lag_seconds"),
    }
}
