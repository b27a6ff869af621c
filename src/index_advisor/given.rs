//! Whether calls give far more rows than their generic plan expects: of what lies between two parameters it takes a
//! two-hundredth, whatever they are, and no statistics tell which they were. What was measured does.

use super::ready::Ready;
use super::what_if::Planned;

/// A plan that expects so many times fewer rows is one for other values.
const FAR_MORE: f64 = 10.0;

impl Ready {
    /// What a reader should know of an index for these statements, where one of them gives far more rows than is expected.
    pub(super) fn caveat_of_rows(&self, statements: &[usize]) -> Option<String> {
        let mut told = statements.iter().filter_map(|number| {
            let measured = self.statements[self.positions[*number]].statement.rows_per_call?;
            Some((measured, far_fewer_expected(&self.planned[*number], measured)?))
        });
        let (measured, expected) = told.next()?;
        Some(format!(
            "a call of one of its statements gave {measured:.0} rows on average, where the plan for parameters in general expects \
             {expected:.0}: for the values that were asked for it may save less than is told"
        ))
    }
}

/// The rows that a generic plan expects, where that is far fewer than a call gave.
fn far_fewer_expected(planned: &Planned, measured: f64) -> Option<f64> {
    let root = &planned.tree.root;
    // what is limited, counted, grouped or written says nothing of the rows that were found; and longer lists give more
    let kinds = ["Limit", "Aggregate", "Group", "Unique", "SetOp", "ModifyTable"];
    let is_of_rows = planned.has_parameters
        && planned.lists.is_empty()
        && planned.page_rows.is_none()
        && !kinds.contains(&root.kind.as_str());
    let expected = root.rows.max(1.0);
    (is_of_rows && measured > FAR_MORE * expected).then_some(expected)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Instant;

    use serde_json::json;

    use super::*;
    use crate::index_advisor::search_path::SearchPath;
    use crate::model::plan::PlanTree;
    use crate::postgres::ServerText;

    /// A generic plan of this kind that expects twenty rows.
    fn planned(kind: &str) -> Planned {
        let plan = json!([{"Plan": {"Node Type": kind, "Plan Rows": 20.0}}]);
        Planned {
            text: ServerText::one_query("SELECT 1 FROM t WHERE a > $1 AND a < $2").unwrap(),
            search_path: SearchPath::parse("s", None).unwrap(),
            has_parameters: true,
            role: None,
            passed_at: Instant::now(),
            tree: PlanTree::read(&plan).unwrap(),
            lists: BTreeSet::new(),
            page_rows: None,
            has_guessed_types: false,
            locks_rows: false,
            values: Vec::new(),
            cost_by_values: None,
        }
    }

    #[test]
    fn far_more_rows_than_expected_are_told_where_rows_are_what_is_found() {
        let scan = planned("Seq Scan");
        assert_eq!(far_fewer_expected(&scan, 500.0), Some(20.0));
        assert_eq!(far_fewer_expected(&scan, 150.0), None);
        for kind in ["Limit", "Aggregate", "ModifyTable"] {
            assert_eq!(far_fewer_expected(&planned(kind), 500.0), None, "{kind}");
        }
        let of_lists = Planned {
            lists: BTreeSet::from([1]),
            ..planned("Seq Scan")
        };
        assert_eq!(far_fewer_expected(&of_lists, 500.0), None);
        let of_values = Planned {
            has_parameters: false,
            ..planned("Seq Scan")
        };
        assert_eq!(far_fewer_expected(&of_values, 500.0), None);
    }
}
