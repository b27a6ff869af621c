//! Plans side by side: as it is, and with what is advised; and one alone.

use crate::model::advice::PlanPair;
use crate::model::finding::Evidence;
use crate::model::kept_plan::PlanShape;
use crate::model::plan::PlanLine;

use super::present::number;

/// Deeper nodes are not moved further to the right.
const DEPTH: usize = 12;

/// One statement with both of its plans.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plans {
    /// The beginning of the statement.
    pub(crate) statement: String,
    pub(crate) sides: Vec<Side>,
}

/// One plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Side {
    /// Which one.
    pub(crate) label: &'static str,
    /// The cost of all of it.
    pub(crate) cost: String,
    pub(crate) nodes: Vec<Node>,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Node {
    pub(crate) depth: usize,
    pub(crate) text: String,
    /// Whether it reads a whole table.
    pub(crate) reads_all: bool,
    /// Of the dearer plan, in hundredths: what this node alone costs.
    pub(crate) percent: String,
    pub(crate) cost: String,
    pub(crate) rows: String,
    /// Without constants, where they are kept.
    pub(crate) conditions: Vec<String>,
}

impl Plans {
    /// Those that the evidence holds; what is not in their form is not shown.
    pub(crate) fn of(evidence: &Evidence) -> Vec<Self> {
        let pairs = evidence
            .get("plans")
            .and_then(|plans| serde_json::from_value::<Vec<PlanPair>>(plans.clone()).ok())
            .unwrap_or_default();
        pairs.into_iter().map(Self::from_pair).collect()
    }

    fn from_pair(pair: PlanPair) -> Self {
        let cost = |lines: &[PlanLine]| lines.first().map_or(0.0, |root| root.cost);
        let dearest = cost(&pair.before).max(cost(&pair.after)).max(f64::MIN_POSITIVE);
        let side = |label: &'static str, lines: &[PlanLine]| Side {
            label,
            cost: number(cost(lines)),
            nodes: lines.iter().map(|line| node(line, dearest)).collect(),
        };
        Self {
            sides: vec![
                side("As it is", &pair.before),
                side("With the index", &pair.after),
            ],
            statement: pair.statement,
        }
    }
}

impl Side {
    /// A plan that was kept.
    pub(crate) fn kept(label: &'static str, plan: &PlanShape) -> Self {
        let dearest = plan.cost.max(f64::MIN_POSITIVE);
        let nodes = plan.nodes.iter().map(|kept| Node {
            conditions: kept.conditions.clone(),
            ..node(&kept.line, dearest)
        });
        Self {
            label,
            cost: number(plan.cost),
            nodes: nodes.collect(),
        }
    }
}

fn node(line: &PlanLine, dearest: f64) -> Node {
    Node {
        depth: line.depth.min(DEPTH),
        text: line.node.clone(),
        reads_all: line.node.starts_with("Seq Scan"),
        // what costs anything can be seen
        percent: format!("{:.1}", (100.0 * line.own_cost / dearest).clamp(0.5, 100.0)),
        cost: number(line.cost),
        rows: number(line.rows),
        conditions: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_plans_are_measured_by_the_dearer_one() {
        let line = |depth, node: &str, cost: f64, own: f64| json!({"depth": depth, "node": node, "cost": cost, "own_cost": own, "rows": 3.0});
        let evidence = json!({"plans": [{"statement_id": "1", "statement": "SELECT …",
            "before": [line(0, "Aggregate", 200.0, 100.0), line(99, "Seq Scan on t", 100.0, 100.0)],
            "after": [line(0, "Index Scan using i on t", 2.0, 2.0)]}]});
        let plans = Plans::of(evidence.as_object().unwrap());
        let [before, after] = &plans[0].sides[..] else {
            panic!("two sides")
        };
        let told = |node: &Node| (node.depth, node.percent.clone(), node.reads_all);
        assert_eq!(told(&before.nodes[1]), (DEPTH, "50.0".to_owned(), true));
        assert_eq!(told(&after.nodes[0]), (0, "1.0".to_owned(), false));
        assert_eq!(Plans::of(json!({"plans": ["odd"]}).as_object().unwrap()), []);
    }
}
