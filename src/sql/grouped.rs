//! A query that groups, taken apart: a view that holds its groups for all values of its parameters, and the query that reads
//! the view for particular ones.
//!
//! Leaving a condition out and asking it of the groups instead gives the same only where every group lies wholly within it
//! or without: where it compares what the query groups by anyway, or asks for one value of a column, which then becomes one
//! more column to group by.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::protobuf::{
    AExprKind, ColumnRef, LimitOption, ParseResult, ResTarget, SelectStmt, SetOperation, SortByDir,
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
    /// The columns that the statement gives, in its order, with the names under which it gives them.
    columns: Vec<(String, String)>,
    /// What it asks of the view.
    conditions: Vec<String>,
    order: Vec<String>,
    limit: Option<String>,
    offset: Option<String>,
}

/// A table of a statement, all of whose rows are its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnownTable {
    /// Its schema.
    pub schema: String,
    /// Its columns with their types; a text whose collation takes different texts for equal is `nondeterministic`.
    pub columns: BTreeMap<String, String>,
}

/// Types of which one value is equal to itself alone, whoever compares it, and that a unique index takes.
const KEY_TYPES: [&str; 20] = [
    "bool",
    "int2",
    "int4",
    "int8",
    "numeric",
    "text",
    "varchar",
    "bpchar",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "interval",
    "uuid",
    "inet",
    "cidr",
    "macaddr",
    "bytea",
    "enum",
    "name",
];
/// Types that a cast makes of any number in the same way for everybody.
const NUMBERS: [&str; 6] = ["int2", "int4", "int8", "numeric", "float4", "float8"];
/// Comparisons that hold for all rows of a group or for none.
const COMPARISONS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];
/// Aggregates whose one row a unique index takes.
const SMALL: [&str; 7] = ["count", "sum", "min", "max", "avg", "bool_and", "bool_or"];
/// Aggregates whose results grow with what they are made of.
const GROWING: [&str; 8] = [
    "array_agg",
    "string_agg",
    "json_agg",
    "jsonb_agg",
    "json_object_agg",
    "jsonb_object_agg",
    "xmlagg",
    "range_agg",
];
/// Columns that every table has and no view may.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"];
/// A unique index takes no more.
const KEYS: usize = 32;
/// Of the name of a column: a number behind it must fit.
const COLUMN_BYTES: usize = 55;

/// What no view holds, or what is not looked into.
const NOT_SEEN_THROUGH: [&str; 14] = [
    "AStar",
    "AIndirection",
    "RowExpr",
    "CollateClause",
    "XmlExpr",
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

/// What a statement names.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// Tables, by schema (empty where there is none) and name.
    pub tables: Vec<(String, String)>,
    /// Functions that it calls.
    pub functions: BTreeSet<String>,
}

/// The tables that a statement names and the functions that it calls; none where it is no grouping query that could be a view.
pub fn named_in_grouping(text: &str) -> Option<Named> {
    let select = grouping(text)?;
    let mut tables = Vec::new();
    for from in &select.from_clause {
        tables_of(from, &mut tables)?;
    }
    let mut functions = BTreeSet::new();
    collect_functions(&serde_json::to_value(&*select).ok()?, &mut functions);
    if functions.iter().any(|name| GROWING.contains(&name.as_str())) {
        return None;
    }
    Some(Named { tables, functions })
}

/// A query that groups and of which nothing is hidden.
fn grouping(text: &str) -> Option<Box<SelectStmt>> {
    let statement = parse_one(text).ok()?;
    let NodeEnum::SelectStmt(select) = statement.stmt?.node? else {
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
    is_plain.then_some(select)
}

/// Takes a statement apart; `table` knows what is named by a schema (empty where there is none) and a name. None where its
/// groups, kept in a view, would not give the same. That the functions which it calls always answer the same is for the caller
/// to know ([`named_in_grouping`]).
pub fn grouped_view(text: &str, table: &dyn Fn(&str, &str) -> Option<KnownTable>) -> Option<GroupedView> {
    let mut select = grouping(text)?;
    let is_aggregate = |target: &Node| match &target.node {
        Some(NodeEnum::ResTarget(target)) => target.val.as_deref().is_some_and(is_aggregate),
        _ => false,
    };
    if select.group_clause.is_empty() && !select.target_list.iter().all(is_aggregate) {
        return None;
    }
    let (mut tables, mut columns) = (Vec::new(), BTreeMap::new());
    for from in &mut select.from_clause {
        qualify(from, table, (&mut tables, &mut columns))?;
    }
    let mut view = Taken::of(&select, columns)?;
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
        true => vec![view.small()?],
        false => view.keys.clone(),
    };
    if unique_columns.len() > KEYS {
        return None;
    }
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
        columns: view.given(),
        conditions,
        order,
        limit,
        offset,
    })
}

impl GroupedView {
    /// What the statement becomes, with the view's name as a statement has it.
    pub fn reading(&self, view: &str) -> String {
        let column = |(column, name): &(String, String)| match column == name {
            true => quote_identifier(column),
            false => format!("{} AS {}", quote_identifier(column), quote_identifier(name)),
        };
        let columns: Vec<String> = self.columns.iter().map(column).collect();
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
    /// What PostgreSQL calls the statement's own, which come first.
    names: Vec<String>,
    /// Those that it is grouped by.
    keys: Vec<String>,
    /// What it is to be grouped by beside that.
    added: Vec<Node>,
    /// Columns of its tables, with their types.
    known: BTreeMap<String, BTreeSet<String>>,
}

impl Taken {
    fn of(select: &SelectStmt, known: BTreeMap<String, BTreeSet<String>>) -> Option<Self> {
        let mut taken = Self {
            targets: Vec::new(),
            spelled: Vec::new(),
            columns: Vec::new(),
            names: Vec::new(),
            keys: Vec::new(),
            added: Vec::new(),
            known,
        };
        for target in &select.target_list {
            let NodeEnum::ResTarget(target) = target.node.as_ref()? else {
                return None;
            };
            let expression = target.val.as_deref()?;
            let name = match target.name.as_str() {
                "" => name_of(expression),
                alias => alias.to_owned(),
            };
            taken.add(expression, &name)?;
            taken.names.push(name);
        }
        Some(taken)
    }

    /// Adds a column under a name that no other one has.
    fn add(&mut self, expression: &Node, name: &str) -> Option<usize> {
        let spelled = deparsed(expression)?;
        let wanted = match name {
            "?column?" => "column",
            name => crate::sql::cut(name, COLUMN_BYTES),
        };
        if SYSTEM_COLUMNS.contains(&wanted) {
            return None;
        }
        let is_taken = |name: &String| self.columns.contains(name);
        let numbered = (2..).map(|number| format!("{wanted}_{number}"));
        let name = std::iter::once(wanted.to_owned())
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

    /// The statement's own columns, with what it calls them.
    fn given(&self) -> Vec<(String, String)> {
        self.columns
            .iter()
            .cloned()
            .zip(self.names.iter().cloned())
            .collect()
    }

    fn position(&self, spelled: &str) -> Option<usize> {
        self.spelled.iter().position(|one| one == spelled)
    }

    fn numbered(&self, expression: &Node) -> Option<Option<usize>> {
        let number = whole_number(expression)?;
        Some(
            number
                .checked_sub(1)
                .filter(|position| *position < self.names.len()),
        )
    }

    fn by_name(&self, expression: &Node) -> Option<usize> {
        let name = bare_column(expression)?;
        self.names.iter().position(|one| *one == name)
    }

    /// The statement's column that GROUP BY means: a bare name is a column of a table if there is one.
    fn grouped(&self, expression: &Node) -> Option<usize> {
        if let Some(numbered) = self.numbered(expression) {
            return numbered;
        }
        let is_column = bare_column(expression).is_some_and(|name| self.known.contains_key(&name));
        let by_name = || self.by_name(expression).filter(|_| !is_column);
        self.position(&deparsed(expression)?).or_else(by_name)
    }

    /// The column that ORDER BY means: a bare name is one of the result if there is one.
    fn ordered(&self, expression: &Node) -> Option<usize> {
        if let Some(numbered) = self.numbered(expression) {
            return numbered;
        }
        let spelled = deparsed(expression)?;
        self.by_name(expression).or_else(|| self.position(&spelled))
    }

    /// What is grouped by, as the parser spells it, each a column of the view.
    fn group_keys(&mut self, select: &SelectStmt) -> Option<Vec<String>> {
        let mut keys = Vec::new();
        for key in &select.group_clause {
            let position = match self.grouped(key) {
                Some(position) => position,
                None if self.numbered(key).is_some() => return None,
                None => self.add(key, &name_of(key))?,
            };
            let target = self.targets[position].clone();
            if let Some(NodeEnum::ResTarget(target)) = &target.node
                && !self.may_be_key(target.val.as_deref()?)
            {
                return None;
            }
            let column = self.columns[position].clone();
            keys.push(self.spelled[position].clone());
            if !self.keys.contains(&column) {
                self.keys.push(column);
            }
        }
        Some(keys)
    }

    /// Whether equal values of a key are one value; of an expression its functions answer for that.
    fn may_be_key(&self, expression: &Node) -> bool {
        let Some(NodeEnum::ColumnRef(column)) = &expression.node else {
            return true;
        };
        let Some(NodeEnum::String(name)) = column.fields.last().and_then(|field| field.node.as_ref()) else {
            return false;
        };
        let types = self.known.get(&name.sval);
        types.is_some_and(|types| types.iter().all(|one| KEY_TYPES.contains(&one.as_str())))
    }

    /// A column of the one row that a unique index takes.
    fn small(&self) -> Option<String> {
        let is_small = |name: &&String| SMALL.contains(&name.as_str());
        let position = self.targets.iter().position(|target| match &target.node {
            Some(NodeEnum::ResTarget(target)) => {
                let name = target.val.as_deref().map(name_of);
                name.as_ref().is_some_and(|name| is_small(&name))
            }
            _ => false,
        });
        Some(self.columns[position?].clone())
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
            // an operator with a schema is somebody else's
            let operator = operator(&compared.name).filter(|_| compared.name.len() == 1)?;
            let is_point = match compared.kind() {
                AExprKind::AexprOp if COMPARISONS.contains(&operator) => operator == "=",
                AExprKind::AexprIn | AExprKind::AexprOpAny if operator == "=" => false,
                AExprKind::AexprBetween => false,
                _ => return None,
            };
            let sides = (compared.lexpr.as_deref()?, compared.rexpr.as_deref()?);
            let is_left = match (has_columns(sides.0), has_columns(sides.1)) {
                (true, false) => true,
                (false, true) => false,
                _ => return None,
            };
            let side = if is_left { sides.0 } else { sides.1 };
            let other = if is_left { sides.1 } else { sides.0 };
            // a cast compares otherwise than the groups were made
            if has_parameters(side) || contains(other, "TypeCast") || !self.may_be_key(side) {
                return None;
            }
            let spelled = deparsed(side)?;
            let position = match self.position(&spelled).filter(|_| keys.contains(&spelled)) {
                Some(position) => position,
                None if is_point && matches!(side.node, Some(NodeEnum::ColumnRef(_))) => {
                    let position = self.add(side, &name_of(side))?;
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
        let position = self.ordered(sort.node.as_deref()?)?;
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

/// Whether everything in it is what it seems, and answers the same for everybody, but for functions.
fn is_seen_through(tree: &Value) -> bool {
    match tree {
        Value::Object(fields) => fields.iter().all(|(kind, value)| {
            let is_window = kind == "over" && !value.is_null();
            // a text or a date of a time is another one in another zone
            let is_other_cast = kind == "TypeCast"
                && tree_has(value, "ColumnRef")
                && !NUMBERS.contains(&last_name(&value["type_name"]["names"]));
            !is_window
                && !is_other_cast
                && !NOT_SEEN_THROUGH.contains(&kind.as_str())
                && is_seen_through(value)
        }),
        Value::Array(values) => values.iter().all(is_seen_through),
        _ => true,
    }
}

/// The last part of a name.
fn last_name(parts: &Value) -> &str {
    let last = parts.as_array().and_then(|parts| parts.last());
    last.and_then(|part| part["node"]["String"]["sval"].as_str())
        .unwrap_or("")
}

fn collect_functions(tree: &Value, found: &mut BTreeSet<String>) {
    match tree {
        Value::Object(fields) => fields.iter().for_each(|(kind, value)| {
            if kind == "FuncCall" {
                found.insert(last_name(&value["funcname"]).to_owned());
            }
            collect_functions(value, found);
        }),
        Value::Array(values) => values.iter().for_each(|value| collect_functions(value, found)),
        _ => {}
    }
}

fn tables_of(from: &Node, tables: &mut Vec<(String, String)>) -> Option<()> {
    match from.node.as_ref()? {
        NodeEnum::RangeVar(table) => tables.push((table.schemaname.clone(), table.relname.clone())),
        NodeEnum::JoinExpr(join) => {
            tables_of(join.larg.as_deref()?, tables)?;
            tables_of(join.rarg.as_deref()?, tables)?;
        }
        _ => return None,
    }
    Some(())
}

type Columns = BTreeMap<String, BTreeSet<String>>;

/// Names tables with their schemas.
fn qualify(
    from: &mut Node,
    known: &dyn Fn(&str, &str) -> Option<KnownTable>,
    (tables, columns): (&mut Vec<(String, String)>, &mut Columns),
) -> Option<()> {
    match from.node.as_mut()? {
        NodeEnum::RangeVar(table) => {
            let found = known(&table.schemaname, &table.relname)?;
            table.schemaname = found.schema;
            // qualified columns go on to mean it
            tables.push((table.schemaname.clone(), table.relname.clone()));
            for (name, type_name) in found.columns {
                columns.entry(name).or_default().insert(type_name);
            }
            Some(())
        }
        NodeEnum::JoinExpr(join) => {
            let no_parameters = join.quals.as_deref().is_none_or(|quals| !has_parameters(quals));
            let (left, right) = (join.larg.as_mut()?, join.rarg.as_mut()?);
            qualify(left, known, (tables, columns))?;
            qualify(right, known, (tables, columns))?;
            no_parameters.then_some(())
        }
        _ => None,
    }
}

/// What PostgreSQL calls a column of the result (`FigureColname`).
fn name_of(expression: &Node) -> String {
    named(expression).unwrap_or_else(|| "?column?".to_owned())
}

fn named(expression: &Node) -> Option<String> {
    let last = |parts: &[Node]| match parts.last().and_then(|part| part.node.as_ref()) {
        Some(NodeEnum::String(part)) => Some(part.sval.clone()),
        _ => None,
    };
    match expression.node.as_ref()? {
        NodeEnum::ColumnRef(column) => last(&column.fields),
        NodeEnum::FuncCall(call) => last(&call.funcname),
        NodeEnum::TypeCast(cast) => {
            let of_type = || last(&cast.type_name.as_ref()?.names);
            cast.arg.as_deref().and_then(named).or_else(of_type)
        }
        NodeEnum::CaseExpr(_) => Some("case".to_owned()),
        NodeEnum::CoalesceExpr(_) => Some("coalesce".to_owned()),
        NodeEnum::MinMaxExpr(one) => Some(match one.op() {
            pg_query::protobuf::MinMaxOp::IsLeast => "least".to_owned(),
            _ => "greatest".to_owned(),
        }),
        NodeEnum::AExpr(one) if one.kind() == AExprKind::AexprNullif => Some("nullif".to_owned()),
        NodeEnum::AArrayExpr(_) => Some("array".to_owned()),
        _ => None,
    }
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

fn operator(name: &[Node]) -> Option<&str> {
    match name.last().and_then(|part| part.node.as_ref()) {
        Some(NodeEnum::String(part)) => Some(&part.sval),
        _ => None,
    }
}

fn has_parameters(node: &Node) -> bool {
    serde_json::to_value(node).map_or(true, |tree| !parameters(&tree).is_empty())
}

fn has_columns(node: &Node) -> bool {
    contains(node, "ColumnRef")
}

fn contains(node: &Node, kind: &str) -> bool {
    serde_json::to_value(node).map_or(true, |tree| tree_has(&tree, kind))
}

fn tree_has(tree: &Value, kind: &str) -> bool {
    match tree {
        Value::Object(fields) => fields
            .iter()
            .any(|(key, value)| key == kind || tree_has(value, kind)),
        Value::Array(values) => values.iter().any(|value| tree_has(value, kind)),
        _ => false,
    }
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
        let types = [
            ("status", "text"),
            ("region", "int4"),
            ("day", "date"),
            ("city", "text"),
            ("a", "int4"),
            ("b", "int4"),
            ("c", "text"),
            ("x", "int4"),
            ("made", "timestamptz"),
            ("folded", "citext"),
            ("name_ci", "nondeterministic"),
            ("doc", "json"),
            ("amount", "numeric"),
        ];
        let table = |schema: &str, name: &str| {
            (name != "elsewhere").then(|| KnownTable {
                schema: if schema.is_empty() { "app" } else { schema }.to_owned(),
                columns: types
                    .iter()
                    .map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned()))
                    .collect(),
            })
        };
        let functions = named_in_grouping(text)?.functions;
        if functions
            .iter()
            .any(|name| ["now", "date", "age", "unnest"].contains(&name.as_str()))
        {
            return None;
        }
        let view = grouped_view(text, &table)?;
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
            "SELECT count, count_2 AS count FROM v",
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
        // names as PostgreSQL gives them; ORDER BY means the result, GROUP BY a column of the table
        becomes(
            "SELECT b AS kind, count(*) AS b, a + x FROM t GROUP BY b, a + x ORDER BY b DESC LIMIT $1",
            "SELECT b AS kind, count(*) AS b, a + x AS \"column\" FROM app.t GROUP BY b, a + x",
            "kind,column",
            "SELECT kind, b, \"column\" AS \"?column?\" FROM v ORDER BY b DESC LIMIT $1",
        );
        becomes(
            "SELECT c, sum(amount) AS amount FROM t WHERE amount = $1 GROUP BY c ORDER BY amount",
            "SELECT c AS c, sum(amount) AS amount, amount AS amount_2 FROM app.t GROUP BY c, amount",
            "c,amount_2",
            "SELECT c, amount FROM v WHERE amount_2 = $1 ORDER BY amount",
        );
        becomes(
            "SELECT lower(c) AS c, count(*) FROM t GROUP BY c",
            "SELECT lower(c) AS c, count(*) AS count, c AS c_2 FROM app.t GROUP BY c",
            "c_2",
            "SELECT c, count FROM v",
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
            // compared otherwise than the groups were made
            "SELECT c, count(*) FROM t WHERE c = $1 COLLATE ci GROUP BY c",
            "SELECT a, count(*) FROM t WHERE c = $1::char(3) GROUP BY a",
            "SELECT a, count(*) FROM t WHERE folded = $1 GROUP BY a",
            "SELECT name_ci, count(*) FROM t GROUP BY name_ci",
            "SELECT c, count(*) FROM t WHERE c ~ $1 GROUP BY c",
            "SELECT a, count(*) FROM t WHERE a OPERATOR(other.=) $1 GROUP BY a",
            // another one in another session
            "SELECT made::date, count(*) FROM t GROUP BY made::date",
            "SELECT date(made), count(*) FROM t GROUP BY 1",
            "SELECT made::text, count(*) FROM t GROUP BY 1",
            // no view, or no unique index
            "SELECT (a, b), count(*) FROM t GROUP BY a, b",
            "SELECT (t).*, count(*) FROM t GROUP BY a",
            "SELECT tableoid, count(*) FROM t GROUP BY 1",
            "SELECT a, array_agg(b) FROM t GROUP BY a",
            "SELECT a, unnest(ARRAY[1, 2]), count(*) FROM t GROUP BY a",
            "SELECT every(a > 1) FROM t",
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
