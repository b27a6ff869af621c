//! A look made fit to leave the machine: without any constant that somebody wrote into a definition or a statement.

use std::sync::Arc;

use crate::model::catalog::Catalog;
use crate::model::selector::comments_to_ignore;
use crate::model::snapshot::{Snapshot, StatementKind};
use crate::sql;

/// Takes the constants out of a look. The same constant becomes the same mark everywhere in it, so that equal definitions
/// stay equal; `key` makes the marks of one file mean nothing in another, and guessing them hopeless. Of comments nothing
/// stays but that a statement is to be left alone, by which of `rules`.
pub fn without_constants(snapshot: &mut Snapshot, key: &[u8; 32], rules: &[&str]) {
    for database in &mut snapshot.databases {
        let catalog = Arc::make_mut(&mut database.catalog);
        let masked = catalog.indexes.values().cloned().map(|mut index| {
            index.definition = index
                .definition
                .map(|text| sql::mask_constants(&text, key).into());
            index.shape = sql::mask_constants(&index.shape, key).into();
            index
        });
        let indexes = masked.collect();
        *catalog = Catalog::new(std::mem::take(&mut catalog.tables), indexes);
        for schema in database.schema.iter_mut() {
            for constraint in &mut Arc::make_mut(schema).not_valid {
                let masked = constraint.condition.as_deref();
                constraint.condition = masked.map(|text| sql::mask_constants(text, key));
            }
        }
    }
    if let Some(statements) = &mut snapshot.statements {
        for text in Arc::make_mut(&mut statements.texts).values_mut() {
            // pg_stat_statements takes constants out of queries only, and leaves comments as they were
            let plain = match text.kind {
                StatementKind::Query => sql::mask_constants(&text.text, key),
                _ => sql::command(&text.text),
            };
            let comments = comments_to_ignore(&text.text, rules);
            Arc::make_mut(text).text = match comments.is_empty() {
                true => plain,
                false => format!("{plain} {comments}"),
            };
        }
    }
    for setting in snapshot.server.settings.values_mut() {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-+, ".contains(c);
        // sizes, times and switches, names of libraries: an address or a key is none of these
        if setting.value.len() > 200 || !setting.value.chars().all(is_plain) {
            setting.value.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::IndexFacts;
    use crate::model::selector::is_ignored_by_comment;
    use crate::model::snapshot::DatabaseSnapshot;
    use crate::model::snapshot::{ServerFacts, Statements};
    use chrono::DateTime;

    #[test]
    fn no_constant_leaves_and_what_was_equal_stays_equal() {
        let index = |oid: u32, value: &str| {
            IndexFacts {
            oid,
            shape: format!("403|1|2|WHERE (status = '{value}'::text)").into(),
            definition: Some(
                format!(
                    "CREATE INDEX i{oid} ON public.t USING btree (\"odd 'name\") WHERE (status = '{value}'::text) AND n > 4711"
                )
                .into(),
            ),
            ..IndexFacts::default()
        }
        };
        let catalog = Catalog::new(
            Vec::new().into(),
            vec![index(1, "secret"), index(2, "secret"), index(3, "other")].into(),
        );
        let text = |text: &str| Arc::new(sql::identify(text));
        let mut snapshot = Snapshot {
            at: DateTime::UNIX_EPOCH,
            taken_at: DateTime::UNIX_EPOCH,
            server: ServerFacts::default(),
            watched: vec![],
            statements: Some(Statements {
                texts: Arc::new(
                    [
                        (1, text("ALTER ROLE app PASSWORD 'secret'")),
                        (2, text("SELECT * FROM t WHERE a = $1")),
                        (
                            3,
                            text("/* pgadvisor:ignore query.time_share secret */ /* other */ TABLE u"),
                        ),
                    ]
                    .into(),
                ),
                ..Statements::default()
            }),
            sessions: None,
            prepared_transactions: None,
            replication: None,
            databases: vec![DatabaseSnapshot {
                catalog: Arc::new(catalog),
                ..DatabaseSnapshot::default()
            }],
            gaps: vec![],
        };
        without_constants(&mut snapshot, &[7; 32], &["query.time_share", "query.slow_mean"]);
        let told = serde_json::to_string(&snapshot).unwrap();
        for secret in ["secret", "other", "4711"] {
            assert!(!told.contains(secret), "{told}");
        }
        assert!(told.contains("odd 'name") && told.contains("SELECT * FROM t WHERE a = $1"));
        let marked = &snapshot.statements.as_ref().unwrap().texts[&3].text;
        let is_ignored = |rule: &str| is_ignored_by_comment(marked, rule);
        assert!(
            is_ignored("query.time_share") && !is_ignored("query.slow_mean"),
            "{marked}"
        );
        let shapes: Vec<&str> = snapshot.databases[0]
            .catalog
            .indexes
            .values()
            .map(|index| &*index.shape)
            .collect();
        assert_eq!(shapes[0], shapes[1]);
        assert_ne!(shapes[0], shapes[2]);
    }
}
