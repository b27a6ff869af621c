//! The scans of a plan that can be priced by themselves, where the statement cannot be had with their table in front: of a table
//! below a view or in a subquery, or one that is named twice. A view's columns stand in the plan as what they are computed of.

use super::clauses::RelationUse;
use crate::model::plan::PlanTree;
use crate::postgres::ServerText;
use crate::sql;

/// The nodes that read a table and may check what they read.
const READS: [&str; 4] = ["Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan"];

/// Of more scans of one table in one plan the others are left as they are.
const SCANS_TRIED: usize = 3;

/// A scan as a statement of its own.
pub(super) struct ScanAlone {
    /// It reads what the scan reads, by what is asked of its table alone.
    pub(super) text: ServerText,
    /// What the plan pays for the scan as things are: below a LIMIT not all of it.
    pub(super) paid: f64,
}

/// The scans of a table, by its schema and name, in a plan that asks this of its relations.
pub(super) fn scans_alone(
    tree: &PlanTree,
    asked: &[RelationUse],
    (schema, table): (&str, &str),
) -> Vec<ScanAlone> {
    let mut found = Vec::new();
    for (node, paid) in tree.nodes_paid() {
        let is_it = node.schema.as_deref() == Some(schema) && node.relation.as_deref() == Some(table);
        let Some(alias) = node.alias.as_deref() else {
            continue;
        };
        let of_it = asked.iter().find(|one| one.alias == alias);
        let Some(of_it) = of_it.filter(|_| is_it && READS.contains(&node.kind.as_str())) else {
            continue;
        };
        let text = sql::scan_alone((schema, table), alias, &node.conditions, &of_it.needed);
        let text = text.and_then(|text| ServerText::one_query(&text).ok());
        found.extend(text.map(|text| ScanAlone { text, paid }));
    }
    found.truncate(SCANS_TRIED);
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::index_advisor::clauses::of_plan;

    /// The scans of `s.t` as statements, and what is paid for each.
    fn found(plan: Value) -> Vec<(String, f64)> {
        let tree = PlanTree::read(&json!([{ "Plan": plan }])).unwrap();
        let scans = scans_alone(&tree, &of_plan(&tree), ("s", "t")).into_iter();
        scans
            .map(|one| (one.text.as_str().to_owned(), one.paid))
            .collect()
    }

    fn scan(table: &str, alias: &str, filter: &str) -> Value {
        json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": table, "Alias": alias, "Filter": filter,
               "Total Cost": 3000.0, "Plan Rows": 50.0, "Output": ["id", "note"]})
    }

    #[test]
    fn a_column_of_a_view_is_what_it_is_computed_of() {
        let statements = found(scan("t", "people", "(lower(people.email) = $1)"));
        let wanted =
            "SELECT people.email, people.id, people.note FROM s.t AS people WHERE (lower(people.email) = $1)";
        assert_eq!(statements, [(wanted.to_owned(), 3000.0)]);
    }

    #[test]
    fn each_scan_of_the_table_counts_as_far_as_it_is_paid_for() {
        let join = json!({"Node Type": "Hash Join", "Hash Cond": "(t.id = t_1.parent)", "Total Cost": 7000.0, "Plan Rows": 9.0,
            "Output": ["t.id"],
            "Plans": [scan("t", "t", "(lower(t.name) = $2)"), scan("t", "t_1", "(t_1.kind = 3)"), scan("u", "u", "(u.a = 1)")]});
        let statements = found(join.clone());
        assert_eq!(
            statements
                .iter()
                .map(|(text, _)| text.as_str())
                .collect::<Vec<_>>(),
            [
                "SELECT t.id, t.name FROM s.t AS t WHERE (lower(t.name) = $1)",
                "SELECT t_1.kind, t_1.parent FROM s.t AS t_1 WHERE (t_1.kind = 3)",
            ]
        );
        let limited = json!({"Node Type": "Limit", "Total Cost": 70.0, "Plan Rows": 1.0, "Output": ["t.id"], "Plans": [join]});
        assert!(found(limited).iter().all(|(_, paid)| *paid <= 70.0));
    }

    #[test]
    fn what_only_a_join_asks_is_of_no_scan() {
        let join = json!({"Node Type": "Hash Join", "Hash Cond": "(lower(t.name) = u.name)", "Total Cost": 7000.0,
            "Plans": [scan("t", "t", ""), scan("u", "u", "(u.a = 1)")]});
        assert!(found(join).is_empty());
    }
}
