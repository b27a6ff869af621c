//! What rules judge: differences over known windows, and facts. Made by `observe` from snapshots.

mod database;
mod statements;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::finding::Window;
use super::history::WaitKey;
use super::replication::{Replication, WatchedPrimary, WatchedStandbys};
use super::session::{PreparedTransaction, Session};
use super::snapshot::ServerFacts;
use super::status::Gap;

pub use database::{
    DatabaseObservation, IndexObservation, MaterializedViewObservation, Refreshing, SchemaObservation,
    TableActivity, TableDelta, TableObservation,
};
pub use statements::{Lately, StatementActivity, StatementDelta, ToldAsRare};

/// One server, ready to be judged.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Now, by the server's clock. The only clock that a rule knows.
    pub now: DateTime<Utc>,
    /// The server as a whole.
    pub server: ServerFacts,
    /// How fast transaction ids are used, if two looks are far enough apart to tell.
    pub transaction_ids_per_second: Option<f64>,
    /// What statements did over a window, or why that is not known.
    pub statements: Result<StatementActivity, Unknown>,
    /// Entries of pg_stat_statements that were read; none where they could not be.
    pub statement_entries: Option<usize>,
    /// Statements of which people hear by query.heavy_rare; whoever knows the settings puts them in.
    pub told_as_rare: Vec<ToldAsRare>,
    /// Settings of which nobody hears what vacuum.autovacuum_off finds, by name: it is switched off for them, or ignored.
    /// Whoever knows the settings of rules puts them in.
    pub autovacuum_untold: BTreeSet<String>,
    /// Since when somebody holds row versions back of whom people hear by vacuum.xmin_blocked, by database; whoever knows the
    /// settings puts them in.
    pub told_as_held_back: BTreeMap<String, DateTime<Utc>>,
    /// What sessions do just now, or why that is not known.
    pub sessions: Result<Vec<Session>, Unknown>,
    /// What sessions were doing whenever they were sampled, or why that is not known.
    pub waits: Result<Waits, Unknown>,
    /// statement_ids of statements that some session sent with a pattern that begins with a wildcard.
    pub leading_wildcards: HashSet<String>,
    /// Prepared transactions, or why they are not known.
    pub prepared_transactions: Result<Vec<PreparedTransaction>, Unknown>,
    /// Slots and standbys, or why they are not known.
    pub replication: Result<Replication, Unknown>,
    /// The primary of this standby, if exactly one is watched and was seen of late.
    pub primary: Option<WatchedPrimary>,
    /// Since when it is the primary, where it was a standby before: what was counted until then is not of a primary's statements.
    pub primary_since: Option<DateTime<Utc>>,
    /// How databases found their blocks, over the last day or less.
    pub block_reads: Vec<BlockReads>,
    /// Standbys of this primary that are watched, too: how they use indexes is taken in.
    pub standbys_watched: WatchedStandbys,
    /// What the advisor itself costs the server; none where that is not measured, as in one look.
    pub own_cost: Option<OwnCost>,
    /// Each database that could be visited.
    pub databases: Vec<DatabaseObservation>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
    /// Whether this is one look alone, as in `check`: nothing can have lasted.
    pub single_look: bool,
}

impl Observation {
    /// How many receive WAL from this server, or from a standby of it that is watched, and are not watched: how they use
    /// indexes nobody knows.
    pub fn standbys_unwatched(&self) -> usize {
        let watched = &self.standbys_watched;
        let receivers = usize::try_from(self.server.standbys).unwrap_or(0) + watched.receivers;
        receivers.saturating_sub(watched.streaming)
    }

    /// Since when the relations of each database are counted, where that is known.
    pub fn counters_since(&self) -> BTreeMap<String, DateTime<Utc>> {
        let databases = self.databases.iter();
        databases
            .filter_map(|database| Some((database.name.clone(), database.counters_since?)))
            .collect()
    }
}

/// What the advisor itself costs a server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnCost {
    /// Seconds of its sessions in the last hour ÷ max(database time, one core).
    pub ratio: f64,
    /// Seconds of its sessions in the last hour.
    pub seconds_last_hour: f64,
    /// How much of that hour was measured, in seconds: all of it, or since the first look.
    pub measured_seconds: f64,
    /// The longest question of the last look: the name of its file, and seconds.
    pub slowest_question: Option<(String, f64)>,
    /// The family of questions that cost most in the last hour, and its seconds.
    pub costliest_family: Option<(String, f64)>,
    /// How far apart looks are, after slowing down.
    pub looks: Cadence,
    /// How far apart names, definitions and designs are read.
    pub names: Cadence,
    /// How far apart samples of sessions are; none where nobody takes any.
    pub sampling: Option<Cadence>,
    /// What it may cost.
    pub budget_ratio: f64,
}

impl OwnCost {
    /// The first looks fetch what later ones need not: a share of less time than this would say nothing.
    pub const LEAST_SECONDS: f64 = 600.0;

    /// The seconds that it is a share of: what was measured, and ten minutes at first.
    pub fn base_seconds(&self) -> f64 {
        self.measured_seconds.max(Self::LEAST_SECONDS)
    }

    /// What it comes to in a longer time, if it goes on like that, in seconds.
    pub fn in_seconds(&self, own_seconds: f64, of_seconds: f64) -> f64 {
        own_seconds / self.base_seconds() * of_seconds
    }
}

/// How far apart questions are now, and as configured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Cadence {
    pub every_seconds: f64,
    pub usual_seconds: f64,
}

impl Cadence {
    /// As configured.
    pub fn usual(seconds: f64) -> Self {
        Self {
            every_seconds: seconds,
            usual_seconds: seconds,
        }
    }

    /// Whether questions are further apart than configured.
    pub fn is_stretched(&self) -> bool {
        self.every_seconds > self.usual_seconds
    }
}

/// What samples of sessions saw over a window. A session that was seen in two samples counts twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Waits {
    /// The window.
    pub window: Window,
    /// How many samples were taken in it.
    pub samples: u64,
    /// For how many seconds of the window these samples stand: where nobody sampled it has gaps.
    pub sampled_seconds: f64,
    /// Sessions in samples of which the login did not see what they do.
    pub hidden_sessions: u64,
    /// Sessions in samples that executed something, by what they did, in the order of the keys.
    pub seen: Vec<(WaitKey, u64)>,
    /// Those of the last minutes alone, by their event.
    pub seen_lately: BTreeMap<String, u64>,
    /// How many samples were taken in these minutes.
    pub samples_lately: u64,
}

impl Waits {
    /// All sessions in samples that executed something.
    pub fn sessions(&self) -> u64 {
        self.seen.iter().map(|(_, sessions)| sessions).sum()
    }

    /// Of the sessions in samples of the last minutes, the part that was seen by an event, 0 to 1; none where nobody sampled.
    pub fn share_lately(&self, event: &str) -> Option<f64> {
        let all: u64 = self.seen_lately.values().sum();
        let by_event = self.seen_lately.get(event).copied().unwrap_or(0);
        (self.samples_lately > 0).then(|| by_event as f64 / all.max(1) as f64)
    }

    /// Average sessions executing.
    pub fn load_sessions(&self) -> f64 {
        self.sessions() as f64 / self.samples.max(1) as f64
    }

    /// For how many seconds of a session one that was seen in a sample stands.
    pub fn sample_seconds(&self) -> f64 {
        self.sampled_seconds / self.samples.max(1) as f64
    }
}

/// How a database found the blocks that it needed, over a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct BlockReads {
    pub database: String,
    pub window: Window,
    /// Found in shared_buffers.
    pub hit: i64,
    /// Asked of the operating system.
    pub read: i64,
}

/// Why a number is not known.
#[derive(Clone, Debug, PartialEq)]
pub struct Unknown {
    /// For people.
    pub reason: String,
    /// SQL that mends it, where SQL can.
    pub remedy_sql: Option<String>,
}

impl Unknown {
    /// An unknown that only time mends.
    pub fn because(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            remedy_sql: None,
        }
    }
}
