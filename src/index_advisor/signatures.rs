//! What PostgreSQL takes for the key of an index, asked of its catalogs, where no HypoPG is there to try it: an expression of nothing
//! but what is immutable, and of a b-tree something that has an order. EXPLAIN writes every cast, so that functions and operators
//! are found by the very types that they are given.

use std::collections::BTreeMap;

use tokio_postgres::types::{ToSql, Type};

use super::candidate::{Candidate, IndexKey};
use super::clauses::Key;
use super::tables::{Table, Tables};
use crate::postgres::{Plan, PostgresError, column_or_default, queries};
use crate::sql::computed::{Called, Computed, computed};

/// What there is of one name; of a cast the name is that of the type that it gives, of a type what it is of itself.
#[derive(Clone, Debug)]
struct Signature {
    arguments: Vec<String>,
    result: String,
    is_immutable: bool,
    has_order: bool,
}

/// What is known by a kind (`function`, `operator`, `cast`, `type`) and a name.
#[derive(Debug, Default)]
pub(super) struct Signatures {
    known: BTreeMap<(String, String), Vec<Signature>>,
}

/// The type of what a part of an expression gives.
#[derive(Clone, Debug, PartialEq)]
enum Given {
    Type(String),
    /// Nobody told, so that it may be any.
    Any,
}

/// Why PostgreSQL would not take an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// An expression of its keys is not surely immutable.
    MutableKey,
    /// The same of its predicate.
    MutablePredicate,
    /// A b-tree knows no order of a key.
    Unordered,
}

impl Signatures {
    /// Asks about all that these candidates are computed by.
    ///
    /// # Errors
    /// If the server refuses, or the session is lost.
    pub(super) async fn read(
        plan: &Plan,
        candidates: &[Candidate],
        tables: &Tables,
    ) -> Result<Self, PostgresError> {
        let called = called(candidates, tables);
        let functions: Vec<&str> = called.functions.iter().map(String::as_str).collect();
        let operators: Vec<&str> = called.operators.iter().map(String::as_str).collect();
        let types: Vec<&str> = called.types.iter().map(String::as_str).collect();
        let asked: [(&(dyn ToSql + Sync), Type); 3] = [
            (&functions, Type::TEXT_ARRAY),
            (&operators, Type::TEXT_ARRAY),
            (&types, Type::TEXT_ARRAY),
        ];
        let mut signatures = Self::default();
        for row in plan.session().rows(queries::ADVISE_SIGNATURES, &asked).await? {
            let signature = Signature {
                arguments: column_or_default(&row, "arguments"),
                result: column_or_default(&row, "result"),
                is_immutable: column_or_default(&row, "is_immutable"),
                has_order: column_or_default(&row, "has_order"),
            };
            let name = (column_or_default(&row, "kind"), column_or_default(&row, "name"));
            signatures.known.entry(name).or_default().push(signature);
        }
        Ok(signatures)
    }

    /// Why PostgreSQL would not take an index, as far as its catalogs tell.
    pub(super) fn refusal(&self, candidate: &Candidate, table: &Table) -> Option<Refused> {
        for key in &candidate.keys {
            let Some(given) = self.given(&computed_key(key), table) else {
                return Some(Refused::MutableKey);
            };
            let is_ordered =
                candidate.method != "btree" || key.operator_class.is_some() || self.has_order(&given);
            if !is_ordered {
                return Some(Refused::Unordered);
            }
        }
        let predicate = candidate.predicate.as_deref()?;
        let is_mutable = self.given(&computed(predicate), table).is_none();
        is_mutable.then_some(Refused::MutablePredicate)
    }

    fn named(&self, kind: &str, name: &str) -> &[Signature] {
        let known = self.known.get(&(kind.to_owned(), name.to_owned()));
        known.map_or(&[][..], Vec::as_slice)
    }

    /// What a part gives; `None` where that is not surely the same in all sessions and at all times.
    fn given(&self, part: &Computed, table: &Table) -> Option<Given> {
        let all = |parts: &[Computed]| -> Option<Vec<Given>> {
            parts.iter().map(|part| self.given(part, table)).collect()
        };
        match part {
            Computed::Column(name) => Some(Given::Type(table.columns.get(name)?.type_name.clone())),
            Computed::Literal(type_name) => Some(type_name.clone().map_or(Given::Any, Given::Type)),
            Computed::Function(name, parts) => called_with(self.named("function", name), &all(parts)?),
            Computed::Operator(name, parts) => called_with(self.named("operator", name), &all(parts)?),
            Computed::Cast(type_name, of) => {
                let Given::Type(from) = self.given(of, table)? else {
                    return None;
                };
                let from = self.base_of(&from);
                self.is_cast(&from, type_name)
                    .then(|| Given::Type(type_name.clone()))
            }
            Computed::AsParts(parts) => {
                let types = all(parts)?;
                let known = types.into_iter().find(|one| *one != Given::Any);
                Some(known.unwrap_or(Given::Any))
            }
            Computed::Truth(parts) => all(parts).map(|_| Given::Type("bool".to_owned())),
            Computed::Unknown => None,
        }
    }

    /// The type that a domain is of; of any other type itself.
    fn base_of(&self, type_name: &str) -> String {
        let base = self.named("type", type_name).first();
        base.map_or(type_name, |one| one.result.as_str()).to_owned()
    }

    /// Whether a cast is surely immutable: by a function that is, or by writing and reading it.
    fn is_cast(&self, from: &str, to: &str) -> bool {
        // the conditions of a domain may be anything
        if self.base_of(to) != to {
            return false;
        }
        let mut between = self
            .named("cast", to)
            .iter()
            .filter(|one| one.arguments == [from])
            .peekable();
        if between.peek().is_some() {
            return between.all(|one| one.is_immutable);
        }
        let is_written_alike = |name: &str| {
            let known = self.named("type", name);
            !known.is_empty() && known.iter().all(|one| one.is_immutable)
        };
        match (from.strip_prefix('_'), to.strip_prefix('_')) {
            _ if from == to => true,
            (Some(from), Some(to)) => self.is_cast(from, to),
            _ => is_written_alike(from) && is_written_alike(to),
        }
    }

    fn has_order(&self, given: &Given) -> bool {
        match given {
            Given::Any => true,
            Given::Type(name) => self.named("type", name).iter().all(|one| one.has_order),
        }
    }
}

/// What all of these give to such arguments; `None` if there is none, or one that may be meant is not immutable.
fn called_with(named: &[Signature], given: &[Given]) -> Option<Given> {
    let of_types = |takes: fn(&str, &str) -> bool| -> Vec<&Signature> {
        let fits = |one: &&Signature| {
            one.arguments.len() == given.len()
                && one
                    .arguments
                    .iter()
                    .zip(given)
                    .all(|(argument, given)| match given {
                        Given::Any => true,
                        Given::Type(name) => takes(argument, name),
                    })
        };
        named.iter().filter(fits).collect()
    };
    let exact = of_types(|argument, name| argument == name);
    let possible = match exact.is_empty() {
        true => of_types(|argument, name| argument == name || is_any(argument, name)),
        false => exact,
    };
    let first = possible.first()?;
    let is_known = !first.result.starts_with("any") && possible.iter().all(|one| one.result == first.result);
    let are_immutable = possible.iter().all(|one| one.is_immutable);
    are_immutable.then(|| match is_known {
        true => Given::Type(first.result.clone()),
        false => Given::Any,
    })
}

/// Whether an argument takes any type, and this one, too.
fn is_any(argument: &str, name: &str) -> bool {
    match argument {
        "anyarray" | "anycompatiblearray" => name.starts_with('_'),
        "anynonarray" | "anycompatiblenonarray" => !name.starts_with('_'),
        other => other.starts_with("any"),
    }
}

fn computed_key(key: &IndexKey) -> Computed {
    match &key.key {
        Key::Column(name) => Computed::Column(name.clone()),
        Key::Expression(text) => computed(text),
    }
}

/// The names in all of these, with the types of their columns, and of arrays those of their elements.
fn called(candidates: &[Candidate], tables: &Tables) -> Called {
    let mut all = Called::default();
    for candidate in candidates {
        let mut called = Called::default();
        candidate
            .keys
            .iter()
            .for_each(|key| computed_key(key).collect(&mut called));
        if let Some(predicate) = &candidate.predicate {
            computed(predicate).collect(&mut called);
        }
        all.functions.append(&mut called.functions);
        all.operators.append(&mut called.operators);
        all.types.append(&mut called.types);
        let table = tables.get(&candidate.schema, &candidate.table);
        let columns = table.map(|table| &table.columns);
        let types = called.columns.iter().filter_map(|name| columns?.get(name));
        all.types.extend(types.map(|column| column.type_name.clone()));
    }
    let elements = all.types.iter().filter_map(|name| name.strip_prefix('_'));
    let elements: Vec<String> = elements.map(str::to_owned).collect();
    all.types.extend(elements);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::tables::Column;
    use crate::index_advisor::tables::tests::table_of;

    fn signatures(all: &[(&str, &str, &[&str], &str, bool)]) -> Signatures {
        let mut signatures = Signatures::default();
        for (kind, name, arguments, result, is_immutable) in all {
            let signature = Signature {
                arguments: arguments.iter().map(ToString::to_string).collect(),
                result: (*result).to_owned(),
                is_immutable: *is_immutable,
                has_order: *name != "point",
            };
            let name = ((*kind).to_owned(), (*name).to_owned());
            signatures.known.entry(name).or_default().push(signature);
        }
        signatures
    }

    /// As PostgreSQL's own catalogs are.
    fn catalogs() -> Signatures {
        signatures(&[
            (
                "function",
                "date_trunc",
                &["text", "timestamptz"],
                "timestamptz",
                false,
            ),
            (
                "function",
                "date_trunc",
                &["text", "timestamp"],
                "timestamp",
                true,
            ),
            ("function", "to_tsvector", &["text"], "tsvector", false),
            (
                "function",
                "to_tsvector",
                &["regconfig", "text"],
                "tsvector",
                true,
            ),
            (
                "function",
                "timezone",
                &["text", "timestamptz"],
                "timestamp",
                true,
            ),
            ("function", "lower", &["text"], "text", true),
            ("function", "lower", &["anyrange"], "anyelement", true),
            ("function", "array_length", &["anyarray", "int4"], "int4", true),
            ("operator", "||", &["text", "text"], "text", true),
            ("operator", "||", &["anynonarray", "text"], "text", false),
            ("operator", "=", &["text", "text"], "bool", true),
            ("operator", "=", &["anyenum", "anyenum"], "bool", true),
            ("operator", ">", &["timestamptz", "timestamptz"], "bool", true),
            ("operator", ">", &["date", "timestamptz"], "bool", false),
            ("cast", "timestamptz", &["date"], "timestamptz", false),
            ("cast", "text", &["varchar"], "text", true),
            ("type", "text", &[], "text", true),
            ("type", "int4", &[], "int4", true),
            ("type", "timestamptz", &[], "timestamptz", false),
            ("type", "point", &[], "point", true),
            ("type", "mail", &[], "varchar", false),
        ])
    }

    fn table() -> Table {
        let column = |type_name: &str| Column {
            type_name: type_name.into(),
            ..Column::default()
        };
        table_of(
            100.0,
            [
                ("id", column("int4")),
                ("body", column("text")),
                ("name", column("varchar")),
                ("tags", column("_varchar")),
                ("made_at", column("timestamptz")),
                ("local_at", column("timestamp")),
                ("day", column("date")),
                ("mood", column("mood")),
                ("address", column("mail")),
                ("place", column("point")),
            ],
        )
    }

    fn refused(key: Key, operator_class: Option<&str>, predicate: Option<&str>) -> Option<Refused> {
        let candidate = Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: vec![IndexKey {
                operator_class: operator_class.map(str::to_owned),
                ..IndexKey::from(key)
            }],
            include: Vec::new(),
            predicate: predicate.map(str::to_owned),
        };
        catalogs().refusal(&candidate, &table())
    }

    #[test]
    fn only_what_is_surely_immutable_is_taken() {
        let is_taken = |text: &str| match refused(Key::Expression(text.into()), None, None) {
            None => true,
            Some(why) => {
                assert_eq!(why, Refused::MutableKey, "{text}");
                false
            }
        };
        for text in [
            "date_trunc('day'::text, local_at)",
            "date_trunc('day'::text, (made_at AT TIME ZONE 'UTC'::text))",
            "to_tsvector('english'::regconfig, body)",
            "lower((name)::text)",
            "lower((address)::text)",
            "(body || 'x'::text)",
            "(id)::text",
            "array_length(tags, 1)",
            "(tags)::text[]",
            "COALESCE(body, 'none'::text)",
        ] {
            assert!(is_taken(text), "{text}");
        }
        for text in [
            "date_trunc('day'::text, made_at)",
            "date_trunc('day'::text, (day)::timestamp with time zone)",
            "to_tsvector(body)",
            "(made_at)::text",
            "(id || 'x'::text)",
            "(name)::mail",
            "my_own(body)",
            "lower(gone)",
            "(date_trunc('day'::text, made_at) IS NULL)",
        ] {
            assert!(!is_taken(text), "{text}");
        }
    }

    #[test]
    fn a_predicate_is_looked_at_too_and_what_has_no_order() {
        let id = || Key::Column("id".into());
        let taken = Some("(mood = 'good'::mood) AND (body = 'a'::text)");
        assert_eq!(refused(id(), None, taken), None);
        let told = refused(id(), None, Some("(day > '2026-01-01'::timestamptz)"));
        assert_eq!(told, Some(Refused::MutablePredicate));
        let place = || Key::Column("place".into());
        assert_eq!(refused(place(), None, None), Some(Refused::Unordered));
        assert_eq!(refused(place(), Some("own_ops"), None), None);
    }

    #[test]
    fn types_are_asked_with_those_of_elements() {
        let tables = crate::index_advisor::tables::tests::tables_of(table());
        let candidate = Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: vec![IndexKey::from(Key::Expression("lower((tags)::text[])".into()))],
            include: Vec::new(),
            predicate: None,
        };
        let asked = called(&[candidate], &tables);
        let types: Vec<&str> = asked.types.iter().map(String::as_str).collect();
        assert_eq!(types, ["_text", "_varchar", "text", "varchar"]);
        assert!(asked.functions.contains("lower"));
    }
}
