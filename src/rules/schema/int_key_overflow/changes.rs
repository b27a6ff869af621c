//! The columns that are to be widened with one, and what the statements for it wait for.

use std::collections::{BTreeSet, HashSet};

use super::super::sequence_exhaustion::limit_of_column;
use super::{Key, whole_table};
use crate::model::catalog::TableFacts;
use crate::model::observation::{DatabaseObservation, SchemaObservation};
use crate::model::schema::{Schema, SequenceColumn};
use crate::rules::column_types::{Retyped, listed};

/// The type that ends last.
const WIDE: &str = "bigint";
/// More columns that refer to one are not gathered.
const REFERRING: usize = 100;

/// A column of a table that takes a sequence's values, to become a bigint.
pub(super) fn widened<'a>(table: &'a TableFacts, column: &SequenceColumn) -> Retyped<'a> {
    Retyped {
        table,
        column: column.name.clone(),
        before: column.type_name.clone(),
        domain: column.domain.clone(),
        after: WIDE.to_owned(),
    }
}

/// The other columns that the sequence of a key feeds, as far as they end with it or have used a share of their numbers.
fn others<'a>(database: &'a DatabaseObservation, key: &Key<'a>, share: f64) -> Vec<Retyped<'a>> {
    let is_near = |limit: i64| {
        let used_ratio = key.sequence.used_ratio(limit);
        limit == key.limit || used_ratio.is_some_and(|used_ratio| used_ratio >= share)
    };
    let mut known = HashSet::from([(key.table.oid, key.column.name.as_str())]);
    let columns = key.sequence.other_columns.iter();
    let ending = columns.filter(|column| limit_of_column(key.sequence, column).is_some_and(is_near));
    let others = ending.filter_map(|column| {
        let table = whole_table(database, column)?;
        let is_new = known.insert((table.oid, column.name.as_str()));
        is_new.then(|| widened(table, column))
    });
    others.collect()
}

/// The columns that refer to some columns, those that refer to these, and so on, as far as they are too narrow and none that is
/// known already; those to which others refer come after these.
fn referring<'a>(
    database: &'a DatabaseObservation,
    schema: &'a SchemaObservation,
    columns: Vec<Retyped<'a>>,
    known: &[Retyped<'a>],
) -> Vec<Retyped<'a>> {
    let first = columns.len();
    let all = columns.iter().chain(known);
    let names = all.map(|one| (one.table.oid, one.column.clone()));
    let mut known: HashSet<(u32, String)> = names.collect();
    let (mut found, mut place) = (columns, 0);
    while let Some((referenced_oid, column)) = found.get(place).map(|one| (one.table.oid, one.column.clone()))
    {
        place += 1;
        let all = schema.facts.foreign_keys.iter();
        for foreign_key in all.filter(|foreign_key| foreign_key.referenced_oid == referenced_oid) {
            let Some(table) = database.catalog.tables.get(foreign_key.table_oid) else {
                continue;
            };
            let pairs = foreign_key
                .columns
                .iter()
                .zip(&foreign_key.types)
                .zip(&foreign_key.referenced_columns);
            for (at, ((own, type_name), referenced)) in pairs.enumerate() {
                let is_narrow = ["smallint", "integer"].contains(&type_name.as_str());
                let is_meant = *referenced == column && is_narrow && found.len() - first < REFERRING;
                if is_meant && known.insert((table.oid, own.clone())) {
                    found.push(Retyped {
                        table,
                        column: own.clone(),
                        before: type_name.clone(),
                        domain: foreign_key.domains.get(at).cloned().flatten(),
                        after: WIDE.to_owned(),
                    });
                }
            }
        }
    }
    let mut referring = found.split_off(first);
    referring.reverse();
    referring
}

/// The columns that are widened together.
pub(super) struct Changes<'a> {
    pub(super) key: Retyped<'a>,
    /// What refers to the key: its statements wait for all of these, and for nothing else.
    pub(super) of_key: Vec<Retyped<'a>>,
    /// The other columns that its sequence feeds.
    pub(super) others: Vec<Retyped<'a>>,
    /// What refers to these, and not to the key.
    of_others: Vec<Retyped<'a>>,
}

impl<'a> Changes<'a> {
    pub(super) fn of(
        database: &'a DatabaseObservation,
        schema: &'a SchemaObservation,
        key: &Key<'a>,
        share: f64,
    ) -> Self {
        let of_key = referring(database, schema, vec![key.widened()], &[]);
        let mut needed = of_key.clone();
        needed.push(key.widened());
        let is_needed = |other: &Retyped<'_>| {
            let is_it = |one: &Retyped<'_>| (one.table.oid, &one.column) == (other.table.oid, &other.column);
            needed.iter().any(is_it)
        };
        let mut others = others(database, key, share);
        others.retain(|other| !is_needed(other));
        let of_others = referring(database, schema, others.clone(), &needed);
        Self {
            key: key.widened(),
            of_key,
            others,
            of_others,
        }
    }

    /// The names of what refers to any of them.
    pub(super) fn referring(&self) -> Vec<String> {
        names(self.of_key.iter().chain(&self.of_others))
    }

    /// The names of the other columns of its sequence.
    pub(super) fn others(&self) -> Vec<String> {
        names(self.others.iter())
    }

    /// What is said of them, as far as there are such.
    pub(super) fn told(&self) -> Vec<String> {
        let told = |names: &[String], what: &str| {
            (!names.is_empty()).then(|| format!("{what}: {}.", listed(names, names.len())))
        };
        let told = [
            told(
                &self.referring(),
                "These columns refer to it, or to what is widened with it, and are too narrow for what comes; widen them first",
            ),
            told(
                &self.others(),
                "Its sequence feeds other columns, too, that are too narrow for what comes; widen them with it",
            ),
        ];
        told.into_iter().flatten().collect()
    }

    /// Those that statements widen: of what the key does not wait for only that of which nothing stands in the way.
    pub(super) fn run(&self, schema: &Schema, is_small: impl Fn(&Retyped<'_>) -> bool) -> Vec<Retyped<'a>> {
        let is_run = |one: &Retyped<'_>| is_small(one) && one.is_run(schema);
        let is_free = |one: &Retyped<'_>| is_run(one) && !one.is_refused(schema);
        let of_others = self.of_others.iter().filter(|one| is_free(one));
        let of_key = self.of_key.iter().filter(|one| is_run(one));
        let others = self.others.iter().filter(|one| is_free(one));
        let key = std::iter::once(&self.key).filter(|one| is_run(one));
        of_others
            .chain(of_key)
            .chain(others)
            .chain(key)
            .cloned()
            .collect()
    }

    /// The key and what its statements wait for.
    pub(super) fn needed(&self) -> Vec<Retyped<'a>> {
        self.of_key.iter().chain([&self.key]).cloned().collect()
    }

    /// What they do not wait for.
    pub(super) fn beside(&self) -> Vec<Retyped<'a>> {
        self.of_others.iter().chain(&self.others).cloned().collect()
    }
}

/// Their names, each once.
pub(super) fn names<'r, 'a: 'r>(columns: impl Iterator<Item = &'r Retyped<'a>>) -> Vec<String> {
    let sorted: BTreeSet<String> = columns.map(Retyped::name).collect();
    sorted.into_iter().collect()
}
