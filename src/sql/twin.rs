//! The SELECT that reads what a statement reads: what a login that may only SELECT can plan in its place. The write side,
//! and the locking of rows, are left out.

use std::collections::BTreeSet;

use pg_query::protobuf::{
    AStar, Alias, ColumnRef, CommonTableExpr, CteMaterialize, DeleteStmt, InsertStmt, JoinExpr, JoinType,
    LimitOption, MergeMatchKind, MergeStmt, ParamRef, ParseResult, RangeSubselect, RangeVar, ResTarget,
    ReturningClause, SelectStmt, SetOperation, SubLink, SubLinkType, UpdateStmt, WithClause,
};
use pg_query::{Node, NodeEnum};
use serde_json::Value;

use super::locked::fetch_what_is_locked;
use super::parse_one;

/// Names a query that nobody reads, which keeps the numbers of parameters together.
const UNREAD: &str = "pgadvisor_unread";

/// The SELECT that reads what a statement reads: its target joined to its FROM, under the same WHERE, without locks.
/// `None` if nothing is read (INSERT of VALUES), or if no such SELECT is known.
pub fn select_twin(text: &str) -> Option<String> {
    let mut statement = parse_one(text).ok()?;
    let parameters = parameters(&serde_json::to_value(&statement).ok()?);
    let mut read = statement.stmt.take()?.node?;
    if let NodeEnum::SelectStmt(select) = &mut read {
        fetch_what_is_locked(select);
    }
    let mut select = reading(read)?;
    let mut tree = serde_json::to_value(&select).ok()?;
    let used = self::parameters(&tree);
    let missing: Vec<i64> = parameters.difference(&used).copied().collect();
    if !missing.is_empty() {
        select.with_clause = Some(keeping(select.with_clause.take(), &missing));
        tree = serde_json::to_value(&select).ok()?;
    }
    if !reads_only(&tree) {
        return None;
    }
    statement.stmt = Some(Box::new(node(NodeEnum::SelectStmt(Box::new(select)))));
    let whole = ParseResult {
        stmts: vec![statement],
        ..ParseResult::default()
    };
    let twin = pg_query::deparse(&whole, Default::default()).ok()?;
    parse_one(&twin).ok()?;
    Some(twin)
}

/// The numbers of the parameters below a node.
pub(super) fn parameters(tree: &Value) -> BTreeSet<i64> {
    let mut numbers = BTreeSet::new();
    visit(tree, &mut |key, value| {
        if key == "ParamRef" {
            numbers.extend(value["number"].as_i64());
        }
        true
    });
    numbers
}

/// Whether nothing below a node writes or locks.
fn reads_only(tree: &Value) -> bool {
    visit(tree, &mut |key, value| match key {
        "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" | "MergeSupportFunc" | "CurrentOfExpr"
        | "SetToDefault" => false,
        "locking_clause" => value.as_array().is_none_or(Vec::is_empty),
        _ => true,
    })
}

/// Shows every field of a tree until one answers no.
pub(super) fn visit(tree: &Value, see: &mut impl FnMut(&str, &Value) -> bool) -> bool {
    match tree {
        Value::Array(items) => items.iter().all(|item| visit(item, see)),
        Value::Object(fields) => fields
            .iter()
            .all(|(key, value)| see(key, value) && visit(value, see)),
        _ => true,
    }
}

fn node(node: NodeEnum) -> Node {
    Node { node: Some(node) }
}

/// An entry of a SELECT list.
fn output(expression: Node) -> Node {
    node(NodeEnum::ResTarget(Box::new(ResTarget {
        val: Some(Box::new(expression)),
        ..ResTarget::default()
    })))
}

fn string(text: &str) -> Node {
    node(NodeEnum::String(pg_query::protobuf::String {
        sval: text.to_owned(),
    }))
}

/// `a.*`: the whole row, which no index alone can give.
pub(super) fn whole_row(relation: &RangeVar) -> Node {
    let fields = match &relation.alias {
        Some(alias) => vec![string(&alias.aliasname)],
        None if relation.schemaname.is_empty() => vec![string(&relation.relname)],
        None => vec![string(&relation.schemaname), string(&relation.relname)],
    };
    let star = node(NodeEnum::AStar(AStar {}));
    output(node(NodeEnum::ColumnRef(ColumnRef {
        fields: fields.into_iter().chain([star]).collect(),
        location: -1,
    })))
}

fn select() -> SelectStmt {
    SelectStmt {
        limit_option: LimitOption::Default as i32,
        op: SetOperation::SetopNone as i32,
        ..SelectStmt::default()
    }
}

/// What a statement reads, and what it returns of that.
type Read = (SelectStmt, Option<ReturningClause>);

/// The SELECT of any statement.
fn reading(statement: NodeEnum) -> Option<SelectStmt> {
    read(statement).map(|(select, _)| select)
}

/// The SELECT of a query of WITH, which gives what the query returns.
fn returning(statement: NodeEnum) -> Option<SelectStmt> {
    if matches!(statement, NodeEnum::SelectStmt(_)) {
        return reading(statement);
    }
    // what an INSERT returns has the names of its target's columns
    if matches!(statement, NodeEnum::InsertStmt(_)) {
        return None;
    }
    // what returns nothing nobody reads: a SELECT in its place would not be planned
    let (mut select, returning) = read(statement)?;
    let returning = returning?;
    // OLD and NEW under other names (18) have no twin
    returning.options.is_empty().then_some(())?;
    select.target_list = returning.exprs;
    Some(select)
}

fn read(statement: NodeEnum) -> Option<Read> {
    let (mut select, returning_clause) = match statement {
        NodeEnum::SelectStmt(select) => (*select, None),
        NodeEnum::InsertStmt(insert) => reading_insert(*insert)?,
        NodeEnum::UpdateStmt(update) => reading_update(*update)?,
        NodeEnum::DeleteStmt(delete) => reading_delete(*delete)?,
        NodeEnum::MergeStmt(merge) => reading_merge(*merge)?,
        _ => return None,
    };
    for cte in select.with_clause.iter_mut().flat_map(|with| &mut with.ctes) {
        if let Some(NodeEnum::CommonTableExpr(cte)) = &mut cte.node {
            let query = returning(cte.ctequery.take()?.node?)?;
            cte.ctequery = Some(Box::new(node(NodeEnum::SelectStmt(Box::new(query)))));
        }
    }
    unlock(&mut select);
    Some((select, returning_clause))
}

fn reading_insert(insert: InsertStmt) -> Option<Read> {
    let NodeEnum::SelectStmt(mut select) = insert.select_stmt?.node? else {
        return None;
    };
    if !select.values_lists.is_empty() {
        return None;
    }
    match (insert.with_clause, &select.with_clause) {
        (Some(_), Some(_)) => return None,
        (Some(with), None) => select.with_clause = Some(with),
        _ => {}
    }
    Some((*select, insert.returning_clause))
}

fn reading_update(update: UpdateStmt) -> Option<Read> {
    let relation = update.relation?;
    let mut list = vec![whole_row(&relation)];
    for item in update.target_list {
        let Some(NodeEnum::ResTarget(item)) = item.node else {
            return None;
        };
        list.extend(assigned(item.val?.node?).map(output));
    }
    let from = [node(NodeEnum::RangeVar(relation))]
        .into_iter()
        .chain(update.from_clause);
    Some((
        SelectStmt {
            target_list: list,
            from_clause: from.collect(),
            where_clause: update.where_clause,
            with_clause: update.with_clause,
            ..select()
        },
        update.returning_clause,
    ))
}

/// What an assignment computes; of `(a, b) = (SELECT …)` once.
fn assigned(value: NodeEnum) -> Option<Node> {
    let source = match value {
        NodeEnum::SetToDefault(_) => return None,
        NodeEnum::MultiAssignRef(reference) if reference.colno > 1 => return None,
        NodeEnum::MultiAssignRef(reference) => reference.source?.node?,
        other => return Some(node(other)),
    };
    match source {
        NodeEnum::SubLink(link) => Some(row_of(link.subselect?)),
        other => Some(node(other)),
    }
}

/// `(SELECT r FROM (…) AS r)`: several columns as one.
fn row_of(query: Box<Node>) -> Node {
    let alias = "r".to_owned();
    let row = node(NodeEnum::ColumnRef(ColumnRef {
        fields: vec![string(&alias)],
        location: -1,
    }));
    let from = node(NodeEnum::RangeSubselect(Box::new(RangeSubselect {
        lateral: false,
        subquery: Some(query),
        alias: Some(Alias {
            aliasname: alias,
            colnames: vec![],
        }),
    })));
    let outer = SelectStmt {
        target_list: vec![output(row)],
        from_clause: vec![from],
        ..select()
    };
    node(NodeEnum::SubLink(Box::new(SubLink {
        sub_link_type: SubLinkType::ExprSublink as i32,
        subselect: Some(Box::new(node(NodeEnum::SelectStmt(Box::new(outer))))),
        ..SubLink::default()
    })))
}

fn reading_delete(delete: DeleteStmt) -> Option<Read> {
    let relation = delete.relation?;
    let list = vec![whole_row(&relation)];
    let from = [node(NodeEnum::RangeVar(relation))]
        .into_iter()
        .chain(delete.using_clause);
    Some((
        SelectStmt {
            target_list: list,
            from_clause: from.collect(),
            where_clause: delete.where_clause,
            with_clause: delete.with_clause,
            ..select()
        },
        delete.returning_clause,
    ))
}

fn reading_merge(merge: MergeStmt) -> Option<Read> {
    let relation = merge.relation?;
    let whens = |kind: MergeMatchKind| {
        merge.merge_when_clauses.iter().any(|clause| {
            matches!(&clause.node, Some(NodeEnum::MergeWhenClause(clause)) if clause.match_kind == kind as i32)
        })
    };
    let by_target = whens(MergeMatchKind::MergeWhenNotMatchedByTarget);
    let by_source = whens(MergeMatchKind::MergeWhenNotMatchedBySource);
    let join = match (by_target, by_source) {
        (true, true) => JoinType::JoinFull,
        (true, false) => JoinType::JoinLeft,
        (false, true) => JoinType::JoinRight,
        (false, false) => JoinType::JoinInner,
    };
    let list = vec![whole_row(&relation)];
    let joined = JoinExpr {
        jointype: join as i32,
        larg: merge.source_relation,
        rarg: Some(Box::new(node(NodeEnum::RangeVar(relation)))),
        quals: merge.join_condition,
        ..JoinExpr::default()
    };
    Some((
        SelectStmt {
            target_list: list,
            from_clause: vec![node(NodeEnum::JoinExpr(Box::new(joined)))],
            with_clause: merge.with_clause,
            ..select()
        },
        merge.returning_clause,
    ))
}

/// A WITH that also holds the parameters that would be missing, since `$2` alone has no type for `$1`.
pub(super) fn keeping(with: Option<WithClause>, numbers: &[i64]) -> WithClause {
    let parameter = |number: &i64| {
        output(node(NodeEnum::ParamRef(ParamRef {
            number: i32::try_from(*number).unwrap_or(1),
            location: -1,
        })))
    };
    let unread = SelectStmt {
        target_list: numbers.iter().map(parameter).collect(),
        ..select()
    };
    let mut with = with.unwrap_or_default();
    with.ctes
        .push(node(NodeEnum::CommonTableExpr(Box::new(CommonTableExpr {
            ctename: UNREAD.to_owned(),
            ctematerialized: CteMaterialize::Default as i32,
            ctequery: Some(Box::new(node(NodeEnum::SelectStmt(Box::new(unread))))),
            ..CommonTableExpr::default()
        }))));
    with
}

/// Takes the locks off a SELECT and off those in it, wherever a subquery usually stands; what is overlooked is found by
/// [`reads_only`].
fn unlock(select: &mut SelectStmt) {
    select.locking_clause.clear();
    let lists = [
        &mut select.target_list,
        &mut select.from_clause,
        &mut select.sort_clause,
        &mut select.values_lists,
    ];
    lists.into_iter().flatten().for_each(unlock_below);
    let clauses = [
        &mut select.where_clause,
        &mut select.having_clause,
        &mut select.limit_count,
        &mut select.limit_offset,
    ];
    clauses
        .into_iter()
        .flatten()
        .for_each(|clause| unlock_below(clause));
    for cte in select.with_clause.iter_mut().flat_map(|with| &mut with.ctes) {
        if let Some(NodeEnum::CommonTableExpr(cte)) = &mut cte.node {
            cte.ctequery.iter_mut().for_each(|query| unlock_below(query));
        }
    }
    [&mut select.larg, &mut select.rarg]
        .into_iter()
        .flatten()
        .for_each(|side| unlock(side));
}

fn unlock_below(node: &mut Node) {
    let Some(node) = &mut node.node else { return };
    match node {
        NodeEnum::SelectStmt(select) => unlock(select),
        NodeEnum::SubLink(link) => [&mut link.testexpr, &mut link.subselect]
            .into_iter()
            .flatten()
            .for_each(|part| unlock_below(part)),
        NodeEnum::RangeSubselect(range) => range.subquery.iter_mut().for_each(|query| unlock_below(query)),
        NodeEnum::JoinExpr(join) => [&mut join.larg, &mut join.rarg, &mut join.quals]
            .into_iter()
            .flatten()
            .for_each(|part| unlock_below(part)),
        NodeEnum::ResTarget(target) => target.val.iter_mut().for_each(|value| unlock_below(value)),
        NodeEnum::AExpr(expression) => [&mut expression.lexpr, &mut expression.rexpr]
            .into_iter()
            .flatten()
            .for_each(|part| unlock_below(part)),
        NodeEnum::BoolExpr(expression) => expression.args.iter_mut().for_each(unlock_below),
        NodeEnum::FuncCall(call) => call.args.iter_mut().for_each(unlock_below),
        NodeEnum::CoalesceExpr(expression) => expression.args.iter_mut().for_each(unlock_below),
        NodeEnum::TypeCast(cast) => cast.arg.iter_mut().for_each(|arg| unlock_below(arg)),
        NodeEnum::NullTest(test) => test.arg.iter_mut().for_each(|arg| unlock_below(arg)),
        NodeEnum::List(list) => list.items.iter_mut().for_each(unlock_below),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Command, names};

    fn twin(text: &str) -> String {
        let twin = select_twin(text).unwrap_or_else(|| panic!("{text}"));
        let (before, after) = (names(text).unwrap(), names(&twin).unwrap());
        assert_eq!(after.command, Command::Select, "{twin}");
        assert!(!after.locks_rows, "{twin}");
        assert_eq!(
            after.relations.difference(&before.relations).next(),
            None,
            "{twin}"
        );
        twin
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(
            twin("UPDATE s.t SET a = $1, b = f(t.c) WHERE id = $2 RETURNING *"),
            "SELECT s.t.*, $1, f(t.c) FROM s.t WHERE id = $2"
        );
        assert_eq!(
            twin(
                "UPDATE t AS x SET (a, b) = (SELECT c, d FROM u WHERE u.id = x.id), e = DEFAULT FROM v WHERE v.id = x.id"
            ),
            "SELECT x.*, (SELECT r FROM (SELECT c, d FROM u WHERE u.id = x.id) r) FROM t x, v WHERE v.id = x.id"
        );
        assert_eq!(
            twin("DELETE FROM ONLY t USING u JOIN v ON u.a = v.a WHERE t.id = u.id"),
            "SELECT t.* FROM ONLY t, u JOIN v ON u.a = v.a WHERE t.id = u.id"
        );
        assert_eq!(
            twin(
                "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (1)"
            ),
            "SELECT t.* FROM u LEFT JOIN t ON t.id = u.id"
        );
        assert_eq!(
            twin("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a ON CONFLICT DO NOTHING RETURNING id"),
            "WITH a AS (SELECT 1) SELECT * FROM a"
        );
    }

    #[test]
    fn locks_are_taken_off_everywhere() {
        assert_eq!(
            twin(
                "UPDATE jobs SET run = true WHERE id = (SELECT id FROM jobs ORDER BY due LIMIT 1 FOR UPDATE SKIP LOCKED)"
            ),
            "SELECT jobs.*, true FROM jobs WHERE id = (SELECT id FROM jobs ORDER BY due LIMIT 1)"
        );
        assert_eq!(
            twin(
                "WITH a AS (DELETE FROM q WHERE id IN (SELECT id FROM q FOR UPDATE) RETURNING q.x)
                 SELECT * FROM a, (SELECT 1 FROM b FOR SHARE) c"
            ),
            "WITH a AS (SELECT q.x FROM q WHERE id IN (SELECT id FROM q)) SELECT * FROM a, (SELECT 1 FROM b) c"
        );
    }

    #[test]
    fn no_parameter_is_lost() {
        assert_eq!(
            twin("MERGE INTO t USING u ON t.id = $3 WHEN MATCHED AND $1 THEN UPDATE SET a = $2"),
            "WITH pgadvisor_unread AS (SELECT $1, $2) SELECT t.* FROM u JOIN t ON t.id = $3"
        );
    }

    #[test]
    fn what_has_no_twin() {
        for text in [
            "INSERT INTO t VALUES (1)",
            "INSERT INTO t DEFAULT VALUES",
            "DELETE FROM t WHERE CURRENT OF c",
            "WITH a AS (INSERT INTO t SELECT 1 RETURNING id) SELECT * FROM a",
            "WITH a AS (DELETE FROM t) SELECT 1",
            "DROP TABLE t",
            "SELECT 1; SELECT 2",
        ] {
            assert_eq!(select_twin(text), None, "{text}");
        }
    }

    #[test]
    fn odd_names_stay_names() {
        let text =
            "DELETE FROM \"a\"\"b\".\"<script>\n\" AS \"x y\" WHERE \"x y\".\"\u{202e}\" = E'\\'' || $$;$$";
        let before = names(text).unwrap();
        let after = names(&twin(text)).unwrap();
        assert_eq!(before.relations, after.relations);
        assert_eq!(before.attributes.difference(&after.attributes).next(), None);
    }
}
