//! How often an index was scanned and written to over one time: over the days that the store remembers where they are enough,
//! else since a known reset of statistics.

use chrono::TimeDelta;

use crate::model::finding::Window;
use crate::model::index_days::{CountedUse, UseOverDays, scans_in_30_days};
use crate::model::observation::{TableActivity, TableDelta};
use crate::rules::Guards;
use crate::rules::index::too_many::entries;

/// A window that begins within so much of the reset is the whole time.
const SAME_TIME: TimeDelta = TimeDelta::minutes(1);

/// How the numbers of an index came about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    /// Look by look, over resets and crashes.
    Days,
    /// By the server itself since a known reset.
    Totals,
    /// Scans by the server since a known reset; what was written is an estimate from the last hours.
    LastHours,
}

impl Source {
    pub(super) fn guard(self, guards: &mut Guards) {
        match self {
            Self::Days => {
                guards.checked("it was there all that time, of which nine tenths or more were looked at");
            }
            Self::Totals => guards.not_checked("whether the index existed all that time"),
            Self::LastHours => {
                guards.not_checked("whether the index existed all that time");
                guards.not_checked("what was written before the last hours: estimated from them");
            }
        }
    }

    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Days => "counted look by look, over resets of statistics",
            Self::Totals | Self::LastHours => "counted since a known reset of statistics",
        }
    }
}

/// The numbers of an index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) window: Window,
    /// On the server and its standbys.
    pub(super) scans: i64,
    /// On its standbys; none where they are not known.
    pub(super) scans_on_standbys: Option<i64>,
    pub(super) scans_in_30_days: f64,
    /// Entries that were written to it.
    pub(super) entries: f64,
    pub(super) source: Source,
}

/// Over the days that are remembered.
pub(super) fn over_days(days: &UseOverDays, used: &CountedUse) -> Counted {
    let scans = used.all_scans();
    Counted {
        window: days.window,
        scans,
        scans_on_standbys: Some(used.scans_on_standbys),
        // in what nobody looked at it was used as in the rest
        scans_in_30_days: scans_in_30_days(scans, days.seen_seconds),
        entries: used.entries,
        source: Source::Days,
    }
}

/// What the server counts since a known reset.
pub(super) struct Totals<'a> {
    pub(super) age: Window,
    pub(super) activity: &'a [TableActivity],
}

impl Totals<'_> {
    /// What happened to a table over all of that time, or over a part of it.
    pub(super) fn of_table(&self, oid: u32) -> Option<TableDelta> {
        let position = self.activity.binary_search_by_key(&oid, |one| one.oid).ok()?;
        self.activity[position].over
    }

    /// Whether a window is all of the time that scans are counted. It is longer where the database is known to be there for a part
    /// of it only.
    pub(super) fn is_whole(&self, delta: &TableDelta) -> bool {
        delta.window.from - self.age.from <= SAME_TIME
    }

    /// Entries that were written to each index of a table in all that time, if they are more than enough, and how that is
    /// known.
    pub(super) fn written(&self, delta: &TableDelta, enough: f64) -> Option<(f64, Source)> {
        let counted = entries(delta) as f64;
        let estimated = counted / delta.window.seconds().max(1.0) * self.age.seconds();
        match (counted > enough, self.is_whole(delta)) {
            (true, true) => Some((counted, Source::Totals)),
            (false, true) => None,
            // what was written in a part of the time is less than what was written in all of it
            (true, false) => Some((estimated.max(counted), Source::Totals)),
            (false, false) => (estimated > enough).then_some((estimated, Source::LastHours)),
        }
    }
}
