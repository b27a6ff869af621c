//! Indexes that are there: what they answer already, and what would make them needless.

use tokio_postgres::Row;

use super::candidate::{Candidate, IndexKey};
use super::clauses::{Key, OrderedKey, RelationUse};
use super::tables::{flag, text};
use crate::model::advice::Droppable;
use crate::postgres::column;
use crate::sql::expression;

/// An index that is there and valid.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ExistingIndex {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    pub method: String,
    pub is_unique: bool,
    /// A constraint, or a replica's identity, rests on it.
    pub is_needed: bool,
    pub predicate: Option<String>,
    pub keys: Vec<ExistingKey>,
    pub include: Vec<String>,
    /// Of an index of a partitioned table those of its partitions, which plans name in its place.
    pub parts: Vec<Droppable>,
}

/// A key of an index that is there.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ExistingKey {
    pub key: Key,
    pub descending: bool,
    pub nulls_first: bool,
    /// The operator class and the collation are those of the column's type.
    pub is_plain: bool,
}

impl ExistingKey {
    /// The key with the order that it keeps.
    pub(super) fn ordered(&self) -> OrderedKey {
        OrderedKey {
            key: self.key.clone(),
            descending: self.descending,
            nulls_first: self.nulls_first,
        }
    }

    fn is(&self, key: &IndexKey, backwards: bool) -> bool {
        self.key == key.key
            && self.is_plain == key.operator_class.is_none()
            && (self.descending != backwards) == key.descending
            && (self.nulls_first != backwards) == key.nulls_first
    }
}

impl ExistingIndex {
    /// Whether it answers all that a candidate would: it begins with the same keys, forwards or backwards, holds all its columns, and
    /// the same rows. One on all rows is none on a part of them: what else is asked has to be read in the table then, row by row.
    pub fn serves(&self, candidate: &Candidate) -> bool {
        let begins = |backwards: bool| {
            let pairs = self.keys.iter().zip(&candidate.keys);
            self.keys.len() >= candidate.keys.len()
                && pairs.into_iter().all(|(own, wanted)| own.is(wanted, backwards))
        };
        let predicate = |text: &str| expression::normal(text).unwrap_or_else(|| text.to_owned());
        let of_the_same =
            self.predicate.as_deref().map(predicate) == candidate.predicate.as_deref().map(predicate);
        self.method == candidate.method
            && of_the_same
            && (begins(false) || candidate.method == "btree" && begins(true))
            && candidate.include.iter().all(|column| self.holds(column))
    }

    /// Whether a candidate is a part of this one: the same keys to begin with, on some of the rows.
    pub(super) fn has_part(&self, candidate: &Candidate) -> bool {
        let whole = Candidate {
            predicate: None,
            ..candidate.clone()
        };
        candidate.predicate.is_some() && self.serves(&whole)
    }

    /// Whether the row that a candidate would find for one value of each key is the only one, and found by this one already: more
    /// keys narrow nothing then, and what is carried along saves one look. In a range there are many such rows. (Whether NULL is
    /// unique, too, as NULLS NOT DISTINCT has it, is not read: then there is a candidate too many, and the planner says so.)
    pub(super) fn finds_one_row(&self, candidate: &Candidate, asked: &RelationUse) -> bool {
        let shared = |backwards: bool| {
            let mut pairs = self.keys.iter().zip(&candidate.keys);
            pairs.all(|(own, wanted)| own.is(wanted, backwards))
        };
        self.is_unique
            && self.predicate.is_none()
            && self.method == candidate.method
            && self.keys.len() <= candidate.keys.len()
            && self.keys.iter().all(|own| asked.is_one_value(&own.key))
            && (shared(false) || shared(true))
    }

    /// Whether it is what a candidate would be, so that it can be attached to an index of the whole in its place.
    pub(super) fn is_same_as(&self, candidate: &Candidate) -> bool {
        let predicate = |text: &str| expression::normal(text).unwrap_or_else(|| text.to_owned());
        // which other operator class it has is not known
        let is_same_key = |(own, wanted): (&ExistingKey, &IndexKey)| own.is_plain && own.is(wanted, false);
        !self.is_unique
            && !self.is_needed
            && self.method == candidate.method
            && self.keys.len() == candidate.keys.len()
            && self.keys.iter().zip(&candidate.keys).all(is_same_key)
            && self.include == candidate.include
            && self.predicate.as_deref().map(predicate) == candidate.predicate.as_deref().map(predicate)
    }

    /// Whether an index that is to be made answers all that this one does, so that it is there for nothing afterwards.
    pub fn is_superseded_by(&self, candidate: &Candidate) -> bool {
        self.is_begin_of(candidate) && self.include.iter().all(|column| candidate.holds(column))
    }

    /// Whether an index that is to be made begins with all its keys, and nothing else rests on it: the other is this one with
    /// something more.
    pub(super) fn is_begin_of(&self, candidate: &Candidate) -> bool {
        let pairs = self.keys.iter().zip(&candidate.keys);
        !self.is_unique
            && !self.is_needed
            && self.predicate.is_none()
            && candidate.predicate.is_none()
            && self.method == candidate.method
            && self.keys.len() <= candidate.keys.len()
            && pairs.into_iter().all(|(own, wanted)| own.is(wanted, false))
    }

    /// What plans name of it.
    pub fn in_plans(&self) -> Vec<Droppable> {
        if !self.parts.is_empty() {
            return self.parts.clone();
        }
        vec![Droppable {
            oid: self.oid,
            schema: self.schema.clone(),
            name: self.name.clone(),
        }]
    }

    fn holds(&self, column: &str) -> bool {
        let is_key = |key: &ExistingKey| matches!(&key.key, Key::Column(name) if name == column);
        self.keys.iter().any(is_key) || self.include.iter().any(|one| one == column)
    }
}

/// An index as the catalogs tell it.
pub(super) fn existing(row: &Row) -> ExistingIndex {
    let columns: Vec<Option<String>> = column(row, "columns").unwrap_or_default();
    let expressions: Vec<Option<String>> = column(row, "expressions").unwrap_or_default();
    let options: Vec<i32> = column(row, "options").unwrap_or_default();
    let are_plain: Vec<bool> = column(row, "are_plain").unwrap_or_default();
    let key = |position: usize| {
        let name = columns.get(position).cloned().flatten();
        let text = expressions.get(position).cloned().flatten().unwrap_or_default();
        let normal = || Key::Expression(expression::normal(&text).unwrap_or(text.clone()));
        // INDOPTION_DESC and INDOPTION_NULLS_FIRST of PostgreSQL's pg_index
        let option = options.get(position).copied().unwrap_or(0);
        ExistingKey {
            key: name.map_or_else(normal, Key::Column),
            descending: option & 1 != 0,
            nulls_first: option & 2 != 0,
            is_plain: are_plain.get(position).copied().unwrap_or(false),
        }
    };
    ExistingIndex {
        oid: column(row, "oid").unwrap_or(0),
        schema: text(row, "schema"),
        name: text(row, "name"),
        method: text(row, "method"),
        is_unique: flag(row, "is_unique"),
        is_needed: flag(row, "is_needed"),
        predicate: column(row, "predicate"),
        keys: (0..columns.len()).map(key).collect(),
        include: column(row, "include").unwrap_or_default(),
        parts: parts(row),
    }
}

fn parts(row: &Row) -> Vec<Droppable> {
    let oids: Vec<u32> = column(row, "part_oids").unwrap_or_default();
    let schemas: Vec<String> = column(row, "part_schemas").unwrap_or_default();
    let names: Vec<String> = column(row, "part_names").unwrap_or_default();
    let named = oids.into_iter().zip(schemas).zip(names);
    named
        .map(|((oid, schema), name)| Droppable { oid, schema, name })
        .collect()
}
