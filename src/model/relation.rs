//! Tables and indexes as they were at the last look at the names, for pages: what rules judge is in the observation.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::history::{IndexCounts, TableCounts};

/// The name of a table or an index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub struct RelationName {
    pub schema: String,
    pub name: String,
}

/// The partition of a table that has most dead rows against autovacuum's threshold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub struct WorstPartition {
    pub schema: String,
    pub name: String,
    pub dead_rows: u64,
    /// Dead rows at which autovacuum starts.
    pub vacuum_threshold_rows: u64,
}

/// One table or materialized view, or a partitioned table at the top, whose numbers are those of its partitions together.
#[derive(Clone, Debug, Default, PartialEq, Hash, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub struct TableNow {
    pub schema: String,
    pub name: String,
    /// `r` table, `p` partitioned table, `m` materialized view.
    pub kind: char,
    /// Of the heap.
    pub bytes: u64,
    /// Of its indexes together.
    pub index_bytes: u64,
    /// As the statistics estimate it.
    pub live_rows: u64,
    pub dead_rows: u64,
    /// Dead rows at which autovacuum starts; 0 for a partitioned table, which has no threshold of its own.
    pub vacuum_threshold_rows: u64,
    /// Of a partitioned table: of the partition where that is longest ago; null where one never was.
    pub last_vacuum_at: Option<DateTime<Utc>>,
    /// Of a partitioned table: of the partition where that is longest ago; null where one never was.
    pub last_analyze_at: Option<DateTime<Utc>>,
    /// Rows changed since the last ANALYZE.
    pub modified_since_analyze: u64,
    /// Storage parameters, as `fillfactor=90`.
    pub options: Vec<String>,
    /// How many partitions hold the rows of a partitioned table, whatever the levels between; 0 for others.
    #[serde(default)]
    pub partitions: u32,
    /// The partitioned table at the top that this is a partition of.
    #[serde(default)]
    pub partition_of: Option<RelationName>,
    /// Of a partitioned table.
    #[serde(default)]
    pub worst_partition: Option<WorstPartition>,
}

impl TableNow {
    /// Dead rows ÷ those at which autovacuum starts; of a partitioned table, those of its worst partition.
    pub fn dead_rows_ratio(&self) -> f64 {
        let (dead, threshold) = match &self.worst_partition {
            Some(worst) => (worst.dead_rows, worst.vacuum_threshold_rows),
            None => (self.dead_rows, self.vacuum_threshold_rows),
        };
        dead as f64 / threshold.max(1) as f64
    }
}

/// One index, or a partitioned index at the top, whose numbers are those of its partitions together.
#[derive(Clone, Debug, Default, PartialEq, Hash, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub struct IndexNow {
    pub schema: String,
    pub name: String,
    /// The table's name; its schema is the index's.
    pub table: String,
    pub bytes: u64,
    pub is_valid: bool,
    pub is_unique: bool,
    pub is_primary: bool,
    /// The constraint that it backs.
    pub constraint: Option<String>,
    /// CREATE INDEX as PostgreSQL writes it; null where it could not be read.
    pub definition: Option<String>,
    /// Since when no scan of it happened on this server; what its standbys scanned is not in it. None was seen for a day or
    /// longer, or none is counted since its counters began, which may be before it was built. Null where it was scanned
    /// since, or nobody knows. A partitioned index is idle since all of its partitions are.
    pub idle_since: Option<DateTime<Utc>>,
    /// How many partitions a partitioned index has, whatever the levels between; null for others.
    #[serde(default)]
    pub partitions: Option<u32>,
    /// The partitioned index at the top that this is a partition of.
    #[serde(default)]
    pub partition_of: Option<RelationName>,
}

impl IndexNow {
    /// Whether it holds some of the rows only; not so where its definition could not be read.
    pub fn is_partial(&self) -> bool {
        self.definition
            .as_deref()
            .is_some_and(|definition| definition.contains(" WHERE "))
    }
}

/// A table with what happened to it over a range of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct TableTotal {
    /// As it is now.
    #[serde(flatten)]
    pub now: TableNow,
    /// What happened over the range.
    pub counts: TableCounts,
    /// How large the heap was when the range began; null where nobody knows.
    pub bytes_before: Option<u64>,
}

/// An index with how it was used over a range of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct IndexTotal {
    /// As it is now.
    #[serde(flatten)]
    pub now: IndexNow,
    /// How it was used over the range.
    pub counts: IndexCounts,
    /// How large it was when the range began; null where nobody knows.
    pub bytes_before: Option<u64>,
    /// What keeping it costs: entries that writes to its table made in it in an hour, over what of the range was looked at since
    /// it was seen first. Those of a partial index are at most so many. Null where nobody knows, as in the first half hour.
    pub entries_per_hour: Option<f64>,
}

/// What a list of tables or indexes begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RelationOrder {
    /// The largest.
    #[default]
    Size,
    /// Those that grew most over the range.
    Growth,
    /// Tables with most dead rows against autovacuum's threshold.
    DeadRows,
    /// Tables that were written most over the range; indexes to which most entries were.
    Writes,
    /// Those that were scanned most over the range.
    Scans,
    /// Indexes that have been idle for longest.
    Idle,
}

/// The tables or indexes of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct RelationList<T> {
    /// In the order that was asked for.
    pub items: Vec<T>,
    /// How many there are in all.
    pub total: usize,
    /// Bytes of all of them together.
    pub bytes: u64,
}
