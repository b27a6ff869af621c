//! The Plan session: EXPLAIN of other people's statements, with hypothetical indexes (HypoPG). Planning a statement can run
//! code that it names, so nothing may be given to this session that the gate of the index advisor has not let pass.
//!
//! Text from outside enters whole, after `EXPLAIN /* pgadvisor */ (FORMAT JSON) ` or `PREPARE … AS `, by the extended protocol, which takes
//! one statement alone; and only as a [`ServerText`], in which our parser found exactly one query.

mod generic;
mod hypothetical;
mod named;
mod text_value;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::bound::all_rows;
use super::connect::connect;
use super::conninfo::ConnInfo;
use super::error::PostgresError;
use super::hosts::Hosts;
use super::queries;
use super::session::{Identifier, Observe, OurSql, PREPARE, Server};
use super::traces::{Counting, Traces, may_be_read, texts_a_day};
use crate::limits;
use crate::model::plan::PlanTree;
use crate::sql::{self, Objection, ParseError, Schemas};
pub use hypothetical::{Hypothetical, HypotheticalIndex};
use text_value::TextValue;

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

/// A session that plans and never runs. If it is lost with one statement, another one takes its place.
pub struct Plan {
    hosts: Arc<Hosts>,
    database: String,
    state: Mutex<State>,
    hypothetical: Option<Hypothetical>,
    /// The schema of HypoPG, where this login may not use it.
    refused_hypopg: Option<Identifier>,
    /// After each plan nothing is asked for so many times as long as it took, with all that was asked since the one before.
    pause: u32,
    /// Whether planning leaves the counters of indexes alone (`track_counts = off`).
    pub leaves_counters: bool,
    /// Whether planning leaves pg_stat_statements alone (`pg_stat_statements.track = none`).
    pub leaves_statements: bool,
    /// Whether it is on a standby, where only what runs there is captured.
    pub is_standby: bool,
    /// How many texts are planned within a day where that fills pg_stat_statements.
    texts_a_day: Option<usize>,
    traces: Traces,
}

/// The session that plans now, and those before it.
struct State {
    session: Arc<Observe>,
    /// Where it is, and its process there.
    conninfo: ConnInfo,
    pid: i32,
    /// How the scans of indexes are read there that planning counts; `None` where that takes too long.
    own_scans: Option<OurSql>,
    /// The OIDs of the hypothetical indexes that there are.
    made: Vec<u32>,
    /// Texts of which a generic plan would leave partitions out.
    with_all_partitions: HashSet<String>,
    /// Texts that could be prepared.
    prepared: HashSet<String>,
    /// Definitions that HypoPG did not take because an expression in them is not immutable.
    mutable: HashSet<String>,
    /// The same because a type in them has no operator class of its own for such an index.
    unordered: HashSet<String>,
    /// Where each search_path finds the names that plans write bare, as far as that was asked.
    schemas: HashMap<String, Arc<Schemas>>,
    /// How many sessions there were before it.
    generation: usize,
    /// Of those the ones that were lost with a statement.
    lost: usize,
    /// Seconds that all before it took.
    lost_seconds: f64,
    /// Of all that was spent, what was paused for.
    paused_for_seconds: f64,
}

/// A session that leaves alone what it may leave alone, and what is there.
async fn opened(hosts: &Hosts, database: &str) -> Result<(Observe, Vec<Row>), PostgresError> {
    // for a superuser that comes first, as every version takes it, so that not even what follows is counted
    let first = queries::LEAVE_STATEMENTS.on(140_000);
    let session = hosts.visit_with(database, Some(first)).await?;
    let version = version_of(&session.rows(queries::PLANNER, &[]).await?);
    // both are settings of superusers; others have them from ALTER ROLE, or may set them by a GRANT, or have not
    for query in [queries::LEAVE_COUNTERS, queries::LEAVE_STATEMENTS] {
        match session.settle(query.on(version)).await {
            Err(error) if !error.is_privilege() => return Err(error),
            _ => {}
        }
    }
    let rows = session.rows(queries::PLANNER, &[]).await?;
    Ok((session, rows))
}

fn pid_of(rows: &[Row]) -> i32 {
    rows.first().and_then(|row| row.try_get("pid").ok()).unwrap_or(0)
}

fn version_of(rows: &[Row]) -> i32 {
    let version = rows.first().and_then(|row| row.try_get("version_num").ok());
    version.unwrap_or_default()
}

/// How scans are read in the session that told this, which may be on a host of another version than the one before.
fn own_scans_of(rows: &[Row]) -> Option<OurSql> {
    let relations = rows
        .first()
        .and_then(|row| row.try_get::<_, f64>("relations").ok());
    may_be_read(relations).then(|| queries::OWN_SCANS.on(version_of(rows)))
}

impl Server {
    /// A planning session in a database, closed when it is dropped.
    ///
    /// # Errors
    /// If no session can be had within the time that the configuration gives.
    pub async fn plan(&self, database: &str) -> Result<Plan, PostgresError> {
        // of several hosts the one that is looked at; without looks one that is to be had now: no session at home keeps to one
        self.hosts.choose().await?;
        let (session, rows) = opened(&self.hosts, database).await?;
        let row = &rows[0];
        let flag = |name: &str| {
            row.try_get::<_, Option<bool>>(name)
                .ok()
                .flatten()
                .unwrap_or(false)
        };
        let schema = row.try_get::<_, Option<String>>("hypopg_schema").ok().flatten();
        let is_usable = flag("may_use_hypopg");
        let refused_hypopg = schema.clone().filter(|_| !is_usable).map(Identifier::new);
        let hypothetical = schema.filter(|_| is_usable).map(|schema| {
            let version = row.try_get("hypopg_version").unwrap_or_default();
            Hypothetical::new(schema, version)
        });
        let number = |name: &str| row.try_get::<_, Option<i32>>(name).ok().flatten();
        let leaves_statements = flag("leaves_statements");
        let plan = Plan {
            hosts: self.hosts.clone(),
            database: database.to_owned(),
            hypothetical,
            refused_hypopg,
            pause: 0,
            leaves_counters: flag("leaves_counters"),
            leaves_statements,
            is_standby: flag("is_standby"),
            texts_a_day: (!leaves_statements).then(|| texts_a_day(number("statements_max"))),
            traces: Traces::default(),
            state: Mutex::new(State {
                session: Arc::new(session),
                conninfo: self.hosts.chosen().with_database(database),
                pid: pid_of(&rows),
                own_scans: own_scans_of(&rows),
                made: Vec::new(),
                with_all_partitions: HashSet::new(),
                prepared: HashSet::new(),
                mutable: HashSet::new(),
                unordered: HashSet::new(),
                schemas: HashMap::new(),
                generation: 0,
                lost: 0,
                lost_seconds: 0.0,
                paused_for_seconds: 0.0,
            }),
        };
        plan.traces.begin(!plan.leaves_counters, plan.texts_a_day);
        Ok(plan)
    }
}

impl Plan {
    /// The same session at leisure: after each plan it pauses for so many times as long as that took, with whatever was asked
    /// since the plan before.
    pub fn at_leisure(self, pause: u32) -> Self {
        Self { pause, ..self }
    }

    /// The same session, of which others are told meanwhile what it leaves behind.
    pub fn leaving(self, traces: &Traces) -> Self {
        let traces = traces.clone();
        traces.begin(!self.leaves_counters, self.texts_a_day);
        Self { traces, ..self }
    }

    /// What planning left behind.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    fn counting(&self) -> Option<Counting<'_>> {
        (!self.leaves_counters).then(|| Counting {
            traces: &self.traces,
            database: &self.database,
            sql: self.state().own_scans,
        })
    }

    /// Pauses for what was asked since the last pause. Not between the gate and the planner: what the gate found out is
    /// believed for a short time.
    pub async fn pause(&self) {
        if self.pause == 0 {
            return;
        }
        let spent_seconds = self.spent_seconds();
        let before = std::mem::replace(&mut self.state().paused_for_seconds, spent_seconds);
        let seconds = (spent_seconds - before).max(0.0) * f64::from(self.pause);
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    }

    /// The session for statements of our own: what the planner's login may read decides what can be planned.
    pub fn session(&self) -> Arc<Observe> {
        self.state().session.clone()
    }

    /// Seconds that the server took for this session, and for those that it took the place of.
    pub fn spent_seconds(&self) -> f64 {
        let state = self.state();
        state.lost_seconds + state.session.spent_seconds()
    }

    /// How many sessions were lost until now with a statement that they planned.
    pub fn lost_sessions(&self) -> usize {
        self.state().lost
    }

    /// Which session plans now, from 0: another one has none of the hypothetical indexes, and hides nothing.
    pub fn generation(&self) -> usize {
        self.state().generation
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes another session where this one ended while nothing was asked, so that no statement is to blame.
    ///
    /// # Errors
    /// If none is to be had.
    pub async fn keep_open(&self) -> Result<(), PostgresError> {
        match self.session().is_closed() {
            true => self.take_another().await,
            false => Ok(()),
        }
    }

    /// What others can go on after: an error of the statement alone, or one with which the session was lost. Then the session
    /// is ended, if the server still works on it, and another one takes its place.
    ///
    /// # Errors
    /// If no other session is to be had.
    pub async fn go_on_after(&self, error: PostgresError) -> Result<PostgresError, PostgresError> {
        if !error.is_fatal() {
            return Ok(error);
        }
        if let PostgresError::Frozen { seconds, .. } = &error {
            self.session().worked_on_for(*seconds);
            self.end_from_outside().await;
        }
        self.take_another().await?;
        self.state().lost += 1;
        Ok(error)
    }

    async fn take_another(&self) -> Result<(), PostgresError> {
        let (session, rows) = opened(&self.hosts, &self.database).await?;
        let conninfo = self.hosts.chosen().with_database(&self.database);
        let mut state = self.state();
        let seconds = state.session.spent_seconds();
        state.generation += 1;
        state.lost_seconds += seconds;
        state.session = Arc::new(session);
        (state.conninfo, state.pid) = (conninfo, pid_of(&rows));
        state.own_scans = own_scans_of(&rows);
        state.made.clear();
        Ok(())
    }

    /// The plan of a statement as its user would get it with this search_path, in its details with the schemas of all names.
    ///
    /// # Errors
    /// If the server refuses the statement, or does not answer in time: [`Self::go_on_after`] says whether that was all.
    pub async fn explain(
        &self,
        statement: &ServerText,
        search_path: &str,
        parameters: Parameters<'_>,
        detail: Detail,
    ) -> Result<PlanTree, PostgresError> {
        if let Some(texts) = self.texts_a_day
            && !self.traces.may_plan(statement.as_str(), texts, Utc::now())
        {
            return Err(PostgresError::EnoughTexts { texts });
        }
        let session = self.session();
        let planned = match parameters {
            Parameters::Unknown => self.generic(&session, statement, search_path, detail).await,
            Parameters::Values(values) => {
                let sql = format!(
                    "EXPLAIN /* pgadvisor */ {} {}",
                    detail.options(),
                    statement.as_str()
                );
                let values: Vec<TextValue<'_>> =
                    values.iter().map(|value| TextValue(value.as_deref())).collect();
                let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
                session
                    .planned(&sql, search_path, &values, limits::PLAN_TIMEOUT, self.counting())
                    .await
            }
        };
        // a lost session may still work: it is ended first
        let is_lost = planned.as_ref().is_err_and(PostgresError::is_fatal);
        if !is_lost {
            self.pause().await;
        }
        let tree = PlanTree::read(&planned?);
        let mut tree = tree.ok_or_else(|| session.unusable("the answer of EXPLAIN"))?;
        // what is only priced is not read
        if detail == Detail::Expressions {
            self.write_schemas(&mut tree, search_path).await?;
        }
        Ok(tree)
    }

    /// What the server says against the text of a statement with parameters that was to be explained; `None` if it said nothing
    /// against the text.
    pub fn objection(error: &PostgresError) -> Option<Objection> {
        let is_about_the_text = error.is_about_the_text();
        is_about_the_text
            .then(|| error.objection(PREPARE.len()))
            .flatten()
    }

    /// A function that traps the timeout outlives it: the session is ended by another one of the same login, and not
    /// used again.
    async fn end_from_outside(&self) {
        let sql = queries::TERMINATE.text;
        let (conninfo, pid) = {
            let state = self.state();
            (state.conninfo.clone(), state.pid)
        };
        let ended = async {
            let client = connect(&conninfo).await.ok()?;
            all_rows(&client, sql, &[(&pid, Type::INT4)]).await.ok()
        };
        if tokio::time::timeout(limits::ANSWER_GRACE, ended)
            .await
            .ok()
            .flatten()
            .is_none()
        {
            tracing::warn!(
                pid,
                "a planning session that does not answer could not be ended from outside"
            );
        }
    }
}
