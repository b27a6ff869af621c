//! What rules about statements share: the claim of one statement, with what everybody asks of it.

use serde_json::json;

use super::{Found, Place, estimated, evidence, measured, number};
use crate::model::finding::{Claim, Evidence, Impact, Object, ObjectKind, Severity, Who};
use crate::model::observation::{StatementActivity, StatementDelta, Unknown};
use crate::model::unit::count_for_people;

/// What statements did over the window.
///
/// # Errors
/// If that is not known.
pub fn activity<'a>(place: &Place<'a>) -> Result<&'a StatementActivity, Unknown> {
    place.observation.statements.as_ref().map_err(Clone::clone)
}

/// The length of the window in seconds, never 0.
pub fn window_seconds(activity: &StatementActivity) -> f64 {
    activity
        .window
        .map_or(86_400.0, |window| window.seconds().max(1.0))
}

/// The share of all database time, 0 to 1, that seconds of it are.
pub fn share(activity: &StatementActivity, seconds: f64) -> f64 {
    seconds / activity.total_seconds.max(f64::MIN_POSITIVE)
}

/// Average sessions executing over the window.
pub fn load_sessions(activity: &StatementActivity) -> f64 {
    activity.total_seconds / window_seconds(activity)
}

/// Whether the server had enough to do for a share of it to mean something.
pub fn is_busy(activity: &StatementActivity, minimum_load: f64) -> bool {
    load_sessions(activity) >= minimum_load
}

/// What a rule about shares finds, by what it does with each statement that is heavy by its numbers. On a server that is
/// nearly idle every share is large: nothing is said then, and that nothing is seen proves nothing.
///
/// # Errors
/// If what statements did is not known.
pub fn on_a_busy_server<'a>(
    place: &Place<'a>,
    minimum_load: f64,
    is_heavy: impl Fn(&StatementActivity, &StatementDelta) -> bool,
    mut judge: impl FnMut(&'a StatementActivity, &'a StatementDelta, &mut Found),
) -> Result<Found, Unknown> {
    let activity = activity(place)?;
    let mut found = Found::default();
    if !is_busy(activity, minimum_load) {
        found.absence_is_no_proof = Some(IDLE.to_owned());
        return Ok(found);
    }
    found.absence_is_no_proof = activity.absence_is_no_proof(|hidden| is_heavy(activity, hidden));
    for statement in &activity.statements {
        if is_heavy(activity, statement) {
            judge(activity, statement, &mut found);
        }
    }
    Ok(found)
}

/// So many times, for people.
pub fn times(calls: i64) -> String {
    match calls {
        1 => "once".to_owned(),
        calls => format!("{} times", count_for_people(calls as f64)),
    }
}

/// Why a share says nothing.
pub const IDLE: &str = "the server was nearly idle in the window, and of little work every share is large";

/// A claim about one statement: its identity, evidence that every such claim has after the rule's own, what it costs a
/// day, SQL that shows the same. Title, explanation and remedy are the rule's.
pub fn claim(
    place: &Place<'_>,
    rule: &str,
    severity: Severity,
    activity: &StatementActivity,
    statement: &StatementDelta,
    own: Evidence,
) -> Claim {
    let id = statement.text.statement_id.clone();
    let object = Object {
        kind: ObjectKind::Statement,
        schema: None,
        name: id.clone(),
        table: None,
    };
    let calls = statement.calls.max(1) as f64;
    let mut told = evidence([("statement", json!(statement.text.text))]);
    told.extend(own);
    let of_each = evidence([
        ("calls", json!(statement.calls)),
        ("total_seconds", number(statement.seconds)),
        ("mean_seconds", number(statement.mean_seconds())),
        ("share_ratio", number(share(activity, statement.seconds))),
        ("rows_per_call", number(statement.rows as f64 / calls)),
        ("roles", json!(statement.roles)),
        ("queryid", json!(statement.queryid.to_string())),
    ]);
    for (name, value) in of_each {
        told.entry(name).or_insert(value);
    }
    Claim {
        database: Some(statement.database.clone()),
        who: Who {
            roles: statement.roles.clone(),
            applications: place.sampled.applications(statement),
        },
        evidence: told,
        evidence_window: activity.window,
        evidence_sql: Some(format!(
            "SELECT calls, total_exec_time, mean_exec_time, rows, shared_blks_hit, shared_blks_read, temp_blks_written\n  \
             FROM {} WHERE queryid = {}",
            activity.view(),
            statement.queryid
        )),
        impact: Impact {
            db_seconds_per_day: Some(statement.seconds / window_seconds(activity) * 86_400.0),
            ..Impact::default()
        },
        confidence: if activity.evictions > 0 {
            estimated("pg_stat_statements evicted entries in the window, so that shares are not exact")
        } else {
            measured("counted by pg_stat_statements over the window")
        },
        guards: vec![
            "called by clients, not from inside functions".to_owned(),
            "no utility statement".to_owned(),
        ],
        ..place.claim(rule, severity, vec![id], Some(object))
    }
}
