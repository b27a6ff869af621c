//! Materialized views of one database: what decides how each can be refreshed. Definitions are read of those alone that
//! cannot be refreshed without locking readers out, and again only when they changed.

use std::collections::HashMap;

use tokio_postgres::types::Type;

use crate::model::snapshot::MaterializedViewFacts;
use crate::postgres::{Observe, PostgresError, column, queries};
use crate::sql;

/// What definitions say, by OID, each with the version of the view's row that it was read for.
#[derive(Default)]
pub struct DefinitionCache {
    known: HashMap<u32, (String, Option<Vec<String>>)>,
}

impl DefinitionCache {
    /// Reads all materialized views.
    ///
    /// # Errors
    /// If the server refuses or does not answer.
    pub async fn look(
        &mut self,
        session: &Observe,
        version_num: i32,
    ) -> Result<Vec<MaterializedViewFacts>, PostgresError> {
        let views = session.materialized_views(version_num).await?;
        let lacking = views.iter().filter(|view| view.unique_index.is_none());
        let unread: Vec<u32> = lacking
            .filter(|view| {
                self.known
                    .get(&view.oid)
                    .is_none_or(|(version, _)| *version != view.state.version)
            })
            .map(|view| view.oid)
            .collect();
        let mut read = HashMap::new();
        if !unread.is_empty() {
            let rows = session
                .rows(queries::MATVIEW_DEFINITIONS, &[(&unread, Type::OID_ARRAY)])
                .await?;
            for row in rows {
                let columns: Vec<Option<String>> = column(&row, "columns").unwrap_or_default();
                let definition: String = column(&row, "definition").unwrap_or_default();
                let unique = sql::unique_columns(&definition).and_then(|positions| {
                    positions
                        .into_iter()
                        .map(|position| columns.get(position).cloned().flatten())
                        .collect()
                });
                read.insert(column::<u32>(&row, "oid").unwrap_or(0), unique);
            }
        }
        let mut known = HashMap::new();
        let facts = views.into_iter().map(|view| {
            let before = self.known.remove(&view.oid).map(|(_, unique)| unique);
            let unique_columns: Option<Vec<String>> = read.remove(&view.oid).or(before).flatten();
            known.insert(view.oid, (view.state.version.clone(), unique_columns.clone()));
            MaterializedViewFacts { view, unique_columns }
        });
        let facts = facts.collect();
        self.known = known;
        Ok(facts)
    }
}
