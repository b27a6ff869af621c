//! A plan as EXPLAIN (FORMAT JSON) tells it; only what is judged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The plan of one statement.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanTree {
    /// The root.
    pub root: PlanNode,
}

/// One node of a plan. Costs are the planner's own units.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct PlanNode {
    /// As `Index Scan`.
    pub kind: String,
    /// Of a ModifyTable: `Insert`, `Update`, `Delete`, `Merge`.
    pub operation: Option<String>,
    /// Of a join: `Inner`, `Left`, `Semi` and so on.
    pub join_type: Option<String>,
    /// How an Aggregate or a SetOp finds its groups: `Plain`, `Sorted`, `Hashed`, `Mixed`.
    pub strategy: Option<String>,
    pub schema: Option<String>,
    pub relation: Option<String>,
    pub alias: Option<String>,
    pub index: Option<String>,
    /// Whether its index is read from the end.
    pub backwards: bool,
    pub startup_cost: f64,
    pub total_cost: f64,
    pub rows: f64,
    /// Mean bytes of a row.
    pub row_bytes: f64,
    /// Filters, index, hash, merge and join conditions; with VERBOSE every column has its relation's alias.
    pub conditions: Vec<String>,
    /// Those of them that rows are checked by after they were read or joined.
    pub filter: Vec<String>,
    /// Those of these that say which rows of a join belong together.
    pub join_filter: Vec<String>,
    /// What it is to the node above: `Outer`, `Inner`, `InitPlan`, `SubPlan` and so on.
    pub relationship: Option<String>,
    pub sort_key: Vec<String>,
    pub group_key: Vec<String>,
    pub output: Vec<String>,
    pub children: Vec<PlanNode>,
}

/// One node of a plan as it is told: no conditions, since they hold literals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub struct PlanLine {
    /// How far it is below the root.
    pub depth: usize,
    /// As `Index Scan using orders_pkey on orders`.
    pub node: String,
    /// With all that is below it, in the planner's units.
    pub cost: f64,
    /// Without that, as far as it is paid for: below a LIMIT not all of it is.
    pub own_cost: f64,
    /// That it should give.
    pub rows: f64,
}

/// The properties of a node that hold conditions.
const CONDITIONS: [&str; 7] = [
    "Filter",
    "Index Cond",
    "Recheck Cond",
    "Hash Cond",
    "Merge Cond",
    "Join Filter",
    "Order By",
];

/// Those of them that no index and no hash answers.
const FILTERS: [&str; 2] = ["Filter", "Join Filter"];

/// Deeper trees are cut: no plan of a statement that may be planned is that deep.
const DEPTH: usize = 200;

impl PlanTree {
    /// Reads what EXPLAIN answered; `None` if it is not that.
    pub fn read(explained: &Value) -> Option<Self> {
        let root = explained.as_array()?.first()?.get("Plan")?;
        Some(Self {
            root: PlanNode::read(root, 0)?,
        })
    }

    /// The cost of the whole plan.
    pub fn total_cost(&self) -> f64 {
        self.root.total_cost
    }

    /// A line for each node, children further in: what is done on what, for how much. Indexes that have another name among
    /// these are called by it.
    pub fn outline(&self, names: &BTreeMap<&str, &str>) -> Vec<PlanLine> {
        let mut lines = Vec::new();
        self.root.outline(0, f64::INFINITY, names, &mut lines);
        lines
    }

    /// All nodes, parents first.
    pub fn nodes(&self) -> Vec<&PlanNode> {
        let mut nodes = vec![&self.root];
        let mut next = 0;
        while let Some(node) = nodes.get(next).copied() {
            nodes.extend(&node.children);
            next += 1;
        }
        nodes
    }

    /// All nodes, parents first, each with what of its cost is paid for: below a LIMIT not all of it is.
    pub fn nodes_paid(&self) -> Vec<(&PlanNode, f64)> {
        let mut nodes = vec![(&self.root, self.root.total_cost)];
        let mut next = 0;
        while let Some((node, paid)) = nodes.get(next).copied() {
            nodes.extend(node.paid_below(paid));
            next += 1;
        }
        nodes
    }

    /// All nodes in the order of [`PlanTree::outline`]: each before those below it.
    pub fn nodes_in_order(&self) -> Vec<&PlanNode> {
        let mut nodes = Vec::new();
        self.root.in_order(&mut nodes);
        nodes
    }

    /// All that nodes compute and compare, in no certain order.
    pub fn expressions(&self) -> impl Iterator<Item = &String> {
        self.nodes().into_iter().flat_map(|node| {
            // the filters are among the conditions
            let parts = [&node.conditions, &node.sort_key, &node.group_key, &node.output];
            parts.into_iter().flatten()
        })
    }

    /// Writes each of these in other words.
    pub fn rewrite_expressions(&mut self, written: &dyn Fn(&str) -> String) {
        self.root.rewrite_expressions(written);
    }

    /// A short hash of what is done in which order: nodes, relations, indexes, kinds of join, and how many conditions and
    /// keys there are. Costs, rows and constants never enter it, so that the same plan of other estimates has the same.
    pub fn shape(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        self.root.add_shape(&mut hasher);
        hasher.finalize().to_hex()[..16].to_owned()
    }

    /// Whether the plan reads an index.
    pub fn takes(&self, schema: &str, index: &str) -> bool {
        self.root.takes(None, schema, index)
    }
}

impl PlanNode {
    /// Those below that give it rows; subqueries that are worked out beside it give it values.
    pub fn inputs(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter(|child| !child.is_subquery())
    }

    /// Whether it is worked out beside the node above: once (`InitPlan`), or for each of its rows (`SubPlan`).
    pub fn is_subquery(&self) -> bool {
        matches!(self.relationship.as_deref(), Some("InitPlan" | "SubPlan"))
    }

    fn rewrite_expressions(&mut self, written: &dyn Fn(&str) -> String) {
        let parts = [
            &mut self.conditions,
            &mut self.filter,
            &mut self.join_filter,
            &mut self.sort_key,
            &mut self.group_key,
            &mut self.output,
        ];
        for text in parts.into_iter().flatten() {
            *text = written(text);
        }
        let children = self.children.iter_mut();
        children.for_each(|child| child.rewrite_expressions(written));
    }

    /// An index is in the schema of its table, which a bitmap's node above it names.
    fn takes(&self, above: Option<&str>, schema: &str, index: &str) -> bool {
        let here = self.schema.as_deref().or(above);
        let is_it = self.index.as_deref() == Some(index) && here.is_none_or(|here| here == schema);
        is_it || self.children.iter().any(|child| child.takes(here, schema, index))
    }

    /// What of the children's costs is paid for where so much of this node's is. Of several that are read one after the other,
    /// as partitions are, each is thought to be read as far as the others.
    fn paid_below(&self, paid: f64) -> impl Iterator<Item = (&Self, f64)> {
        let at_most = move |child: &Self| child.total_cost.min(paid);
        let all: f64 = self.children.iter().map(at_most).sum();
        let part = if all > paid { paid / all } else { 1.0 };
        self.children
            .iter()
            .map(move |child| (child, at_most(child) * part))
    }

    fn in_order<'a>(&'a self, nodes: &mut Vec<&'a PlanNode>) {
        nodes.push(self);
        self.children.iter().for_each(|child| child.in_order(nodes));
    }

    /// Each part with its length in front, so that no two different plans can meet. Aliases are left out: a statement may
    /// change them and is the same.
    fn add_shape(&self, hasher: &mut blake3::Hasher) {
        let words = [
            Some(&self.kind),
            self.operation.as_ref(),
            self.join_type.as_ref(),
            self.strategy.as_ref(),
            self.schema.as_ref(),
            self.relation.as_ref(),
            self.index.as_ref(),
        ];
        for word in words {
            let word = word.map_or("", String::as_str);
            hasher.update(&(word.len() as u64).to_le_bytes());
            hasher.update(word.as_bytes());
        }
        let counts = [
            self.conditions.len(),
            self.sort_key.len(),
            self.group_key.len(),
            self.children.len(),
        ];
        for count in counts {
            hasher.update(&(count as u64).to_le_bytes());
        }
        self.children.iter().for_each(|child| child.add_shape(hasher));
    }

    fn outline(&self, depth: usize, most: f64, names: &BTreeMap<&str, &str>, lines: &mut Vec<PlanLine>) {
        let mut node = self.kind.clone();
        if let Some(index) = &self.index {
            let name = names.get(index.as_str()).copied().unwrap_or(index);
            node.push_str(&format!(" using {name}"));
        }
        if let Some(relation) = &self.relation {
            node.push_str(&format!(" on {relation}"));
        }
        // of what is not run to its end only a part is paid for
        let paid = self.total_cost.min(most);
        let below: f64 = self.children.iter().map(|child| child.total_cost.min(paid)).sum();
        lines.push(PlanLine {
            depth,
            node,
            cost: self.total_cost,
            own_cost: (paid - below).max(0.0),
            rows: self.rows,
        });
        self.children
            .iter()
            .for_each(|child| child.outline(depth + 1, paid, names, lines));
    }

    fn read(node: &Value, depth: usize) -> Option<Self> {
        let text = |key: &str| node.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = |key: &str| node.get(key).and_then(Value::as_f64).unwrap_or(0.0);
        let texts = |key: &str| match node.get(key) {
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(texts)) => texts
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        };
        let children = node.get("Plans").and_then(Value::as_array);
        let children = children.filter(|_| depth < DEPTH).map_or(Vec::new(), |plans| {
            plans
                .iter()
                .filter_map(|plan| Self::read(plan, depth + 1))
                .collect()
        });
        Some(Self {
            kind: text("Node Type")?,
            operation: text("Operation"),
            join_type: text("Join Type"),
            strategy: text("Strategy"),
            schema: text("Schema"),
            relation: text("Relation Name"),
            alias: text("Alias"),
            index: text("Index Name"),
            backwards: text("Scan Direction").as_deref() == Some("Backward"),
            startup_cost: number("Startup Cost"),
            total_cost: number("Total Cost"),
            rows: number("Plan Rows"),
            row_bytes: number("Plan Width"),
            conditions: CONDITIONS.iter().flat_map(|key| texts(key)).collect(),
            filter: FILTERS.iter().flat_map(|key| texts(key)).collect(),
            join_filter: texts("Join Filter"),
            relationship: text("Parent Relationship"),
            sort_key: texts("Sort Key"),
            group_key: texts("Group Key"),
            output: texts("Output"),
            children,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shape(plan: Value) -> String {
        PlanTree::read(&json!([{ "Plan": plan }])).unwrap().shape()
    }

    fn join(first: Value, second: Value) -> Value {
        json!({"Node Type": "Hash Join", "Join Type": "Inner", "Total Cost": 9.0, "Plans": [first, second]})
    }

    #[test]
    fn what_is_written_anew_is_so_wherever_it_stands() {
        let scan = json!({"Node Type": "Seq Scan", "Filter": "f(a)", "Output": ["f(b)"]});
        let sort = json!({"Node Type": "Sort", "Sort Key": ["f(c)"], "Plans": [scan]});
        let mut tree = PlanTree::read(&json!([{ "Plan": sort }])).unwrap();
        tree.rewrite_expressions(&|text| format!("s.{text}"));
        let told: Vec<&String> = tree.expressions().collect();
        assert_eq!(told, ["s.f(c)", "s.f(a)", "s.f(b)"]);
        assert_eq!(tree.root.children[0].filter, ["s.f(a)"], "as the conditions");
    }

    #[test]
    fn below_a_limit_only_a_part_is_paid_for() {
        let paid = |above: &str, cost: f64| -> Vec<f64> {
            let below = [scan("a", "i", 300.0, ""), scan("b", "j", 100.0, "")];
            let above = json!({"Node Type": above, "Total Cost": cost, "Plans": below});
            let plan = json!([{"Plan": {"Node Type": "Limit", "Total Cost": 12.0, "Plans": [above]}}]);
            let tree = PlanTree::read(&plan).unwrap();
            tree.nodes_paid().into_iter().map(|(_, paid)| paid).collect()
        };
        assert_eq!(
            paid("Append", 400.0),
            [12.0, 12.0, 6.0, 6.0],
            "not twelve for each"
        );
        // a sort reads all before its first row: the LIMIT is no cheaper than that
        let plan = json!([{"Plan": {"Node Type": "Limit", "Total Cost": 450.0, "Plans": [
            {"Node Type": "Sort", "Total Cost": 500.0, "Plans": [scan("a", "i", 400.0, "")]}]}}]);
        let tree = PlanTree::read(&plan).unwrap();
        let all: Vec<f64> = tree.nodes_paid().into_iter().map(|(_, paid)| paid).collect();
        assert_eq!(all, [450.0, 450.0, 400.0]);
    }

    fn scan(relation: &str, index: &str, cost: f64, condition: &str) -> Value {
        json!({"Node Type": "Index Scan", "Schema": "shop", "Relation Name": relation, "Index Name": index,
            "Alias": relation, "Total Cost": cost, "Plan Rows": cost, "Index Cond": condition})
    }

    #[test]
    fn estimates_and_constants_make_no_other_shape_and_everything_else_does() {
        let (a, b) = (scan("a", "i", 1.0, "(id = 1)"), scan("b", "j", 2.0, "(id = 2)"));
        let known = shape(join(a.clone(), b.clone()));
        assert_eq!(known.len(), 16);
        let dearer = scan("a", "i", 700.0, "(id = 'secret'::text)");
        assert_eq!(shape(join(dearer, b.clone())), known);
        let mut left = join(a.clone(), b.clone());
        left["Join Type"] = json!("Left");
        let mut aggregate = json!({"Node Type": "Aggregate", "Strategy": "Sorted", "Group Key": ["a.id"], "Plans": [a.clone()]});
        let sorted = shape(aggregate.clone());
        aggregate["Strategy"] = json!("Hashed");
        assert_ne!(shape(aggregate), sorted);
        let others = [
            join(b.clone(), a.clone()),
            join(scan("a", "k", 1.0, "(id = 1)"), b.clone()),
            join(scan("c", "i", 1.0, "(id = 1)"), b.clone()),
            left,
            a,
        ];
        for other in others {
            assert_ne!(shape(other.clone()), known, "{other}");
        }
    }
}
