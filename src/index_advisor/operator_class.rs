//! Which index that is no b-tree answers a search: its method and the operator class of each key.

mod typed;

use std::collections::{BTreeMap, BTreeSet};

use super::candidate::IndexKey;
use super::clauses::{Key, Search, Searches};
use super::existing::ExistingKey;
use super::tables::{Column, Table};

/// The keys of an index, and its kind.
pub(super) struct Found {
    pub(super) method: &'static str,
    pub(super) keys: Vec<FoundKey>,
    /// What it answers, with what is there already.
    pub(super) answered: Vec<Searches>,
}

/// One of them.
pub(super) struct FoundKey {
    pub(super) key: IndexKey,
    pub(super) is_trigram: bool,
}

/// How a key is searched.
struct Class {
    method: &'static str,
    /// `None`: the type's own.
    name: Option<String>,
    is_trigram: bool,
}

/// The classes that there are for the columns of a table.
pub(super) struct Classes<'a> {
    pub(super) table: &'a Table,
    pub(super) trigram_class: &'a str,
}

/// The better first: GIN has the rows of each key that is searched, GiST must look into all that may hold it.
const METHODS: [&str; 2] = ["gin", "gist"];

impl Classes<'_> {
    /// The indexes that answer these searches, one of each method and the better method first. What an index cannot answer is
    /// checked on the rows that it finds.
    pub(super) fn of_all(&self, searched: &BTreeSet<Searches>) -> Vec<Found> {
        let found = METHODS.into_iter().map(|method| self.of_method(method, searched));
        found.flatten().collect()
    }

    fn of_method(&self, method: &'static str, searched: &BTreeSet<Searches>) -> Option<Found> {
        let answered = searched.iter().filter(|searches| self.answers(method, searches));
        let answered: Vec<Searches> = answered.cloned().collect();
        let mut by_key: BTreeMap<&Key, BTreeSet<&str>> = BTreeMap::new();
        for search in answered.iter().flat_map(|searches| &searches.all) {
            if !self.is_answered(search) {
                by_key.entry(&search.key).or_default().insert(&search.operator);
            }
        }
        let key = |(key, operators): (&Key, BTreeSet<&str>)| {
            let class = self.of(key, &operators)?;
            Some(FoundKey {
                key: IndexKey {
                    operator_class: class.name,
                    ..IndexKey::from(key.clone())
                },
                is_trigram: class.is_trigram,
            })
        };
        let keys: Option<Vec<FoundKey>> = by_key.into_iter().map(key).collect();
        let keys = keys.filter(|keys| !keys.is_empty())?;
        Some(Found {
            method,
            keys,
            answered,
        })
    }

    /// Whether an index of this method finds all that is searched, together with the indexes that are there.
    fn answers(&self, method: &str, searches: &Searches) -> bool {
        let finds = |search: &Search| self.of_one(search).is_some_and(|class| class.method == method);
        let is_found = |keys: &BTreeSet<Key>| keys.iter().any(|key| self.begins_an_index(key));
        let mut all = searches.all.iter();
        all.all(|search| finds(search) || self.is_answered(search)) && searches.beside.iter().all(is_found)
    }

    /// Whether a b-tree is there that finds a key by its value.
    fn begins_an_index(&self, key: &Key) -> bool {
        let whole = self
            .table
            .indexes
            .iter()
            .filter(|index| index.predicate.is_none());
        let mut b_trees = whole.filter(|index| index.method == "btree");
        b_trees.any(|index| {
            index
                .keys
                .first()
                .is_some_and(|first| first.key == *key && first.is_plain)
        })
    }

    /// Whether an index is there that finds what is searched. Which class it has, if not the type's own, is not known.
    fn is_answered(&self, search: &Search) -> bool {
        let Some(class) = self.of_one(search) else {
            return false;
        };
        // the own class of jsonb finds all that the other one does
        let is_of_class = |key: &ExistingKey| {
            key.is_plain == class.name.is_none() || class.name.as_deref() == Some("jsonb_path_ops")
        };
        let whole = self
            .table
            .indexes
            .iter()
            .filter(|index| index.predicate.is_none());
        let mut keys = whole
            .filter(|index| index.method == class.method)
            .flat_map(|index| &index.keys);
        keys.any(|key| key.key == search.key && is_of_class(key))
    }

    /// A key as a column of its type: of an expression no more is known.
    fn described(&self, key: &Key) -> Option<Column> {
        match key {
            Key::Column(name) => self.table.columns.get(name).cloned(),
            Key::Expression(text) => typed::described(text, self.table),
        }
    }

    fn of_one(&self, search: &Search) -> Option<Class> {
        self.of(&search.key, &[search.operator.as_str()].into())
    }

    /// The class under which a key is searched by all of these operators.
    fn of(&self, key: &Key, operators: &BTreeSet<&str>) -> Option<Class> {
        let column = self.described(key)?;
        let all = |known: &[&str]| operators.iter().all(|operator| known.contains(operator));
        let class = |method, name: Option<&str>| {
            Some(Class {
                method,
                name: name.map(str::to_owned),
                is_trigram: false,
            })
        };
        match column.type_name.as_str() {
            "tsvector" if all(&["@@"]) => class("gin", None),
            "jsonb" if all(&["@>", "@?", "@@"]) => class("gin", Some("jsonb_path_ops")),
            "jsonb" if all(&["@>", "@?", "@@", "?", "?|", "?&"]) => class("gin", None),
            "inet" | "cidr" if all(&["<<", "<<=", ">>", ">>=", "&&"]) => class("gist", Some("inet_ops")),
            "point" | "box" | "circle" | "polygon" | "geometry" | "geography"
                if all(&["<@", "@>", "&&", "~=", "<<", ">>", "@", "~"]) =>
            {
                class("gist", None)
            }
            _ if column.is_array && all(&["@>", "<@", "&&", "="]) => class("gin", None),
            _ if column.is_range && all(&["&&", "@>", "<@", "<<", ">>", "&<", "&>", "-|-"]) => {
                class("gist", None)
            }
            _ if column.is_text() && all(&["~~", "~~*", "~", "~*", "%", "%>", "%>>"]) => Some(Class {
                is_trigram: true,
                ..class("gin", Some(self.trigram_class))?
            }),
            _ => None,
        }
    }

    /// The index that gives rows in the order of their distance.
    pub(super) fn nearest(&self, nearest: &Search) -> Option<Found> {
        let Key::Column(name) = &nearest.key else {
            return None;
        };
        let column = self.table.columns.get(name)?;
        let is_trigram = column.is_text();
        let knows = matches!(
            column.type_name.as_str(),
            "point" | "box" | "circle" | "polygon" | "geometry" | "geography"
        );
        if nearest.operator != "<->" || !knows && !is_trigram {
            return None;
        }
        let class = is_trigram.then(|| self.trigram_class.replace("gin_", "gist_"));
        let key = IndexKey {
            operator_class: class,
            ..IndexKey::from(nearest.key.clone())
        };
        Some(Found {
            method: "gist",
            keys: vec![FoundKey { key, is_trigram }],
            answered: Vec::new(),
        })
    }
}
