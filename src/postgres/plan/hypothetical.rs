//! HypoPG: indexes that only a planning session sees, and real ones that it does not.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::Plan;
use crate::postgres::error::PostgresError;
use crate::postgres::halved::Parts;
use crate::postgres::queries;
use crate::postgres::session::Identifier;

/// An index that only this session's planner sees.
#[derive(Clone, Debug, PartialEq)]
pub struct HypotheticalIndex {
    /// Its OID, which no real index has.
    pub oid: u32,
    /// Its name in plans.
    pub name: String,
    /// Its size as HypoPG estimates it.
    pub size_bytes: f64,
}

/// HypoPG, where it is installed.
#[derive(Clone, Debug)]
pub struct Hypothetical {
    schema: Identifier,
    /// Its version, as `1.4.1`.
    pub version: String,
    /// Whether it can hide real indexes (from 1.4).
    pub can_hide: bool,
}

impl Hypothetical {
    pub(super) fn new(schema: String, version: String) -> Self {
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let can_hide = (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (1, 4);
        Self {
            schema: Identifier::new(schema),
            version,
            can_hide,
        }
    }
}

impl Plan {
    /// HypoPG, if this database has it, and its schema may be used.
    pub fn hypothetical(&self) -> Option<&Hypothetical> {
        self.hypothetical.as_ref()
    }

    /// The schema of HypoPG, where this database has it and this login may not use it.
    pub fn refused_hypopg(&self) -> Option<&Identifier> {
        self.refused_hypopg.as_ref()
    }

    /// Makes hypothetical indexes from definitions that were built from typed statements; one that HypoPG does not take
    /// is `None`.
    ///
    /// # Errors
    /// If HypoPG is missing, or the session is lost.
    pub async fn create_hypothetical(
        &self,
        definitions: &[String],
    ) -> Result<Vec<Option<HypotheticalIndex>>, PostgresError> {
        let mut made = vec![None; definitions.len()];
        let mut parts = Parts::of(definitions.len());
        while let Some(part) = parts.next_part() {
            match self.create_together(&definitions[part.clone()]).await {
                Ok(indexes) => {
                    let places = made[part].iter_mut();
                    places
                        .zip(indexes)
                        .for_each(|(place, index)| *place = Some(index));
                }
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    // one that HypoPG does not take loses all of an answer, but leaves behind what was made before it
                    self.drop_unknown().await?;
                    if let Some(one) = parts.refused(&part) {
                        let definition = &definitions[one];
                        tracing::debug!("HypoPG does not take {definition}: {}", error.one_line());
                        if error.is_about_a_mutable_expression() {
                            self.state().mutable.insert(definition.clone());
                        }
                        if error.is_about_an_operator_class() {
                            self.state().unordered.insert(definition.clone());
                        }
                    }
                }
            }
        }
        Ok(made)
    }

    /// Whether HypoPG did not take this definition because an expression in it is not immutable.
    pub fn is_mutable(&self, definition: &str) -> bool {
        self.state().mutable.contains(definition)
    }

    /// Whether HypoPG did not take this definition because a type in it has no operator class of its own for such an index.
    pub fn is_unordered(&self, definition: &str) -> bool {
        self.state().unordered.contains(definition)
    }

    async fn create_together(&self, definitions: &[String]) -> Result<Vec<HypotheticalIndex>, PostgresError> {
        let schema = self.hypopg()?;
        let definitions = definitions.to_vec();
        let rows = self
            .session()
            .rows_in_schema(
                queries::HYPOPG_CREATE,
                schema,
                &[(&definitions, Type::TEXT_ARRAY)],
            )
            .await?;
        let index = |row: &Row| HypotheticalIndex {
            oid: row.get("oid"),
            name: row.get("name"),
            size_bytes: row.get("size_bytes"),
        };
        let indexes: Vec<HypotheticalIndex> = rows.iter().map(index).collect();
        self.state().made.extend(indexes.iter().map(|index| index.oid));
        Ok(indexes)
    }

    async fn drop_unknown(&self) -> Result<(), PostgresError> {
        let known = self.state().made.clone();
        let schema = self.hypopg()?;
        self.session()
            .rows_in_schema(queries::HYPOPG_DROP_OTHERS, schema, &[(&known, Type::OID_ARRAY)])
            .await
            .map(drop)
    }

    /// Drops some of the hypothetical indexes.
    ///
    /// # Errors
    /// If HypoPG is missing, or the session is lost.
    pub async fn drop_hypothetical(&self, oids: &[u32]) -> Result<(), PostgresError> {
        let oids = oids.to_vec();
        let schema = self.hypopg()?;
        self.session()
            .rows_in_schema(queries::HYPOPG_DROP, schema, &[(&oids, Type::OID_ARRAY)])
            .await?;
        self.state().made.retain(|oid| !oids.contains(oid));
        Ok(())
    }

    /// Forgets all hypothetical indexes, and shows all real ones again.
    ///
    /// # Errors
    /// If HypoPG is missing, or the session is lost.
    pub async fn reset_hypothetical(&self) -> Result<(), PostgresError> {
        let schema = self.hypopg()?;
        self.session()
            .rows_in_schema(queries::HYPOPG_RESET, schema, &[])
            .await?;
        self.state().made.clear();
        if self.hypothetical.as_ref().is_some_and(|hypopg| hypopg.can_hide) {
            self.session()
                .rows_in_schema(queries::HYPOPG_UNHIDE, schema, &[])
                .await?;
        }
        self.pause().await;
        Ok(())
    }

    /// Hides real indexes from this session's planner, as if they had been dropped (HypoPG 1.4).
    ///
    /// # Errors
    /// If HypoPG is missing or older, or the session is lost.
    pub async fn hide_indexes(&self, oids: &[u32]) -> Result<(), PostgresError> {
        let oids = oids.to_vec();
        let schema = self.hypopg()?;
        self.session()
            .rows_in_schema(queries::HYPOPG_HIDE, schema, &[(&oids, Type::OID_ARRAY)])
            .await?;
        Ok(())
    }

    fn hypopg(&self) -> Result<&Identifier, PostgresError> {
        match &self.hypothetical {
            Some(hypopg) => Ok(&hypopg.schema),
            None => Err(self
                .session()
                .unusable("HypoPG, which is not installed in this database")),
        }
    }
}
