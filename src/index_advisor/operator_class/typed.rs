//! Of which type an expression is, as far as its outermost function, operator or cast tells that.

use crate::index_advisor::tables::{Column, Table};
use crate::sql::computed::{Computed, computed};

/// What functions give that are immutable themselves.
const FUNCTIONS: [(&str, &[&str]); 4] = [
    (
        "text",
        &[
            "lower",
            "upper",
            "initcap",
            "btrim",
            "ltrim",
            "rtrim",
            "left",
            "right",
            "replace",
            "regexp_replace",
            "translate",
            "substring",
            "substr",
            "split_part",
            "overlay",
            "reverse",
            "repeat",
            "lpad",
            "rpad",
            "normalize",
            "host",
        ],
    ),
    (
        "tsvector",
        &[
            "to_tsvector",
            "setweight",
            "strip",
            "json_to_tsvector",
            "jsonb_to_tsvector",
        ],
    ),
    ("_text", &["string_to_array", "regexp_split_to_array"]),
    (
        "jsonb",
        &[
            "jsonb_strip_nulls",
            "jsonb_path_query_array",
            "jsonb_path_query_first",
        ],
    ),
];

/// Ranges are made by functions that are called as their types.
const RANGES: [&str; 6] = [
    "tstzrange",
    "tsrange",
    "daterange",
    "int4range",
    "int8range",
    "numrange",
];

/// Types whose values are written alike in every session. A moment is not: it is written in the session's time zone.
const WRITTEN_ALIKE: [&str; 15] = [
    "text", "varchar", "bpchar", "name", "citext", "json", "jsonb", "uuid", "int2", "int4", "int8",
    "numeric", "bool", "inet", "cidr",
];

/// An expression as a column of its type; `None` if nobody knows that.
pub(super) fn described(expression: &str, table: &Table) -> Option<Column> {
    let type_name = type_of(&computed(expression), table)?;
    Some(Column {
        is_array: type_name.starts_with('_'),
        is_range: RANGES.contains(&type_name.as_str()),
        type_name,
        ..Column::default()
    })
}

fn type_of(part: &Computed, table: &Table) -> Option<String> {
    match part {
        Computed::Column(name) => Some(table.columns.get(name)?.type_name.clone()),
        Computed::Literal(type_name) => type_name.clone(),
        Computed::Cast(to, of) if matches!(to.as_str(), "text" | "varchar") => {
            let from = type_of(of, table)?;
            WRITTEN_ALIKE.contains(&from.as_str()).then(|| to.clone())
        }
        Computed::Cast(to, _) => Some(to.clone()),
        Computed::Function(name, parts) => {
            let of = parts.first().and_then(|first| type_of(first, table));
            of_function(name, of.as_deref()).map(str::to_owned)
        }
        Computed::Operator(name, sides) => {
            let types: Vec<Option<String>> = sides.iter().map(|side| type_of(side, table)).collect();
            of_operator(name, &types)
        }
        // as COALESCE
        Computed::AsParts(parts) => parts.iter().find_map(|part| type_of(part, table)),
        Computed::Truth(_) | Computed::Unknown => None,
    }
}

/// What a function gives whose first argument is of such a type.
fn of_function(name: &str, of: Option<&str>) -> Option<&'static str> {
    let is_of_bytes = matches!(of, Some("bytea" | "bit" | "varbit"));
    let range = RANGES.into_iter().find(|range| *range == name);
    let known = FUNCTIONS.into_iter().find(|(_, names)| names.contains(&name));
    range.or(known.map(|(gives, _)| gives).filter(|_| !is_of_bytes))
}

fn of_operator(name: &str, sides: &[Option<String>]) -> Option<String> {
    let is_json = |name: &&String| matches!(name.as_str(), "json" | "jsonb");
    let is_text = |name: &String| matches!(name.as_str(), "text" | "varchar" | "bpchar" | "name" | "citext");
    let has_own = |name: &&String| {
        name.starts_with('_')
            || matches!(
                name.as_str(),
                "tsvector" | "jsonb" | "bytea" | "bit" | "varbit" | "hstore"
            )
    };
    match name {
        "->>" | "#>>" => Some("text".to_owned()),
        "->" | "#>" => sides.first()?.as_ref().filter(is_json).cloned(),
        "||" => {
            let mut known = sides.iter().flatten();
            let own = known.clone().find(has_own).cloned();
            // anything beside text becomes text; of two types that are not known it may be an operator of an extension
            own.or_else(|| known.any(is_text).then(|| "text".to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::tables::tests::table_of;

    #[test]
    fn the_outermost_tells_the_type() {
        let column = |type_name: &str| Column {
            type_name: type_name.into(),
            is_array: type_name.starts_with('_'),
            ..Column::default()
        };
        let columns = [
            ("name", column("varchar")),
            ("code", column("bpchar")),
            ("info", column("jsonb")),
            ("old", column("json")),
            ("words", column("tsvector")),
            ("tags", column("_text")),
            ("at", column("timestamptz")),
            ("raw", column("bytea")),
            ("no", column("int4")),
        ];
        let table = table_of(10.0, columns);
        for (expression, expected) in [
            ("lower(name::text)", Some("text")),
            ("TRIM(BOTH FROM name)", Some("text")),
            ("\"left\"(name::text, 3)", Some("text")),
            ("substring(raw, 1, 3)", None),
            ("COALESCE(name, ''::varchar)", Some("varchar")),
            ("(name::text || ' '::text) || code::text", Some("text")),
            ("name || no", Some("text")),
            ("no || no", None),
            ("mine(name) || mine(code)", None),
            ("mine(name) || code", Some("text")),
            ("info -> 'tags'::text", Some("jsonb")),
            ("info #> '{a,b}'::text[]", Some("jsonb")),
            ("old -> 'tags'::text", Some("json")),
            ("info ->> 'title'::text", Some("text")),
            ("info || '{}'::jsonb", Some("jsonb")),
            ("no - 1", None),
            ("tstzrange(at, at, '[]'::text)", Some("tstzrange")),
            ("int4range(no, no)", Some("int4range")),
            ("to_tsvector('english'::regconfig, name::text)", Some("tsvector")),
            (
                "setweight(to_tsvector('simple'::regconfig, name::text), 'A'::\"char\") || words",
                Some("tsvector"),
            ),
            ("tags || '{x}'::text[]", Some("_text")),
            ("string_to_array(name::text, ','::text)", Some("_text")),
            ("info::text", Some("text")),
            ("code::text", Some("text")),
            ("at::text", None),
            ("tags::text", None),
            ("name::jsonb", Some("jsonb")),
            ("name::tsvector", Some("tsvector")),
            // its text depends on what the session has set
            ("concat(name, code)", None),
            ("mine(name)", None),
            ("gone", None),
        ] {
            let found = described(expression, &table).map(|column| column.type_name);
            assert_eq!(found.as_deref(), expected, "{expression}");
        }
        let of = |expression: &str| described(expression, &table).unwrap();
        assert!(
            of("tstzrange(at, at)").is_range && of("tags || tags").is_array && of("code::text").is_text()
        );
    }
}
