//! Which of several operators of one name a statement means, as PostgreSQL resolves them by types, where these are surely known.
//! Else anybody who may create an operator `=` would keep every statement from being planned.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::Type;

use super::meaning::Meaning;
use super::{ROWS, is_cut};
use crate::index_advisor::search_path::SearchPath;
use crate::postgres::{Plan, PostgresError, column, queries};
use crate::sql::{Compared, Names, Operand};

/// OIDs of types, which are the same everywhere.
const BOOLEAN: u32 = 16;
const INTEGER: u32 = 23;
const UNKNOWN: u32 = 705;

/// The types of columns: by relation and name.
type Types = BTreeMap<(u32, String), u32>;

/// Of the operators that the names of a statement may mean those that it could mean by the types of what it compares.
///
/// # Errors
/// If the server does not answer.
pub(super) async fn meant(
    plan: &Plan,
    names: &Names,
    path: &SearchPath,
    meaning: &Meaning,
) -> Result<BTreeSet<u32>, PostgresError> {
    let all = || -> BTreeSet<u32> { meaning.operators.keys().copied().collect() };
    // what stands before pg_catalog is found before it
    if path.lookup().first() != Some(&"pg_catalog") {
        return Ok(all());
    }
    let Some(types) = types(plan, &names.compared, meaning).await? else {
        return Ok(all());
    };
    // an operator whose schema is written is meant
    let is_qualified = |name: &String| {
        names.operators.iter().any(|one| {
            one.name == *name && one.schema.as_deref().is_some_and(|schema| schema != "pg_catalog")
        })
    };
    let (mut meant, bare): (BTreeSet<u32>, BTreeSet<u32>) = meaning
        .operators
        .keys()
        .partition(|oid| is_qualified(&meaning.operators[*oid]));
    let uses = uses(names, meaning, &types);
    let operators: Vec<u32> = bare.into_iter().collect();
    let used: Vec<&str> = uses.iter().map(|(name, ..)| *name).collect();
    let left: Vec<Option<u32>> = uses.iter().map(|(_, left, _)| *left).collect();
    let right: Vec<Option<u32>> = uses.iter().map(|(.., right)| *right).collect();
    let rows = plan
        .session()
        .rows(
            queries::GATE_OPERATORS,
            &[
                (&operators, Type::OID_ARRAY),
                (&used, Type::TEXT_ARRAY),
                (&left, Type::OID_ARRAY),
                (&right, Type::OID_ARRAY),
            ],
        )
        .await?;
    for row in &rows {
        match column::<u32>(row, "oid") {
            Some(oid) => _ = meant.insert(oid),
            None => return Ok(all()),
        }
    }
    Ok(meant)
}

/// The types of the columns that are compared; `None` if they are too many.
async fn types(plan: &Plan, compared: &Compared, meaning: &Meaning) -> Result<Option<Types>, PostgresError> {
    let sides = compared.uses.iter().flat_map(|one| [&one.left, &one.right]);
    let name = |side: &Operand| match side {
        Operand::Column { name, .. } => Some(name.clone()),
        _ => None,
    };
    let columns: Vec<String> = sides
        .filter_map(name)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let rows = plan
        .session()
        .rows(
            queries::GATE_COLUMNS,
            &[
                (&meaning.relations, Type::OID_ARRAY),
                (&columns, Type::TEXT_ARRAY),
                (&ROWS, Type::INT8),
            ],
        )
        .await?;
    let read = |row: &tokio_postgres::Row| {
        let key = (column::<u32>(row, "relation")?, column::<String>(row, "name")?);
        Some((key, column::<u32>(row, "type")?))
    };
    Ok(match is_cut(&rows) {
        true => None,
        // one that cannot be read might be of another type than the others
        false => rows.iter().map(read).collect(),
    })
}

/// Each use of an operator by its name with the types before and behind it.
fn uses<'a>(
    names: &'a Names,
    meaning: &Meaning,
    types: &Types,
) -> BTreeSet<(&'a str, Option<u32>, Option<u32>)> {
    let compared = &names.compared;
    let type_of = |side: &Operand| match side {
        Operand::Column { of, name } => type_of_column(compared, of.as_deref(), name, meaning, types),
        Operand::Untyped => Some(UNKNOWN),
        Operand::Integer => Some(INTEGER),
        Operand::Boolean => Some(BOOLEAN),
        Operand::Unknown => None,
    };
    let bare = compared.uses.iter().filter(|one| one.name.schema.is_none());
    let mut uses: BTreeSet<_> = bare
        .map(|one| (one.name.name.as_str(), type_of(&one.left), type_of(&one.right)))
        .collect();
    // whatever else looks one up by its name, between anything
    for name in &names.operators {
        let is_read = compared.uses.iter().any(|one| one.name == *name);
        if name.schema.is_none() && !is_read {
            uses.insert((name.name.as_str(), None, None));
        }
    }
    uses
}

/// The type of a column, if it is the same wherever it may come from.
fn type_of_column(
    compared: &Compared,
    of: Option<&str>,
    name: &str,
    meaning: &Meaning,
    types: &Types,
) -> Option<u32> {
    let mut found = BTreeSet::new();
    for origin in compared.origins(of, name)? {
        let is_it = |schema: &str| origin.schema.as_deref().is_none_or(|own| own == schema);
        let oids = meaning.found.iter();
        let mut oids = oids
            .filter(|(schema, name, _)| *name == origin.name && is_it(schema))
            .peekable();
        oids.peek()?;
        for (.., oid) in oids {
            match types.get(&(*oid, name.to_owned())) {
                Some(one) => _ = found.insert(*one),
                // `a.b` may call a function, where a has no such column
                None if of.is_some() => return None,
                None => {}
            }
        }
    }
    let only = found.pop_first()?;
    found.is_empty().then_some(only)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql;

    const TEXT: u32 = 25;

    /// What stands between which types in a statement over s.t (a int, b text), s.u (a int, b int), z.t (a int).
    fn compared(text: &str) -> Vec<String> {
        let names = sql::names(text).unwrap();
        let found = |schema: &str, name: &str, oid: u32| (schema.to_owned(), name.to_owned(), oid);
        let meaning = Meaning {
            found: vec![found("s", "t", 1), found("s", "u", 2), found("z", "t", 3)],
            ..Meaning::default()
        };
        let column = |oid: u32, name: &str, kind: u32| ((oid, name.to_owned()), kind);
        let types = Types::from([
            column(1, "a", INTEGER),
            column(1, "b", TEXT),
            column(2, "a", INTEGER),
            column(2, "b", INTEGER),
            column(3, "a", INTEGER),
        ]);
        let show = |kind: Option<u32>| kind.map_or("?".to_owned(), |kind| kind.to_string());
        uses(&names, &meaning, &types)
            .into_iter()
            .map(|(name, left, right)| format!("{} {name} {}", show(left), show(right)))
            .collect()
    }

    #[test]
    fn types_are_known_only_where_they_are_sure() {
        for (text, expected) in [
            ("SELECT FROM s.t WHERE a > now()", vec!["23 > ?"]),
            (
                "SELECT FROM s.t WHERE a = $1 OR b = 'x'",
                vec!["23 = 705", "25 = 705"],
            ),
            ("SELECT FROM s.t, s.u WHERE b = $1", vec!["? = 705"]),
            ("SELECT FROM s.t, s.u WHERE a = $1", vec!["23 = 705"]),
            ("SELECT FROM s.t JOIN s.u USING (a)", vec!["23 = 23"]),
            (
                "SELECT FROM s.t AS x, s.u WHERE x.b = 'x' AND u.b = 1",
                vec!["23 = 23", "25 = 705"],
            ),
            ("SELECT FROM t WHERE t.a = 1", vec!["23 = 23"]),
            ("SELECT FROM t WHERE t.b = 1", vec!["? = 23"]),
            ("SELECT FROM s.t WHERE a = (SELECT 1)", vec!["23 = ?"]),
            ("SELECT FROM s.t WHERE c = $1", vec!["? = 705"]),
            ("SELECT FROM s.w WHERE a = $1", vec!["? = 705"]),
            ("SELECT FROM s.t WHERE a OPERATOR(pg_catalog.=) $1", vec![]),
        ] {
            assert_eq!(compared(text), expected, "{text}");
        }
    }
}
