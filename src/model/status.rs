//! What the advisor knows about its own work: looks, gaps, load and cost. Shown on the status page.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::own_planning;
use super::replication::{Replay, Standby};

/// What is told where index advice was not worked out again when it was to be: nothing is missing, but it is old.
pub const LATE_ADVICE: &str = "index advice";

/// A fact that could not be read. Absent is never zero: a rule that needs it is skipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Gap {
    /// What is missing, in a few words: `pg_stat_statements`.
    pub fact: String,
    /// The database where it is missing; null for the whole server.
    pub database: Option<String>,
    /// Why, with what the server said.
    pub why: String,
    /// SQL that mends it, where SQL can.
    pub remedy_sql: Option<String>,
    /// The privilege and its object, where a missing privilege is the cause: what `advisor.privilege_gap` reports.
    pub missing_privilege: Option<String>,
    /// Rules that cannot be judged without it.
    pub rules: Vec<String>,
}

impl Gap {
    /// Whether nothing is missing, and it tells what planning by the advisor leaves behind.
    pub fn is_left_behind(&self) -> bool {
        own_planning::LEFT_BEHIND.contains(&self.fact.as_str())
    }
}

/// The last look at one family of facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Look {
    /// The server's configured name.
    pub server: String,
    /// `statements`, `relations`, `catalog`, `server`.
    pub family: String,
    /// The database, where the family is read database by database.
    pub database: Option<String>,
    /// When it was taken, by the advisor's clock.
    pub at: DateTime<Utc>,
    /// How long the server took.
    pub elapsed_seconds: f64,
    /// How many rows came.
    pub rows: u64,
    /// What went wrong, in one line.
    pub error: Option<String>,
}

/// One running server. Its standbys and its copies have its system identifier, too, but none of them started in the same
/// microsecond.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunningServer {
    /// The 64-bit identifier that it shares with its standbys.
    pub system_identifier: String,
    /// Which history of its cluster it writes; null of a standby, and where it is not told.
    pub timeline: Option<i64>,
    /// Whether it is in recovery.
    pub is_standby: bool,
    /// When its postmaster started.
    pub started_at: DateTime<Utc>,
}

impl RunningServer {
    /// Whether both are the same one. Of a history that only one of the two logins may read nothing is concluded.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let timelines = self.timeline.zip(other.timeline);
        self.system_identifier == other.system_identifier
            && self.started_at == other.started_at
            && self.is_standby == other.is_standby
            && timelines.is_none_or(|(one, other)| one == other)
    }
}

/// What is known of a server as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServerStatus {
    /// The configured name.
    pub name: String,
    /// `server_version_num`, as 150018; null before the first look.
    pub version_num: Option<i32>,
    /// The 64-bit identifier that a server shares with its standbys; null where it may not be read.
    pub system_identifier: Option<String>,
    /// Whether it is in recovery.
    pub is_standby: Option<bool>,
    /// Its databases that are watched.
    pub databases: Vec<String>,
    /// When the server was last seen; null if never.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Why it cannot be seen now; null when it can.
    pub unreachable: Option<String>,
    /// Seconds of server time that the advisor's own statements took in the last hour.
    pub own_seconds_last_hour: f64,
    /// The same divided by the larger of the database time and one core.
    pub own_cost_ratio: f64,
    /// Seconds of execution that pg_stat_statements counted for marked statements of ours in the last hour, whoever sent
    /// them; null where that is not known.
    #[serde(default)]
    pub own_entries_seconds_last_hour: Option<f64>,
    /// The same cost by what was asked, costliest first.
    #[serde(default)]
    pub families: Vec<FamilyCost>,
    /// What it knew of replication at the last look; null where that could not be read.
    #[serde(default)]
    pub replication: Option<ReplicationStatus>,
    /// Which running server it was at the last look; null where its system identifier may not be read.
    #[serde(default)]
    pub running: Option<RunningServer>,
    /// The name, before this one in the configuration, under which the same running server is watched and told of; null
    /// where all is told under this one.
    #[serde(default)]
    pub told_by: Option<String>,
    /// Since when the tables and indexes of each of its databases are counted, as of the last look; without those of which
    /// that is not known.
    #[serde(default)]
    pub counters_since: BTreeMap<String, DateTime<Utc>>,
}

impl ServerStatus {
    /// Of a server that no look has come back from.
    pub fn unseen(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version_num: None,
            system_identifier: None,
            is_standby: None,
            databases: Vec::new(),
            last_seen_at: None,
            unreachable: None,
            own_seconds_last_hour: 0.0,
            own_cost_ratio: 0.0,
            own_entries_seconds_last_hour: None,
            families: Vec::new(),
            replication: None,
            running: None,
            told_by: None,
            counters_since: Default::default(),
        }
    }

    /// Whether both are one running server under two names.
    pub fn is_same_server(&self, other: &Self) -> bool {
        let both = self.running.as_ref().zip(other.running.as_ref());
        both.is_some_and(|(one, other)| one.is_same_as(other))
    }

    /// Every name under which its running server is reached, first the one under which it is told of; empty where there is
    /// no other name.
    pub fn names<'a>(&self, all: impl IntoIterator<Item = &'a Self>) -> Vec<String> {
        let all = all.into_iter();
        let mut same: Vec<&Self> = all.filter(|other| self.is_same_server(other)).collect();
        same.sort_by_key(|status| status.told_by.is_some());
        match same.len() {
            0 | 1 => Vec::new(),
            _ => same.into_iter().map(|status| status.name.clone()).collect(),
        }
    }
}

/// What a server knew of replication when it was last seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicationStatus {
    /// How it keeps up, where it is a standby.
    pub replay: Option<Replay>,
    /// Standbys and other receivers that were connected to it.
    pub standbys: Vec<Standby>,
    /// Bytes of WAL since the beginning of its cluster: written on a primary, received or restored on a standby; null where
    /// that is not known.
    #[serde(default)]
    pub wal_position_bytes: Option<f64>,
}

/// What one family of questions costs a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FamilyCost {
    /// `statements`, `relations`, `catalog`, `advice`.
    pub family: String,
    /// Seconds that the server took for it in the last hour, as seen by our sessions.
    pub seconds_last_hour: f64,
    /// The same as a share of what the advisor may cost in that time: 1 is all of the budget.
    pub budget_share: f64,
    /// How far apart its questions are now; null where it has no cadence that the budget decides.
    pub every_seconds: Option<f64>,
    /// How far apart they are as configured.
    pub usual_every_seconds: Option<f64>,
}

impl FamilyCost {
    /// Whether it is asked more seldom than configured.
    pub fn is_stretched(&self) -> bool {
        matches!((self.every_seconds, self.usual_every_seconds), (Some(now), Some(usual)) if now > usual)
    }
}

/// How busy a server was between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LoadPoint {
    /// When the second look was taken.
    pub at: DateTime<Utc>,
    /// Average sessions executing statements: database seconds per second; null where it is not known.
    pub load_sessions: Option<f64>,
}

/// Calls that ended between two looks and were executing before the first of them, too: what they took is told where they ran.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EarlierLoad {
    /// So many sessions executed them.
    pub sessions: f64,
    /// For so long before that look.
    pub seconds: f64,
}

impl EarlierLoad {
    /// What they took before that look, in seconds of all of the sessions.
    pub fn session_seconds(&self) -> f64 {
        self.sessions * self.seconds
    }
}
