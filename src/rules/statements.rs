//! What rules about statements share: the claim of one statement, with what everybody asks of it.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Found, Place, estimated, evidence, measured, number};
use crate::limits;
use crate::model::finding::{Claim, Evidence, Impact, Object, ObjectKind, Severity, Who, Window};
use crate::model::observation::{StatementActivity, StatementDelta, Unknown};
use crate::model::unit::{count_for_people, seconds_for_people};

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

/// The share of all database time, 0 to 1, that seconds of it are: of a statement that does not only sleep.
pub fn share(activity: &StatementActivity, seconds: f64) -> f64 {
    seconds / activity.total_seconds.max(f64::MIN_POSITIVE)
}

/// Average sessions executing over the window, without what calls took before it began: they are counted when they end.
pub fn load_sessions(activity: &StatementActivity) -> f64 {
    (activity.total_seconds - activity.earlier_seconds).max(0.0) / window_seconds(activity)
}

/// The share of all database time, 0 to 1, that a statement has; one that only sleeps has none.
pub fn share_of(activity: &StatementActivity, statement: &StatementDelta) -> f64 {
    match statement.text.only_sleeps {
        true => 0.0,
        false => share(activity, statement.seconds),
    }
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

/// While a window fills it proves nothing that a statement is not seen in it: it may come once in half an hour. Of one that was
/// called so often within, and would not be told by that, it is known that it is not what it was. By database and subject.
pub fn decided_while_filling(
    activity: &StatementActivity,
    calls: i64,
    is_told: impl Fn(&StatementDelta) -> bool,
) -> Vec<(String, Vec<String>)> {
    let is_long = window_seconds(activity) >= limits::STATEMENT_WINDOW_MINIMUM.as_secs_f64();
    // a part of what it did may be hidden
    if activity.still_filling.is_none() || !is_long || activity.without_text.iter().any(&is_told) {
        return Vec::new();
    }
    let statements = activity.statements.iter();
    let decided = statements.filter(|&statement| statement.calls >= calls && !is_told(statement));
    let named = |statement: &StatementDelta| {
        (
            statement.database.clone(),
            vec![statement.text.statement_id.clone()],
        )
    };
    decided.take(limits::CLAIMS_PER_RULE).map(named).collect()
}

/// Leaves out a statement that became much faster within the window, as by an index: what the window tells of it goes on no
/// longer, and whether it stays so the next windows show. Says whether it did.
pub fn leaves_out_mended(
    activity: &StatementActivity,
    statement: &StatementDelta,
    found: &mut Found,
) -> bool {
    let Some(times) = activity.became_faster_times(statement) else {
        return false;
    };
    found.undecided.push(vec![statement.text.statement_id.clone()]);
    found.untold.get_or_insert_with(|| {
        format!(
            "{} became {} times faster within the window",
            crate::sql::outline(&statement.text.text),
            count_for_people(times.floor())
        )
    });
    true
}

/// Whether a statement only reads tables, so that its result could be kept in a materialized view. One that locks rows wants
/// them as they are now; of a text that does not parse nobody knows.
pub fn only_reads(text: &str) -> bool {
    let reads = |names: crate::sql::Names| !names.writes && !names.locks_rows && !names.relations.is_empty();
    crate::sql::names(text).is_ok_and(reads)
}

/// So many times, for people.
pub fn times(calls: i64) -> String {
    match calls {
        1 => "once".to_owned(),
        calls => format!("{} times", count_for_people(calls as f64)),
    }
}

/// Who was seen executing a statement, to be put behind a sentence of its claim; empty where that is not known.
pub fn seen_from(claim: &Claim) -> String {
    let name = |application: &String| match application.as_str() {
        "" => "an application without a name".to_owned(),
        name => name.to_owned(),
    };
    let names: Vec<String> = claim.who.applications.iter().map(name).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(" (seen executing it: {})", names.join(", ")),
    }
}

/// Average number of sessions executing below which a warning about a share of their time is none: the server is nearly idle.
pub const MINIMUM_LOAD: f64 = 0.1;

/// What is told of the load among the guards of a share.
pub fn load_guard(activity: &StatementActivity) -> String {
    format!(
        "the server was not nearly idle: {:.2} sessions executing on average",
        load_sessions(activity)
    )
}

/// Says that a part of a statement's time was before the window began, where that is known.
pub fn tell_of_long_calls(claim: &mut Claim, statement: &StatementDelta) {
    if statement.earlier_seconds > 0.0 {
        claim.explanation += &format!(
            " Of that time {} or more was before the window began: a call is counted when it ends.",
            seconds_for_people(statement.earlier_seconds)
        );
    }
}

/// Says that calls may have been over before anybody looked, where that is so, and makes it info: the next window shows whether
/// they come again. Says whether it did.
pub fn tell_of_before(claim: &mut Claim, activity: &StatementActivity) -> bool {
    tell_of_totals(claim, activity.window, activity.looked_only_since)
}

/// The same of what one statement did, unless hardly any of it was counted before the first look: it went on after that.
pub fn tell_of_calls_before(
    claim: &mut Claim,
    activity: &StatementActivity,
    statement: &StatementDelta,
) -> bool {
    tell_of_totals(claim, activity.window, activity.unseen_before([statement]))
}

/// The same of what was worked out from a window of statements, of which the first look is known where it did not begin it.
pub fn tell_of_totals(
    claim: &mut Claim,
    window: Option<Window>,
    looked_only_since: Option<DateTime<Utc>>,
) -> bool {
    let (Some(first), Some(window)) = (looked_only_since, window) else {
        return false;
    };
    claim.severity = claim.severity.min(Severity::Info);
    claim.explanation += &format!(
        " This was counted from a reset of statistics at {} on, {} before the first look that the advisor remembers: it may have been \
         over by then, and is info until a window of the advisor's own shows it again.",
        window.from.format("%Y-%m-%d %H:%M UTC"),
        seconds_for_people((first - window.from).num_milliseconds() as f64 / 1000.0)
    );
    true
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
        ("share_ratio", number(share_of(activity, statement))),
        ("rows_per_call", number(statement.rows as f64 / calls)),
        ("roles", json!(statement.roles)),
        ("queryid", json!(statement.queryid.to_string())),
    ]);
    for (name, value) in of_each {
        told.entry(name).or_insert(value);
    }
    if let Some(lately) = activity.lately_of(statement) {
        told.extend(evidence([
            ("recent_since_at", json!(lately.since)),
            ("recent_calls", json!(lately.calls)),
            ("recent_mean_seconds", number(lately.mean_seconds)),
        ]));
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
            db_seconds_per_day: Some(statement.seconds_within() / window_seconds(activity) * 86_400.0),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_reads_tables_could_be_a_view() {
        assert!(only_reads("SELECT a, count(*) FROM t WHERE b > $1 GROUP BY a"));
        assert!(only_reads("WITH x AS (SELECT a FROM t) SELECT * FROM x"));
        for other in [
            "UPDATE t SET a = $1",
            "DELETE FROM t",
            "INSERT INTO t SELECT * FROM u",
            "SELECT a FROM t WHERE b = $1 FOR UPDATE",
            "SELECT * FROM (SELECT a FROM t FOR SHARE) x",
            "WITH gone AS (DELETE FROM t RETURNING a) SELECT * FROM gone",
            "SELECT pg_sleep($1)",
            "VACUUM t",
        ] {
            assert!(!only_reads(other), "{other}");
        }
    }
}
