//! Partitioned tables and indexes hold nothing themselves: those at the top are told with the sums of their partitions.

use chrono::{DateTime, Utc};

use crate::model::catalog::{Catalog, IndexFacts, TableFacts};
use crate::model::history::{Counts, IndexCounts, TableCounts};
use crate::model::relation::{TableNow, WorstPartition};

/// Whether a table is the whole of its partitions. One that is partitioned and a partition as well is told by that at the top.
pub fn is_whole_table(facts: &TableFacts) -> bool {
    facts.kind == 'p' && facts.partition_of.is_none()
}

/// The same of an index.
pub fn is_whole_index(facts: &IndexFacts) -> bool {
    facts.is_partitioned && facts.partition_of.is_none()
}

/// The table at the top that a table is a partition of.
pub fn table_above<'a>(catalog: &'a Catalog, facts: &TableFacts) -> Option<&'a TableFacts> {
    catalog.tables.get(facts.partition_of?)
}

/// The index at the top that an index is a partition of.
pub fn index_above<'a>(catalog: &'a Catalog, facts: &IndexFacts) -> Option<&'a IndexFacts> {
    catalog.indexes.get(facts.partition_of?)
}

/// The partitions of one table, added up.
#[derive(Default)]
pub struct TableWhole {
    /// What happened to them.
    pub counts: TableCounts,
    /// How they are, without what their counts tell and without the names of the whole.
    now: TableNow,
}

impl TableWhole {
    /// Adds a partition, with what happened to it.
    pub fn add(&mut self, now: &TableNow, counts: TableCounts) {
        let whole = &mut self.now;
        let is_first = whole.partitions == 0;
        // nothing comes before any time: one partition where it never happened is enough
        let oldest = |known: Option<DateTime<Utc>>, one| if is_first { one } else { known.min(one) };
        whole.last_vacuum_at = oldest(whole.last_vacuum_at, now.last_vacuum_at);
        whole.last_analyze_at = oldest(whole.last_analyze_at, now.last_analyze_at);
        if is_first || now.dead_rows_ratio() > whole.dead_rows_ratio() {
            whole.worst_partition = Some(WorstPartition {
                schema: now.schema.clone(),
                name: now.name.clone(),
                dead_rows: now.dead_rows,
                vacuum_threshold_rows: now.vacuum_threshold_rows,
            });
        }
        whole.partitions += 1;
        whole.index_bytes = whole.index_bytes.saturating_add(now.index_bytes);
        whole.modified_since_analyze = whole
            .modified_since_analyze
            .saturating_add(now.modified_since_analyze);
        self.counts = together(self.counts, counts);
    }

    /// How the whole is now.
    pub fn now(self, facts: &TableFacts) -> TableNow {
        TableNow {
            schema: facts.schema.clone(),
            name: facts.name.clone(),
            kind: facts.kind,
            bytes: self.counts.bytes,
            live_rows: self.counts.live_rows,
            dead_rows: self.counts.dead_rows,
            options: facts.options.clone(),
            ..self.now
        }
    }
}

/// The partitions of one index, added up.
#[derive(Clone, Copy, Default)]
pub struct IndexWhole {
    /// How many they are.
    pub partitions: u32,
    /// How they were used.
    pub counts: IndexCounts,
    /// Since when all of them are idle.
    pub idle_since: Option<DateTime<Utc>>,
}

impl IndexWhole {
    /// Adds a partition.
    pub fn add(&mut self, counts: IndexCounts, idle_since: Option<DateTime<Utc>>) {
        self.idle_since = match self.partitions {
            0 => idle_since,
            _ => self.idle_since.zip(idle_since).map(|(a, b)| a.max(b)),
        };
        self.partitions += 1;
        self.counts = together(self.counts, counts);
    }
}

/// Two at the same time, how large they are included.
fn together<C: Counts>(a: C, b: C) -> C {
    let mut sums = a.numbers().zip(b.numbers()).map(|(a, b)| a.saturating_add(b));
    let together = C::of(|| sums.next());
    together.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;

    use super::*;
    use crate::model::history::RelationsMinute;
    use crate::model::observation::{DatabaseObservation, TableObservation};
    use crate::model::relation::RelationName;
    use crate::model::snapshot::{DatabaseSnapshot, IndexCounters, TableActivityCounters, TableActivityLook};
    use crate::observe::relations::Relations;
    use crate::rules::testing::{database, index, now, table};

    /// A whole (1) with a level (2) between it and one (4) of its two partitions (3, 4), and a table (9) of its own; an index
    /// of the whole (11) with a level (12) and partitions (13, 14) like that.
    fn catalog(partitions: &[u32]) -> Catalog {
        let mut tables = vec![table(9, "alone", 0.0, 100.0)];
        let mut indexes = vec![];
        for (oid, kind) in [(1, 'p'), (2, 'p'), (3, 'r'), (4, 'r')] {
            if kind == 'r' && !partitions.contains(&oid) {
                continue;
            }
            let holds = if kind == 'r' { 1.0 } else { 0.0 };
            tables.push(TableFacts {
                kind,
                partition_of: (oid > 1).then_some(1),
                ..table(oid, &format!("t{oid}"), 0.0, holds * 1000.0 * f64::from(oid))
            });
            indexes.push(IndexFacts {
                table_oid: oid,
                size_bytes: holds * 10.0 * f64::from(oid),
                is_partitioned: kind == 'p',
                is_partition: oid > 1,
                partition_of: (oid > 1).then_some(11),
                ..index(10 + oid, &format!("i{oid}"))
            });
        }
        Catalog::new(tables.into(), indexes.into())
    }

    /// A look some minutes after the first one, with how often rows of each partition were updated, and how often its index
    /// was scanned.
    fn look(minute: i64, seen: &[(u32, i64)]) -> (DatabaseSnapshot, DatabaseObservation) {
        let partitions: Vec<u32> = seen.iter().map(|(oid, _)| *oid).collect();
        let catalog = Arc::new(catalog(&partitions));
        let mut observation = database(vec![]).databases.remove(0);
        observation.catalog = catalog.clone();
        let vacuumed = |oid: u32| Some(now() - TimeDelta::days(i64::from(oid)));
        observation.tables = seen
            .iter()
            .map(|(oid, _)| TableObservation {
                oid: *oid,
                live_rows: 50,
                dead_rows: i64::from(*oid),
                written_per_second: None,
                vacuum_threshold_rows: if *oid == 3 { 2.0 } else { 100.0 },
                last_vacuum_at: vacuumed(*oid),
                rows_were_counted: true,
                being_vacuumed: Some(false),
            })
            .collect();
        let counted = |oid: u32, updated: i64| TableActivityCounters {
            oid,
            updated,
            modified_since_analyze: 7,
            last_analyze_at: vacuumed(oid).filter(|_| oid != 4),
            ..TableActivityCounters::default()
        };
        let counters = seen.iter().map(|(oid, times)| counted(*oid, *times));
        let snapshot = DatabaseSnapshot {
            name: "app".into(),
            indexes: seen
                .iter()
                .map(|(oid, times)| IndexCounters {
                    oid: 10 + oid,
                    scans: 2 * times,
                    last_scan_at: None,
                })
                .collect(),
            catalog,
            table_activity: Some(Arc::new(TableActivityLook {
                at: now() + TimeDelta::minutes(minute),
                tables: counters.chain([counted(9, 0)]).collect(),
            })),
            ..DatabaseSnapshot::default()
        };
        (snapshot, observation)
    }

    fn observed(relations: &mut Relations, minute: i64, seen: &[(u32, i64)]) -> RelationsMinute {
        let (snapshot, observation) = look(minute, seen);
        relations.observe(&snapshot, &observation, None).unwrap()
    }

    fn whole(minute: &RelationsMinute) -> &TableNow {
        let mut tables = minute.tables_now.iter();
        tables.find(|table| table.name == "t1").unwrap()
    }

    #[test]
    fn a_whole_is_the_sum_of_its_partitions_and_what_is_between_is_not_told() {
        let first = observed(&mut Relations::default(), 0, &[(3, 5), (4, 5)]);
        let names: Vec<&str> = first.tables_now.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["t3", "t4", "alone", "t1"]);
        let whole = whole(&first);
        assert_eq!((whole.kind, whole.partitions), ('p', 2));
        assert_eq!((whole.bytes, whole.index_bytes), (7000, 70));
        assert_eq!((whole.live_rows, whole.dead_rows), (100, 7));
        assert_eq!(
            (whole.modified_since_analyze, whole.vacuum_threshold_rows),
            (14, 0)
        );
        let worst = whole.worst_partition.as_ref().unwrap();
        assert_eq!((worst.name.as_str(), whole.dead_rows_ratio()), ("t3", 1.5));
        assert_eq!(
            whole.last_vacuum_at,
            Some(now() - TimeDelta::days(4)),
            "the oldest"
        );
        assert_eq!(whole.last_analyze_at, None, "one was never analyzed");
        let name = RelationName {
            schema: "public".into(),
            name: "t1".into(),
        };
        assert_eq!(first.tables_now[0].partition_of, Some(name));
        assert_eq!(
            (&whole.partition_of, &first.tables_now[2].partition_of),
            (&None, &None)
        );
        let indexes: Vec<_> = first
            .indexes_now
            .iter()
            .map(|index| {
                let above = index.partition_of.as_ref().map(|above| above.name.as_str());
                (index.name.as_str(), index.bytes, index.partitions, above)
            })
            .collect();
        let expected = [
            ("i3", 30, None, Some("i1")),
            ("i4", 40, None, Some("i1")),
            ("i1", 70, Some(2), None),
        ];
        assert_eq!(indexes, expected);
    }

    #[test]
    fn a_whole_whose_partitions_stay_still_is_not_told_again() {
        let mut relations = Relations::default();
        observed(&mut relations, 0, &[(3, 5), (4, 5)]);
        let still = observed(&mut relations, 10, &[(3, 5), (4, 5)]);
        assert!(still.tables.is_empty() && still.tables_now.is_empty());
        assert!(still.indexes.is_empty() && still.indexes_now.is_empty());
        let written = observed(&mut relations, 20, &[(3, 8), (4, 6)]);
        let points: Vec<_> = written
            .tables
            .iter()
            .map(|point| {
                (
                    point.name.as_str(),
                    point.counts.updated,
                    point.counts.index_scans,
                )
            })
            .collect();
        assert_eq!(points, [("t3", 3, 6), ("t4", 1, 2), ("t1", 4, 8)]);
        assert!(written.tables_now.is_empty(), "they are as they were");
        let scans: Vec<_> = written
            .indexes
            .iter()
            .map(|point| (point.name.as_str(), point.counts.scans))
            .collect();
        assert_eq!(scans, [("i3", 6), ("i4", 2), ("i1", 8)]);
    }

    #[test]
    fn a_partition_that_is_dropped_is_gone_from_the_sums() {
        let mut relations = Relations::default();
        observed(&mut relations, 0, &[(3, 5), (4, 5)]);
        let dropped = observed(&mut relations, 10, &[(4, 5)]);
        assert_eq!(dropped.tables_gone, [("public".to_owned(), "t3".to_owned())]);
        assert_eq!(dropped.indexes_gone, [("public".to_owned(), "i3".to_owned())]);
        let whole_now = whole(&dropped);
        assert_eq!((whole_now.partitions, whole_now.bytes), (1, 4000));
        assert_eq!((dropped.tables.len(), dropped.tables[0].counts.bytes), (1, 4000));
        assert_eq!(dropped.indexes_now[0].bytes, 40);
        let empty = observed(&mut relations, 20, &[]);
        let whole_now = whole(&empty);
        assert_eq!((whole_now.partitions, whole_now.bytes), (0, 0));
        assert_eq!(
            (whole_now.last_vacuum_at, whole_now.dead_rows_ratio()),
            (None, 0.0)
        );
    }

    #[test]
    fn a_whole_that_becomes_a_partition_is_told_no_more() {
        let mut relations = Relations::default();
        observed(&mut relations, 0, &[(3, 5), (4, 5)]);
        let (mut snapshot, observation) = look(10, &[(3, 5), (4, 5)]);
        let mut attached = snapshot.catalog.tables.get(1).cloned().unwrap();
        attached.partition_of = Some(20);
        let mut tables: Vec<TableFacts> = snapshot.catalog.tables.values().cloned().collect();
        for table in &mut tables {
            table.partition_of = table.partition_of.map(|_| 20);
        }
        tables.retain(|table| table.oid != 1);
        tables.push(attached);
        tables.push(TableFacts {
            kind: 'p',
            ..table(20, "top", 0.0, 0.0)
        });
        let indexes: Vec<IndexFacts> = snapshot.catalog.indexes.values().cloned().collect();
        snapshot.catalog = Arc::new(Catalog::new(tables.into(), indexes.into()));
        let minute = relations.observe(&snapshot, &observation, None).unwrap();
        assert_eq!(minute.tables_gone, [("public".to_owned(), "t1".to_owned())]);
        assert!(
            minute
                .tables_now
                .iter()
                .any(|table| (table.name.as_str(), table.bytes) == ("top", 7000))
        );
    }

    #[test]
    fn a_whole_index_is_idle_since_the_last_of_its_partitions() {
        let days = |days| Some(now() - TimeDelta::days(days));
        let idle = |since: &[Option<DateTime<Utc>>]| {
            let mut whole = IndexWhole::default();
            since
                .iter()
                .for_each(|since| whole.add(IndexCounts::default(), *since));
            whole.idle_since
        };
        assert_eq!(idle(&[days(40), days(30), days(50)]), days(30));
        assert_eq!(idle(&[days(40), None, days(50)]), None, "one is used");
        assert_eq!(idle(&[]), None);
    }
}
