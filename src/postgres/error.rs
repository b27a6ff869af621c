//! What can go wrong with a server, and what to do about it.

use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio_postgres::error::{ErrorPosition, Severity, SqlState};

use crate::model::observation::Unknown;
use crate::model::remedy::Statement;
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
    #[error("{} failed in {target}{}", in_words(query), code.as_ref().map(|code| format!(" (SQLSTATE {code})")).unwrap_or_default())]
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
    #[error("{} in {target} did not answer within {} s; the connection was dropped", in_words(query), seconds.as_secs())]
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
        "{} in {target} was answered with more than is read of one answer; the connection was dropped: see what answers there",
        in_words(query)
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
    /// As many texts were planned within a day as may be, by a login whose planning fills pg_stat_statements.
    #[error(
        "{texts} texts were planned within a day, and no more are, since each becomes an entry of pg_stat_statements: ALTER ROLE … \
         SET pg_stat_statements.track = none for the login that plans mends it"
    )]
    EnoughTexts {
        /// How many.
        texts: usize,
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

/// What a question of ours asks, for people who never saw the files of `queries/`.
fn in_words(query: &str) -> &str {
    match query {
        "extension.sql" => "looking for pg_stat_statements",
        "statements_info.sql" => "reading pg_stat_statements_info",
        "statements.sql" | "statements.17.sql" => "reading pg_stat_statements",
        "statement_texts.sql" => "reading the texts of pg_stat_statements",
        "hypopg_create.sql" => "making hypothetical indexes by HypoPG",
        "hypopg_drop.sql" | "hypopg_drop_others.sql" | "hypopg_reset.sql" => {
            "dropping HypoPG's hypothetical indexes"
        }
        "hypopg_hide.sql" | "hypopg_unhide.sql" => "hiding indexes by HypoPG",
        other => other,
    }
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
    /// Whether a text holds bytes that its encoding does not have, or characters that the one asked for does not have.
    pub fn is_about_encoding(&self) -> bool {
        let codes = [
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            SqlState::UNTRANSLATABLE_CHARACTER,
        ];
        codes.iter().any(|code| self.code() == Some(code.code()))
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
    /// Whether an index was refused for a type that has no operator class of its own for such an index.
    pub(super) fn is_about_an_operator_class(&self) -> bool {
        let Self::Query { source, .. } = self else {
            return false;
        };
        // types and collations that are not found have the same code, and a class that is named and is not there comes without a
        // hint; words are those of the server's language, the name of what raises the error is not
        self.code() == Some(SqlState::UNDEFINED_OBJECT.code())
            && source
                .as_db_error()
                .is_some_and(|error| error.routine() == Some("ResolveOpClass") && error.hint().is_some())
    }
    /// Whether a lock was waited for in vain.
    pub fn is_about_a_lock(&self) -> bool {
        self.code() == Some(SqlState::LOCK_NOT_AVAILABLE.code())
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
            Self::Unusable { .. } | Self::EnoughTexts { .. } | Self::TooMany { .. } => false,
            _ => true,
        }
    }
    /// Whether no session was had because the login lacks CONNECT on the database.
    fn is_about_connect(&self) -> bool {
        let Self::Connect { source, .. } = self else {
            return false;
        };
        let source = source.downcast_ref::<tokio_postgres::Error>();
        // the code is that of settings, too, that a login may not give at the start; the name of what raises it tells
        source
            .and_then(tokio_postgres::Error::as_db_error)
            .is_some_and(|error| {
                *error.code() == SqlState::INSUFFICIENT_PRIVILEGE
                    && error.routine() == Some("CheckMyDatabase")
            })
    }
    /// Why a login could not ask in a database, with the GRANT where CONNECT is what it lacks.
    pub fn unknown(&self, login: &str, database: &str) -> Unknown {
        match self.is_about_connect() {
            true => without_connect(login, database),
            false => Unknown::because(self.one_line()),
        }
    }
    /// The whole chain in one line, with control characters made visible.
    pub fn one_line(&self) -> String {
        one_line(self)
    }
}

fn without_connect(login: &str, database: &str) -> Unknown {
    let grant = Statement::GrantConnect {
        database: database.to_owned(),
        to: login.to_owned(),
    };
    Unknown {
        reason: format!(
            "the login {login} may not connect to the database {database}, on which it lacks CONNECT"
        ),
        remedy_sql: Some(grant.sql()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_told_in_words() {
        let of = |query: &'static str| {
            let target = "host:5432/shop".to_owned();
            PostgresError::TooLarge { target, query }.to_string()
        };
        let told = of("statements_info.sql");
        assert!(
            told.starts_with("reading pg_stat_statements_info in host:5432/shop was"),
            "{told}"
        );
        assert!(of("EXPLAIN").starts_with("EXPLAIN in "), "what has no file");
    }

    #[test]
    fn a_login_that_may_not_connect_is_told_with_its_grant() {
        let unknown = without_connect("pgadvisor_planner", "My shop");
        assert_eq!(
            unknown.remedy_sql.as_deref(),
            Some("GRANT CONNECT ON DATABASE \"My shop\" TO pgadvisor_planner")
        );
        assert!(unknown.reason.contains("lacks CONNECT"), "{}", unknown.reason);
        let away = PostgresError::Connect {
            target: "host:5432/shop".to_owned(),
            advice: "check that it runs there".to_owned(),
            source: "no answer in time".into(),
        };
        let unknown = away.unknown("pgadvisor_planner", "shop");
        assert_eq!((unknown.reason, unknown.remedy_sql), (away.one_line(), None));
    }

    #[test]
    fn each_question_with_words_is_one_of_ours() {
        let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/queries"));
        for query in [
            "extension.sql",
            "statements_info.sql",
            "statements.sql",
            "statements.17.sql",
            "statement_texts.sql",
            "hypopg_create.sql",
            "hypopg_drop.sql",
            "hypopg_drop_others.sql",
            "hypopg_reset.sql",
            "hypopg_hide.sql",
            "hypopg_unhide.sql",
        ] {
            assert!(folder.join(query).exists() && in_words(query) != query, "{query}");
        }
    }
}
