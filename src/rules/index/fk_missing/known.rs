//! The indexes of a database, as far as foreign keys are concerned: which serve one, and what is said of them elsewhere.

use crate::model::advice::Rehearsals;
use crate::model::catalog::{IndexFacts, TableFacts};
use crate::model::observation::DatabaseObservation;
use crate::model::remedy::quote_identifier;
use crate::model::schema::ForeignKey;
use crate::rules::index::missing::{Worth, worth_on};
use crate::rules::whole_tables::{Part, Whole};
use crate::sql::index_keys::{IndexKeys, Key};
use crate::sql::remembered::index_keys;

/// What is known of the indexes of a database.
pub(super) struct Known<'a> {
    pub(super) database: &'a DatabaseObservation,
}

impl<'a> Known<'a> {
    pub(super) fn of(database: &'a DatabaseObservation) -> Self {
        Self { database }
    }

    pub(super) fn indexes(&self, table_oid: u32) -> impl Iterator<Item = &'a IndexFacts> {
        let all = self.database.catalog.indexes_of(table_oid);
        all.filter(|facts| !facts.owned_by_extension)
    }

    /// Whether an index may come to the table or one of its partitions just now.
    pub(super) fn is_being_indexed(&self, whole: &Whole<'_>) -> bool {
        let parts = whole.parts.iter().map(|part| part.facts.oid);
        let mut indexes = std::iter::once(whole.table.oid)
            .chain(parts)
            .flat_map(|oid| self.indexes(oid));
        indexes.any(|facts| !facts.is_valid && facts.may_be_in_progress)
    }

    /// What index.missing makes of an index on the columns of a key, as the planner said last; none while it is still to be
    /// asked. What was said last counts, so that a finding does not come and go with each run that fails.
    pub(super) fn worth_to_statements(&self, key: &ForeignKey, table: &TableFacts) -> Option<Worth> {
        match &self.database.rehearsals {
            _ if self.database.missing_indexes_untold.contains(&table.oid) => Some(Worth::Nothing),
            Rehearsals::Known(advised) => worth_on(advised, table, key.looked_up_columns()),
            Rehearsals::Coming => None,
            Rehearsals::NotTried => Some(Worth::Nothing),
        }
    }

    /// Whether an index serves a key as its definition tells, though the catalog does not name that very key with it: to change
    /// the type of a column makes keys and indexes anew, and the one may be read before that and the other after. `None` where
    /// a definition could not be read.
    pub(super) fn is_served_by_definition(&self, key: &ForeignKey) -> Option<bool> {
        let is_read = |facts: &IndexFacts| facts.definition.is_some();
        let mut is_all_read = true;
        for facts in self.indexes(key.table_oid).filter(|facts| facts.is_valid) {
            if serves(facts, key) {
                return Some(true);
            }
            is_all_read &= is_read(facts);
        }
        is_all_read.then_some(false)
    }

    /// Whether an index holds exactly the rows whose key is there: what looks a key up asks for no others.
    pub(super) fn is_over_all_that_refer(&self, key: &ForeignKey) -> bool {
        let refers = |facts: &IndexFacts| {
            let keys = facts.definition.as_deref().and_then(index_keys);
            keys.is_some_and(|keys| {
                let looked_up = key.looked_up_columns();
                let first = keys.keys.iter().take(looked_up.len());
                let names: Vec<&str> = first.map(|one| one.text.as_str()).collect();
                let columns: Vec<String> = looked_up.iter().map(|column| quote_identifier(column)).collect();
                names.len() == columns.len()
                    && columns.iter().all(|column| names.contains(&column.as_str()))
                    && keys
                        .predicate
                        .as_deref()
                        .is_some_and(|predicate| is_implied(predicate, &key.columns))
            })
        };
        let in_part = |facts: &&IndexFacts| facts.is_valid && facts.foreign_keys_in_part.contains(&key.oid);
        self.indexes(key.table_oid)
            .filter(|facts| in_part(facts))
            .any(refers)
    }

    /// Whether each partition has an index of its own that serves: what is looked up is looked up in all of them.
    pub(super) fn are_parts_indexed(&self, key: &ForeignKey, whole: &Whole<'_>) -> bool {
        // one that supports one of the partition's own keys, which are those of the whole: this one
        let serves = |facts: &IndexFacts| match key.is_temporal {
            true => facts.is_valid && serves(facts, key),
            false => !facts.foreign_keys.is_empty() && begins_with(facts, &key.columns),
        };
        let is_indexed = |part: &Part<'_>| self.indexes(part.facts.oid).any(serves);
        whole.table.kind == 'p' && !whole.parts.is_empty() && whole.parts.iter().all(is_indexed)
    }

    /// The indexes that begin with some columns of a key and hold all rows that refer by it; none if there are none.
    pub(super) fn in_part(&self, key: &ForeignKey) -> Option<Vec<&'a str>> {
        self.that_begin(key, |facts| holds_all_that_refer(facts, key) == Some(true))
    }

    /// Those that begin with them and lack some of these rows, so that what looks the key up cannot read them.
    pub(super) fn of_some_rows(&self, key: &ForeignKey) -> Option<Vec<&'a str>> {
        self.that_begin(key, |facts| holds_all_that_refer(facts, key) == Some(false))
    }

    fn that_begin(&self, key: &ForeignKey, are_meant: impl Fn(&IndexFacts) -> bool) -> Option<Vec<&'a str>> {
        let indexes = self.indexes(key.table_oid);
        let names: Vec<&str> = indexes
            .filter(|facts| facts.foreign_keys_in_part.contains(&key.oid) && are_meant(facts))
            .map(|facts| facts.name.as_str())
            .collect();
        (!names.is_empty()).then_some(names)
    }
}

/// Whether an index is one on these columns and nothing else.
pub(super) fn is_on(facts: &IndexFacts, columns: &[String]) -> bool {
    let key = |column: &String| Key {
        text: quote_identifier(column),
        collation: None,
        operator_class: None,
        descending: false,
        nulls_first: false,
    };
    let wanted = IndexKeys {
        method: "btree".to_owned(),
        keys: columns.iter().map(key).collect(),
        include: Vec::new(),
        predicate: None,
        unique: false,
        nulls_not_distinct: false,
    };
    facts.definition.as_deref().and_then(index_keys).as_deref() == Some(&wanted)
}

/// Whether an index holds all rows that refer by a key; `None` where its definition is not known.
fn holds_all_that_refer(facts: &IndexFacts, key: &ForeignKey) -> Option<bool> {
    let index = facts.definition.as_deref().and_then(index_keys)?;
    let predicate = index.predicate.as_deref();
    Some(predicate.is_none_or(|predicate| is_implied(predicate, &key.columns)))
}

/// Whether what looks a key up by these columns (`a = $1 AND b = $2`) implies a predicate: it does only that they are there.
fn is_implied(predicate: &str, columns: &[String]) -> bool {
    let is_there = |part: &str| {
        let part = part.trim_matches(|c| c == '(' || c == ')' || c == ' ');
        let mut columns = columns.iter();
        columns.any(|column| part == format!("{} IS NOT NULL", quote_identifier(column)))
    };
    predicate.split(" AND ").all(is_there)
}

/// Whether an index serves a key, as its definition tells: over all rows, with the columns in front that are looked up. What looks a
/// temporal key up compares its period, too, which only GiST finds.
pub(super) fn serves(facts: &IndexFacts, key: &ForeignKey) -> bool {
    let Some(keys) = facts.definition.as_deref().and_then(index_keys) else {
        return false;
    };
    keys.predicate.is_none()
        && match keys.method.as_str() {
            "btree" | "hash" => begin_with(&keys, key.looked_up_columns()),
            "gist" => key.is_temporal && begin_with(&keys, &key.columns),
            _ => false,
        }
}

/// Whether the first keys of an index are these columns, in any order.
fn begins_with(facts: &IndexFacts, columns: &[String]) -> bool {
    let keys = facts.definition.as_deref().and_then(index_keys);
    keys.is_some_and(|keys| begin_with(&keys, columns))
}

/// The same of one whose definition was read.
fn begin_with(index: &IndexKeys, columns: &[String]) -> bool {
    let first = &index.keys[..index.keys.len().min(columns.len())];
    let is_first = |column: &String| {
        let quoted = quote_identifier(column);
        first.iter().any(|key| key.text == quoted)
    };
    columns.iter().all(is_first)
}
