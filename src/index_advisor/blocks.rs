//! BRIN indexes beside b-trees. Where rows are stored in the order of a column, one of a thousandth of the size finds a range of
//! it nearly as fast: what a small budget is for. With everything on the table at once the planner takes it and never shows the
//! b-tree that would be better still, so each is priced alone, and the selection is told what it is worth.
//!
//! Where a statement looks for a range and for a value besides, PostgreSQL reads the blocks of the range as well as the value's
//! own index (BitmapAnd), which it counts for next to nothing and which takes more time than it saves: no BRIN index there.

use fixedbitset::FixedBitSet;

use super::candidate::Candidate;
use super::clauses::Key;
use super::gate::Gate;
use super::ready::Ready;
use super::tables::{ExistingIndex, Table};
use super::what_if::WhatIf;
use crate::limits;
use crate::postgres::{Plan, PostgresError};

/// From here on a range of values is a range of blocks.
const LEAST_CORRELATION: f64 = 0.9;

impl Table {
    /// Whether a BRIN index can tell where in this table to look, and no index that is there can.
    pub(super) fn is_stored_in_order_of(&self, candidate: &Candidate) -> bool {
        let [key] = &candidate.keys[..] else { return false };
        let Key::Column(name) = &key.key else { return false };
        let correlation = self.columns.get(name).and_then(|column| column.correlation);
        let leads = |index: &ExistingIndex| {
            matches!(index.method.as_str(), "btree" | "brin")
                && index.predicate.is_none()
                && index.keys.first().is_some_and(|first| first.key == key.key)
        };
        self.pages >= limits::BLOCKS_TABLE_PAGES
            && correlation.is_some_and(|correlation| correlation.abs() >= LEAST_CORRELATION)
            && !self.indexes.iter().any(leads)
    }
}

impl Ready {
    fn is_read_beside_points(&self, one: usize) -> bool {
        let candidate = &self.candidates[one];
        candidate.keys.iter().any(|key| {
            let key = (candidate.schema.clone(), candidate.table.clone(), key.key.clone());
            self.ranged_beside_points.contains(&key)
        })
    }
}

/// Asks what each is worth for its statement until it is to end, or so many questions were asked, and how often that was. The
/// costliest statements come first.
///
/// # Errors
/// If the session is lost, and no other is to be had.
pub(super) async fn price_blocks(
    plan: &Plan,
    gate: &mut Gate,
    ready: &mut Ready,
    most_calls: usize,
    is_over: &(dyn Fn() -> bool + Sync),
) -> Result<usize, PostgresError> {
    let mut what_if = WhatIf::new(plan, gate, &ready.planned, &ready.candidates, &ready.tables);
    let mut priced = Vec::new();
    for (statement, one) in ready
        .blocks
        .iter()
        .filter(|(_, one)| !ready.is_read_beside_points(*one))
    {
        if what_if.calls >= most_calls || is_over() {
            break;
        }
        let mut alone = FixedBitSet::with_capacity(ready.candidates.len());
        alone.insert(*one);
        let (answer, _) = what_if.planned_under(*statement, &alone).await?;
        if answer.used.contains(*one) {
            priced.push((*statement, *one, answer.cost));
        }
    }
    what_if.end().await?;
    let (calls, answers) = (what_if.calls, what_if.take_answers());
    ready.answers.extend(answers);
    ready.estimates.extend(priced);
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::candidate::IndexKey;
    use crate::index_advisor::tables::tests::table_of;
    use crate::index_advisor::tables::{Column, ExistingKey};

    fn candidate(column: &str) -> Candidate {
        Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "brin",
            keys: vec![IndexKey::from(Key::Column(column.into()))],
            include: Vec::new(),
            predicate: None,
        }
    }

    #[test]
    fn only_what_large_tables_are_stored_by() {
        let column = |correlation| Column {
            correlation: Some(correlation),
            ..Column::default()
        };
        let mut table = table_of(1e6, [("at", column(0.99)), ("kind", column(0.1))]);
        assert!(table.is_stored_in_order_of(&candidate("at")));
        assert!(!table.is_stored_in_order_of(&candidate("kind")));
        assert!(!table.is_stored_in_order_of(&candidate("gone")));
        let small = Table {
            pages: 100.0,
            ..table.clone()
        };
        assert!(!small.is_stored_in_order_of(&candidate("at")));
        table.indexes.push(ExistingIndex {
            oid: 2,
            schema: "s".into(),
            name: "t_at".into(),
            method: "btree".into(),
            is_unique: false,
            is_needed: false,
            predicate: None,
            keys: vec![ExistingKey {
                key: Key::Column("at".into()),
                descending: false,
                nulls_first: false,
                is_plain: true,
            }],
            include: Vec::new(),
            parts: Vec::new(),
        });
        assert!(!table.is_stored_in_order_of(&candidate("at")), "a b-tree does it");
    }
}
