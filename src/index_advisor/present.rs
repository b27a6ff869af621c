//! The hypothetical indexes that are there: one for each candidate, or several of one on partitions.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;

use super::candidate::Candidate;
use super::numbered::definitions;
use super::tables::Tables;
use crate::limits;
use crate::postgres::HypotheticalIndex;

/// Those of each candidate that is there, by its number.
#[derive(Debug, Default)]
pub(super) struct Present(BTreeMap<usize, Vec<HypotheticalIndex>>);

impl Present {
    /// All of them, each with the number of its candidate.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&usize, &HypotheticalIndex)> {
        let candidates = self.0.iter();
        candidates.flat_map(|(one, indexes)| indexes.iter().map(move |index| (one, index)))
    }

    /// There are none any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Leaves no candidate but those of a set, and tells the OIDs of what is to be dropped.
    pub(super) fn keep(&mut self, set: &FixedBitSet) -> Vec<u32> {
        let there = self.0.keys().copied();
        let surplus: Vec<usize> = there.filter(|one| !set.contains(*one)).collect();
        let removed = surplus.iter().filter_map(|one| self.0.remove(one));
        removed.flatten().map(|index| index.oid).collect()
    }

    /// What is to be made so that all candidates of a set are there, each definition with the number of its candidate. A candidate
    /// for all of which there would be no OIDs left is not made at all.
    pub(super) fn missing(
        &self,
        set: &FixedBitSet,
        candidates: &[Candidate],
        tables: &Tables,
    ) -> (Vec<usize>, Vec<String>) {
        let there: usize = self.0.values().map(Vec::len).sum();
        let (mut numbers, mut wanted) = (Vec::new(), Vec::new());
        for one in set.ones().filter(|one| !self.0.contains_key(one)) {
            let own = definitions(&candidates[one], tables);
            if there + wanted.len() + own.len() <= limits::HYPOTHETICAL_INDEXES {
                numbers.extend(own.iter().map(|_| one));
                wanted.extend(own);
            }
        }
        (numbers, wanted)
    }

    /// These were made, but for those that HypoPG did not take.
    pub(super) fn add(&mut self, made: impl Iterator<Item = (usize, Option<HypotheticalIndex>)>) {
        for (one, index) in made.filter_map(|(one, index)| Some((one, index?))) {
            self.0.entry(one).or_default().push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::candidate::IndexKey;
    use crate::index_advisor::clauses::Key;
    use crate::index_advisor::tables::tests::{named, table_of, tables_of};
    use crate::index_advisor::tables::{Numbering, Partition, Table};

    fn index(oid: u32) -> HypotheticalIndex {
        HypotheticalIndex {
            oid,
            name: format!("<{oid}>btree"),
            size_bytes: 8192.0,
        }
    }

    fn set(members: &[usize]) -> FixedBitSet {
        let mut set = FixedBitSet::with_capacity(100);
        set.extend(members.iter().copied());
        set
    }

    /// Candidates of a table with so many partitions, each of which has numbers of its own.
    fn candidates(partitions: usize) -> (Vec<Candidate>, Tables) {
        let partition = |oid: u32| Partition {
            oid,
            parent_oid: 1,
            is_partitioned: false,
            is_foreign: false,
            name: named(&format!("p{oid}")),
            pages: None,
            rows: None,
            numbering: Numbering::Own,
            indexes: Vec::new(),
        };
        let table = Table {
            is_partitioned: true,
            partitions: (2..).take(partitions).map(partition).collect(),
            ..table_of(1000.0, [])
        };
        let candidate = |number: usize| Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: vec![IndexKey::from(Key::Column(format!("c{number}")))],
            include: Vec::new(),
            predicate: None,
        };
        ((0..100).map(candidate).collect(), tables_of(table))
    }

    #[test]
    fn a_candidate_is_there_by_each_of_its_indexes_and_goes_with_all() {
        let mut present = Present::default();
        let made = [(3, Some(10)), (3, Some(11)), (5, None), (7, Some(12))];
        present.add(made.into_iter().map(|(one, oid)| (one, oid.map(index))));
        let there = present.iter().map(|(one, index)| (*one, index.oid));
        let there: Vec<(usize, u32)> = there.collect();
        assert_eq!(there, [(3, 10), (3, 11), (7, 12)]);
        let (all, tables) = candidates(2);
        let (numbers, definitions) = present.missing(&set(&[3, 5, 7]), &all, &tables);
        assert_eq!(numbers, [5, 5]);
        assert_eq!(
            definitions,
            [
                "CREATE INDEX ON s.p2 USING btree (c5)",
                "CREATE INDEX ON s.p3 USING btree (c5)"
            ]
        );
        assert_eq!(present.keep(&set(&[5, 7])), [10, 11]);
        assert_eq!(present.iter().count(), 1);
    }

    #[test]
    fn no_more_are_made_than_there_are_oids_for() {
        let (all, tables) = candidates(limits::PARTITIONS_INDEXED_APART);
        let every: Vec<usize> = (0..all.len()).collect();
        let (numbers, _) = Present::default().missing(&set(&every), &all, &tables);
        assert_eq!(numbers.len(), limits::HYPOTHETICAL_INDEXES);
        let last = limits::HYPOTHETICAL_INDEXES / limits::PARTITIONS_INDEXED_APART - 1;
        assert_eq!(numbers.last(), Some(&last), "the first of them, each whole");
    }
}
