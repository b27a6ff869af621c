//! What happened to tables and indexes since their names were read before, and which of them changed: for the history.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::history::{IndexCounts, RelationPoint, RelationsMinute, TableCounts};
use crate::model::observation::{DatabaseObservation, IndexObservation, TableObservation};
use crate::model::relation::{IndexNow, TableNow};
use crate::model::snapshot::{
    DatabaseSnapshot, IndexCounters, IndexFacts, TableActivityCounters, TableActivityLook, TableFacts,
};

/// An index that was scanned within this is not told to be idle, so that its row does not change at each look.
const IDLE_FROM: TimeDelta = TimeDelta::days(1);

/// What was seen of each database when its names were read last.
#[derive(Default)]
pub struct Relations {
    known: HashMap<String, Known>,
}

struct Known {
    /// The counters; none where they cannot be compared with what follows.
    look: Option<Arc<TableActivityLook>>,
    at: DateTime<Utc>,
    /// In the order of their OIDs.
    scans: Vec<(u32, i64)>,
    /// What was written down of each: its name, and a hash of it.
    tables: HashMap<(String, String), u64>,
    indexes: HashMap<(String, String), u64>,
}

/// What a look tells of one relation: its name, and a hash of how it is.
fn written<T: Hash>(now: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    now.hash(&mut hasher);
    hasher.finish()
}

impl Relations {
    /// What happened in a database, where its names were read again in this look.
    pub fn observe(
        &mut self,
        snapshot: &DatabaseSnapshot,
        observation: &DatabaseObservation,
    ) -> Option<RelationsMinute> {
        let look = snapshot.table_activity.as_ref()?;
        let known = self.known.remove(&snapshot.name);
        if let Some(known) = known {
            if known.look.as_ref().is_some_and(|last| Arc::ptr_eq(last, look)) {
                self.known.insert(snapshot.name.clone(), known);
                return None;
            }
            let is_counted_on = observation.counters_since.is_none_or(|since| since <= known.at);
            let last = known.look.as_deref().filter(|_| is_counted_on);
            let mut minute = happened(snapshot, observation, look, last.map(|last| (last, &known)));
            let scans = scans(&snapshot.indexes);
            let (tables, tables_gone) = changed(&mut minute.tables_now, known.tables, table_name);
            let (indexes, indexes_gone) = changed(&mut minute.indexes_now, known.indexes, index_name);
            self.remember(snapshot, look, scans, tables, indexes);
            return Some(RelationsMinute {
                tables_gone,
                indexes_gone,
                ..minute
            });
        }
        let mut minute = happened(snapshot, observation, look, None);
        minute.is_whole = true;
        let (tables, _) = changed(&mut minute.tables_now, HashMap::new(), table_name);
        let (indexes, _) = changed(&mut minute.indexes_now, HashMap::new(), index_name);
        self.remember(snapshot, look, scans(&snapshot.indexes), tables, indexes);
        Some(minute)
    }

    fn remember(
        &mut self,
        snapshot: &DatabaseSnapshot,
        look: &Arc<TableActivityLook>,
        scans: Vec<(u32, i64)>,
        tables: HashMap<(String, String), u64>,
        indexes: HashMap<(String, String), u64>,
    ) {
        let known = Known {
            look: Some(look.clone()),
            at: look.at,
            scans,
            tables,
            indexes,
        };
        self.known.insert(snapshot.name.clone(), known);
    }

    /// What follows is another server, or another time: nothing is compared with what was before.
    pub fn end_windows(&mut self) {
        self.known.values_mut().for_each(|known| known.look = None);
    }

    /// What was told could not be written down: all of it is told again.
    pub fn tell_again(&mut self) {
        self.known.clear();
    }

    /// Forgets databases that are gone.
    pub fn forget_databases_but(&mut self, there: &[&str]) {
        self.known.retain(|name, _| there.contains(&name.as_str()));
    }
}

fn table_name(now: &TableNow) -> (String, String) {
    (now.schema.clone(), now.name.clone())
}

fn index_name(now: &IndexNow) -> (String, String) {
    (now.schema.clone(), now.name.clone())
}

/// Leaves those that are not as they were written down; gives what is written down now, and the names that are gone.
#[allow(clippy::type_complexity)]
fn changed<T: Hash>(
    now: &mut Vec<T>,
    mut before: HashMap<(String, String), u64>,
    name: impl Fn(&T) -> (String, String),
) -> (HashMap<(String, String), u64>, Vec<(String, String)>) {
    let mut known = HashMap::with_capacity(now.len());
    now.retain(|one| {
        let (name, hash) = (name(one), written(one));
        let is_changed = before.remove(&name) != Some(hash);
        known.insert(name, hash);
        is_changed
    });
    (known, before.into_keys().collect())
}

fn scans(indexes: &[IndexCounters]) -> Vec<(u32, i64)> {
    indexes.iter().map(|index| (index.oid, index.scans)).collect()
}

/// What happened since an earlier look, and how everything is now. Without an earlier one only how large it is.
fn happened(
    snapshot: &DatabaseSnapshot,
    observation: &DatabaseObservation,
    look: &TableActivityLook,
    before: Option<(&TableActivityLook, &Known)>,
) -> RelationsMinute {
    let catalog = &snapshot.catalog;
    let mut minute = RelationsMinute {
        database: snapshot.name.clone(),
        seconds: before.map_or(0.0, |(last, _)| {
            (look.at - last.at).num_milliseconds().max(0) as f64 / 1000.0
        }),
        ..RelationsMinute::default()
    };
    let mut scans_of_tables: HashMap<u32, u64> = HashMap::new();
    let mut bytes_of_tables: HashMap<u32, f64> = HashMap::new();
    let mut facts_of_indexes = catalog.indexes.finder();
    let counters = snapshot.indexes.iter().filter_map(|index| {
        let facts = facts_of_indexes.find(index.oid)?;
        (!facts.is_partitioned).then_some((index, facts))
    });
    let mut observed = by_oid(&observation.indexes, |index: &IndexObservation| index.oid);
    for (index, facts) in counters {
        let scanned = before.and_then(|(_, known)| {
            let position = known.scans.binary_search_by_key(&index.oid, |(oid, _)| *oid);
            u64::try_from(index.scans - known.scans[position.ok()?].1).ok()
        });
        *scans_of_tables.entry(facts.table_oid).or_default() += scanned.unwrap_or(0);
        *bytes_of_tables.entry(facts.table_oid).or_default() += facts.size_bytes;
        let table = catalog.tables.get(facts.table_oid);
        // indexes of TOAST tables are nobody's business
        let Some(table) = table.filter(|table| table.toast_of.is_none()) else {
            continue;
        };
        if before.is_none() || scanned != Some(0) {
            minute.indexes.push(RelationPoint {
                schema: facts.schema.clone(),
                name: facts.name.clone(),
                counts: IndexCounts {
                    scans: scanned.unwrap_or(0),
                    bytes: facts.size_bytes.max(0.0) as u64,
                },
            });
        }
        let idle_since = observed(index.oid)
            .and_then(|index| index.idle_since)
            .filter(|since| look.at - *since >= IDLE_FROM);
        minute.indexes_now.push(index_now(facts, table, idle_since));
    }
    let mut observed = by_oid(&observation.tables, |table: &TableObservation| table.oid);
    let mut facts_of_tables = catalog.tables.finder();
    for now in &look.tables {
        let Some(facts) = facts_of_tables.find(now.oid) else {
            continue;
        };
        if !matches!(facts.kind, 'r' | 'm') {
            continue;
        }
        let state = observed(now.oid);
        let counts = TableCounts {
            index_scans: scans_of_tables.get(&now.oid).copied().unwrap_or(0),
            bytes: facts.size_bytes.max(0.0) as u64,
            live_rows: state.map_or(0, |state| state.live_rows.max(0).unsigned_abs()),
            dead_rows: state.map_or(0, |state| state.dead_rows.max(0).unsigned_abs()),
            ..before
                .and_then(|(last, _)| difference(last, now))
                .unwrap_or_default()
        };
        let quiet = TableCounts {
            bytes: counts.bytes,
            live_rows: counts.live_rows,
            dead_rows: counts.dead_rows,
            ..TableCounts::default()
        };
        if before.is_none() || counts != quiet {
            minute.tables.push(RelationPoint {
                schema: facts.schema.clone(),
                name: facts.name.clone(),
                counts,
            });
        }
        let index_bytes = bytes_of_tables.get(&now.oid).copied().unwrap_or(0.0);
        minute
            .tables_now
            .push(table_now(facts, now, state, counts, index_bytes));
    }
    minute
}

/// Finds by OID in what comes in the order of OIDs, asked for in that order, too.
fn by_oid<'a, T>(items: &'a [T], oid: impl Fn(&T) -> u32) -> impl FnMut(u32) -> Option<&'a T> {
    move |wanted| {
        let position = items.binary_search_by_key(&wanted, &oid).ok()?;
        Some(&items[position])
    }
}

/// What was counted since an earlier look; none where counters began again meanwhile.
fn difference(last: &TableActivityLook, now: &TableActivityCounters) -> Option<TableCounts> {
    let position = last.tables.binary_search_by_key(&now.oid, |table| table.oid);
    // a table that is new was empty before
    let last = position.map_or_else(
        |_| TableActivityCounters::default(),
        |position| last.tables[position],
    );
    let since = |now: i64, last: i64| u64::try_from(now - last).ok();
    Some(TableCounts {
        sequential_scans: since(now.sequential_scans, last.sequential_scans)?,
        inserted: since(now.inserted, last.inserted)?,
        updated: since(now.updated, last.updated)?,
        hot_updated: since(now.hot_updated, last.hot_updated)?,
        deleted: since(now.deleted, last.deleted)?,
        ..TableCounts::default()
    })
}

fn table_now(
    facts: &TableFacts,
    now: &TableActivityCounters,
    state: Option<&TableObservation>,
    counts: TableCounts,
    index_bytes: f64,
) -> TableNow {
    TableNow {
        schema: facts.schema.clone(),
        name: facts.name.clone(),
        kind: facts.kind,
        bytes: counts.bytes,
        index_bytes: index_bytes.max(0.0) as u64,
        live_rows: counts.live_rows,
        dead_rows: counts.dead_rows,
        vacuum_threshold_rows: state.map_or(0.0, |state| state.vacuum_threshold_rows).max(0.0) as u64,
        last_vacuum_at: state.and_then(|state| state.last_vacuum_at),
        last_analyze_at: now.last_analyze_at,
        modified_since_analyze: now.modified_since_analyze.max(0).unsigned_abs(),
        options: facts.options.clone(),
    }
}

fn index_now(facts: &IndexFacts, table: &TableFacts, idle_since: Option<DateTime<Utc>>) -> IndexNow {
    IndexNow {
        schema: facts.schema.clone(),
        name: facts.name.clone(),
        table: table.name.clone(),
        bytes: facts.size_bytes.max(0.0) as u64,
        is_valid: facts.is_valid,
        is_unique: facts.is_unique,
        is_primary: facts.is_primary,
        constraint: facts.constraint.clone(),
        definition: facts.definition.clone(),
        idle_since,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::{Catalog, TableCounters};
    use crate::rules::testing::{database, index, now};

    /// A database with one table and one index, as read some minutes after the first look.
    fn seen(minute: i64, updated: i64, scans: i64, bytes: f64) -> (DatabaseSnapshot, DatabaseObservation) {
        let mut observation = database(vec![index(9, "i")]).databases.remove(0);
        let mut facts = observation.catalog.indexes.get(9).unwrap().clone();
        facts.table_oid = 7;
        let table = TableFacts {
            oid: 7,
            schema: "public".into(),
            name: "t".into(),
            kind: 'r',
            size_bytes: bytes,
            ..TableFacts::default()
        };
        observation.catalog = Arc::new(Catalog::new(vec![table].into(), vec![facts].into()));
        observation.counters_since = None;
        let counters = TableActivityCounters {
            oid: 7,
            updated,
            ..TableActivityCounters::default()
        };
        let snapshot = DatabaseSnapshot {
            name: "app".into(),
            tables: vec![TableCounters {
                oid: 7,
                ..TableCounters::default()
            }],
            indexes: vec![IndexCounters {
                oid: 9,
                scans,
                last_scan_at: None,
            }],
            catalog: observation.catalog.clone(),
            table_activity: Some(Arc::new(TableActivityLook {
                at: now() + TimeDelta::minutes(minute),
                tables: vec![counters],
            })),
            ..DatabaseSnapshot::default()
        };
        (snapshot, observation)
    }

    #[test]
    fn only_what_changed_is_told_after_the_first_look() {
        let mut relations = Relations::default();
        let (snapshot, observation) = seen(0, 1000, 50, 8192.0);
        let first = relations.observe(&snapshot, &observation).unwrap();
        assert!(first.is_whole && first.seconds == 0.0);
        assert_eq!(
            (first.tables[0].counts.updated, first.tables[0].counts.bytes),
            (0, 8192)
        );
        assert_eq!((first.tables_now.len(), first.indexes_now.len()), (1, 1));
        assert!(
            relations.observe(&snapshot, &observation).is_none(),
            "the names were not read again"
        );
        let (snapshot, observation) = seen(10, 1030, 55, 8192.0);
        let second = relations.observe(&snapshot, &observation).unwrap();
        assert_eq!((second.is_whole, second.seconds), (false, 600.0));
        let table = second.tables[0].counts;
        assert_eq!(
            (table.updated, table.index_scans, second.indexes[0].counts.scans),
            (30, 5, 5)
        );
        assert_eq!((second.tables_now.len(), second.indexes_now.len()), (0, 0));
        let (snapshot, observation) = seen(20, 1030, 55, 16384.0);
        let third = relations.observe(&snapshot, &observation).unwrap();
        assert!(
            third.tables.is_empty() && third.indexes.is_empty(),
            "nothing happened"
        );
        assert_eq!(third.tables_now[0].bytes, 16384);
    }

    #[test]
    fn what_was_counted_before_a_reset_or_by_another_server_is_compared_with_nothing() {
        let mut relations = Relations::default();
        let (snapshot, observation) = seen(0, 1000, 50, 8192.0);
        relations.observe(&snapshot, &observation).unwrap();
        let (snapshot, mut observation) = seen(10, 1010, 60, 8192.0);
        observation.counters_since = Some(now() + TimeDelta::minutes(5));
        let after_reset = relations.observe(&snapshot, &observation).unwrap();
        assert_eq!(
            (after_reset.tables[0].counts.updated, after_reset.is_whole),
            (0, false)
        );
        relations.end_windows();
        let (snapshot, observation) = seen(20, 2000, 99, 8192.0);
        let elsewhere = relations.observe(&snapshot, &observation).unwrap();
        assert_eq!((elsewhere.tables[0].counts.updated, elsewhere.seconds), (0, 0.0));
        relations.tell_again();
        let (snapshot, observation) = seen(30, 2000, 99, 8192.0);
        assert!(relations.observe(&snapshot, &observation).unwrap().is_whole);
    }
}
