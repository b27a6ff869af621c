//! What to do about a finding: SQL built from typed statements, never formatted by hand in a rule.
//! Lock levels are those of PostgreSQL's chapter "Explicit Locking".

mod quoted;
mod statement;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use quoted::{NAME_BYTES, qualified, quote_identifier, quote_literal};
pub use statement::{EXTENSIONS_SCHEMA, Statement, created_extension};

/// SQL to apply, SQL to undo, and what it costs to do so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Remedy {
    /// To run, in order.
    pub apply_sql: Vec<String>,
    /// To take it back, in order.
    pub undo_sql: Vec<String>,
    /// PostgreSQL's name of the strongest table lock that is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// Whether a table is rewritten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrites_table: Option<bool>,
    /// Disk that it needs while it runs, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_disk_bytes: Option<f64>,
    /// How long it should take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_seconds: Option<f64>,
    /// When it is wrong to obey, and what to look at first.
    pub caveats: Vec<String>,
}

/// What is said of every index that is built so.
pub const ABOUT_CONCURRENTLY: &str = "CONCURRENTLY does not run inside a transaction, and waits for older ones; if it is interrupted, \
                                      it leaves an invalid index, which is to be dropped.";

/// What stands in a statement that makes an index a part of that of the whole table.
pub const ATTACH: &str = " ATTACH PARTITION ";
/// What it locks: <https://www.postgresql.org/docs/current/sql-alterindex.html> takes the index of the partition for itself, which
/// every query of the partition opens.
pub const ABOUT_ATTACHING: &str = "ATTACH PARTITION takes an ACCESS EXCLUSIVE lock on the index of one partition for a moment, \
                                   behind which all that reads the partition waits: SET lock_timeout = '1s' first, and \
                                   repeat it if it gives up.";

/// What stands in a statement that makes an index anew which may have been dropped meanwhile.
pub const IF_NOT_THERE: &str = " IF NOT EXISTS ";

/// What stands in a statement that makes an index of a partitioned table without those of its partitions.
pub const ON_ONLY: &str = " ON ONLY ";
/// What that locks: there are no rows to be read.
pub const ABOUT_ONLY: &str = "SHARE, behind which writes wait, is taken for a moment, while the index of the parent is made ON ONLY it; \
                              those of the partitions are built CONCURRENTLY, and writes go on.";
