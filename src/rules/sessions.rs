//! What rules about sessions share: who counts, and the claim about one.

use serde_json::json;

use super::{Place, evidence, measured};
use crate::model::finding::{Claim, Evidence, Object, ObjectKind, Severity, Who};
use crate::model::observation::Unknown;
use crate::model::session::Session;

/// What all sessions do just now.
///
/// # Errors
/// If that is not known, or the login sees its own sessions only.
pub fn seen<'a>(place: &Place<'a>) -> Result<&'a [Session], Unknown> {
    let sessions = place.observation.sessions.as_ref().map_err(Clone::clone)?;
    let is_off = |session: &Session| session.is_client() && session.state.as_deref() == Some("disabled");
    if sessions.iter().any(is_off) {
        return Err(Unknown {
            reason: "track_activities is off for some sessions, so that what they do is not seen".to_owned(),
            remedy_sql: Some("ALTER SYSTEM SET track_activities = 'on'".to_owned()),
        });
    }
    match place.observation.server.sees_all_sessions {
        true => Ok(sessions),
        false => Err(Unknown {
            reason: format!(
                "the login {} does not see what sessions of other roles do",
                place.observation.server.login
            ),
            remedy_sql: Some(
                crate::model::remedy::Statement::GrantRole {
                    role: "pg_read_all_stats",
                    to: place.observation.server.login.clone(),
                }
                .sql(),
            ),
        }),
    }
}

/// A claim about one session: its identity (role, application and statement, never the pid), what it does, since when.
/// Title, explanation and remedy are the rule's.
pub fn claim(place: &Place<'_>, rule: &str, severity: Severity, session: &Session, own: Evidence) -> Claim {
    let role = session.role.clone().unwrap_or_else(|| "unknown".to_owned());
    let object = Object {
        kind: ObjectKind::Session,
        schema: None,
        name: format!("{} as {role}", session.application_or_type()),
        table: None,
    };
    let mut told = own;
    let of_each = evidence([
        ("process", json!(session.pid)),
        ("role", json!(role)),
        ("application", json!(session.application)),
        ("state", json!(session.state)),
        (
            "wait",
            json!(
                session
                    .wait_event_type
                    .as_ref()
                    .zip(session.wait_event.as_ref())
                    .map(|(kind, event)| format!("{kind}: {event}"))
            ),
        ),
        ("transaction_started_at", json!(session.transaction_started_at)),
        ("query_started_at", json!(session.query_started_at)),
        (
            "statement",
            json!(session.statement.as_ref().map(|statement| statement.text.clone())),
        ),
    ]);
    for (name, value) in of_each {
        told.entry(name).or_insert(value);
    }
    Claim {
        database: session.database.clone(),
        who: Who {
            roles: session.role.iter().cloned().collect(),
            applications: vec![session.application.clone()],
        },
        evidence: told,
        evidence_sql: Some(format!(
            "SELECT pid, usename, application_name, state, wait_event_type, wait_event, xact_start, query_start, query\n  \
             FROM pg_stat_activity WHERE pid = {}",
            session.pid
        )),
        confidence: measured("read from pg_stat_activity"),
        ..place.claim(rule, severity, session.subject(), Some(object))
    }
}
