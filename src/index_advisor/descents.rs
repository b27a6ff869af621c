//! What HypoPG does not count: how far it is from the root of a b-tree to its leaves. PostgreSQL charges fifty operators for each level
//! of each descent (`btcostestimate`, "Index Cost Estimation Functions"); an index that is not there has no height. For one look that is
//! nothing; a join that looks into an index for each of many rows costs less by it than it will with the real one, and PostgreSQL may
//! take another plan then.

use std::collections::BTreeMap;

use super::built::PAGE;
use super::confirmed::Outcome;
use super::ready::Ready;
use crate::limits;
use crate::model::plan::{PlanNode, PlanTree};

/// Planner's units for each level: 50 × `cpu_operator_cost`, by default.
const LEVEL_COST: f64 = 50.0 * 0.0025;
/// Inner pages are filled so far, and an entry of theirs has as many bytes as one of a leaf.
const INNER_FILL: f64 = 0.7;
/// A pointer to an entry, the entry's head, and a key as long as it is aligned.
const LEAST_ENTRY_BYTES: f64 = 4.0 + 8.0 + 8.0;

/// How many levels a b-tree of so many bytes and entries has, the leaves among them.
fn levels(size_bytes: f64, entries: f64) -> f64 {
    let pages = (size_bytes / PAGE).max(1.0);
    // of an index on a part of the rows fewer are counted than the table has
    let entry_bytes = (size_bytes / entries.max(1.0)).max(LEAST_ENTRY_BYTES);
    let fan_out = (INNER_FILL * PAGE / entry_bytes).max(2.0);
    1.0 + pages.log(fan_out).ceil().max(0.0)
}

/// What the descents of a plan add to its cost at least, by the levels of those indexes that are not there.
fn of_plan(tree: &PlanTree, levels: &dyn Fn(&str) -> Option<f64>) -> f64 {
    of_node(&tree.root, 1.0, 1.0, levels)
}

/// The same for a node that is begun so often, and each time read to this part: who reads one row has come down from the root, too.
fn of_node(node: &PlanNode, loops: f64, part: f64, levels: &dyn Fn(&str) -> Option<f64>) -> f64 {
    let own = node.index.as_deref().and_then(levels).unwrap_or(0.0) * LEVEL_COST * loops;
    let outer = node.children.iter().find(|child| is(child, "Outer"));
    let below = |child: &PlanNode| -> f64 {
        let (loops, part) = match node.kind.as_str() {
            // how often it is looked up and not found is nowhere said
            "Memoize" => return 0.0,
            "Materialize" => (1.0, part),
            "Nested Loop" if is(child, "Inner") => {
                let rows = outer.map_or(1.0, |outer| outer.rows);
                (loops * (rows * part).max(1.0), 1.0)
            }
            "Limit" => (loops, part * share(node, child)),
            // one after the other, each of them to its end: who wants a few rows begins only the first ones
            "Append" => {
                let begun = part.max(1.0 / node.children.len() as f64);
                (loops * begun, part / begun)
            }
            kind if kind != "Nested Loop" && is_read_first(node, child) => (loops, 1.0),
            _ => (loops, part),
        };
        match child.relationship.as_deref() {
            // once for all, and a subplan is looked into once for each row, or once for all if it is hashed
            Some("InitPlan" | "SubPlan") => of_node(child, 1.0, 1.0, levels),
            _ => of_node(child, loops, part, levels),
        }
    };
    own + node.children.iter().map(below).sum::<f64>()
}

/// Whether a node has read all of what is below it before it gives its first row, as one that sorts it.
fn is_read_first(node: &PlanNode, below: &PlanNode) -> bool {
    below.total_cost > 0.0 && node.startup_cost >= below.total_cost
}

fn is(child: &PlanNode, relationship: &str) -> bool {
    child.relationship.as_deref() == Some(relationship)
}

/// Which part of what is below a LIMIT is paid for.
fn share(limit: &PlanNode, below: &PlanNode) -> f64 {
    let whole = below.total_cost - below.startup_cost;
    let paid = limit.total_cost - below.startup_cost;
    match whole > 0.0 {
        true => (paid / whole).clamp(0.0, 1.0),
        false => 1.0,
    }
}

impl Ready {
    /// What descents of indexes that are not there add at least to what these planned statements cost with them, of those to which it
    /// matters. Each candidate is so many bytes large, if that is known; plans call them by these names.
    pub(super) fn descents(
        &self,
        outcomes: &[Outcome],
        names: &BTreeMap<String, usize>,
        sizes: &[Option<f64>],
    ) -> Vec<(usize, f64)> {
        let levels_of = |name: &str| {
            let candidate = *names.get(name)?;
            let rows = self.table_of(candidate)?.rows;
            let is_tree = self.candidates[candidate].method == "btree";
            Some(levels(sizes.get(candidate).copied().flatten()?, rows)).filter(|_| is_tree)
        };
        let of = |(number, outcome): (usize, &Outcome)| {
            let added = of_plan(outcome.tree.as_ref()?, &levels_of);
            let is_much = added >= limits::LEAST_GAIN.max(limits::DESCENTS_TOLD_SHARE * outcome.answer.cost);
            is_much.then_some((number, added))
        };
        outcomes.iter().enumerate().filter_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_tree_grows_by_a_level_when_its_root_is_full() {
        // by PostgreSQL 15: 200 000 integers, 551 pages, two levels above the leaves
        assert_eq!(levels(551.0 * 8192.0, 200_000.0), 3.0);
        assert_eq!(levels(8192.0, 100.0), 1.0, "the root is a leaf");
        assert_eq!(levels(30.0 * 8192.0, 10_000.0), 2.0);
        assert_eq!(levels(0.0, 0.0), 1.0);
        // by PostgreSQL 15: 20 000 of ten million integers, 57 pages, one level above the leaves
        assert_eq!(levels(57.0 * 8192.0, 1e7), 2.0, "a part of the rows");
        assert_eq!(levels(551.0 * 8192.0, 1e7), 3.0);
    }

    fn added(plan: Value) -> f64 {
        let tree = PlanTree::read(&json!([{ "Plan": plan }])).unwrap();
        of_plan(&tree, &|name| (name == "new").then_some(3.0)) / (3.0 * LEVEL_COST)
    }

    fn scan(relationship: &str, index: &str, rows: f64) -> Value {
        json!({"Node Type": "Index Scan", "Parent Relationship": relationship, "Index Name": index, "Plan Rows": rows,
               "Startup Cost": 0.0, "Total Cost": 100.0})
    }

    fn over(kind: &str, relationship: &str, children: &[Value]) -> Value {
        json!({"Node Type": kind, "Parent Relationship": relationship, "Plan Rows": 7.0, "Startup Cost": 0.0, "Total Cost": 50.0,
               "Plans": children})
    }

    #[test]
    fn who_wants_one_row_of_an_index_comes_down_from_its_root_all_the_same() {
        let outer = scan("Outer", "there", 40.0);
        let first = over("Limit", "Inner", &[scan("Outer", "new", 1000.0)]);
        assert_eq!(added(first.clone()), 1.0);
        assert_eq!(added(over("Nested Loop", "Outer", &[outer.clone(), first])), 40.0);
        let lateral = over(
            "Subquery Scan",
            "Inner",
            &[over("Limit", "Subquery", &[scan("Outer", "new", 1000.0)])],
        );
        assert_eq!(added(over("Nested Loop", "Outer", &[outer, lateral])), 40.0);
    }

    #[test]
    fn who_wants_a_few_rows_of_partitions_begins_only_the_first_ones() {
        let parts = |kind: &str, one: Value, cost: f64| {
            let mut all = over(kind, "Outer", &vec![one; 8]);
            all["Total Cost"] = json!(cost);
            all
        };
        let limited = |all: Value| added(over("Limit", "Outer", &[all]));
        let one = scan("Member", "new", 40.0);
        // the LIMIT costs 50
        assert_eq!(limited(parts("Append", one.clone(), 1600.0)), 1.0, "of 8");
        assert_eq!(limited(parts("Append", one.clone(), 100.0)), 4.0);
        assert_eq!(limited(parts("Append", one.clone(), 50.0)), 8.0);
        assert_eq!(added(parts("Append", one.clone(), 1600.0)), 8.0);
        assert_eq!(
            limited(parts("Merge Append", one, 1600.0)),
            8.0,
            "it compares the first rows of all"
        );
        let looks = [scan("Outer", "new", 32.0), scan("Inner", "new", 1.0)];
        let join = over("Nested Loop", "Member", &looks);
        assert_eq!(
            limited(parts("Append", join, 1600.0)),
            9.0,
            "a quarter of the first"
        );
    }

    #[test]
    fn each_look_into_an_index_that_is_not_there_is_a_descent() {
        let [outer, inner] = [scan("Outer", "new", 40.0), scan("Inner", "new", 1.0)];
        let join = |inner: Value| over("Nested Loop", "Outer", &[outer.clone(), inner]);
        assert_eq!(added(outer.clone()), 1.0);
        assert_eq!(added(join(inner.clone())), 41.0);
        assert_eq!(
            added(join(scan("Inner", "there", 1.0))),
            1.0,
            "a real one has its height"
        );
        let once = over("Materialize", "Inner", std::slice::from_ref(&outer));
        assert_eq!(added(join(once)), 2.0);
        let unknown = over("Memoize", "Inner", std::slice::from_ref(&outer));
        assert_eq!(added(join(unknown)), 1.0);
        assert_eq!(
            added(over("Hash Join", "Outer", &[outer.clone(), inner.clone()])),
            2.0
        );
        // whose plan costs 50 of the 50 below it, and of 100
        assert_eq!(added(over("Limit", "Outer", &[join(inner.clone())])), 41.0);
        let mut long_join = join(inner.clone());
        long_join["Total Cost"] = json!(100.0);
        assert_eq!(
            added(over("Limit", "Outer", std::slice::from_ref(&long_join))),
            21.0
        );
        let mut sort = over("Sort", "Outer", &[long_join]);
        (sort["Startup Cost"], sort["Total Cost"]) = (json!(100.0), json!(200.0));
        let mut top = over("Limit", "Outer", &[sort]);
        top["Total Cost"] = json!(150.0);
        assert_eq!(added(top), 41.0, "what is sorted is read to its end");
        assert_eq!(
            added(join(over("Result", "Inner", &[scan("SubPlan", "new", 1.0)]))),
            2.0
        );
    }
}
