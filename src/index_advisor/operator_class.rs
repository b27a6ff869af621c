//! Which index that is no b-tree answers a search: its method and the operator class of each key.

use std::collections::{BTreeMap, BTreeSet};

use super::candidate::IndexKey;
use super::clauses::{Key, Search};
use super::tables::{Column, Table};

/// The keys of an index, and its kind.
pub(super) struct Found {
    pub(super) method: &'static str,
    pub(super) keys: Vec<FoundKey>,
}

/// One of them.
pub(super) struct FoundKey {
    pub(super) key: IndexKey,
    pub(super) is_trigram: bool,
}

/// The classes that there are for the columns of a table.
pub(super) struct Classes<'a> {
    pub(super) table: &'a Table,
    pub(super) trigram_class: &'a str,
}

impl Classes<'_> {
    /// The index that answers all of these searches; `None` if one cannot be answered so.
    pub(super) fn of_all(&self, searched: &BTreeSet<Search>) -> Option<Found> {
        let mut by_key: BTreeMap<&Key, BTreeSet<&str>> = BTreeMap::new();
        for search in searched {
            by_key.entry(&search.key).or_default().insert(&search.operator);
        }
        let mut found: Option<Found> = None;
        for (key, operators) in by_key {
            let (method, class, is_trigram) = self.of(key, &operators)?;
            let key = FoundKey {
                key: IndexKey {
                    operator_class: class,
                    ..IndexKey::from(key.clone())
                },
                is_trigram,
            };
            let found = found.get_or_insert(Found {
                method,
                keys: Vec::new(),
            });
            if found.method != method {
                return None;
            }
            found.keys.push(key);
        }
        found
    }

    fn column(&self, key: &Key) -> Option<&Column> {
        match key {
            Key::Column(name) => self.table.columns.get(name),
            Key::Expression(_) => None,
        }
    }

    /// The method and the operator class under which these operators are answered (`None`: the type's own), and whether it is
    /// about trigrams.
    fn of(&self, key: &Key, operators: &BTreeSet<&str>) -> Option<(&'static str, Option<String>, bool)> {
        let all = |known: &[&str]| operators.iter().all(|operator| known.contains(operator));
        let column = self.column(key);
        let type_name = column.map_or("", |column| column.type_name.as_str());
        let is_text = match key {
            Key::Column(_) => column.is_some_and(Column::is_text),
            Key::Expression(text) => {
                ["lower(", "upper("].iter().any(|begin| text.starts_with(begin)) || text.contains("||")
            }
        };
        let is_vector = type_name == "tsvector"
            || matches!(key, Key::Expression(text) if text.starts_with("to_tsvector("));
        let class = |method, class: &str| Some((method, Some(class.to_owned()), false));
        if is_vector && all(&["@@"]) {
            return Some(("gin", None, false));
        }
        if type_name == "jsonb" && all(&["@>", "@?", "@@"]) {
            return class("gin", "jsonb_path_ops");
        }
        if type_name == "jsonb" && all(&["@>", "@?", "@@", "?", "?|", "?&"]) {
            return Some(("gin", None, false));
        }
        if column.is_some_and(|column| column.is_array) && all(&["@>", "<@", "&&", "="]) {
            return Some(("gin", None, false));
        }
        if is_text && !is_vector && all(&["~~", "~~*", "~", "~*", "%"]) {
            return Some(("gin", Some(self.trigram_class.to_owned()), true));
        }
        if column.is_some_and(|column| column.is_range)
            && all(&["&&", "@>", "<@", "<<", ">>", "&<", "&>", "-|-"])
        {
            return Some(("gist", None, false));
        }
        if matches!(type_name, "inet" | "cidr") && all(&["<<", "<<=", ">>", ">>=", "&&"]) {
            return class("gist", "inet_ops");
        }
        let is_shape = matches!(
            type_name,
            "point" | "box" | "circle" | "polygon" | "geometry" | "geography"
        );
        (is_shape && all(&["<@", "@>", "&&", "~=", "<<", ">>", "@", "~"])).then_some(("gist", None, false))
    }

    /// The index that gives rows in the order of their distance.
    pub(super) fn nearest(&self, nearest: &Search) -> Option<Found> {
        let column = self.column(&nearest.key)?;
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
        })
    }
}
