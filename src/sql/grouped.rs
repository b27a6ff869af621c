//! A query that groups, taken apart: a view that holds its groups for all values of its parameters, and the query that reads
//! the view for particular ones.
//!
//! Leaving a condition out and asking it of the groups instead gives the same only where every group lies wholly within it
//! or without: where it compares what the query groups by anyway, or asks for one value of a column, which then becomes one
//! more column to group by.

use pg_query::protobuf::{
    AExprKind, ColumnRef, LimitOption, ParseResult, RangeVar, ResTarget, SelectStmt, SetOperation, SortByDir,
    SortByNulls,
};
use pg_query::{Node, NodeEnum};
use serde_json::Value;

use super::expression::deparsed;
use super::parse_one;
use super::twin::parameters;
use super::unique::is_aggregate;
use crate::model::remedy::quote_identifier;

/// A grouping query as a view and what reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupedView {
    /// The query of the view; its tables are named with their schemas.
    pub definition: String,
    /// Columns that are unique together.
    pub unique_columns: Vec<String>,
    /// The tables that it reads, by schema and name, as they come.
    pub tables: Vec<(String, String)>,
    /// The columns that the statement gives, in its order.
    columns: Vec<String>,
    /// What it asks of the view.
    conditions: Vec<String>,
    order: Vec<String>,
    limit: Option<String>,
    offset: Option<String>,
}

/// Functions that answer otherwise each time.
const CHANGING: [&str; 10] = [
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "clock_timestamp",
    "timeofday",
    "random",
    "nextval",
    "currval",
    "gen_random_uuid",
    "setseed",
];

/// What no view holds, or what is not looked into.
const NOT_SEEN_THROUGH: [&str; 9] = [
    "SubLink",
    "RangeSubselect",
    "RangeFunction",
    "RangeTableSample",
    "RangeTableFunc",
    "JsonTable",
    "SqlvalueFunction",
    "GroupingSet",
    "WindowDef",
];

/// Takes a statement apart; `schema_of` knows the schema of a table that is named without one. None where its groups, kept in
/// a view, would not give the same.
pub fn grouped_view(text: &str, schema_of: &dyn Fn(&str) -> Option<String>) -> Option<GroupedView> {
    let statement = parse_one(text).ok()?;
    let NodeEnum::SelectStmt(mut select) = statement.stmt?.node? else {
        return None;
    };
    let is_plain = select.with_clause.is_none()
        && select.distinct_clause.is_empty()
        && select.window_clause.is_empty()
        && select.locking_clause.is_empty()
        && select.values_lists.is_empty()
        && select.into_clause.is_none()
        && !select.from_clause.is_empty()
        && matches!(select.op(), SetOperation::SetopNone | SetOperation::Undefined)
        && select.limit_option() != LimitOption::WithTies
        && is_seen_through(&serde_json::to_value(&*select).ok()?);
    if !is_plain {
        return None;
    }
    let is_aggregate = |target: &Node| match &target.node {
        Some(NodeEnum::ResTarget(target)) => target.val.as_deref().is_some_and(is_aggregate),
        _ => false,
    };
    if select.group_clause.is_empty() && !select.target_list.iter().all(is_aggregate) {
        return None;
    }
    let mut tables = Vec::new();
    for from in &mut select.from_clause {
        qualify(from, schema_of, &mut tables)?;
    }
    let mut view = Taken::of(&select)?;
    let keys = view.group_keys(&select)?;
    let conditions = view.conditions(&mut select, &keys)?;
    let order = select
        .sort_clause
        .iter()
        .map(|item| view.order(item))
        .collect::<Option<_>>()?;
    let number = |node: &Option<Box<Node>>| match node.as_deref() {
        None => Some(None),
        Some(node) => deparsed(node).map(Some),
    };
    let (limit, offset) = (number(&select.limit_count)?, number(&select.limit_offset)?);
    let unique_columns = match view.keys.is_empty() {
        // one row
        true => vec![view.columns.first()?.clone()],
        false => view.keys.clone(),
    };
    (select.limit_count, select.limit_offset, select.sort_clause) = (None, None, Vec::new());
    select.limit_option = LimitOption::Default as i32;
    select.target_list.clone_from(&view.targets);
    select.group_clause.extend(view.added.iter().cloned());
    if !parameters(&serde_json::to_value(&*select).ok()?).is_empty() {
        return None;
    }
    Some(GroupedView {
        definition: deparse(*select)?,
        unique_columns,
        tables,
        columns: view.columns[..view.given].to_vec(),
        conditions,
        order,
        limit,
        offset,
    })
}

impl GroupedView {
    /// What the statement becomes, with the view's name as a statement has it.
    pub fn reading(&self, view: &str) -> String {
        let columns: Vec<String> = self.columns.iter().map(|name| quote_identifier(name)).collect();
        let part = |word: &str, parts: &[String], between: &str| match parts.is_empty() {
            true => String::new(),
            false => format!(" {word} {}", parts.join(between)),
        };
        let number = |word: &str, number: &Option<String>| part(word, number.as_slice(), "");
        [
            format!("SELECT {} FROM {view}", columns.join(", ")),
            part("WHERE", &self.conditions, " AND "),
            part("ORDER BY", &self.order, ", "),
            number("LIMIT", &self.limit),
            number("OFFSET", &self.offset),
        ]
        .concat()
    }
}

/// The columns of the view.
struct Taken {
    targets: Vec<Node>,
    /// Their expressions, as the parser spells them.
    spelled: Vec<String>,
    columns: Vec<String>,
    /// So many of them are the statement's own.
    given: usize,
    /// Those that it is grouped by.
    keys: Vec<String>,
    /// What it is to be grouped by beside that.
    added: Vec<Node>,
}

impl Taken {
    fn of(select: &SelectStmt) -> Option<Self> {
        let mut taken = Self {
            targets: Vec::new(),
            spelled: Vec::new(),
            columns: Vec::new(),
            given: select.target_list.len(),
            keys: Vec::new(),
            added: Vec::new(),
        };
        for target in &select.target_list {
            let NodeEnum::ResTarget(target) = target.node.as_ref()? else {
                return None;
            };
            taken.add(target.val.as_deref()?, &target.name)?;
        }
        Some(taken)
    }

    /// Adds a column under a name that no other one has.
    fn add(&mut self, expression: &Node, alias: &str) -> Option<usize> {
        let spelled = deparsed(expression)?;
        if spelled.contains('*') && is_star(expression) {
            return None;
        }
        let wanted = match alias {
            "" => name_of(expression),
            alias => alias.to_owned(),
        };
        let is_taken = |name: &String| self.columns.contains(name);
        let numbered = (2..).map(|number| format!("{wanted}_{number}"));
        let name = std::iter::once(wanted.clone())
            .chain(numbered)
            .find(|name| !is_taken(name))?;
        self.targets.push(Node {
            node: Some(NodeEnum::ResTarget(Box::new(ResTarget {
                name: name.clone(),
                val: Some(Box::new(expression.clone())),
                ..ResTarget::default()
            }))),
        });
        self.spelled.push(spelled);
        self.columns.push(name);
        Some(self.columns.len() - 1)
    }

    fn position(&self, spelled: &str) -> Option<usize> {
        self.spelled.iter().position(|one| one == spelled)
    }

    /// Which of the statement's columns a name or a number means.
    fn named(&self, expression: &Node) -> Option<usize> {
        if let Some(number) = whole_number(expression) {
            return number.checked_sub(1).filter(|position| *position < self.given);
        }
        let spelled = deparsed(expression)?;
        let by_name = || {
            let name = bare_column(expression)?;
            self.columns[..self.given]
                .iter()
                .position(|column| *column == name)
        };
        self.position(&spelled).or_else(by_name)
    }

    /// What is grouped by, as the parser spells it, each a column of the view.
    fn group_keys(&mut self, select: &SelectStmt) -> Option<Vec<String>> {
        let mut keys = Vec::new();
        for key in &select.group_clause {
            let position = match self.named(key) {
                Some(position) => position,
                None => self.add(key, "")?,
            };
            keys.push(self.spelled[position].clone());
            self.keys.push(self.columns[position].clone());
        }
        self.keys.dedup();
        Some(keys)
    }

    /// Takes the conditions with parameters out of the query; what they become for the view.
    fn conditions(&mut self, select: &mut SelectStmt, keys: &[String]) -> Option<Vec<String>> {
        let is_grouped = !select.group_clause.is_empty();
        let (kept, asked): (Vec<Node>, Vec<Node>) = select
            .where_clause
            .take()
            .map(|all| conjuncts(*all))
            .unwrap_or_default()
            .into_iter()
            .partition(|one| !has_parameters(one));
        select.where_clause = together(kept);
        let mut conditions = Vec::new();
        for mut condition in asked {
            // without groups no row at all would be another answer than one that counts nothing
            if !is_grouped {
                return None;
            }
            let NodeEnum::AExpr(compared) = condition.node.as_mut()? else {
                return None;
            };
            let (is_point, is_range) = match compared.kind() {
                AExprKind::AexprOp => (operator(&compared.name) == "=", true),
                AExprKind::AexprIn | AExprKind::AexprOpAny | AExprKind::AexprBetween => (false, true),
                _ => return None,
            };
            let sides = (compared.lexpr.as_deref()?, compared.rexpr.as_deref()?);
            let is_left = match (has_columns(sides.0), has_columns(sides.1)) {
                (true, false) => true,
                (false, true) => false,
                _ => return None,
            };
            let side = if is_left { sides.0 } else { sides.1 };
            if has_parameters(side) {
                return None;
            }
            let spelled = deparsed(side)?;
            let position = match self.position(&spelled).filter(|_| keys.contains(&spelled)) {
                Some(position) if is_range => position,
                None if is_point && matches!(side.node, Some(NodeEnum::ColumnRef(_))) => {
                    let position = self.add(side, "")?;
                    self.added.push(side.clone());
                    self.keys.push(self.columns[position].clone());
                    position
                }
                _ => return None,
            };
            let column = Box::new(column(&self.columns[position]));
            match is_left {
                true => compared.lexpr = Some(column),
                false => compared.rexpr = Some(column),
            }
            conditions.push(deparsed(&condition)?);
        }
        Some(conditions)
    }

    /// ORDER BY of a column of the view.
    fn order(&self, item: &Node) -> Option<String> {
        let NodeEnum::SortBy(sort) = item.node.as_ref()? else {
            return None;
        };
        let position = self.named(sort.node.as_deref()?)?;
        let direction = match sort.sortby_dir() {
            SortByDir::SortbyDesc => " DESC",
            SortByDir::SortbyUsing => return None,
            _ => "",
        };
        let nulls = match sort.sortby_nulls() {
            SortByNulls::SortbyNullsFirst => " NULLS FIRST",
            SortByNulls::SortbyNullsLast => " NULLS LAST",
            _ => "",
        };
        Some(format!(
            "{}{direction}{nulls}",
            quote_identifier(&self.columns[position])
        ))
    }
}

/// Whether everything in it is what it seems, and answers the same each time.
fn is_seen_through(tree: &Value) -> bool {
    match tree {
        Value::Object(fields) => fields.iter().all(|(kind, value)| {
            let changes = kind == "FuncCall"
                && value["funcname"].as_array().is_some_and(|parts| {
                    let name = parts
                        .last()
                        .and_then(|part| part["node"]["String"]["sval"].as_str());
                    name.is_some_and(|name| CHANGING.contains(&name))
                });
            let is_window = kind == "over" && !value.is_null();
            !changes && !is_window && !NOT_SEEN_THROUGH.contains(&kind.as_str()) && is_seen_through(value)
        }),
        Value::Array(values) => values.iter().all(is_seen_through),
        _ => true,
    }
}

/// Names tables with their schemas.
fn qualify(
    from: &mut Node,
    schema_of: &dyn Fn(&str) -> Option<String>,
    tables: &mut Vec<(String, String)>,
) -> Option<()> {
    match from.node.as_mut()? {
        NodeEnum::RangeVar(table) => qualify_table(table, schema_of, tables),
        NodeEnum::JoinExpr(join) => {
            let no_parameters = join.quals.as_deref().is_none_or(|quals| !has_parameters(quals));
            let (left, right) = (join.larg.as_mut()?, join.rarg.as_mut()?);
            qualify(left, schema_of, tables)?;
            qualify(right, schema_of, tables)?;
            no_parameters.then_some(())
        }
        _ => None,
    }
}

fn qualify_table(
    table: &mut RangeVar,
    schema_of: &dyn Fn(&str) -> Option<String>,
    tables: &mut Vec<(String, String)>,
) -> Option<()> {
    if table.schemaname.is_empty() {
        table.schemaname = schema_of(&table.relname)?;
    }
    // qualified columns go on to mean it
    tables.push((table.schemaname.clone(), table.relname.clone()));
    Some(())
}

/// What PostgreSQL would call a column of the result, or something like it.
fn name_of(expression: &Node) -> String {
    let last = |parts: &[Node]| match parts.last().and_then(|part| part.node.as_ref()) {
        Some(NodeEnum::String(part)) => Some(part.sval.clone()),
        _ => None,
    };
    let name = match &expression.node {
        Some(NodeEnum::ColumnRef(column)) => last(&column.fields),
        Some(NodeEnum::FuncCall(call)) => last(&call.funcname),
        Some(NodeEnum::TypeCast(cast)) => cast.arg.as_deref().map(name_of),
        _ => None,
    };
    name.unwrap_or_else(|| "column".to_owned())
}

fn is_star(expression: &Node) -> bool {
    let Some(NodeEnum::ColumnRef(column)) = &expression.node else {
        return false;
    };
    let is_star = |field: &Node| matches!(field.node, Some(NodeEnum::AStar(_)));
    column.fields.iter().any(is_star)
}

/// The name of a column that is named without its table.
fn bare_column(expression: &Node) -> Option<String> {
    let Some(NodeEnum::ColumnRef(column)) = &expression.node else {
        return None;
    };
    match &column.fields[..] {
        [field] => match &field.node {
            Some(NodeEnum::String(name)) => Some(name.sval.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn whole_number(expression: &Node) -> Option<usize> {
    match &expression.node {
        Some(NodeEnum::AConst(constant)) => match &constant.val {
            Some(pg_query::protobuf::a_const::Val::Ival(number)) => usize::try_from(number.ival).ok(),
            _ => None,
        },
        _ => None,
    }
}

fn operator(name: &[Node]) -> &str {
    match name.last().and_then(|part| part.node.as_ref()) {
        Some(NodeEnum::String(part)) => &part.sval,
        _ => "",
    }
}

fn has_parameters(node: &Node) -> bool {
    serde_json::to_value(node).map_or(true, |tree| !parameters(&tree).is_empty())
}

fn has_columns(node: &Node) -> bool {
    fn any(tree: &Value) -> bool {
        match tree {
            Value::Object(fields) => fields
                .iter()
                .any(|(kind, value)| kind == "ColumnRef" || any(value)),
            Value::Array(values) => values.iter().any(any),
            _ => false,
        }
    }
    serde_json::to_value(node).map_or(true, |tree| any(&tree))
}

/// The parts of an AND.
fn conjuncts(node: Node) -> Vec<Node> {
    match node.node {
        Some(NodeEnum::BoolExpr(both)) if both.boolop() == pg_query::protobuf::BoolExprType::AndExpr => {
            both.args.into_iter().flat_map(conjuncts).collect()
        }
        _ => vec![node],
    }
}

fn together(mut parts: Vec<Node>) -> Option<Box<Node>> {
    match parts.len() {
        0 | 1 => parts.pop().map(Box::new),
        _ => Some(Box::new(Node {
            node: Some(NodeEnum::BoolExpr(Box::new(pg_query::protobuf::BoolExpr {
                boolop: pg_query::protobuf::BoolExprType::AndExpr as i32,
                args: parts,
                ..Default::default()
            }))),
        })),
    }
}

fn column(name: &str) -> Node {
    let name = pg_query::protobuf::String {
        sval: name.to_owned(),
    };
    Node {
        node: Some(NodeEnum::ColumnRef(ColumnRef {
            fields: vec![Node {
                node: Some(NodeEnum::String(name)),
            }],
            ..ColumnRef::default()
        })),
    }
}

fn deparse(select: SelectStmt) -> Option<String> {
    let statement = pg_query::protobuf::RawStmt {
        stmt: Some(Box::new(Node {
            node: Some(NodeEnum::SelectStmt(Box::new(select))),
        })),
        ..Default::default()
    };
    let whole = ParseResult {
        stmts: vec![statement],
        ..ParseResult::default()
    };
    let text = pg_query::deparse(&whole, Default::default()).ok()?;
    parse_one(&text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Option<(String, String, String)> {
        let schema_of = |table: &str| (table != "elsewhere").then(|| "app".to_owned());
        let view = grouped_view(text, &schema_of)?;
        Some((
            view.definition.clone(),
            view.unique_columns.join(","),
            view.reading("v"),
        ))
    }

    #[track_caller]
    fn becomes(text: &str, definition: &str, unique: &str, reading: &str) {
        let expected = (definition.to_owned(), unique.to_owned(), reading.to_owned());
        assert_eq!(taken(text), Some(expected), "{text}");
    }

    #[test]
    fn groups_are_kept_for_all_values() {
        becomes(
            "SELECT status, count(*), sum(amount) AS total FROM orders GROUP BY status ORDER BY total DESC LIMIT $1",
            "SELECT status AS status, count(*) AS count, sum(amount) AS total FROM app.orders GROUP BY status",
            "status",
            "SELECT status, count, total FROM v ORDER BY total DESC LIMIT $1",
        );
        becomes(
            "SELECT count(*), count(*) FROM ONLY other.orders o WHERE o.is_open",
            "SELECT count(*) AS count, count(*) AS count_2 FROM ONLY other.orders o WHERE o.is_open",
            "count",
            "SELECT count, count_2 FROM v",
        );
        // one value of a column, and a range of what it is grouped by
        becomes(
            "SELECT o.day, avg(o.amount) FROM orders o JOIN shops s ON s.id = o.shop WHERE s.city = $1 AND o.day >= $2 AND o.x > 0 \
             GROUP BY 1 ORDER BY 1",
            "SELECT o.day AS day, avg(o.amount) AS avg, s.city AS city FROM app.orders o JOIN app.shops s ON s.id = o.shop \
             WHERE o.x > 0 GROUP BY 1, s.city",
            "day,city",
            "SELECT \"day\", avg FROM v WHERE city = $1 AND day >= $2 ORDER BY \"day\"",
        );
        becomes(
            "SELECT sum(a) FROM t WHERE b IN ($1, $2) AND $3 = c GROUP BY b",
            "SELECT sum(a) AS sum, b AS b, c AS c FROM app.t GROUP BY b, c",
            "b,c",
            "SELECT sum FROM v WHERE b IN ($1, $2) AND $3 = c",
        );
    }

    #[test]
    fn what_would_not_be_the_same_is_left_alone() {
        for text in [
            // a range cuts through the groups
            "SELECT a, count(*) FROM t WHERE made > $1 GROUP BY a",
            "SELECT a, count(*) FROM t WHERE b IN ($1, $2) GROUP BY a",
            "SELECT a, count(*) FROM t WHERE b <> $1 GROUP BY a",
            "SELECT a, count(*) FROM t WHERE b = $1 OR c = 1 GROUP BY a",
            // no row is not a row that counts nothing
            "SELECT count(*) FROM t WHERE b = $1",
            // other values give other groups or other sums
            "SELECT date_trunc($1, made), count(*) FROM t GROUP BY 1",
            "SELECT a, sum(b * $1) FROM t GROUP BY a",
            "SELECT a, count(*) FROM t GROUP BY a HAVING count(*) > $1",
            "SELECT a, count(*) FROM t JOIN u ON t.id = u.id AND u.b = $1 GROUP BY a",
            // it changes by itself
            "SELECT a, count(*) FROM t WHERE made > now() - interval '1 day' GROUP BY a",
            "SELECT a, count(*) FROM t WHERE made = current_date GROUP BY a",
            // not seen through, or no groups at all
            "SELECT a, count(*) FROM elsewhere GROUP BY a",
            "SELECT a, count(*) FROM (SELECT a FROM t LIMIT 5) AS s GROUP BY a",
            "SELECT a, count(*) FROM t WHERE b IN (SELECT b FROM u) GROUP BY a",
            "SELECT a, count(*) FROM t GROUP BY ROLLUP (a)",
            "SELECT a, count(*) FROM t GROUP BY a FOR UPDATE",
            "SELECT * FROM t",
            "SELECT a FROM t",
            "SELECT a, rank() OVER (ORDER BY count(*)) FROM t GROUP BY a",
            "UPDATE t SET a = 1",
            "not SQL",
        ] {
            assert_eq!(taken(text), None, "{text}");
        }
    }
}
