//! What a statement writes, and the same statement with what was measured in the place of a parameter.

use std::collections::BTreeSet;

use pg_query::protobuf::{AConst, Integer, ParseResult, a_const};
use pg_query::{Node, NodeEnum};
use serde_json::Value;

use super::parse_one;

/// The columns that an UPDATE, or the UPDATE of an INSERT … ON CONFLICT or a MERGE, sets; none where it sets none.
pub fn updated_columns(text: &str) -> BTreeSet<String> {
    let tree = parse_one(text)
        .ok()
        .and_then(|statement| serde_json::to_value(&statement).ok());
    let mut columns = BTreeSet::new();
    if let Some(tree) = tree {
        collect_updates(&tree, &mut columns);
    }
    columns
}

/// Whether a MERGE adds rows.
pub fn merge_inserts(text: &str) -> bool {
    let insert = serde_json::json!(pg_query::protobuf::CmdType::CmdInsert as i32);
    let tree = parse_one(text)
        .ok()
        .and_then(|statement| serde_json::to_value(&statement).ok());
    tree.is_some_and(|tree| {
        !super::twin::visit(&tree, &mut |key, value| {
            key != "MergeWhenClause" || value["command_type"] != insert
        })
    })
}

fn collect_updates(tree: &Value, columns: &mut BTreeSet<String>) {
    match tree {
        Value::Object(fields) => {
            for (kind, value) in fields {
                let is_update = match kind.as_str() {
                    "UpdateStmt" | "on_conflict_clause" => true,
                    "MergeWhenClause" => {
                        value["command_type"]
                            == serde_json::json!(pg_query::protobuf::CmdType::CmdUpdate as i32)
                    }
                    _ => false,
                };
                if is_update {
                    let targets = value["target_list"].as_array().into_iter().flatten();
                    let name = |target: &Value| {
                        let target = target["node"].get("ResTarget")?;
                        Some(target["name"].as_str()?.to_owned())
                    };
                    columns.extend(targets.filter_map(name));
                }
                collect_updates(value, columns);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_updates(value, columns)),
        _ => {}
    }
}

/// A statement whose LIMIT is a parameter, with the rows that a call gave in its place (a generic plan takes a tenth of all
/// rows otherwise). `None` if it has no such LIMIT, or if a later parameter would lose its number.
pub fn with_measured_limit(text: &str, rows_per_call: f64) -> Option<String> {
    let mut statement = parse_one(text).ok()?;
    let whole = serde_json::to_value(&statement).ok()?;
    let node = statement.stmt.as_mut()?.node.as_mut()?;
    let NodeEnum::SelectStmt(select) = node else {
        return None;
    };
    let is_parameter = |node: &Node| match &node.node {
        Some(NodeEnum::ParamRef(parameter)) => Some(parameter.number),
        _ => None,
    };
    let limit = select.limit_count.as_deref().and_then(is_parameter)?;
    let offset = select.limit_offset.as_deref().and_then(is_parameter);
    let replaced: BTreeSet<i64> = [Some(limit), offset]
        .into_iter()
        .flatten()
        .map(i64::from)
        .collect();
    let first = *replaced.first()?;
    let others = super::twin::parameters(&whole);
    // what is left must keep its numbers without a hole, and no parameter may be the limit and something else
    let is_last = others.difference(&replaced).all(|number| *number < first);
    let uses = count(&whole, &replaced);
    if !is_last || uses != replaced.len() {
        return None;
    }
    let rows = rows_per_call.ceil().clamp(1.0, 1e6) as i32;
    select.limit_count = Some(Box::new(number(rows)));
    if offset.is_some() {
        select.limit_offset = Some(Box::new(number(0)));
    }
    let whole = ParseResult {
        stmts: vec![statement],
        ..ParseResult::default()
    };
    pg_query::deparse(&whole, Default::default()).ok()
}

/// The same statement at the page that begins behind so many rows, where its OFFSET is the 0 of [`with_measured_limit`]. `None`
/// if it has no such OFFSET.
pub fn at_later_page(text: &str, rows: f64) -> Option<String> {
    let mut statement = parse_one(text).ok()?;
    let NodeEnum::SelectStmt(select) = statement.stmt.as_mut()?.node.as_mut()? else {
        return None;
    };
    let offset = select.limit_offset.as_deref_mut()?;
    let is_first = match &offset.node {
        Some(NodeEnum::AConst(constant)) => constant.val == Some(a_const::Val::Ival(Integer { ival: 0 })),
        _ => false,
    };
    if !is_first {
        return None;
    }
    *offset = number(rows.ceil().clamp(0.0, 1e9) as i32);
    let whole = ParseResult {
        stmts: vec![statement],
        ..ParseResult::default()
    };
    pg_query::deparse(&whole, Default::default()).ok()
}

/// How often parameters of these numbers are used.
fn count(tree: &Value, numbers: &BTreeSet<i64>) -> usize {
    match tree {
        Value::Object(fields) => fields
            .iter()
            .map(|(kind, value)| {
                let own = kind == "ParamRef"
                    && value["number"]
                        .as_i64()
                        .is_some_and(|number| numbers.contains(&number));
                usize::from(own) + count(value, numbers)
            })
            .sum(),
        Value::Array(values) => values.iter().map(|value| count(value, numbers)).sum(),
        _ => 0,
    }
}

fn number(value: i32) -> Node {
    let value = a_const::Val::Ival(Integer { ival: value });
    Node {
        node: Some(NodeEnum::AConst(AConst {
            val: Some(value),
            ..AConst::default()
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_that_are_set() {
        let columns = |text: &str| updated_columns(text).into_iter().collect::<Vec<_>>().join(",");
        assert_eq!(columns("UPDATE t SET a = 1, \"B\" = $1 WHERE c = 2"), "B,a");
        assert_eq!(
            columns("INSERT INTO t (x) VALUES (1) ON CONFLICT (x) DO UPDATE SET n = t.n + 1"),
            "n"
        );
        assert_eq!(columns("INSERT INTO t (x) VALUES (1)"), "");
        assert_eq!(
            columns(
                "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN UPDATE SET b = 1 WHEN NOT MATCHED THEN INSERT (c) VALUES (1)"
            ),
            "b"
        );
        assert_eq!(columns("SELECT a FROM t"), "");
        assert_eq!(columns("not SQL"), "");
    }

    #[test]
    fn a_limit_that_is_a_parameter_is_what_was_measured() {
        let limited = |text: &str| with_measured_limit(text, 19.4);
        assert_eq!(
            limited("SELECT a FROM t WHERE b = $1 ORDER BY a LIMIT $2").as_deref(),
            Some("SELECT a FROM t WHERE b = $1 ORDER BY a LIMIT 20")
        );
        assert_eq!(
            limited("SELECT a FROM t ORDER BY a LIMIT $1 OFFSET $2").as_deref(),
            Some("SELECT a FROM t ORDER BY a LIMIT 20 OFFSET 0")
        );
        assert_eq!(limited("SELECT a FROM t LIMIT 5"), None);
        assert_eq!(
            limited("SELECT (SELECT a FROM t WHERE b = $2) FROM u LIMIT $1"),
            None,
            "$2 would have no $1 before it"
        );
        assert_eq!(limited("SELECT $1 FROM t LIMIT $1"), None);
        assert_eq!(limited("UPDATE t SET a = $1"), None);
    }

    #[test]
    fn a_later_page_is_one_of_the_whole_statement() {
        let later = |text: &str| at_later_page(text, 1000.0);
        let first = with_measured_limit("SELECT a FROM t WHERE b = $1 ORDER BY a LIMIT $2 OFFSET $3", 19.4);
        assert_eq!(
            later(&first.unwrap()).as_deref(),
            Some("SELECT a FROM t WHERE b = $1 ORDER BY a LIMIT 20 OFFSET 1000")
        );
        assert_eq!(
            later("SELECT a FROM t UNION SELECT a FROM u ORDER BY 1 LIMIT 20 OFFSET 0").as_deref(),
            Some("SELECT a FROM t UNION SELECT a FROM u ORDER BY 1 LIMIT 20 OFFSET 1000")
        );
        for text in [
            "SELECT a FROM t LIMIT 20",
            "SELECT a FROM t LIMIT 20 OFFSET 5",
            "SELECT a FROM t LIMIT 20 OFFSET $1",
            "SELECT a FROM t LIMIT 20 OFFSET 0 + 0",
            "SELECT a FROM (SELECT a FROM t LIMIT 20 OFFSET 0) t",
            "DELETE FROM t",
            "SELECT a FROM t LIMIT 20 OFFSET 0; DELETE FROM t",
        ] {
            assert_eq!(later(text), None, "{text}");
        }
    }
}
