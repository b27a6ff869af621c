//! Plans of statements as things are, made fit to be kept: without constants, and bounded.

use super::first_plan::{Refused, as_it_is};
use super::gate::Gate;
use super::what_if::Planned;
use super::workload::{SearchPaths, WorkloadStatement};
use crate::limits;
use crate::model::kept_plan::{KeptNode, PlanShape};
use crate::model::plan::{PlanLine, PlanNode, PlanTree};
use crate::postgres::{Plan, PostgresError};
use crate::sql;

/// The plan of one statement as things are, by its position in the workload; or why there is none, in words that hold nothing
/// of its text.
pub type AsItIs = (usize, Result<PlanTree, String>);

/// What became of statements before any index was tried, in the order of the workload.
pub(super) fn told(
    planned: Vec<Planned>,
    positions: Vec<usize>,
    unplanned: Vec<(usize, String)>,
) -> Vec<AsItIs> {
    let planned = positions
        .into_iter()
        .zip(planned)
        .map(|(position, planned)| (position, Ok(planned.tree)));
    let unplanned = unplanned.into_iter().map(|(position, why)| (position, Err(why)));
    let mut all: Vec<AsItIs> = planned.chain(unplanned).collect();
    all.sort_by_key(|(position, _)| *position);
    all
}

/// Plans statements, and asks nothing else; those that are left when it is stopped, or when too many sessions were lost, are
/// missing. Also the positions of those that did not end when they were cancelled.
///
/// # Errors
/// If the session is lost, and no other is to be had. A statement that cannot be planned is told, and the others go on.
pub async fn plans_as_they_are(
    plan: &Plan,
    gate: &mut Gate,
    paths: &mut SearchPaths,
    workload: &[WorkloadStatement],
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<(Vec<AsItIs>, Vec<usize>), PostgresError> {
    let (mut plans, mut stubborn) = (Vec::new(), Vec::new());
    for (position, statement) in workload.iter().enumerate() {
        if stop() || plan.lost_sessions() >= limits::LOST_SESSIONS {
            break;
        }
        let planned = as_it_is(plan, gate, paths, statement).await?;
        plan.pause().await;
        if matches!(&planned, Err(refused) if refused.is_stubborn) {
            stubborn.push(position);
        }
        let kept = |refused: Refused| refused.without_text;
        plans.push((position, planned.map(|planned| planned.tree).map_err(kept)));
    }
    Ok((plans, stubborn))
}

/// A plan without constants; of a very large one the beginning.
pub fn kept(tree: &PlanTree) -> PlanShape {
    let lines = tree.outline(&Default::default());
    let nodes = tree.nodes_in_order();
    let count = nodes.len();
    let mut bytes = 0;
    let kept = lines
        .into_iter()
        .zip(nodes)
        .take(limits::PLAN_NODES_KEPT)
        .map(|(line, node)| kept_node(line, node))
        .take_while(|node| {
            bytes += bytes_of(node);
            bytes <= limits::PLAN_BYTES_KEPT
        });
    let nodes: Vec<KeptNode> = kept.collect();
    PlanShape {
        shape: tree.shape(),
        cost: tree.total_cost(),
        nodes_left_out: count - nodes.len(),
        nodes,
    }
}

fn kept_node(line: PlanLine, node: &PlanNode) -> KeptNode {
    let masked =
        |expressions: &[String]| -> Vec<String> { expressions.iter().map(|text| expression(text)).collect() };
    KeptNode {
        line,
        kind: node.kind.clone(),
        join_type: node.join_type.clone(),
        schema: node.schema.clone(),
        relation: node.relation.clone(),
        alias: node.alias.clone(),
        index: node.index.clone(),
        startup_cost: node.startup_cost,
        conditions: masked(&node.conditions),
        sort_key: masked(&node.sort_key),
        group_key: masked(&node.group_key),
    }
}

fn expression(text: &str) -> String {
    let masked = sql::masked_expression(text);
    match sql::cut(&masked, limits::PLAN_EXPRESSION_BYTES) {
        beginning if beginning.len() < masked.len() => [beginning, "\u{2026}"].concat(),
        _ => masked,
    }
}

/// About what a node takes as JSON.
fn bytes_of(node: &KeptNode) -> usize {
    const NAMES_AND_NUMBERS: usize = 200;
    let words = [
        &node.join_type,
        &node.schema,
        &node.relation,
        &node.alias,
        &node.index,
    ];
    let expressions = [&node.conditions, &node.sort_key, &node.group_key];
    let words = words.into_iter().flatten().map(String::len);
    let expressions = expressions.into_iter().flatten().map(String::len);
    NAMES_AND_NUMBERS + node.line.node.len() + words.sum::<usize>() + expressions.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn plan(root: Value) -> PlanTree {
        PlanTree::read(&json!([{ "Plan": root }])).unwrap()
    }

    #[test]
    fn no_constant_of_a_view_or_a_partial_index_is_kept() {
        let scan = json!({"Node Type": "Index Scan", "Schema": "shop", "Relation Name": "orders", "Alias": "o",
            "Index Name": "orders_open", "Startup Cost": 0.5, "Total Cost": 8.5, "Plan Rows": 3,
            "Index Cond": "(o.customer = $1)", "Filter": "((o.email)::text <> 'jane@example.org'::text)",
            "Output": ["'jane@example.org'::text"]});
        let kept = kept(&plan(
            json!({"Node Type": "Sort", "Total Cost": 9.0, "Sort Key": ["(o.price * 4711.5)"],
            "Group Key": ["(o.note = 'jane@example.org')"], "Plans": [scan]}),
        ));
        let body = serde_json::to_string(&kept).unwrap();
        assert!(!body.contains("jane") && !body.contains("4711"), "{body}");
        let node = &kept.nodes[1];
        assert_eq!(
            (node.line.depth, node.startup_cost, node.line.cost, node.line.rows),
            (1, 0.5, 8.5, 3.0)
        );
        assert_eq!(
            (node.index.as_deref(), node.alias.as_deref()),
            (Some("orders_open"), Some("o"))
        );
        assert!(node.conditions.contains(&"(o.customer = $1)".to_owned()));
        assert_eq!((kept.cost, kept.nodes_left_out), (9.0, 0));
        assert_eq!(serde_json::from_str::<PlanShape>(&body).unwrap(), kept);
    }

    #[test]
    fn a_large_plan_is_cut_and_its_shape_is_that_of_all_of_it() {
        let part = |number: usize| {
            json!({"Node Type": "Seq Scan", "Relation Name": format!("part_{number}"),
            "Filter": "x".repeat(10_000), "Total Cost": 1.0})
        };
        let append = |parts: usize| {
            let parts: Vec<Value> = (0..parts).map(part).collect();
            kept(&plan(
                json!({"Node Type": "Append", "Total Cost": 900.0, "Plans": parts}),
            ))
        };
        let (one, other) = (append(5_000), append(5_001));
        assert_ne!(one.shape, other.shape);
        assert_eq!(one.nodes.len() + one.nodes_left_out, 5_001);
        assert!(one.nodes.len() <= limits::PLAN_NODES_KEPT && one.nodes.len() > 50);
        let body = serde_json::to_string(&one).unwrap();
        assert!(body.len() < 2 * limits::PLAN_BYTES_KEPT, "{}", body.len());
    }
}
