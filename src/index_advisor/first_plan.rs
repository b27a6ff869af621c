//! The plan of a statement as things are, or why there is none.

use std::collections::BTreeSet;
use std::time::Instant;

use super::gate::{Gate, Reason};
use super::search_path::SearchPath;
use super::what_if::Planned;
use super::workload::{SearchPaths, WorkloadStatement};
use crate::limits;
use crate::model::advice::ONLY_INSERTS;
use crate::model::snapshot::StatementKind;
use crate::postgres::{Detail, Plan, PostgresError, ServerText};
use crate::sql::{self, Command, Objection};

/// Why a statement was not planned.
pub(super) struct Refused {
    pub(super) reason: String,
    /// The same in words that hold nothing of its text: a server and a parser quote from it.
    pub(super) without_text: String,
    /// It did not end when it was cancelled.
    pub(super) is_stubborn: bool,
    is_privilege: bool,
    /// What the server says against the text itself.
    objection: Option<Objection>,
}

impl Refused {
    /// What we say ourselves.
    fn because(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self {
            without_text: reason.clone(),
            reason,
            is_stubborn: false,
            is_privilege: false,
            objection: None,
        }
    }

    /// Whether other words would not help, since this is not said against the text: by the gate, for want of a right.
    fn is_last_word(&self) -> bool {
        self.is_privilege || self.objection.is_none()
    }

    /// Of a text that is no single query, as our parser says.
    fn no_query(text: &str, reason: String) -> Self {
        match sql::identify(text).kind {
            StatementKind::Utility if sql::holds_several(text) => Self::because(SEVERAL),
            StatementKind::Utility => Self::because(UTILITY),
            _ => Self::unparsable(reason),
        }
    }

    fn unparsable(reason: String) -> Self {
        Self {
            reason,
            ..Self::because("our parser does not take its text")
        }
    }

    /// The session was lost with it.
    fn with_its_session(error: &PostgresError) -> Self {
        match error {
            PostgresError::Frozen { seconds, .. } => Self {
                is_stubborn: true,
                ..Self::because(format!(
                    "planning it took no notice of being cancelled and had not ended after {} s, so that its session was ended \
                     from outside: code that runs while it is planned may trap query_canceled",
                    seconds.as_secs()
                ))
            },
            _ => Self {
                reason: format!(
                    "the session that planned it was ended meanwhile: {}",
                    error.one_line()
                ),
                ..Self::because("the session that planned it was ended meanwhile")
            },
        }
    }

    fn by_the_server(error: &PostgresError, text: &ServerText) -> Self {
        if error.is_about_a_lock() {
            return Self::because(HELD_UP);
        }
        let (told, what_helps) = match error.is_privilege() {
            true => lacking(text),
            false if error.is_about_a_column() => ("the server refused to plan it", OF_A_FUNCTION),
            false => ("the server refused to plan it", ""),
        };
        Self {
            reason: format!("{}{what_helps}", error.one_line()),
            is_privilege: error.is_privilege(),
            objection: Plan::objection(error),
            ..Self::because(told)
        }
    }
}

/// Why a statement is not planned whose tables somebody else holds a lock on, as for DDL.
const HELD_UP: &str =
    "a lock on what it reads held its planning up, as DDL takes one: try again when that is over";

/// What helps where a name is of no column.
const OF_A_FUNCTION: &str = "; in a statement that a function in PL/pgSQL ran, such a name may be a variable of it: give the statement by hand, with a \
     parameter in that place";

/// Which privilege the login that plans lacks, in words that hold nothing of the text, and what helps.
fn lacking(text: &ServerText) -> (&'static str, &'static str) {
    let command = sql::names(text.as_str()).map(|names| names.command);
    match command {
        Ok(Command::Insert) => (
            "the login that plans may not INSERT, and what it inserts is read from nowhere, or cannot be read apart",
            "; no part of it can be planned apart: to plan it whole, GRANT INSERT on its table to the login that plans, and for ON \
             CONFLICT or RETURNING also SELECT, for DO UPDATE also UPDATE",
        ),
        Ok(Command::Update | Command::Delete | Command::Merge) => (
            "the login that plans may not write what it writes, and what it reads cannot be read apart",
            "; what it reads cannot be planned apart: to plan it whole, GRANT to the login that plans what it writes on that table, \
             and SELECT",
        ),
        Ok(Command::Select) | Err(_) => (
            "the login that plans may not read what it reads",
            "; GRANT it to the login that plans: SELECT on a table or a view, EXECUTE on a function, USAGE on a schema",
        ),
    }
}

/// Why DDL, COPY, CALL and the like are not planned.
const UTILITY: &str = "a utility statement: nothing in it is planned";

/// The same of several statements that were sent together, and begin with one of these.
const SEVERAL: &str = "several statements in one text, which is not planned: give each by itself";

/// Why a statement is not planned again that ended its session not long ago.
const STUBBORN: &str =
    "planning it took no notice of being cancelled a while ago, so that it is left out for a day";

/// The plan of a statement as things are: mended where pg_stat_statements left no SQL of it, and as the SELECT that it holds
/// where the login may only read.
pub(super) async fn as_it_is(
    plan: &Plan,
    gate: &mut Gate,
    paths: &mut SearchPaths,
    statement: &WorkloadStatement,
) -> Result<Result<Planned, Refused>, PostgresError> {
    if statement.is_stubborn {
        return Ok(Err(Refused::because(STUBBORN)));
    }
    if sql::only_inserts_values(&statement.text) {
        return Ok(Err(Refused::because(ONLY_INSERTS)));
    }
    plan.keep_open().await?;
    if !paths.agree(plan, statement).await? {
        return Ok(Err(Refused::because(
            "it is run by roles with different search_path, so that its names may mean different tables",
        )));
    }
    let path = paths.of(plan, statement).await?;
    let role = statement.role.as_deref();
    let inner = sql::query_within(&statement.text);
    // what a cursor gives is counted elsewhere
    let rows_per_call = statement.rows_per_call.filter(|_| inner.is_none());
    let mut text = inner.unwrap_or_else(|| statement.text.clone());
    let limited = rows_per_call.and_then(|rows| sql::with_measured_limit(&text, rows));
    let has_pages = |text: &String| sql::at_later_page(text, 0.0).is_some();
    let page_rows = rows_per_call.filter(|_| limited.as_ref().is_some_and(has_pages));
    text = limited.unwrap_or(text);
    let (mut explained, text, mut has_guessed_types) = explain_mended(plan, gate, text, &path, role).await?;
    // a login that may only read plans what the statement reads
    if let Err(Refused {
        is_privilege: true, ..
    }) = &explained
        && let Some(twin) = sql::select_twin(&text)
    {
        let (of_twin, _, is_guessed) = explain_mended(plan, gate, twin, &path, role).await?;
        explained = of_twin;
        has_guessed_types |= is_guessed;
    }
    if let Ok(planned) = &mut explained {
        // what rewrites a text leaves its comments out, and the numbers of its parameters as they are
        planned.lists = sql::shortened_lists(&statement.text);
        planned.page_rows = page_rows;
        planned.has_guessed_types = has_guessed_types;
        // of what was planned in its place only its own text tells
        planned.locks_rows = sql::names(&text).is_ok_and(|names| names.locks_rows);
    }
    Ok(explained)
}

/// The plan of a text as things are, in other words where what pg_stat_statements left of it is no SQL, or says nothing of the
/// types of its parameters; with the words that were planned, or that are refused, and whether types in them are guessed.
async fn explain_mended(
    plan: &Plan,
    gate: &mut Gate,
    text: String,
    path: &SearchPath,
    role: Option<&str>,
) -> Result<(Result<Planned, Refused>, String, bool), PostgresError> {
    let explained = explain(plan, gate, &text, path, role).await?;
    let is_of_the_text = explained
        .as_ref()
        .is_err_and(|refused| refused.objection.is_some());
    let mended = is_of_the_text.then(|| sql::mended(&text)).flatten();
    let Some(mut words) = mended else {
        return Ok((explained, text, false));
    };
    // once mended, and once more for each time that types are guessed
    for guessed in 0..=limits::TYPES_GUESSED {
        let again = explain(plan, gate, &words, path, role).await?;
        // against the gate, or for want of a right, no other words help: that is to be told, not what was said before
        if again.as_ref().map_or_else(Refused::is_last_word, |_| true) {
            return Ok((again, words, guessed > 0));
        }
        let said = again.err().and_then(|refused| refused.objection);
        let Some(other) = said.and_then(|said| sql::with_types(&words, &said)) else {
            break;
        };
        words = other;
    }
    Ok((explained, text, false))
}

/// The plan of a text as things are, after the gate let it pass. If the session is lost with it, another one takes its place.
///
/// # Errors
/// If the gate cannot be asked, or no other session is to be had.
pub(super) async fn explain(
    plan: &Plan,
    gate: &mut Gate,
    text: &str,
    path: &SearchPath,
    role: Option<&str>,
) -> Result<Result<Planned, Refused>, PostgresError> {
    match explained(plan, gate, text, path, role).await {
        Err(error) if error.is_fatal() => {
            let lost = plan.go_on_after(error).await?;
            Ok(Err(Refused::with_its_session(&lost)))
        }
        explained => explained,
    }
}

async fn explained(
    plan: &Plan,
    gate: &mut Gate,
    text: &str,
    path: &SearchPath,
    role: Option<&str>,
) -> Result<Result<Planned, Refused>, PostgresError> {
    let text = match ServerText::one_query(text) {
        Ok(text) => text,
        Err(error) => return Ok(Err(Refused::no_query(text, error.to_string()))),
    };
    let passed_at = Instant::now();
    let path = match gate.admit(plan, &text, path, role).await? {
        Ok(path) => path,
        Err(reason @ Reason::Unparsable(_)) => return Ok(Err(Refused::unparsable(reason.to_string()))),
        Err(reason) => return Ok(Err(Refused::because(reason.to_string()))),
    };
    let has_parameters = sql::parameter_count(text.as_str()) > 0;
    let parameters = Planned::told_of(has_parameters);
    let search_path = path.to_string();
    let asked = plan.explain(&text, &search_path, parameters, Detail::Expressions);
    match asked.await {
        Ok(tree) => Ok(Ok(Planned {
            text,
            search_path: path,
            has_parameters,
            role: role.map(str::to_owned),
            passed_at,
            tree,
            lists: BTreeSet::new(),
            page_rows: None,
            has_guessed_types: false,
            locks_rows: false,
            values: Vec::new(),
            cost_by_values: None,
        })),
        Err(error) if error.is_fatal() => Err(error),
        Err(error @ PostgresError::EnoughTexts { .. }) => Ok(Err(Refused::because(error.to_string()))),
        Err(error) => Ok(Err(Refused::by_the_server(&error, &text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_against_the_text_is_told_rather_than_what_was() {
        let of_the_text = || Refused {
            objection: Some(Objection {
                code: "42883".into(),
                message: "operator does not exist: integer = text".into(),
                characters_before: Some(7),
            }),
            ..Refused::because("the server refused to plan it")
        };
        assert!(!of_the_text().is_last_word(), "other words may help");
        let lacking = Refused {
            is_privilege: true,
            ..of_the_text()
        };
        assert!(lacking.is_last_word());
        assert!(Refused::because("a function of somebody whom nobody trusts would run").is_last_word());
    }

    #[test]
    fn utility_statements_are_not_called_unreadable() {
        let told = |text: &str| {
            let error = ServerText::one_query(text).unwrap_err();
            Refused::no_query(text, error.to_string()).reason
        };
        for text in [
            "CALL p($1)",
            "BEGIN",
            "COPY t FROM STDIN",
            "GRANT SELECT ON t TO r",
            "VACUUM t",
        ] {
            assert_eq!(told(text), UTILITY, "{text}");
        }
        assert_eq!(told("SET a.b = 1; ALTER TABLE t ADD c int"), SEVERAL);
        for text in ["SELEC 1", "SELECT 1; DROP TABLE t", "SELECT * INTO u FROM t"] {
            assert!(told(text).starts_with("cannot parse"), "{text}");
        }
    }

    #[test]
    fn what_a_login_lacks_depends_on_what_the_statement_does() {
        for (text, told, helps) in [
            ("SELECT a FROM secret_table", "may not read", "SELECT on a table"),
            (
                "INSERT INTO secret_table (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = $2",
                "may not INSERT",
                "for DO UPDATE also UPDATE",
            ),
            (
                "DELETE FROM secret_table WHERE CURRENT OF c",
                "may not write",
                "what it writes on that table",
            ),
        ] {
            let text = ServerText::one_query(text).unwrap();
            let lacking = lacking(&text);
            assert!(lacking.0.contains(told), "{lacking:?}");
            assert!(lacking.1.contains(helps), "{lacking:?}");
            assert!(!lacking.0.contains("secret"), "{lacking:?}");
        }
    }
}
