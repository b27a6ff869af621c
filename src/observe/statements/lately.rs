//! How statements go of late. What was mended within a window, as by an index, shows in the newest calls long before it shows
//! in all of them, and of what is seldom called those few are all that there is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{StatementLook, watched};
use crate::limits;
use crate::model::observation::{Lately, StatementActivity, StatementDelta};
use crate::model::snapshot::{Snapshot, StatementCounters, Statements};

/// What is known of late, by database and statement_id.
#[derive(Default)]
pub(super) struct OfLate {
    /// What takes far less a call since some look, however seldom it was called since then.
    pub(super) lately: BTreeMap<(String, String), Lately>,
    /// What takes far less a call since the last look after which it was called often enough: how many times.
    pub(super) faster_times: BTreeMap<(String, String), f64>,
    /// What was called since some look and hardly wrote temporary files any more.
    pub(super) no_longer_spilling: BTreeSet<(String, String)>,
}

impl OfLate {
    /// How the statements of a window went that are the costliest, or write most temporary files. `looks` begin with the one at which
    /// the window begins.
    pub(super) fn of(
        activity: &StatementActivity,
        looks: &VecDeque<Arc<StatementLook>>,
        snapshot: &Snapshot,
        statements: &Statements,
    ) -> Self {
        let mut all = Self::default();
        for ((database, id), (statement, entries)) in asked(activity, snapshot, statements) {
            let within = looks.iter().skip(1).map(|look| Since::of(look, &entries));
            let since: Vec<Since> = within.filter(|since| since.calls > 0).collect();
            let key = || (database.to_owned(), id.to_owned());
            let is_faster = |since: &&Since| since.times_faster(statement) > limits::FASTER_TIMES;
            if let Some(first) = since.iter().find(is_faster) {
                all.lately.insert(key(), first.lately());
            }
            // the calls of the last looks together, until they are enough
            let is_enough = |since: &&Since| since.calls >= limits::FASTER_CALLS as i64;
            if let Some(last) = since.iter().rev().find(is_enough).filter(is_faster) {
                all.faster_times.insert(key(), last.times_faster(statement));
            }
            if since.iter().any(|since| since.hardly_spills(statement)) {
                all.no_longer_spilling.insert(key());
            }
        }
        all
    }
}

/// A statement that is asked about with its entries, of which there is one for each role.
type Asked<'a> = (&'a StatementDelta, Vec<&'a StatementCounters>);

fn asked<'a>(
    activity: &'a StatementActivity,
    snapshot: &'a Snapshot,
    statements: &'a Statements,
) -> HashMap<(&'a str, &'a str), Asked<'a>> {
    let all = &activity.statements;
    let mut spilling: Vec<&StatementDelta> = all.iter().filter(|one| one.temp_blocks_written > 0).collect();
    spilling.sort_by_key(|statement| Reverse(statement.temp_blocks_written));
    let most = limits::LATELY_STATEMENTS;
    let both = all.iter().take(most).chain(spilling.into_iter().take(most));
    // one call alone is not faster than itself
    let mut asked: HashMap<(&str, &str), Asked<'_>> = both
        .filter(|statement| statement.calls > 1)
        .map(|statement| {
            let key = (statement.database.as_str(), statement.text.statement_id.as_str());
            (key, (statement, Vec::new()))
        })
        .collect();
    if asked.is_empty() {
        return asked;
    }
    let databases: HashMap<u32, &str> = watched(snapshot)
        .map(|database| (database.oid, database.name.as_str()))
        .collect();
    for entry in statements.entries.iter() {
        let database = databases.get(&entry.key.database_oid);
        let text = statements.texts.get(&entry.key.queryid);
        if let (Some(database), Some(text)) = (database, text)
            && let Some((_, entries)) = asked.get_mut(&(*database, text.statement_id.as_str()))
        {
            entries.push(entry);
        }
    }
    asked
}

/// What one statement did since a look.
struct Since {
    at: DateTime<Utc>,
    calls: i64,
    execution_ms: f64,
    temp_blocks_written: i64,
}

impl Since {
    fn of(look: &StatementLook, entries: &[&StatementCounters]) -> Self {
        let mut all = Self {
            at: look.at,
            calls: 0,
            execution_ms: 0.0,
            temp_blocks_written: 0,
        };
        for &now in entries {
            let place = look.entries.binary_search_by_key(&now.key, |entry| entry.key);
            let before = place.ok().map(|place| &look.entries[place]);
            let since = look.since(before, now).counters;
            all.calls += since.calls;
            all.execution_ms += since.execution_ms;
            all.temp_blocks_written += since.temp_blocks_written;
        }
        all
    }

    fn mean_seconds(&self) -> f64 {
        self.execution_ms / 1000.0 / self.calls.max(1) as f64
    }

    /// How many times less a call took than in the whole window; what takes less than a microsecond is told as that.
    fn times_faster(&self, whole: &StatementDelta) -> f64 {
        whole.mean_seconds() / self.mean_seconds().max(1e-6)
    }

    /// Whether it wrote far less a call than in the whole window, and was called often enough to tell: what spills with some values
    /// only has a few calls in a row that do not, but hardly half of all.
    fn hardly_spills(&self, whole: &StatementDelta) -> bool {
        let per_call = |blocks: i64, calls: i64| blocks as f64 / calls.max(1) as f64;
        let now = per_call(self.temp_blocks_written, self.calls);
        self.calls >= limits::CALLS_WITHOUT_SPILLING
            && self.calls.saturating_mul(2) >= whole.calls
            && now * limits::FASTER_TIMES < per_call(whole.temp_blocks_written, whole.calls)
    }

    fn lately(&self) -> Lately {
        Lately {
            since: self.at,
            calls: self.calls,
            mean_seconds: self.mean_seconds(),
        }
    }
}
