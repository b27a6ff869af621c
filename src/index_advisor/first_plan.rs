//! The plan of a statement as things are, or why there is none.

use std::collections::BTreeSet;
use std::time::Instant;

use super::gate::{Gate, Reason};
use super::search_path::SearchPath;
use super::what_if::Planned;
use super::workload::{SearchPaths, WorkloadStatement};
use crate::postgres::{Detail, Plan, PostgresError, ServerText};
use crate::sql;

/// Why a statement was not planned.
pub(super) struct Refused {
    pub(super) reason: String,
    /// The same in words that hold nothing of its text: a server and a parser quote from it.
    pub(super) without_text: String,
    /// It did not end when it was cancelled.
    pub(super) is_stubborn: bool,
    is_privilege: bool,
    is_of_the_text: bool,
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
            is_of_the_text: false,
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

    fn by_the_server(error: &PostgresError) -> Self {
        let told = match error.is_privilege() {
            true => "the login that plans may not read what it reads",
            false => "the server refused to plan it",
        };
        Self {
            reason: error.one_line(),
            is_privilege: error.is_privilege(),
            is_of_the_text: error.is_about_the_text(),
            ..Self::because(told)
        }
    }
}

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
    let mut explained = explain(plan, gate, &text, &path, role).await?;
    // what pg_stat_statements left of it may be no SQL
    if let Err(Refused {
        is_of_the_text: true, ..
    }) = &explained
        && let Some(mended) = sql::mended(&text)
    {
        let again = explain(plan, gate, &mended, &path, role).await?;
        if again
            .as_ref()
            .map_or_else(|refused| refused.is_privilege || refused.is_stubborn, |_| true)
        {
            (explained, text) = (again, mended);
        }
    }
    // a login that may only read plans what the statement reads
    if let Err(Refused {
        is_privilege: true, ..
    }) = &explained
        && let Some(twin) = sql::select_twin(&text)
    {
        explained = explain(plan, gate, &twin, &path, role).await?;
    }
    if let Ok(planned) = &mut explained {
        // what rewrites a text leaves its comments out, and the numbers of its parameters as they are
        planned.lists = sql::shortened_lists(&statement.text);
        planned.page_rows = page_rows;
    }
    Ok(explained)
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
        Err(error) => return Ok(Err(Refused::unparsable(error.to_string()))),
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
        })),
        Err(error) if error.is_fatal() => Err(error),
        Err(error) => Ok(Err(Refused::by_the_server(&error))),
    }
}
