//! How indexes were used over the days that the store remembers: no reset of statistics, crash or failover ends them.

use std::sync::Arc;

use super::finding::Window;
use super::unit::Period;

/// Scans are told as those of so long a time.
pub const SCANS_OVER: Period = Period::days(30);

/// Scans of some seconds as those of 30 days.
pub fn scans_in_30_days(scans: i64, seconds: f64) -> f64 {
    scans as f64 * SCANS_OVER.as_seconds() / seconds.max(1.0)
}

/// How little an index must be used to be told of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LittleUse {
    /// For how long scans must have been counted.
    pub min_age: Period,
    /// Scans in 30 days are fewer than this.
    pub max_scans: f64,
    /// Entries that are written to it for each scan are more than this.
    pub entries_per_scan: f64,
}

impl LittleUse {
    /// What is little by one of two.
    pub fn or(self, other: Self) -> Self {
        Self {
            min_age: self.min_age.min(other.min_age),
            max_scans: self.max_scans.max(other.max_scans),
            entries_per_scan: self.entries_per_scan.min(other.entries_per_scan),
        }
    }

    /// Whether an index was scanned, and seldom.
    pub fn is_seldom(&self, scans: i64, scans_in_30_days: f64) -> bool {
        scans > 0 && scans_in_30_days < self.max_scans
    }

    /// Whether more was written to an index than its scans are worth.
    pub fn is_outweighed(&self, scans: i64, entries: f64) -> bool {
        entries > self.entries_per_scan * scans as f64
    }
}

/// What is known of the indexes of a database over those days.
#[derive(Clone, Debug, Default)]
pub enum OverDays {
    /// Nothing: nobody remembers them, too little was looked at, or what some standbys did is not known.
    #[default]
    Unknown,
    /// It is being read.
    Coming,
    /// So much.
    Known(Arc<UseOverDays>),
}

/// How indexes were used over those days. There can be tens of thousands, of which few were used little.
#[derive(Clone, Debug)]
pub struct UseOverDays {
    /// From the first of these days to now.
    pub window: Window,
    /// How much of that was looked at.
    pub seen_seconds: f64,
    /// By OID.
    little: Box<[(u32, CountedUse)]>,
    /// OIDs of those that were counted, too, and were used enough, or not at all.
    others: Box<[u32]>,
}

/// How one index was used over those days.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Used {
    /// So little that it may be told of.
    Little(CountedUse),
    /// Enough, or not at all, or little was written to it.
    Otherwise,
}

/// How one index was used while somebody looked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CountedUse {
    /// On the server itself.
    pub scans: i64,
    /// On its standbys that are watched.
    pub scans_on_standbys: i64,
    /// Entries that writes to its table made.
    pub entries: f64,
}

impl UseOverDays {
    /// Takes the indexes that were used little, and the OIDs of the others that were counted, in any order.
    pub fn new(
        window: Window,
        seen_seconds: f64,
        mut little: Vec<(u32, CountedUse)>,
        mut others: Vec<u32>,
    ) -> Self {
        little.sort_unstable_by_key(|(oid, _)| *oid);
        others.sort_unstable();
        Self {
            window,
            seen_seconds,
            little: little.into(),
            others: others.into(),
        }
    }

    /// How an index was used; none where it was not counted, since it was not there from the first day on.
    pub fn of(&self, oid: u32) -> Option<Used> {
        if let Ok(position) = self.little.binary_search_by_key(&oid, |(known, _)| *known) {
            return Some(Used::Little(self.little[position].1));
        }
        self.others.binary_search(&oid).ok().map(|_| Used::Otherwise)
    }
}

impl CountedUse {
    /// On the server and its standbys.
    pub fn all_scans(&self) -> i64 {
        self.scans.saturating_add(self.scans_on_standbys)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    #[test]
    fn what_was_not_counted_is_not_taken_for_what_was_used_enough() {
        let used = CountedUse {
            scans: 1,
            scans_on_standbys: 2,
            entries: 9.0,
        };
        let at = DateTime::<Utc>::UNIX_EPOCH;
        let window = Window { from: at, to: at };
        let days = UseOverDays::new(window, 1.0, vec![(7, used), (3, used)], vec![8, 2]);
        for oid in [3, 7] {
            assert_eq!(days.of(oid), Some(Used::Little(used)));
        }
        for oid in [2, 8] {
            assert_eq!(days.of(oid), Some(Used::Otherwise));
        }
        assert_eq!(days.of(5), None);
        assert_eq!(used.all_scans(), 3);
    }

    #[test]
    fn little_by_one_of_two_is_little_by_both_together() {
        let little = |days: u64, max_scans: f64, entries_per_scan: f64| LittleUse {
            min_age: Period::days(days),
            max_scans,
            entries_per_scan,
        };
        let either = little(30, 10.0, 100.0).or(little(60, 1_000.0, 5.0));
        assert_eq!(either, little(30, 1_000.0, 5.0));
        assert!(
            either.is_seldom(999, 999.0) && !either.is_seldom(1_000, 1_000.0) && !either.is_seldom(0, 0.0)
        );
        assert!(either.is_outweighed(2, 10.1) && !either.is_outweighed(2, 10.0));
        assert_eq!(scans_in_30_days(10, 60.0 * 86_400.0), 5.0);
    }
}
