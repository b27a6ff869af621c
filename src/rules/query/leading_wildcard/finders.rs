//! Indexes that find a text anywhere, and the columns that they do it for.

use std::sync::Arc;

use crate::model::catalog::IndexFacts;
use crate::model::observation::DatabaseObservation;
use crate::model::remedy::quote_identifier;
use crate::sql::expression::bare_columns;
use crate::sql::index_keys::{IndexKeys, Key};
use crate::sql::remembered::index_keys;
use crate::sql::shape::Searched;

/// Operator classes and access methods of indexes that find a text anywhere.
const FINDERS: [&str; 3] = ["trgm_ops", "bigm_ops", "pgroonga"];

/// Those of one table.
#[derive(Default)]
pub(super) struct Finders {
    known: Vec<Arc<IndexKeys>>,
    /// What some indexes hold could not be read.
    pub(super) has_unread: bool,
}

impl Finders {
    pub(super) fn of(database: &DatabaseObservation, table_oid: u32) -> Self {
        let mut finders = Self::default();
        for facts in database.catalog.indexes_of(table_oid) {
            finders.add(facts);
        }
        finders
    }

    /// What an index of this definition would be.
    pub(super) fn defined(definition: &str) -> Self {
        let mut finders = Self::default();
        finders.add_defined(definition);
        finders
    }

    fn add(&mut self, facts: &IndexFacts) {
        match facts.definition.as_deref() {
            None => self.has_unread = true,
            Some(definition) if facts.is_valid => self.add_defined(definition),
            Some(_) => {}
        }
    }

    fn add_defined(&mut self, definition: &str) {
        // hardly any needs to be parsed
        if !FINDERS.iter().any(|finder| definition.contains(*finder)) {
            return;
        }
        match index_keys(definition) {
            Some(index) => self.known.push(index),
            None => self.has_unread = true,
        }
    }

    /// Whether an index over all rows finds a text of that column anywhere.
    pub(super) fn find(&self, column: &Searched) -> bool {
        let name = quote_identifier(&column.column);
        let holds = |key: &Key| match (column.is_plain, column.letter_case) {
            (true, _) => key.text == name,
            (false, Some(function)) => {
                key.text.starts_with(&format!("{function}("))
                    && bare_columns(&key.text).contains(&column.column)
            }
            // which expression is searched is not known: it may be the one that is indexed
            (false, None) => bare_columns(&key.text).contains(&column.column),
        };
        self.known.iter().any(|index| {
            is_over_all(index, &name) && index.keys.iter().any(|key| is_finder(index, key) && holds(key))
        })
    }
}

fn is_finder(index: &IndexKeys, key: &Key) -> bool {
    let class = key.operator_class.as_deref().unwrap_or_default();
    FINDERS
        .iter()
        .any(|finder| class.contains(*finder) || index.method.contains(*finder))
}

/// Whether all rows that a search in a column can find are in an index: what is NULL fits no pattern.
fn is_over_all(index: &IndexKeys, name: &str) -> bool {
    let predicate = index.predicate.as_deref();
    predicate.is_none_or(|predicate| predicate == format!("{name} IS NOT NULL"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::shape::searched_columns;

    /// Whether an index of this definition finds what is searched by `… LIKE $1`.
    fn finds(definition: &str, searched: &str) -> bool {
        let column = searched_columns(&format!("SELECT 1 FROM notes WHERE {searched} LIKE $1")).remove(0);
        let mut finders = Finders::default();
        finders.add(&IndexFacts {
            is_valid: true,
            definition: Some(format!("CREATE INDEX i ON public.notes {definition}").into()),
            ..IndexFacts::default()
        });
        assert!(!finders.has_unread, "{definition}");
        finders.find(&column)
    }

    #[test]
    fn an_index_finds_what_its_own_keys_hold() {
        assert!(finds("USING gin (title gin_trgm_ops)", "title"));
        assert!(finds("USING gin (id, title x.gin_trgm_ops)", "title"));
        assert!(finds("USING gist (title gist_trgm_ops (siglen='32'))", "title"));
        assert!(finds("USING pgroonga (title)", "title"));
        assert!(finds("USING gin (\"Title\" gin_bigm_ops)", "\"Title\""));
        assert!(!finds("USING gin (subtitle gin_trgm_ops)", "title"));
        assert!(
            !finds("USING gin (body gin_trgm_ops)", "notes"),
            "the name of the table"
        );
        assert!(
            !finds("USING gin (i gin_trgm_ops)", "gin"),
            "the name of the method"
        );
        assert!(
            !finds("USING gin (body gin_trgm_ops, title)", "title"),
            "of another class"
        );
        assert!(!finds("USING btree (title)", "title"));
    }

    #[test]
    fn an_index_on_an_expression_finds_that_expression() {
        assert!(finds("USING gin (lower(title) gin_trgm_ops)", "lower(title)"));
        assert!(finds(
            "USING gin (lower(title::text) gin_trgm_ops)",
            "lower(title)"
        ));
        assert!(!finds("USING gin (upper(title) gin_trgm_ops)", "lower(title)"));
        assert!(!finds("USING gin (lower(title) gin_trgm_ops)", "title"));
        assert!(!finds("USING gin (lower(subtitle) gin_trgm_ops)", "lower(title)"));
    }

    #[test]
    fn an_index_over_some_rows_does_not_find_the_others() {
        assert!(!finds(
            "USING gin (title gin_trgm_ops) WHERE (is_public)",
            "title"
        ));
        assert!(finds(
            "USING gin (title gin_trgm_ops) WHERE (title IS NOT NULL)",
            "title"
        ));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let mut finders = Finders::default();
        finders.add(&IndexFacts {
            is_valid: true,
            definition: Some("CREATE INDEX i ON notes USING gin (body gin_trgm_ops".into()),
            ..IndexFacts::default()
        });
        assert!(finders.has_unread);
    }
}
