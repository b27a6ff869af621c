//! An index that could answer what plans ask of a table, and what it has in common with others.

use std::collections::BTreeSet;

use super::clauses::{Key, OrderedKey};
use super::estimated::Methods;
use super::ready::KeyOf;
use crate::model::remedy::{Statement, quote_identifier};

/// One key of an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct IndexKey {
    pub key: Key,
    pub descending: bool,
    pub nulls_first: bool,
    /// An operator class other than the type's own, as `text_pattern_ops`.
    pub operator_class: Option<String>,
}

impl From<Key> for IndexKey {
    fn from(key: Key) -> Self {
        Self {
            key,
            descending: false,
            nulls_first: false,
            operator_class: None,
        }
    }
}

/// An index that could be made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct Candidate {
    pub schema: String,
    pub table: String,
    pub method: &'static str,
    pub keys: Vec<IndexKey>,
    pub include: Vec<String>,
    pub predicate: Option<String>,
}

/// Schema and name of a table, and the first keys of an index of it.
pub(super) type Beginning<'a> = ((&'a str, &'a str), Vec<&'a Key>);

impl Candidate {
    /// Its table, and its first keys in whatever direction.
    pub(super) fn beginning(&self, keys: usize) -> Beginning<'_> {
        let first = self.keys.iter().take(keys).map(|key| &key.key);
        ((&self.schema, &self.table), first.collect())
    }

    /// Whether it is an index of the same table with the same first keys.
    pub(super) fn begins_with(&self, beginning: &Beginning<'_>) -> bool {
        self.beginning(beginning.1.len()) == *beginning
    }

    /// The index as a statement.
    pub fn statement(&self, concurrently: bool, name: Option<String>) -> Statement {
        Statement::CreateIndex {
            concurrently,
            only: false,
            name,
            schema: self.schema.clone(),
            table: self.table.clone(),
            method: self.method,
            keys: self.keys.iter().map(IndexKey::sql).collect(),
            include: self.include.clone(),
            predicate: self.predicate.clone(),
        }
    }

    /// The index as HypoPG takes it.
    pub fn hypothetical(&self) -> String {
        self.statement(false, None).sql()
    }

    /// The same without what is only carried along, else without its last key. A key that rows are sorted by stays: the
    /// planner takes all values for equally common, and those that are not would have to be sorted.
    pub fn narrower(&self, ordering: &BTreeSet<KeyOf>) -> Option<Self> {
        let mut less = self.clone();
        if !less.include.is_empty() {
            less.include.clear();
            return Some(less);
        }
        let last = less.keys.pop()?;
        let stays = ordering.contains(&(self.schema.clone(), self.table.clone(), last.key));
        (!stays && !less.keys.is_empty()).then_some(less)
    }

    /// Whether a search or an order that this one answers is answered by another one, too: it has the same first keys.
    pub fn is_prefix_of(&self, other: &Self) -> bool {
        let mine: BTreeSet<&str> = self.columns().collect();
        let theirs: BTreeSet<&str> = other.columns().collect();
        (&self.schema, &self.table, self.method, &self.predicate)
            == (&other.schema, &other.table, other.method, &other.predicate)
            && other.keys.starts_with(&self.keys)
            && (self.include.is_empty() || mine.is_subset(&theirs))
    }

    /// Whether a column as it is is one of its keys, whichever way that is sorted.
    pub(super) fn has_key(&self, column: &str) -> bool {
        let is_it = |key: &IndexKey| matches!(&key.key, Key::Column(name) if name == column);
        self.keys.iter().any(is_it)
    }

    /// The same without what it carries along though it is a key; and what has a single key is sorted as usual, for it is read from
    /// either end.
    pub(super) fn simplest(mut self) -> Self {
        let include = std::mem::take(&mut self.include);
        self.include = include.into_iter().filter(|one| !self.has_key(one)).collect();
        if let [key] = &mut self.keys[..]
            && key.descending
            && key.nulls_first
        {
            (key.descending, key.nulls_first) = (false, false);
        }
        self
    }

    /// Whether it holds a column as it is.
    pub fn holds(&self, column: &str) -> bool {
        self.columns().any(|one| one == column)
    }

    /// Whether an expression or the predicate names a column.
    pub fn mentions(&self, column: &str) -> bool {
        let expressions = self.keys.iter().filter_map(|key| match &key.key {
            Key::Expression(text) => Some(text.as_str()),
            Key::Column(_) => None,
        });
        let mut texts = expressions.chain(self.predicate.as_deref());
        texts.any(|text| text.contains(column))
    }

    /// Whether a key is an expression.
    pub fn has_expressions(&self) -> bool {
        self.keys.iter().any(|key| matches!(key.key, Key::Expression(_)))
    }

    /// The columns that it holds as they are.
    fn columns(&self) -> impl Iterator<Item = &str> {
        let keys = self.keys.iter().filter_map(|key| match &key.key {
            Key::Column(column) => Some(column.as_str()),
            Key::Expression(_) => None,
        });
        keys.chain(self.include.iter().map(String::as_str))
    }
}

impl IndexKey {
    /// The key in a definition.
    pub fn sql(&self) -> String {
        let mut sql = match &self.key {
            Key::Column(column) => quote_identifier(column),
            Key::Expression(text) => format!("({text})"),
        };
        if let Some(class) = &self.operator_class {
            sql = format!("{sql} {class}");
        }
        match (self.descending, self.nulls_first) {
            (false, false) => sql,
            (false, true) => sql + " NULLS FIRST",
            (true, true) => sql + " DESC",
            (true, false) => sql + " DESC NULLS LAST",
        }
    }
}

/// Which kinds of index are wanted.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Kinds {
    /// Keys at most.
    pub max_width: usize,
    pub btree: bool,
    pub include: bool,
    pub partial: bool,
    pub expression: bool,
    /// Beside b-trees they are priced apart.
    pub brin: bool,
    /// Those that no planner can price before they exist.
    pub estimated: Methods,
}

impl Default for Kinds {
    fn default() -> Self {
        Self {
            max_width: 3,
            btree: true,
            include: true,
            partial: true,
            expression: true,
            brin: true,
            estimated: Methods {
                gin: true,
                gist: true,
            },
        }
    }
}

impl IndexKey {
    /// The column that it is, ascending and by the type's own operators.
    pub fn plain_column(&self) -> Option<&String> {
        match &self.key {
            Key::Column(name) if *self == Self::from(self.key.clone()) => Some(name),
            _ => None,
        }
    }

    /// The key with the order that it keeps.
    pub(super) fn ordered(&self) -> OrderedKey {
        OrderedKey {
            key: self.key.clone(),
            descending: self.descending,
            nulls_first: self.nulls_first,
        }
    }

    /// The key as an order wants it.
    pub(super) fn of_order(order: &OrderedKey) -> Self {
        Self {
            key: order.key.clone(),
            descending: order.descending,
            nulls_first: order.nulls_first,
            operator_class: None,
        }
    }
}
