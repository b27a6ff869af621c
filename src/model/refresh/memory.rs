//! What is remembered of one materialized view between its refreshes, and what each look at it adds.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Counted, Inputs, MaterializedView, Mode, ViewState};
use crate::limits;

/// What is remembered of one view between its refreshes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ViewMemory {
    /// The OID of the view that all this is about.
    pub oid: u32,
    /// When it was first seen.
    pub first_seen_at: Option<DateTime<Utc>>,
    /// Its state when it was last looked at.
    pub state: ViewState,
    /// When that was.
    pub looked_at: Option<DateTime<Utc>>,
    /// Its data are those of this moment or later; none if that is not known.
    pub fresh_as_of: Option<DateTime<Utc>>,
    /// Of this moment was the oldest view that it was made from; none if it reads none whose age is known.
    pub made_from: Option<DateTime<Utc>>,
    /// When it was last refreshed by anybody; of others only when that was seen.
    pub refreshed_at: Option<DateTime<Utc>>,
    /// When that was over, at the latest.
    pub refreshed_until: Option<DateTime<Utc>>,
    /// Whether that was not by us.
    pub refreshed_by_others: bool,
    /// The last moment at which nobody was refreshing it, as far as is known: what others do later begins later.
    pub quiet_at: Option<DateTime<Utc>>,
    /// What it would have read at that moment or before.
    pub quiet_inputs: Option<Inputs>,
    /// When a plain refresh last took too long for its readers.
    pub too_slow_at: Option<DateTime<Utc>>,
    /// Looks in a row at which somebody else was at it.
    pub busy_looks: u32,
    /// The last due moment that needs nothing more.
    pub handled_until: Option<DateTime<Utc>>,
    /// What it read when we last refreshed it, if nobody else has since.
    pub inputs: Option<Inputs>,
    /// Failures in a row for the moment that is due.
    pub failures: u32,
    /// Not before this.
    pub retry_at: Option<DateTime<Utc>>,
    /// Seconds of the last plain refreshes, newest last.
    pub plain_seconds: Vec<f64>,
    /// The same of those CONCURRENTLY.
    pub concurrent_seconds: Vec<f64>,
    /// When its row version was seen to move, where no rows were counted yet that would tell why.
    pub moved_at: Option<DateTime<Utc>>,
    /// When `refresh --due` was last called for it.
    pub called_at: Option<DateTime<Utc>>,
    /// What was counted of each of its statements when it last ended.
    pub counted: BTreeMap<Mode, Counted>,
    /// Scans counted when it was last looked at.
    pub scans: i64,
    /// When somebody was last seen to have read it between two looks without a refresh.
    pub read_at: Option<DateTime<Utc>>,
    /// Since when it is known whether somebody reads it.
    pub readers_watched_since: Option<DateTime<Utc>>,
    /// A person said that it is not to be refreshed for now. Kept beside the rest, which others write.
    #[serde(skip)]
    pub is_paused: bool,
    /// Its size after the last refresh.
    pub size_bytes: Option<f64>,
}

impl ViewMemory {
    /// Its rows are of this moment or later, those that it has from other views included.
    pub fn data_as_of(&self) -> Option<DateTime<Utc>> {
        let own = self.fresh_as_of?;
        Some(self.made_from.map_or(own, |others| others.min(own)))
    }

    /// Whether somebody else was at it just now, so that it is not tried for a moment.
    pub fn waits_for_others(&self, now: DateTime<Utc>) -> bool {
        self.busy_looks > 0 && self.retry_at.is_some_and(|at| at > now)
    }

    /// How long a refresh of that kind took lately, at worst of the last five.
    pub fn expected_seconds(&self, mode: Mode) -> Option<f64> {
        let seconds = match mode {
            Mode::Plain => &self.plain_seconds,
            Mode::Concurrently => &self.concurrent_seconds,
        };
        seconds.iter().copied().reduce(f64::max)
    }

    /// How long a refresh of that kind usually takes: one slow moment does not count.
    pub fn usual_seconds(&self, mode: Mode) -> Option<f64> {
        let mut seconds = match mode {
            Mode::Plain => self.plain_seconds.clone(),
            Mode::Concurrently => self.concurrent_seconds.clone(),
        };
        seconds.sort_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).copied()
    }

    /// Takes in how long one took.
    pub fn learn(&mut self, mode: Mode, seconds: f64) {
        let known = match mode {
            Mode::Plain => &mut self.plain_seconds,
            Mode::Concurrently => &mut self.concurrent_seconds,
        };
        known.push(seconds);
        let old = known.len().saturating_sub(5);
        known.drain(..old);
    }

    /// Takes in a look at the view. A view that is another one is forgotten first. Where a view that reads this one was
    /// refreshed since the last look, nobody can tell who else read it.
    pub fn look(
        &mut self,
        view: &MaterializedView,
        inputs: Option<Inputs>,
        now: DateTime<Utc>,
        was_read_by_a_refresh: bool,
    ) {
        // a refresh of ours ended while this look was under way: it knows better
        if self.oid == view.oid && self.looked_at.is_some_and(|looked_at| looked_at > now) {
            return;
        }
        // the version moves at once, what was written is counted somewhat later: until then what it was before is kept
        if self.oid == view.oid && self.state.is_uncounted_at(&view.state) {
            let lag = chrono::TimeDelta::seconds(limits::STATISTICS_LAG.as_secs() as i64 + 1);
            if now - *self.moved_at.get_or_insert(now) < lag {
                self.looked_at = Some(now);
                return;
            }
        }
        self.moved_at = None;
        let quiet = |before: Option<DateTime<Utc>>| match view.is_busy {
            true => before.max(view.busy_since),
            false => Some(now),
        };
        if self.oid != view.oid {
            *self = Self {
                oid: view.oid,
                first_seen_at: Some(now),
                is_paused: self.is_paused,
                state: view.state.clone(),
                scans: view.scans,
                looked_at: Some(now),
                readers_watched_since: Some(now),
                quiet_at: quiet(None),
                quiet_inputs: inputs.filter(|_| !view.is_busy),
                ..Self::default()
            };
            return;
        }
        match self.state.was_refreshed_until(&view.state) {
            true => {
                // it took its locks after that moment, and its snapshot after its locks
                self.fresh_as_of = self.quiet_at.max(self.fresh_as_of);
                self.made_from = None;
                self.refreshed_at = Some(view.committed_at.unwrap_or(now));
                self.refreshed_until = Some(now);
                self.refreshed_by_others = true;
                self.inputs = self.quiet_inputs.clone();
            }
            false if was_read_by_a_refresh && view.scans > self.scans => {
                self.readers_watched_since = Some(now)
            }
            false if view.scans > self.scans && self.state.version == view.state.version => {
                self.read_at = Some(now)
            }
            // a reset of the counters
            false if view.scans < self.scans => self.readers_watched_since = Some(now),
            false => {}
        }
        self.quiet_at = quiet(self.quiet_at);
        if !view.is_busy {
            self.quiet_inputs = inputs;
        }
        self.state = view.state.clone();
        self.scans = view.scans;
        self.looked_at = Some(now);
    }

    /// Whether somebody reads the view; none if it was not watched for a day, and nobody was seen.
    pub fn has_readers(&self, now: DateTime<Utc>) -> Option<bool> {
        let week = chrono::TimeDelta::days(7);
        let day = chrono::TimeDelta::days(1);
        match self.read_at {
            Some(at) if now - at < week => Some(true),
            _ if self.readers_watched_since.is_some_and(|since| now - since >= day) => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + second, 0).unwrap()
    }

    fn view(version: &str, filenode: u32, written: i64, scans: i64) -> MaterializedView {
        MaterializedView {
            oid: 7,
            is_populated: true,
            state: ViewState {
                version: version.into(),
                filenode,
                written,
            },
            scans,
            ..MaterializedView::default()
        }
    }

    #[test]
    fn a_refresh_by_others_is_seen_and_a_grant_is_none() {
        let mut memory = ViewMemory::default();
        memory.look(&view("1", 1, 0, 5), None, at(0), false);
        assert_eq!((memory.refreshed_at, memory.has_readers(at(1))), (None, None));
        memory.look(&view("2", 1, 0, 5), None, at(10), false);
        memory.look(&view("2", 1, 0, 5), None, at(25), false);
        assert_eq!(memory.refreshed_at, None, "a GRANT, or CREATE INDEX");
        memory.look(&view("2a", 3, 0, 5), None, at(30), false);
        memory.look(&view("2a", 3, 0, 5), None, at(45), false);
        assert_eq!(memory.refreshed_at, None, "VACUUM FULL");
        memory.look(&view("3", 4, 1, 6), None, at(50), false);
        assert_eq!(
            (memory.refreshed_at, memory.fresh_as_of),
            (Some(at(50)), Some(at(45)))
        );
        assert_eq!(memory.read_at, None, "a refresh scans its view, too");
        memory.look(&view("3", 4, 1, 7), None, at(60), false);
        assert_eq!(memory.has_readers(at(61)), Some(true));
        memory.look(&view("4", 2, 9, 7), None, at(70), false);
        assert_eq!(memory.fresh_as_of, Some(at(60)), "CONCURRENTLY");
        assert_eq!(memory.has_readers(at(9 * 86_400)), Some(false));
    }

    #[test]
    fn a_refresh_is_seen_though_its_rows_are_counted_after_its_version_moved() {
        let mut memory = ViewMemory::default();
        memory.look(&view("1", 1, 0, 5), None, at(0), false);
        memory.look(&view("2", 2, 0, 5), None, at(10), false);
        assert_eq!(memory.refreshed_at, None);
        memory.look(&view("2", 2, 7, 6), None, at(15), false);
        assert_eq!(
            (memory.refreshed_at, memory.fresh_as_of),
            (Some(at(15)), Some(at(0))),
            "it began after the last look at which the version was the old one"
        );
    }

    #[test]
    fn a_refresh_that_was_under_way_at_the_last_looks_is_older_than_they_are() {
        let mut memory = ViewMemory::default();
        memory.look(&view("1", 1, 0, 5), None, at(0), false);
        let busy = MaterializedView {
            is_busy: true,
            ..view("1", 1, 0, 5)
        };
        memory.look(&busy, None, at(10), false);
        memory.look(&view("2", 2, 9, 5), None, at(20), false);
        assert_eq!(memory.fresh_as_of, Some(at(0)), "when it began is not known");
        let seen = MaterializedView {
            busy_since: Some(at(25)),
            is_busy: true,
            ..view("2", 2, 9, 5)
        };
        memory.look(&seen, None, at(30), false);
        memory.look(&view("3", 3, 18, 5), None, at(40), false);
        assert_eq!(memory.fresh_as_of, Some(at(25)));
        memory.look(&view("1", 1, 0, 5), None, at(35), false);
        assert_eq!(
            memory.state.version, "3",
            "a look that is older than what is known"
        );
    }

    #[test]
    fn another_view_under_the_same_name_is_a_new_one() {
        let mut memory = ViewMemory::default();
        memory.look(&view("1", 1, 0, 5), None, at(0), false);
        memory.handled_until = Some(at(0));
        memory.is_paused = true;
        let other = MaterializedView {
            oid: 8,
            ..view("1", 1, 0, 0)
        };
        memory.look(&other, None, at(10), false);
        assert_eq!((memory.handled_until, memory.is_paused), (None, true));
    }
}
