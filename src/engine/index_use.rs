//! How one index is used on the standbys of a primary, as the store remembers it, beside what the primary itself counts.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::model::observation::IndexObservation;
use crate::model::status::ServerStatus;
use crate::observe::usage::WRITE_EVERY;
use crate::store::{Store, StoreError};

/// An index by its database and its OID, which a standby shares with its primary, whatever its name was when each was asked.
pub(super) type Key = (String, u32);

/// What a server knows of the use of an index.
#[derive(Clone, Copy)]
pub(super) struct IndexUse {
    /// Since when it is idle for sure.
    idle_since: DateTime<Utc>,
    /// When its scans may have grown last; none where they were never seen to: those that it has are of an unknown time.
    last_moved_at: Option<DateTime<Utc>>,
    /// Its scans since the counters began, but for those of the last hour, which may not be written down yet.
    scans: i64,
    /// When they began, if that is known.
    counted_since: Option<DateTime<Utc>>,
}

impl IndexUse {
    /// Scans since then, or since longer ago; none where they were not counted for so long.
    pub(super) fn scans_since(&self, since: DateTime<Utc>) -> Option<i64> {
        match self.idle_since <= since {
            true => Some(0),
            false => self
                .counted_since
                .filter(|counted| *counted <= since)
                .map(|_| self.scans),
        }
    }

    /// The same where some are better than none.
    fn some_scans_since(&self, since: DateTime<Utc>) -> i64 {
        self.scans_since(since).unwrap_or(self.scans)
    }

    /// Since when it is idle for sure, whatever use is not written down yet.
    pub(super) fn idle_since(&self) -> DateTime<Utc> {
        self.idle_since
    }

    /// When it was scanned last at the latest, where anybody saw that it ever was.
    pub(super) fn used_at(&self) -> Option<DateTime<Utc>> {
        self.last_moved_at.filter(|_| self.scans > 0)
    }

    /// With what the same server tells under another name.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            idle_since: self.idle_since.max(other.idle_since),
            last_moved_at: self.last_moved_at.max(other.last_moved_at),
            scans: self.scans.max(other.scans),
            counted_since: self.counted_since.max(other.counted_since),
        }
    }
}

/// What a server knows of the use of all of its indexes.
pub(super) type Uses = HashMap<Key, IndexUse>;

/// What the store has of it.
///
/// # Errors
/// If the store cannot be read.
pub(super) fn uses(status: &ServerStatus, store: &Store) -> Result<Uses, StoreError> {
    let usages = store.index_usage(&status.name)?.into_iter();
    let known = usages.map(|usage| {
        // an index in use is written down seldom: until its server was seen last it may have gone on being used
        let may_have_moved = |at: DateTime<Utc>| {
            let until = at + WRITE_EVERY;
            status.last_seen_at.map_or(until, |seen| until.min(seen)).max(at)
        };
        let last_moved_at = usage.last_moved_at.map(may_have_moved);
        let known = IndexUse {
            idle_since: last_moved_at.unwrap_or(usage.first_seen_at),
            last_moved_at,
            scans: usage.scans,
            counted_since: status.counters_since.get(&usage.key.database).copied(),
        };
        ((usage.key.database, usage.oid), known)
    });
    Ok(known.collect())
}

/// What standbys know of one index.
pub(super) struct KnownUse {
    /// Of all that are watched, if each of them knows it.
    pub(super) on_each: Option<Vec<IndexUse>>,
    /// Of those of which only what they know counts.
    pub(super) elsewhere: Vec<IndexUse>,
    /// When one of all of these used it last at the latest, where one was seen to.
    pub(super) used_at: Option<DateTime<Utc>>,
}

impl KnownUse {
    /// Takes it in, where the primary counts scans since then.
    pub(super) fn add_to(&self, index: &mut IndexObservation, counted_since: Option<DateTime<Utc>>) {
        let on_each = self.on_each.as_ref();
        index.idle_since = on_each.zip(index.idle_since).and_then(|(there, here)| {
            let known = there.iter().chain(&self.elsewhere).map(|one| one.idle_since);
            known.chain([here]).max()
        });
        index.scans_on_standbys = on_each.zip(counted_since).and_then(|(there, since)| {
            let counted = there.iter().try_fold(0_i64, |sum, one| {
                Some(sum.saturating_add(one.scans_since(since)?))
            })?;
            let known = self.elsewhere.iter();
            Some(known.fold(counted, |sum, one| {
                sum.saturating_add(one.some_scans_since(since))
            }))
        });
        index.used_on_standbys_at = self.used_at;
        // totals of the primary say nothing of its standbys
        index.no_scan_counted_since = None;
    }
}
