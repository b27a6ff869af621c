//! What rules judge: differences over known windows, and facts. Made by `observe` from snapshots.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::advice::{Advised, Rehearsals};
use super::catalog::{Catalog, IndexFacts, TableFacts};
use super::column_statistics::ColumnStatistics;
use super::finding::Window;
use super::history::WaitKey;
use super::index_days::OverDays;
use super::refresh::{Run, ViewStatus};
use super::remedy::qualified;
use super::replication::{Replication, WatchedPrimary, WatchedStandbys};
use super::schema::Schema;
use super::session::{PreparedTransaction, Session};
use super::snapshot::{MaterializedViewFacts, ServerFacts, StatementText};
use super::status::Gap;
use super::unit::Period;
use crate::limits;

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
}

impl Waits {
    /// All sessions in samples that executed something.
    pub fn sessions(&self) -> u64 {
        self.seen.iter().map(|(_, sessions)| sessions).sum()
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

/// What all statements did over one window.
#[derive(Clone, Debug, Default)]
pub struct StatementActivity {
    /// The schema of pg_stat_statements.
    pub schema: String,
    /// The window.
    pub window: Option<Window>,
    /// Entries evicted in the window: if any, shares are not exact.
    pub evictions: i64,
    /// Seconds of execution of all top-level statements.
    pub total_seconds: f64,
    /// Queries, costliest first; each statement_id once in each database.
    pub statements: Vec<StatementDelta>,
    /// What became faster (database and statement_id): how many times longer a call took over the window than since the look
    /// before the last. Of statements that were called often enough since then.
    pub faster_times: BTreeMap<(String, String), f64>,
    /// Other statements that were called, each once in each database: some have a query within, as cursors have.
    pub utility: BTreeMap<(String, String), Arc<StatementText>>,
    /// Why it does not count that a statement is not among them, where the window is still too short for that.
    pub still_filling: Option<String>,
    /// Entries of watched databases whose text is still to come, or was lost by the server for good: nobody knows which
    /// statements they are, and they count in the total only.
    pub without_text: Vec<StatementDelta>,
}

/// A statement that is told of as rare and heavy.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct ToldAsRare {
    pub database: String,
    pub statement_id: String,
    /// With so many calls, or more, it would not be rare.
    pub max_calls: i64,
}

/// What one statement did in one database over the window: never cumulative.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct StatementDelta {
    pub database: String,
    pub text: Arc<StatementText>,
    /// PostgreSQL's own identifier, as evidence.
    pub queryid: i64,
    /// Roles that ran it.
    pub roles: Vec<String>,
    pub calls: i64,
    pub seconds: f64,
    /// Standard deviation of the calls of the window, in seconds.
    pub stddev_seconds: f64,
    /// The longest call, where it is known to be one of the window: the server keeps that of all times, which tells something of
    /// the window only where it grew within. Of several roles it is the longest that is known.
    pub max_seconds: Option<f64>,
    /// Planning; 0 where pg_stat_statements.track_planning is off.
    pub planning_seconds: f64,
    pub rows: i64,
    pub shared_blocks_hit: i64,
    pub shared_blocks_read: i64,
    pub temp_blocks_written: i64,
}

impl StatementActivity {
    /// Why it does not count that nothing is told of a statement, where that is so. An entry without a text matters only if
    /// something would be told of it by its numbers: the server may never have that text again, and what is mended must not
    /// stay open for it.
    pub fn absence_is_no_proof(&self, matters: impl Fn(&StatementDelta) -> bool) -> Option<String> {
        let hidden = || self.without_text.iter().filter(|&entry| matters(entry)).count();
        let of_texts = || match hidden() {
            0 => None,
            count => Some(format!(
                "the texts of {count} statements that it might tell of are still to come, or lost by the server"
            )),
        };
        self.still_filling.clone().or_else(of_texts)
    }

    /// How many times faster a statement is by now than over the window, where that is very much: it was mended meanwhile.
    pub fn became_faster_times(&self, statement: &StatementDelta) -> Option<f64> {
        if self.faster_times.is_empty() {
            return None;
        }
        let key = (statement.database.clone(), statement.text.statement_id.clone());
        self.faster_times.get(&key).copied()
    }

    /// The view's name as a statement for psql needs it, whatever the search_path there.
    pub fn view(&self) -> String {
        qualified(&self.schema, "pg_stat_statements")
    }
}

impl StatementDelta {
    /// Mean seconds of one call.
    pub fn mean_seconds(&self) -> f64 {
        self.seconds / self.calls.max(1) as f64
    }

    /// What the longest call took at least: the longest that is known, or what must have been there for times to deviate as
    /// they do, since none is negative: the sum of their squares is at most the longest times their sum.
    pub fn longest_seconds_at_least(&self) -> f64 {
        let mean = self.mean_seconds();
        let by_deviation = match mean > 0.0 {
            true => mean + self.stddev_seconds * self.stddev_seconds / mean,
            false => 0.0,
        };
        self.max_seconds.unwrap_or(0.0).max(by_deviation)
    }
}

/// One database, ready to be judged.
#[derive(Clone, Debug)]
pub struct DatabaseObservation {
    /// Tables with foreign keys of which nobody hears what the rule that advises missing indexes finds, by OID: it is switched
    /// off for them, or ignored.
    pub missing_indexes_untold: BTreeSet<u32>,
    /// How long an index must have been idle for index.unused to name it, by whichever of its settings is the shortest;
    /// `None` where nobody judges that rule.
    pub unused_after: Option<Period>,
    /// Its name.
    pub name: String,
    /// Since when its relations' counters count, if that is known.
    pub counters_since: Option<DateTime<Utc>>,
    /// Names and definitions.
    pub catalog: Arc<Catalog>,
    /// Tables with their state of now.
    pub tables: Vec<TableObservation>,
    /// How tables were read and written, in the order of their OIDs, or why that is not known.
    pub table_activity: Result<Vec<TableActivity>, Unknown>,
    /// Foreign keys, constraints that are not valid, sequences, or why they are not known.
    pub schema: Result<SchemaObservation, Unknown>,
    /// What ANALYZE found out about the columns of large indexes, or why that is not known.
    pub column_statistics: Result<Arc<ColumnStatistics>, Unknown>,
    /// Indexes with their use.
    pub indexes: Vec<IndexObservation>,
    /// Their use over the days that the store remembers; whoever has a store puts it in.
    pub use_over_days: OverDays,
    /// Which indexes are missing, as the planner says, or why that is not known.
    pub advice: Result<Arc<Advised>, Unknown>,
    /// What the planner says of drops.
    pub rehearsals: Rehearsals,
    /// Materialized views, or why they are not known.
    pub materialized_views: Result<Vec<MaterializedViewObservation>, Unknown>,
}

/// One materialized view, with what refreshing knows of it.
#[derive(Clone, Debug, Default)]
pub struct MaterializedViewObservation {
    /// Its row in the catalog, and what its definition shows.
    pub facts: MaterializedViewFacts,
    /// What refreshing knows, where it is refreshed by us.
    pub refreshing: Option<Refreshing>,
}

/// What refreshing knows of one view.
#[derive(Clone, Debug)]
pub struct Refreshing {
    /// Its promise, its age, its readers.
    pub status: ViewStatus,
    /// Refreshes that were really made, well or badly, newest first.
    pub runs: Vec<Run>,
    /// Seconds of refreshing in the last week.
    pub seconds_last_week: f64,
    /// Seconds that sessions waited for the view while it was refreshed in the last day.
    pub held_up_seconds_last_day: f64,
}

impl DatabaseObservation {
    /// Each index that was observed, with its facts.
    pub fn indexes_with_facts(&self) -> impl Iterator<Item = (&IndexObservation, &IndexFacts)> {
        let mut facts = self.catalog.indexes.finder();
        self.indexes
            .iter()
            .filter_map(move |index| Some((index, facts.find(index.oid)?)))
    }

    /// Each table that was observed, with its facts.
    pub fn tables_with_facts(&self) -> impl Iterator<Item = (&TableObservation, &TableFacts)> {
        let mut facts = self.catalog.tables.finder();
        self.tables
            .iter()
            .filter_map(move |table| Some((table, facts.find(table.oid)?)))
    }

    /// How each table was read and written, with its facts.
    ///
    /// # Errors
    /// If that could not be read.
    pub fn table_activity_with_facts(
        &self,
    ) -> Result<impl Iterator<Item = (&TableActivity, &TableFacts)>, Unknown> {
        let activity = self.table_activity.as_ref().map_err(Clone::clone)?;
        let mut facts = self.catalog.tables.finder();
        Ok(activity
            .iter()
            .filter_map(move |table| Some((table, facts.find(table.oid)?))))
    }

    /// The design of the database.
    ///
    /// # Errors
    /// If it could not be read.
    pub fn schema(&self) -> Result<&SchemaObservation, Unknown> {
        self.schema.as_ref().map_err(Clone::clone)
    }

    /// What is observed of a table, by its OID.
    pub fn table(&self, oid: u32) -> Option<&TableObservation> {
        let position = self.tables.binary_search_by_key(&oid, |table| table.oid).ok()?;
        Some(&self.tables[position])
    }

    /// The facts of an index's table.
    pub fn table_of(&self, index: &IndexFacts) -> Option<&TableFacts> {
        self.catalog.tables.get(index.table_oid)
    }
}

/// One table now.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct TableObservation {
    pub oid: u32,
    pub live_rows: i64,
    pub dead_rows: i64,
    /// Rows inserted, updated and deleted a second over the last half hour, or less where it was watched for less.
    pub written_per_second: Option<f64>,
    /// Dead row versions at which autovacuum would come: the formula of PostgreSQL's chapter "Routine Vacuuming".
    pub vacuum_threshold_rows: f64,
    pub last_vacuum_at: Option<DateTime<Utc>>,
    /// See [`TableCounters::rows_were_counted`](super::snapshot::TableCounters::rows_were_counted).
    pub rows_were_counted: bool,
    /// `None` where it cannot be seen on which table VACUUM works.
    pub being_vacuumed: Option<bool>,
}

/// How one table was read and written.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct TableActivity {
    pub oid: u32,
    /// Rows changed since the last ANALYZE.
    pub modified_since_analyze: i64,
    pub last_analyze_at: Option<DateTime<Utc>>,
    /// Changed rows at which autovacuum would ANALYZE: the formula of PostgreSQL's chapter "Routine Vacuuming".
    pub analyze_threshold_rows: f64,
    /// What happened over a window, where there is one: an hour or more of looks, or since a known reset.
    pub over: Option<TableDelta>,
}

/// What happened to one table over a window: never cumulative.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct TableDelta {
    pub window: Window,
    pub sequential_scans: i64,
    pub sequential_rows_read: i64,
    pub inserted: i64,
    pub updated: i64,
    pub hot_updated: i64,
    pub deleted: i64,
    /// Of the updates that were not HOT those whose new version went to another page; from PostgreSQL 16.
    pub new_page_updated: Option<i64>,
}

impl TableDelta {
    /// A window shorter than this, in seconds, is too short for a rate.
    pub const RATE_SECONDS: f64 = limits::STATEMENT_WINDOW.as_secs_f64();

    /// A count of the window as a rate. A window that is too short for one counts as if nothing more came in half an hour.
    pub fn per_hour(&self, count: i64) -> f64 {
        count as f64 * 3600.0 / self.window.seconds().max(Self::RATE_SECONDS)
    }

    /// Rows inserted, updated and deleted.
    pub fn written(&self) -> i64 {
        self.inserted + self.updated + self.deleted
    }
}

/// The design of a database, ready to be judged.
#[derive(Clone, Debug, Default)]
pub struct SchemaObservation {
    /// As read.
    pub facts: Arc<Schema>,
    /// How fast each sequence is used, in values a second, by its OID: where two looks are far enough apart to tell.
    pub values_per_second: HashMap<u32, f64>,
}

/// How an index was used.
#[derive(Clone, Copy, Debug)]
pub struct IndexObservation {
    /// The index.
    pub oid: u32,
    /// Scans since the counters began.
    pub scans: i64,
    /// Scans of it on standbys in that time, or in a longer one; `None` where one that is watched does not know them.
    pub scans_on_standbys: Option<i64>,
    /// Since when it is known to exist without a scan, from our own looks or from its last scan (16 and later).
    pub idle_since: Option<DateTime<Utc>>,
    /// Since when its total says that no scan happened; the index may be younger than that.
    pub no_scan_counted_since: Option<DateTime<Utc>>,
    /// Whether an index of its table is being built; `None` where it cannot be seen on which table a build works.
    pub table_is_being_indexed: Option<bool>,
}
