//! What the standbys of a primary know of the use of its indexes and materialized views: they are watched as servers of their
//! own, and belong to the primary while they have its system identifier, are in recovery and keep up with it. What one knew that
//! cannot be seen now, or stands still, still holds.
//! And where the primary of a standby stands in its WAL, which a standby that is cut off cannot know.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::index_use::{IndexUse, Key, KnownUse, Uses, uses};
use super::view_reads::{self, KnownReads, Reader};
use crate::limits;
use crate::model::observation::Observation;
use crate::model::replication::{Replay, WatchedPrimary, WatchedStandbys};
use crate::model::snapshot::ServerFacts;
use crate::model::status::ServerStatus;
use crate::store::{Store, StoreError};

/// Whether a server was seen of late.
pub(super) fn is_seen(status: &ServerStatus, now: DateTime<Utc>) -> bool {
    let fresh = TimeDelta::from_std(limits::STANDBY_SEEN_WITHIN).unwrap_or(TimeDelta::MAX);
    status.last_seen_at.is_some_and(|at| now - at <= fresh) && status.unreachable.is_none()
}

/// The one primary of a standby that was seen of late, under whichever of its names; none where there are copies of each other.
fn primary(all: Vec<ServerStatus>, standby: &ServerFacts, now: DateTime<Utc>) -> Option<WatchedPrimary> {
    // what is recorded of the standby itself is as old as its last look: it may have been the primary then
    let is_primary = |status: &ServerStatus| {
        status.system_identifier == standby.system_identifier
            && status.is_standby == Some(false)
            && status.name != standby.name
    };
    let primaries: Vec<ServerStatus> = all.into_iter().filter(is_primary).collect();
    let first = primaries.first()?;
    // which of two copies it is nobody can tell, even while one of them does not answer
    if !primaries[1..].iter().all(|other| other.is_same_server(first)) {
        return None;
    }
    let seen = primaries.into_iter().find(|primary| is_seen(primary, now))?;
    Some(WatchedPrimary {
        wal_position_bytes: seen.replication.and_then(|seen| seen.wal_position_bytes),
        name: seen.name,
    })
}

/// The standbys of a primary.
#[derive(Default)]
struct Standbys {
    /// Each that was seen of late and keeps up: what it does not know is unknown.
    watched: Vec<(ServerStatus, Uses)>,
    /// Of one that is watched under several names its first, and another.
    other_names: Vec<(String, String)>,
    /// Those that cannot be seen, and copies that stand still, by name: only what they know counts.
    others: Vec<(String, Uses)>,
}

impl Standbys {
    fn add(&mut self, status: ServerStatus, uses: Uses, now: DateTime<Utc>) {
        if !is_seen(&status, now) || !keeps_up(&status) {
            self.others.push((status.name, uses));
            return;
        }
        let mut watched = self.watched.iter_mut();
        match watched.find(|(known, _)| known.is_same_server(&status)) {
            None => self.watched.push((status, uses)),
            // under each of its names other databases may be watched
            Some((first, known)) => {
                self.other_names.push((first.name.clone(), status.name));
                for (key, one) in uses {
                    let before = known.get(&key).copied();
                    known.insert(key, before.map_or(one, |before| before.and(one)));
                }
            }
        }
    }

    fn facts(&self) -> WatchedStandbys {
        let receivers = |(status, _): &(ServerStatus, Uses)| {
            let replication = status.replication.as_ref();
            replication.map_or(0, |seen| seen.standbys.len())
        };
        let is_paused = |status: &ServerStatus| replay(status).is_some_and(|replay| replay.is_paused);
        let watched = || self.watched.iter().map(|(status, _)| status);
        WatchedStandbys {
            names: watched().map(|status| status.name.clone()).collect(),
            paused: watched()
                .filter(|&status| is_paused(status))
                .map(|status| status.name.clone())
                .collect(),
            streaming: self.watched.iter().filter(|(status, _)| streams(status)).count(),
            receivers: self.watched.iter().map(receivers).sum(),
            unseen: self.others.len(),
            uncounted: Vec::new(),
        }
    }

    fn use_of(&self, key: &Key) -> KnownUse {
        let others = || self.others.iter().map(|(_, uses)| uses);
        let all = self.watched.iter().map(|(_, uses)| uses).chain(others());
        let known = all.filter_map(|uses| uses.get(key));
        KnownUse {
            used_at: known.filter_map(IndexUse::used_at).max(),
            on_each: self
                .watched
                .iter()
                .map(|(_, uses)| uses.get(key).copied())
                .collect(),
            elsewhere: others().filter_map(|uses| uses.get(key).copied()).collect(),
        }
    }

    /// Each by all of its names.
    fn readers(&self) -> Vec<Reader<'_>> {
        let watched = self.watched.iter().map(|(status, _)| {
            let first = &status.name;
            let more = self.other_names.iter().filter(|(of, _)| of == first);
            Reader {
                names: std::iter::once(first).chain(more.map(|(_, name)| name)).collect(),
                is_watched: true,
            }
        });
        let others = self.others.iter().map(|(name, _)| Reader {
            names: vec![name],
            is_watched: false,
        });
        watched.chain(others).collect()
    }

    /// The names of those that did not count the scans of an index for so long.
    fn not_counting(&self, key: &Key, since: Option<DateTime<Utc>>) -> Vec<&str> {
        let counts = |uses: &Uses| {
            uses.get(key)
                .zip(since)
                .and_then(|(one, since)| one.scans_since(since))
        };
        let watched = self.watched.iter();
        watched
            .filter(|(_, uses)| counts(uses).is_none())
            .map(|(status, _)| status.name.as_str())
            .collect()
    }
}

/// How a server keeps up, where that could be read.
fn replay(status: &ServerStatus) -> Option<&Replay> {
    status.replication.as_ref()?.replay.as_ref()
}

fn streams(status: &ServerStatus) -> bool {
    replay(status).is_some_and(|replay| replay.is_streaming)
}

/// Whether a server in recovery follows its primary.
fn keeps_up(status: &ServerStatus) -> bool {
    replay(status).is_some_and(Replay::keeps_up)
}

/// Takes the use on watched standbys in: an index is idle only since all of them have left it alone, and their scans are told
/// beside those of the primary; a view that is refreshed, which must be in it already, is read where one of them reads it. Of a
/// standby it takes in where its primary stands.
///
/// # Errors
/// If the store cannot be read.
pub fn add_to(observation: &mut Observation, store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
    add_with(observation, (store, &mut KnownReads::default()), now)
}

/// The same with what was read of views a while ago.
///
/// # Errors
/// If the store cannot be read.
pub(super) fn add_with(
    observation: &mut Observation,
    (store, known): (&Store, &mut KnownReads),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let server = &observation.server;
    let Some(identifier) = &server.system_identifier else {
        return Ok(());
    };
    if server.is_standby {
        observation.primary = primary(store.servers()?, server, now);
        return Ok(());
    }
    let mut standbys = Standbys::default();
    for status in store.servers()? {
        let is_ours =
            status.system_identifier.as_ref() == Some(identifier) && status.is_standby == Some(true);
        if is_ours && status.name != server.name {
            let uses = uses(&status, store)?;
            standbys.add(status, uses, now);
        }
    }
    observation.standbys_watched = standbys.facts();
    if standbys.watched.is_empty() && standbys.others.is_empty() {
        return Ok(());
    }
    let mut uncounted = BTreeSet::new();
    for database in &mut observation.databases {
        for index in &mut database.indexes {
            let key = (database.name.clone(), index.oid);
            standbys.use_of(&key).add_to(index, database.counters_since);
            if index.scans_on_standbys.is_none() {
                uncounted.extend(standbys.not_counting(&key, database.counters_since));
            }
        }
    }
    observation.standbys_watched.uncounted = uncounted.into_iter().map(str::to_owned).collect();
    view_reads::add_to(
        &mut observation.databases,
        &standbys.readers(),
        (store, known),
        now,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::replication::Standby;
    use crate::model::status::{ReplicationStatus, RunningServer};
    use crate::observe::usage::WRITE_EVERY;
    use crate::rules::testing::{database, index, now};
    use crate::store::{IndexKey, IndexUsage};

    fn standby(name: &str, identifier: &str, seen_minutes_ago: i64) -> ServerStatus {
        ServerStatus {
            name: name.into(),
            version_num: Some(180_000),
            system_identifier: Some(identifier.into()),
            is_standby: Some(true),
            databases: vec!["app".into()],
            last_seen_at: Some(now() - TimeDelta::minutes(seen_minutes_ago)),
            unreachable: None,
            own_seconds_last_hour: 0.0,
            own_cost_ratio: 0.0,
            own_entries_seconds_last_hour: None,
            families: Vec::new(),
            replication: replaying(|replay| replay.is_streaming = true),
            running: None,
            told_by: None,
            counters_since: [("app".to_owned(), now() - TimeDelta::days(90))].into(),
        }
    }

    /// How a standby keeps up that does not stream, but for that.
    fn replaying(change: impl FnOnce(&mut Replay)) -> Option<ReplicationStatus> {
        let mut replay = Replay::default();
        change(&mut replay);
        Some(ReplicationStatus {
            replay: Some(replay),
            ..ReplicationStatus::default()
        })
    }

    /// An index that is idle for so long for sure: it may have been used on until its use was due to be written down again.
    fn usage(name: &str, idle_days: i64) -> IndexUsage {
        let since = now() - TimeDelta::days(idle_days) - WRITE_EVERY;
        IndexUsage {
            key: IndexKey {
                database: "app".into(),
                schema: "public".into(),
                name: name.into(),
            },
            oid: 9,
            scans: 7,
            first_seen_at: now() - TimeDelta::days(100),
            last_moved_at: Some(since),
            checked_at: since,
        }
    }

    /// A primary with an index that has been idle there for 40 days, for which its scans are counted, too.
    fn observed(standbys: &[(ServerStatus, Vec<IndexUsage>)]) -> Observation {
        let store = Store::in_memory().unwrap();
        for (status, usages) in standbys {
            store.record_server(status).unwrap();
            store.save_index_usage(&status.name, usages, &[]).unwrap();
        }
        let mut observed = database(vec![index(9, "i")]);
        observed.server.system_identifier = Some("1".into());
        let seen = &mut observed.databases[0].indexes[0];
        seen.idle_since = Some(now() - TimeDelta::days(40));
        seen.no_scan_counted_since = seen.idle_since;
        add_to(&mut observed, &store, now()).unwrap();
        observed
    }

    /// Days for which the index is idle everywhere, and how many standbys count.
    fn idle_days(standbys: &[(ServerStatus, Vec<IndexUsage>)]) -> (Option<i64>, usize) {
        let observed = observed(standbys);
        let idle = observed.databases[0].indexes[0].idle_since;
        (
            idle.map(|since| (now() - since).num_days()),
            observed.standbys_watched.names.len(),
        )
    }

    #[test]
    fn scans_of_standbys_count_where_they_are_counted_for_as_long() {
        let scans = |standbys: &[(ServerStatus, Vec<IndexUsage>)]| {
            let observed = observed(standbys);
            let there = observed.databases[0].indexes[0].scans_on_standbys;
            (there, observed.standbys_watched.uncounted)
        };
        let (b, c) = (standby("b", "1", 1), standby("c", "1", 1));
        assert_eq!(scans(&[]), (Some(0), vec![]));
        assert_eq!(scans(&[(b.clone(), vec![usage("i", 3)])]), (Some(7), vec![]));
        let both = [(b.clone(), vec![usage("i", 3)]), (c, vec![usage("i", 3)])];
        assert_eq!(scans(&both), (Some(14), vec![]));
        let since = |days: i64| ServerStatus {
            counters_since: [("app".to_owned(), now() - TimeDelta::days(days))].into(),
            ..b.clone()
        };
        assert_eq!(scans(&[(since(40), vec![usage("i", 3)])]), (Some(7), vec![]));
        let unknown = (None, vec!["b".to_owned()]);
        assert_eq!(
            scans(&[(since(39), vec![usage("i", 3)])]),
            unknown,
            "a day is missing"
        );
        assert_eq!(
            scans(&[(since(39), vec![usage("i", 41)])]),
            (Some(0), vec![]),
            "whatever its counters say, it was idle for longer"
        );
        assert_eq!(
            scans(&[(b.clone(), vec![])]),
            unknown,
            "it does not know the index yet"
        );
        let gone = standby("e", "1", 300);
        assert_eq!(
            scans(&[(b.clone(), vec![usage("i", 3)]), (gone, vec![usage("i", 3)])]),
            (Some(14), vec![]),
            "what one knew that is not seen counts, too"
        );
        let unseen = |minutes_ago: i64| {
            let standby = standby("b", "1", minutes_ago);
            observed(&[(standby, vec![usage("i", 3)])])
                .standbys_watched
                .unseen
        };
        assert_eq!((unseen(1), unseen(300)), (0, 1));
    }

    #[test]
    fn a_standby_may_have_used_an_index_since_its_use_was_written_down() {
        let idle_minutes = |moved_minutes_ago: i64, seen_minutes_ago: i64| {
            let row = IndexUsage {
                last_moved_at: Some(now() - TimeDelta::minutes(moved_minutes_ago)),
                ..usage("i", 3)
            };
            let there = observed(&[(standby("b", "1", seen_minutes_ago), vec![row])]);
            let seen = &there.databases[0].indexes[0];
            assert_eq!(seen.idle_since, seen.used_on_standbys_at);
            seen.idle_since.map(|since| (now() - since).num_minutes())
        };
        assert_eq!(idle_minutes(40, 1), Some(1), "it may be in use now");
        assert_eq!(idle_minutes(40, 20), Some(20), "nothing is known of later");
        assert_eq!(idle_minutes(90, 1), Some(30), "more would be written down");
        assert_eq!(idle_minutes(5, 9), Some(5), "a clock that runs behind");
    }

    #[test]
    fn only_those_that_keep_up_are_watched_standbys() {
        let as_told = |replication: Option<ReplicationStatus>| {
            let status = ServerStatus {
                replication,
                ..standby("b", "1", 1)
            };
            let known = idle_days(&[(status.clone(), vec![usage("i", 3)])]);
            (known, idle_days(&[(status, vec![])]))
        };
        let watched = ((Some(3), 1), (None, 1));
        let copy = ((Some(3), 0), (Some(40), 0));
        assert_eq!(as_told(replaying(|replay| replay.is_streaming = true)), watched);
        assert_eq!(as_told(replaying(|_| ())), copy, "what it used is used");
        assert_eq!(as_told(None), copy, "nobody knows whether it streams");
        let restored = |seconds: f64, change: fn(&mut Replay)| {
            as_told(replaying(|replay| {
                replay.restores_from_archive = Some(true);
                replay.since_last_commit_seconds = Some(seconds);
                change(replay);
            }))
        };
        assert_eq!(restored(3600.0, |_| ()), watched);
        assert_eq!(restored(3601.0, |_| ()), copy);
        assert_eq!(
            restored(3601.0, |replay| replay.delay_seconds = 60.0),
            watched,
            "late on purpose"
        );
        assert_eq!(
            restored(60.0, |replay| replay.is_paused = true),
            copy,
            "it has reached its target"
        );
        assert_eq!(restored(60.0, |replay| replay.restores_from_archive = None), copy);
    }

    #[test]
    fn what_a_standby_scans_is_known_to_be_used_whatever_others_know_and_however_it_is_named() {
        let used_days_ago = |standbys: &[(ServerStatus, Vec<IndexUsage>)]| {
            let used = observed(standbys).databases[0].indexes[0].used_on_standbys_at;
            used.map(|at| (now() - at).num_days())
        };
        let (b, c) = (standby("b", "1", 1), standby("c", "1", 1));
        assert_eq!(used_days_ago(&[]), None);
        assert_eq!(used_days_ago(&[(b.clone(), vec![usage("i", 3)])]), Some(3));
        assert_eq!(
            used_days_ago(&[(b.clone(), vec![usage("i", 3)]), (c, vec![])]),
            Some(3),
            "another one does not know it yet"
        );
        let gone = standby("e", "1", 300);
        assert_eq!(used_days_ago(&[(gone, vec![usage("i", 5)])]), Some(5));
        let never = IndexUsage {
            scans: 0,
            ..usage("i", 3)
        };
        assert_eq!(
            used_days_ago(&[(b.clone(), vec![never])]),
            None,
            "it counts no scan"
        );
        let of_unknown_age = IndexUsage {
            last_moved_at: None,
            ..usage("i", 3)
        };
        assert_eq!(
            used_days_ago(&[(b.clone(), vec![of_unknown_age])]),
            None,
            "its scans are older than the first look"
        );
        let before = usage("its_name_before", 3);
        assert_eq!(used_days_ago(&[(b.clone(), vec![before])]), Some(3));
        let another = IndexUsage {
            oid: 8,
            ..usage("i", 3)
        };
        assert_eq!(
            used_days_ago(&[(b, vec![another])]),
            None,
            "one that had the name before"
        );
    }

    #[test]
    fn a_copy_and_a_standby_of_a_standby_do_not_stand_for_one_that_is_not_watched() {
        let unwatched = |there: i64, standbys: Vec<ServerStatus>| {
            let standbys: Vec<_> = standbys.into_iter().map(|status| (status, vec![])).collect();
            let mut observed = observed(&standbys);
            observed.server.standbys = there;
            observed.standbys_unwatched()
        };
        let (b, c) = (standby("b", "1", 1), standby("c", "1", 1));
        assert_eq!(unwatched(1, vec![b.clone()]), 0);
        assert_eq!(unwatched(2, vec![b.clone()]), 1);
        assert_eq!(unwatched(2, vec![b.clone(), c.clone()]), 0);
        let copy = ServerStatus {
            replication: replaying(|_| ()),
            ..c.clone()
        };
        assert_eq!(unwatched(2, vec![b.clone(), copy]), 1);
        let mut sends = b;
        let replication = sends.replication.as_mut().unwrap();
        replication.standbys = vec![Standby::default()];
        assert_eq!(
            unwatched(2, vec![sends.clone(), c.clone()]),
            1,
            "c streams from it"
        );
        assert_eq!(unwatched(1, vec![sends, c]), 0);
    }

    #[test]
    fn a_primary_is_told_whose_replay_is_paused() {
        let paused = ServerStatus {
            replication: replaying(|replay| {
                replay.is_streaming = true;
                replay.is_paused = true;
            }),
            ..standby("c", "1", 1)
        };
        let watched = observed(&[(standby("b", "1", 1), vec![]), (paused, vec![])]).standbys_watched;
        assert_eq!((watched.names.len(), watched.paused), (2, vec!["c".to_owned()]));
    }

    #[test]
    fn a_standby_is_told_where_its_only_primary_stands() {
        let primary = |name: &str, minutes_ago: i64| ServerStatus {
            is_standby: Some(false),
            replication: Some(ReplicationStatus {
                wal_position_bytes: Some(5e9),
                ..ReplicationStatus::default()
            }),
            ..standby(name, "1", minutes_ago)
        };
        let told = |others: &[ServerStatus]| {
            let store = Store::in_memory().unwrap();
            for status in others {
                store.record_server(status).unwrap();
            }
            let mut observed = database(vec![index(9, "i")]);
            observed.server.name = "b".into();
            observed.server.is_standby = true;
            observed.server.system_identifier = Some("1".into());
            add_to(&mut observed, &store, now()).unwrap();
            observed
                .primary
                .map(|primary| (primary.name, primary.wal_position_bytes.unwrap()))
        };
        assert_eq!(told(&[standby("b", "1", 1)]), None);
        assert_eq!(told(&[primary("a", 1)]), Some(("a".to_owned(), 5e9)));
        assert_eq!(told(&[primary("b", 1)]), None, "what it was a minute ago itself");
        assert_eq!(told(&[primary("a", 300)]), None, "not seen of late");
        assert_eq!(
            told(&[primary("a", 1), primary("c", 1)]),
            None,
            "copies of each other"
        );
        assert_eq!(
            told(&[primary("a", 300), primary("c", 1)]),
            None,
            "the one that does not answer may be it"
        );
        let started = |hours_ago: i64, status: ServerStatus| ServerStatus {
            running: Some(RunningServer {
                system_identifier: "1".into(),
                timeline: Some(1),
                is_standby: false,
                started_at: now() - TimeDelta::hours(hours_ago),
            }),
            ..status
        };
        assert_eq!(
            told(&[started(9, primary("a", 1)), started(9, primary("c", 1))]),
            Some(("a".to_owned(), 5e9)),
            "one under two names"
        );
        assert_eq!(
            told(&[started(9, primary("a", 300)), started(9, primary("c", 1))]),
            Some(("c".to_owned(), 5e9)),
            "it answers under one of them"
        );
        assert_eq!(
            told(&[started(9, primary("a", 1)), started(8, primary("c", 1))]),
            None,
            "copies do not start in one moment"
        );
        let other = ServerStatus {
            system_identifier: Some("2".into()),
            ..primary("d", 1)
        };
        assert_eq!(told(&[other]), None, "of another cluster");
    }

    #[test]
    fn an_index_is_idle_since_every_standby_left_it_alone() {
        assert_eq!(idle_days(&[]), (Some(40), 0));
        let used = standby("b", "1", 1);
        assert_eq!(idle_days(&[(used.clone(), vec![usage("i", 3)])]), (Some(3), 1));
        assert_eq!(idle_days(&[(used.clone(), vec![usage("i", 50)])]), (Some(40), 1));
        assert_eq!(
            idle_days(&[
                (used.clone(), vec![usage("i", 50)]),
                (standby("c", "1", 1), vec![usage("i", 7)])
            ]),
            (Some(7), 2)
        );
        assert_eq!(
            idle_days(&[(used, vec![])]),
            (None, 1),
            "it does not know the index yet"
        );
        let named = |name: &str| ServerStatus {
            running: Some(RunningServer {
                system_identifier: "1".into(),
                timeline: None,
                is_standby: true,
                started_at: now(),
            }),
            ..standby(name, "1", 1)
        };
        assert_eq!(
            idle_days(&[(named("b"), vec![usage("i", 3)]), (named("c"), vec![])]),
            (Some(3), 1),
            "one under two names, which does not watch the database under one of them"
        );
        let other = standby("d", "2", 1);
        assert_eq!(
            idle_days(&[(other, vec![usage("i", 3)])]),
            (Some(40), 0),
            "of another primary"
        );
        let gone = standby("e", "1", 300);
        assert_eq!(
            idle_days(&[(gone.clone(), vec![usage("i", 3)])]),
            (Some(3), 0),
            "not seen for hours: what it knew still holds"
        );
        assert_eq!(
            idle_days(&[(gone, vec![])]),
            (Some(40), 0),
            "and what it did not know is no use"
        );
        let mut promoted = standby("f", "1", 1);
        promoted.is_standby = Some(false);
        assert_eq!(
            idle_days(&[(promoted, vec![usage("i", 3)])]),
            (Some(40), 0),
            "a clone, or promoted"
        );
    }
}
