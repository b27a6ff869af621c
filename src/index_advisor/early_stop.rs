//! Rows that are read in the order that is asked for, until a LIMIT has enough of them: how far that is hangs on how many of
//! them pass what else is asked. For a parameter the planner expects a value as common as others, for an expression without
//! statistics it has a number that is always the same; where rows are rarer than that the whole index is read, row by row
//! and at random. And since the plan looks so cheap, plancache takes it for all values in the place of plans that know them.
//!
//! So a new index is given credit for all that such a scan may read, not for what is hoped. What the planner does already is
//! left as it is: nobody is promised anything by it.

use crate::model::plan::{PlanNode, PlanTree};
use crate::sql::expression::{Comparison, Condition, Operand, conditions, has_parameter};

/// What a plan costs if nothing that it finds by a new index under a LIMIT comes early by luck; the names are those of the
/// new indexes.
pub(super) fn cost(tree: &PlanTree, is_new: &dyn Fn(&str) -> bool) -> f64 {
    tree.total_cost() + hoped(&tree.root, is_new)
}

/// What is hoped to be saved by stopping early, here and below.
fn hoped(node: &PlanNode, is_new: &dyn Fn(&str) -> bool) -> f64 {
    let [first, others @ ..] = &node.children[..] else {
        return 0.0;
    };
    // what is inside of a nested loop is done for each row outside
    let times = match node.kind.as_str() {
        "Nested Loop" => first.rows.max(1.0),
        _ => 1.0,
    };
    let below = others
        .iter()
        .map(|child| times * hoped(child, is_new))
        .sum::<f64>()
        + hoped(first, is_new);
    let is_hope = node.kind == "Limit" && is_unsure(first, is_new);
    match is_hope {
        true => below + (first.total_cost - node.total_cost).max(0.0),
        false => below,
    }
}

/// Whether a new index is read only as far as rows are wanted, and how many of its rows count is not known.
fn is_unsure(below: &PlanNode, is_new: &dyn Fn(&str) -> bool) -> bool {
    let mut streamed = Vec::new();
    stream(below, &mut streamed);
    let by_new = |node: &&&PlanNode| node.index.as_deref().is_some_and(is_new);
    if !streamed.iter().any(|node| by_new(&node)) {
        return false;
    }
    let tree = |node: &PlanNode| -> Vec<String> {
        match streamed.iter().any(|one| std::ptr::eq(*one, node)) {
            // what an index is searched by is no row that is read in vain
            true => node.filter.clone(),
            false => node.conditions.clone(),
        }
    };
    let mut nodes = vec![below];
    while let Some(node) = nodes.pop() {
        let asked = tree(node);
        if asked
            .iter()
            .flat_map(|text| conditions(text))
            .any(|one| is_unknown(&one))
        {
            return true;
        }
        nodes.extend(&node.children);
    }
    false
}

/// The nodes that give each row as soon as it is read.
fn stream<'a>(node: &'a PlanNode, nodes: &mut Vec<&'a PlanNode>) {
    nodes.push(node);
    let children = &node.children[..];
    let streamed = match node.kind.as_str() {
        "Sort" | "Hash" | "Aggregate" if node.strategy.as_deref() != Some("Sorted") => &[],
        "Append" | "Merge Append" | "Merge Join" => children,
        _ => &children[..children.len().min(1)],
    };
    for child in streamed {
        stream(child, nodes);
    }
}

/// Whether it is only guessed how many rows pass.
fn is_unknown(condition: &Condition) -> bool {
    match condition {
        Condition::Term {
            left,
            comparison,
            right,
            ..
        } => {
            let is_rare = match comparison {
                Comparison::Equal
                | Comparison::AnyOf
                | Comparison::Range
                | Comparison::Prefix
                | Comparison::Begins => true,
                // what excludes something lets most rows pass
                Comparison::Operator(name) => !name.starts_with('!') && name != "<>",
                Comparison::IsNull
                | Comparison::IsNotNull
                | Comparison::True
                | Comparison::False
                | Comparison::NoneOf => false,
            };
            is_rare && (is_open(right) || is_open(left) || is_computed(left, comparison))
        }
        // the page after the last row that was seen begins where the index is searched
        Condition::Rows(_) => false,
        Condition::Or(arms) => arms.iter().flatten().any(is_unknown),
    }
}

/// Whether a side has another value in each call.
fn is_open(side: &Operand) -> bool {
    match side {
        Operand::Value(text) | Operand::Expression { text, .. } => has_parameter(text),
        Operand::Column(_) | Operand::Other => false,
    }
}

/// Whether a side is an expression, of which there are no statistics.
fn is_computed(side: &Operand, comparison: &Comparison) -> bool {
    matches!(side, Operand::Expression { .. }) && *comparison == Comparison::Equal
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn priced(plan: Value) -> f64 {
        let tree = PlanTree::read(&json!([{ "Plan": plan }])).unwrap();
        cost(&tree, &|name| name == "new")
    }

    /// Twenty rows in the order of an index, with what else is asked.
    fn page(index: &str, condition: &str, filter: &str) -> Value {
        json!({
            "Node Type": "Limit", "Total Cost": 5.0, "Plan Rows": 20.0,
            "Plans": [{
                "Node Type": "Index Scan", "Total Cost": 60000.0, "Plan Rows": 90000.0, "Index Name": index,
                "Schema": "s", "Relation Name": "visit", "Alias": "v",
                "Index Cond": condition, "Filter": filter,
            }],
        })
    }

    #[test]
    fn what_is_found_early_by_luck_is_no_saving() {
        for (condition, filter) in [
            ("", "(v.status = $1)"),
            ("", "((v.deleted_at IS NULL) AND (v.status = $1))"),
            ("", "(v.status = ANY ($1))"),
            ("", "(v.weight > $2)"),
            ("(v.room = 7)", "(v.name ~~* $1)"),
            ("", "(lower(v.name) = 'smith'::text)"),
            ("", "(lower(v.name) = lower($1))"),
        ] {
            assert_eq!(priced(page("new", condition, filter)), 60000.0, "{filter}");
            let as_it_is = priced(page("visit_pkey", condition, filter));
            assert_eq!(as_it_is, 5.0, "the planner does that already: {filter}");
        }
    }

    #[test]
    fn what_an_index_is_searched_by_and_what_statistics_tell_is_proven() {
        for (condition, filter) in [
            ("(v.status = $1)", ""),
            ("(v.status = $1)", "(v.deleted_at IS NULL)"),
            ("", "(v.status = 'done'::text)"),
            ("(v.at < $1)", "(v.status <> $2)"),
            ("(v.at <= $1)", "(ROW(v.at, v.id) < ROW($1, $2))"),
        ] {
            assert_eq!(
                priced(page("new", condition, filter)),
                5.0,
                "{condition} {filter}"
            );
        }
    }

    #[test]
    fn joins_stop_early_by_luck_of_either_side_and_sorts_never_do() {
        let join = |inner: &str| {
            json!({
                "Node Type": "Limit", "Total Cost": 9.0, "Plan Rows": 20.0,
                "Plans": [{
                    "Node Type": "Nested Loop", "Total Cost": 70000.0, "Plan Rows": 500.0,
                    "Plans": [
                        {"Node Type": "Index Scan", "Index Name": "new", "Total Cost": 900.0, "Plan Rows": 5000.0},
                        {"Node Type": "Index Scan", "Index Name": "clinic_pkey", "Total Cost": 8.0, "Plan Rows": 1.0,
                         "Index Cond": "(c.id = v.clinic_id)", "Filter": inner},
                    ],
                }],
            })
        };
        assert_eq!(priced(join("(c.region = $1)")), 70000.0);
        assert_eq!(priced(join("(c.region IS NOT NULL)")), 9.0);
        let sorted = json!({
            "Node Type": "Limit", "Total Cost": 900.0, "Plan Rows": 20.0,
            "Plans": [{
                "Node Type": "Sort", "Total Cost": 950.0, "Plan Rows": 5000.0,
                "Plans": [{"Node Type": "Index Scan", "Index Name": "new", "Total Cost": 800.0, "Filter": "(v.status = $1)"}],
            }],
        });
        assert_eq!(priced(sorted), 900.0);
    }

    #[test]
    fn what_is_done_for_each_row_is_paid_for_each_row() {
        let lateral = json!({
            "Node Type": "Nested Loop", "Total Cost": 100.0, "Plan Rows": 60.0,
            "Plans": [
                {"Node Type": "Seq Scan", "Total Cost": 2.0, "Plan Rows": 3.0},
                page("new", "", "(v.status = $1)"),
            ],
        });
        assert_eq!(priced(lateral), 100.0 + 3.0 * (60000.0 - 5.0));
    }
}
