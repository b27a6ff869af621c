//! Scans of indexes that planning by the advisor counted are no use of them: where the planner's login may not switch off
//! counting, they are taken off before anybody compares what is counted.
//!
//! Planning tells of its scans before the server shows them to others. So of each index some are unseen for a while: what
//! a counter grows by is taken for those first, and only the rest is use.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::resets::Resets;
use super::usage::Usages;
use crate::model::own_planning::{KnownOwnScans, OwnScans};
use crate::model::snapshot::{IndexCounters, Snapshot};

/// A session that plans shows what it counted after some seconds, or when it ends. What a counter does not hold after this
/// time was lost, and is not taken for it any more.
const SHOWN_WITHIN: TimeDelta = TimeDelta::minutes(2);

/// What planning counted on one server.
#[derive(Debug, Default)]
pub struct OwnUse {
    databases: BTreeMap<String, BTreeMap<u32, Known>>,
    has_news: bool,
}

#[derive(Debug)]
struct Known {
    own: OwnScans,
    unseen: i64,
}

impl OwnUse {
    /// Takes in what was written down before.
    pub fn remember(&mut self, known: impl IntoIterator<Item = KnownOwnScans>) {
        for KnownOwnScans {
            database,
            own,
            unseen,
        } in known
        {
            let indexes = self.databases.entry(database).or_default();
            indexes.insert(own.oid, Known { own, unseen });
        }
    }

    /// Takes in what was counted since the last time, with the databases.
    pub fn add(&mut self, counted: impl IntoIterator<Item = (String, OwnScans)>) {
        for (database, own) in counted {
            self.has_news = true;
            let indexes = self.databases.entry(database).or_default();
            match indexes.get_mut(&own.oid) {
                Some(known) => {
                    known.unseen = known.unseen.saturating_add(own.scans);
                    known.own.add(&own);
                }
                None => {
                    let unseen = own.scans;
                    indexes.insert(own.oid, Known { own, unseen });
                }
            }
        }
    }

    /// All of it, if it is not what was told last.
    pub fn take_changed(&mut self) -> Option<Vec<KnownOwnScans>> {
        std::mem::take(&mut self.has_news).then(|| {
            let databases = self.databases.iter();
            let known = databases.flat_map(|(database, indexes)| {
                indexes.values().map(|known| KnownOwnScans {
                    database: database.clone(),
                    own: known.own.clone(),
                    unseen: known.unseen,
                })
            });
            known.collect()
        })
    }

    /// What was told could not be written down: it is told again.
    pub fn tell_again(&mut self) {
        self.has_news = true;
    }

    /// How many scans of how many indexes are taken off.
    pub fn totals(&self) -> (i64, usize) {
        let known = self.databases.values().flat_map(BTreeMap::values);
        known.fold((0, 0), |(scans, indexes), known| {
            (known.own.scans.saturating_add(scans), indexes + 1)
        })
    }

    /// Another server answers, which counted on its own.
    pub(super) fn forget(&mut self) {
        self.has_news |= !self.databases.is_empty();
        self.databases.clear();
    }

    /// Takes off what planning counted, given what others were seen to have used at the look before.
    pub(super) fn leave_out(&mut self, snapshot: &mut Snapshot, usages: &Usages, resets: &Resets) {
        if self.databases.is_empty() {
            return;
        }
        let Snapshot {
            at,
            server,
            databases,
            ..
        } = snapshot;
        let is_there = |name: &str| server.databases.iter().any(|database| database.name == name);
        let known = self.databases.len();
        self.databases.retain(|name, _| is_there(name));
        self.has_news |= self.databases.len() < known;
        for database in databases {
            let Some(indexes) = self.databases.get_mut(&database.name) else {
                continue;
            };
            // where those of one table were reset alone the others go on; and what was before the last look was seen then
            let since = resets
                .most_since(server, &database.name)
                .filter(|since| usages.last_look_at().is_none_or(|look| *since > look));
            let counted = &mut database.indexes;
            // where none was read nothing is known to be gone
            if counted.is_empty() {
                continue;
            }
            indexes.retain(|oid, known| {
                let place = counted.binary_search_by_key(oid, |counters| counters.oid);
                let before = (known.unseen, known.own.scans);
                let goes_on = place.is_ok_and(|place| {
                    let used_before = usages.scans_of(&database.name, *oid);
                    known.leave_out(&mut counted[place], used_before, since, *at)
                });
                self.has_news |= !goes_on || before != (known.unseen, known.own.scans);
                goes_on
            });
        }
    }
}

impl Known {
    /// Takes off what planning counted; not if the counters began again meanwhile, for nobody knows what of it is in them.
    fn leave_out(
        &mut self,
        counters: &mut IndexCounters,
        used_before: Option<i64>,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> bool {
        let used_before = used_before.unwrap_or(0);
        let used = counters.scans - (self.own.scans - self.unseen);
        if used < used_before || since.is_some_and(|since| since > self.own.first_at) {
            return false;
        }
        let seen = self.unseen.min(used - used_before);
        self.unseen -= seen;
        counters.scans = used - seen;
        if now - self.own.last_at > SHOWN_WITHIN {
            self.own.scans -= self.unseen;
            self.unseen = 0;
        }
        // the server tells the last scan by anybody: among ours it says only that theirs was before, at a time that is known
        // from before the first of ours, or from what moved since
        let ours = self.own.first_at..=self.own.last_at + SHOWN_WITHIN;
        if counters.last_scan_at.is_some_and(|at| ours.contains(&at)) {
            counters.last_scan_at = self.own.scanned_before;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::with_database;
    use super::*;
    use crate::model::own_planning::testing::own_scans;
    use crate::model::snapshot::{DatabaseFacts, DatabaseSnapshot};
    use crate::observe::Observer;
    use crate::observe::usage::{IndexName, Usage};

    fn time(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
    }

    fn own(scans: i64, at: i64) -> (String, OwnScans) {
        let own = OwnScans {
            scanned_before: Some(time(-1000)),
            ..own_scans(9, scans, time(at))
        };
        ("d".to_owned(), own)
    }

    /// What is left of one index that was scanned so often, last at that time, at a look; its use is remembered.
    fn look(observer: &mut Observer, at: i64, scans: i64, last_scan: i64, reset_at: i64) -> (i64, i64) {
        look_with_blocks(observer, at, scans, last_scan, reset_at, 0)
    }

    /// The same, of a database that counts so many blocks.
    fn look_with_blocks(
        observer: &mut Observer,
        at: i64,
        scans: i64,
        last_scan: i64,
        reset_at: i64,
        blocks_hit: i64,
    ) -> (i64, i64) {
        let database = DatabaseFacts {
            name: "d".into(),
            statistics_reset_at: Some(time(reset_at)),
            blocks_hit,
            ..DatabaseFacts::default()
        };
        let mut snapshot = Snapshot {
            databases: vec![DatabaseSnapshot {
                name: "d".into(),
                indexes: vec![IndexCounters {
                    oid: 9,
                    scans,
                    last_scan_at: Some(time(last_scan)),
                }],
                ..DatabaseSnapshot::default()
            }],
            ..with_database(time(at), database)
        };
        observer.leave_out_own_scans(&mut snapshot);
        let left = snapshot.databases[0].indexes[0];
        let name = IndexName {
            database: "d".into(),
            schema: "s".into(),
            name: "i".into(),
        };
        let usage = Usage {
            oid: 9,
            scans: left.scans,
            first_seen_at: time(0),
            last_moved_at: None,
        };
        observer.usages = Usages::default();
        observer.usages.remember([(name, usage)], Some(time(at)));
        (left.scans, (left.last_scan_at.unwrap() - time(0)).num_seconds())
    }

    const LONG_AGO: i64 = -9_000;

    #[test]
    fn what_planning_counts_is_no_use_however_late_the_server_shows_it() {
        let mut observer = Observer::default();
        assert_eq!(look(&mut observer, 0, 5, -1000, LONG_AGO), (5, -1000));
        observer.own_use.add([own(3, 10)]);
        assert_eq!(
            look(&mut observer, 20, 5, -1000, LONG_AGO),
            (5, -1000),
            "not shown yet"
        );
        assert_eq!(
            look(&mut observer, 30, 7, 12, LONG_AGO),
            (5, -1000),
            "two of three"
        );
        assert_eq!(look(&mut observer, 40, 8, 14, LONG_AGO), (5, -1000));
        assert_eq!(look(&mut observer, 50, 10, 45, LONG_AGO).0, 7, "two by others");
        observer.own_use.add([own(1, 55)]);
        assert_eq!(look(&mut observer, 60, 12, 56, LONG_AGO).0, 8);
        assert_eq!(
            look(&mut observer, 900, 13, 890, LONG_AGO),
            (9, 890),
            "long after planning"
        );
        assert_eq!(observer.own_use.totals(), (4, 1));
    }

    #[test]
    fn what_was_never_shown_does_not_hide_use_for_ever() {
        let mut observer = Observer::default();
        look(&mut observer, 0, 5, -1000, LONG_AGO);
        observer.own_use.add([own(3, 10)]);
        assert_eq!(
            look(&mut observer, 200, 6, 11, LONG_AGO).0,
            5,
            "one of three, then no more"
        );
        assert_eq!(look(&mut observer, 210, 8, 205, LONG_AGO).0, 7);
        assert_eq!(observer.own_use.totals(), (1, 1));
    }

    #[test]
    fn a_reset_ends_it_and_nothing_is_ever_less_than_it_was() {
        let planned = |observer: &mut Observer| {
            *observer = Observer::default();
            look(observer, 0, 5, -1000, LONG_AGO);
            observer.own_use.add([own(3, 10)]);
            assert_eq!(look(observer, 20, 8, 11, LONG_AGO).0, 5);
        };
        let mut observer = Observer::default();
        planned(&mut observer);
        assert_eq!(look(&mut observer, 30, 2, 25, LONG_AGO).0, 2, "fewer than before");
        assert_eq!(observer.own_use.totals(), (0, 0));
        planned(&mut observer);
        assert_eq!(
            look(&mut observer, 30, 20, 25, 22).0,
            20,
            "as many, by a server that tells"
        );
        assert_eq!(observer.own_use.totals(), (0, 0));
    }

    #[test]
    fn a_reset_of_one_table_alone_ends_nothing() {
        let mut observer = Observer::default();
        look_with_blocks(&mut observer, 0, 5, -1000, LONG_AGO, 1_000_000);
        observer.own_use.add([own(3, 10)]);
        assert_eq!(
            look_with_blocks(&mut observer, 20, 8, 11, LONG_AGO, 1_000_100).0,
            5
        );
        let after = look_with_blocks(&mut observer, 30, 8, 11, 22, 1_000_200);
        assert_eq!(after.0, 5, "the blocks went on");
        assert_eq!(observer.own_use.totals(), (3, 1));
        let all = look_with_blocks(&mut observer, 40, 8, 11, 32, 100);
        assert_eq!((all.0, observer.own_use.totals()), (8, (0, 0)), "all were reset");
    }

    #[test]
    fn a_clock_that_jumped_is_no_other_server() {
        let mut observer = Observer::default();
        look(&mut observer, 0, 5, -1000, LONG_AGO);
        observer.own_use.add([own(3, 10)]);
        let database = DatabaseFacts {
            name: "d".into(),
            ..DatabaseFacts::default()
        };
        let mut snapshot = with_database(time(20), database);
        snapshot.server.system_identifier = Some("1".into());
        observer.observe(&snapshot, false);
        snapshot.at = time(9_000);
        snapshot.taken_at = time(80);
        observer.leave_out_own_scans(&mut snapshot);
        assert_eq!(observer.own_use.totals(), (3, 1), "the server's clock jumped");
        snapshot.server.system_identifier = Some("2".into());
        observer.leave_out_own_scans(&mut snapshot);
        assert_eq!(observer.own_use.totals(), (0, 0), "another cluster answers");
    }

    #[test]
    fn it_is_told_once_and_goes_on_after_a_restart() {
        let mut observer = Observer::default();
        look(&mut observer, 0, 0, -1000, LONG_AGO);
        observer.own_use.add([own(3, 10)]);
        look(&mut observer, 20, 2, 11, LONG_AGO);
        let told = observer.own_use.take_changed().unwrap();
        assert_eq!((told[0].own.scans, told[0].unseen), (3, 1));
        assert_eq!(observer.own_use.take_changed(), None);
        look(&mut observer, 25, 2, 11, LONG_AGO);
        assert_eq!(observer.own_use.take_changed(), None, "nothing moved");
        let mut after = OwnUse::default();
        after.remember(told.clone());
        observer.own_use = after;
        assert_eq!(look(&mut observer, 40, 3, 12, LONG_AGO).0, 0);
        assert_eq!(observer.own_use.take_changed().unwrap()[0].unseen, 0);
        observer.own_use.tell_again();
        assert!(observer.own_use.take_changed().is_some());
    }
}
