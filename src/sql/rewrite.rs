//! What a statement writes, and the same statement with what was measured in the place of a parameter.

use std::collections::BTreeSet;

use pg_query::protobuf::{
    AConst, AExprKind, BoolExprType, Integer, ParseResult, SelectStmt, SubLink, SubLinkType, a_const,
};
use pg_query::{Node, NodeEnum};
use serde_json::Value;

use super::inserts::inserted_constants;
use super::twin::{keeping, parameters, visit};
use super::{parse_one, tree_of};

/// What a statement writes.
#[derive(Debug, Default)]
pub struct Written {
    /// See [`updated_columns`].
    pub updated: BTreeSet<String>,
    /// The columns to which an INSERT brings constants, in VALUES or by a SELECT; `None` is one that the statement does not name.
    pub constants: BTreeSet<Option<String>>,
    /// Whether a MERGE adds rows.
    pub merge_inserts: bool,
}

/// What a statement writes; nothing where it is no single query.
pub fn written(text: &str) -> Written {
    let of = |tree: &Value| Written {
        updated: updated(tree),
        constants: inserted_constants(tree),
        merge_inserts: merge_inserts(tree),
    };
    tree_of(text).as_ref().map(of).unwrap_or_default()
}

/// The columns that an UPDATE, or the UPDATE of an INSERT … ON CONFLICT or a MERGE, sets; none where it sets none.
pub fn updated_columns(text: &str) -> BTreeSet<String> {
    tree_of(text).as_ref().map(updated).unwrap_or_default()
}

fn updated(tree: &Value) -> BTreeSet<String> {
    let mut columns = BTreeSet::new();
    collect_updates(tree, &mut columns);
    columns
}

fn merge_inserts(tree: &Value) -> bool {
    let insert = serde_json::json!(pg_query::protobuf::CmdType::CmdInsert as i32);
    !visit(tree, &mut |key, value| {
        key != "MergeWhenClause" || value["command_type"] != insert
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

/// A statement whose LIMIT is a parameter, or is computed of parameters, with the rows that a call gave in its place (a generic plan takes a tenth of all
/// rows otherwise). Of an UPDATE or a DELETE that is the LIMIT of the one subquery that picks its rows, as queues have it. `None`
/// if it has no such LIMIT, or if a later parameter of a SELECT would lose its number.
pub fn with_measured_limit(text: &str, rows_per_call: f64) -> Option<String> {
    let mut statement = parse_one(text).ok()?;
    let whole = serde_json::to_value(&statement).ok()?;
    let before = parameters(&whole);
    let node = statement.stmt.as_mut()?.node.as_mut()?;
    let replaced = match node {
        NodeEnum::SelectStmt(select) => {
            let replaced = limit_to(select, rows_per_call)?;
            let first = *replaced.first()?;
            // what is left must keep its numbers without a hole
            let is_last = before.difference(&replaced).all(|number| *number < first);
            is_last.then_some(replaced)?
        }
        writing => limit_what_picks(writing, &whole, rows_per_call)?,
    };
    // no parameter may be the limit and something else
    if count(&whole, &replaced) != replaced.len() {
        return None;
    }
    let whole = ParseResult {
        stmts: vec![statement],
        ..ParseResult::default()
    };
    pg_query::deparse(&whole, Default::default()).ok()
}

/// Writes so many rows where the LIMIT of a SELECT is made of parameters, and 0 where its OFFSET is; the numbers of these.
fn limit_to(select: &mut SelectStmt, rows: f64) -> Option<BTreeSet<i64>> {
    let mut replaced = select.limit_count.as_deref().and_then(computed_of)?;
    let offset = select.limit_offset.as_deref().and_then(computed_of);
    replaced.extend(offset.iter().flatten().copied());
    let rows = rows.ceil().clamp(1.0, 1e6) as i32;
    select.limit_count = Some(Box::new(number(rows)));
    if offset.is_some() {
        select.limit_offset = Some(Box::new(number(0)));
    }
    Some(replaced)
}

/// The same of the one subquery of an UPDATE or a DELETE that has a LIMIT, if it picks the rows that are written. The
/// parameters that are left keep their numbers.
fn limit_what_picks(writing: &mut NodeEnum, whole: &Value, rows: f64) -> Option<BTreeSet<i64>> {
    let mut limits = 0;
    visit(whole, &mut |key, value| {
        limits += usize::from(key == "limit_count" && !value.is_null());
        true
    });
    let (condition, joined, with) = match writing {
        NodeEnum::UpdateStmt(update) => (
            &mut update.where_clause,
            &mut update.from_clause,
            &mut update.with_clause,
        ),
        NodeEnum::DeleteStmt(delete) => (
            &mut delete.where_clause,
            &mut delete.using_clause,
            &mut delete.with_clause,
        ),
        _ => return None,
    };
    if limits != 1 {
        return None;
    }
    let is_kept_back = condition.as_deref().is_some_and(keeps_back);
    let named = with.iter_mut().flat_map(|with| &mut with.ctes);
    let mut joined = joined.iter_mut().chain(named);
    let select = match condition.as_deref_mut().and_then(picking) {
        Some(select) => select,
        // what is joined may be what is not to be written
        None => joined.find_map(picking).filter(|_| !is_kept_back)?,
    };
    let replaced = limit_to(select, rows)?;
    let left = parameters(whole);
    let left: BTreeSet<i64> = left.difference(&replaced).copied().collect();
    let holes = replaced.iter().filter(|number| left.last() > Some(*number));
    let holes: Vec<i64> = holes.copied().collect();
    if !holes.is_empty() {
        *with = Some(keeping(with.take(), &holes));
    }
    Some(replaced)
}

/// The SELECT with a LIMIT of which a condition, a FROM or a WITH takes all rows, and no others.
fn picking(node: &mut Node) -> Option<&mut SelectStmt> {
    match node.node.as_mut()? {
        NodeEnum::SelectStmt(select) if select.limit_count.is_some() => Some(&mut **select),
        NodeEnum::SubLink(link) if is_in(link) => picking(link.subselect.as_deref_mut()?),
        NodeEnum::RangeSubselect(range) => picking(range.subquery.as_deref_mut()?),
        NodeEnum::CommonTableExpr(cte) => picking(cte.ctequery.as_deref_mut()?),
        NodeEnum::TypeCast(cast) => picking(cast.arg.as_deref_mut()?),
        NodeEnum::AExpr(compared) if is_plain(compared.kind) && is_equality(&compared.name) => {
            picking(compared.rexpr.as_deref_mut()?)
        }
        NodeEnum::BoolExpr(all) if all.boolop == BoolExprType::AndExpr as i32 => {
            all.args.iter_mut().find_map(picking)
        }
        _ => None,
    }
}

/// `IN (SELECT …)`, `= ANY (SELECT …)`, `ARRAY(SELECT …)` or a value.
fn is_in(link: &SubLink) -> bool {
    match SubLinkType::try_from(link.sub_link_type) {
        Ok(SubLinkType::AnySublink) => link.oper_name.is_empty() || is_equality(&link.oper_name),
        Ok(SubLinkType::ArraySublink | SubLinkType::ExprSublink) => true,
        _ => false,
    }
}

/// A comparison with one value or with any of several: `IS DISTINCT FROM` has the name of an equality, too.
fn is_plain(kind: i32) -> bool {
    [AExprKind::AexprOp as i32, AExprKind::AexprOpAny as i32].contains(&kind)
}

fn is_equality(name: &[Node]) -> bool {
    let last = name.last().and_then(|part| part.node.as_ref());
    matches!(last, Some(NodeEnum::String(name)) if name.sval == "=")
}

/// Whether a condition may be about the rows that a subquery does not have: `NOT IN`, `<> ALL`, `NOT EXISTS`.
fn keeps_back(condition: &Node) -> bool {
    let not = serde_json::json!(BoolExprType::NotExpr as i32);
    let all = serde_json::json!(SubLinkType::AllSublink as i32);
    let Ok(tree) = serde_json::to_value(condition) else {
        return true;
    };
    !visit(&tree, &mut |key, value| match key {
        "BoolExpr" => value["boolop"] != not || value["args"][0]["node"]["SubLink"].is_null(),
        "SubLink" => value["sub_link_type"] != all,
        _ => true,
    })
}

/// The numbers of the parameters that a LIMIT or an OFFSET is, or is computed of; `None` if there is anything else in it.
fn computed_of(node: &Node) -> Option<BTreeSet<i64>> {
    match node.node.as_ref()? {
        NodeEnum::ParamRef(parameter) => Some([i64::from(parameter.number)].into()),
        NodeEnum::AExpr(computed) => {
            let mut numbers = computed_of(computed.lexpr.as_deref()?)?;
            numbers.extend(computed_of(computed.rexpr.as_deref()?)?);
            Some(numbers)
        }
        _ => None,
    }
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
    fn what_a_statement_writes_is_read_at_once() {
        let merge = written(
            "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN UPDATE SET b = 1 WHEN NOT MATCHED THEN INSERT (c) VALUES (1)",
        );
        assert!(merge.updated.contains("b") && merge.constants.is_empty() && merge.merge_inserts);
        let insert = written("INSERT INTO t (x, y) VALUES ($1, 0) ON CONFLICT (x) DO UPDATE SET n = t.n + 1");
        assert!(insert.updated.contains("n") && !insert.merge_inserts);
        assert_eq!(insert.constants, BTreeSet::from([Some("y".to_owned())]));
        assert!(!written("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE").merge_inserts);
        let none = written("not SQL");
        assert!(none.updated.is_empty() && none.constants.is_empty() && !none.merge_inserts);
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
        assert_eq!(
            limited("SELECT a FROM t WHERE b = $1 ORDER BY a LIMIT $2 OFFSET ($3 - $4) * $5").as_deref(),
            Some("SELECT a FROM t WHERE b = $1 ORDER BY a LIMIT 20 OFFSET 0")
        );
        assert_eq!(
            limited("SELECT a FROM t LIMIT $1 + $2").as_deref(),
            Some("SELECT a FROM t LIMIT 20")
        );
        assert_eq!(
            limited("SELECT a FROM t LIMIT $1 OFFSET (SELECT max(b) FROM u)").as_deref(),
            Some("SELECT a FROM t LIMIT 20 OFFSET (SELECT max(b) FROM u)")
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
    fn a_queue_takes_as_many_as_were_measured() {
        let limited = |text: &str| with_measured_limit(text, 19.4);
        let next = "SELECT id FROM jobs WHERE state = $2 ORDER BY at LIMIT $3 FOR UPDATE SKIP LOCKED";
        for (text, keeps) in [
            (format!("UPDATE jobs SET state = $1 WHERE id IN ({next})"), None),
            (
                format!("UPDATE jobs SET state = $1 WHERE id = ({next}) AND kind = 5 RETURNING id"),
                None,
            ),
            (
                format!("DELETE FROM jobs WHERE id = ANY (ARRAY({next})) AND kind = $4 AND host = $1"),
                Some(3),
            ),
            (
                format!(
                    "WITH next AS ({next}) UPDATE jobs SET state = $4 FROM next WHERE jobs.id = next.id AND host = $1"
                ),
                Some(3),
            ),
            (
                format!(
                    "WITH next AS ({next}) DELETE FROM jobs WHERE host = $1 AND id IN (SELECT id FROM next)"
                ),
                None,
            ),
            (
                format!("UPDATE jobs SET state = $1 FROM ({next}) AS next WHERE jobs.id = next.id"),
                None,
            ),
        ] {
            let told = limited(&text).unwrap_or_else(|| panic!("{text}"));
            assert!(told.contains("LIMIT 20") && !told.contains("LIMIT $"), "{told}");
            let kept = keeps.map(|number: i64| format!("pgadvisor_unread AS (SELECT ${number})"));
            assert_eq!(told.contains("pgadvisor_unread"), keeps.is_some(), "{told}");
            assert!(kept.is_none_or(|kept| told.contains(&kept)), "{told}");
        }
        for text in [
            "DELETE FROM log WHERE id NOT IN (SELECT id FROM log ORDER BY at DESC LIMIT $1)",
            "WITH keep AS (SELECT id FROM log ORDER BY at DESC LIMIT $1) DELETE FROM log WHERE id NOT IN (SELECT id FROM keep)",
            "DELETE FROM log WHERE id < (SELECT id FROM log ORDER BY at DESC LIMIT $1)",
            "DELETE FROM log WHERE id <> ALL (SELECT id FROM log ORDER BY at DESC LIMIT $1)",
            "DELETE FROM log WHERE id IN (SELECT id FROM log LIMIT $1) AND kind IN (SELECT kind FROM log LIMIT 3)",
            "DELETE FROM log WHERE id IN (SELECT id FROM log WHERE kind = $1 LIMIT $1)",
            "DELETE FROM log WHERE id IN (SELECT id FROM log LIMIT 5)",
            "INSERT INTO log SELECT id FROM jobs LIMIT $1",
        ] {
            assert_eq!(limited(text), None, "{text}");
        }
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
