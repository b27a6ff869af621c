//! The columns that a text of EXPLAIN names, with the alias of their relation or without.

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, ScanToken, Token};

use super::expression;
use crate::model::remedy::quote_identifier;

/// A column and the alias of its relation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnName {
    /// The alias of the relation in this plan.
    pub alias: String,
    /// The column.
    pub column: String,
}

/// The columns that a text of EXPLAIN names without an alias, as it does in what a node puts out where there is but one
/// relation.
pub fn bare_columns(text: &str) -> Vec<String> {
    // most are one name, which needs no parser
    if !text.is_empty() && quote_identifier(text) == text {
        return vec![text.to_owned()];
    }
    let node = expression(text.trim_start_matches("PARTIAL "));
    node.map_or_else(Vec::new, |node| bare_columns_of(&node))
}

/// The same of what was parsed already.
pub(in crate::sql) fn bare_columns_of(node: &Node) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(tree) = serde_json::to_value(node) {
        collect_bare(&tree, &mut found);
    }
    found
}

fn collect_bare(tree: &serde_json::Value, found: &mut Vec<String>) {
    match tree {
        serde_json::Value::Object(fields) => {
            if let Some(fields) = fields
                .get("ColumnRef")
                .and_then(|column| column["fields"].as_array())
                && let [field] = &fields[..]
                && let Some(name) = field["node"]["String"]["sval"].as_str()
            {
                found.push(name.to_owned());
            }
            fields.values().for_each(|value| collect_bare(value, found));
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect_bare(value, found)),
        _ => {}
    }
}

/// All columns that a text of EXPLAIN names, parsable or not.
pub fn columns(text: &str) -> Vec<ColumnName> {
    let Ok(scan) = pg_query::scan(text) else {
        return Vec::new();
    };
    let part = |token: &ScanToken| {
        let raw = text.get(token.start as usize..token.end as usize)?;
        let name = raw.starts_with('"') || raw.starts_with(|c: char| c.is_alphabetic() || c == '_');
        name.then(|| unquoted(raw))
    };
    let tokens = &scan.tokens;
    let dot = |position: usize| {
        tokens
            .get(position)
            .is_some_and(|token| token.token == Token::Ascii46 as i32)
    };
    let mut found = Vec::new();
    for position in 0..tokens.len() {
        let starts = !dot(position.wrapping_sub(1)) && dot(position + 1) && !dot(position + 3);
        let (Some(alias), true) = (part(&tokens[position]), starts) else {
            continue;
        };
        let is_schema = is_schema(tokens, position);
        if let Some(column) = tokens.get(position + 2).and_then(part).filter(|_| !is_schema) {
            found.push(ColumnName { alias, column });
        }
    }
    found
}

/// Whether a name with a point behind it is the schema of a type, a function, a collation or an operator.
fn is_schema(tokens: &[ScanToken], position: usize) -> bool {
    let is =
        |position: usize, token: Token| tokens.get(position).is_some_and(|one| one.token == token as i32);
    let before = position.wrapping_sub(1);
    let is_operator = is(before, Token::Ascii40) && is(position.wrapping_sub(2), Token::Operator);
    is(position + 3, Token::Ascii40)
        || is(before, Token::Typecast)
        || is(before, Token::Collate)
        || is_operator
}

/// A name as SQL writes it, without its quotes.
pub fn unquoted(name: &str) -> String {
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_owned(),
    }
}

/// The column that a node is, where it is one with an alias.
pub(super) fn column_of(node: &Node) -> Option<ColumnName> {
    let Some(NodeEnum::ColumnRef(reference)) = &node.node else {
        return None;
    };
    let part = |field: &Node| match &field.node {
        Some(NodeEnum::String(part)) => Some(part.sval.clone()),
        _ => None,
    };
    match &reference.fields[..] {
        [alias, column] => Some(ColumnName {
            alias: part(alias)?,
            column: part(column)?,
        }),
        _ => None,
    }
}

/// A text with `alias.` taken off its columns.
pub(super) fn without_alias(text: &str, alias: &str) -> String {
    let Ok(scan) = pg_query::scan(text) else {
        return text.to_owned();
    };
    let mut out = String::new();
    let mut copied = 0;
    for (position, pair) in scan.tokens.windows(2).enumerate() {
        let (start, dot) = (pair[0].start as usize, pair[1].end as usize);
        let is_alias = pair[1].token == Token::Ascii46 as i32
            && unquoted(&text[start..pair[0].end as usize]) == alias
            && !is_schema(&scan.tokens, position);
        if is_alias && start >= copied {
            out.push_str(&text[copied..start]);
            copied = dot;
        }
    }
    out.push_str(&text[copied..]);
    out
}
