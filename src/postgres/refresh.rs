//! The Refresh session: the only one that writes, and it writes nothing but what REFRESH MATERIALIZED VIEW does and the rows
//! of `pgadvisor.refresh_run`. All of one refresh is one transaction on a connection of its own, so that its lock, its due
//! moment and its work are there together or not at all, whoever dies when.

use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{CancelToken, Row};

use super::bound::all_rows;
use super::connect::connect_to_refresh;
use super::conninfo::ConnInfo;
use super::error::{PostgresError, Unanswered};
use super::session::{Identifier, OurSql, Server};
use super::visiting::Visiting;
use super::{queries, tls};
use crate::limits;

/// A session for one refresh; its transaction is rolled back when it is dropped.
pub struct Refresh {
    client: Visiting,
    conninfo: ConnInfo,
    /// As the login has it. Functions in a view may need it; statements of ours run without.
    search_path: String,
}

/// Ends the statement that a session runs, from another connection.
pub struct Canceller {
    token: CancelToken,
    conninfo: ConnInfo,
}

/// What one refresh may take.
#[derive(Clone, Copy, Debug)]
pub struct RefreshLimits {
    /// For each lock.
    pub lock_timeout: Duration,
    /// For the refresh as a whole.
    pub statement_timeout: Duration,
    /// work_mem and maintenance_work_mem.
    pub work_mem_bytes: Option<u64>,
    /// max_parallel_workers_per_gather.
    pub parallel_workers: Option<u32>,
}

impl Server {
    /// A session that can refresh views of a database, in a transaction.
    ///
    /// # Errors
    /// If no session can be had within the time that the configuration gives.
    pub async fn refresh(&self, database: &str) -> Result<Refresh, PostgresError> {
        // where the look before it was: what is ended by its process is ended there, too
        let conninfo = self.hosts.chosen().with_database(database);
        let client = connect_to_refresh(&conninfo).await?;
        let mut session = Refresh {
            client,
            conninfo,
            search_path: String::new(),
        };
        let path = session.rows(queries::SEARCH_PATH, &[]).await?;
        session.search_path = path
            .first()
            .and_then(|row| row.try_get(0).ok())
            .unwrap_or_default();
        session.set_search_path("pg_catalog, pg_temp", false).await?;
        session
            .run(
                "BEGIN",
                "BEGIN /* pgadvisor */ TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE",
            )
            .await?;
        Ok(session)
    }

    /// Ends a session of our own login that does not heed what it is told.
    pub async fn end_session(&self, pid: i32) {
        let ending = async {
            let home = self.observe_home().await?;
            home.rows(queries::TERMINATE, &[(&pid, Type::INT4)]).await
        };
        if let Err(error) = ending.await {
            tracing::warn!(
                "a refresh that does not end cannot be ended: {}",
                error.one_line()
            );
        }
    }
}

impl Refresh {
    /// One statement of ours.
    ///
    /// # Errors
    /// If the server refuses, or does not answer in time.
    pub async fn rows(
        &self,
        sql: OurSql,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, PostgresError> {
        let asking = all_rows(&self.client, sql.text, parameters);
        self.answer(sql.name, limits::STATEMENT_TIMEOUT, asking).await
    }

    /// Sets what the refresh may take, for this transaction.
    ///
    /// # Errors
    /// If the server refuses, or does not answer in time.
    pub async fn limit(&self, limits: &RefreshLimits) -> Result<(), PostgresError> {
        let milliseconds = |duration: Duration| duration.as_millis().max(1).to_string();
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let values = [
            milliseconds(limits.lock_timeout),
            milliseconds(limits.statement_timeout),
            limits
                .work_mem_bytes
                .map(|bytes| format!("{}kB", bytes >> 10))
                .unwrap_or_default(),
            number(limits.parallel_workers.map(u64::from)),
        ];
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> = values
            .iter()
            .map(|value| (value as &(dyn ToSql + Sync), Type::TEXT))
            .collect();
        self.rows(queries::REFRESH_SETTINGS, &parameters).await.map(drop)
    }

    /// REFRESH MATERIALIZED VIEW, as its login would run it, and COMMIT, all sent at once: between the two its locks do not
    /// wait for us.
    ///
    /// # Errors
    /// If the server refuses, cancels it, or does not answer in time: then nobody knows whether it lasts.
    pub async fn refresh(
        &self,
        (schema, name): (&Identifier, &Identifier),
        concurrently: bool,
        patience: Duration,
    ) -> Result<(), PostgresError> {
        let sql = Identifier::refresh(schema, name, concurrently);
        let path: [(&(dyn ToSql + Sync), Type); 2] = [(&self.search_path, Type::TEXT), (&true, Type::BOOL)];
        let asking = async {
            // what comes after an error is refused, and rolled back
            let (path, refreshed, committed) = tokio::join!(
                biased;
                self.client.execute_typed(queries::SET_SEARCH_PATH.text, &path),
                self.client.batch_execute(&sql),
                self.client.batch_execute("COMMIT /* pgadvisor */ TRANSACTION"),
            );
            path.and(refreshed).and(committed)
        };
        self.answer("REFRESH MATERIALIZED VIEW", patience, asking).await
    }

    /// What can end the statement that runs.
    pub fn canceller(&self) -> Canceller {
        Canceller {
            token: self.client.cancel_token(),
            conninfo: self.conninfo.clone(),
        }
    }

    async fn set_search_path(&self, path: &str, only_this_transaction: bool) -> Result<(), PostgresError> {
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&path, Type::TEXT), (&only_this_transaction, Type::BOOL)];
        self.rows(queries::SET_SEARCH_PATH, &parameters).await.map(drop)
    }

    async fn run(&self, name: &'static str, sql: &'static str) -> Result<(), PostgresError> {
        self.answer(name, limits::STATEMENT_TIMEOUT, self.client.batch_execute(sql))
            .await
    }

    /// Waits for an answer a little longer than the server's own timeout.
    async fn answer<T, E: Into<Unanswered>>(
        &self,
        query: &'static str,
        patience: Duration,
        asking: impl Future<Output = Result<T, E>>,
    ) -> Result<T, PostgresError> {
        let seconds = patience + limits::ANSWER_GRACE;
        let answer = tokio::time::timeout(seconds, asking).await;
        let answer = answer.map(|answer| answer.map_err(|error| -> Unanswered { error.into() }));
        PostgresError::of_answer(answer, &self.conninfo.to_string(), query, seconds)
    }
}

impl Canceller {
    /// Asks the server to end what the session runs. Whether it does is seen there.
    pub async fn cancel(&self) {
        let cancelling = async {
            let connector = tls::connector(&self.conninfo).map_err(|error| error.one_line())?;
            self.token
                .cancel_query(connector)
                .await
                .map_err(|error| error.to_string())
        };
        match tokio::time::timeout(limits::ANSWER_GRACE, cancelling).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => tracing::warn!("a refresh cannot be cancelled: {why}"),
            Err(_) => tracing::warn!("a refresh cannot be cancelled: no answer in time"),
        }
    }
}
