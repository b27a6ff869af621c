//! What statements did over time, as the store remembers it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::snapshot::StatementText;

/// What one statement did in one database between two looks that followed each other.
#[derive(Clone, Debug)]
pub struct StatementPoint {
    /// The database.
    pub database: String,
    /// The statement.
    pub text: Arc<StatementText>,
    /// What it did.
    pub counts: StatementCounts,
}

/// What the statements of a server did between two looks that followed each other.
#[derive(Clone, Debug, Default)]
pub struct StatementMinute {
    /// How long that was.
    pub seconds: f64,
    /// Only those that were called.
    pub points: Vec<StatementPoint>,
}

/// Counts over some time, never since a reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub struct StatementCounts {
    pub calls: u64,
    /// Of execution.
    pub microseconds: u64,
    pub rows: u64,
    pub shared_blocks_hit: u64,
    pub shared_blocks_read: u64,
    pub temp_blocks_written: u64,
}

impl StatementCounts {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            microseconds: self.microseconds.saturating_add(other.microseconds),
            rows: self.rows.saturating_add(other.rows),
            shared_blocks_hit: self.shared_blocks_hit.saturating_add(other.shared_blocks_hit),
            shared_blocks_read: self.shared_blocks_read.saturating_add(other.shared_blocks_read),
            temp_blocks_written: self.temp_blocks_written.saturating_add(other.temp_blocks_written),
        }
    }

    /// Seconds of execution.
    pub fn seconds(&self) -> f64 {
        self.microseconds as f64 / 1e6
    }

    /// Mean seconds of one call.
    pub fn mean_seconds(&self) -> f64 {
        self.seconds() / self.calls.max(1) as f64
    }
}

/// Some time of a statement's history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct HistoryPoint {
    /// When it begins.
    pub from: DateTime<Utc>,
    /// How long it is.
    pub length_seconds: f64,
    /// What the statement did; null where nobody looked.
    pub counts: Option<StatementCounts>,
}

/// One statement of a database with what it did over a range of time.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[allow(missing_docs)]
pub struct StatementTotal {
    pub statement_id: String,
    pub database: String,
    /// As pg_stat_statements keeps it, without constants.
    pub text: String,
    pub counts: StatementCounts,
    /// Mean seconds of a call.
    pub mean_seconds: f64,
    /// Of the time of all statements of the database, 0 to 1.
    pub share_ratio: f64,
}
