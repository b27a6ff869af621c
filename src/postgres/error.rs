//! What can go wrong with a server, and what to do about it.

use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio_postgres::error::{Severity, SqlState};

/// What went wrong with a server, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No session could be had.
    #[error("cannot connect to {target}: {advice}")]
    Connect {
        /// host:port/database, never a secret.
        target: String,
        /// What to do.
        advice: String,
        /// What the server or the network said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A statement of ours failed.
    #[error("{query} failed in {target}{}", code.as_ref().map(|code| format!(" (SQLSTATE {code})")).unwrap_or_default())]
    Query {
        /// host:port/database.
        target: String,
        /// The name of the file in `queries/`.
        query: &'static str,
        /// SQLSTATE.
        code: Option<String>,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The server did not answer in time.
    #[error("{query} in {target} did not answer within {} s; the connection was dropped", seconds.as_secs())]
    Frozen {
        /// host:port/database.
        target: String,
        /// The name of the file in `queries/`.
        query: &'static str,
        /// How long we waited.
        seconds: Duration,
    },
    /// The server lacks something, or answered with what we cannot read.
    #[error("{what} cannot be used in {target}")]
    Unusable {
        /// host:port/database.
        target: String,
        /// What.
        what: &'static str,
    },
    /// There is more than the advisor reads.
    #[error("{target} holds more than the {limit} relations that are read of one database")]
    TooMany {
        /// host:port/database.
        target: String,
        /// The bound.
        limit: usize,
    },
    /// TLS could not be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl PostgresError {
    /// What became of a question that was waited for so long.
    pub(super) fn of_answer<T>(
        answer: Result<Result<T, tokio_postgres::Error>, Elapsed>,
        target: &str,
        query: &'static str,
        seconds: Duration,
    ) -> Result<T, Self> {
        let target = || target.to_owned();
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(Self::Query {
                target: target(),
                query,
                code: source.code().map(|code| code.code().to_owned()),
                source,
            }),
            Err(_) => Err(Self::Frozen {
                target: target(),
                query,
                seconds,
            }),
        }
    }

    /// The SQLSTATE, if the server gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Query { code, .. } => code.as_deref(),
            _ => None,
        }
    }
    /// Whether a right is missing.
    pub fn is_privilege(&self) -> bool {
        self.code() == Some(SqlState::INSUFFICIENT_PRIVILEGE.code())
    }
    /// Whether a text holds bytes that its encoding does not have.
    pub fn is_about_encoding(&self) -> bool {
        self.code() == Some(SqlState::CHARACTER_NOT_IN_REPERTOIRE.code())
    }
    /// Whether the statement cannot be read: its syntax, its types, what it groups by (class 42, but for rights).
    pub fn is_about_the_text(&self) -> bool {
        !self.is_privilege() && self.code().is_some_and(|code| code.starts_with("42"))
    }
    /// Whether a prepared statement is not there, is there twice, or has become another one.
    pub(super) fn is_about_a_prepared_statement(&self) -> bool {
        let codes = [
            SqlState::INVALID_SQL_STATEMENT_NAME,
            SqlState::DUPLICATE_PSTATEMENT,
            SqlState::FEATURE_NOT_SUPPORTED,
        ];
        codes.iter().any(|code| self.code() == Some(code.code()))
    }
    /// Whether the session is lost, so that nothing more can be asked of it.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Query { source, .. } => source.as_db_error().is_none_or(|error| {
                matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
            }),
            Self::Unusable { .. } | Self::TooMany { .. } => false,
            _ => true,
        }
    }
    /// The whole chain in one line, with control characters made visible.
    pub fn one_line(&self) -> String {
        one_line(self)
    }
}

/// An error with all that led to it in one line, with control characters made visible.
pub(super) fn one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line = format!("{line}: {error}");
        source = error.source();
    }
    line.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
