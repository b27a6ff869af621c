//! What can go wrong with a server, and what to do about it.

use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio_postgres::error::{ErrorPosition, Severity, SqlState};

use crate::sql::Objection;

/// Why a question has no whole answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The server told an error, or the connection is lost.
    Refused(tokio_postgres::Error),
    /// More came than is read: what follows is still in the pipe.
    TooLarge,
}

impl From<tokio_postgres::Error> for Unanswered {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Refused(error)
    }
}

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
    /// The server sent more than is read of one answer.
    #[error(
        "{query} in {target} was answered with more than is read of one answer; the connection was dropped: see what answers there"
    )]
    TooLarge {
        /// host:port/database.
        target: String,
        /// The name of the file in `queries/`.
        query: &'static str,
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
        answer: Result<Result<T, Unanswered>, Elapsed>,
        target: &str,
        query: &'static str,
        seconds: Duration,
    ) -> Result<T, Self> {
        let target = || target.to_owned();
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Unanswered::Refused(source))) => Err(Self::Query {
                target: target(),
                query,
                code: source.code().map(|code| code.code().to_owned()),
                source,
            }),
            Ok(Err(Unanswered::TooLarge)) => Err(Self::TooLarge {
                target: target(),
                query,
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
    /// What the server says against a text that stands behind so many characters of ours.
    pub(super) fn objection(&self, characters_before: usize) -> Option<Objection> {
        let Self::Query { source, .. } = self else {
            return None;
        };
        let error = source.as_db_error()?;
        // the first character is the first
        let place = match error.position() {
            Some(ErrorPosition::Original(place)) => usize::try_from(*place).ok(),
            _ => None,
        };
        Some(Objection {
            code: error.code().code().to_owned(),
            message: error.message().to_owned(),
            characters_before: place.and_then(|place| place.checked_sub(characters_before + 1)),
        })
    }
    /// Whether an index was refused for a function or an operator in it that is not IMMUTABLE.
    pub(super) fn is_about_a_mutable_expression(&self) -> bool {
        let Self::Query { source, .. } = self else {
            return false;
        };
        // the code is that of other definitions, too; the keyword stands in every language's words
        self.code() == Some(SqlState::INVALID_OBJECT_DEFINITION.code())
            && source
                .as_db_error()
                .is_some_and(|error| error.message().contains("IMMUTABLE"))
    }
    /// Whether something has to be in another state first, as a library that is not loaded.
    pub fn is_about_a_prerequisite(&self) -> bool {
        self.code() == Some(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE.code())
    }
    /// Whether a name is of no column.
    pub fn is_about_a_column(&self) -> bool {
        self.code() == Some(SqlState::UNDEFINED_COLUMN.code())
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
