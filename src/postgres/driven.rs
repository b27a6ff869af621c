//! How the pool makes a session: a task of the runtime drives it, and says of which server it was and why it ended.

use std::pin::Pin;

use deadpool_postgres::Connect;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::conninfo::ConnInfo;
use super::error::{PostgresError, one_line};
use super::tls;

/// Makes the sessions of one host.
pub(super) struct Driven {
    /// host:port/database, never a secret.
    target: String,
    tls: MakeRustlsConnect,
}

impl Driven {
    /// For a host.
    pub(super) fn new(conninfo: &ConnInfo) -> Result<Self, PostgresError> {
        Ok(Self {
            target: conninfo.to_string(),
            tls: tls::connector(conninfo)?,
        })
    }
}

type Connected = Result<(Client, JoinHandle<()>), Error>;

impl Connect for Driven {
    fn connect(&self, config: &Config) -> Pin<Box<dyn Future<Output = Connected> + Send + '_>> {
        let config = config.clone();
        Box::pin(async move {
            let (client, connection) = config.connect(self.tls.clone()).await?;
            let target = self.target.clone();
            let driving = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::warn!("{}", ended(&target, &error));
                }
            });
            Ok((client, driving))
        })
    }
}

/// What is said of a session that did not end by our own doing.
fn ended(target: &str, error: &dyn std::error::Error) -> String {
    format!("a session at {target} ended: {}", one_line(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_session_is_told_with_its_server_and_its_whole_cause() {
        #[derive(Debug, thiserror::Error)]
        #[error("db error")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("FATAL: terminating\nconnection"));
        assert_eq!(
            ended("db.example:5432/app", &error),
            "a session at db.example:5432/app ended: db error: FATAL: terminating connection"
        );
    }
}
