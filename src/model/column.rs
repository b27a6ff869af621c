//! What is known of the columns of tables, for pages: what rules and index advice read of them, and no more.

use serde::{Deserialize, Serialize};

use super::column_statistics::Sample;

/// One column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnNow {
    /// Its name.
    pub name: String,
    /// Its type as SQL spells it; null where nobody reads it.
    pub type_name: Option<String>,
    /// Whether it is NOT NULL, by itself or by its domain; null where nobody reads it.
    #[serde(default)]
    pub is_not_null: Option<bool>,
    /// What ANALYZE found out about it, or why that is not known; null where no rule asks.
    pub sample: Option<Sample>,
}

/// The columns of one table of which something is known.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct TableColumns {
    pub schema: String,
    pub name: String,
    /// By name.
    pub columns: Vec<ColumnNow>,
}

/// The tables of one database with columns of which something is known.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct KnownColumns {
    pub database: String,
    pub tables: Vec<TableColumns>,
    /// Why what ANALYZE found out is not known of any column of it; none where it was read.
    pub statistics_unknown_because: Option<String>,
}
