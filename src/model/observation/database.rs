//! One database, ready to be judged: its tables, indexes, design and materialized views.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Unknown;
use crate::limits;
use crate::model::advice::{Advised, Rehearsals};
use crate::model::catalog::{Catalog, IndexFacts, TableFacts};
use crate::model::column_statistics::ColumnStatistics;
use crate::model::finding::Window;
use crate::model::index_days::OverDays;
use crate::model::refresh::{Run, ViewStatus};
use crate::model::schema::Schema;
use crate::model::snapshot::MaterializedViewFacts;
use crate::model::unit::Period;

/// One database, ready to be judged.
#[derive(Clone, Debug)]
pub struct DatabaseObservation {
    /// Tables with foreign keys of which nobody hears what the rule that advises missing indexes finds, by OID: it is switched
    /// off for them, or ignored.
    pub missing_indexes_untold: BTreeSet<u32>,
    /// Sequences of which nobody hears what schema.int_key_overflow finds of the column that they feed, by OID.
    pub key_overflows_untold: BTreeSet<u32>,
    /// How long an index must have been idle for index.unused to name it, by whichever of its settings is the shortest;
    /// `None` where nobody judges that rule.
    pub unused_after: Option<Period>,
    /// Its name.
    pub name: String,
    /// Since when its relations' counters count at least, if that is known: no creation of a database is recorded, so that one
    /// that was never reset may be older than what proves that it is there.
    pub counters_since: Option<DateTime<Utc>>,
    /// When the first of its indexes was first seen; `None` at the first look.
    pub watched_since: Option<DateTime<Utc>>,
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
    /// Its promise, its age, its readers, those on standbys that are watched among them.
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
    /// See [`TableCounters::rows_were_counted`](crate::model::snapshot::TableCounters::rows_were_counted).
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
    /// When it was read from end to end last; `None` before PostgreSQL 16, and where that never was.
    pub last_sequential_scan_at: Option<DateTime<Utc>>,
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
    /// A window shorter than this, in seconds, is too short to be judged by a rate; told is one of an hour or more only.
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
    /// Of the standbys that were seen to scan it, the last time at which one may have done so; `None` where none was: what one
    /// counted before anybody looked is of an unknown time.
    pub used_on_standbys_at: Option<DateTime<Utc>>,
    /// Since when it is known to exist without a scan, from our own looks or from its last scan (16 and later).
    pub idle_since: Option<DateTime<Utc>>,
    /// When it was scanned last, perhaps while the server was a standby: of one that was promoted, as it tells it (16 and later).
    pub last_scan_of_promoted_at: Option<DateTime<Utc>>,
    /// Since when its total says that no scan happened; an index that was there at the first look may be younger than that.
    pub no_scan_counted_since: Option<DateTime<Utc>>,
    /// When it was first seen, where it was not there at the first look.
    pub appeared_at: Option<DateTime<Utc>>,
    /// Whether an index of its table is being built; `None` where it cannot be seen on which table a build works.
    pub table_is_being_indexed: Option<bool>,
}
