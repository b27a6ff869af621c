//! The Plan session: EXPLAIN of other people's statements, with hypothetical indexes (HypoPG). Planning a statement can run
//! code that it names, so nothing may be given to this session that the gate of the index advisor has not let pass.
//!
//! Text from outside enters whole, after `EXPLAIN (FORMAT JSON) ` or `PREPARE … AS `, by the extended protocol, which takes
//! one statement alone; and only as a [`ServerText`], in which our parser found exactly one query.

use std::sync::Mutex;
use std::time::Instant;

use tokio_postgres::types::{Format, IsNull, ToSql, Type, private::BytesMut};

use super::connect::connect;
use super::conninfo::ConnInfo;
use super::error::PostgresError;
use super::queries;
use super::session::{Identifier, Observe, Server};
use crate::limits;
use crate::model::plan::PlanTree;
use crate::sql::{self, ParseError};

/// A statement of somebody else in which our parser found exactly one query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerText(String);

impl ServerText {
    /// Takes a text whole.
    ///
    /// # Errors
    /// If it is no single SELECT, INSERT, UPDATE, DELETE or MERGE.
    pub fn one_query(text: &str) -> Result<Self, ParseError> {
        sql::one_query(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a planner is told of a statement's parameters.
#[derive(Clone, Copy, Debug)]
pub enum Parameters<'a> {
    /// Nothing: the generic plan, which serves all values alike.
    Unknown,
    /// Values as text, `None` for NULL; none at all for a text without parameters.
    Values(&'a [Option<String>]),
}

/// How much EXPLAIN tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nodes and costs.
    Costs,
    /// Also what each node puts out, with every column qualified.
    Expressions,
}

impl Detail {
    pub(super) fn options(self) -> &'static str {
        match self {
            Self::Costs => "(FORMAT JSON)",
            Self::Expressions => "(VERBOSE, FORMAT JSON)",
        }
    }
}

/// A value as the server reads it from text, whatever its type is.
#[derive(Debug)]
struct TextValue<'a>(Option<&'a str>);

impl ToSql for TextValue<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self.0 {
            None => Ok(IsNull::Yes),
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
        }
    }
    fn accepts(_: &Type) -> bool {
        true
    }
    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }
    tokio_postgres::types::to_sql_checked!();
}

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

/// A session that plans and never runs.
pub struct Plan {
    session: Observe,
    conninfo: ConnInfo,
    pid: i32,
    hypothetical: Option<Hypothetical>,
    /// The OIDs of the hypothetical indexes that there are.
    made: Mutex<Vec<u32>>,
    /// After each plan nothing is asked for so many times as long as it took.
    pause: u32,
    /// Whether planning leaves the counters of indexes alone (`track_counts = off`).
    pub leaves_counters: bool,
    /// Whether planning leaves pg_stat_statements alone (`pg_stat_statements.track = none`).
    pub leaves_statements: bool,
}

impl Server {
    /// A planning session in a database, closed when it is dropped.
    ///
    /// # Errors
    /// If no session can be had within the time that the configuration gives.
    pub async fn plan(&self, database: &str) -> Result<Plan, PostgresError> {
        // of several hosts the one that is looked at; without looks one that is to be had now: no session at home keeps to one
        self.hosts.choose().await?;
        let session = self.hosts.visit(database).await?;
        // both are settings of superusers; others have them from ALTER ROLE, or have not
        for sql in [queries::LEAVE_COUNTERS, queries::LEAVE_STATEMENTS] {
            match session.settle(sql).await {
                Err(error) if !error.is_privilege() => return Err(error),
                _ => {}
            }
        }
        let rows = session.rows(queries::PLANNER, &[]).await?;
        let row = &rows[0];
        let flag = |name: &str| {
            row.try_get::<_, Option<bool>>(name)
                .ok()
                .flatten()
                .unwrap_or(false)
        };
        let hypothetical = row
            .try_get::<_, Option<String>>("hypopg_schema")
            .ok()
            .flatten()
            .map(|schema| {
                let version: String = row.try_get("hypopg_version").unwrap_or_default();
                let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
                let can_hide = (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (1, 4);
                Hypothetical {
                    schema: Identifier::new(schema),
                    version,
                    can_hide,
                }
            });
        Ok(Plan {
            session,
            conninfo: self.hosts.chosen().with_database(database),
            pid: row.try_get("pid").unwrap_or(0),
            hypothetical,
            made: Mutex::default(),
            pause: 0,
            leaves_counters: flag("leaves_counters"),
            leaves_statements: flag("leaves_statements"),
        })
    }
}

impl Plan {
    /// HypoPG, if this database has it.
    pub fn hypothetical(&self) -> Option<&Hypothetical> {
        self.hypothetical.as_ref()
    }

    /// The same session at leisure: after each plan it pauses for so many times as long as that took.
    pub fn at_leisure(self, pause: u32) -> Self {
        Self { pause, ..self }
    }

    /// The session for statements of our own: what the planner's login may read decides what can be planned.
    pub fn session(&self) -> &Observe {
        &self.session
    }

    /// The plan of a statement as its user would get it with this search_path.
    ///
    /// # Errors
    /// If the server refuses the statement, or does not answer in time.
    pub async fn explain(
        &self,
        statement: &ServerText,
        search_path: &str,
        parameters: Parameters<'_>,
        detail: Detail,
    ) -> Result<PlanTree, PostgresError> {
        let started = Instant::now();
        let planned = match parameters {
            Parameters::Unknown => {
                let text = statement.as_str();
                self.session
                    .planned_generic(text, search_path, detail, limits::PLAN_TIMEOUT)
                    .await
            }
            Parameters::Values(values) => {
                let sql = format!("EXPLAIN {} {}", detail.options(), statement.as_str());
                let values: Vec<TextValue<'_>> =
                    values.iter().map(|value| TextValue(value.as_deref())).collect();
                let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
                self.session
                    .planned(&sql, search_path, &values, limits::PLAN_TIMEOUT)
                    .await
            }
        };
        if let Err(PostgresError::Frozen { .. }) = planned {
            self.end_from_outside().await;
        }
        tokio::time::sleep(started.elapsed() * self.pause).await;
        PlanTree::read(&planned?).ok_or_else(|| self.session.unusable("the answer of EXPLAIN"))
    }

    /// A function that traps the timeout outlives it: the session is ended by another one of the same login, and not
    /// used again.
    async fn end_from_outside(&self) {
        let sql = queries::TERMINATE.text;
        let ended = async {
            let client = connect(&self.conninfo).await.ok()?;
            client.query_typed(sql, &[(&self.pid, Type::INT4)]).await.ok()
        };
        if tokio::time::timeout(limits::ANSWER_GRACE, ended)
            .await
            .ok()
            .flatten()
            .is_none()
        {
            tracing::warn!(
                pid = self.pid,
                "a planning session that does not answer could not be ended from outside"
            );
        }
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
        if definitions.is_empty() {
            return Ok(Vec::new());
        }
        match self.create_together(definitions).await {
            Ok(made) => return Ok(made),
            Err(error) if error.is_fatal() => return Err(error),
            // one that HypoPG does not take loses all of an answer
            Err(_) => self.drop_unknown().await?,
        }
        let mut made = Vec::with_capacity(definitions.len());
        for definition in definitions {
            match self.create_together(std::slice::from_ref(definition)).await {
                Ok(one) => made.extend(one),
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    tracing::debug!("HypoPG does not take {definition}: {}", error.one_line());
                    made.push(None);
                }
            }
        }
        Ok(made)
    }

    async fn create_together(
        &self,
        definitions: &[String],
    ) -> Result<Vec<Option<HypotheticalIndex>>, PostgresError> {
        let schema = self.hypopg()?;
        let definitions = definitions.to_vec();
        let rows = self
            .session
            .rows_in_schema(
                queries::HYPOPG_CREATE,
                schema,
                &[(&definitions, Type::TEXT_ARRAY)],
            )
            .await?;
        let index = |row: &tokio_postgres::Row| HypotheticalIndex {
            oid: row.get("oid"),
            name: row.get("name"),
            size_bytes: row.get("size_bytes"),
        };
        let indexes: Vec<HypotheticalIndex> = rows.iter().map(index).collect();
        self.made().extend(indexes.iter().map(|index| index.oid));
        Ok(indexes.into_iter().map(Some).collect())
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Vec<u32>> {
        self.made
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn drop_unknown(&self) -> Result<(), PostgresError> {
        let known = self.made().clone();
        let schema = self.hypopg()?;
        self.session
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
        self.session
            .rows_in_schema(queries::HYPOPG_DROP, schema, &[(&oids, Type::OID_ARRAY)])
            .await?;
        self.made().retain(|oid| !oids.contains(oid));
        Ok(())
    }

    /// Forgets all hypothetical indexes, and shows all real ones again.
    ///
    /// # Errors
    /// If HypoPG is missing, or the session is lost.
    pub async fn reset_hypothetical(&self) -> Result<(), PostgresError> {
        let schema = self.hypopg()?;
        self.session
            .rows_in_schema(queries::HYPOPG_RESET, schema, &[])
            .await?;
        self.made().clear();
        if self.hypothetical.as_ref().is_some_and(|hypopg| hypopg.can_hide) {
            self.session
                .rows_in_schema(queries::HYPOPG_UNHIDE, schema, &[])
                .await?;
        }
        Ok(())
    }

    /// Hides real indexes from this session's planner, as if they had been dropped (HypoPG 1.4).
    ///
    /// # Errors
    /// If HypoPG is missing or older, or the session is lost.
    pub async fn hide_indexes(&self, oids: &[u32]) -> Result<(), PostgresError> {
        let oids = oids.to_vec();
        let schema = self.hypopg()?;
        self.session
            .rows_in_schema(queries::HYPOPG_HIDE, schema, &[(&oids, Type::OID_ARRAY)])
            .await?;
        Ok(())
    }

    fn hypopg(&self) -> Result<&Identifier, PostgresError> {
        match &self.hypothetical {
            Some(hypopg) => Ok(&hypopg.schema),
            None => Err(self
                .session
                .unusable("HypoPG, which is not installed in this database")),
        }
    }
}
