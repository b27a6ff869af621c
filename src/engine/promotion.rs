//! What is known of a primary when its standby takes its place and both are watched: under which names, and which indexes it left
//! alone until then. A system identifier alone does not tell who followed whom: the history that is written from then on must be
//! the one after the primary's.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::index_use::uses;
use crate::model::snapshot::ServerFacts;
use crate::model::status::{Look, RunningServer, ServerStatus};
use crate::observe::usage::{IdleSince, UNSEEN_AT_MOST};
use crate::store::{Store, StoreError};

/// What a standby remembers of its primary, for when it is promoted.
#[derive(Default)]
pub(super) struct FollowedPrimary {
    /// The standby itself, as of its last look.
    standby: Option<RunningServer>,
    /// By their names, the primaries with its system identifier as they were last seen to be primaries: one that changes places
    /// with its standby may be seen as a standby before that one is seen as the primary.
    primaries: BTreeMap<String, RunningServer>,
}

/// The primary whose place a standby has taken.
#[derive(Debug, Default, PartialEq)]
pub(super) struct FormerPrimary {
    /// All of its names; none where nobody can tell which one it was.
    pub(super) names: Vec<String>,
    /// Since when it left indexes alone, without those of which that is not known up to now.
    pub(super) idle_since: IdleSince,
}

impl FollowedPrimary {
    /// What was known when the advisor ran last, by the servers as they were seen then: a standby may be promoted meanwhile.
    pub(super) fn remembered(name: &str, all: Vec<ServerStatus>) -> Self {
        let own = all.iter().find(|status| status.name == name);
        let standby = own.and_then(|status| status.running.clone());
        match standby.filter(|running| running.is_standby) {
            Some(standby) => Self::default().following(standby, all),
            None => Self::default(),
        }
    }

    /// Takes in who is looked at. Where this look is the first since the standby was promoted, gives the primary before.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(super) fn see(
        &mut self,
        server: &ServerFacts,
        store: &Store,
        now: DateTime<Utc>,
    ) -> Result<Option<FormerPrimary>, StoreError> {
        let Some(running) = server.running() else {
            return Ok(None);
        };
        if running.is_standby {
            let all = store.servers()?;
            *self = std::mem::take(self).following(running, all);
            return Ok(None);
        }
        let is_promoted = self
            .standby
            .as_ref()
            .is_some_and(|standby| standby.system_identifier == running.system_identifier);
        let former = match is_promoted {
            true => Some(self.former(&running, store, now)?),
            false => None,
        };
        *self = Self::default();
        Ok(former)
    }

    fn following(mut self, standby: RunningServer, all: Vec<ServerStatus>) -> Self {
        let primaries = all.into_iter().filter_map(|status| {
            let running = status.running?;
            let is_its = !running.is_standby && running.system_identifier == standby.system_identifier;
            is_its.then_some((status.name, running))
        });
        self.primaries.extend(primaries);
        self.standby = Some(standby);
        self
    }

    /// The primary before the one that runs now.
    fn former(
        &self,
        running: &RunningServer,
        store: &Store,
        now: DateTime<Utc>,
    ) -> Result<FormerPrimary, StoreError> {
        let primaries = self.primaries.iter();
        let former: Vec<_> = primaries.filter(|(_, one)| precedes(one, running)).collect();
        let mut pairs = former.windows(2);
        // which of two copies it was nobody can tell
        if !pairs.all(|pair| pair[0].1.is_same_as(pair[1].1)) {
            return Ok(FormerPrimary::default());
        }
        let names: Vec<String> = former.into_iter().map(|(name, _)| name.clone()).collect();
        // what it counts itself began anew where it was started again
        let standby = self.standby.as_ref();
        let idle_since = match standby.is_some_and(|standby| standby.started_at == running.started_at) {
            true => idle_since(&names, running, store, now)?,
            false => IdleSince::default(),
        };
        Ok(FormerPrimary { names, idle_since })
    }
}

/// Since when a primary left indexes alone, under all of its names.
fn idle_since(
    names: &[String],
    running: &RunningServer,
    store: &Store,
    now: DateTime<Utc>,
) -> Result<IdleSince, StoreError> {
    let mut idle_since = IdleSince::default();
    let looks = store.looks()?;
    for status in store.servers()? {
        let is_of_cluster = status.system_identifier.as_ref() == Some(&running.system_identifier);
        if !names.contains(&status.name) || !is_of_cluster {
            continue;
        }
        let visited = visited(&status, &looks, now);
        for ((database, oid), one) in uses(&status, store)? {
            if visited.contains(database.as_str()) {
                let since = one.idle_since();
                let known = idle_since.entry(database).or_default();
                let known = known.entry(oid).or_insert(since);
                *known = since.max(*known);
            }
        }
    }
    Ok(idle_since)
}

/// Whether a primary's history is the one before another's.
fn precedes(before: &RunningServer, now: &RunningServer) -> bool {
    let timelines = before.timeline.zip(now.timeline);
    timelines.is_some_and(|(before, now)| before + 1 == now)
}

/// A promotion takes so long anyway, however close together looks are.
const UNSEEN_AT_LEAST: TimeDelta = TimeDelta::minutes(1);

/// The family of questions that tell how indexes are used.
const OF_INDEXES: &str = "relations";

/// For how long nobody may have looked at the indexes of a server whose use is taken for known: three of its looks.
fn unseen_at_most(server: &ServerStatus) -> TimeDelta {
    let cost = server.families.iter().find(|cost| cost.family == OF_INDEXES);
    let every = cost.and_then(|cost| cost.every_seconds);
    let three = every.map(|seconds| TimeDelta::milliseconds((seconds * 3000.0) as i64));
    three.map_or(UNSEEN_AT_MOST, |three| {
        three.clamp(UNSEEN_AT_LEAST, UNSEEN_AT_MOST)
    })
}

/// The databases of a server whose indexes were looked at up to now, or nearly so: what they did is known.
fn visited<'a>(server: &ServerStatus, looks: &'a [Look], now: DateTime<Utc>) -> HashSet<&'a str> {
    let unseen_at_most = unseen_at_most(server);
    let of_indexes = looks.iter().filter(|look| {
        look.server == server.name
            && look.family == OF_INDEXES
            && look.error.is_none()
            && now - look.at <= unseen_at_most
    });
    of_indexes.filter_map(|look| look.database.as_deref()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::status::FamilyCost;
    use crate::rules::testing::now;
    use crate::store::{IndexKey, IndexUsage};

    fn ago(minutes: i64) -> DateTime<Utc> {
        now() - TimeDelta::minutes(minutes)
    }

    /// A server that started so many minutes ago; a standby where it writes no history.
    fn server(timeline: Option<i64>, started: i64) -> ServerFacts {
        ServerFacts {
            system_identifier: Some("1".into()),
            timeline,
            started_at: ago(started),
            is_standby: timeline.is_none(),
            ..ServerFacts::default()
        }
    }

    fn record(store: &Store, name: &str, server: &ServerFacts) {
        let status = ServerStatus {
            system_identifier: server.system_identifier.clone(),
            is_standby: Some(server.is_standby),
            running: server.running(),
            ..ServerStatus::unseen(name)
        };
        store.record_server(&status).unwrap();
    }

    fn record_look(store: &Store, minutes_ago: i64, error: Option<&str>) {
        let look = Look {
            server: "main".into(),
            family: "relations".into(),
            database: Some("app".into()),
            at: ago(minutes_ago),
            elapsed_seconds: 0.0,
            rows: 2,
            error: error.map(str::to_owned),
        };
        store.record_look(&look).unwrap();
    }

    /// What is known of a primary of the first history that was looked at a minute ago: index 7 was never seen to be used in
    /// 1000 minutes, index 8 was 300 minutes ago, and of another database nothing is seen any more.
    fn watched() -> Store {
        let store = Store::in_memory().unwrap();
        record(&store, "main", &server(Some(1), 900));
        record_look(&store, 1, None);
        let usage = |database: &str, oid: u32, moved: Option<i64>| IndexUsage {
            key: IndexKey {
                database: database.into(),
                schema: "public".into(),
                name: format!("i{oid}"),
            },
            oid,
            scans: 0,
            first_seen_at: ago(1000),
            last_moved_at: moved.map(ago),
            checked_at: ago(1),
        };
        let all = [
            usage("app", 7, None),
            usage("app", 8, Some(300)),
            usage("unvisited", 9, None),
        ];
        store.save_index_usage("main", &all, &[]).unwrap();
        store
    }

    /// For how many minutes indexes are idle on the primary before, as a look at this server tells.
    fn told(
        followed: &mut FollowedPrimary,
        store: &Store,
        promoted: &ServerFacts,
    ) -> Option<Vec<(String, u32, i64)>> {
        let idle_since = followed.see(promoted, store, now()).unwrap()?.idle_since;
        let mut all: Vec<(String, u32, i64)> = idle_since
            .into_iter()
            .flat_map(|(database, indexes)| {
                let minutes = indexes.into_iter();
                minutes.map(move |(oid, since)| (database.clone(), oid, (now() - since).num_minutes()))
            })
            .collect();
        all.sort();
        Some(all)
    }

    /// The same of a standby that looked once, with something that happened since then.
    fn told_after(happens: impl FnOnce(&Store), promoted: &ServerFacts) -> Option<Vec<(String, u32, i64)>> {
        let store = watched();
        let mut followed = FollowedPrimary::default();
        assert_eq!(told(&mut followed, &store, &server(None, 500)), None);
        happens(&store);
        // it may be looked at once more before it is promoted
        assert_eq!(told(&mut followed, &store, &server(None, 500)), None);
        let told_then = told(&mut followed, &store, promoted);
        assert_eq!(told(&mut followed, &store, promoted), None, "once");
        told_then
    }

    fn both() -> Vec<(String, u32, i64)> {
        // of the last hour not all use is written down
        vec![("app".to_owned(), 7, 1000), ("app".to_owned(), 8, 240)]
    }

    #[test]
    fn what_the_primary_left_alone_is_known_when_its_standby_takes_its_place() {
        let promoted = server(Some(2), 500);
        assert_eq!(told_after(|_| (), &promoted), Some(both()));
        let changed_places = |store: &Store| record(store, "main", &server(None, 3));
        assert_eq!(told_after(changed_places, &promoted), Some(both()));
        let long_gone = |store: &Store| record(store, "before", &server(Some(0), 9000));
        assert_eq!(told_after(long_gone, &promoted), Some(both()));
    }

    #[test]
    fn three_looks_may_be_missing_and_never_more_than_ten_minutes() {
        let unseen = |every_seconds: Option<f64>| {
            let status = ServerStatus {
                families: vec![FamilyCost {
                    family: "relations".into(),
                    seconds_last_hour: 1.0,
                    budget_share: 0.1,
                    every_seconds,
                    usual_every_seconds: every_seconds,
                }],
                ..ServerStatus::unseen("main")
            };
            unseen_at_most(&status).num_seconds()
        };
        assert_eq!(unseen(Some(60.0)), 180);
        assert_eq!(unseen(Some(1.0)), 60);
        assert_eq!(unseen(Some(3600.0)), 600);
        assert_eq!(unseen(None), 600);
        assert_eq!(unseen_at_most(&ServerStatus::unseen("main")), UNSEEN_AT_MOST);
        let looked_every_minute = |minutes_ago: i64| {
            move |store: &Store| {
                record_look(store, minutes_ago, None);
                let primary = server(Some(1), 900);
                let mut status = ServerStatus {
                    system_identifier: primary.system_identifier.clone(),
                    is_standby: Some(false),
                    running: primary.running(),
                    ..ServerStatus::unseen("main")
                };
                status.families = vec![FamilyCost {
                    family: "relations".into(),
                    seconds_last_hour: 1.0,
                    budget_share: 0.1,
                    every_seconds: Some(60.0),
                    usual_every_seconds: Some(60.0),
                }];
                store.record_server(&status).unwrap();
            }
        };
        let promoted = server(Some(2), 500);
        assert_eq!(told_after(looked_every_minute(3), &promoted), Some(both()));
        assert_eq!(told_after(looked_every_minute(4), &promoted), Some(Vec::new()));
    }

    #[test]
    fn nothing_is_known_of_a_primary_that_was_not_watched_up_to_the_promotion() {
        let promoted = server(Some(2), 500);
        let unknown = Some(Vec::new());
        assert_eq!(
            told_after(|store| record_look(store, 11, None), &promoted),
            unknown
        );
        let failed = |store: &Store| record_look(store, 1, Some("permission denied"));
        assert_eq!(told_after(failed, &promoted), unknown);
        let of_another = server(Some(3), 500);
        assert_eq!(
            told_after(|_| (), &of_another),
            unknown,
            "it followed one that nobody saw"
        );
        let untold = ServerFacts {
            timeline: None,
            ..promoted.clone()
        };
        assert_eq!(told_after(|_| (), &untold), unknown);
        let copy = |store: &Store| record(store, "copy", &server(Some(1), 800));
        assert_eq!(
            told_after(copy, &promoted),
            unknown,
            "which of the two it followed"
        );
        let other_cluster = |store: &Store| {
            let other = ServerFacts {
                system_identifier: Some("2".into()),
                ..server(Some(1), 5)
            };
            record(store, "main", &other);
        };
        assert_eq!(told_after(other_cluster, &promoted), unknown);
        let started_again = server(Some(2), 1);
        assert_eq!(told_after(|_| (), &started_again), unknown);
    }

    #[test]
    fn who_was_followed_is_known_after_a_restart_of_the_advisor_or_of_the_server() {
        let store = watched();
        record(&store, "reserve", &server(None, 500));
        let names_after_restart = |promoted: &ServerFacts| {
            let mut followed = FollowedPrimary::remembered("reserve", store.servers().unwrap());
            let former = followed.see(promoted, &store, now()).unwrap();
            assert_eq!(followed.see(promoted, &store, now()).unwrap(), None, "once");
            former.map(|former| former.names)
        };
        let main = Some(vec!["main".to_owned()]);
        assert_eq!(names_after_restart(&server(Some(2), 500)), main);
        assert_eq!(
            names_after_restart(&server(Some(2), 1)),
            main,
            "it was started again"
        );
        assert_eq!(names_after_restart(&server(Some(3), 500)), Some(Vec::new()));
        assert_eq!(names_after_restart(&server(None, 500)), None, "still a standby");
        let other_cluster = ServerFacts {
            system_identifier: Some("2".into()),
            ..server(Some(2), 500)
        };
        assert_eq!(names_after_restart(&other_cluster), None);
        // one that was a primary before took nobody's place
        record(&store, "reserve", &server(Some(1), 500));
        assert_eq!(names_after_restart(&server(Some(2), 500)), None);
    }

    #[test]
    fn where_who_it_is_cannot_be_read_once_nothing_is_forgotten() {
        let (store, mut followed) = (watched(), FollowedPrimary::default());
        assert_eq!(told(&mut followed, &store, &server(None, 500)), None);
        assert_eq!(told(&mut followed, &store, &ServerFacts::default()), None);
        assert_eq!(told(&mut followed, &store, &server(Some(2), 500)), Some(both()));
    }
}
