//! How many hypothetical indexes there can be at once. HypoPG gives each an OID of those that initdb left free. A candidate takes
//! one, or one for each partition that is `numbered` by itself: of a table with many of these a few dozen take them all. What
//! there was no room for was not tried, which says nothing of what it is worth.

use fixedbitset::FixedBitSet;

use super::candidate::Candidate;
use super::numbered::definitions;
use super::ready::Ready;
use super::tables::Tables;
use crate::limits;

/// What the candidates of one statement may take together: the rest is for what is chosen for other statements, which is there
/// beside them.
pub(super) const ROOM_OF_A_STATEMENT: usize = limits::HYPOTHETICAL_INDEXES / 4 * 3;

/// Whether all candidates of a set can be there at once.
fn fit_at_once(set: &FixedBitSet, candidates: &[Candidate], tables: &Tables) -> bool {
    let counts = set.ones().map(|one| definitions(&candidates[one], tables).len());
    counts.sum::<usize>() <= limits::HYPOTHETICAL_INDEXES
}

impl Ready {
    /// What of a set is there for a statement to which so much is useful: all of it, if there is room for that.
    pub(super) fn shown(&self, set: &FixedBitSet, useful: &FixedBitSet) -> FixedBitSet {
        let mut shown = set.clone();
        if !fit_at_once(set, &self.candidates, &self.tables) {
            shown.intersect_with(useful);
        }
        shown
    }

    /// What is to be said of candidates that were tried for no statement.
    pub(super) fn about_the_untried(&self) -> Option<String> {
        let is_untried = |one: &&Candidate| !self.known.contains_key(*one);
        about_so_many(self.without_room.iter().filter(is_untried).count())
    }
}

fn about_so_many(untried: usize) -> Option<String> {
    let were = match untried {
        0 => return None,
        1 => "1 candidate was".to_owned(),
        many => format!("{many} candidates were"),
    };
    Some(format!(
        "{were} not tried: HypoPG takes no more than about {} hypothetical indexes at once, and one on a table whose partitions number \
         their columns in their own ways takes as many as there are such partitions",
        limits::HYPOTHETICAL_INDEXES
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::candidate::IndexKey;
    use crate::index_advisor::clauses::Key;
    use crate::index_advisor::tables::tests::{named, table_of, tables_of};
    use crate::index_advisor::tables::{Numbering, Partition, Table};

    #[test]
    fn a_candidate_takes_room_for_each_partition_with_numbers_of_its_own() {
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
        let tables = tables_of(Table {
            is_partitioned: true,
            partitions: (2..)
                .take(limits::PARTITIONS_INDEXED_APART)
                .map(partition)
                .collect(),
            ..table_of(1000.0, [])
        });
        let candidate = |number: usize| Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: vec![IndexKey::from(Key::Column(format!("c{number}")))],
            include: Vec::new(),
            predicate: None,
        };
        let most = limits::HYPOTHETICAL_INDEXES / limits::PARTITIONS_INDEXED_APART;
        let candidates: Vec<Candidate> = (0..=most).map(candidate).collect();
        let mut set = FixedBitSet::with_capacity(candidates.len());
        set.extend(0..most);
        assert!(fit_at_once(&set, &candidates, &tables));
        set.insert(most);
        assert!(!fit_at_once(&set, &candidates, &tables));
    }

    #[test]
    fn what_was_not_tried_is_counted() {
        assert_eq!(about_so_many(0), None);
        let told = about_so_many(1).unwrap();
        assert!(
            told.starts_with("1 candidate was not tried: HypoPG takes no more than about 2000"),
            "{told}"
        );
        assert!(about_so_many(7).unwrap().starts_with("7 candidates were"));
    }
}
