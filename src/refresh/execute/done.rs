//! What became of a step: for the record, and for what is remembered of the view.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::LOCK_TRIES;
use super::allowed::Allowed;
use super::watch::Watched;
use crate::model::refresh::{Counted, Inputs, Outcome, Run, ViewState};
use crate::model::unit::seconds_for_people;
use crate::postgres::PostgresError;
use crate::refresh::plan::Step;

/// What became of a step.
#[derive(Clone, Debug)]
pub struct Done {
    /// For the record.
    pub run: Run,
    /// What is to be remembered of it.
    pub effect: Effect,
    /// It locked readers out for as long as it may, and was not done.
    pub was_too_slow: bool,
    /// Somebody was seen to want to read it.
    pub readers_came: bool,
}

/// What is known of a view after a step.
#[derive(Clone, Debug)]
pub enum Effect {
    /// What was known before.
    None,
    /// The moment needs nothing more: somebody else took it, or it passed.
    Handled,
    /// It is to be looked at again then.
    LookAgain(DateTime<Utc>),
    /// Nothing that the view reads had changed when this was planned.
    StillFresh,
    /// It was refreshed.
    Refreshed(Box<After>),
}

/// A view just after it was refreshed.
#[derive(Clone, Debug)]
pub struct After {
    /// What moves when it is refreshed.
    pub state: ViewState,
    /// Scans that were counted, those of the refresh included.
    pub scans: i64,
    /// What it read.
    pub inputs: Option<Inputs>,
    /// What was counted of its statement.
    pub counted: Option<Counted>,
    /// Seconds of work, without waiting for locks.
    pub work_seconds: f64,
}

impl Done {
    /// A step of which nothing was run.
    pub fn nothing(step: &Step, outcome: Outcome, reason: impl Into<String>) -> Self {
        Self::with(step, outcome, reason, Effect::None)
    }

    /// The same, with what is to be remembered of it.
    pub fn with(step: &Step, outcome: Outcome, reason: impl Into<String>, effect: Effect) -> Self {
        let now = Utc::now() + step.ahead;
        Self {
            run: Run {
                due_at: step.moment,
                is_unchanged: matches!(effect, Effect::StillFresh),
                ..Run::of(&step.view, outcome, reason, now)
            },
            effect,
            was_too_slow: false,
            readers_came: false,
        }
    }

    /// A refresh that failed, in words.
    pub(super) fn failed(
        step: &Step,
        error: &PostgresError,
        allowed: &Allowed,
        (cancel, watched): (&CancellationToken, &Watched),
    ) -> Self {
        let code = error.code();
        let limit = step.policy.plain_limit.as_seconds();
        let took_its_time = watched.work_seconds >= limit * 0.7;
        let (outcome, why) = match code {
            Some("57014") if cancel.is_cancelled() => (
                Outcome::Cancelled,
                "it was cancelled, since the advisor was told to stop".to_owned(),
            ),
            code => (Outcome::Failed, in_words(step, code, allowed, watched)),
        };
        let mut done = Self::nothing(step, outcome, format!("{}; {why}", step.reason));
        done.run.sqlstate = code.map(str::to_owned);
        done.run.message = Some(error.one_line());
        done.was_too_slow = code == Some("57014")
            && outcome == Outcome::Failed
            && allowed.readers_wait.is_some()
            && (took_its_time || watched.readers_came);
        done
    }
}

/// What a SQLSTATE means for a refresh.
fn in_words(step: &Step, code: Option<&str>, allowed: &Allowed, watched: &Watched) -> String {
    let seconds = |duration: Duration| seconds_for_people(duration.as_secs_f64());
    match code {
        Some("57014") if watched.readers_came => {
            "it was cancelled, since readers came and waited for it".to_owned()
        }
        Some("57014") => format!(
            "it was cancelled: it took longer than {}, or somebody ended it",
            seconds(allowed.within)
        ),
        Some("55P03") => format!(
            "the view or a table that it reads was locked by others in each of {LOCK_TRIES} tries of {}",
            seconds(allowed.lock_timeout)
        ),
        Some("42501") => format!(
            "the login that refreshes may not: the view belongs to {}",
            step.seen.owner
        ),
        Some("53100") => "the disk of the server is full".to_owned(),
        Some("21000") => "its new rows are not unique in the columns of its unique index".to_owned(),
        _ => "it failed".to_owned(),
    }
}
