//! Since when the counters of a database's relations count at least. A crash and a reset are told by the server; of a database that
//! was never reset PostgreSQL 15 and later tell nothing, and its creation is recorded nowhere: it may be seconds old on a server
//! that has counted for a year. So its counters are believed from when something proves that it was there.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use crate::model::snapshot::{DatabaseFacts, DatabaseSnapshot, ServerFacts};

/// Databases of lower OIDs were made by initdb, and are as old as the server.
const FIRST_OF_USERS: u32 = 16_384;

/// By OID, the earliest time at which a database is known to be there.
#[derive(Default)]
pub(super) struct Existence {
    known: HashMap<u32, DateTime<Utc>>,
    /// The OID that each name had at the last look.
    by_name: HashMap<String, u32>,
    /// Databases that took a name which another one had: what was known by the name is not about them.
    made_anew: HashSet<u32>,
}

impl Existence {
    /// Takes a look in: what is seen is there.
    pub(super) fn observe(&mut self, at: DateTime<Utc>, databases: &[DatabaseFacts]) {
        let known = databases.iter().map(|facts| {
            let before = self.known.get(&facts.oid).copied();
            (facts.oid, before.map_or(at, |before| before.min(at)))
        });
        self.known = known.collect();
        let is_another = |facts: &&DatabaseFacts| {
            let before = self.by_name.get(&facts.name);
            before.is_some_and(|before| *before != facts.oid)
        };
        let made_anew = databases.iter().filter(is_another).map(|facts| facts.oid);
        self.made_anew.extend(made_anew);
        self.made_anew.retain(|oid| self.known.contains_key(oid));
        let by_name = databases.iter().map(|facts| (facts.name.clone(), facts.oid));
        self.by_name = by_name.collect();
    }

    /// Forgets since when databases are there: the clock, or the server, is another one. What took the name of another one did
    /// so all the same.
    pub(super) fn forget_times(&mut self) {
        self.known.clear();
    }

    /// Since when the counters of a database count at least, if that is known. `watched_since`: somebody looked at it then.
    pub(super) fn counters_since(
        &mut self,
        server: &ServerFacts,
        database: &DatabaseSnapshot,
        watched_since: Option<DateTime<Utc>>,
    ) -> Option<DateTime<Utc>> {
        let facts = server
            .databases
            .iter()
            .find(|facts| facts.name == database.name)?;
        // a standby counts from its own start on, and whatever is made on its primary later was not scanned before
        if server.is_standby || facts.statistics_reset_at.is_some() || facts.oid < FIRST_OF_USERS {
            return facts.statistics_reset_at.max(server.relations_counted_since);
        }
        let watched_since = watched_since.filter(|_| !self.made_anew.contains(&facts.oid));
        let seen = self.known.get_mut(&facts.oid)?;
        // what is known does not change with the next VACUUM, or pages would
        *seen = times(database).chain(watched_since).fold(*seen, Ord::min);
        Some(server.relations_counted_since?.max(*seen))
    }
}

/// When something happened in a database: it was there then.
fn times(database: &DatabaseSnapshot) -> impl Iterator<Item = DateTime<Utc>> {
    let activity = database.table_activity.iter().flat_map(|look| &look.tables);
    let of_tables = activity.flat_map(|table| [table.last_analyze_at, table.last_sequential_scan_at]);
    let vacuumed = database.tables.iter().map(|table| table.last_vacuum_at);
    let scanned = database.indexes.iter().map(|index| index.last_scan_at);
    of_tables.chain(vacuumed).chain(scanned).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::{IndexCounters, TableCounters};

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + hour * 3600, 0).unwrap()
    }

    /// A server that has counted since hour 0, with one database.
    fn server(oid: u32, reset: Option<i64>) -> ServerFacts {
        ServerFacts {
            relations_counted_since: Some(at(0)),
            databases: vec![DatabaseFacts {
                oid,
                name: "d".into(),
                statistics_reset_at: reset.map(at),
                ..DatabaseFacts::default()
            }],
            ..ServerFacts::default()
        }
    }

    /// The database with one table, and one index of it.
    fn seen(vacuumed: Option<i64>, scanned: Option<i64>) -> DatabaseSnapshot {
        DatabaseSnapshot {
            name: "d".into(),
            tables: vec![TableCounters {
                last_vacuum_at: vacuumed.map(at),
                ..TableCounters::default()
            }],
            indexes: vec![IndexCounters {
                oid: 9,
                scans: 0,
                last_scan_at: scanned.map(at),
            }],
            ..DatabaseSnapshot::default()
        }
    }

    /// Since when it is counted, as the first look tells it in hour 100.
    fn first(
        server: &ServerFacts,
        seen: &DatabaseSnapshot,
        watched_since: Option<i64>,
    ) -> Option<DateTime<Utc>> {
        let mut existence = Existence::default();
        existence.observe(at(100), &server.databases);
        existence.counters_since(server, seen, watched_since.map(at))
    }

    #[test]
    fn a_database_is_not_as_old_as_its_server() {
        let nothing = seen(None, None);
        assert_eq!(first(&server(16_384, None), &nothing, None), Some(at(100)));
        assert_eq!(
            first(&server(16_383, None), &nothing, None),
            Some(at(0)),
            "initdb made it"
        );
        assert_eq!(
            first(&server(16_384, Some(7)), &nothing, None),
            Some(at(7)),
            "a known reset"
        );
        let mut crashed = server(16_384, Some(7));
        crashed.relations_counted_since = Some(at(9));
        assert_eq!(first(&crashed, &nothing, None), Some(at(9)));
        crashed.relations_counted_since = None;
        assert_eq!(first(&crashed, &nothing, None), Some(at(7)));
        crashed.databases[0].statistics_reset_at = None;
        assert_eq!(first(&crashed, &nothing, None), None, "nobody knows");
    }

    #[test]
    fn what_happened_in_it_proves_that_it_was_there() {
        let since =
            |vacuumed, scanned, watched| first(&server(16_384, None), &seen(vacuumed, scanned), watched);
        assert_eq!(since(Some(40), None, None), Some(at(40)));
        assert_eq!(since(Some(40), Some(30), None), Some(at(30)));
        assert_eq!(
            since(Some(40), Some(30), Some(20)),
            Some(at(20)),
            "somebody looked at it"
        );
        assert_eq!(since(None, Some(130), None), Some(at(100)), "a clock that is off");
        assert_eq!(since(Some(-5), None, None), Some(at(0)), "before a crash");
    }

    #[test]
    fn what_is_known_stays_and_another_database_under_the_name_begins_anew() {
        let mut existence = Existence::default();
        let (old, new) = (server(16_384, None), server(16_400, None));
        let mut since = |hour: i64, server: &ServerFacts, vacuumed: Option<i64>| {
            existence.observe(at(hour), &server.databases);
            existence.counters_since(server, &seen(vacuumed, None), None)
        };
        assert_eq!(since(100, &old, Some(40)), Some(at(40)));
        assert_eq!(since(101, &old, Some(101)), Some(at(40)), "VACUUM came again");
        assert_eq!(since(102, &new, None), Some(at(102)));
        assert_eq!(since(110, &new, None), Some(at(102)));
    }

    #[test]
    fn what_is_known_by_the_name_is_not_about_the_database_that_took_it() {
        let mut existence = Existence::default();
        let (old, new) = (server(16_384, None), server(16_400, None));
        let since = |existence: &mut Existence, hour: i64, server: &ServerFacts| {
            existence.observe(at(hour), &server.databases);
            existence.counters_since(server, &seen(None, None), Some(at(20)))
        };
        assert_eq!(since(&mut existence, 100, &old), Some(at(20)));
        assert_eq!(since(&mut existence, 102, &new), Some(at(102)));
        assert_eq!(since(&mut existence, 110, &new), Some(at(102)), "it stays known");
        existence.forget_times();
        assert_eq!(since(&mut existence, 111, &new), Some(at(111)));
        existence.observe(at(112), &[]);
        assert!(existence.made_anew.is_empty() && existence.by_name.is_empty());
    }

    #[test]
    fn a_standby_counts_from_its_own_start_on() {
        let mut standby = server(16_384, None);
        standby.is_standby = true;
        assert_eq!(first(&standby, &seen(None, None), None), Some(at(0)));
        standby.databases[0].statistics_reset_at = Some(at(7));
        assert_eq!(first(&standby, &seen(None, None), None), Some(at(7)));
    }
}
