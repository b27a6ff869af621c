//! What searching text costs that the planner does not count. To it ILIKE is an operator like any other, a four-hundredth of a page
//! for each row, though it takes some eighty times as long: a statement full of it is worth more than its cost tells, and so is
//! the index that spares it.

use std::collections::BTreeSet;

use super::clauses::{Key, RelationUse, Search};
use super::tables::Table;

/// Planner's units that one row takes more than is counted. Measured in one process on text of 8 to 100 bytes: ILIKE 0.14 to
/// 0.25, regular expressions 0.2, similarity 1, words that are made of text 0.004 to 0.04 for each of its bytes, LIKE 0.01 to
/// 0.03, `@>` 0.04. Of that a quarter counts: scans are shared by workers, and other locales compare faster.
fn unseen(search: &Search, table: &Table) -> f64 {
    match (search.operator.as_str(), &search.key) {
        ("~~*" | "~" | "~*", _) => 0.05,
        ("%", _) => 0.25,
        ("@@", Key::Expression(_)) => 0.005 * table.width_of(&search.key).unwrap_or(0.0),
        _ => 0.0,
    }
}

/// What the searches in a relation take more than is counted, if so many rows are read of it.
pub(super) fn unseen_cost(asked: &RelationUse, table: &Table, rows: f64) -> f64 {
    let all: BTreeSet<&Search> = asked.searched.iter().flat_map(|one| &one.all).collect();
    let each = all.into_iter().map(|search| unseen(search, table));
    each.sum::<f64>() * rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::tables::{Column, tests::table_of};

    #[test]
    fn patterns_without_case_cost_more_than_the_planner_counts() {
        let column = Column {
            width_bytes: Some(20.0),
            ..Column::default()
        };
        let table = table_of(1000.0, [("a", column)]);
        let asked = |key: Key, operators: &[&str]| RelationUse {
            searched: operators
                .iter()
                .map(|operator| {
                    let operator = (*operator).into();
                    Search {
                        key: key.clone(),
                        operator,
                    }
                    .into()
                })
                .collect(),
            ..RelationUse::default()
        };
        let column = Key::Column("a".into());
        let none = asked(column.clone(), &["@>", "@@"]);
        assert_eq!(unseen_cost(&none, &table, 1000.0), 0.0);
        assert_eq!(unseen_cost(&asked(column, &["~~*", "~"]), &table, 1000.0), 100.0);
        let words = Key::Expression("to_tsvector('english'::regconfig, a)".into());
        assert_eq!(unseen_cost(&asked(words, &["@@"]), &table, 500.0), 50.0);
    }
}
