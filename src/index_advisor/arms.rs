//! What a sort asks of the arms of a UNION ALL. PostgreSQL says what it sorts by in the words of the first arm; the others have
//! the same in the same position. With an index for each of them their rows come in order, and a LIMIT need not read them all.

use crate::model::plan::{PlanNode, PlanTree};
use crate::sql::expression::without_order;

/// The keys by which arms after the first are sorted, each time as EXPLAIN would write them. Only an arm that is a scan of a table
/// tells which columns these are.
pub(super) fn orders_of_arms(plan: &PlanTree) -> Vec<Vec<String>> {
    let mut orders = Vec::new();
    for sort in plan.nodes() {
        let [append] = &sort.children[..] else { continue };
        let is_sort = matches!(sort.kind.as_str(), "Sort" | "Incremental Sort");
        let Some((first, others)) = append.children.split_first() else {
            continue;
        };
        if !is_sort || append.kind != "Append" {
            continue;
        }
        let arms = others.iter().map(|arm| keys_of(arm, first, &sort.sort_key));
        orders.extend(arms.filter(|keys| !keys.is_empty()));
    }
    orders
}

/// The first of these keys of the first arm that another one has, too, in its own words.
fn keys_of(arm: &PlanNode, first: &PlanNode, keys: &[String]) -> Vec<String> {
    let is_simple = arm.kind.ends_with("Scan") && arm.relation.is_some();
    if !is_simple || arm.output.len() != first.output.len() {
        return Vec::new();
    }
    let of_arm = |key: &String| {
        let bare = without_order(key);
        // what is computed stands in parentheses where it is sorted by
        let is_it = |output: &String| output == bare || format!("({output})") == bare;
        let position = first.output.iter().position(is_it)?;
        Some(format!("({}){}", arm.output[position], &key.trim()[bare.len()..]))
    };
    keys.iter().map_while(of_arm).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::clauses::{Key, of_plan};
    use serde_json::{Value, json};

    fn arm(kind: &str, table: &str, output: [&str; 2]) -> Value {
        json!({"Node Type": kind, "Schema": "s", "Relation Name": table, "Alias": table, "Output": output})
    }

    fn plan(key: &[&str], arms: &[Value]) -> PlanTree {
        let append = json!({"Node Type": "Append", "Plans": arms});
        let sort = json!({"Node Type": "Sort", "Sort Key": key, "Plans": [append]});
        PlanTree::read(&json!([{"Plan": {"Node Type": "Limit", "Plans": [sort]}}])).unwrap()
    }

    #[test]
    fn every_arm_is_asked_for_the_order_of_the_whole() {
        let arms = [
            arm("Seq Scan", "a", ["a.id", "lower(a.name)"]),
            arm("Seq Scan", "b", ["b.number", "lower(b.title)"]),
        ];
        let tree = plan(&["(lower(a.name)) DESC NULLS LAST", "a.id"], &arms);
        assert_eq!(
            orders_of_arms(&tree),
            [["(lower(b.title)) DESC NULLS LAST", "(b.number)"]]
        );
        let order_of = |table: &str| {
            let uses = of_plan(&tree);
            let asked = uses.iter().find(|asked| asked.table == table).unwrap();
            let order = asked.sorted.first().unwrap();
            let told = order
                .iter()
                .map(|one| (one.key.clone(), one.descending, one.nulls_first));
            told.collect::<Vec<_>>()
        };
        let key = |text: &str| Key::Expression(text.into());
        let column = |name: &str| Key::Column(name.into());
        assert_eq!(
            order_of("a"),
            [(key("lower(name)"), true, false), (column("id"), false, false)]
        );
        assert_eq!(
            order_of("b"),
            [
                (key("lower(title)"), true, false),
                (column("number"), false, false)
            ]
        );
    }

    #[test]
    fn what_no_position_tells_is_left_out() {
        let first = arm("Seq Scan", "a", ["a.id", "a.at"]);
        let other = arm("Seq Scan", "b", ["b.id", "b.at"]);
        let part = plan(&["a.at", "(a.id + a.at)"], &[first.clone(), other.clone()]);
        assert_eq!(orders_of_arms(&part), [["(b.at)"]]);
        let partitions = plan(&["e.at"], &[first.clone(), other]);
        assert!(orders_of_arms(&partitions).is_empty());
        let mut subquery = arm("Subquery Scan", "b", ["b.id", "b.at"]);
        subquery.as_object_mut().unwrap().remove("Relation Name");
        assert!(orders_of_arms(&plan(&["a.at"], &[first, subquery])).is_empty());
    }
}
