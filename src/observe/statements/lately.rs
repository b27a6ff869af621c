//! How costly statements go of late. What was mended within a window, as by an index, shows in the newest calls long before it shows
//! in all of them, and of what is seldom called those few are all that there is.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::{StatementLook, watched};
use crate::limits;
use crate::model::observation::{Lately, StatementActivity, StatementDelta};
use crate::model::snapshot::{Snapshot, StatementCounters, Statements};

/// The costliest statements whose calls take far less since one of the looks within the window than over all of it, by database and
/// statement_id. `looks` begin with the one at which the window begins.
pub(super) fn lately(
    activity: &StatementActivity,
    looks: &VecDeque<Arc<StatementLook>>,
    snapshot: &Snapshot,
    statements: &Statements,
) -> BTreeMap<(String, String), Lately> {
    let databases: HashMap<u32, &str> = watched(snapshot)
        .map(|database| (database.oid, database.name.as_str()))
        .collect();
    let costliest = activity.statements.iter().take(limits::LATELY_STATEMENTS);
    // one call alone is not faster than itself
    let mut asked: HashMap<(&str, &str), (&StatementDelta, Vec<&StatementCounters>)> = costliest
        .filter(|statement| statement.calls > 1)
        .map(|statement| {
            let key = (statement.database.as_str(), statement.text.statement_id.as_str());
            (key, (statement, Vec::new()))
        })
        .collect();
    if asked.is_empty() {
        return BTreeMap::new();
    }
    // of one statement there is an entry for each role
    for entry in statements.entries.iter() {
        let database = databases.get(&entry.key.database_oid);
        let text = statements.texts.get(&entry.key.queryid);
        if let (Some(database), Some(text)) = (database, text)
            && let Some((_, entries)) = asked.get_mut(&(*database, text.statement_id.as_str()))
        {
            entries.push(entry);
        }
    }
    let known = asked
        .into_iter()
        .filter_map(|((database, id), (statement, entries))| {
            let mut within = looks.iter().skip(1);
            let lately = within.find_map(|look| faster_since(look, statement, &entries))?;
            Some(((database.to_owned(), id.to_owned()), lately))
        });
    known.collect()
}

/// What was called since a look, where that took far less a call than in the whole window.
fn faster_since(
    look: &StatementLook,
    statement: &StatementDelta,
    entries: &[&StatementCounters],
) -> Option<Lately> {
    let (mut calls, mut execution_ms) = (0, 0.0);
    for &now in entries {
        let place = look.entries.binary_search_by_key(&now.key, |entry| entry.key);
        let before = place.ok().map(|place| &look.entries[place]);
        let since = look.since(before, now).counters;
        calls += since.calls;
        execution_ms += since.execution_ms;
    }
    let mean_seconds = execution_ms / 1000.0 / calls.max(1) as f64;
    let is_faster = calls > 0 && mean_seconds * limits::FASTER_TIMES < statement.mean_seconds();
    is_faster.then_some(Lately {
        since: look.at,
        calls,
        mean_seconds,
    })
}
