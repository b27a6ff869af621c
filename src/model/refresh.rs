//! Materialized views and their refreshes: what is known, what was done.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::remedy::qualified;
use crate::limits;

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

/// What is remembered of one view between its refreshes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ViewMemory {
    /// The OID of the view that all this is about.
    pub oid: u32,
    /// When it was first seen.
    pub first_seen_at: Option<DateTime<Utc>>,
    /// Its state when it was last looked at.
    pub state: ViewState,
    /// When that was.
    pub looked_at: Option<DateTime<Utc>>,
    /// Its data are those of this moment or later; none if that is not known.
    pub fresh_as_of: Option<DateTime<Utc>>,
    /// Of this moment was the oldest view that it was made from; none if it reads none whose age is known.
    pub made_from: Option<DateTime<Utc>>,
    /// When it was last refreshed by anybody; of others only when that was seen.
    pub refreshed_at: Option<DateTime<Utc>>,
    /// When that was over, at the latest.
    pub refreshed_until: Option<DateTime<Utc>>,
    /// Whether that was not by us.
    pub refreshed_by_others: bool,
    /// The last moment at which nobody was refreshing it, as far as is known: what others do later begins later.
    pub quiet_at: Option<DateTime<Utc>>,
    /// What it would have read at that moment or before.
    pub quiet_inputs: Option<Inputs>,
    /// When a plain refresh last took too long for its readers.
    pub too_slow_at: Option<DateTime<Utc>>,
    /// Looks in a row at which somebody else was at it.
    pub busy_looks: u32,
    /// The last due moment that needs nothing more.
    pub handled_until: Option<DateTime<Utc>>,
    /// What it read when we last refreshed it, if nobody else has since.
    pub inputs: Option<Inputs>,
    /// Failures in a row for the moment that is due.
    pub failures: u32,
    /// Not before this.
    pub retry_at: Option<DateTime<Utc>>,
    /// Seconds of the last plain refreshes, newest last.
    pub plain_seconds: Vec<f64>,
    /// The same of those CONCURRENTLY.
    pub concurrent_seconds: Vec<f64>,
    /// When its row version was seen to move, where no rows were counted yet that would tell why.
    pub moved_at: Option<DateTime<Utc>>,
    /// When `refresh --due` was last called for it.
    pub called_at: Option<DateTime<Utc>>,
    /// What was counted of each of its statements when it last ended.
    pub counted: BTreeMap<Mode, Counted>,
    /// Scans counted when it was last looked at.
    pub scans: i64,
    /// When somebody was last seen to have read it between two looks without a refresh.
    pub read_at: Option<DateTime<Utc>>,
    /// Since when it is known whether somebody reads it.
    pub readers_watched_since: Option<DateTime<Utc>>,
    /// A person said that it is not to be refreshed for now. Kept beside the rest, which others write.
    #[serde(skip)]
    pub is_paused: bool,
    /// Its size after the last refresh.
    pub size_bytes: Option<f64>,
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

impl ViewMemory {
    /// Its rows are of this moment or later, those that it has from other views included.
    pub fn data_as_of(&self) -> Option<DateTime<Utc>> {
        let own = self.fresh_as_of?;
        Some(self.made_from.map_or(own, |others| others.min(own)))
    }

    /// Whether somebody else was at it just now, so that it is not tried for a moment.
    pub fn waits_for_others(&self, now: DateTime<Utc>) -> bool {
        self.busy_looks > 0 && self.retry_at.is_some_and(|at| at > now)
    }

    /// How long a refresh of that kind took lately, at worst of the last five.
    pub fn expected_seconds(&self, mode: Mode) -> Option<f64> {
        let seconds = match mode {
            Mode::Plain => &self.plain_seconds,
            Mode::Concurrently => &self.concurrent_seconds,
        };
        seconds.iter().copied().reduce(f64::max)
    }

    /// How long a refresh of that kind usually takes: one slow moment does not count.
    pub fn usual_seconds(&self, mode: Mode) -> Option<f64> {
        let mut seconds = match mode {
            Mode::Plain => self.plain_seconds.clone(),
            Mode::Concurrently => self.concurrent_seconds.clone(),
        };
        seconds.sort_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).copied()
    }

    /// Takes in how long one took.
    pub fn learn(&mut self, mode: Mode, seconds: f64) {
        let known = match mode {
            Mode::Plain => &mut self.plain_seconds,
            Mode::Concurrently => &mut self.concurrent_seconds,
        };
        known.push(seconds);
        let old = known.len().saturating_sub(5);
        known.drain(..old);
    }

    /// Takes in a look at the view. A view that is another one is forgotten first. Where a view that reads this one was
    /// refreshed since the last look, nobody can tell who else read it.
    pub fn look(
        &mut self,
        view: &MaterializedView,
        inputs: Option<Inputs>,
        now: DateTime<Utc>,
        was_read_by_a_refresh: bool,
    ) {
        // a refresh of ours ended while this look was under way: it knows better
        if self.oid == view.oid && self.looked_at.is_some_and(|looked_at| looked_at > now) {
            return;
        }
        // the version moves at once, what was written is counted somewhat later: until then what it was before is kept
        if self.oid == view.oid && self.state.is_uncounted_at(&view.state) {
            let lag = chrono::TimeDelta::seconds(limits::STATISTICS_LAG.as_secs() as i64 + 1);
            if now - *self.moved_at.get_or_insert(now) < lag {
                self.looked_at = Some(now);
                return;
            }
        }
        self.moved_at = None;
        let quiet = |before: Option<DateTime<Utc>>| match view.is_busy {
            true => before.max(view.busy_since),
            false => Some(now),
        };
        if self.oid != view.oid {
            *self = Self {
                oid: view.oid,
                first_seen_at: Some(now),
                is_paused: self.is_paused,
                state: view.state.clone(),
                scans: view.scans,
                looked_at: Some(now),
                readers_watched_since: Some(now),
                quiet_at: quiet(None),
                quiet_inputs: inputs.filter(|_| !view.is_busy),
                ..Self::default()
            };
            return;
        }
        match self.state.was_refreshed_until(&view.state) {
            true => {
                // it took its locks after that moment, and its snapshot after its locks
                self.fresh_as_of = self.quiet_at.max(self.fresh_as_of);
                self.made_from = None;
                self.refreshed_at = Some(view.committed_at.unwrap_or(now));
                self.refreshed_until = Some(now);
                self.refreshed_by_others = true;
                self.inputs = self.quiet_inputs.clone();
            }
            false if was_read_by_a_refresh && view.scans > self.scans => {
                self.readers_watched_since = Some(now)
            }
            false if view.scans > self.scans && self.state.version == view.state.version => {
                self.read_at = Some(now)
            }
            // a reset of the counters
            false if view.scans < self.scans => self.readers_watched_since = Some(now),
            false => {}
        }
        self.quiet_at = quiet(self.quiet_at);
        if !view.is_busy {
            self.quiet_inputs = inputs;
        }
        self.state = view.state.clone();
        self.scans = view.scans;
        self.looked_at = Some(now);
    }

    /// Whether somebody reads the view; none if it was not watched for a day, and nobody was seen.
    pub fn has_readers(&self, now: DateTime<Utc>) -> Option<bool> {
        let week = chrono::TimeDelta::days(7);
        let day = chrono::TimeDelta::days(1);
        match self.read_at {
            Some(at) if now - at < week => Some(true),
            _ if self.readers_watched_since.is_some_and(|since| now - since >= day) => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + second, 0).unwrap()
    }

    fn view(version: &str, filenode: u32, written: i64, scans: i64) -> MaterializedView {
        MaterializedView {
            oid: 7,
            is_populated: true,
            state: ViewState {
                version: version.into(),
                filenode,
                written,
            },
            scans,
            ..MaterializedView::default()
        }
    }

    #[test]
    fn a_refresh_by_others_is_seen_and_a_grant_is_none() {
        let mut memory = ViewMemory::default();
        memory.look(&view("1", 1, 0, 5), None, at(0), false);
        assert_eq!((memory.refreshed_at, memory.has_readers(at(1))), (None, None));
        memory.look(&view("2", 1, 0, 5), None, at(10), false);
        memory.look(&view("2", 1, 0, 5), None, at(25), false);
        assert_eq!(memory.refreshed_at, None, "a GRANT, or CREATE INDEX");
        memory.look(&view("2a", 3, 0, 5), None, at(30), false);
        memory.look(&view("2a", 3, 0, 5), None, at(45), false);
        assert_eq!(memory.refreshed_at, None, "VACUUM FULL");
        memory.look(&view("3", 4, 1, 6), None, at(50), false);
        assert_eq!(
            (memory.refreshed_at, memory.fresh_as_of),
            (Some(at(50)), Some(at(45)))
        );
        assert_eq!(memory.read_at, None, "a refresh scans its view, too");
        memory.look(&view("3", 4, 1, 7), None, at(60), false);
        assert_eq!(memory.has_readers(at(61)), Some(true));
        memory.look(&view("4", 2, 9, 7), None, at(70), false);
        assert_eq!(memory.fresh_as_of, Some(at(60)), "CONCURRENTLY");
        assert_eq!(memory.has_readers(at(9 * 86_400)), Some(false));
    }

    #[test]
    fn a_refresh_is_seen_though_its_rows_are_counted_after_its_version_moved() {
        let mut memory = ViewMemory::default();
        memory.look(&view("1", 1, 0, 5), None, at(0), false);
        memory.look(&view("2", 2, 0, 5), None, at(10), false);
        assert_eq!(memory.refreshed_at, None);
        memory.look(&view("2", 2, 7, 6), None, at(15), false);
        assert_eq!(
            (memory.refreshed_at, memory.fresh_as_of),
            (Some(at(15)), Some(at(0))),
            "it began after the last look at which the version was the old one"
        );
    }

    #[test]
    fn a_refresh_that_was_under_way_at_the_last_looks_is_older_than_they_are() {
        let mut memory = ViewMemory::default();
        memory.look(&view("1", 1, 0, 5), None, at(0), false);
        let busy = MaterializedView {
            is_busy: true,
            ..view("1", 1, 0, 5)
        };
        memory.look(&busy, None, at(10), false);
        memory.look(&view("2", 2, 9, 5), None, at(20), false);
        assert_eq!(memory.fresh_as_of, Some(at(0)), "when it began is not known");
        let seen = MaterializedView {
            busy_since: Some(at(25)),
            is_busy: true,
            ..view("2", 2, 9, 5)
        };
        memory.look(&seen, None, at(30), false);
        memory.look(&view("3", 3, 18, 5), None, at(40), false);
        assert_eq!(memory.fresh_as_of, Some(at(25)));
        memory.look(&view("1", 1, 0, 5), None, at(35), false);
        assert_eq!(
            memory.state.version, "3",
            "a look that is older than what is known"
        );
    }

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

    #[test]
    fn another_view_under_the_same_name_is_a_new_one() {
        let mut memory = ViewMemory::default();
        memory.look(&view("1", 1, 0, 5), None, at(0), false);
        memory.handled_until = Some(at(0));
        memory.is_paused = true;
        let other = MaterializedView {
            oid: 8,
            ..view("1", 1, 0, 0)
        };
        memory.look(&other, None, at(10), false);
        assert_eq!((memory.handled_until, memory.is_paused), (None, true));
    }
}
