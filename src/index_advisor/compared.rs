//! Which column each parameter of a statement is compared with, as far as its plan tells.

use std::collections::{BTreeMap, BTreeSet};

use super::clauses::{Key, key_of};
use super::parents::siblings;
use crate::model::plan::{PlanNode, PlanTree};
use crate::sql::expression::{self, Comparison, Condition, Operand, conditions};

/// A column that a parameter is compared with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct Compared {
    pub schema: String,
    pub table: String,
    pub column: String,
    /// The parameter is an array of such values.
    pub is_array: bool,
    /// It is greater or smaller, nowhere equal.
    pub is_bound: bool,
    /// Schema and name of other partitions of the same table, with whose column it is compared, too. The table is the one that is
    /// dearest to read: it has most rows to tell values from.
    pub other_partitions: BTreeSet<(String, String)>,
}

impl Compared {
    /// Whether it is compared with the column in this table.
    pub fn is_in(&self, schema: &str, table: &str) -> bool {
        let is_it = |(one, name): (&String, &String)| one == schema && name == table;
        is_it((&self.schema, &self.table))
            || self.other_partitions.iter().any(|(one, name)| is_it((one, name)))
    }
}

/// One side of a comparison with a parameter.
struct Side<'a> {
    scan: &'a PlanNode,
    column: String,
    is_array: bool,
    is_bound: bool,
}

/// The column that each parameter is compared with, by the parameter's number; partitions of one table have the same.
pub fn compared_parameters(plan: &PlanTree) -> BTreeMap<usize, Compared> {
    let nodes = plan.nodes();
    let scans: BTreeMap<&str, &PlanNode> = nodes
        .iter()
        .filter(|node| node.relation.is_some() && node.schema.is_some())
        .filter_map(|node| Some((node.alias.as_deref()?, *node)))
        .collect();
    let texts = nodes.iter().flat_map(|node| &node.conditions);
    let mut found: BTreeMap<usize, Vec<Side<'_>>> = BTreeMap::new();
    for (left, comparison, right) in texts.flat_map(|text| terms(text)) {
        let (Some((alias, key)), Operand::Value(value)) = (key_of(&left), right) else {
            continue;
        };
        let number = value.strip_prefix('$').and_then(|number| number.parse().ok());
        let compares = matches!(
            comparison,
            Comparison::Equal | Comparison::AnyOf | Comparison::Range
        );
        let (Some(number), true, Some(scan)) = (number, compares, scans.get(alias.as_str()).copied()) else {
            continue;
        };
        let column = match key {
            Key::Column(column) => column,
            // the value is as good for the column as for another text type
            Key::Expression(text) => match text.strip_suffix("::text") {
                Some(column) => expression::unquoted(column),
                None => continue,
            },
        };
        found.entry(number).or_default().push(Side {
            scan,
            column,
            is_array: comparison == Comparison::AnyOf,
            is_bound: comparison == Comparison::Range,
        });
    }
    let parts = siblings(plan);
    // before 17 an InitPlan's value is `$1`, too: what is compared with several columns tells nothing
    let told = found
        .into_iter()
        .filter_map(|(number, sides)| Some((number, one_of(&sides, &parts)?)));
    told.collect()
}

/// The comparisons in a text, wherever they stand.
fn terms(text: &str) -> Vec<(Operand, Comparison, Operand)> {
    let mut all = conditions(text);
    let mut found = Vec::new();
    while let Some(condition) = all.pop() {
        match condition {
            Condition::Term {
                left,
                comparison,
                right,
                ..
            } => found.push((left, comparison, right)),
            Condition::Rows(pairs) => {
                let ranges = pairs.into_iter();
                found.extend(ranges.map(|(left, right)| (left, Comparison::Range, right)));
            }
            Condition::Or(arms) => all.extend(arms.into_iter().flatten()),
        }
    }
    found
}

/// The column that all of these are, of one table or of partitions of one.
fn one_of(sides: &[Side<'_>], parts: &BTreeMap<&str, usize>) -> Option<Compared> {
    let name = |side: &Side<'_>| Some((side.scan.schema.clone()?, side.scan.relation.clone()?));
    let parent = |side: &Side<'_>| parts.get(side.scan.alias.as_deref()?);
    let first = sides.first()?;
    let is_same = |side: &Side<'_>| {
        let is_sibling = parent(first).is_some() && parent(side) == parent(first);
        (&side.column, side.is_array) == (&first.column, first.is_array)
            && (is_sibling || name(side) == name(first))
    };
    if !sides.iter().all(is_same) {
        return None;
    }
    let dearest = sides
        .iter()
        .max_by(|a, b| a.scan.total_cost.total_cmp(&b.scan.total_cost))?;
    let (schema, table) = name(dearest)?;
    let mut other_partitions: BTreeSet<(String, String)> = sides.iter().filter_map(name).collect();
    other_partitions.remove(&(schema.clone(), table.clone()));
    Some(Compared {
        schema,
        table,
        column: first.column.clone(),
        is_array: first.is_array,
        is_bound: sides.iter().all(|side| side.is_bound),
        other_partitions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn scan(table: &str, alias: &str, cost: f64, filter: &str) -> Value {
        json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": table, "Alias": alias, "Filter": filter,
               "Total Cost": cost})
    }

    /// Each parameter with its column, and in how many other partitions that is.
    fn compared(children: &[Value]) -> Vec<String> {
        let plan = json!([{"Plan": {"Node Type": "Append", "Plans": children}}]);
        let told = compared_parameters(&PlanTree::read(&plan).unwrap());
        let told = told.into_iter().map(|(number, one)| {
            let others = one.other_partitions.len();
            format!("{number} {}.{} {others}", one.table, one.column)
        });
        told.collect()
    }

    #[test]
    fn partitions_of_one_table_are_one() {
        let events = [
            scan("events_old", "e_1", 10.0, "(e_1.kind = $1)"),
            scan("events_new", "e_2", 900.0, "(e_2.kind = $1)"),
            scan("events_next", "e_3", 0.0, "(e_3.kind = $1)"),
        ];
        assert_eq!(compared(&events), ["1 events_new.kind 2"]);
        let plan = json!([{"Plan": {"Node Type": "Append", "Plans": events}}]);
        let told = compared_parameters(&PlanTree::read(&plan).unwrap())
            .remove(&1)
            .unwrap();
        assert!(told.is_in("s", "events_new") && told.is_in("s", "events_old"));
        assert!(!told.is_in("other", "events_old") && !told.is_in("s", "events"));
    }

    #[test]
    fn different_tables_or_columns_tell_nothing() {
        let other_column = [
            scan("events_old", "e_1", 10.0, "(e_1.kind = $1)"),
            scan(
                "events_new",
                "e_2",
                10.0,
                "((e_2.kind = $2) AND (e_2.state = $1))",
            ),
        ];
        assert_eq!(compared(&other_column), ["2 events_new.kind 0"]);
        let arms = [
            scan("orders", "orders", 10.0, "(orders.kind = $1)"),
            scan("archive", "archive", 10.0, "(archive.kind = $1)"),
        ];
        assert!(compared(&arms).is_empty());
        let twice = [
            scan("orders", "orders", 10.0, "(orders.kind = $1)"),
            scan("orders", "orders_1", 10.0, "(orders_1.kind = $1)"),
        ];
        assert_eq!(compared(&twice), ["1 orders.kind 0"]);
    }
}
