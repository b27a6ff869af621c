//! What statements did over one window.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::model::finding::Window;
use crate::model::remedy::qualified;
use crate::model::snapshot::StatementText;
use crate::model::unit::plural;

/// What all statements did over one window.
#[derive(Clone, Debug, Default)]
pub struct StatementActivity {
    /// The schema of pg_stat_statements.
    pub schema: String,
    /// The window.
    pub window: Option<Window>,
    /// Entries evicted in the window: if any, shares are not exact.
    pub evictions: i64,
    /// Seconds of execution of all top-level statements but those that only sleep, which are no load.
    pub total_seconds: f64,
    /// What of these seconds was surely before the window began: a call is counted when it ends, with all of its time.
    pub earlier_seconds: f64,
    /// Queries, costliest first; each statement_id once in each database.
    pub statements: Vec<StatementDelta>,
    /// What became faster (database and statement_id): how many times longer a call took over the window than since the look
    /// before the last, or since the last one after which it was called often enough to tell.
    pub faster_times: BTreeMap<(String, String), f64>,
    /// How the costliest statements went of late (database and statement_id), where that took far less a call than over the window,
    /// however seldom they were called.
    pub lately: BTreeMap<(String, String), Lately>,
    /// What wrote temporary files in the window, and hardly any since one of the looks within, though it was called since then
    /// (database and statement_id).
    pub no_longer_spilling: BTreeSet<(String, String)>,
    /// Other statements that were called, each once in each database: some have a query within, as cursors have.
    pub utility: BTreeMap<(String, String), Arc<StatementText>>,
    /// Why it does not count that a statement is not among them, where the window is still too short for that.
    pub still_filling: Option<String>,
    /// The first look, where the window began before it and another one follows: all that was called may have ended before anybody
    /// looked.
    pub looked_only_since: Option<DateTime<Utc>>,
    /// Entries of watched databases whose text is still to come, or was lost by the server for good: nobody knows which
    /// statements they are, and they count in the total only.
    pub without_text: Vec<StatementDelta>,
}

/// How a statement went in the last part of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Lately {
    /// The look after which these calls ended.
    pub since: DateTime<Utc>,
    pub calls: i64,
    pub mean_seconds: f64,
}

/// A statement that is told of as rare and heavy.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct ToldAsRare {
    pub database: String,
    pub statement_id: String,
    /// With so many calls, or more, it would not be rare.
    pub max_calls: i64,
}

/// The part of what statements took that must have been counted after the first look for them to go on as they are told.
const NEARLY_ALL: f64 = 0.95;

/// What one statement did in one database over the window: never cumulative.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct StatementDelta {
    pub database: String,
    pub text: Arc<StatementText>,
    /// PostgreSQL's own identifier, as evidence.
    pub queryid: i64,
    /// Roles that ran it.
    pub roles: Vec<String>,
    pub calls: i64,
    pub seconds: f64,
    /// What of these seconds was surely before the window began.
    pub earlier_seconds: f64,
    /// What of these seconds was counted after the first look, where the window began before that (`looked_only_since`); else 0.
    pub seen_seconds: f64,
    /// Standard deviation of the calls of the window, in seconds.
    pub stddev_seconds: f64,
    /// The longest call, where it is known to be one of the window: the server keeps that of all times, which tells something of
    /// the window only where it grew within. Of several roles it is the longest that is known.
    pub max_seconds: Option<f64>,
    /// Planning; 0 where pg_stat_statements.track_planning is off.
    pub planning_seconds: f64,
    pub rows: i64,
    pub shared_blocks_hit: i64,
    pub shared_blocks_read: i64,
    pub temp_blocks_written: i64,
}

impl StatementActivity {
    /// Why it does not count that nothing is told of a statement, where that is so. An entry without a text matters only if
    /// something would be told of it by its numbers: the server may never have that text again, and what is mended must not
    /// stay open for it.
    pub fn absence_is_no_proof(&self, matters: impl Fn(&StatementDelta) -> bool) -> Option<String> {
        let hidden = || self.without_text.iter().filter(|&entry| matters(entry)).count();
        let of_texts = || match hidden() {
            0 => None,
            count => Some(format!(
                "the texts of {} that it might tell of are still to come, or lost by the server",
                plural(count, "statement", "statements")
            )),
        };
        self.still_filling.clone().or_else(of_texts)
    }

    /// How many times faster a statement is by now than over the window, where that is very much: it was mended meanwhile.
    pub fn became_faster_times(&self, statement: &StatementDelta) -> Option<f64> {
        if self.faster_times.is_empty() {
            return None;
        }
        let key = (statement.database.clone(), statement.text.statement_id.clone());
        self.faster_times.get(&key).copied()
    }

    /// How a statement went of late, where that took far less a call than over the window: it may be mended, or was called with other
    /// values.
    pub fn lately_of(&self, statement: &StatementDelta) -> Option<&Lately> {
        if self.lately.is_empty() {
            return None;
        }
        let key = (statement.database.clone(), statement.text.statement_id.clone());
        self.lately.get(&key)
    }

    /// Whether a statement that wrote temporary files in the window was called since, and hardly wrote any.
    pub fn spills_no_longer(&self, statement: &StatementDelta) -> bool {
        if self.no_longer_spilling.is_empty() {
            return false;
        }
        let key = (statement.database.clone(), statement.text.statement_id.clone());
        self.no_longer_spilling.contains(&key)
    }

    /// The first look, where the window began before it and more than hardly any of what these statements took was counted by then:
    /// they may have been over.
    pub fn unseen_before<'a>(
        &self,
        statements: impl IntoIterator<Item = &'a StatementDelta>,
    ) -> Option<DateTime<Utc>> {
        let first = self.looked_only_since?;
        let (mut all, mut seen) = (0.0, 0.0);
        for statement in statements {
            all += statement.seconds;
            seen += statement.seen_seconds;
        }
        (seen < NEARLY_ALL * all).then_some(first)
    }

    /// The view's name as a statement for psql needs it, whatever the search_path there.
    pub fn view(&self) -> String {
        qualified(&self.schema, "pg_stat_statements")
    }
}

impl StatementDelta {
    /// Mean seconds of one call.
    pub fn mean_seconds(&self) -> f64 {
        self.seconds / self.calls.max(1) as f64
    }

    /// Its seconds without those that were surely before the window began.
    pub fn seconds_within(&self) -> f64 {
        (self.seconds - self.earlier_seconds).max(0.0)
    }

    /// What the longest call took at least: the longest that is known, or what must have been there for times to deviate as
    /// they do, since none is negative: the sum of their squares is at most the longest times their sum.
    pub fn longest_seconds_at_least(&self) -> f64 {
        let mean = self.mean_seconds();
        let by_deviation = match mean > 0.0 {
            true => mean + self.stddev_seconds * self.stddev_seconds / mean,
            false => 0.0,
        };
        self.max_seconds.unwrap_or(0.0).max(by_deviation)
    }
}
