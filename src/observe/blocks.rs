//! How databases found their blocks: over a day of looks, or since a known reset.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::finding::Window;
use crate::model::observation::BlockReads;
use crate::model::snapshot::{DatabaseFacts, Snapshot};

/// Looks of the last day, an hour apart.
#[derive(Default)]
pub struct Blocks {
    looks: VecDeque<(DateTime<Utc>, Vec<DatabaseFacts>)>,
}

const WINDOW: TimeDelta = TimeDelta::hours(24);
const KEPT_EVERY: TimeDelta = TimeDelta::hours(1);

impl Blocks {
    /// Takes in a look; tells for each watched database the longest window that is known, up to a day of our own looks.
    pub fn observe(&mut self, snapshot: &Snapshot, any_window: bool) -> Vec<BlockReads> {
        let now = snapshot.at;
        // a crash shows only in the statistics that all databases share
        let began = snapshot
            .server
            .shared_statistics_reset_at
            .max(Some(snapshot.server.started_at));
        self.looks
            .retain(|(at, _)| began.is_none_or(|began| began <= *at));
        while self.looks.get(1).is_some_and(|(at, _)| now - *at >= WINDOW) {
            self.looks.pop_front();
        }
        let watched = snapshot
            .server
            .databases
            .iter()
            .filter(|database| snapshot.watched.contains(&database.name));
        let seen = watched.filter_map(|database| self.of(database, now)).collect();
        if self.looks.back().is_none_or(|(at, _)| now - *at >= KEPT_EVERY) || any_window {
            self.looks.push_back((now, snapshot.server.databases.clone()));
        }
        seen
    }

    fn of(&self, now: &DatabaseFacts, at: DateTime<Utc>) -> Option<BlockReads> {
        let same = |before: &&DatabaseFacts| {
            before.oid == now.oid
                && before.statistics_reset_at == now.statistics_reset_at
                && before.blocks_hit <= now.blocks_hit
                && before.blocks_read <= now.blocks_read
        };
        let ours = self
            .looks
            .iter()
            .find_map(|(from, databases)| Some((*from, databases.iter().find(same)?)));
        let full = ours.filter(|(from, _)| at - *from >= WINDOW);
        let reads = |from: DateTime<Utc>, hit: i64, read: i64| BlockReads {
            database: now.name.clone(),
            window: Window { from, to: at },
            hit: now.blocks_hit - hit,
            read: now.blocks_read - read,
        };
        let since_reset = || Some(reads(now.statistics_reset_at?, 0, 0));
        let between = |(from, before): (DateTime<Utc>, &DatabaseFacts)| {
            reads(from, before.blocks_hit, before.blocks_read)
        };
        let told = full.map(between).or_else(since_reset).or(ours.map(between));
        // a crash empties counters without a reset
        told.filter(|told| told.hit >= 0 && told.read >= 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::with_database;
    use super::*;

    fn look(hour: i64, reset: Option<i64>, read: i64) -> Snapshot {
        let at = |hour: i64| DateTime::from_timestamp(1_790_000_000 + hour * 3600, 0).unwrap();
        let database = DatabaseFacts {
            oid: 5,
            name: "d".into(),
            blocks_hit: 10 * read,
            blocks_read: read,
            statistics_reset_at: reset.map(at),
            ..DatabaseFacts::default()
        };
        with_database(at(hour), database)
    }

    #[test]
    fn a_day_of_looks_goes_before_totals_and_totals_before_less_than_a_day() {
        let mut blocks = Blocks::default();
        let mut hours = |hour, reset, read| {
            let seen = blocks.observe(&look(hour, reset, read), false);
            seen.first()
                .map(|seen| ((seen.window.seconds() / 3600.0) as i64, seen.read))
        };
        assert_eq!(hours(0, Some(-100), 1000), Some((100, 1000)));
        assert_eq!(hours(5, Some(-100), 1005), Some((105, 1005)));
        for hour in 6..30 {
            hours(hour, Some(-100), 1000 + hour);
        }
        assert_eq!(hours(30, Some(-100), 1030), Some((24, 24)));
        assert_eq!(hours(31, Some(30), 3), Some((1, 3)), "after a reset");
        assert_eq!(hours(32, None, 4), None, "a crash");
        assert_eq!(hours(33, None, 6), Some((1, 2)));
    }
}
