//! Where an index of a partitioned table is made hypothetically. HypoPG (1.3.1 and 1.4.4, measured) shows the planner one on a
//! table for each of its partitions with the attribute numbers of that table, whatever numbers the partition has: of one that was
//! attached with its columns in another order that is an index on other columns. An index on the partition itself is right there.

use std::collections::{BTreeMap, BTreeSet};

use super::candidate::Candidate;
use super::ready::Ready;
use super::tables::{Numbering, Table, TableName, Tables};
use crate::limits;
use crate::model::remedy::qualified;

impl Table {
    /// The fewest of itself and its partitions that hold all rows together, each of which numbers its columns as all that is
    /// below it does.
    fn parts_of_one_numbering(&self) -> Vec<&TableName> {
        let mut divided = BTreeSet::new();
        // parents come first
        for partition in self.partitions.iter().rev() {
            if partition.numbering == Numbering::Own || divided.contains(&partition.oid) {
                divided.insert(partition.parent_oid);
            }
        }
        if !divided.contains(&self.oid) {
            return vec![&self.name];
        }
        let mut covered = BTreeSet::new();
        let mut parts = Vec::new();
        for partition in &self.partitions {
            if covered.contains(&partition.parent_oid) {
                covered.insert(partition.oid);
            } else if !divided.contains(&partition.oid) {
                covered.insert(partition.oid);
                parts.push(&partition.name);
            }
        }
        parts
    }

    /// Why the planner's word on a hypothetical index of this table is none: where it would have to be made on too many partitions
    /// one by one, it is made on the whole.
    pub(super) fn misread(&self) -> Option<String> {
        if self.parts_of_one_numbering().len() <= limits::PARTITIONS_INDEXED_APART {
            return None;
        }
        let mut partitions = self.partitions.iter();
        let other = partitions.find(|one| one.numbering == Numbering::Own)?;
        Some(format!(
            "HypoPG takes the attribute numbers of {} for {} and other partitions, which have numbers of their own, so that the \
             planner may have been asked about other columns of these",
            qualified(&self.name.schema, &self.name.name),
            qualified(&other.name.schema, &other.name.name)
        ))
    }
}

/// A candidate as HypoPG takes it so that the planner sees it on the right columns: one index, or one on each of several
/// partitions.
pub(super) fn definitions(candidate: &Candidate, tables: &Tables) -> Vec<String> {
    let table = tables.get(&candidate.schema, &candidate.table);
    let parts = table.map(Table::parts_of_one_numbering).unwrap_or_default();
    let on = |part: &TableName| Candidate {
        schema: part.schema.clone(),
        table: part.name.clone(),
        ..candidate.clone()
    };
    match parts.len() {
        1..=limits::PARTITIONS_INDEXED_APART => {
            let parts = parts.into_iter();
            parts.map(|part| on(part).hypothetical()).collect()
        }
        _ => vec![candidate.hypothetical()],
    }
}

impl Ready {
    /// Why the planner's word on what could serve a statement is none, where that is so.
    pub(super) fn why_misread(&self, statement: usize) -> Option<String> {
        let tables = self.relevant[statement]
            .iter()
            .filter_map(|one| self.table_of(*one));
        let tables: BTreeMap<u32, &Table> = tables.map(|table| (table.oid, table)).collect();
        tables.into_values().find_map(|table| {
            let name = qualified(&table.name.schema, &table.name.name);
            let why = table.misread()?;
            Some(format!(
                "whether an index on {name} is worth its price cannot be told: {why}"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::candidate::IndexKey;
    use crate::index_advisor::clauses::Key;
    use crate::index_advisor::tables::Partition;
    use crate::index_advisor::tables::tests::{named, table_of, tables_of};

    /// `s.t` with partitions `p` and their numbers: each with its parent's, and how it numbers its columns.
    fn table(partitions: &[(u32, u32, Numbering)]) -> Table {
        let is_partitioned = |oid: u32| partitions.iter().any(|(_, parent, _)| *parent == oid);
        let partition = |(oid, parent_oid, numbering): &(u32, u32, Numbering)| Partition {
            oid: *oid,
            parent_oid: *parent_oid,
            is_partitioned: is_partitioned(*oid),
            is_foreign: false,
            name: named(&format!("p{oid}")),
            pages: Some(10.0),
            rows: Some(100.0),
            numbering: *numbering,
            indexes: Vec::new(),
        };
        Table {
            is_partitioned: true,
            partitions: partitions.iter().map(partition).collect(),
            ..table_of(1000.0, [])
        }
    }

    /// Where an index of that table is made.
    fn places(partitions: &[(u32, u32, Numbering)]) -> Vec<String> {
        let candidate = Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: vec![IndexKey::from(Key::Column("a".into()))],
            include: Vec::new(),
            predicate: None,
        };
        let made = definitions(&candidate, &tables_of(table(partitions)));
        let place = |sql: &String| {
            let place = sql.strip_prefix("CREATE INDEX ON s.");
            place
                .and_then(|sql| sql.strip_suffix(" USING btree (a)"))
                .unwrap()
                .to_owned()
        };
        made.iter().map(place).collect()
    }

    #[test]
    fn one_index_is_enough_where_all_columns_have_the_same_numbers() {
        assert_eq!(places(&[]), ["t"]);
        let alike = [
            (2, 1, Numbering::OfParent),
            (3, 1, Numbering::OfParent),
            (4, 2, Numbering::OfParent),
        ];
        assert_eq!(places(&alike), ["t"]);
        assert_eq!(table(&alike).misread(), None);
    }

    #[test]
    fn one_partition_with_other_numbers_parts_them_all() {
        let attached = [(2, 1, Numbering::OfParent), (3, 1, Numbering::Own)];
        assert_eq!(places(&attached), ["p2", "p3"]);
        assert_eq!(places(&attached[1..]), ["p3"], "never on the whole");
    }

    #[test]
    fn what_is_alike_below_is_indexed_together() {
        let deep = [
            (2, 1, Numbering::OfParent),
            (3, 1, Numbering::Own),
            (4, 1, Numbering::OfParent),
            (5, 2, Numbering::OfParent),
            (6, 3, Numbering::OfParent),
            (7, 4, Numbering::OfParent),
            (8, 4, Numbering::Own),
        ];
        assert_eq!(places(&deep), ["p2", "p3", "p7", "p8"]);
    }

    #[test]
    fn where_they_would_be_too_many_that_is_told() {
        let of = |count: usize| -> Vec<(u32, u32, Numbering)> {
            let numbers = (2..).take(count);
            numbers.map(|oid| (oid, 1, Numbering::Own)).collect()
        };
        let most = of(limits::PARTITIONS_INDEXED_APART);
        assert_eq!(places(&most).len(), most.len());
        assert_eq!(table(&most).misread(), None);
        let more = of(limits::PARTITIONS_INDEXED_APART + 1);
        assert_eq!(places(&more), ["t"]);
        let why = table(&more).misread().unwrap();
        assert!(why.contains("numbers of s.t for s.p2 and"), "{why}");
    }
}
