//! What pages show of each view, in words.

use super::known::Known;
use crate::configuration::Refresh;
use crate::model::refresh::{MaterializedView, Promise, ViewMemory, ViewName, ViewStatus};
use crate::refresh::choose::how;
use crate::refresh::due::{Due, interval};
use crate::refresh::read::Look;

pub(super) fn statuses(known: &Known) -> Vec<ViewStatus> {
    let now = known.now();
    let look = &known.look;
    let status = |view: &MaterializedView| {
        let nothing = ViewMemory::default();
        let memory = known.memories.get(&view.name).unwrap_or(&nothing);
        let policy = known.policies.get(&view.name);
        let due = known.due(view, now);
        let (next_due_at, waits_for) = match due {
            Some(Due::Now { moment, .. }) => (Some(moment), None),
            Some(Due::Later { at, held }) => (Some(at), held),
            Some(Due::Waiting) => (None, policy.and_then(|policy| not_there(look, policy))),
            _ => (None, None),
        };
        let chosen = policy.map(|policy| how(look, memory, view, policy));
        ViewStatus {
            exists: true,
            is_populated: view.is_populated,
            schedule: policy.map(|policy| policy.when()),
            max_age_seconds: policy
                .and_then(|policy| policy.max_age)
                .map(|age| age.as_seconds()),
            interval_seconds: policy
                .and_then(|policy| interval(policy, now))
                .map(|gap| gap.num_milliseconds() as f64 / 1000.0),
            fresh_as_of: memory.data_as_of(),
            refreshed_at: memory.refreshed_at,
            refreshed_by_others: memory.refreshed_by_others,
            next_due_at,
            waits_for,
            can_refresh: chosen.as_ref().is_some_and(Result::is_ok),
            how: match chosen {
                Some(Ok(how) | Err(how)) => how,
                None => "no [[refresh]] of the configuration is about it".to_owned(),
            },
            is_paused: memory.is_paused,
            depends_on: look.upstream(view.oid).map(ViewName::in_database).collect(),
            tables: look.tables(view.oid),
            never_unchanged: look.never_unchanged(view.oid),
            size_bytes: memory
                .size_bytes
                .or(Some(view.size_bytes).filter(|bytes| *bytes > 0.0)),
            unique_index: view.unique_index.clone(),
            has_readers: memory.has_readers(now),
            read_at: memory.read_at,
            readers_watched_since: memory.readers_watched_since,
            promise: promise(look),
            why_no_record: look.record.why_not.clone(),
            view: view.name.clone(),
        }
    };
    look.views.values().map(status).collect()
}

/// Whether the view that this one comes after is missing.
fn not_there(look: &Look, policy: &Refresh) -> Option<String> {
    let after = policy.after.as_ref()?;
    let is_there = |view: &MaterializedView| view.name.in_database() == *after;
    let is_missing = !look.views.values().any(is_there);
    is_missing.then(|| format!("it comes after {after}, and there is no such materialized view"))
}

fn promise(look: &Look) -> Promise {
    match look.record.is_used {
        true => Promise::ExactlyOnce,
        false => Promise::NeverOverlapping,
    }
}

/// A view that is configured by its whole name and is not there.
pub(super) fn missing(look: &Look, policy: &Refresh) -> Option<ViewStatus> {
    let (schema, name) = policy.view.split_once('.')?;
    Some(ViewStatus {
        view: ViewName {
            database: look.database.clone(),
            schema: schema.to_owned(),
            name: name.to_owned(),
        },
        exists: false,
        is_populated: false,
        schedule: Some(policy.when()),
        max_age_seconds: policy.max_age.map(|age| age.as_seconds()),
        interval_seconds: None,
        fresh_as_of: None,
        refreshed_at: None,
        refreshed_by_others: false,
        next_due_at: None,
        waits_for: Some("there is no such materialized view; it is looked for at each look".to_owned()),
        how: "it is not there".to_owned(),
        can_refresh: false,
        is_paused: false,
        depends_on: Vec::new(),
        tables: Vec::new(),
        never_unchanged: Vec::new(),
        size_bytes: None,
        unique_index: None,
        has_readers: None,
        read_at: None,
        readers_watched_since: None,
        promise: promise(look),
        why_no_record: look.record.why_not.clone(),
    })
}
