//! What the standbys of a primary know of the use of its indexes: they are watched as servers of their own, and belong to
//! the primary while they have its system identifier and are in recovery. What one knew that cannot be seen now still holds.
//! And where the primary of a standby stands in its WAL, which a standby that is cut off cannot know.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::limits;
use crate::model::observation::Observation;
use crate::model::replication::WatchedPrimary;
use crate::model::status::ServerStatus;
use crate::store::{Store, StoreError};

/// The use of an index by database, schema and name: since when it is idle.
type Idle = HashMap<(String, String, String), DateTime<Utc>>;

/// Whether a server was seen of late.
fn is_seen(status: &ServerStatus, now: DateTime<Utc>) -> bool {
    let fresh = TimeDelta::from_std(limits::STANDBY_SEEN_WITHIN).unwrap_or(TimeDelta::MAX);
    status.last_seen_at.is_some_and(|at| now - at <= fresh) && status.unreachable.is_none()
}

/// The one primary of that system identifier that was seen of late; none where there are copies of each other.
fn primary(all: Vec<ServerStatus>, identifier: &str, now: DateTime<Utc>) -> Option<WatchedPrimary> {
    let is_primary = |status: &ServerStatus| {
        status.system_identifier.as_deref() == Some(identifier) && status.is_standby == Some(false)
    };
    let mut primaries = all.into_iter().filter(is_primary);
    // which of two it is nobody can tell, even while one of them does not answer
    let (Some(only), None) = (primaries.next(), primaries.next()) else {
        return None;
    };
    is_seen(&only, now).then(|| WatchedPrimary {
        wal_position_bytes: only.replication.and_then(|seen| seen.wal_position_bytes),
        name: only.name,
    })
}

/// Takes the use on watched standbys in: an index is idle only since all of them have left it alone. Of a standby it takes in
/// where its primary stands.
///
/// # Errors
/// If the store cannot be read.
pub fn add_to(observation: &mut Observation, store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
    let server = &observation.server;
    let Some(identifier) = &server.system_identifier else {
        return Ok(());
    };
    if server.is_standby {
        observation.primary = primary(store.servers()?, identifier, now);
        return Ok(());
    }
    let mut standbys: Vec<Idle> = Vec::new();
    let mut unseen: Vec<Idle> = Vec::new();
    for status in store.servers()? {
        let is_ours =
            status.system_identifier.as_ref() == Some(identifier) && status.is_standby == Some(true);
        if is_ours && status.name != server.name {
            let usages = store.index_usage(&status.name)?.into_iter();
            let idle = usages.map(|usage| {
                let since = usage.last_moved_at.unwrap_or(usage.first_seen_at);
                ((usage.key.database, usage.key.schema, usage.key.name), since)
            });
            match is_seen(&status, now) {
                true => standbys.push(idle.collect()),
                false => unseen.push(idle.collect()),
            }
        }
    }
    observation.standbys_watched = standbys.len();
    if standbys.is_empty() && unseen.is_empty() {
        return Ok(());
    }
    for database in &mut observation.databases {
        let catalog = database.catalog.clone();
        let mut facts = catalog.indexes.finder();
        for index in &mut database.indexes {
            let Some(facts) = facts.find(index.oid) else {
                continue;
            };
            let key = (database.name.clone(), facts.schema.clone(), facts.name.clone());
            let on_each = standbys.iter().map(|idle| idle.get(&key).copied());
            let known = unseen.iter().filter_map(|idle| idle.get(&key).copied());
            // what a standby does not know yet was not idle there; of one that cannot be seen only what it knew counts
            index.idle_since = on_each
                .collect::<Option<Vec<_>>>()
                .zip(index.idle_since)
                .and_then(|(there, here)| there.into_iter().chain(known).chain([here]).max());
            // totals of the primary say nothing of its standbys
            index.no_scan_counted_since = None;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::status::ReplicationStatus;
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
            replication: None,
        }
    }

    fn usage(name: &str, idle_days: i64) -> IndexUsage {
        let since = now() - TimeDelta::days(idle_days);
        IndexUsage {
            key: IndexKey {
                database: "app".into(),
                schema: "public".into(),
                name: name.into(),
            },
            oid: 9,
            scans: 1,
            first_seen_at: now() - TimeDelta::days(100),
            last_moved_at: Some(since),
            checked_at: since,
        }
    }

    /// Days for which an index is idle on the primary, which has been idle for 40 there, and how many standbys count.
    fn idle_days(standbys: &[(ServerStatus, Vec<IndexUsage>)]) -> (Option<i64>, usize) {
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
        let idle = observed.databases[0].indexes[0].idle_since;
        (
            idle.map(|since| (now() - since).num_days()),
            observed.standbys_watched,
        )
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
            observed.server.is_standby = true;
            observed.server.system_identifier = Some("1".into());
            add_to(&mut observed, &store, now()).unwrap();
            observed
                .primary
                .map(|primary| (primary.name, primary.wal_position_bytes.unwrap()))
        };
        assert_eq!(told(&[standby("b", "1", 1)]), None);
        assert_eq!(told(&[primary("a", 1)]), Some(("a".to_owned(), 5e9)));
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
