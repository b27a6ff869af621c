//! Plans in names that mean the same under every search_path: EXPLAIN leaves out the schemas that the statement's own path finds, and
//! what a session of ours is to make of it (a hypothetical index, say) is read under another one.

use std::sync::Arc;

use tokio_postgres::types::{ToSql, Type};

use super::Plan;
use crate::model::plan::PlanTree;
use crate::postgres::error::PostgresError;
use crate::postgres::{column_or_default, queries};
use crate::sql::{BareNames, Schemas, looked_in};

impl Plan {
    /// Writes the schemas of types and functions into a plan that was made under this search_path. Each name is asked for
    /// once. Where that cannot be asked, the plan stays as it is: an index on what it names so may be refused.
    ///
    /// # Errors
    /// If the session is lost.
    pub(super) async fn write_schemas(
        &self,
        tree: &mut PlanTree,
        search_path: &str,
    ) -> Result<(), PostgresError> {
        let known = self.state().schemas.get(search_path).cloned();
        let mut schemas: Arc<Schemas> = known.unwrap_or_default();
        let unknown = schemas.unknown(tree.expressions());
        if !unknown.is_empty() {
            let found = self.schemas_of(&unknown, search_path).await;
            let found = match found {
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    tracing::debug!("what a plan names so is not known: {}", error.one_line());
                    Vec::new()
                }
                Ok(found) => found,
            };
            let more = Arc::make_mut(&mut schemas);
            for [kind, name, schema] in found {
                more.add(&kind, name, schema);
            }
            more.were_asked(unknown);
            let known = Arc::clone(&schemas);
            self.state().schemas.insert(search_path.to_owned(), known);
        }
        if !schemas.is_empty() {
            tree.rewrite_expressions(&|text| schemas.qualified(text));
        }
        Ok(())
    }

    /// Kind, name and schema of what is found.
    async fn schemas_of(
        &self,
        names: &BareNames,
        search_path: &str,
    ) -> Result<Vec<[String; 3]>, PostgresError> {
        let path = looked_in(search_path);
        let types: Vec<&str> = names.types.iter().map(String::as_str).collect();
        let functions: Vec<&str> = names.functions.iter().map(String::as_str).collect();
        let asked: [(&(dyn ToSql + Sync), Type); 3] = [
            (&path, Type::TEXT_ARRAY),
            (&types, Type::TEXT_ARRAY),
            (&functions, Type::TEXT_ARRAY),
        ];
        let rows = self.session().rows(queries::PLAN_SCHEMAS, &asked).await?;
        let parts = ["kind", "name", "schema"];
        let found = rows
            .iter()
            .map(|row| parts.map(|part| column_or_default(row, part)));
        Ok(found.collect())
    }
}
