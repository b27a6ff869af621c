//! Replication at one moment: slots, the standbys of a primary, and how a standby itself keeps up.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limits;

/// What a server knows of replication.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Replication {
    /// pg_replication_slots.
    pub slots: Vec<ReplicationSlot>,
    /// pg_stat_replication: standbys and other consumers that are connected.
    pub standbys: Vec<Standby>,
    /// How this server itself keeps up, where it is a standby.
    pub replay: Option<Replay>,
    /// Bytes of WAL since the beginning of its cluster: written on a primary, received or restored on a standby.
    #[serde(default)]
    pub wal_position_bytes: Option<f64>,
}

/// One row of pg_replication_slots.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ReplicationSlot {
    pub name: String,
    pub is_logical: bool,
    pub plugin: Option<String>,
    pub database: Option<String>,
    pub is_active: bool,
    /// WAL that it keeps from being removed; `None` where it keeps none yet.
    pub retained_bytes: Option<f64>,
    /// `reserved`, `extended`, `unreserved`, `lost`.
    pub wal_status: Option<String>,
    /// WAL that can still be written before it may be lost; `None` where there is no such limit.
    pub safe_wal_bytes: Option<f64>,
    /// Since when nobody is connected: as the server says from 17 on, else since our own looks have seen it so.
    pub inactive_since: Option<DateTime<Utc>>,
}

/// One row of pg_stat_replication.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub struct Standby {
    /// Its application_name, which is the standby's name.
    pub name: String,
    pub address: Option<String>,
    pub role: Option<String>,
    /// `streaming`, `catchup`, `backup`, …
    pub state: Option<String>,
    pub sync_state: Option<String>,
    /// WAL written here that it has not replayed.
    pub replay_lag_bytes: Option<f64>,
    pub write_lag_seconds: Option<f64>,
    pub flush_lag_seconds: Option<f64>,
    pub replay_lag_seconds: Option<f64>,
}

/// How a standby keeps up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Replay {
    /// Whether it receives WAL just now.
    pub is_streaming: bool,
    /// WAL that was received and not replayed.
    pub unreplayed_bytes: Option<f64>,
    /// Since the commit that was replayed last. On an idle primary it grows although nothing is behind.
    pub since_last_commit_seconds: Option<f64>,
    /// recovery_min_apply_delay: behind on purpose.
    pub delay_seconds: f64,
    /// Whether somebody paused its replay, or a recovery target was reached.
    #[serde(default)]
    pub is_paused: bool,
    /// Whether it has a recovery target: replay that is resumed there ends recovery; null where that is not known.
    #[serde(default)]
    pub has_recovery_target: Option<bool>,
    /// Whether it has a restore_command, with which it need not receive WAL; null where that is not known.
    #[serde(default)]
    pub restores_from_archive: Option<bool>,
    /// wal_segment_size: what an archive does not hold yet while all is well.
    #[serde(default)]
    pub segment_bytes: Option<f64>,
}

impl Replay {
    /// Whether it follows its primary: it receives WAL, or restores what was archived of late. A copy that was restored and
    /// stands still has the system identifier of the primary, too.
    pub fn keeps_up(&self) -> bool {
        let behind = self
            .since_last_commit_seconds
            .map(|seconds| seconds - self.delay_seconds);
        let restores = self.restores_from_archive == Some(true)
            && !self.is_paused
            && behind.is_some_and(|behind| behind <= limits::STANDBY_SEEN_WITHIN.as_secs_f64());
        self.is_streaming || restores
    }
}

/// The standbys of a primary that are watched, too, and keep up with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WatchedStandbys {
    /// Their configured names, each server once.
    pub names: Vec<String>,
    /// How many of them stream, from the primary or from one another; the others restore from an archive.
    pub streaming: usize,
    /// The names of those whose replay is paused.
    pub paused: Vec<String>,
    /// Connections to them over which others receive WAL in turn.
    pub receivers: usize,
    /// How many others belong to the primary, and cannot be seen now or stand still: of those only what they knew counts.
    pub unseen: usize,
    /// The names of those that do not know, for some index, how often it was scanned in the time that the primary counts.
    pub uncounted: Vec<String>,
}

/// The primary of a standby, as it was seen at its own last look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WatchedPrimary {
    /// Its configured name.
    pub name: String,
    /// Bytes of WAL that it had written then, since the beginning of its cluster.
    pub wal_position_bytes: Option<f64>,
}
