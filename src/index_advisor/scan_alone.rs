//! The scans of a plan that can be priced by themselves, where the statement cannot be had with their table in front: of a table
//! below a view or in a subquery, or one that is named twice, or of partitions, which come behind what they belong to. A view's
//! columns stand in the plan as what they are computed of, and what is asked of it as what is asked of the table, by whatever names
//! and through however many other views: the planner has put all of them together.

use super::clauses::RelationUse;
use super::parents::siblings;
use crate::model::plan::PlanTree;
use crate::model::remedy::quote_identifier;
use crate::postgres::ServerText;
use crate::sql;

/// The nodes that read a table and may check what they read.
const READS: [&str; 4] = ["Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan"];

/// Of more scans of one table in one plan the others are left as they are.
const SCANS_TRIED: usize = 3;

/// A scan as a statement of its own. Where the same is asked of several partitions in one place of the plan, the dearest of their
/// scans stands for all of them.
pub(super) struct ScanAlone {
    /// It reads what the scan reads, by what is asked of its table alone.
    pub(super) text: ServerText,
    /// What the plan pays for the scan, and for each of those that it stands for, as things are: below a LIMIT not all of it.
    paid: Vec<f64>,
}

impl ScanAlone {
    /// What is saved if the scan costs so much: those that it stands for read less, and cost no more.
    pub(super) fn saved_at(&self, cost: f64) -> f64 {
        self.paid.iter().map(|paid| (paid - cost).max(0.0)).sum()
    }
}

/// What scans have in common of which one can stand for all: their table's number among those that are partitioned, and what is
/// asked.
type Alike = (Option<usize>, Vec<String>);

/// The scans of what is told by its schema and name, a table or the partitions of one, in a plan that asks this of its relations.
pub(super) fn scans_alone(
    tree: &PlanTree,
    asked: &[RelationUse],
    is_of_table: &dyn Fn(&str, &str) -> bool,
) -> Vec<ScanAlone> {
    let siblings = siblings(tree);
    let mut nodes = tree.nodes_paid();
    nodes.retain(|(node, _)| READS.contains(&node.kind.as_str()));
    nodes.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let mut found: Vec<(Alike, ScanAlone)> = Vec::new();
    for (node, paid) in nodes {
        let name = node.schema.as_deref().zip(node.relation.as_deref());
        let name = name.filter(|&(schema, table)| is_of_table(schema, table));
        let Some((name, alias)) = name.zip(node.alias.as_deref()) else {
            continue;
        };
        let of_alias = format!("{}.", quote_identifier(alias));
        let bare = node.conditions.iter().map(|text| text.replace(&of_alias, ""));
        let alike: Alike = (siblings.get(alias).copied(), bare.collect());
        let known = found
            .iter_mut()
            .find(|(known, _)| alike.0.is_some() && *known == alike);
        if let Some((_, known)) = known {
            known.paid.push(paid);
            continue;
        }
        let of_it = asked.iter().find(|one| one.alias == alias);
        let text = of_it.and_then(|one| sql::scan_alone(name, alias, &node.conditions, &one.needed));
        let text = text.and_then(|text| ServerText::one_query(&text).ok());
        let paid = vec![paid];
        found.extend(text.map(|text| (alike, ScanAlone { text, paid })));
    }
    found.truncate(SCANS_TRIED);
    found.into_iter().map(|(_, scan)| scan).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::index_advisor::clauses::of_plan;

    /// The scans of `s.t` and what begins with `t_` as statements, and what is paid for each.
    fn found(plan: Value) -> Vec<(String, Vec<f64>)> {
        let tree = PlanTree::read(&json!([{ "Plan": plan }])).unwrap();
        let is_of_table = |schema: &str, name: &str| schema == "s" && (name == "t" || name.starts_with("t_"));
        let scans = scans_alone(&tree, &of_plan(&tree), &is_of_table).into_iter();
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
        assert_eq!(statements, [(wanted.to_owned(), vec![3000.0])]);
    }

    /// Of `CREATE VIEW v AS SELECT lower(email) AS e, … FROM people` and `CREATE VIEW w AS SELECT e AS mail, … FROM v WHERE …`, by
    /// `SELECT … FROM (SELECT * FROM w) s WHERE mail = $1`, as EXPLAIN tells it.
    #[test]
    fn through_several_views_a_scan_tells_what_all_of_them_ask() {
        let mut together = scan(
            "t",
            "people",
            "((people.team > 10) AND (lower(people.email) = $1))",
        );
        together["Output"] = json!(["people.note"]);
        let wanted = "SELECT people.email, people.note, people.team FROM s.t AS people \
                      WHERE (lower(people.email) = $1) AND (people.team > 10)";
        assert_eq!(found(together), [(wanted.to_owned(), vec![3000.0])]);
        // one that groups stays a query of its own, and its columns are known by its name above
        let grouped = json!({"Node Type": "Aggregate", "Group Key": ["lower(people.email)"], "Total Cost": 3050.0, "Plan Rows": 5.0,
            "Output": ["lower(people.email)", "count(*)"], "Plans": [scan("t", "people", "(lower(people.email) = $1)")]});
        let above = json!({"Node Type": "Subquery Scan", "Alias": "w", "Filter": "(w.n > 1)", "Total Cost": 3100.0, "Plan Rows": 5.0,
            "Output": ["w.mail", "w.n"], "Plans": [grouped]});
        let wanted = "SELECT people.email FROM s.t AS people WHERE (lower(people.email) = $1)";
        assert_eq!(found(above), [(wanted.to_owned(), vec![3000.0])]);
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
        let limited = found(limited);
        assert!(!limited.is_empty());
        assert!(
            limited
                .iter()
                .flat_map(|(_, paid)| paid)
                .all(|paid| *paid <= 70.0)
        );
    }

    #[test]
    fn the_dearest_partition_stands_for_those_of_which_the_same_is_asked() {
        let part = |number: usize, cost: f64, column: &str| {
            let filter = format!("(lower(t_{number}.{column}) = $1)");
            let mut part = scan(&format!("t_{number}"), &format!("t_{number}"), &filter);
            part["Total Cost"] = json!(cost);
            part
        };
        let append = |parts: Vec<Value>| json!({"Node Type": "Append", "Total Cost": 9000.0, "Plan Rows": 9.0, "Output": ["t.id"], "Plans": parts});
        let parts = vec![
            part(1, 100.0, "name"),
            part(2, 4000.0, "name"),
            part(3, 20.0, "name"),
        ];
        let tree = PlanTree::read(&json!([{ "Plan": append(parts) }])).unwrap();
        let is_of_table = |_: &str, name: &str| name.starts_with("t_");
        let scans = scans_alone(&tree, &of_plan(&tree), &is_of_table);
        let [scan] = &scans[..] else {
            panic!("{} scans", scans.len())
        };
        let text = scan.text.as_str();
        assert!(
            text.contains(" FROM s.t_2 AS t_2 WHERE (lower(t_2.name) = $1)"),
            "{text}"
        );
        assert_eq!(
            scan.saved_at(30.0),
            3970.0 + 70.0,
            "what is cheap already saves nothing"
        );
        // arms of a UNION ALL are called like partitions
        let arms = vec![part(1, 100.0, "name"), part(2, 4000.0, "note")];
        assert_eq!(found(append(arms)).len(), 2);
    }

    #[test]
    fn what_only_a_join_asks_is_of_no_scan() {
        let join = json!({"Node Type": "Hash Join", "Hash Cond": "(lower(t.name) = u.name)", "Total Cost": 7000.0,
            "Plans": [scan("t", "t", ""), scan("u", "u", "(u.a = 1)")]});
        assert!(found(join).is_empty());
    }
}
