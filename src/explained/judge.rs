//! What is wrong with a plan that was run: expectations that were missed, rows that were read for nothing, what did not fit
//! into memory, what was repeated too often. Without measurements only the costs can be told.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Explained, Measured, Node};
use crate::model::finding::Evidence;
use crate::model::unit::bytes_for_people;

/// One thing that is wrong.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Problem {
    pub problem: &'static str,
    /// The node that it is about, as it stands in the plan; absent where it is about the whole.
    pub node: Option<String>,
    pub explanation: String,
    pub evidence: Evidence,
    /// Milliseconds that could be saved at most.
    pub concerns_ms: Option<f64>,
    /// What to do, SQL where there is some.
    pub remedy: Vec<String>,
}

/// Rows that were expected and came must differ by this factor, and by so many, to count.
const MISSED_FACTOR: f64 = 10.0;
const MISSED_ROWS: f64 = 1_000.0;
/// Rows read for nothing, in all runs, and for each that was used.
const DISCARDED_ROWS: f64 = 10_000.0;
const DISCARDED_FACTOR: f64 = 100.0;
/// Runs of the inner side of a nested loop.
const LOOPS: f64 = 1_000.0;
/// Blocks from disk, and their part of all.
const READ_BLOCKS: f64 = 1_000.0;
/// What takes at least this part of the time is worth naming.
const TIME_SHARE: f64 = 0.2;
const BLOCK_BYTES: f64 = 8192.0;

/// All that is wrong, what concerns most time first.
pub fn judge(explained: &Explained) -> Vec<Problem> {
    let total = explained
        .execution_ms
        .or(explained.root.measured.map(|measured| measured.elapsed_ms))
        .unwrap_or(0.0);
    let mut problems = Vec::new();
    for (_, node) in explained.nodes() {
        let Some(measured) = node.measured else { continue };
        problems.extend(missed(node, measured));
        problems.extend(discarded(node, measured));
        problems.extend(spilled(node, measured));
        problems.extend(lossy(node, measured));
        problems.extend(repeated(node, measured, total));
        problems.extend(fetched(node, measured));
        problems.extend(without_workers(node, measured));
    }
    problems.extend(of_the_whole(explained, total));
    problems.sort_by(|a, b| {
        b.concerns_ms
            .unwrap_or(0.0)
            .total_cmp(&a.concerns_ms.unwrap_or(0.0))
    });
    problems
}

/// Named numbers; what is not known is left out.
fn evidence<const N: usize>(values: [(&str, Value); N]) -> Evidence {
    let known = values.into_iter().filter(|(_, value)| !value.is_null());
    known.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// With at most three decimals.
fn number(value: f64) -> Value {
    json!((value * 1000.0).round() / 1000.0)
}

/// The same; nothing where it is 0 because it was not told.
fn known(value: f64) -> Value {
    match value > 0.0 {
        true => number(value),
        false => Value::Null,
    }
}

fn about<const N: usize>(
    problem: &'static str,
    node: &Node,
    explanation: String,
    values: [(&str, Value); N],
    remedy: Vec<String>,
) -> Problem {
    Problem {
        problem,
        node: Some(node.name()),
        explanation,
        evidence: evidence(values),
        concerns_ms: node.own_ms(),
        remedy,
    }
}

/// By which factor rows were not as expected; nothing if it does not matter.
fn missed_by(node: &Node) -> Option<f64> {
    let measured = node.measured?;
    // these tell no rows, whatever they find
    if matches!(node.kind.as_str(), "BitmapAnd" | "BitmapOr") {
        return None;
    }
    // what is stopped gives fewer; what a merge join reads again gives more
    if node.may_be_stopped {
        return None;
    }
    let (expected, came) = (node.expected_rows.max(1.0), measured.rows.max(1.0));
    let factor = (expected / came).max(came / expected);
    let rows = (node.expected_rows - measured.rows).abs() * measured.loops;
    (factor >= MISSED_FACTOR && rows >= MISSED_ROWS).then_some(factor)
}

/// The lowest node at which it begins: what is above only hands it on.
fn missed(node: &Node, measured: Measured) -> Option<Problem> {
    let factor = missed_by(node)?;
    let begins_below = node.children.iter().any(|child| missed_by(child).is_some());
    if begins_below || node.kind == "Limit" {
        return None;
    }
    let remedy = match node.table() {
        // statistics are not what it lacked
        _ if node.has_parameter => vec![
            "a parameter stands in its condition, whose value was not known when it was planned, as in a generic plan: ANALYZE \
             changes nothing. If its values differ that much, have it planned with each of them: SET plan_cache_mode = \
             force_custom_plan, or EXPLAIN it with a constant in its place"
                .to_owned(),
        ],
        Some(table) => vec![
            format!("ANALYZE {table}"),
            "if that changes nothing and several columns are compared: CREATE STATISTICS (dependencies, ndistinct, mcv) on \
             them, then ANALYZE"
                .to_owned(),
        ],
        None => vec!["ANALYZE the tables below; expressions and joins of dependent columns need CREATE STATISTICS".to_owned()],
    };
    let sides = match measured.rows > node.expected_rows {
        true => "more",
        false => "fewer",
    };
    Some(Problem {
        // what is above may have been chosen badly, what is below not
        concerns_ms: Some(measured.elapsed_ms),
        ..about(
            "misestimate",
            node,
            format!(
                "{:.0} rows were expected and {:.0} came, {factor:.0} times {sides}: everything above was chosen for the wrong number",
                node.expected_rows, measured.rows
            ),
            [
                ("expected_rows", number(node.expected_rows)),
                ("rows", number(measured.rows)),
                ("loops", number(measured.loops)),
            ],
            remedy,
        )
    })
}

fn discarded(node: &Node, measured: Measured) -> Option<Problem> {
    let removed = (measured.removed_by_filter + measured.removed_by_join_filter) * measured.loops;
    let used = measured.rows * measured.loops;
    if removed < DISCARDED_ROWS || removed < DISCARDED_FACTOR * used.max(1.0) {
        return None;
    }
    let remedy = "ask which index would find them: pgadvisor advise URL --statement '…'".to_owned();
    Some(about(
        "rows_discarded",
        node,
        format!("{removed:.0} rows were read and thrown away, {used:.0} were used"),
        [
            ("rows_discarded", number(removed)),
            ("rows_used", number(used)),
            ("filter_columns", json!(node.filter.as_deref().map(columns_of))),
        ],
        vec![remedy],
    ))
}

/// The columns of a filter, without its constants.
fn columns_of(filter: &str) -> Vec<String> {
    let mut names: Vec<String> = crate::sql::expression::columns(filter)
        .into_iter()
        .map(|name| name.column)
        .chain(crate::sql::expression::bare_columns(filter))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn spilled(node: &Node, measured: Measured) -> Option<Problem> {
    // on disk rows are packed more tightly than in memory
    let (what, kilobytes) = if measured.sort_disk_kilobytes > 0.0 {
        ("the sort", 2.5 * measured.sort_disk_kilobytes)
    } else if measured.hash_batches > 1.0 {
        (
            "the hash table",
            measured.hash_batches * measured.hash_memory_kilobytes,
        )
    } else if measured.aggregate_disk_kilobytes > 0.0 {
        ("the groups", 2.5 * measured.aggregate_disk_kilobytes)
    } else {
        return None;
    };
    let megabytes = (kilobytes / 1024.0).ceil().max(1.0);
    Some(about(
        "spill",
        node,
        format!("{what} did not fit into work_mem and went to disk"),
        [
            (
                "disk_bytes",
                known(1024.0 * (measured.sort_disk_kilobytes + measured.aggregate_disk_kilobytes)),
            ),
            ("batches", known(measured.hash_batches)),
        ],
        vec![format!(
            "SET LOCAL work_mem = '{megabytes:.0}MB' in the transaction of this statement, or for its role; every sort and hash \
             of every session may take as much"
        )],
    ))
}

fn lossy(node: &Node, measured: Measured) -> Option<Problem> {
    (measured.lossy_blocks > 0.0).then(|| {
        about(
            "lossy_bitmap",
            node,
            format!(
                "the bitmap did not fit into work_mem: {:.0} blocks were remembered whole, and {:.0} rows of them read for nothing",
                measured.lossy_blocks,
                measured.removed_by_recheck * measured.loops
            ),
            [
                ("lossy_blocks", number(measured.lossy_blocks)),
                ("rows_discarded", number(measured.removed_by_recheck * measured.loops)),
            ],
            vec!["SET LOCAL work_mem to more in the transaction of this statement, or for its role".to_owned()],
        )
    })
}

/// The inner side of a nested loop that is run for far more rows than expected, or without an index each time.
fn repeated(node: &Node, measured: Measured, total_ms: f64) -> Option<Problem> {
    let side = |name: &str| {
        let mut children = node.children.iter();
        children.find(|child| child.relationship.as_deref() == Some(name))
    };
    let (outer, inner) = (side("Outer")?, side("Inner")?);
    let (of_outer, of_inner) = (outer.measured?, inner.measured?);
    let is_much = of_inner.elapsed_ms >= TIME_SHARE * total_ms && of_inner.loops >= LOOPS;
    let is_scan = inner.kind == "Seq Scan" && of_inner.loops >= 100.0;
    let is_unexpected = of_outer.rows >= MISSED_FACTOR * outer.expected_rows.max(1.0);
    if node.kind != "Nested Loop"
        || !(is_much && is_unexpected || is_scan && of_inner.elapsed_ms >= TIME_SHARE * total_ms)
    {
        return None;
    }
    let remedy = match (is_scan, inner.table()) {
        (true, Some(table)) => {
            format!("ask which index on {table} would find the rows: pgadvisor advise URL --statement '…'")
        }
        _ => "mend the estimate of the outer side (see misestimate): for so many rows a hash join is cheaper"
            .to_owned(),
    };
    Some(Problem {
        concerns_ms: Some(of_inner.elapsed_ms),
        ..about(
            "nested_loop",
            node,
            format!(
                "{} was run {:.0} times, where {:.0} rows of the outer side were expected",
                inner.name(),
                of_inner.loops,
                outer.expected_rows
            ),
            [
                ("loops", number(of_inner.loops)),
                ("expected_loops", number(outer.expected_rows)),
                ("rows", number(measured.rows)),
            ],
            vec![remedy],
        )
    })
}

fn fetched(node: &Node, measured: Measured) -> Option<Problem> {
    let rows = measured.rows * measured.loops;
    (measured.heap_fetches >= DISCARDED_ROWS && measured.heap_fetches >= 0.5 * rows).then(|| {
        about(
            "heap_fetches",
            node,
            format!(
                "{:.0} of {rows:.0} rows had to be looked up in the table, though the index holds all columns: VACUUM has not \
                 marked their pages",
                measured.heap_fetches
            ),
            [("heap_fetches", number(measured.heap_fetches)), ("rows", number(rows))],
            node.table().map(|table| format!("VACUUM {table}")).into_iter().collect(),
        )
    })
}

fn without_workers(node: &Node, measured: Measured) -> Option<Problem> {
    (measured.workers_launched < measured.workers_planned).then(|| {
        about(
            "workers_missing",
            node,
            format!(
                "{:.0} of {:.0} workers came: the others were busy elsewhere, and the plan was chosen for all of them",
                measured.workers_launched, measured.workers_planned
            ),
            [
                ("workers_launched", number(measured.workers_launched)),
                ("workers_planned", number(measured.workers_planned)),
            ],
            vec!["raise max_parallel_workers if CPUs are idle, or run fewer parallel statements at once".to_owned()],
        )
    })
}

/// What is about no node alone.
fn of_the_whole(explained: &Explained, total_ms: f64) -> Vec<Problem> {
    let mut problems = Vec::new();
    let whole = |problem, explanation, evidence, ms, remedy: &str| Problem {
        problem,
        node: None,
        explanation,
        evidence,
        concerns_ms: Some(ms),
        remedy: vec![remedy.to_owned()],
    };
    if let Some(measured) = explained.root.measured {
        let all = measured.blocks_hit + measured.blocks_read;
        if measured.blocks_read >= READ_BLOCKS && measured.blocks_read >= 0.5 * all {
            problems.push(whole(
                "read_from_disk",
                format!(
                    "{} of {} came from outside shared_buffers",
                    bytes_for_people(BLOCK_BYTES * measured.blocks_read),
                    bytes_for_people(BLOCK_BYTES * all)
                ),
                evidence([
                    ("blocks_read", number(measured.blocks_read)),
                    ("blocks_hit", number(measured.blocks_hit)),
                ]),
                total_ms,
                "run it again: if it reads as much then, it needs fewer blocks (an index), or more shared_buffers",
            ));
        }
    }
    for (name, ms) in explained
        .triggers
        .iter()
        .filter(|(_, ms)| *ms >= TIME_SHARE * total_ms && *ms > 1.0)
    {
        problems.push(whole(
            "trigger",
            format!("the trigger {name} took {ms:.0} of {total_ms:.0} ms"),
            evidence([("trigger_ms", number(*ms))]),
            *ms,
            "for a foreign key: index the columns of the table that refers to this one; else look at the trigger's own statements",
        ));
    }
    if explained.jit_ms >= TIME_SHARE * total_ms && explained.jit_ms > 10.0 {
        problems.push(whole(
            "jit",
            format!(
                "compiling expressions took {:.0} of {total_ms:.0} ms",
                explained.jit_ms
            ),
            evidence([("jit_ms", number(explained.jit_ms))]),
            explained.jit_ms,
            "SET jit = off for this statement or its role, or raise jit_above_cost",
        ));
    }
    if let Some(planning) = explained
        .planning_ms
        .filter(|ms| *ms > total_ms && *ms > 10.0 && total_ms > 0.0)
    {
        problems.push(whole(
            "planning",
            format!("planning took {planning:.0} ms, execution {total_ms:.0} ms"),
            evidence([("planning_ms", number(planning))]),
            planning,
            "prepare the statement once; fewer partitions and fewer joined tables make planning shorter",
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(plan: &Value, rest: &Value) -> Vec<(&'static str, Option<String>)> {
        let mut whole = json!({"Plan": plan, "Execution Time": 100.0});
        whole
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        let explained = super::super::read(&json!([whole]).to_string()).unwrap();
        judge(&explained)
            .into_iter()
            .map(|one| (one.problem, one.node))
            .collect()
    }

    fn node(kind: &str, expected: f64, rows: f64, loops: f64, more: &Value) -> Value {
        let mut node = json!({"Node Type": kind, "Plan Rows": expected, "Actual Rows": rows, "Actual Loops": loops,
                              "Actual Total Time": 90.0 / loops});
        node.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        node
    }

    #[test]
    fn each_problem_and_its_near_miss() {
        let none = json!({});
        let of = |more: Value| {
            let found = problems(&node("Seq Scan", 50_000.0, 50_000.0, 1.0, &more), &none);
            found
                .into_iter()
                .map(|(problem, _)| problem)
                .collect::<Vec<_>>()
                .join(",")
        };
        for (more, expected) in [
            (json!({}), ""),
            (json!({"Plan Rows": 10}), "misestimate"),
            (json!({"Plan Rows": 6000}), ""),
            (json!({"Plan Rows": 1, "Actual Rows": 900}), ""),
            (json!({"Rows Removed by Filter": 6_000_000}), "rows_discarded"),
            (json!({"Rows Removed by Filter": 4_000_000}), ""),
            (
                json!({"Sort Space Type": "Disk", "Sort Space Used": 9000}),
                "spill",
            ),
            (json!({"Sort Space Type": "Memory", "Sort Space Used": 9000}), ""),
            (json!({"Hash Batches": 4, "Peak Memory Usage": 4096}), "spill"),
            (json!({"Hash Batches": 1}), ""),
            (json!({"Disk Usage": 5}), "spill"),
            (json!({"Lossy Heap Blocks": 5}), "lossy_bitmap"),
            (json!({"Heap Fetches": 40_000}), "heap_fetches"),
            (json!({"Heap Fetches": 20_000}), ""),
            (
                json!({"Workers Planned": 2, "Workers Launched": 1}),
                "workers_missing",
            ),
            (
                json!({"Shared Read Blocks": 9000, "Shared Hit Blocks": 10}),
                "read_from_disk",
            ),
            (
                json!({"Shared Read Blocks": 9000, "Shared Hit Blocks": 10_000}),
                "",
            ),
        ] {
            assert_eq!(of(more.clone()), expected, "{more}");
        }
        let plain = node("Seq Scan", 5.0, 5.0, 1.0, &none);
        let whole = |rest: Value| problems(&plain, &rest).first().map(|(problem, _)| *problem);
        assert_eq!(
            whole(json!({"Triggers": [{"Trigger Name": "x", "Time": 50.0}]})),
            Some("trigger")
        );
        assert_eq!(
            whole(json!({"Triggers": [{"Trigger Name": "x", "Time": 5.0}]})),
            None
        );
        assert_eq!(whole(json!({"JIT": {"Timing": {"Total": 60.0}}})), Some("jit"));
        assert_eq!(whole(json!({"Planning Time": 300.0})), Some("planning"));
    }

    #[test]
    fn a_wrong_expectation_is_told_where_it_begins() {
        let none = json!({});
        let scan = json!({"Relation Name": "a", "Parent Relationship": "Outer"});
        let scan = node("Seq Scan", 1.0, 20_000.0, 1.0, &scan);
        let inner = json!({"Relation Name": "b", "Parent Relationship": "Inner"});
        let inner = node("Index Scan", 1.0, 1.0, 20_000.0, &inner);
        let join = node(
            "Nested Loop",
            1.0,
            20_000.0,
            1.0,
            &json!({"Plans": [scan, inner]}),
        );
        let found = problems(&join, &none);
        assert!(
            found.contains(&("misestimate", Some("Seq Scan on a".into()))),
            "{found:?}"
        );
        assert!(
            found.contains(&("nested_loop", Some("Nested Loop".into()))),
            "{found:?}"
        );
        assert_eq!(found.len(), 2, "{found:?}");
        let stopped = node("Index Scan", 50_000.0, 10.0, 1.0, &none);
        let between = node("Nested Loop", 50_000.0, 10.0, 1.0, &json!({"Plans": [stopped]}));
        let limit = |kind| node(kind, 10.0, 10.0, 1.0, &json!({"Plans": [between]}));
        assert_eq!(problems(&limit("Limit"), &none), []);
        assert_eq!(
            problems(&limit("Sort"), &none)[0].0,
            "misestimate",
            "what sorts reads all"
        );
        let bitmap = node("BitmapOr", 20_000.0, 0.0, 1.0, &none);
        assert_eq!(problems(&bitmap, &none), []);
    }

    #[test]
    fn analyze_is_no_remedy_where_the_value_was_not_known() {
        let advised = |key: &str, condition: &str| {
            let more = json!({"Relation Name": "t", key: condition});
            let plan = json!([{"Plan": node("Index Scan", 1.0, 20_000.0, 1.0, &more)}]);
            let explained = super::super::read(&plan.to_string()).unwrap();
            let found = judge(&explained).into_iter();
            let of_it = found.filter(|one| one.problem == "misestimate");
            of_it
                .flat_map(|one| one.remedy)
                .collect::<Vec<String>>()
                .join("; ")
        };
        for (key, condition) in [
            ("Index Cond", "(t.a = $1)"),
            ("Filter", "((t.b ~~ 'it''s'::text) AND (t.a > $12))"),
            ("Recheck Cond", "(t.a = ANY ($2))"),
        ] {
            let told = advised(key, condition);
            assert!(
                told.contains("force_custom_plan") && !told.contains("ANALYZE t"),
                "{condition}: {told}"
            );
        }
        for condition in [
            "(t.a = 5)",
            "(t.a = 'in $1'::text)",
            "(t.\"a$1\" = 5)",
            "(t.a$ = 5)",
        ] {
            assert!(
                advised("Index Cond", condition).contains("ANALYZE t"),
                "{condition}"
            );
        }
    }

    #[test]
    fn literals_of_a_filter_are_not_told() {
        let more = json!({"Rows Removed by Filter": 6_000_000, "Filter": "((t.card = '4111'::text) AND (name = 'Secret'::text))"});
        let plan = json!([{"Plan": node("Seq Scan", 1.0, 1.0, 1.0, &more)}]);
        let explained = super::super::read(&plan.to_string()).unwrap();
        let told = serde_json::to_string(&judge(&explained)).unwrap();
        assert!(
            told.contains("card") && !told.contains("4111") && !told.contains("Secret"),
            "{told}"
        );
    }
}
