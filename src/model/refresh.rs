//! Materialized views and their refreshes: what is known, what was done.

mod memory;

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::remedy::qualified;

pub use memory::ViewMemory;

/// Which materialized view of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub struct ViewName {
    pub database: String,
    pub schema: String,
    pub name: String,
}

impl ViewName {
    /// `schema.name`, as the configuration writes it.
    pub fn in_database(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// The same as a statement names it, quoted where it has to be.
    pub fn sql(&self) -> String {
        qualified(&self.schema, &self.name)
    }
}

impl fmt::Display for ViewName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.database, self.schema, self.name)
    }
}

/// One row of pg_class, for a materialized view, and what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MaterializedView {
    /// Its OID: another one under the same name is another view.
    pub oid: u32,
    /// Its database, schema and name.
    pub name: ViewName,
    /// Its owner's name.
    pub owner: String,
    /// Whether it can be read at all.
    pub is_populated: bool,
    /// Whether the login that looked may refresh it.
    pub may_refresh: bool,
    /// A unique index that REFRESH CONCURRENTLY can use.
    pub unique_index: Option<String>,
    /// Unique indexes that it cannot use, each with the reason.
    pub unusable_indexes: Vec<String>,
    /// What moves when it is refreshed.
    pub state: ViewState,
    /// Somebody holds a lock on it that a refresh needs.
    pub is_busy: bool,
    /// Since when, where that can be seen.
    pub busy_since: Option<DateTime<Utc>>,
    /// One of us is at it, on whatever machine.
    pub is_being_refreshed: bool,
    /// Scans by anybody since the counters began, refreshes included.
    pub scans: i64,
    /// When its row in the catalog was committed, with track_commit_timestamp.
    pub committed_at: Option<DateTime<Utc>>,
    /// As the catalog has it; 0 after a plain refresh, until it is analyzed.
    pub size_bytes: f64,
}

/// What moves when a view is refreshed. The row version moves each time, and by ALTER, GRANT and CREATE INDEX, too; the
/// file by a plain refresh alone, the counter by one CONCURRENTLY that changed something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewState {
    /// pg_class.xmin.
    pub version: String,
    /// pg_class.relfilenode.
    pub filenode: u32,
    /// n_tup_ins + n_tup_upd + n_tup_del.
    pub written: i64,
}

impl ViewState {
    /// Whether the view was refreshed between this state and a later one, as far as that is sure: VACUUM FULL moves the file,
    /// too, and GRANT the version, but neither writes rows.
    pub fn was_refreshed_until(&self, later: &Self) -> bool {
        self.version != later.version && later.written > self.written
    }

    /// Whether something happened until a later state of which it is not known yet whether it was a refresh.
    fn is_uncounted_at(&self, later: &Self) -> bool {
        self.version != later.version && later.written == self.written
    }
}

/// What tells whether one relation has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelationState {
    /// pg_class.xmin: definitions.
    pub version: String,
    /// pg_class.relfilenode: TRUNCATE and rewrites.
    pub filenode: u32,
    /// Rows inserted, updated, deleted since the counters began.
    pub written: i64,
}

/// Everything that a view reads, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// Since when the counters count: another one makes them incomparable.
    pub epoch: String,
    /// The version of the view's own definition.
    pub definition: String,
    /// Each table, partition and materialized view, by OID.
    pub relations: BTreeMap<u32, RelationState>,
}

/// What pg_stat_statements counted of one statement, all its runs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Counted {
    pub query_id: i64,
    pub calls: i64,
    pub wal_bytes: f64,
    pub temp_bytes: f64,
}

impl Counted {
    /// What the last run wrote, WAL and temporary files, if it was the only one since the count before.
    pub fn last_run(&self, before: Option<&Self>) -> Option<(f64, f64)> {
        let nothing = Self::default();
        let before = match self.calls {
            // counting may have ended since
            1 if before == Some(self) => return None,
            1 => &nothing,
            calls => before.filter(|before| before.query_id == self.query_id && before.calls + 1 == calls)?,
        };
        let (wal, temp) = (
            self.wal_bytes - before.wal_bytes,
            self.temp_bytes - before.temp_bytes,
        );
        (wal >= 0.0 && temp >= 0.0).then_some((wal, temp))
    }
}

/// How a refresh is or was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Mode {
    Concurrently,
    Plain,
}

impl Mode {
    /// As a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Concurrently => "concurrently",
            Self::Plain => "plain",
        }
    }
}

/// What became of a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Outcome {
    /// It is to be made, or is being made.
    Planned,
    Refreshed,
    Skipped,
    AlreadyRunning,
    Failed,
    Cancelled,
    BlockedByFailure,
}

impl Outcome {
    /// As a word of the contract.
    pub fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Refreshed => "refreshed",
            Self::Skipped => "skipped",
            Self::AlreadyRunning => "already_running",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::BlockedByFailure => "blocked_by_failure",
        }
    }

    /// Whether whoever asked for it should know.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Cancelled | Self::BlockedByFailure)
    }
}

/// One refresh, or why there was none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Which view.
    pub view: ViewName,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it ran, or why not.
    pub reason: String,
    /// How it was made.
    pub mode: Option<Mode>,
    /// The moment at which it was due; none if somebody asked for it.
    pub due_at: Option<DateTime<Utc>>,
    /// When it started, by the server's clock.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was over, or when this was written.
    pub ended_at: DateTime<Utc>,
    /// How long the server took, waiting included.
    pub elapsed_seconds: Option<f64>,
    /// How long it waited for locks.
    pub waited_seconds: Option<f64>,
    /// Session-seconds that others waited for the view meanwhile.
    pub held_up_seconds: Option<f64>,
    /// Rows of the view afterwards, as the statistics estimate.
    pub rows: Option<i64>,
    /// The view with its indexes afterwards.
    pub size_bytes: Option<f64>,
    /// WAL that it wrote, where pg_stat_statements tells it of this run alone.
    #[serde(default)]
    pub wal_bytes: Option<f64>,
    /// What it wrote to temporary files, where that is told.
    #[serde(default)]
    pub temp_bytes: Option<f64>,
    /// SQLSTATE of what went wrong.
    pub sqlstate: Option<String>,
    /// What the server said.
    pub message: Option<String>,
    /// How many times in a row nothing was done for this reason; 1 for a run.
    pub times: u32,
    /// When the first of these times was, where there were several.
    #[serde(default)]
    pub since: Option<DateTime<Utc>>,
    /// Nothing was done since nothing that the view reads had changed: its data were as if they were new.
    #[serde(default)]
    pub is_unchanged: bool,
}

impl Run {
    /// One of which no more is known than this.
    pub fn of(view: &ViewName, outcome: Outcome, reason: impl Into<String>, ended_at: DateTime<Utc>) -> Self {
        Self {
            view: view.clone(),
            outcome,
            reason: reason.into(),
            mode: None,
            due_at: None,
            started_at: None,
            ended_at,
            elapsed_seconds: None,
            waited_seconds: None,
            held_up_seconds: None,
            rows: None,
            size_bytes: None,
            wal_bytes: None,
            temp_bytes: None,
            sqlstate: None,
            message: None,
            times: 1,
            since: None,
            is_unchanged: false,
        }
    }
}

/// What refreshers of several machines keep of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// Every due moment is refreshed once, by the table of runs.
    ExactlyOnce,
    /// No view is refreshed twice at the same time.
    NeverOverlapping,
}

/// What a person asks for on a page or by the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum RefreshAction {
    Refresh,
    Pause,
    Resume,
}

impl RefreshAction {
    /// The word that addresses and the store use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }

    /// The action of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Refresh, Self::Pause, Self::Resume]
            .into_iter()
            .find(|action| action.word() == word)
    }
}

/// A view on the pages and in the API: what holds now, in words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ViewStatus {
    /// Which view.
    pub view: ViewName,
    /// Whether it is there; one that is configured by its whole name and missing is shown until it comes.
    pub exists: bool,
    /// Whether it can be read at all.
    pub is_populated: bool,
    /// When it is due, in the configuration's words; none if nothing there is about it.
    pub schedule: Option<String>,
    /// The promise, in seconds.
    pub max_age_seconds: Option<f64>,
    /// From one due moment to the next, in seconds, where that is known.
    #[serde(default)]
    pub interval_seconds: Option<f64>,
    /// Its data are those of this moment or later.
    pub fresh_as_of: Option<DateTime<Utc>>,
    /// When it was last refreshed, by whomever.
    pub refreshed_at: Option<DateTime<Utc>>,
    /// Whether that was not by us.
    pub refreshed_by_others: bool,
    /// When it is due next.
    pub next_due_at: Option<DateTime<Utc>>,
    /// What that waits for, if it is due already.
    pub waits_for: Option<String>,
    /// How it would be refreshed now, or why it cannot be.
    pub how: String,
    /// Whether it can be refreshed at all as it is.
    pub can_refresh: bool,
    /// A person paused it.
    pub is_paused: bool,
    /// `schema.name` of the materialized views that it reads.
    pub depends_on: Vec<String>,
    /// `schema.name` of the tables that it reads, through views and partitions.
    pub tables: Vec<String>,
    /// Why it is never left as it is: what changes by itself, or is not seen through.
    pub never_unchanged: Vec<String>,
    /// Its size.
    pub size_bytes: Option<f64>,
    /// A unique index that REFRESH CONCURRENTLY can use.
    pub unique_index: Option<String>,
    /// Whether somebody is known to read it; none if that is not known yet.
    pub has_readers: Option<bool>,
    /// When somebody was last seen to have read it.
    #[serde(default)]
    pub read_at: Option<DateTime<Utc>>,
    /// Since when it is known whether somebody reads it.
    #[serde(default)]
    pub readers_watched_since: Option<DateTime<Utc>>,
    /// Which promise holds: `exactly_once` with the table of runs, else `never_overlapping`.
    pub promise: Promise,
    /// Why not the better one, where the table of runs is there and cannot be used.
    pub why_no_record: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_run_wrote_is_told_only_of_a_run_that_was_counted_alone() {
        let counted = |query_id, calls, wal_bytes| Counted {
            query_id,
            calls,
            wal_bytes,
            temp_bytes: 0.0,
        };
        let before = counted(7, 4, 100.0);
        let wal = |now: Counted, before: Option<&Counted>| now.last_run(before).map(|(wal, _)| wal);
        assert_eq!(wal(counted(7, 1, 30.0), None), Some(30.0), "the first one");
        assert_eq!(
            wal(counted(7, 1, 30.0), Some(&before)),
            Some(30.0),
            "after a reset"
        );
        let first = counted(7, 1, 30.0);
        assert_eq!(wal(first, Some(&first)), None, "nothing was counted any more");
        assert_eq!(wal(counted(7, 5, 130.0), Some(&before)), Some(30.0));
        assert_eq!(
            wal(counted(7, 6, 130.0), Some(&before)),
            None,
            "somebody else ran it, too"
        );
        assert_eq!(wal(counted(7, 5, 130.0), None), None);
        assert_eq!(
            wal(counted(8, 5, 130.0), Some(&before)),
            None,
            "another statement"
        );
        assert_eq!(
            wal(counted(7, 5, 30.0), Some(&before)),
            None,
            "reset and run as often"
        );
    }
}
