//! Rows that are read in the order that is asked for, until a LIMIT has enough of them: how far that is hangs on how many of
//! them pass what else is asked. For a parameter the planner expects a value as common as others, for an expression without
//! statistics it has a number that is always the same; where rows are rarer than that the whole index is read, row by row
//! and at random. And since the plan looks so cheap, plancache takes it for all values in the place of plans that know them.
//!
//! So a new index is given credit for all that such a scan may read, not for what is hoped. What the planner does already is
//! left as it is: nobody is promised anything by it.

use std::collections::{BTreeMap, BTreeSet};

use super::clauses::{Key, OrderedKey, RelationUse, key_of};
use super::existing::ExistingKey;
use super::later_pages::{Keys, order_read};
use super::tables::Tables;
use crate::model::plan::{PlanNode, PlanTree};
use crate::sql::expression::{
    Comparison, Condition, Operand, conditions, conditions_beside_positions, has_parameter,
};

/// The keys of a new index by its name; `None` for what is no new index.
pub(super) type New<'n> = &'n dyn Fn(&str) -> Option<Keys>;

/// The planner takes plans for equal that differ by no more than this part.
const NO_HOPE: f64 = 0.01;

/// What of a plan rests on rows that a new index finds early under a LIMIT by luck.
#[derive(Debug, Default, PartialEq)]
pub(super) struct EarlyStop<'a> {
    /// What is hoped to be saved so.
    pub hoped: f64,
    /// The new indexes that are read for that hope, each with how many of its first keys decide on it: what else begins with these
    /// is read for the same.
    pub by_luck: BTreeMap<&'a str, usize>,
}

/// What of a plan is hope; the names are those of the new indexes.
pub(super) fn of<'a>(tree: &'a PlanTree, new: New<'_>) -> EarlyStop<'a> {
    let mut found = EarlyStop::default();
    found.hoped = found.take(&tree.root, new);
    found
}

impl<'a> EarlyStop<'a> {
    /// What is hoped to be saved by stopping early, here and below.
    fn take(&mut self, node: &'a PlanNode, new: New<'_>) -> f64 {
        let first = node.inputs().next();
        let is_first = |child: &PlanNode| first.is_some_and(|first| std::ptr::eq(first, child));
        let mut hoped = 0.0;
        for child in &node.children {
            // what is inside of a nested loop is done for each row outside, and a subquery for each row
            let times = match (child.relationship.as_deref(), node.kind.as_str(), first) {
                (Some("SubPlan"), ..) => node.rows.max(1.0),
                (Some("InitPlan"), ..) => 1.0,
                (_, "Nested Loop", Some(outer)) if !is_first(child) => outer.rows.max(1.0),
                _ => 1.0,
            };
            hoped += times * self.take(child, new);
        }
        let Some(first) = first.filter(|_| node.kind == "Limit") else {
            return hoped;
        };
        let streamed = streamed(first);
        let hope = first.total_cost - node.total_cost;
        // where all that it searches is little no plan rests on where it stops
        if hope <= NO_HOPE * first.total_cost || !is_unsure(first, &streamed, new) {
            return hoped;
        }
        self.by_luck.extend(streamed.into_iter().filter_map(|node| {
            let index = node.index.as_deref()?;
            let searched = searched_by(node, &new(index)?);
            Some((index, searched.keys.len() + usize::from(!searched.ends_in_range)))
        }));
        hoped + hope
    }
}

/// Whether a new index is read only as far as rows are wanted, and how many of its rows count is not known.
fn is_unsure(below: &PlanNode, streamed: &[&PlanNode], new: New<'_>) -> bool {
    let by_new = || {
        streamed
            .iter()
            .filter(|node| node.index.as_deref().is_some_and(|name| new(name).is_some()))
    };
    if by_new().next().is_none() {
        return false;
    }
    // what the index is searched by is asked of what is joined, too, where both are the same
    let searched_by: BTreeSet<String> = by_new().flat_map(|node| values(&node.conditions)).collect();
    let mut nodes = vec![below];
    while let Some(node) = nodes.pop() {
        let keeps_all = node.join_type.as_deref() == Some("Left");
        let is_streamed = streamed.iter().any(|one| std::ptr::eq(*one, node));
        let drops = |text: &&String| !(keeps_all && node.join_filter.contains(*text));
        let (texts, order) = match is_streamed {
            true => (&node.filter, order_read(node, new)),
            false => (&node.conditions, Vec::new()),
        };
        // what lies behind the last row that was seen passes, each row of it
        let besides = |text: &String| conditions_beside_positions(text, &order);
        let mut asked: Vec<Condition> = texts.iter().filter(drops).flat_map(besides).collect();
        if is_streamed {
            asked.extend(read_in_vain(node, new));
        }
        for one in asked {
            let is_known = !is_streamed && value_of(&one).is_some_and(|value| searched_by.contains(value));
            let is_of_another = is_streamed && node.relation.is_some() && compares_relations(&one);
            if is_of_another || (is_unknown(&one) && !is_known) {
                return true;
            }
        }
        // of what is joined so, no row of the other side is left out
        nodes.extend(node.inputs().take(if keeps_all { 1 } else { usize::MAX }));
    }
    false
}

/// What an index is asked that does not narrow what is read of it: only its first keys do, up to the first that is asked for no
/// one value. What stands behind a key of the order is compared row by row.
fn read_in_vain(node: &PlanNode, new: New<'_>) -> Vec<Condition> {
    let Some(keys) = node.index.as_deref().and_then(new) else {
        return Vec::new();
    };
    let asked = asked_of_index(node);
    let searched = searched(&asked, &keys.ordered).keys;
    let narrows = |one: &Condition| searched.iter().any(|key| comparison_of(one, key).is_some());
    asked.into_iter().filter(|one| !narrows(one)).collect()
}

/// The conditions that an index answers by itself.
fn asked_of_index(node: &PlanNode) -> Vec<Condition> {
    let of_index = node.conditions.iter().filter(|text| !node.filter.contains(text));
    of_index.flat_map(|text| conditions(text)).collect()
}

/// The first keys of an index, which narrow what is read of it.
pub(super) struct Searched {
    pub(super) keys: Vec<Key>,
    /// Of the last of them more than one value is read.
    pub(super) ends_in_range: bool,
}

/// What a scan searches an index by.
pub(super) fn searched_by(node: &PlanNode, keys: &Keys) -> Searched {
    searched(&asked_of_index(node), &keys.ordered)
}

fn searched(asked: &[Condition], keys: &[OrderedKey]) -> Searched {
    let mut searched = Searched {
        keys: Vec::new(),
        ends_in_range: false,
    };
    for OrderedKey { key, .. } in keys {
        let by: Vec<&Comparison> = asked.iter().filter_map(|one| comparison_of(one, key)).collect();
        if by.is_empty() || searched.ends_in_range {
            break;
        }
        let is_of_one =
            |one: &&Comparison| matches!(one, Comparison::Equal | Comparison::AnyOf | Comparison::IsNull);
        searched.keys.push(key.clone());
        searched.ends_in_range = !by.iter().any(is_of_one);
    }
    searched
}

/// How a condition compares a key.
fn comparison_of<'a>(condition: &'a Condition, key: &Key) -> Option<&'a Comparison> {
    match condition {
        Condition::Term { left, comparison, .. } => {
            let (_, compared) = key_of(left)?;
            (compared == *key).then_some(comparison)
        }
        Condition::Rows(_) | Condition::Or(_) => None,
    }
}

/// What columns are equal to in these conditions.
fn values(texts: &[String]) -> Vec<String> {
    let all = texts.iter().flat_map(|text| conditions(text));
    all.filter_map(|one| value_of(&one).map(str::to_owned)).collect()
}

/// What a condition asks a column to be equal to.
fn value_of(condition: &Condition) -> Option<&str> {
    match condition {
        Condition::Term {
            comparison: Comparison::Equal,
            right: Operand::Value(value),
            ..
        } => Some(value),
        _ => None,
    }
}

/// Whether a scan compares its rows with those of another one: with another value in each of its rounds.
fn compares_relations(condition: &Condition) -> bool {
    match condition {
        Condition::Term {
            left: Operand::Column(left),
            right: Operand::Column(right),
            comparison: Comparison::Equal,
            ..
        } => left.alias != right.alias,
        _ => false,
    }
}

/// The nodes that give each row as soon as it is read.
fn streamed(node: &PlanNode) -> Vec<&PlanNode> {
    let inputs = match node.kind.as_str() {
        "Sort" | "Hash" | "Aggregate" if node.strategy.as_deref() != Some("Sorted") => 0,
        "Append" | "Merge Append" | "Merge Join" => usize::MAX,
        _ => 1,
    };
    let below = node.inputs().take(inputs).flat_map(streamed);
    std::iter::once(node).chain(below).collect()
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

/// Takes into what is asked of each table the order in which an index that is there gives its rows to a LIMIT, where it reads some that
/// do not pass: no plan shows that order, and an index that gives the same may find the rows surely, or these alone.
pub(super) fn take_orders(uses: &mut [RelationUse], tree: &PlanTree, tables: &Tables) {
    let early = of(tree, &|name| tables.keys_of_index(name));
    let mut discarding = Vec::new();
    take_discarding(&tree.root, false, &mut discarding);
    for node in tree.nodes() {
        let discards = discarding.iter().any(|other| std::ptr::eq(*other, node));
        let stopped = node
            .index
            .as_deref()
            .filter(|name| discards || early.by_luck.contains_key(name));
        let (Some(index), Some(alias)) = (stopped.and_then(|name| tables.index(name)), &node.alias) else {
            continue;
        };
        for asked in uses.iter_mut().filter(|asked| asked.alias == *alias) {
            let order = index.keys.iter().filter(|key| !asked.equal.contains(&key.key));
            let order: Vec<OrderedKey> = order.map(ExistingKey::ordered).collect();
            if !order.is_empty() {
                asked.sorted.insert(order);
            }
        }
    }
}

/// The scans of indexes that read in their order until a LIMIT above has enough, and leave out rows that do not pass.
fn take_discarding<'a>(node: &'a PlanNode, is_limited: bool, found: &mut Vec<&'a PlanNode>) {
    let is_limited = match node.kind.as_str() {
        "Limit" => true,
        "Sort" | "Incremental Sort" | "Aggregate" | "Hash" | "Materialize" | "SetOp" => false,
        _ => is_limited,
    };
    if is_limited && node.index.is_some() && !node.filter.is_empty() {
        found.push(node);
    }
    for child in &node.children {
        // what is inside is read anew for each row outside
        let is_inside = matches!(
            child.relationship.as_deref(),
            Some("Inner" | "SubPlan" | "InitPlan")
        );
        take_discarding(child, is_limited && !is_inside, found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn rows_that_are_left_out_before_a_limit_has_enough_are_seen() {
        let scan = |filter: &str| {
            json!({"Node Type": "Index Scan", "Index Name": "i", "Alias": "t", "Filter": filter,
            "Parent Relationship": "Outer"})
        };
        let over = |kind: &str, below: &Value| json!({"Node Type": kind, "Parent Relationship": "Outer", "Plans": [below]});
        let count = |plan: Value| {
            let tree = PlanTree::read(&json!([{ "Plan": plan }])).unwrap();
            let mut found = Vec::new();
            take_discarding(&tree.root, false, &mut found);
            found.len()
        };
        let left_out = scan("(t.state = 'open'::text)");
        assert_eq!(count(over("Limit", &left_out)), 1);
        assert_eq!(count(over("Limit", &over("LockRows", &left_out))), 1);
        assert_eq!(
            count(over("Limit", &over("Sort", &left_out))),
            0,
            "all of it is read"
        );
        assert_eq!(count(over("LockRows", &left_out)), 0);
        let plain = json!({"Node Type": "Index Scan", "Index Name": "i", "Alias": "t"});
        assert_eq!(count(over("Limit", &plain)), 0);
        let mut inside = left_out.clone();
        inside["Parent Relationship"] = json!("Inner");
        let join = json!({"Node Type": "Nested Loop", "Plans": [left_out, inside]});
        assert_eq!(count(over("Limit", &join)), 1);
    }

    /// Of one new index.
    fn keys(name: &str) -> Option<Keys> {
        let keys = ["room", "status", "at"].map(|name| OrderedKey {
            key: Key::Column(name.into()),
            descending: false,
            nulls_first: false,
        });
        match name {
            "new" => Some(Keys::of(keys.into(), None)),
            "by_time" => Some(Keys::of(keys.into_iter().rev().collect(), None)),
            _ => None,
        }
    }

    fn priced(plan: Value) -> f64 {
        let tree = PlanTree::read(&json!([{ "Plan": plan }])).unwrap();
        tree.total_cost() + of(&tree, &keys).hoped
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
    fn what_stands_behind_the_order_is_compared_row_by_row() {
        for (index, condition, cost) in [
            ("by_time", "(v.status = $1)", 60000.0),
            ("by_time", "((v.at > $1) AND (v.status = $2))", 60000.0),
            ("by_time", "((v.at = $1) AND (v.status = $2))", 5.0),
            ("by_time", "(v.at > $1)", 5.0),
            ("new", "(v.status = $1)", 60000.0),
            ("visit_pkey", "(v.status = $1)", 5.0),
        ] {
            assert_eq!(priced(page(index, condition, "")), cost, "{index} {condition}");
        }
    }

    #[test]
    fn what_serves_by_luck_is_named() {
        let lucky = |index: &str, condition: &str, filter: &str| {
            let tree = PlanTree::read(&json!([{ "Plan": page(index, condition, filter) }])).unwrap();
            let found = of(&tree, &keys).by_luck.into_iter();
            found
                .map(|(name, first)| (name.to_owned(), first))
                .collect::<BTreeMap<String, usize>>()
        };
        let all = |index: &str, first: usize| BTreeMap::from([(index.to_owned(), first)]);
        assert_eq!(lucky("new", "", "(v.status = $1)"), all("new", 1));
        assert_eq!(lucky("new", "(v.room = $1)", "(v.name = $2)"), all("new", 2));
        assert_eq!(
            lucky("by_time", "((v.at > $1) AND (v.status = $2))", ""),
            all("by_time", 1)
        );
        assert_eq!(lucky("new", "(v.room = $1)", ""), BTreeMap::new());
        assert_eq!(lucky("visit_pkey", "", "(v.status = $1)"), BTreeMap::new());
        let mut all_is_read = page("new", "(v.room = $1)", "(v.name = $2)");
        all_is_read["Total Cost"] = json!(59990.0);
        let tree = PlanTree::read(&json!([{ "Plan": all_is_read }])).unwrap();
        assert_eq!(of(&tree, &keys), EarlyStop::default());
    }

    #[test]
    fn what_an_index_is_searched_by_and_what_statistics_tell_is_proven() {
        for (condition, filter) in [
            ("(v.room = $1)", ""),
            ("((v.room = $1) AND (v.status = $2))", "(v.deleted_at IS NULL)"),
            ("((v.room = $1) AND (v.status > $2))", ""),
            ("", "(v.status = 'done'::text)"),
            ("(v.room < $1)", "(v.status <> $2)"),
            ("(v.room <= $1)", "(ROW(v.room, v.id) < ROW($1, $2))"),
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

    /// A page of visits with what stands beside or is joined to them, as a Limit has it.
    fn page_of(input: Value, beside: Option<Value>) -> Value {
        let inputs: Vec<Value> = beside.into_iter().chain([input]).collect();
        json!({"Node Type": "Limit", "Total Cost": 9.0, "Plan Rows": 20.0, "Plans": inputs})
    }

    fn visits(filter: &str, more: Option<Value>) -> Value {
        json!({
            "Node Type": "Index Scan", "Parent Relationship": "Outer", "Index Name": "new", "Total Cost": 900.0,
            "Plan Rows": 5000.0, "Schema": "s", "Relation Name": "visit", "Alias": "v", "Index Cond": "(v.room = $1)",
            "Filter": filter, "Plans": more.into_iter().collect::<Vec<Value>>(),
        })
    }

    fn subquery(relationship: &str, index: &str) -> Value {
        json!({
            "Node Type": "Aggregate", "Strategy": "Plain", "Parent Relationship": relationship, "Total Cost": 4.0,
            "Plans": [{"Node Type": "Index Scan", "Parent Relationship": "Outer", "Index Name": index,
                       "Relation Name": "item", "Alias": "i", "Index Cond": "(i.visit = v.id)", "Filter": "(i.kind = $3)"}],
        })
    }

    #[test]
    fn subqueries_are_neither_read_for_rows_nor_a_reason_to_read_more() {
        let once = Some(subquery("InitPlan", "item_pkey"));
        assert_eq!(
            priced(page_of(visits("(v.status = $2)", None), once.clone())),
            900.0
        );
        assert_eq!(priced(page_of(visits("", None), once)), 9.0);
        let each = Some(subquery("SubPlan", "new"));
        assert_eq!(
            priced(page_of(visits("", each), None)),
            9.0,
            "no row of visits is dropped by it"
        );
    }

    #[test]
    fn joins_that_drop_no_row_are_no_luck() {
        let joined = |join_type: &str, inner: &str| {
            json!({
                "Node Type": "Nested Loop", "Join Type": join_type, "Total Cost": 7000.0, "Plan Rows": 5000.0,
                "Plans": [
                    visits("", None),
                    {"Node Type": "Index Scan", "Parent Relationship": "Inner", "Index Name": "prefs_pkey", "Relation Name": "prefs",
                     "Alias": "p", "Index Cond": inner},
                ],
            })
        };
        let of_another = "((p.visit = v.id) AND (p.kind = $2))";
        assert_eq!(priced(page_of(joined("Left", of_another), None)), 9.0);
        assert_eq!(priced(page_of(joined("Inner", of_another), None)), 7000.0);
        let of_the_same = "((p.room = $1) AND (p.visit = v.id))";
        assert_eq!(priced(page_of(joined("Inner", of_the_same), None)), 9.0);
    }

    #[test]
    fn what_is_compared_with_each_row_outside_is_not_known() {
        assert_eq!(priced(page_of(visits("(v.patient = p.id)", None), None)), 900.0);
    }
}
