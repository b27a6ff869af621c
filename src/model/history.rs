//! What statements, tables and indexes did over time, and what sessions waited for, as the store remembers it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::relation::{IndexNow, TableNow};
use super::snapshot::StatementText;

/// What one statement did in one database between two looks that followed each other.
#[derive(Clone, Debug)]
pub struct StatementPoint {
    /// The database.
    pub database: Arc<str>,
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

/// Numbers of one thing over some time, which add up to those of a longer time.
pub trait Counts: Copy + Default {
    /// How many numbers there are.
    const NUMBERS: usize;

    /// The numbers, in an order that never changes: the store keeps them so.
    fn numbers(&self) -> impl Iterator<Item = u64>;

    /// The same again; none where a number is missing.
    fn of(numbers: impl FnMut() -> Option<u64>) -> Option<Self>;

    /// Together with those of the time that follows.
    fn then(self, later: Self) -> Self;

    /// Those of a time in which nothing happened, after what was known last; none where nothing was known.
    fn still(last: Option<Self>) -> Option<Self>;
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

impl Counts for StatementCounts {
    const NUMBERS: usize = 6;

    fn numbers(&self) -> impl Iterator<Item = u64> {
        [
            self.calls,
            self.microseconds,
            self.rows,
            self.shared_blocks_hit,
            self.shared_blocks_read,
            self.temp_blocks_written,
        ]
        .into_iter()
    }

    fn of(mut next: impl FnMut() -> Option<u64>) -> Option<Self> {
        Some(Self {
            calls: next()?,
            microseconds: next()?,
            rows: next()?,
            shared_blocks_hit: next()?,
            shared_blocks_read: next()?,
            temp_blocks_written: next()?,
        })
    }

    fn then(self, later: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(later.calls),
            microseconds: self.microseconds.saturating_add(later.microseconds),
            rows: self.rows.saturating_add(later.rows),
            shared_blocks_hit: self.shared_blocks_hit.saturating_add(later.shared_blocks_hit),
            shared_blocks_read: self.shared_blocks_read.saturating_add(later.shared_blocks_read),
            temp_blocks_written: self.temp_blocks_written.saturating_add(later.temp_blocks_written),
        }
    }

    fn still(_: Option<Self>) -> Option<Self> {
        Some(Self::default())
    }
}

impl StatementCounts {
    /// What as busy a time of another length would have come to.
    pub fn scaled(self, ratio: f64) -> Self {
        let scaled = |number: u64| (number as f64 * ratio).round() as u64;
        Self {
            calls: scaled(self.calls),
            microseconds: scaled(self.microseconds),
            rows: scaled(self.rows),
            shared_blocks_hit: scaled(self.shared_blocks_hit),
            shared_blocks_read: scaled(self.shared_blocks_read),
            temp_blocks_written: scaled(self.temp_blocks_written),
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

/// What statements took over a range of time, in steps of equal length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct StatementTimes {
    /// When the first step begins.
    pub from: DateTime<Utc>,
    /// How long a step is: an hour, a day or two.
    pub step_seconds: f64,
    /// For how much of each step the times stand, oldest first: rates are by this. 0 where nobody looked.
    pub seen_seconds: Vec<f64>,
    /// Of execution in each step, by statement_id.
    pub microseconds: BTreeMap<String, Vec<u64>>,
}

impl StatementTimes {
    /// Seconds of execution in an hour, as they were in each step; none of a step in which nobody looked.
    pub fn seconds_per_hour(&self, statement_id: &str) -> Vec<Option<f64>> {
        let took = self.microseconds.get(statement_id).map_or(&[][..], Vec::as_slice);
        let per_hour = |(took, seen): (&u64, &f64)| (*seen > 0.0).then(|| *took as f64 / 1e6 * 3600.0 / seen);
        took.iter().zip(&self.seen_seconds).map(per_hour).collect()
    }
}

/// Entries that writes to a table make in each of its indexes: one for every row that is inserted, and for every update that is
/// not HOT. A delete makes none.
pub fn index_entries(inserted: f64, updated: f64, hot_updated: f64) -> f64 {
    inserted + (updated - hot_updated).max(0.0)
}

/// What happened to one table over some time, and how it was at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub struct TableCounts {
    pub sequential_scans: u64,
    /// Scans of its indexes, added up.
    pub index_scans: u64,
    pub inserted: u64,
    pub updated: u64,
    pub hot_updated: u64,
    pub deleted: u64,
    /// Of the heap, at the end.
    pub bytes: u64,
    /// As the statistics estimate it, at the end.
    pub live_rows: u64,
    pub dead_rows: u64,
}

impl Counts for TableCounts {
    const NUMBERS: usize = 9;

    fn numbers(&self) -> impl Iterator<Item = u64> {
        [
            self.sequential_scans,
            self.index_scans,
            self.inserted,
            self.updated,
            self.hot_updated,
            self.deleted,
            self.bytes,
            self.live_rows,
            self.dead_rows,
        ]
        .into_iter()
    }

    fn of(mut next: impl FnMut() -> Option<u64>) -> Option<Self> {
        Some(Self {
            sequential_scans: next()?,
            index_scans: next()?,
            inserted: next()?,
            updated: next()?,
            hot_updated: next()?,
            deleted: next()?,
            bytes: next()?,
            live_rows: next()?,
            dead_rows: next()?,
        })
    }

    fn then(self, later: Self) -> Self {
        Self {
            sequential_scans: self.sequential_scans.saturating_add(later.sequential_scans),
            index_scans: self.index_scans.saturating_add(later.index_scans),
            inserted: self.inserted.saturating_add(later.inserted),
            updated: self.updated.saturating_add(later.updated),
            hot_updated: self.hot_updated.saturating_add(later.hot_updated),
            deleted: self.deleted.saturating_add(later.deleted),
            ..later
        }
    }

    fn still(last: Option<Self>) -> Option<Self> {
        let last = last?;
        Some(Self {
            bytes: last.bytes,
            live_rows: last.live_rows,
            dead_rows: last.dead_rows,
            ..Self::default()
        })
    }
}

impl TableCounts {
    /// Rows inserted, updated and deleted.
    pub fn written(&self) -> u64 {
        self.inserted
            .saturating_add(self.updated)
            .saturating_add(self.deleted)
    }

    /// Entries that were written to each of its indexes.
    pub fn index_entries(&self) -> f64 {
        index_entries(self.inserted as f64, self.updated as f64, self.hot_updated as f64)
    }
}

/// How tables of a database were read on one server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableReads {
    /// Since when they were looked at for nine tenths of the time; none where they were not.
    pub watched_since: Option<DateTime<Utc>>,
    /// Of each table that was asked for, by when it was last seen to have been read.
    pub read_at: Vec<Option<DateTime<Utc>>>,
}

/// How often one index was scanned over some time, and how large it was at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub struct IndexCounts {
    pub scans: u64,
    /// At the end.
    pub bytes: u64,
}

impl Counts for IndexCounts {
    const NUMBERS: usize = 2;

    fn numbers(&self) -> impl Iterator<Item = u64> {
        [self.scans, self.bytes].into_iter()
    }

    fn of(mut next: impl FnMut() -> Option<u64>) -> Option<Self> {
        Some(Self {
            scans: next()?,
            bytes: next()?,
        })
    }

    fn then(self, later: Self) -> Self {
        Self {
            scans: self.scans.saturating_add(later.scans),
            ..later
        }
    }

    fn still(last: Option<Self>) -> Option<Self> {
        Some(Self {
            scans: 0,
            bytes: last?.bytes,
        })
    }
}

/// What happened to one table or index between two looks that followed each other.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct RelationPoint<C> {
    pub schema: String,
    pub name: String,
    pub counts: C,
}

/// What happened to the tables and indexes of a database between two looks that followed each other.
#[derive(Clone, Debug, Default)]
pub struct RelationsMinute {
    /// The database.
    pub database: String,
    /// How long that was.
    pub seconds: f64,
    /// Only those to which something happened.
    pub tables: Vec<RelationPoint<TableCounts>>,
    /// Only those to which something happened.
    pub indexes: Vec<RelationPoint<IndexCounts>>,
    /// How tables are now: those that changed, or all of them.
    pub tables_now: Vec<TableNow>,
    /// How indexes are now: those that changed, or all of them.
    pub indexes_now: Vec<IndexNow>,
    /// Tables that are gone, by schema and name.
    pub tables_gone: Vec<(String, String)>,
    /// Indexes that are gone, by schema and name.
    pub indexes_gone: Vec<(String, String)>,
    /// What is told is all that there is: whatever else is known of the database is gone.
    pub is_whole: bool,
}

/// Sessions that were seen executing one statement, or waiting in it, for one event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct WaitKey {
    /// The database.
    pub database: String,
    /// As pg_stat_activity's wait_event_type and wait_event, `Lock: transactionid`; `CPU` where it waited for nothing.
    pub event: String,
    /// What it executed; empty where that is not known.
    pub statement_id: String,
    /// The role.
    pub role: String,
    /// The application_name.
    pub application: String,
    /// PostgreSQL's identifier of what it executed, while nobody has told yet which statement that is: pg_stat_statements holds it
    /// once its first call has ended. Not written down.
    #[serde(skip)]
    #[schema(ignore)]
    pub query_id: Option<i64>,
}

/// How often sessions were seen so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitCounts {
    /// Sessions in samples: one session that was seen in two samples counts twice.
    pub sessions: u64,
}

impl Counts for WaitCounts {
    const NUMBERS: usize = 1;

    fn numbers(&self) -> impl Iterator<Item = u64> {
        [self.sessions].into_iter()
    }

    fn of(mut next: impl FnMut() -> Option<u64>) -> Option<Self> {
        Some(Self { sessions: next()? })
    }

    fn then(self, later: Self) -> Self {
        Self {
            sessions: self.sessions.saturating_add(later.sessions),
        }
    }

    fn still(_: Option<Self>) -> Option<Self> {
        Some(Self::default())
    }
}

/// What the samples of a server saw between two looks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WaitMinute {
    /// How long that was.
    pub seconds: f64,
    /// How many samples were taken.
    pub samples: u64,
    /// What was seen.
    pub points: Vec<(WaitKey, WaitCounts)>,
}

/// Some time of a history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct HistoryPoint<C> {
    /// When it begins.
    pub from: DateTime<Utc>,
    /// How long it is.
    pub length_seconds: f64,
    /// For how much of it the counts stand: rates are by this. More than the length where looks were far apart.
    pub seen_seconds: f64,
    /// What happened; null where nobody looked.
    // by a reference utoipa would forget of a parameter's type that it may be null
    #[schema(inline)]
    pub counts: Option<C>,
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
    /// What it did over as long a time that ended a week ago, or where the range is longer before it; null where nobody
    /// looked then.
    pub before: Option<StatementCounts>,
}

impl WaitKey {
    /// The event of a session that waits for nothing.
    pub const CPU: &'static str = "CPU";
    /// The event of sessions that are counted but not told apart, since there were too many different ones.
    pub const OTHERS: &'static str = "others";
}

/// What sessions waited for over a range of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WaitHistory {
    /// By time, oldest first; a point without sessions is time without samples.
    pub by_event: Vec<WaitPoint>,
    /// What was seen most over the whole range, most first.
    pub top: Vec<(WaitKey, WaitCounts)>,
    /// How many samples were taken.
    pub samples: u64,
    /// For how many seconds of the range these stand.
    pub sampled_seconds: f64,
    /// All that was seen: sessions in samples.
    pub sessions: u64,
}

/// Some time of a history of waits.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct WaitPoint {
    /// When it begins.
    pub from: DateTime<Utc>,
    /// How long it is.
    pub length_seconds: f64,
    /// How many samples were taken.
    pub samples: u64,
    /// Sessions in samples, by event; null where no sample was taken.
    pub sessions: Option<BTreeMap<String, u64>>,
}
