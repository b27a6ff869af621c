//! A query that groups, taken apart: a view that holds its groups for all values of its parameters, and the query that reads
//! the view for particular ones.
//!
//! Leaving a condition out and asking it of the groups instead gives the same only where every group lies wholly within it
//! or without: where it compares what the query groups by anyway, or asks for one value of a column, which then becomes one
//! more column to group by.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::protobuf::{LimitOption, ParseResult, SelectStmt, SetOperation};
use pg_query::{Node, NodeEnum};

use self::taken::Taken;
use self::tree::{collect_functions, is_seen_through, qualify, tables_of};
use super::expression::deparsed;
use super::parse_one;
use super::twin::parameters;
use super::unique::is_aggregate;
use crate::model::remedy::quote_identifier;

mod taken;
mod tree;

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
/// A unique index takes no more.
const KEYS: usize = 32;
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
            "SELECT day, avg FROM v WHERE city = $1 AND day >= $2 ORDER BY day",
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
