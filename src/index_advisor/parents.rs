//! Which scans belong together, and which a name stands for that no scan has. Above an Append PostgreSQL calls the columns of a partitioned table by the
//! table's own alias, and each scan of a partition by that with a number behind it: `Sort Key: e.at` is about `e_1` and `e_2`.

use std::collections::{BTreeMap, BTreeSet};

use super::clauses::RelationUse;
use crate::model::plan::{PlanNode, PlanTree};
use crate::sql::expression::columns;

/// The aliases of scans that belong to one parent, by the numbers behind them.
type Children<'a> = BTreeMap<usize, &'a str>;

/// What a name stands for that no scan has.
pub(super) struct Parent {
    /// The aliases of its scans.
    pub(super) scans: BTreeSet<String>,
    pub(super) certainty: Certainty,
}

/// Whether a name stands for all of the scans that it may stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certainty {
    /// It does.
    Sure,
    /// They are of several tables of one alias, of which it is one.
    OneOfSeveral,
}

/// What each such name stands for.
pub(super) fn parents(plan: &PlanTree) -> BTreeMap<String, Parent> {
    let mut of_stems: BTreeMap<&str, Vec<Children<'_>>> = BTreeMap::new();
    let nodes = plan.nodes();
    for node in nodes.iter().filter(|node| is_append(node)) {
        let mut by_stem: BTreeMap<&str, Children<'_>> = BTreeMap::new();
        for child in &node.children {
            take_scans(child, &mut by_stem);
        }
        for (stem, children) in by_stem {
            of_stems.entry(stem).or_default().push(children);
        }
    }
    let mut parents = BTreeMap::new();
    if of_stems.is_empty() {
        return parents;
    }
    let named = named_by_none(&nodes);
    for (stem, mut groups) in of_stems {
        // relations are numbered in one order, so that of two parents with one alias the first has the first children
        groups.sort();
        let own: BTreeMap<usize, &String> = named
            .iter()
            .filter_map(|name| match numbered(name) {
                _ if name == stem => Some((0, name)),
                Some((same, number)) if same == stem => Some((number, name)),
                _ => None,
            })
            .collect();
        let certainty = match own.len() == groups.len() {
            true => Certainty::Sure,
            false => Certainty::OneOfSeveral,
        };
        for (position, name) in own.into_values().enumerate() {
            let of_name = match certainty {
                Certainty::Sure => &groups[position..=position],
                Certainty::OneOfSeveral => &groups[..],
            };
            let scans = of_name.iter().flat_map(BTreeMap::values);
            let parent = Parent {
                scans: scans.map(|scan| (*scan).to_owned()).collect(),
                certainty,
            };
            parents.insert(name.clone(), parent);
        }
    }
    parents
}

/// A number for each scan of a partition, by its alias: those of one table have the same.
pub(super) fn siblings(plan: &PlanTree) -> BTreeMap<&str, usize> {
    let mut found = BTreeMap::new();
    let mut parents = 0;
    for node in plan.nodes().into_iter().filter(|node| is_append(node)) {
        let mut by_stem: BTreeMap<&str, Children<'_>> = BTreeMap::new();
        for child in &node.children {
            take_scans(child, &mut by_stem);
        }
        for children in by_stem.into_values() {
            found.extend(children.into_values().map(|alias| (alias, parents)));
            parents += 1;
        }
    }
    found
}

/// Whether the planner knows that a table which was never analyzed has no page: only the parent of plain inheritance it does not
/// take for larger than it is.
pub(super) fn is_empty_parent(plan: &PlanTree, asked: &RelationUse) -> bool {
    let nodes = plan.nodes();
    let mut scans = nodes.into_iter().filter(|node| {
        (
            node.schema.as_deref(),
            node.relation.as_deref(),
            node.alias.as_deref(),
        ) == (
            Some(asked.schema.as_str()),
            Some(asked.table.as_str()),
            Some(asked.alias.as_str()),
        )
    });
    let is_free = |node: &PlanNode| node.kind == "Seq Scan" && node.total_cost <= 0.0;
    scans.next().is_some_and(is_free) && scans.all(is_free)
}

fn is_append(node: &PlanNode) -> bool {
    matches!(node.kind.as_str(), "Append" | "Merge Append")
}

/// The scans of tables below a node, but for those of another Append.
fn take_scans<'a>(node: &'a PlanNode, by_stem: &mut BTreeMap<&'a str, Children<'a>>) {
    if is_append(node) {
        return;
    }
    if let (true, Some(_), Some(alias)) = (node.kind.ends_with("Scan"), &node.relation, &node.alias)
        && let Some((stem, number)) = numbered(alias)
    {
        by_stem.entry(stem).or_default().insert(number, alias);
    }
    node.children.iter().for_each(|child| take_scans(child, by_stem));
}

/// The aliases that the plan names and that nothing in it has that is scanned.
fn named_by_none(nodes: &[&PlanNode]) -> BTreeSet<String> {
    let scanned: BTreeSet<&String> = nodes
        .iter()
        .filter(|node| node.kind.ends_with("Scan"))
        .filter_map(|node| node.alias.as_ref())
        .collect();
    let texts = nodes.iter().flat_map(|node| {
        let parts = [&node.conditions, &node.sort_key, &node.group_key, &node.output];
        parts.into_iter().flatten()
    });
    let names = texts.flat_map(|text| columns(text)).map(|name| name.alias);
    names.filter(|name| !scanned.contains(name)).collect()
}

/// An alias without the number that PostgreSQL put behind it, and that number.
fn numbered(alias: &str) -> Option<(&str, usize)> {
    let (stem, digits) = alias.rsplit_once('_')?;
    let number = digits.parse().ok()?;
    digits
        .starts_with(|c: char| c.is_ascii_digit())
        .then_some((stem, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn scan(alias: &str) -> Value {
        json!({"Node Type": "Seq Scan", "Schema": "public", "Relation Name": "events_1", "Alias": alias})
    }

    fn append(aliases: &[&str]) -> Value {
        json!({"Node Type": "Append", "Plans": aliases.iter().map(|alias| scan(alias)).collect::<Vec<_>>()})
    }

    fn told(plan: Value) -> Vec<String> {
        let tree = PlanTree::read(&json!([{ "Plan": plan }])).unwrap();
        let told = parents(&tree);
        told.iter()
            .map(|(name, parent)| {
                let scans: Vec<&str> = parent.scans.iter().map(String::as_str).collect();
                let or = match parent.certainty {
                    Certainty::Sure => "",
                    Certainty::OneOfSeveral => " or some",
                };
                format!("{name}: {}{or}", scans.join(" "))
            })
            .collect()
    }

    #[test]
    fn a_table_is_all_its_partitions() {
        let joined = json!({"Node Type": "Hash Join", "Hash Cond": "(a.customer_id = b.id)", "Output": ["a.id"],
            "Plans": [append(&["a_1", "a_2"]), {"Node Type": "Hash", "Plans": [append(&["b_1", "b_2"])]}]});
        assert_eq!(told(joined), ["a: a_1 a_2", "b: b_1 b_2"]);
        let sorted = json!({"Node Type": "Merge Append", "Sort Key": ["events.at DESC"],
            "Plans": [{"Node Type": "Sort", "Plans": [scan("events_1")]}, scan("events_2")]});
        assert_eq!(told(sorted), ["events: events_1 events_2"]);
        assert!(told(scan("events_1")).is_empty());
    }

    #[test]
    fn an_empty_parent_costs_nothing() {
        let of = |alias: &str, cost: f64| {
            let mut scan = scan(alias);
            scan["Total Cost"] = json!(cost);
            scan
        };
        let plan = json!({"Node Type": "Append", "Plans": [of("inh_1", 0.0), of("inh_2", 35.5)]});
        let tree = PlanTree::read(&json!([{ "Plan": plan }])).unwrap();
        let is_empty = |alias: &str| {
            let asked = RelationUse {
                schema: "public".into(),
                table: "events_1".into(),
                alias: alias.into(),
                ..RelationUse::default()
            };
            is_empty_parent(&tree, &asked)
        };
        assert!(is_empty("inh_1"));
        assert!(!is_empty("inh_2") && !is_empty("inh_3"));
    }

    #[test]
    fn siblings_have_one_number() {
        let joined =
            json!({"Node Type": "Hash Join", "Plans": [append(&["a_1", "a_2"]), append(&["b_1", "c"])]});
        let tree = PlanTree::read(&json!([{ "Plan": joined }])).unwrap();
        let told = siblings(&tree);
        assert_eq!(told["a_1"], told["a_2"]);
        assert_ne!(told["a_1"], told["b_1"]);
        assert!(!told.contains_key("c"), "no partition is called by a bare alias");
    }

    #[test]
    fn two_tables_of_one_alias_are_told_apart_by_their_numbers() {
        let plan = json!({"Node Type": "Hash Join", "Hash Cond": "(events_1.customer_id = events.id)",
            "Plans": [append(&["events_4", "events_5"]), append(&["events_2", "events_3"])]});
        assert_eq!(
            told(plan),
            ["events: events_2 events_3", "events_1: events_4 events_5"]
        );
        // of one nothing is said: either may be it
        let plan = json!({"Node Type": "Hash Join", "Output": ["events.id"],
            "Plans": [append(&["events_4"]), append(&["events_2"])]});
        assert_eq!(told(plan), ["events: events_2 events_4 or some"]);
    }

    #[test]
    fn a_name_that_a_scan_has_is_that_scan() {
        // partitions that are grouped one by one, and a partition beside its table
        let grouped = json!({"Node Type": "Aggregate", "Group Key": ["events.kind"],
            "Plans": [append(&["events", "events_1"])]});
        assert!(told(grouped).is_empty());
        let beside = json!({"Node Type": "Hash Join", "Hash Cond": "(events_1.customer_id = events.id)",
            "Plans": [scan("events_1"), append(&["events_2", "events_3"])]});
        assert_eq!(told(beside), ["events: events_2 events_3"]);
    }
}
