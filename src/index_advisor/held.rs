//! What an index holds of a key or of a column that it carries along, as far as statistics and types tell: how wide its values are,
//! how many there are, and how many rows have none. Of an expression there are no statistics before it is indexed: it has at
//! most as many values as what it is computed of, and its type tells how wide they are.

use super::clauses::Key;
use super::tables::Table;
use crate::model::remedy::quote_identifier;
use crate::sql::computed::{Computed, computed};
use crate::sql::expression::bare_columns;

/// Text that is a part of something, as wide as PostgreSQL's planner takes text to be of which it knows nothing.
const PIECE: f64 = 32.0;
/// What `md5` gives.
const HASH: f64 = 33.0;
/// What HypoPG takes any expression for that it does not know.
const HYPOPG_EXPRESSION: f64 = 50.0;

/// What an index holds in one place of its rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    /// Bytes of a value on average.
    pub width_bytes: f64,
    /// To what multiple of bytes it is moved.
    pub multiple: f64,
    /// Bytes of a value as HypoPG reckons.
    pub hypothetical_bytes: f64,
    /// It has at most so many values.
    pub values: Option<f64>,
    /// The part of the rows, 0 to 1, that have none.
    pub null_ratio: f64,
    /// Whether equal values look alike, so that one stands for all.
    pub is_stored_once: bool,
}

/// Bytes of a value of fixed length, and to what multiple it is moved.
fn fixed(type_name: &str) -> Option<(f64, f64)> {
    Some(match type_name {
        "bool" | "char" => (1.0, 1.0),
        "int2" => (2.0, 2.0),
        "int4" | "oid" | "date" | "float4" => (4.0, 4.0),
        "int8" | "float8" | "timestamp" | "timestamptz" | "time" => (8.0, 8.0),
        "uuid" => (16.0, 1.0),
        _ => return None,
    })
}

/// Whether equal values look alike: not so numbers that may be written in several ways.
fn is_stored_once(type_name: &str) -> bool {
    match type_name {
        "float4" | "float8" => false,
        "text" | "varchar" | "bpchar" | "bytea" => true,
        _ => fixed(type_name).is_some(),
    }
}

/// Columns that a predicate lets in with a value alone. Of what it asks otherwise, nothing is known of NULLs but what holds in
/// the whole table.
pub(super) fn with_values(predicate: &str) -> Vec<String> {
    let mut names = bare_columns(predicate);
    names.retain(|name| !predicate.contains(&format!("{} IS NULL", quote_identifier(name))));
    names
}

impl Held {
    /// Of a key, in rows that all have a value in these columns; `None` where too little is known.
    pub(super) fn of(key: &Key, table: &Table, never_null: &[String]) -> Option<Self> {
        match key {
            Key::Column(name) => Self::of_column(name, table, never_null),
            Key::Expression(text) => {
                let part = computed(text);
                let type_name = type_of(&part, table)?;
                let width_bytes = width_of(&part, &type_name, key, table)?;
                let names = table.columns_of(key);
                let values = names.iter().map(|name| table.columns.get(name)?.values);
                Some(Self {
                    hypothetical_bytes: hypothetical(&part, table),
                    values: values.product::<Option<f64>>().filter(|_| !names.is_empty()),
                    null_ratio: null_ratio(&part, table, never_null),
                    ..Self::typed(&type_name, width_bytes)
                })
            }
        }
    }

    /// The same of a column as it is.
    pub(super) fn of_column(name: &str, table: &Table, never_null: &[String]) -> Option<Self> {
        let column = table.columns.get(name)?;
        let width_bytes = column.width_bytes?;
        Some(Self {
            hypothetical_bytes: width_bytes,
            values: column.values,
            null_ratio: null_ratio(&Computed::Column(name.to_owned()), table, never_null),
            ..Self::typed(&column.type_name, width_bytes)
        })
    }

    /// Values of a type, as wide as this where they differ.
    fn typed(type_name: &str, width_bytes: f64) -> Self {
        // a length of one byte goes before short values, which need not be moved
        let varying = (width_bytes, if width_bytes < 127.0 { 1.0 } else { 4.0 });
        let (width_bytes, multiple) = fixed(type_name).unwrap_or(varying);
        Self {
            width_bytes,
            multiple,
            hypothetical_bytes: width_bytes,
            values: None,
            null_ratio: 0.0,
            is_stored_once: is_stored_once(type_name),
        }
    }
}

/// The part of the rows for which an expression gives nothing: nearly all do where they are given nothing.
fn null_ratio(part: &Computed, table: &Table, never_null: &[String]) -> f64 {
    match part {
        Computed::Column(name) if never_null.contains(name) => 0.0,
        Computed::Column(name) => {
            let known = table.columns.get(name).and_then(|column| column.null_ratio);
            known.unwrap_or(0.0).clamp(0.0, 1.0)
        }
        Computed::Cast(_, of) => null_ratio(of, table, never_null),
        Computed::Function(name, _) if name == "concat" => 0.0,
        Computed::Function(_, parts) | Computed::Operator(_, parts) => {
            let given = parts.iter().map(|part| 1.0 - null_ratio(part, table, never_null));
            1.0 - given.product::<f64>()
        }
        Computed::Literal(_) | Computed::AsParts(_) | Computed::Truth(_) | Computed::Unknown => 0.0,
    }
}

/// The type of what an expression gives, where that is plain.
fn type_of(part: &Computed, table: &Table) -> Option<String> {
    let types = |parts: &[Computed]| parts.iter().map(|part| type_of(part, table)).collect::<Vec<_>>();
    match part {
        Computed::Column(name) => Some(table.columns.get(name)?.type_name.clone()),
        Computed::Literal(type_name) => type_name.clone(),
        Computed::Cast(type_name, _) => Some(type_name.clone()),
        Computed::AsParts(parts) => parts.iter().find_map(|part| type_of(part, table)),
        Computed::Truth(_) => Some("bool".to_owned()),
        Computed::Function(name, parts) => given_by_function(name, &types(parts)).map(str::to_owned),
        Computed::Operator(name, parts) => given_by_operator(name, &types(parts)).map(str::to_owned),
        Computed::Unknown => None,
    }
}

/// What the common functions of PostgreSQL give.
fn given_by_function<'a>(name: &str, arguments: &'a [Option<String>]) -> Option<&'a str> {
    let argument = |position: usize| arguments.get(position)?.as_deref();
    match name {
        "lower" | "upper" => match argument(0)? {
            "tstzrange" => Some("timestamptz"),
            "tsrange" => Some("timestamp"),
            "daterange" => Some("date"),
            "int4range" => Some("int4"),
            "int8range" => Some("int8"),
            "text" | "varchar" | "bpchar" | "citext" | "name" => Some("text"),
            _ => None,
        },
        "btrim" | "ltrim" | "rtrim" | "initcap" | "replace" | "concat" | "md5" => Some("text"),
        "left" | "right" | "substr" | "substring" | "split_part" => Some("text"),
        "length" | "char_length" | "strpos" => Some("int4"),
        "date" => Some("date"),
        "date_trunc" => match argument(1)? {
            "timestamp" => Some("timestamp"),
            "timestamptz" | "date" => Some("timestamptz"),
            _ => None,
        },
        "timezone" => match argument(1)? {
            "timestamptz" => Some("timestamp"),
            "timestamp" => Some("timestamptz"),
            _ => None,
        },
        // the former gives numeric, which is about as wide here, and is not stored once either
        "extract" | "date_part" => Some("float8"),
        "abs" => argument(0),
        _ => None,
    }
}

fn given_by_operator<'a>(name: &str, arguments: &'a [Option<String>]) -> Option<&'a str> {
    match name {
        "->>" | "#>>" => Some("text"),
        "=" | "<>" | "<" | ">" | "<=" | ">=" | "~~" => Some("bool"),
        "||" => arguments
            .iter()
            .find_map(Option::as_deref)
            .filter(|name| is_text(name)),
        _ => None,
    }
}

fn is_text(type_name: &str) -> bool {
    matches!(type_name, "text" | "varchar" | "bpchar")
}

/// Bytes of what an expression gives, on average.
fn width_of(part: &Computed, type_name: &str, key: &Key, table: &Table) -> Option<f64> {
    if let Some((bytes, _)) = fixed(type_name) {
        return Some(bytes);
    }
    // how long a number or a time is when it is written, nothing tells
    let names = table.columns_of(key);
    let mut columns = names.iter().filter_map(|name| table.columns.get(name));
    let is_written = columns.any(|column| fixed(&column.type_name).is_some());
    if !is_text(type_name) || is_written || names.is_empty() {
        return None;
    }
    let all = table.width_of(key)?;
    Some(match part {
        Computed::Function(name, _) if name == "md5" => HASH,
        _ if is_as_long(part) => all,
        _ => all.min(PIECE),
    })
}

/// Whether text is about as long as all that it is made of.
fn is_as_long(part: &Computed) -> bool {
    match part {
        Computed::Column(_) | Computed::Literal(_) => true,
        Computed::Cast(_, of) => is_as_long(of),
        Computed::Function(name, parts) => {
            let keeps = [
                "lower", "upper", "initcap", "btrim", "ltrim", "rtrim", "replace", "concat",
            ];
            keeps.contains(&name.as_str()) && parts.iter().all(is_as_long)
        }
        Computed::Operator(name, parts) => name == "||" && parts.iter().all(is_as_long),
        Computed::AsParts(parts) => parts.iter().all(is_as_long),
        Computed::Truth(_) | Computed::Unknown => false,
    }
}

/// Bytes that HypoPG takes the values of an expression for.
fn hypothetical(part: &Computed, table: &Table) -> f64 {
    let Computed::Function(name, parts) = part else {
        return HYPOPG_EXPRESSION;
    };
    let known = match (name.as_str(), &parts[..]) {
        ("md5", _) => Some(32.0),
        ("lower" | "upper", [Computed::Column(name)]) => {
            let column = table
                .columns
                .get(name)
                .filter(|column| column.type_name == "text");
            column.and_then(|column| column.width_bytes)
        }
        _ => None,
    };
    known.unwrap_or(HYPOPG_EXPRESSION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::tables::Column;
    use crate::index_advisor::tables::tests::table_of;

    fn table() -> Table {
        let column = |type_name: &str, width: f64, values: f64, null_ratio: f64| Column {
            type_name: type_name.into(),
            width_bytes: Some(width),
            values: Some(values),
            null_ratio: Some(null_ratio),
            ..Column::default()
        };
        table_of(
            1e5,
            [
                ("slot", column("tstzrange", 22.0, 1e5, 0.0)),
                ("at", column("timestamptz", 8.0, 5e4, 0.5)),
                ("code", column("bpchar", 5.0, 20.0, 0.0)),
                ("mail", column("citext", 24.0, 1e5, 0.1)),
                ("address", column("jsonb", 210.0, 1e5, 0.0)),
                ("n", column("int4", 4.0, 7.0, 0.0)),
            ],
        )
    }

    fn held(text: &str) -> Option<Held> {
        Held::of(&Key::Expression(text.into()), &table(), &[])
    }

    #[test]
    fn the_type_of_an_expression_tells_how_wide_it_is() {
        for (text, width_bytes, values, is_stored_once) in [
            ("lower(slot)", 8.0, 1e5, true),
            (
                "date_trunc('month'::text, (at AT TIME ZONE 'UTC'::text))",
                8.0,
                5e4,
                true,
            ),
            ("EXTRACT(year FROM at)", 8.0, 5e4, false),
            ("(at)::date", 4.0, 5e4, true),
            ("(code)::text", 5.0, 20.0, true),
            ("lower((mail)::text)", 24.0, 1e5, true),
            ("split_part((mail)::text, '@'::text, 2)", 24.0, 1e5, true),
            ("(address ->> 'city'::text)", 32.0, 1e5, true),
            ("(n > 3)", 1.0, 7.0, true),
            ("length((code)::text)", 4.0, 20.0, true),
        ] {
            let held = held(text).unwrap();
            assert_eq!(
                (held.width_bytes, held.values, held.is_stored_once),
                (width_bytes, Some(values), is_stored_once),
                "{text}"
            );
        }
        for text in [
            "CASE WHEN n > 3 THEN 1 END",
            "lower(CASE WHEN n > 3 THEN code END)",
            "own(code)",
            "(n)::text",
            "lower(gone)",
            "((",
        ] {
            assert_eq!(held(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_given_nothing_gives_nothing_mostly() {
        let ratio = |text: &str| held(text).unwrap().null_ratio;
        assert_eq!(ratio("date_trunc('day'::text, at)"), 0.5);
        assert_eq!(ratio("COALESCE(at, at)"), 0.0);
        assert_eq!(ratio("(at IS NULL)"), 0.0);
        let known = |predicate: &str| {
            let never_null = with_values(predicate);
            Held::of(&Key::Column("at".into()), &table(), &never_null)
                .unwrap()
                .null_ratio
        };
        assert_eq!(known("(at IS NOT NULL)"), 0.0);
        assert_eq!(known("(at > '2026-01-01'::date)"), 0.0);
        assert_eq!(known("(at IS NULL)"), 0.5);
        assert_eq!(known("(n = 3)"), 0.5);
    }
}
