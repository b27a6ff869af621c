//! What happened to tables and indexes since their names were read before, and which of them changed: for the history.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::partitions::{IndexWhole, TableWhole, index_above, is_whole_index, is_whole_table, table_above};
use super::relation_now::{IndexSeen, index_now, table_now, table_of_whole, unscanned_since};
use crate::model::catalog::{Catalog, IndexFacts, TableFacts};
use crate::model::history::{IndexCounts, RelationPoint, RelationsMinute, TableCounts};
use crate::model::observation::{DatabaseObservation, IndexObservation, TableObservation};
use crate::model::relation::TableNow;
use crate::model::snapshot::{DatabaseSnapshot, IndexCounters, TableActivityCounters, TableActivityLook};

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
    /// The names at that time; none where all of them are to be told again.
    catalog: Option<Arc<Catalog>>,
    /// What was told of each: its OID and a hash, in the order of OIDs.
    tables: Vec<(u32, u64)>,
    indexes: Vec<(u32, u64)>,
}

impl Relations {
    /// What happened in a database, where its names were read again in this look. `counted_since`: most of its counters go on since
    /// then, and what was reset alone is compared with nothing.
    pub fn observe(
        &mut self,
        snapshot: &DatabaseSnapshot,
        observation: &DatabaseObservation,
        counted_since: Option<DateTime<Utc>>,
    ) -> Option<RelationsMinute> {
        let look = snapshot.table_activity.as_ref()?;
        let known = self.known.get(&snapshot.name);
        let is_known = |known: &Known| known.look.as_ref().is_some_and(|last| Arc::ptr_eq(last, look));
        if known.is_some_and(|known| is_known(known) && known.catalog.is_some()) {
            return None;
        }
        let is_counted_on = |known: &&Known| {
            let is_later = known.look.as_ref().is_some_and(|last| last.at < look.at);
            is_later && counted_since.is_none_or(|since| since <= known.at)
        };
        let before = known
            .filter(is_counted_on)
            .and_then(|known| Some((known.look.as_deref()?, known)));
        let mut telling = Telling::begin(snapshot, look, before);
        telling.indexes(snapshot, observation, known);
        telling.tables(snapshot, observation, known);
        let Telling {
            mut minute,
            tables,
            indexes,
            ..
        } = telling;
        match known.and_then(|known| Some((known, known.catalog.as_ref()?))) {
            None => minute.is_whole = true,
            Some((known, names)) => {
                let old_and_new = (names.as_ref(), snapshot.catalog.as_ref());
                minute.tables_gone = gone(&known.tables, old_and_new, |catalog, oid| {
                    let facts = catalog.tables.get(oid).filter(|facts| is_told_table(facts))?;
                    Some((&facts.schema, &facts.name))
                });
                minute.indexes_gone = gone(&known.indexes, old_and_new, |catalog, oid| {
                    let facts = catalog.indexes.get(oid).filter(|facts| is_told_index(facts))?;
                    Some((&facts.schema, &facts.name))
                });
            }
        }
        let known = Known {
            look: Some(look.clone()),
            at: look.at,
            scans: scans(&snapshot.indexes),
            catalog: Some(snapshot.catalog.clone()),
            tables,
            indexes,
        };
        self.known.insert(snapshot.name.clone(), known);
        Some(minute)
    }

    /// What follows is another server, or another time: nothing is compared with what was before.
    pub fn end_windows(&mut self) {
        self.known.values_mut().for_each(|known| known.look = None);
    }

    /// What was told could not be written down: all of it is told again.
    pub fn tell_again(&mut self) {
        self.known.values_mut().for_each(|known| known.catalog = None);
    }

    /// Forgets databases that are gone.
    pub fn forget_databases_but(&mut self, there: &[&str]) {
        self.known.retain(|name, _| there.contains(&name.as_str()));
    }
}

/// A hash of how a relation is.
fn hash<T: Hash>(now: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    now.hash(&mut hasher);
    hasher.finish()
}

fn names(facts: &IndexFacts) -> (&str, &str) {
    (&facts.schema, &facts.name)
}

/// Whether a table holds rows, or is the whole of those that do.
fn is_told_table(facts: &TableFacts) -> bool {
    matches!(facts.kind, 'r' | 'm') || is_whole_table(facts)
}

/// The same of an index.
fn is_told_index(facts: &IndexFacts) -> bool {
    !facts.is_partitioned || is_whole_index(facts)
}

/// What was told of each relation: its OID and a hash, in the order of OIDs; none where all of them are to be told.
type Told<'a> = Option<&'a Vec<(u32, u64)>>;

/// The names under which relations were told that are no longer theirs.
fn gone<'a>(
    told: &[(u32, u64)],
    (old, new): (&'a Catalog, &'a Catalog),
    name: impl Fn(&'a Catalog, u32) -> Option<(&'a String, &'a String)>,
) -> Vec<(String, String)> {
    let names = told.iter().filter_map(|(oid, _)| {
        let before = name(old, *oid)?;
        (name(new, *oid) != Some(before)).then(|| (before.0.clone(), before.1.clone()))
    });
    names.collect()
}

fn scans(indexes: &[IndexCounters]) -> Vec<(u32, i64)> {
    indexes.iter().map(|index| (index.oid, index.scans)).collect()
}

/// What is told of one look at a database.
struct Telling<'a> {
    look: &'a TableActivityLook,
    before: Option<(&'a TableActivityLook, &'a Known)>,
    minute: RelationsMinute,
    /// Of each table, those of its indexes together.
    scans_of_tables: HashMap<u32, u64>,
    bytes_of_tables: HashMap<u32, f64>,
    tables: Vec<(u32, u64)>,
    indexes: Vec<(u32, u64)>,
}

impl<'a> Telling<'a> {
    /// Without an earlier look that can be compared it is only told how everything is.
    fn begin(
        snapshot: &DatabaseSnapshot,
        look: &'a TableActivityLook,
        before: Option<(&'a TableActivityLook, &'a Known)>,
    ) -> Self {
        let seconds = before.map_or(0.0, |(last, _)| {
            (look.at - last.at).num_milliseconds().max(0) as f64 / 1000.0
        });
        Self {
            look,
            before,
            minute: RelationsMinute {
                database: snapshot.name.clone(),
                seconds,
                ..RelationsMinute::default()
            },
            scans_of_tables: HashMap::new(),
            bytes_of_tables: HashMap::new(),
            tables: Vec::with_capacity(look.tables.len()),
            indexes: Vec::with_capacity(snapshot.indexes.len()),
        }
    }

    fn indexes(
        &mut self,
        snapshot: &DatabaseSnapshot,
        observation: &DatabaseObservation,
        known: Option<&Known>,
    ) {
        let mut facts_of_indexes = snapshot.catalog.indexes.finder();
        let observed = by_oid(&observation.indexes, |index: &IndexObservation| index.oid);
        let told = known.filter(|known| known.catalog.is_some());
        let told = told.map(|known| &known.indexes);
        let mut wholes: HashMap<u32, IndexWhole> = HashMap::new();
        for index in &snapshot.indexes {
            let Some(facts) = facts_of_indexes.find(index.oid) else {
                continue;
            };
            let table = snapshot.catalog.tables.get(facts.table_oid);
            // indexes of TOAST tables are nobody's business, and what is partitioned holds nothing
            let Some(table) = table.filter(|table| table.toast_of.is_none() && !facts.is_partitioned) else {
                continue;
            };
            let scanned = self.before.and_then(|(_, known)| {
                let position = known.scans.binary_search_by_key(&index.oid, |(oid, _)| *oid);
                u64::try_from(index.scans - known.scans[position.ok()?].1).ok()
            });
            let scans = scanned.unwrap_or(0);
            *self.scans_of_tables.entry(facts.table_oid).or_default() += scans;
            *self.bytes_of_tables.entry(facts.table_oid).or_default() += facts.size_bytes;
            let idle_since = observed(index.oid).and_then(|index| unscanned_since(index, self.look.at));
            let bytes = facts.size_bytes.max(0.0) as u64;
            let seen = IndexSeen {
                counts: IndexCounts { scans, bytes },
                idle_since,
                above: index_above(&snapshot.catalog, facts),
                partitions: None,
            };
            if let Some(above) = seen.above {
                let whole = wholes.entry(above.oid).or_default();
                whole.add(seen.counts, idle_since);
            }
            self.index(facts, table, &seen, told);
        }
        self.whole_indexes(&snapshot.catalog, &wholes, told);
        self.indexes.sort_unstable();
    }

    fn whole_indexes(&mut self, catalog: &Catalog, wholes: &HashMap<u32, IndexWhole>, told: Told<'_>) {
        for facts in catalog.indexes.values().filter(|facts| is_whole_index(facts)) {
            let Some(table) = table_of_whole(catalog, facts) else {
                continue;
            };
            let whole = wholes.get(&facts.oid).copied().unwrap_or_default();
            let seen = IndexSeen {
                counts: whole.counts,
                idle_since: whole.idle_since,
                above: None,
                partitions: Some(whole.partitions),
            };
            self.index(facts, table, &seen, told);
        }
    }

    /// Tells an index where something happened to it, and how it is where that changed.
    fn index(&mut self, facts: &IndexFacts, table: &TableFacts, seen: &IndexSeen<'_>, told: Told<'_>) {
        let definition = (&facts.definition, &facts.constraint);
        let kind = (facts.is_valid, facts.is_unique, facts.is_primary);
        let partition = (seen.above.map(names), seen.partitions);
        let state = (seen.counts.bytes, seen.idle_since);
        let hash = hash(&(names(facts), &table.name, definition, kind, partition, state));
        self.indexes.push((facts.oid, hash));
        let is_changed = was_told(told, facts.oid) != Some(hash);
        if is_changed || seen.counts.scans > 0 {
            self.minute.indexes.push(RelationPoint {
                schema: facts.schema.clone(),
                name: facts.name.clone(),
                counts: seen.counts,
            });
        }
        if is_changed {
            self.minute.indexes_now.push(index_now(facts, table, seen));
        }
    }

    fn tables(
        &mut self,
        snapshot: &DatabaseSnapshot,
        observation: &DatabaseObservation,
        known: Option<&Known>,
    ) {
        let mut facts_of_tables = snapshot.catalog.tables.finder();
        let observed = by_oid(&observation.tables, |table: &TableObservation| table.oid);
        let told = known.filter(|known| known.catalog.is_some());
        let told = told.map(|known| &known.tables);
        let mut wholes: HashMap<u32, TableWhole> = HashMap::new();
        let look = self.look;
        for counted in &look.tables {
            let facts = facts_of_tables.find(counted.oid);
            let Some(facts) = facts.filter(|facts| matches!(facts.kind, 'r' | 'm')) else {
                continue;
            };
            let state = observed(counted.oid);
            let did = self.before.and_then(|(last, _)| difference(last, counted));
            let counts = TableCounts {
                index_scans: self.scans_of_tables.get(&counted.oid).copied().unwrap_or(0),
                bytes: facts.size_bytes.max(0.0) as u64,
                live_rows: state.map_or(0, |state| state.live_rows.max(0).unsigned_abs()),
                dead_rows: state.map_or(0, |state| state.dead_rows.max(0).unsigned_abs()),
                ..did.unwrap_or_default()
            };
            let index_bytes = self.bytes_of_tables.get(&counted.oid).copied();
            let above = table_above(&snapshot.catalog, facts);
            let now = table_now((facts, above), counted, state, counts, index_bytes.unwrap_or(0.0));
            if let Some(above) = above {
                wholes.entry(above.oid).or_default().add(&now, counts);
            }
            self.table(counted.oid, now, counts, told);
        }
        let all = snapshot.catalog.tables.values();
        for facts in all.filter(|facts| is_whole_table(facts)) {
            let whole = wholes.remove(&facts.oid).unwrap_or_default();
            let counts = whole.counts;
            self.table(facts.oid, whole.now(facts), counts, told);
        }
        self.tables.sort_unstable();
    }

    /// Tells a table where something happened to it, and how it is where that changed.
    fn table(&mut self, oid: u32, now: TableNow, counts: TableCounts, told: Told<'_>) {
        let hash = hash(&now);
        self.tables.push((oid, hash));
        let is_changed = was_told(told, oid) != Some(hash);
        if is_changed || counts.written() + counts.sequential_scans + counts.index_scans > 0 {
            self.minute.tables.push(RelationPoint {
                schema: now.schema.clone(),
                name: now.name.clone(),
                counts,
            });
        }
        if is_changed {
            self.minute.tables_now.push(now);
        }
    }
}

/// The hash under which a relation was told last.
fn was_told(told: Told<'_>, oid: u32) -> Option<u64> {
    let told = told?;
    let position = told.binary_search_by_key(&oid, |(oid, _)| *oid).ok()?;
    Some(told[position].1)
}

/// Finds by OID in what is in the order of OIDs.
fn by_oid<'a, T>(items: &'a [T], oid: impl Fn(&T) -> u32) -> impl Fn(u32) -> Option<&'a T> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::TableCounters;
    use crate::rules::testing::{database, index, now};
    use chrono::TimeDelta;

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
        let first = relations.observe(&snapshot, &observation, None).unwrap();
        assert!(first.is_whole && first.seconds == 0.0);
        assert_eq!(
            (first.tables[0].counts.updated, first.tables[0].counts.bytes),
            (0, 8192)
        );
        assert_eq!((first.tables_now.len(), first.indexes_now.len()), (1, 1));
        assert!(
            relations.observe(&snapshot, &observation, None).is_none(),
            "the names were not read again"
        );
        let (snapshot, observation) = seen(10, 1030, 55, 8192.0);
        let second = relations.observe(&snapshot, &observation, None).unwrap();
        assert_eq!((second.is_whole, second.seconds), (false, 600.0));
        let table = second.tables[0].counts;
        assert_eq!(
            (table.updated, table.index_scans, second.indexes[0].counts.scans),
            (30, 5, 5)
        );
        assert_eq!((second.tables_now.len(), second.indexes_now.len()), (0, 0));
        let (snapshot, observation) = seen(20, 1030, 55, 16384.0);
        let third = relations.observe(&snapshot, &observation, None).unwrap();
        assert!(
            third.indexes.is_empty() && third.indexes_now.is_empty(),
            "nothing happened"
        );
        // nobody wrote, and yet it grew: VACUUM counts pages later
        assert_eq!(
            (third.tables[0].counts.bytes, third.tables_now[0].bytes),
            (16384, 16384)
        );
        let (snapshot, observation) = seen(30, 1030, 55, 16384.0);
        let quiet = relations.observe(&snapshot, &observation, None).unwrap();
        assert!(quiet.tables.is_empty() && quiet.tables_now.is_empty());
        let (mut snapshot, observation) = seen(40, 1030, 55, 16384.0);
        let mut renamed = snapshot.catalog.tables.get(7).unwrap().clone();
        renamed.name = "u".into();
        let facts = snapshot.catalog.indexes.get(9).unwrap().clone();
        snapshot.catalog = Arc::new(Catalog::new(vec![renamed].into(), vec![facts].into()));
        let renamed = relations.observe(&snapshot, &observation, None).unwrap();
        assert_eq!(renamed.tables_gone, [("public".to_owned(), "t".to_owned())]);
        assert_eq!(
            (renamed.tables[0].name.as_str(), renamed.tables[0].counts.bytes),
            ("u", 16384)
        );
    }

    #[test]
    fn what_was_reset_alone_is_compared_with_nothing_and_its_neighbours_go_on() {
        let mut relations = Relations::default();
        let (snapshot, observation) = seen(0, 1000, 50, 8192.0);
        relations.observe(&snapshot, &observation, Some(now())).unwrap();
        // the index was reset, its table was not
        let (snapshot, observation) = seen(10, 1030, 2, 8192.0);
        let after = relations.observe(&snapshot, &observation, Some(now())).unwrap();
        assert_eq!((after.tables[0].counts.updated, after.seconds), (30, 600.0));
        assert!(after.indexes.is_empty(), "{:?}", after.indexes);
        let (snapshot, observation) = seen(20, 1030, 9, 8192.0);
        let later = relations.observe(&snapshot, &observation, Some(now())).unwrap();
        assert_eq!(later.indexes[0].counts.scans, 7);
    }

    #[test]
    fn what_was_counted_before_a_reset_or_by_another_server_is_compared_with_nothing() {
        let mut relations = Relations::default();
        let (snapshot, observation) = seen(0, 1000, 50, 8192.0);
        relations.observe(&snapshot, &observation, None).unwrap();
        let (snapshot, observation) = seen(10, 1010, 60, 8192.0);
        let reset_at = Some(now() + TimeDelta::minutes(5));
        let after_reset = relations.observe(&snapshot, &observation, reset_at).unwrap();
        assert!(after_reset.tables.is_empty() && after_reset.indexes.is_empty());
        assert_eq!((after_reset.seconds, after_reset.is_whole), (0.0, false));
        relations.end_windows();
        let (snapshot, observation) = seen(20, 2000, 99, 8192.0);
        let elsewhere = relations.observe(&snapshot, &observation, None).unwrap();
        assert!(elsewhere.tables.is_empty() && elsewhere.seconds == 0.0);
        let (snapshot, observation) = seen(25, 2007, 99, 8192.0);
        let again = relations.observe(&snapshot, &observation, None).unwrap();
        assert_eq!((again.tables[0].counts.updated, again.seconds), (7, 300.0));
        relations.tell_again();
        let (snapshot, observation) = seen(30, 2000, 99, 8192.0);
        assert!(relations.observe(&snapshot, &observation, None).unwrap().is_whole);
    }
}
