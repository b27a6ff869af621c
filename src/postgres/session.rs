//! Guarded sessions. An [`Observe`] session reads statistics and catalogs and can do nothing else: start-up options that
//! win over what ALTER ROLE set, read-only transactions that leave nothing behind, timeouts of the server and of ours.

mod planned;

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::bound::{Bound, all_rows};
use super::conninfo::ConnInfo;
use super::error::{PostgresError, Unanswered};
use super::handle::{Handle, prepared, read_only};
use super::hosts::Hosts;
use super::spent::{HostSpent, SessionSpent};
use crate::limits;
use crate::model::remedy::{Statement, quote_identifier};

pub(super) use planned::{PREPARE, Partitions, Sending};

/// A statement of ours: always a text from `queries/`, known at compile time.
#[derive(Clone, Copy, Debug)]
pub struct OurSql {
    /// The file's name, for errors and the status page.
    pub name: &'static str,
    pub(super) text: &'static str,
}

impl OurSql {
    /// The text with the schema of an extension in its place.
    fn in_schema(self, schema: &Identifier) -> String {
        self.text.replace("{schema}", &quote_identifier(&schema.0))
    }
}

/// A name from a server, which enters a statement of ours only quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identifier(String);

impl Identifier {
    /// Any text may be a name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

/// One server: how to reach it, and its pooled session at home.
pub struct Server {
    pub(super) hosts: Arc<Hosts>,
}

/// What is known of a session beyond one look.
pub(super) struct Shared {
    /// A statement was sent and its answer has not come: what is in the pipe belongs to nobody else. If it is still set
    /// when the session is asked for again, the look before was given up, and the session is not used again.
    pub(super) awaits_answer: AtomicBool,
    /// The server keeps prepared statements. A pooler between us may give each transaction another session.
    keeps_statements: AtomicBool,
    /// Of the host, for all of its sessions.
    host: Arc<HostSpent>,
}

impl Shared {
    /// Of another session on the same host.
    pub(super) fn of_a_visit(&self) -> Self {
        Self {
            host: self.host.clone(),
            ..Self::default()
        }
    }

    /// What the host had to do for all of its sessions since the last time.
    pub(super) fn take_spent(&self) -> Duration {
        self.host.take()
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            awaits_answer: AtomicBool::new(false),
            keeps_statements: AtomicBool::new(true),
            host: Arc::default(),
        }
    }
}

/// A guarded read-only session for statistics and catalogs.
pub struct Observe {
    client: Handle,
    target: String,
    spent: SessionSpent,
    shared: Arc<Shared>,
}

impl Server {
    /// Prepares a server; connects when it is first needed.
    ///
    /// # Errors
    /// If certificates cannot be read.
    pub fn new(conninfo: ConnInfo) -> Result<Self, PostgresError> {
        Ok(Self {
            hosts: Arc::new(Hosts::new(conninfo)?),
        })
    }

    /// The same server with a session at home of its own: of several hosts it is always on the one that this one chose.
    ///
    /// # Errors
    /// If certificates cannot be read.
    pub fn following(&self) -> Result<Self, PostgresError> {
        Ok(Self {
            hosts: Arc::new(self.hosts.following()?),
        })
    }

    /// The same server by another login: of several hosts it is always on the one that this one chose. None where that login
    /// does not name every host to which this one may go.
    ///
    /// # Errors
    /// If certificates cannot be read.
    pub fn followed_by(&self, login: ConnInfo) -> Result<Option<Self>, PostgresError> {
        let hosts = self.hosts.followed_by(login)?.map(Arc::new);
        Ok(hosts.map(|hosts| Self { hosts }))
    }

    /// The same server by the same login, with sessions of its own.
    ///
    /// # Errors
    /// If certificates cannot be read.
    pub fn again(&self) -> Result<Self, PostgresError> {
        Ok(Self {
            hosts: Arc::new(self.hosts.again()?),
        })
    }

    /// Whether a session was had, so that it is known which of its hosts is the server.
    pub fn is_chosen(&self) -> bool {
        self.hosts.is_chosen()
    }

    /// Seconds that it took for all sessions of this one since the last time: also for what was refused, was lost with its
    /// session, or was given up.
    pub fn take_spent_seconds(&self) -> f64 {
        self.hosts.take_spent().as_secs_f64()
    }

    /// How to reach it, with all of its hosts.
    pub fn conninfo(&self) -> &ConnInfo {
        self.hosts.conninfo()
    }

    /// The session in the configured database, kept between looks. Of several hosts the one that it is on is the server,
    /// until it is asked for again and is not to be had there.
    ///
    /// # Errors
    /// If no session can be had within the time that the configuration gives.
    pub async fn observe_home(&self) -> Result<Observe, PostgresError> {
        self.hosts.home().await
    }

    /// A session in another database of the server, closed when it is dropped.
    ///
    /// # Errors
    /// If no session can be had within the time that the configuration gives, or another server answers than at home.
    pub async fn observe(&self, database: &str) -> Result<Observe, PostgresError> {
        match database == self.conninfo().dbname {
            true => self.hosts.home_again().await,
            false => self.hosts.visit(database).await,
        }
    }
}

impl Observe {
    pub(super) fn over(client: Handle, target: String, shared: Arc<Shared>) -> Self {
        Self {
            client,
            target,
            spent: SessionSpent::new(shared.host.clone()),
            shared,
        }
    }

    /// Settings for the whole session: outside of a transaction, since going back would take them back.
    pub(super) async fn settle(&self, sql: OurSql) -> Result<Vec<Row>, PostgresError> {
        let asking = all_rows(self.client(), sql.text, &[]);
        self.answer_within(sql.name, limits::STATEMENT_TIMEOUT, asking)
            .await
    }

    /// How it was reached, without secrets.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    fn client(&self) -> &Client {
        self.client.client()
    }

    /// Runs one statement of ours in a read-only transaction, of which nothing is left.
    ///
    /// # Errors
    /// If the server refuses, or does not answer in time.
    pub async fn rows(
        &self,
        sql: OurSql,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, PostgresError> {
        let mut rows = Vec::new();
        let take = |row| {
            rows.push(row);
            ready(())
        };
        self.run(sql.name, sql.text, parameters, Bound::KEPT, take)
            .await?;
        Ok(rows)
    }

    /// The same for a statement in which `{schema}` stands for the schema of an extension.
    ///
    /// # Errors
    /// If the server refuses, or does not answer in time.
    pub async fn rows_in_schema(
        &self,
        sql: OurSql,
        schema: &Identifier,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, PostgresError> {
        let mut rows = Vec::new();
        let text = sql.in_schema(schema);
        let take = |row| {
            rows.push(row);
            ready(())
        };
        self.run(sql.name, &text, parameters, Bound::KEPT, take).await?;
        Ok(rows)
    }

    /// At most `limit` rows by a statement whose one parameter bounds them, of which each is made into something smaller
    /// as it comes; room is made for as many as are expected.
    ///
    /// # Errors
    /// If the server refuses, or does not answer in time.
    pub async fn bounded<T>(
        &self,
        sql: OurSql,
        (limit, expected): (usize, usize),
        make: impl Fn(&Row) -> T,
    ) -> Result<Vec<T>, PostgresError> {
        let mut made = Vec::with_capacity(expected.min(limit));
        let bound = Bound::rows(limit);
        let limit = limit as i64;
        let take = |row| {
            made.push(make(&row));
            ready(())
        };
        self.run(sql.name, sql.text, &[(&limit, Type::INT8)], bound, take)
            .await?;
        Ok(made)
    }

    /// Rows of which each is handed over as it comes.
    ///
    /// # Errors
    /// If the server refuses, or does not answer in time; some rows may have come before.
    pub async fn each_row(
        &self,
        sql: OurSql,
        parameters: &[(&(dyn ToSql + Sync), Type)],
        mut take: impl FnMut(&Row),
    ) -> Result<(), PostgresError> {
        let take = |row| {
            take(&row);
            ready(())
        };
        self.run(sql.name, sql.text, parameters, Bound::PASSING, take)
            .await
    }

    /// Rows that are sent on as they come, no faster than they are taken there.
    ///
    /// # Errors
    /// If the server refuses, or does not answer in time; some rows may have been sent before.
    pub async fn send_rows(
        &self,
        sql: OurSql,
        schema: &Identifier,
        parameters: &[(&(dyn ToSql + Sync), Type)],
        to: mpsc::Sender<Row>,
    ) -> Result<(), PostgresError> {
        // whoever takes no more has its reasons
        let send = |row| to.send(row).map(drop);
        let text = sql.in_schema(schema);
        self.run(sql.name, &text, parameters, Bound::PASSING, send).await
    }

    async fn run<F: Future<Output = ()>>(
        &self,
        query: &'static str,
        text: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
        bound: Bound,
        mut take: impl FnMut(Row) -> F,
    ) -> Result<(), PostgresError> {
        if self.shared.keeps_statements.load(Ordering::Relaxed) {
            let asking = prepared(&self.client, text, parameters, bound, &mut take);
            let answer = self.answer_within(query, limits::STATEMENT_TIMEOUT, asking).await;
            match answer {
                Err(error) if error.is_about_a_prepared_statement() => {
                    self.shared.keeps_statements.store(false, Ordering::Relaxed);
                }
                answer => return answer,
            }
        }
        let client = self.client();
        let asking = read_only(
            client,
            client.query_typed_raw(text, parameters.iter().cloned()),
            bound,
            &mut take,
        );
        self.answer_within(query, limits::STATEMENT_TIMEOUT, asking).await
    }

    /// Waits for an answer a little longer than the server's own timeout.
    async fn answer_within<T, E: Into<Unanswered>>(
        &self,
        query: &'static str,
        timeout: Duration,
        asking: impl Future<Output = Result<T, E>>,
    ) -> Result<T, PostgresError> {
        let question = self.spent.ask(query);
        self.shared.awaits_answer.store(true, Ordering::Relaxed);
        let seconds = timeout + limits::ANSWER_GRACE;
        let answer = tokio::time::timeout(seconds, asking).await;
        let answer = answer.map(|answer| answer.map_err(|error| -> Unanswered { error.into() }));
        match &answer {
            Ok(Ok(_) | Err(Unanswered::TooLarge)) => question.answered(),
            Ok(Err(Unanswered::Refused(error))) if error.as_db_error().is_some() => question.refused(),
            _ => drop(question),
        }
        // of what is too large the rest is still to come
        if matches!(answer, Ok(Ok(_) | Err(Unanswered::Refused(_)))) {
            self.shared.awaits_answer.store(false, Ordering::Relaxed);
        }
        PostgresError::of_answer(answer, &self.target, query, seconds)
    }

    /// Whether it is known to have ended.
    pub(super) fn is_closed(&self) -> bool {
        self.client().is_closed()
    }

    /// Counts seconds of a question that was given up, and that the server is known to have worked on all the while.
    pub(super) fn worked_on_for(&self, waited: Duration) {
        self.spent.worked_on_for(waited);
    }

    /// Counts what it took to connect.
    pub(super) fn connected_in(&self, waited: Duration) {
        self.spent.connected_in(waited);
    }

    /// The error of a database that holds more than is read of one: what is cut off must not count as gone.
    pub fn too_many(&self, limit: usize) -> PostgresError {
        PostgresError::TooMany {
            target: self.target.clone(),
            limit,
        }
    }

    /// The error of something that is not there, or not as we know it.
    pub(super) fn unusable(&self, what: &'static str) -> PostgresError {
        PostgresError::Unusable {
            target: self.target.clone(),
            what,
        }
    }

    /// The question of ours that took longest in this session: its name, and seconds.
    pub fn slowest_question(&self) -> (&'static str, f64) {
        self.spent.slowest()
    }

    /// Seconds that the server took for this session and its statements, as seen from here, without the way there and back.
    pub fn spent_seconds(&self) -> f64 {
        self.spent.seconds()
    }
}

impl Identifier {
    /// REFRESH of the materialized view of these names.
    pub(super) fn refresh(schema: &Self, name: &Self, concurrently: bool) -> String {
        Statement::RefreshMaterializedView {
            concurrently,
            schema: schema.0.clone(),
            name: name.0.clone(),
        }
        .sql()
    }

    /// The GRANT that lets a login use the schema of this name.
    pub fn grant_usage_to(&self, login: &str) -> String {
        format!(
            "GRANT USAGE ON SCHEMA {} TO {}",
            quote_identifier(&self.0),
            quote_identifier(login)
        )
    }
}
