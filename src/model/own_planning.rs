//! What planning by the advisor leaves behind where its login may not switch off counting: scans of indexes, whose ends the
//! planner probes, and entries of pg_stat_statements.

use chrono::{DateTime, Utc};

/// What [`Gap`](super::status::Gap)s are about that say what planning leaves behind: nothing could not be read.
pub const LEFT_BEHIND: [&str; 2] = [SCANS_LEFT_BEHIND, TEXTS_LEFT_BEHIND];
/// That planning counts as use of indexes.
pub const SCANS_LEFT_BEHIND: &str = "scans of indexes by our planning";
/// That planning makes entries.
pub const TEXTS_LEFT_BEHIND: &str = "entries of pg_stat_statements by our planning";

/// Scans of one index that the server counted because the advisor planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnScans {
    /// The index.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// How many.
    pub scans: i64,
    /// When the first of them was counted, by the server's clock.
    pub first_at: DateTime<Utc>,
    /// When the last of them was counted, by the server's clock.
    pub last_at: DateTime<Utc>,
    /// The last scan by anybody before the first of them, where the server tells it (from 16).
    pub scanned_before: Option<DateTime<Utc>>,
}

impl OwnScans {
    /// Adds what was counted later of the same index.
    pub fn add(&mut self, later: &Self) {
        self.scans = self.scans.saturating_add(later.scans);
        self.last_at = self.last_at.max(later.last_at);
    }
}

/// The same as it is remembered of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownOwnScans {
    /// The index's database.
    pub database: String,
    /// All of them.
    pub own: OwnScans,
    /// How many of them the server's counter was not yet seen to hold.
    pub unseen: i64,
}

/// A text that the advisor planned, which may be an entry of pg_stat_statements since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedText {
    /// Its hash.
    pub hash: i64,
    /// When it was planned first, by the advisor's clock.
    pub planned_at: DateTime<Utc>,
}

#[cfg(test)]
pub(crate) mod testing {
    //! What the tests of several rooms share.

    use super::*;

    /// So many scans of `s.i`, all counted at one time.
    pub(crate) fn own_scans(oid: u32, scans: i64, at: DateTime<Utc>) -> OwnScans {
        OwnScans {
            oid,
            schema: "s".into(),
            name: "i".into(),
            scans,
            first_at: at,
            last_at: at,
            scanned_before: None,
        }
    }
}
