//! Since when the counters of a database's tables and indexes go on. pg_stat_database.stats_reset moves where all of them are reset,
//! and where those of one table, index or function are reset alone: then the others go on, and so do those of the database
//! itself, by which the two are told apart. What was reset alone is seen to run backwards where it is compared.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::model::snapshot::{DatabaseFacts, ServerFacts};

/// Since when the counters of a database's tables and indexes count.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Since {
    /// All of them, as the server tells it, also those that were reset alone; a database that was made later counts since then.
    pub(super) all: Option<DateTime<Utc>>,
    /// Those that were not reset alone, as far as our own looks tell: what ends the windows of all of them.
    pub(super) most: Option<DateTime<Utc>>,
}

impl Since {
    /// Since when totals count; nothing where that is not the same for all of them.
    pub(super) fn of_totals(self) -> Option<DateTime<Utc>> {
        self.all.filter(|_| self.all == self.most)
    }
}

/// What the last look told of the resets of each database.
#[derive(Default)]
pub(super) struct Resets {
    looked_at: Option<DateTime<Utc>>,
    /// By OID.
    known: HashMap<u32, Known>,
}

struct Known {
    first_seen_at: DateTime<Utc>,
    /// As the server told it.
    reset_at: Option<DateTime<Utc>>,
    blocks_hit: i64,
    blocks_read: i64,
    /// Since when most counters go on.
    most: Option<DateTime<Utc>>,
}

/// The counters of a database must be so many times as old as the last look: then those of all that happened since cannot be
/// as high as they were, had they begun again.
const TIMES_AS_OLD: i32 = 10;

impl Known {
    /// Whether the counters of the database itself went on since the last look, though those of something in it may have been
    /// reset.
    fn goes_on(&self, now: &DatabaseFacts, looked_at: DateTime<Utc>, at: DateTime<Utc>) -> bool {
        if self.reset_at == now.statistics_reset_at {
            return true;
        }
        let begin = self.most.unwrap_or(self.first_seen_at);
        let is_old = looked_at - begin >= (at - looked_at) * TIMES_AS_OLD;
        let went_on = self.blocks_read <= now.blocks_read
            // all of them anew would hardly be nearly as many as before
            && (self.blocks_hit..=self.blocks_hit + self.blocks_hit / 2).contains(&now.blocks_hit);
        is_old && self.blocks_hit > 0 && went_on
    }
}

impl Resets {
    /// Takes a look in.
    pub(super) fn observe(&mut self, at: DateTime<Utc>, databases: &[DatabaseFacts]) {
        let looked_at = self.looked_at.replace(at);
        let before = std::mem::take(&mut self.known);
        let known = databases.iter().map(|now| {
            let before = before.get(&now.oid);
            let went_on = before
                .zip(looked_at)
                .filter(|(before, looked_at)| before.goes_on(now, *looked_at, at));
            let known = Known {
                first_seen_at: before.map_or(at, |before| before.first_seen_at),
                reset_at: now.statistics_reset_at,
                blocks_hit: now.blocks_hit,
                blocks_read: now.blocks_read,
                most: went_on.map_or(now.statistics_reset_at, |(before, _)| before.most),
            };
            (now.oid, known)
        });
        self.known = known.collect();
    }

    /// Since when most counters of a database go on: since they were reset, or the server crashed; nothing where that is not known.
    pub(super) fn most_since(&self, server: &ServerFacts, database: &str) -> Option<DateTime<Utc>> {
        let facts = server.databases.iter().find(|facts| facts.name == database)?;
        let known = self.known.get(&facts.oid);
        known
            .map_or(facts.statistics_reset_at, |known| known.most)
            .max(server.relations_counted_since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + minute * 60, 0).unwrap()
    }

    /// When a look was, when the server says that statistics were reset, and the blocks that it counts.
    type Looked = (i64, Option<i64>, i64);

    /// In which minute most counters began after some looks, by what the last one tells of crashes.
    fn most(looks: &[Looked], crash: Option<i64>) -> Option<DateTime<Utc>> {
        let mut resets = Resets::default();
        let mut server = ServerFacts {
            relations_counted_since: crash.map(at),
            ..ServerFacts::default()
        };
        for (minute, reset, blocks) in looks {
            server.databases = vec![DatabaseFacts {
                oid: 5,
                name: "d".into(),
                statistics_reset_at: reset.map(at),
                blocks_hit: *blocks,
                blocks_read: blocks / 10,
                ..DatabaseFacts::default()
            }];
            resets.observe(at(*minute), &server.databases);
        }
        assert_eq!(resets.most_since(&server, "gone"), None);
        resets.most_since(&server, "d")
    }

    #[test]
    fn what_was_reset_alone_leaves_the_others_going_on() {
        let before = (100, Some(0), 1_000_000);
        assert_eq!(most(&[before], None), Some(at(0)));
        assert_eq!(most(&[before, (101, Some(0), 1_000_900)], None), Some(at(0)));
        let alone = (101, Some(101), 1_000_900);
        assert_eq!(most(&[before, alone], None), Some(at(0)));
        let again = (105, Some(104), 1_004_000);
        assert_eq!(
            most(&[before, alone, again], None),
            Some(at(0)),
            "one after the other"
        );
        let all = (101, Some(101), 900);
        assert_eq!(most(&[before, all], None), Some(at(101)));
        assert_eq!(most(&[alone], None), Some(at(101)), "nobody looked before");
        assert_eq!(
            most(&[before, alone], Some(50)),
            Some(at(50)),
            "a crash since then"
        );
    }

    #[test]
    fn where_they_could_have_begun_again_they_have() {
        let alone = (101, Some(101), 1_000_900);
        let young = (100, Some(92), 1_000_000);
        assert_eq!(most(&[young, alone], None), Some(at(101)), "eight minutes old");
        let seldom = (60, Some(0), 1_000_000);
        assert_eq!(most(&[seldom, alone], None), Some(at(101)), "41 minutes apart");
        let few = (100, Some(0), 600_000);
        assert_eq!(most(&[few, alone], None), Some(at(101)), "nearly as many again");
        let none = (100, Some(0), 0);
        assert_eq!(most(&[none, (101, Some(101), 0)], None), Some(at(101)));
        let never = |first: i64| [(first, None, 900_000), (100, None, 1_000_000), alone];
        assert_eq!(most(&never(50), None), None, "known to go on for long");
        assert_eq!(most(&never(99), None), Some(at(101)), "known for a minute");
    }

    #[test]
    fn totals_count_only_where_all_of_them_began_together() {
        let since = |all: i64, most: i64| Since {
            all: Some(at(all)),
            most: Some(at(most)),
        };
        assert_eq!(since(3, 3).of_totals(), Some(at(3)));
        assert_eq!(since(9, 3).of_totals(), None);
    }
}
