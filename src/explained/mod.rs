//! An EXPLAIN (FORMAT JSON) that somebody ran, with or without ANALYZE and BUFFERS: read here, judged in [`judge`].

pub mod judge;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::remedy::qualified;

/// What EXPLAIN told of one statement.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    /// The root of the plan.
    pub root: Node,
    /// Milliseconds of the whole execution; only with ANALYZE.
    pub execution_ms: Option<f64>,
    /// Milliseconds of planning.
    pub planning_ms: Option<f64>,
    /// Milliseconds of compiling expressions.
    pub jit_ms: f64,
    /// Triggers that were run: what each is, and its milliseconds.
    pub triggers: Vec<(String, f64)>,
}

/// One node of the plan.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Node {
    pub kind: String,
    pub schema: Option<String>,
    pub relation: Option<String>,
    pub index: Option<String>,
    pub filter: Option<String>,
    /// Whether a parameter stands in its conditions, whose value the planner did not know: of a generic plan, or what another part
    /// of the plan gives.
    pub has_parameter: bool,
    pub total_cost: f64,
    /// Rows that the planner expected of one run.
    pub expected_rows: f64,
    /// How it belongs to the node above: `Outer`, `Inner`, `InitPlan`, `SubPlan` …
    pub relationship: Option<String>,
    /// Whether its rows may be fewer because nobody asked for the others: below a LIMIT, in EXISTS, on a side of a merge join.
    pub may_be_stopped: bool,
    /// What was measured; `None` without ANALYZE, or if it was never run.
    pub measured: Option<Measured>,
    pub children: Vec<Node>,
}

/// What ANALYZE and BUFFERS tell of a node. Rows and times are the mean of one run.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Measured {
    pub loops: f64,
    pub rows: f64,
    /// Elapsed in all runs together, with what is below it; of processes side by side once.
    pub elapsed_ms: f64,
    pub removed_by_filter: f64,
    pub removed_by_join_filter: f64,
    pub removed_by_recheck: f64,
    pub heap_fetches: f64,
    pub sort_disk_kilobytes: f64,
    pub hash_batches: f64,
    pub hash_memory_kilobytes: f64,
    pub aggregate_disk_kilobytes: f64,
    pub lossy_blocks: f64,
    pub blocks_hit: f64,
    pub blocks_read: f64,
    pub workers_planned: f64,
    pub workers_launched: f64,
}

/// A line of the plan as it is told: no conditions, since they hold literals.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Line {
    pub depth: usize,
    pub node: String,
    pub cost: f64,
    pub expected_rows: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loops: Option<f64>,
    /// Milliseconds in all runs, without what is below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_ms: Option<f64>,
}

/// Deeper trees are cut.
const DEPTH: usize = 100;

/// Brackets that may be open at once: a node of a plan opens two. A text with more is not read, for want of stack.
const BRACKETS: usize = 1000;
/// Bytes of stack that are enough for so many, in a program that is not optimised, too.
const STACK_BYTES: usize = 32 << 20;

/// Reads what EXPLAIN printed: the JSON alone, or as psql shows it, in a frame with a `+` at the end of each line.
///
/// # Errors
/// What the text is, if it is not that.
pub fn read(text: &str) -> Result<Explained, String> {
    let read = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let reader = thread.spawn_scoped(scope, || read_whole(text));
        reader.ok().and_then(|reader| reader.join().ok())
    });
    read.unwrap_or_else(|| Err("no thread could be had to read it".to_owned()))
}

/// Why a text was not read as JSON.
enum Unread {
    TooDeep,
    NoJson(serde_json::Error),
}

/// JSON that may be as deep as plans get: deeper than the parser would go by itself.
fn json(text: &str) -> Result<Value, Unread> {
    if brackets(text) > BRACKETS {
        return Err(Unread::TooDeep);
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    let value = Value::deserialize(&mut reader).map_err(Unread::NoJson)?;
    reader.end().map_err(Unread::NoJson)?;
    Ok(value)
}

/// How many brackets are open at once at most, outside of strings.
fn brackets(text: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    let (mut is_string, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            b'[' | b'{' if !is_string => open += 1,
            b']' | b'}' if !is_string => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

/// The JSON that psql shows in a frame, if there is any.
fn framed(text: &str) -> Option<Result<Value, Unread>> {
    let inside = text.get(text.find('[')?..=text.rfind(']')?)?;
    let lines = inside.lines().map(|line| line.trim_end().trim_end_matches('+'));
    Some(json(&lines.collect::<Vec<_>>().join("\n")))
}

fn read_whole(text: &str) -> Result<Explained, String> {
    let value = match json(text) {
        Err(Unread::NoJson(error)) => match framed(text) {
            Some(Err(Unread::TooDeep)) => Err(Unread::TooDeep),
            Some(Ok(value)) => Ok(value),
            _ => Err(Unread::NoJson(error)),
        },
        other => other,
    };
    let value = value.map_err(|why| match why {
        Unread::TooDeep => {
            format!("more than {BRACKETS} brackets are open at once in it: no plan is so deep")
        }
        Unread::NoJson(_) if text.contains("(cost=") => {
            "this is a plan as text: run EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)".to_owned()
        }
        Unread::NoJson(error) => {
            format!("this is no JSON ({error}): it takes what EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) prints")
        }
    })?;
    // some tools take the array off, or the object in it
    let one = value.as_array().and_then(|all| all.first()).unwrap_or(&value);
    let plan = one.get("Plan").unwrap_or(one);
    let root =
        Node::read(plan, 0, 1.0, false).ok_or("this JSON holds no plan: there is no \"Node Type\" in it")?;
    let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_f64);
    let trigger = |trigger: &Value| {
        let name = ["Constraint Name", "Trigger Name"]
            .iter()
            .find_map(|key| trigger.get(*key)?.as_str());
        let on = trigger.get("Relation").and_then(Value::as_str).unwrap_or("?");
        Some((format!("{} on {on}", name?), number(trigger, "Time")?))
    };
    let jit = one.get("JIT").and_then(|jit| jit.get("Timing"));
    Ok(Explained {
        root,
        execution_ms: number(one, "Execution Time"),
        planning_ms: number(one, "Planning Time"),
        jit_ms: jit.and_then(|timing| number(timing, "Total")).unwrap_or(0.0),
        triggers: one
            .get("Triggers")
            .and_then(Value::as_array)
            .map_or(Vec::new(), |all| all.iter().filter_map(trigger).collect()),
    })
}

/// The properties of a node that say which rows it gives.
const CONDITIONS: [&str; 7] = [
    "Filter",
    "Join Filter",
    "Index Cond",
    "Recheck Cond",
    "TID Cond",
    "Hash Cond",
    "Merge Cond",
];

/// Whether a parameter, as `$1`, stands in a condition outside of its constants and names.
fn holds_parameter(condition: &str) -> bool {
    let mut quote = None;
    let mut is_begun = false;
    for character in condition.chars() {
        match (quote, character) {
            // a doubled quote ends and begins again
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '0'..='9') if is_begun => return true,
            (None, _) => {}
        }
        is_begun = quote.is_none() && character == '$';
    }
    false
}

impl Node {
    /// `processes` run a node below a Gather side by side; `may_be_stopped` is what the node above says.
    fn read(node: &Value, depth: usize, processes: f64, may_be_stopped: bool) -> Option<Self> {
        let text = |key: &str| node.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = |key: &str| node.get(key).and_then(Value::as_f64).unwrap_or(0.0).max(0.0);
        let measured = (number("Actual Loops") > 0.0).then(|| Measured {
            loops: number("Actual Loops"),
            rows: number("Actual Rows"),
            elapsed_ms: number("Actual Total Time") * number("Actual Loops") / processes,
            removed_by_filter: number("Rows Removed by Filter"),
            removed_by_join_filter: number("Rows Removed by Join Filter"),
            removed_by_recheck: number("Rows Removed by Index Recheck"),
            heap_fetches: number("Heap Fetches"),
            sort_disk_kilobytes: match text("Sort Space Type").as_deref() {
                Some("Disk") => number("Sort Space Used"),
                _ => 0.0,
            },
            hash_batches: number("Hash Batches"),
            hash_memory_kilobytes: number("Peak Memory Usage"),
            aggregate_disk_kilobytes: number("Disk Usage"),
            lossy_blocks: number("Lossy Heap Blocks"),
            blocks_hit: number("Shared Hit Blocks"),
            blocks_read: number("Shared Read Blocks"),
            workers_planned: number("Workers Planned"),
            workers_launched: number("Workers Launched"),
        });
        let below = match number("Workers Launched") {
            0.0 => processes,
            workers => workers + 1.0,
        };
        let kind = text("Node Type")?;
        let join = text("Join Type").unwrap_or_default();
        let is_unique = node.get("Inner Unique").and_then(Value::as_bool).unwrap_or(false);
        let below_of = |plan: &Value| {
            let relationship = plan
                .get("Parent Relationship")
                .and_then(Value::as_str)
                .unwrap_or_default();
            // run apart from the others
            let is_apart = matches!(relationship, "InitPlan" | "SubPlan");
            let reads_all =
                ["Sort", "Hash", "Aggregate", "Materialize", "WindowAgg", "Group"].contains(&kind.as_str());
            let stops = kind == "Limit"
                || kind == "Merge Join"
                || relationship == "SubPlan"
                || relationship == "Inner" && (is_unique || join == "Semi" || join == "Anti");
            let may_be_stopped = stops || may_be_stopped && !reads_all && !is_apart;
            Self::read(
                plan,
                depth + 1,
                if is_apart { processes } else { below },
                may_be_stopped,
            )
        };
        let plans = node
            .get("Plans")
            .and_then(Value::as_array)
            .filter(|_| depth < DEPTH);
        Some(Self {
            relationship: text("Parent Relationship"),
            may_be_stopped,
            schema: text("Schema"),
            relation: text("Relation Name"),
            index: text("Index Name"),
            filter: text("Filter").or_else(|| text("Join Filter")),
            has_parameter: CONDITIONS
                .iter()
                .filter_map(|key| text(key))
                .any(|text| holds_parameter(&text)),
            total_cost: number("Total Cost"),
            expected_rows: number("Plan Rows"),
            measured,
            children: plans.into_iter().flatten().filter_map(below_of).collect(),
            kind,
        })
    }

    /// What it is, in a few words.
    pub fn name(&self) -> String {
        let mut name = self.kind.clone();
        if let Some(index) = &self.index {
            name.push_str(&format!(" using {index}"));
        }
        if let Some(table) = self.table() {
            name.push_str(&format!(" on {table}"));
        }
        name
    }

    /// The table that it reads.
    pub fn table(&self) -> Option<String> {
        let relation = self.relation.as_deref()?;
        Some(match &self.schema {
            Some(schema) => qualified(schema, relation),
            None => crate::model::remedy::quote_identifier(relation),
        })
    }

    /// Milliseconds without what is below it.
    pub fn own_ms(&self) -> Option<f64> {
        let below = self.children.iter().filter_map(|child| child.measured);
        let below: f64 = below.map(|measured| measured.elapsed_ms).sum();
        Some((self.measured?.elapsed_ms - below).max(0.0))
    }
}

impl Explained {
    /// Whether it was run.
    pub fn is_measured(&self) -> bool {
        self.root.measured.is_some()
    }

    /// All nodes with their depth, parents first.
    pub fn nodes(&self) -> Vec<(usize, &Node)> {
        fn add<'a>(node: &'a Node, depth: usize, nodes: &mut Vec<(usize, &'a Node)>) {
            nodes.push((depth, node));
            node.children
                .iter()
                .for_each(|child| add(child, depth + 1, nodes));
        }
        let mut nodes = Vec::new();
        add(&self.root, 0, &mut nodes);
        nodes
    }

    /// The plan, a line for each node.
    pub fn lines(&self) -> Vec<Line> {
        let line = |(depth, node): (usize, &Node)| Line {
            depth,
            node: node.name(),
            cost: node.total_cost,
            expected_rows: node.expected_rows,
            rows: node.measured.map(|measured| measured.rows),
            loops: node.measured.map(|measured| measured.loops),
            own_ms: node.own_ms(),
        };
        self.nodes().into_iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"[{"Plan": {"Node Type": "Gather", "Workers Launched": 1, "Actual Loops": 1, "Actual Rows": 5, "Actual Total Time": 10.0,
        "Plans": [{"Node Type": "Seq Scan", "Relation Name": "Order", "Schema": "s", "Actual Loops": 2, "Actual Rows": 2, "Actual Total Time": 8.0}]},
        "Planning Time": 0.5, "Execution Time": 11.0,
        "Triggers": [{"Constraint Name": "fk", "Relation": "t", "Time": 3.0}], "JIT": {"Timing": {"Total": 2.0}}}]"#;

    #[test]
    fn what_explain_printed_is_read_in_and_out_of_its_frame() {
        let framed: Vec<String> = PLAN.lines().map(|line| format!(" {line:120}+")).collect();
        let framed = format!("  QUERY PLAN\n------\n{}\n(1 row)\n", framed.join("\n"));
        let bare = serde_json::from_str::<Value>(PLAN).unwrap()[0]["Plan"].to_string();
        for (text, execution) in [(PLAN, Some(11.0)), (&framed, Some(11.0)), (&bare, None)] {
            let explained = read(text).unwrap();
            assert_eq!(explained.execution_ms, execution);
            let lines = explained.lines();
            assert_eq!(lines[1].node, "Seq Scan on s.\"Order\"");
            assert_eq!(
                (lines[0].own_ms, lines[1].own_ms),
                (Some(2.0), Some(8.0)),
                "two side by side"
            );
        }
        let explained = read(PLAN).unwrap();
        assert_eq!((explained.jit_ms, &explained.triggers[0].0[..]), (2.0, "fk on t"));
    }

    #[test]
    fn what_is_no_plan_is_told() {
        for (text, part) in [
            ("", "no JSON"),
            ("Seq Scan on t  (cost=0.00..1.00 rows=1 width=4)", "as text"),
            ("[]", "no plan"),
            ("{\"a\": 1}", "no plan"),
            (&"[".repeat(900), "no JSON"),
            (&"[".repeat(5000), "brackets are open"),
        ] {
            assert!(read(text).unwrap_err().contains(part), "{text:.40}");
        }
    }

    #[test]
    fn a_deep_plan_is_read_and_cut_where_it_is_too_deep() {
        let nested = |levels: usize| {
            let open = r#"{"Node Type": "Append", "Filter": "[[\"[", "Plans": ["#.repeat(levels - 1);
            let close = "]}".repeat(levels - 1);
            format!(r#"[{{"Plan": {open}{{"Node Type": "Seq Scan"}}{close}}}]"#)
        };
        // the parser by itself would stop at 128 brackets; the root is in depth 0
        for (levels, told) in [(70, 70), (DEPTH, DEPTH), (DEPTH + 1, DEPTH + 1), (400, DEPTH + 1)] {
            let explained = read(&nested(levels)).unwrap();
            assert_eq!(explained.lines().len(), told, "{levels}");
        }
        let in_a_frame = format!("QUERY PLAN\n---\n {}+\n(1 row)", nested(600));
        for text in [nested(600), in_a_frame] {
            assert!(
                read(&text).unwrap_err().contains("brackets are open"),
                "{text:.40}"
            );
        }
    }
}
