//! What a statement is like: the few shapes that rules about statements look for. Pure functions of its text; each looks at
//! the text itself first, so that hardly any text is parsed.

use std::collections::BTreeSet;

use pg_query::protobuf::{AExprKind, BoolExprType, RangeVar, SelectStmt, SetOperation, a_const};
use pg_query::{Node, NodeEnum};
use serde_json::Value;

use super::parse_one;
use super::unique::is_aggregate;

/// A table as a statement names it: its schema, where that is given, and its name.
pub type TableName = (Option<String>, String);

/// A column that a statement searches with LIKE, ILIKE or SIMILAR TO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Searched {
    /// The column as it is written, as `n.body`.
    pub written: String,
    /// Its name alone.
    pub column: String,
    /// Its table, where the statement tells which one that is.
    pub table: Option<TableName>,
    /// It is searched as it stands, not in lower case or as another type.
    pub is_plain: bool,
    /// `lower` or `upper`, where it is searched by that function of it, and not otherwise.
    pub letter_case: Option<&'static str>,
    /// The pattern begins with what was a constant, and goes on with a parameter.
    pub is_behind_constant: bool,
}

/// A statement that looks up rows of one table by the values of columns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct KeyLookup {
    pub schema: Option<String>,
    pub table: String,
    /// In the order in which they stand.
    pub columns: Vec<String>,
}

/// Whether a statement as it was sent, with its constants, looks for a pattern that begins with a wildcard. A pattern of
/// wildcards alone fits everything and looks for nothing.
pub fn has_leading_wildcard(text: &str) -> bool {
    if !text.contains("'%") && !text.contains("'_") {
        return false;
    }
    let Some(tree) = search_tree(text) else {
        return false;
    };
    let mut searches = Vec::new();
    collect_searches(&tree, &mut searches);
    let mut patterns = searches
        .into_iter()
        .flat_map(|(_, pattern)| alternatives(pattern));
    patterns.any(begins_with_wildcard)
}

/// The column, as it is written, that a normalised statement searches for a pattern like `$2 || $1`, whose beginning was a
/// constant: pg_stat_statements numbers constants after the parameters. Mostly it was `'%'`, which is not kept.
pub fn searches_behind_constant(text: &str) -> Option<String> {
    let searched = searched_columns(text).into_iter();
    let mut behind = searched.filter(|column| column.is_behind_constant);
    behind.next().map(|column| column.written)
}

/// The columns that a statement searches with LIKE, ILIKE or SIMILAR TO, each once, in their order. What is negated is left
/// out: no index finds what does not fit.
pub fn searched_columns(text: &str) -> Vec<Searched> {
    let mut columns: Vec<Searched> = Vec::new();
    let Some(tree) = search_tree(text) else {
        return columns;
    };
    let (mut searches, mut relations) = (Vec::new(), Relations::default());
    collect_searches(&tree, &mut searches);
    relations.collect(&tree);
    for (side, pattern) in searches {
        let Some((parts, is_plain)) = column(side) else {
            continue;
        };
        let one = Searched {
            written: parts.join("."),
            column: parts.last().copied().unwrap_or_default().to_owned(),
            table: relations.named(&parts),
            is_plain,
            letter_case: letter_case(side),
            is_behind_constant: alternatives(pattern).into_iter().any(begins_with_constant),
        };
        let is_known = |known: &Searched| (&known.written, &known.table) == (&one.written, &one.table);
        match columns.iter().position(is_known) {
            Some(place) => {
                columns[place].is_plain &= one.is_plain;
                if columns[place].letter_case != one.letter_case {
                    columns[place].letter_case = None;
                }
                columns[place].is_behind_constant |= one.is_behind_constant;
            }
            None => columns.push(one),
        }
    }
    columns
}

/// Whether it is a SELECT with a LIMIT and an OFFSET that is not the constant 0.
pub fn offset_of(text: &str) -> bool {
    if !has_word(text, "offset") {
        return false;
    }
    let Some(select) = one_select(text) else {
        return false;
    };
    let (Some(limit), Some(offset)) = (&select.limit_count, &select.limit_offset) else {
        return false;
    };
    // LIMIT ALL
    let is_no_limit = matches!(&uncast(limit).node, Some(NodeEnum::AConst(constant)) if constant.isnull);
    let is_no_offset = match &uncast(offset).node {
        Some(NodeEnum::AConst(constant)) => match &constant.val {
            Some(a_const::Val::Ival(number)) => number.ival == 0,
            _ => constant.isnull,
        },
        _ => false,
    };
    !is_no_limit && !is_no_offset
}

/// The table all of whose rows a statement counts, and does nothing else.
pub fn unfiltered_count(text: &str) -> Option<TableName> {
    if !has_word(text, "count") {
        return None;
    }
    let select = one_select(text)?;
    let table = only_table(&select)?;
    let ([target], None) = (&select.target_list[..], &select.where_clause) else {
        return None;
    };
    let NodeEnum::ResTarget(target) = target.node.as_ref()? else {
        return None;
    };
    let value = uncast(target.val.as_deref()?);
    let NodeEnum::FuncCall(call) = value.node.as_ref()? else {
        return None;
    };
    let is_constant = |argument: &Node| {
        matches!(
            &uncast(argument).node,
            Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_))
        )
    };
    let is_of_rows = call.agg_star || matches!(&call.args[..], [argument] if is_constant(argument));
    let is_all = call.agg_filter.is_none() && !call.agg_distinct;
    let is_count = is_aggregate(value) && last_string(&call.funcname) == Some("count");
    (is_count && is_of_rows && is_all).then(|| table_name(table))
}

/// What a statement looks up, if all that it does is to read rows of one table whose columns have given values.
pub fn key_lookup(text: &str) -> Option<KeyLookup> {
    if !has_word(text, "where") || !text.contains('$') {
        return None;
    }
    let select = one_select(text)?;
    let table = only_table(&select)?;
    let mut columns = Vec::new();
    collect_keys(select.where_clause.as_deref()?, &mut columns)?;
    if select.target_list.iter().any(is_more_than_a_row) {
        return None;
    }
    let (schema, table) = table_name(table);
    Some(KeyLookup {
        schema,
        table,
        columns,
    })
}

/// Whether a statement is a SELECT, whose rows go to whoever sent it. Of a text that was cut the first word tells.
pub fn is_select(text: &str) -> bool {
    match text.strip_suffix('…') {
        Some(beginning) => first_word(beginning).eq_ignore_ascii_case("select"),
        None => one_select(text).is_some(),
    }
}

/// The first word behind comments.
fn first_word(text: &str) -> &str {
    let mut rest = text.trim_start();
    while let Some((_, after)) = rest.strip_prefix("/*").and_then(|rest| rest.split_once("*/")) {
        rest = after.trim_start();
    }
    let end = rest.find(|c: char| !c.is_ascii_alphabetic());
    &rest[..end.unwrap_or(rest.len())]
}

/// Whether a text holds a word in upper or lower case, wherever it stands.
fn has_word(text: &str, word: &str) -> bool {
    let mut places = text.as_bytes().windows(word.len());
    places.any(|place| place.eq_ignore_ascii_case(word.as_bytes()))
}

/// The tree of a statement that may search with a pattern.
fn search_tree(text: &str) -> Option<Value> {
    let may_search = text.contains("~~") || has_word(text, "like") || has_word(text, "similar");
    let statement = may_search.then(|| parse_one(text).ok())??;
    serde_json::to_value(&statement).ok()
}

fn one_select(text: &str) -> Option<Box<SelectStmt>> {
    let statement = parse_one(text).ok()?;
    match statement.stmt?.node? {
        NodeEnum::SelectStmt(select) => Some(select),
        _ => None,
    }
}

/// The one table that a SELECT reads, if it does not group, join, lock or put rows together.
fn only_table(select: &SelectStmt) -> Option<&RangeVar> {
    let is_simple = select.with_clause.is_none()
        && select.distinct_clause.is_empty()
        && select.group_clause.is_empty()
        && select.having_clause.is_none()
        && select.window_clause.is_empty()
        && select.values_lists.is_empty()
        && select.locking_clause.is_empty()
        && matches!(select.op(), SetOperation::SetopNone | SetOperation::Undefined);
    let [from] = &select.from_clause[..] else {
        return None;
    };
    match &from.node {
        Some(NodeEnum::RangeVar(table)) if is_simple => Some(table),
        _ => None,
    }
}

fn table_name(table: &RangeVar) -> TableName {
    let schema = (!table.schemaname.is_empty()).then(|| table.schemaname.clone());
    (schema, table.relname.clone())
}

fn last_string(parts: &[Node]) -> Option<&str> {
    match parts.last()?.node.as_ref()? {
        NodeEnum::String(part) => Some(&part.sval),
        _ => None,
    }
}

/// What is below casts.
fn uncast(node: &Node) -> &Node {
    match &node.node {
        Some(NodeEnum::TypeCast(cast)) => cast.arg.as_deref().map_or(node, uncast),
        _ => node,
    }
}

/// The columns of `column = $n AND …`; none if the condition is anything else.
fn collect_keys(condition: &Node, columns: &mut Vec<String>) -> Option<()> {
    match condition.node.as_ref()? {
        NodeEnum::BoolExpr(all) if all.boolop() == BoolExprType::AndExpr => {
            for one in &all.args {
                collect_keys(one, columns)?;
            }
            Some(())
        }
        NodeEnum::AExpr(compared) if compared.kind() == AExprKind::AexprOp => {
            if last_string(&compared.name) != Some("=") {
                return None;
            }
            let (left, right) = (compared.lexpr.as_deref()?, compared.rexpr.as_deref()?);
            let is_parameter = |side: &Node| matches!(&uncast(side).node, Some(NodeEnum::ParamRef(_)));
            let column = match (is_parameter(left), is_parameter(right)) {
                (false, true) => left,
                (true, false) => right,
                _ => return None,
            };
            let NodeEnum::ColumnRef(reference) = column.node.as_ref()? else {
                return None;
            };
            columns.push(last_string(&reference.fields)?.to_owned());
            Some(())
        }
        _ => None,
    }
}

/// Whether what is selected is made of several rows, or by a query of its own.
fn is_more_than_a_row(selected: &Node) -> bool {
    let below = |node: &Option<Box<Node>>| node.as_deref().is_some_and(is_more_than_a_row);
    match &selected.node {
        Some(NodeEnum::ResTarget(target)) => below(&target.val),
        Some(NodeEnum::TypeCast(cast)) => below(&cast.arg),
        Some(NodeEnum::CoalesceExpr(first)) => first.args.iter().any(is_more_than_a_row),
        Some(NodeEnum::AExpr(compared)) => below(&compared.lexpr) || below(&compared.rexpr),
        Some(NodeEnum::FuncCall(call)) => is_aggregate(selected) || call.args.iter().any(is_more_than_a_row),
        Some(NodeEnum::SubLink(_)) => true,
        _ => false,
    }
}

/// Both sides of every search with a pattern below a node, but for what is negated.
fn collect_searches<'a>(tree: &'a Value, found: &mut Vec<(&'a Value, &'a Value)>) {
    match tree {
        Value::Object(fields) => {
            for (kind, value) in fields {
                if kind == "BoolExpr" && value["boolop"] == BoolExprType::NotExpr as i32 {
                    continue;
                }
                if kind == "AExpr" && is_search(value) {
                    found.push((&value["lexpr"], &value["rexpr"]));
                }
                collect_searches(value, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_searches(value, found)),
        _ => {}
    }
}

fn is_search(compared: &Value) -> bool {
    let operator = strings(&compared["name"]).last().copied().unwrap_or_default();
    let kind = compared["kind"]
        .as_i64()
        .and_then(|kind| i32::try_from(kind).ok());
    match kind.and_then(|kind| AExprKind::try_from(kind).ok()) {
        Some(AExprKind::AexprSimilar) => operator == "~",
        Some(
            AExprKind::AexprLike
            | AExprKind::AexprIlike
            | AExprKind::AexprOp
            | AExprKind::AexprOpAny
            | AExprKind::AexprOpAll,
        ) => ["~~", "~~*"].contains(&operator),
        _ => false,
    }
}

/// The strings of a list of nodes.
fn strings(list: &Value) -> Vec<&str> {
    let items = list.as_array().into_iter().flatten();
    items
        .filter_map(|item| item.pointer("/node/String/sval")?.as_str())
        .collect()
}

/// The parts of a column's name, and whether it stands there as it is.
fn column(side: &Value) -> Option<(Vec<&str>, bool)> {
    let node = &side["node"];
    let fields = &node["ColumnRef"]["fields"];
    if let Some(all) = fields.as_array() {
        let parts = strings(fields);
        return (!parts.is_empty() && parts.len() == all.len()).then_some((parts, true));
    }
    let only_argument = match node["FuncCall"]["args"].as_array().map(Vec::as_slice) {
        Some([argument]) => Some(argument),
        _ => None,
    };
    let wrapped = [
        &node["TypeCast"]["arg"],
        &node["CollateClause"]["arg"],
        &node["CoalesceExpr"]["args"][0],
    ];
    let inner = wrapped
        .into_iter()
        .find(|inner| !inner.is_null())
        .or(only_argument)?;
    column(inner).map(|(parts, _)| (parts, false))
}

/// The function, where one side of a search is a column in lower or upper case. Both are PostgreSQL's own: nothing hides what is in
/// pg_catalog.
fn letter_case(side: &Value) -> Option<&'static str> {
    let call = &side["node"]["FuncCall"];
    let [argument] = call["args"].as_array()?.as_slice() else {
        return None;
    };
    let is_column = !argument["node"]["ColumnRef"].is_null();
    match strings(&call["funcname"]).as_slice() {
        ["lower"] | ["pg_catalog", "lower"] if is_column => Some("lower"),
        ["upper"] | ["pg_catalog", "upper"] if is_column => Some("upper"),
        _ => None,
    }
}

/// The patterns of a search: several where it is LIKE ANY.
fn alternatives(pattern: &Value) -> Vec<&Value> {
    let cast = &pattern["node"]["TypeCast"]["arg"];
    if !cast.is_null() {
        return alternatives(cast);
    }
    match pattern["node"]["AArrayExpr"]["elements"].as_array() {
        Some(elements) => elements.iter().collect(),
        None => vec![pattern],
    }
}

/// The parts that a pattern is put together of, in their order.
fn collect_parts<'a>(pattern: &'a Value, parts: &mut Vec<&'a Value>) {
    let node = &pattern["node"];
    for wrapped in [&node["TypeCast"]["arg"], &node["CollateClause"]["arg"]] {
        if !wrapped.is_null() {
            return collect_parts(wrapped, parts);
        }
    }
    let (joined, call) = (&node["AExpr"], &node["FuncCall"]);
    let arguments = call["args"].as_array().map(Vec::as_slice).unwrap_or_default();
    match (strings(&joined["name"]).last(), strings(&call["funcname"]).last()) {
        (Some(&"||"), _) => {
            collect_parts(&joined["lexpr"], parts);
            collect_parts(&joined["rexpr"], parts);
        }
        (_, Some(&"concat")) => arguments.iter().for_each(|part| collect_parts(part, parts)),
        (_, Some(&("lower" | "upper" | "like_escape" | "similar_to_escape"))) => {
            arguments
                .iter()
                .take(1)
                .for_each(|part| collect_parts(part, parts));
        }
        _ => parts.push(node),
    }
}

fn begins_with_wildcard(pattern: &Value) -> bool {
    let mut parts = Vec::new();
    collect_parts(pattern, &mut parts);
    let first = parts
        .first()
        .and_then(|first| first.pointer("/AConst/val/Sval/sval")?.as_str());
    let is_wildcard = |c: char| matches!(c, '%' | '_');
    first.is_some_and(|first| {
        first.starts_with(is_wildcard) && (parts.len() > 1 || !first.chars().all(is_wildcard))
    })
}

/// Whether the first part of a normalised pattern was a constant: the number of a later one is lower.
fn begins_with_constant(pattern: &Value) -> bool {
    let mut parts = Vec::new();
    collect_parts(pattern, &mut parts);
    let number = |part: &&Value| part["ParamRef"]["number"].as_i64();
    let first = parts.first().and_then(number);
    let least = parts.iter().skip(1).filter_map(number).min();
    first.zip(least).is_some_and(|(first, least)| least < first)
}

/// A table as FROM or a command names it.
struct Relation<'a> {
    schema: &'a str,
    name: &'a str,
    alias: Option<&'a str>,
}

/// What a statement reads and writes.
#[derive(Default)]
struct Relations<'a> {
    tables: Vec<Relation<'a>>,
    /// Names that WITH gives.
    given: BTreeSet<&'a str>,
}

impl<'a> Relations<'a> {
    fn collect(&mut self, tree: &'a Value) {
        match tree {
            Value::Object(fields) => {
                if let Some(name) = tree["relname"].as_str() {
                    self.tables.push(Relation {
                        schema: tree["schemaname"].as_str().unwrap_or_default(),
                        name,
                        alias: tree["alias"]["aliasname"].as_str(),
                    });
                }
                self.given.extend(tree["ctename"].as_str());
                fields.values().for_each(|value| self.collect(value));
            }
            Value::Array(values) => values.iter().for_each(|value| self.collect(value)),
            _ => {}
        }
    }

    /// The table of a column of that name, if only one can be meant.
    fn named(&self, parts: &[&str]) -> Option<TableName> {
        let is_meant = |table: &&Relation<'_>| match parts {
            [_] => true,
            [qualifier, _] => table.alias.unwrap_or(table.name) == *qualifier,
            [schema, name, _] => table.alias.is_none() && (table.schema, table.name) == (*schema, *name),
            _ => false,
        };
        let meant = self.tables.iter().filter(is_meant);
        let names: BTreeSet<(&str, &str)> = meant.map(|table| (table.schema, table.name)).collect();
        let mut names = names.into_iter();
        let ((schema, name), None) = (names.next()?, names.next()) else {
            return None;
        };
        match schema {
            "" if self.given.contains(name) => None,
            "" => Some((None, name.to_owned())),
            schema => Some((Some(schema.to_owned()), name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_begin_with_a_wildcard_as_they_are_sent() {
        for (condition, expected) in [
            ("a LIKE '%x'", true),
            ("a like '_x%'", true),
            ("a ILIKE '%x%'", true),
            ("a ~~ '%x'", true),
            ("a OPERATOR(pg_catalog.~~*) '%x'", true),
            ("a SIMILAR TO '%(x|y)'", true),
            ("a LIKE '%x!%' ESCAPE '!'", true),
            ("a LIKE ANY (ARRAY['x%', '%y']::text[])", true),
            ("lower(a) LIKE lower('%X')", true),
            ("a LIKE '%' || b || '%'", true),
            ("a LIKE concat('%', $1, '%')", true),
            ("b IN (SELECT c FROM u WHERE d LIKE '%x'::text)", true),
            ("a LIKE 'x%' COLLATE \"C\"", false),
            ("a LIKE 'x%'", false),
            ("a LIKE b || '%x'", false),
            ("a LIKE $1", false),
            ("a = '%x'", false),
            ("a ~ '%x'", false),
            ("a NOT LIKE '%x'", false),
            ("NOT (a ILIKE '%x')", false),
            ("a LIKE '%'", false),
            ("a LIKE '%%'", false),
            ("'%like%' = a", false),
        ] {
            assert_eq!(
                has_leading_wildcard(&format!("SELECT 1 FROM t WHERE {condition}")),
                expected,
                "{condition}"
            );
        }
        assert!(has_leading_wildcard("DELETE FROM t WHERE a LIKE '%x'"));
        assert!(!has_leading_wildcard("SELECT 1 FROM t WHERE a LIKE '%x"));
        let long = format!(
            "SELECT 1 FROM t WHERE a LIKE '%{}'",
            "x".repeat(crate::limits::STATEMENT_PARSE_BYTES)
        );
        assert!(!has_leading_wildcard(&long), "too long to be parsed");
    }

    #[test]
    fn patterns_behind_what_was_a_constant() {
        for (condition, expected) in [
            ("a LIKE $2 || $1", Some("a")),
            ("t.a ILIKE $3 || $1 || $4", Some("t.a")),
            ("lower(a) LIKE concat($2, $1::text, $3)", Some("a")),
            ("b = $1 AND a LIKE $3 || $2", Some("a")),
            ("a LIKE $1 || $2", None),
            ("a LIKE $1", None),
            ("a LIKE $2 || b", None),
            ("a = $2 || $1", None),
            ("a NOT LIKE $2 || $1", None),
            ("a || b LIKE $2 || $1", None),
        ] {
            let text = format!("SELECT 1 FROM t WHERE {condition}");
            assert_eq!(
                searches_behind_constant(&text).as_deref(),
                expected,
                "{condition}"
            );
        }
    }

    #[test]
    fn the_table_and_the_column_of_a_search() {
        let searched = |text: &str| {
            let told = |one: Searched| {
                let table = one
                    .table
                    .map(|(schema, name)| [schema.unwrap_or_default(), name].join("."));
                format!("{}:{}:{}", table.unwrap_or("?".into()), one.column, one.is_plain)
            };
            searched_columns(text)
                .into_iter()
                .map(told)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            searched("SELECT 1 FROM notes WHERE body LIKE $1"),
            ".notes:body:true"
        );
        assert_eq!(
            searched("SELECT 1 FROM s.notes n WHERE n.body ILIKE $1"),
            "s.notes:body:true"
        );
        assert_eq!(
            searched(
                "SELECT 1 FROM notes n JOIN users u ON u.id = n.by WHERE u.name LIKE $1 OR n.body LIKE $2"
            ),
            ".users:name:true .notes:body:true"
        );
        assert_eq!(
            searched("SELECT 1 FROM notes, users WHERE name LIKE $1"),
            "?:name:true",
            "a column of either"
        );
        assert_eq!(
            searched("SELECT 1 FROM a.t WHERE a.t.x LIKE $1 OR upper(a.t.x::text) LIKE $2"),
            "a.t:x:false",
            "once, and not always as it is"
        );
        assert_eq!(
            searched("WITH n AS (SELECT $1 AS x) SELECT 1 FROM n WHERE x LIKE $2"),
            "?:x:true"
        );
        assert_eq!(searched("UPDATE t SET a = $1 WHERE b LIKE $2"), ".t:b:true");
        assert_eq!(searched("SELECT like_count FROM t"), "");
        assert_eq!(searched("not SQL: like"), "");
    }

    #[test]
    fn the_letter_case_in_which_a_column_is_searched() {
        let searched = |condition: &str| {
            let text = format!("SELECT 1 FROM notes WHERE {condition}");
            searched_columns(&text).remove(0).letter_case
        };
        assert_eq!(searched("lower(body) LIKE $1"), Some("lower"));
        assert_eq!(searched("pg_catalog.upper(notes.body) LIKE $1"), Some("upper"));
        assert_eq!(
            searched("lower(body) LIKE $1 OR lower(body) LIKE $2"),
            Some("lower")
        );
        for other in [
            "body LIKE $1",
            "app.lower(body) LIKE $1",
            "lower(body::text) LIKE $1",
            "unaccent(body) LIKE $1",
            "lower(body) LIKE $1 OR body LIKE $2",
            "lower(body) LIKE $1 OR upper(body) LIKE $2",
        ] {
            assert_eq!(searched(other), None, "{other}");
        }
    }

    #[test]
    fn pages_by_offset() {
        for (tail, expected) in [
            ("LIMIT $1 OFFSET $2", true),
            ("LIMIT 10 OFFSET 100", true),
            ("OFFSET $1 ROWS FETCH NEXT $2 ROWS ONLY", true),
            ("LIMIT $1 OFFSET ($2 - 1) * $3", true),
            ("LIMIT $1", false),
            ("LIMIT 10 OFFSET 0", false),
            ("LIMIT ALL OFFSET $1", false),
            ("OFFSET $1", false),
        ] {
            assert_eq!(
                offset_of(&format!("SELECT a FROM t ORDER BY a {tail}")),
                expected,
                "{tail}"
            );
        }
        assert!(!offset_of(
            "SELECT \"offset\" FROM (SELECT a FROM t LIMIT $1 OFFSET $2) x"
        ));
        assert!(!offset_of("UPDATE t SET \"offset\" = $1"));
    }

    #[test]
    fn counts_of_whole_tables() {
        let counted =
            |text: &str| unfiltered_count(text).map(|(schema, name)| (schema.unwrap_or_default(), name));
        let of = |schema: &str, name: &str| Some((schema.to_owned(), name.to_owned()));
        assert_eq!(counted("SELECT count(*) FROM t"), of("", "t"));
        assert_eq!(counted("select COUNT(*)::int AS n from s.\"T\" x"), of("s", "T"));
        assert_eq!(counted("SELECT count($1) FROM t LIMIT $2"), of("", "t"));
        assert_eq!(counted("SELECT pg_catalog.count(1) FROM ONLY t"), of("", "t"));
        for text in [
            "SELECT count(a) FROM t",
            "SELECT count(DISTINCT $1) FROM t",
            "SELECT count(*) FILTER (WHERE a) FROM t",
            "SELECT count(*) OVER () FROM t",
            "SELECT count(*), $1 FROM t",
            "SELECT count(*) FROM t WHERE a = $1",
            "SELECT count(*) FROM t GROUP BY a",
            "SELECT count(*) FROM t HAVING count(*) > $1",
            "SELECT count(*) FROM t, u",
            "SELECT count(*) FROM t JOIN u ON t.a = u.a",
            "SELECT count(*) FROM (SELECT a FROM t) x",
            "SELECT count(*) FROM t TABLESAMPLE SYSTEM (1)",
            "SELECT count(*) FROM t UNION SELECT count(*) FROM u",
            "SELECT sum(account) FROM t",
            "INSERT INTO counts SELECT count(*) FROM t",
            "SELECT s.count(1) FROM t",
        ] {
            assert_eq!(counted(text), None, "{text}");
        }
    }

    #[test]
    fn lookups_by_a_key() {
        let looked_up = |text: &str| {
            let found = key_lookup(text)?;
            Some(format!(
                "{}.{} {}",
                found.schema.unwrap_or_default(),
                found.table,
                found.columns.join(",")
            ))
        };
        assert_eq!(
            looked_up("SELECT * FROM c WHERE id = $1").as_deref(),
            Some(".c id")
        );
        assert_eq!(
            looked_up(
                "select x.a, upper(x.b) from s.c as x where $1 = x.id and x.k = $2::int order by x.a limit $3"
            )
            .as_deref(),
            Some("s.c id,k")
        );
        for text in [
            "SELECT * FROM c",
            "SELECT * FROM c WHERE id = $1 OR id = $2",
            "SELECT * FROM c WHERE id > $1",
            "SELECT * FROM c WHERE id = ANY ($1)",
            "SELECT * FROM c WHERE id IN ($1, $2)",
            "SELECT * FROM c WHERE lower(id) = $1",
            "SELECT * FROM c WHERE a = b AND id = $1",
            "SELECT * FROM c, d WHERE id = $1",
            "SELECT count(*) FROM c WHERE id = $1",
            "SELECT coalesce(max(a), $2) FROM c WHERE id = $1",
            "SELECT (SELECT max(a) FROM d) FROM c WHERE id = $1",
            "SELECT a FROM c WHERE id = $1 GROUP BY a",
            "SELECT DISTINCT a FROM c WHERE id = $1",
            "SELECT a FROM c WHERE id = $1 UNION SELECT a FROM d WHERE id = $1",
            "SELECT a FROM c WHERE id = $1 FOR UPDATE",
            "UPDATE c SET a = $2 WHERE id = $1",
        ] {
            assert_eq!(looked_up(text), None, "{text}");
        }
    }

    #[test]
    fn what_returns_rows_to_its_sender() {
        for (text, expected) in [
            ("SELECT a FROM t", true),
            ("WITH x AS (SELECT a FROM t) SELECT a FROM x", true),
            ("/* a */ /* b */ select a, … long…", true),
            ("INSERT INTO t SELECT a FROM u", false),
            ("INSERT INTO t SELECT a FROM u…", false),
            ("SELECT a INTO v FROM t", false),
            ("COPY t TO STDOUT", false),
            ("FETCH ALL FROM c", false),
            ("", false),
        ] {
            assert_eq!(is_select(text), expected, "{text}");
        }
    }
}
