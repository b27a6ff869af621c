//! What tables take on disk as a whole: what a rewrite of each would write anew.

use std::collections::{HashMap, HashSet};

use crate::model::catalog::Catalog;
use crate::model::schema::Schema;
use crate::model::unit::plural;

/// What tables take on disk.
pub struct WholeSizes {
    /// What each table takes without those that inherit from it, in the order of OIDs.
    bytes: Vec<(u32, f64)>,
    /// The tables that inherit from each that has such, at all levels, as far as they take anything here.
    heirs: HashMap<u32, HashSet<u32>>,
    /// Which tables inherit from which is known.
    are_heirs_known: bool,
}

impl WholeSizes {
    /// The sizes of the tables of a database.
    pub fn of(catalog: &Catalog, schema: &Schema) -> Self {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for table in &schema.inherited_tables {
            children
                .entry(table.parent_oid)
                .or_default()
                .push(table.table_oid);
        }
        let mut sizes = Self {
            bytes: with_partitions(catalog),
            heirs: HashMap::new(),
            are_heirs_known: !schema.are_heirs_unread,
        };
        let own = |parent: &u32| {
            let mut heirs = heirs(*parent, &children);
            // a foreign table has no rows to rewrite, and a temporary one is its session's own
            heirs.retain(|oid| sizes.own_bytes(*oid).is_some());
            (*parent, heirs)
        };
        sizes.heirs = children.keys().map(own).collect();
        sizes
    }

    fn own_bytes(&self, table_oid: u32) -> Option<f64> {
        let place = self.bytes.binary_search_by_key(&table_oid, |(oid, _)| *oid);
        place.ok().map(|place| self.bytes[place].1)
    }

    /// What a table takes with its TOAST, its indexes, its partitions, and the tables that inherit from it.
    pub fn bytes(&self, table_oid: u32) -> f64 {
        let heirs = self.heirs.get(&table_oid).into_iter().flatten();
        let all = heirs.copied().chain([table_oid]);
        all.filter_map(|oid| self.own_bytes(oid)).sum()
    }

    /// Whether a size tells how much would be rewritten: not where it is unknown what inherits from the table.
    pub fn are_heirs_known(&self) -> bool {
        self.are_heirs_known
    }

    /// What is said of rewriting tables from which others inherit.
    pub fn about_heirs(&self, table_oids: &HashSet<u32>) -> Option<String> {
        if !self.are_heirs_known {
            return Some(
                "What inherits from a table is rewritten with it. Which tables do could not be read (pg_inherits tells), and the \
                 sizes here are without them: see first how large they are."
                    .to_owned(),
            );
        }
        let of_each = table_oids.iter().filter_map(|oid| self.heirs.get(oid));
        let heirs: HashSet<u32> = of_each.flatten().copied().collect();
        (!heirs.is_empty()).then(|| {
            format!(
                "What inherits from a table is rewritten with it and counted in here: {}.",
                plural(heirs.len(), "table", "tables")
            )
        })
    }
}

/// What each table takes without those that inherit from it, in the order of OIDs.
fn with_partitions(catalog: &Catalog) -> Vec<(u32, f64)> {
    let tables = &catalog.tables;
    // a TOAST table counts as the one that it belongs to
    let of_tables = tables
        .values()
        .map(|table| (table.toast_of.unwrap_or(table.oid), table.size_bytes));
    let indexes = catalog.indexes.values();
    let of_indexes = indexes.map(|index| (index.table_oid, index.size_bytes));
    let mut sizes = vec![0.0; tables.len()];
    // what belongs to one table lies mostly together
    let mut last = 0;
    for (oid, bytes) in of_tables.chain(of_indexes) {
        let Some(place) = tables.place_near(last, oid) else {
            continue;
        };
        last = place;
        sizes[place] += bytes.max(0.0);
        let top = tables.at(place).and_then(|table| table.partition_of);
        if let Some(top) = top.filter(|top| *top != oid).and_then(|top| tables.place(top)) {
            sizes[top] += bytes.max(0.0);
        }
    }
    let all = tables.values().zip(sizes);
    all.filter(|(table, _)| table.toast_of.is_none())
        .map(|(table, bytes)| (table.oid, bytes))
        .collect()
}

/// The tables that inherit from one, and those that inherit from these, each once.
fn heirs(table_oid: u32, children: &HashMap<u32, Vec<u32>>) -> HashSet<u32> {
    let mut found = HashSet::new();
    let mut open = vec![table_oid];
    while let Some(parent) = open.pop() {
        let below = children.get(&parent).into_iter().flatten();
        open.extend(below.copied().filter(|oid| found.insert(*oid)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema::InheritedTable;
    use crate::rules::testing::{table, tables};

    #[test]
    fn what_inherits_from_a_table_is_counted_in_at_all_levels_and_once() {
        let sized = [1e3, 1e4, 1e5, 1e6];
        let sized = (1..).zip(sized).map(|(oid, bytes)| table(oid, "t", 10.0, bytes));
        let observed = tables(sized.collect());
        // 4 inherits from 2 and 3, which inherit from 1
        let inherited = [(2, 1), (3, 1), (4, 2), (4, 3)];
        let inherited = inherited.map(|(table_oid, parent_oid)| InheritedTable {
            table_oid,
            parent_oid,
        });
        let schema = Schema {
            inherited_tables: inherited.to_vec(),
            ..Schema::default()
        };
        let sizes = WholeSizes::of(&observed.databases[0].catalog, &schema);
        assert_eq!(
            [1, 2, 3, 4, 5].map(|oid| sizes.bytes(oid)),
            [1_111_000.0, 1_010_000.0, 1_100_000.0, 1e6, 0.0]
        );
        let told = sizes.about_heirs(&[1, 4].into()).unwrap();
        assert!(told.ends_with("counted in here: 3 tables."), "{told}");
        assert_eq!(sizes.about_heirs(&[4].into()), None);
        let told = sizes.about_heirs(&[2, 3].into()).unwrap();
        assert!(told.ends_with("counted in here: 1 table."), "{told}");
    }

    #[test]
    fn an_heir_that_takes_nothing_here_is_not_rewritten() {
        let observed = tables(vec![table(1, "t", 10.0, 1e3), table(2, "t", 10.0, 1e4)]);
        // 7 is a foreign or a temporary table, from which 2 inherits
        let inherited = [(7, 1), (2, 7)].map(|(table_oid, parent_oid)| InheritedTable {
            table_oid,
            parent_oid,
        });
        let mut schema = Schema {
            inherited_tables: inherited.to_vec(),
            ..Schema::default()
        };
        let sizes = WholeSizes::of(&observed.databases[0].catalog, &schema);
        assert!(sizes.are_heirs_known());
        assert_eq!(sizes.bytes(1), 11_000.0);
        let told = sizes.about_heirs(&[1].into()).unwrap();
        assert!(told.ends_with("counted in here: 1 table."), "{told}");
        schema.inherited_tables.clear();
        schema.are_heirs_unread = true;
        let sizes = WholeSizes::of(&observed.databases[0].catalog, &schema);
        assert!(!sizes.are_heirs_known());
        let told = sizes.about_heirs(&[1].into()).unwrap();
        assert!(told.contains("could not be read"), "{told}");
    }
}
