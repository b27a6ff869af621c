//! What rules about sessions share: who counts, and the claim about one.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Found, Place, evidence, measured, settings};
use crate::model::finding::{Claim, Evidence, Object, ObjectKind, Severity, Who};
use crate::model::observation::{Observation, Unknown};
use crate::model::session::Session;

/// All sessions just now. What one does is not seen where track_activities is off for it.
///
/// # Errors
/// If they are not known, or the login sees its own only.
pub fn all<'a>(place: &Place<'a>) -> Result<&'a [Session], Unknown> {
    let sessions = place.observation.sessions.as_ref().map_err(Clone::clone)?;
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

/// The setting without which nobody sees what sessions do.
const TRACKING: &str = "track_activities";

/// All sessions just now, of a server that tells what they do; some may have that switched off for themselves.
///
/// # Errors
/// If they are not known, the login sees its own only, or the server tells of none what it does.
pub fn seen<'a>(place: &Place<'a>) -> Result<&'a [Session], Unknown> {
    let (sessions, server) = (all(place)?, &place.observation.server);
    let is_off = match server.settings.get(TRACKING) {
        Some(setting) if setting.is_servers() => setting.value == "off",
        // the server's own value cannot be seen, but what it makes of others can
        _ => {
            let mut clients = sessions.iter().filter(|session| session.is_client()).peekable();
            clients.peek().is_some() && clients.all(Session::is_untracked)
        }
    };
    match is_off {
        false => Ok(sessions),
        true => Err(settings::unknown_until(
            server,
            TRACKING,
            "on",
            &format!("{TRACKING} is off, so that what sessions do is not seen"),
        )),
    }
}

/// Leaves those undecided of which the server does not tell what they do, though it does of others, whatever the statement that
/// they were found with; gives the others back.
pub fn tracked<'a>(sessions: impl Iterator<Item = &'a Session>, found: &mut Found) -> Vec<&'a Session> {
    let (untracked, tracked): (Vec<&Session>, Vec<&Session>) =
        sessions.partition(|session| session.is_untracked());
    if !untracked.is_empty() {
        let (who, them) = match untracked.len() {
            1 => ("one session does".to_owned(), "it"),
            many => (format!("{many} sessions do"), "them"),
        };
        found.untold = Some(format!(
            "what {who} is not seen: {TRACKING} is off for {them}, by ALTER ROLE, ALTER DATABASE or SET"
        ));
        let undecided: BTreeSet<Vec<String>> = untracked
            .iter()
            .map(|session| session.subject_of_any_statement())
            .collect();
        found.undecided.extend(undecided);
    }
    tracked
}

/// The table that a lock is for, as `schema.name`; of an index, a TOAST table or a partition the table that it belongs to. None
/// where its database is not watched, or its name was not read yet.
pub fn table_of_lock(observation: &Observation, database: &str, relation_oid: u32) -> Option<String> {
    let mut databases = observation.databases.iter();
    let catalog = &databases.find(|one| one.name == database)?.catalog;
    let index = catalog.indexes.get(relation_oid);
    let table = index.map_or(relation_oid, |index| index.table_oid);
    let above = |oid: Option<u32>| oid.and_then(|oid| catalog.tables.get(oid));
    let facts = catalog.tables.get(table)?;
    let facts = above(facts.toast_of).unwrap_or(facts);
    let facts = above(facts.partition_of).unwrap_or(facts);
    Some(format!("{}.{}", facts.schema, facts.name))
}

/// What a table is called whose name is not known: an OID says something only to who looks into its database.
pub fn unnamed_table(observation: &Observation, database: &str, relation_oid: u32) -> String {
    let is_read = observation.databases.iter().any(|one| one.name == database);
    match database.is_empty() || is_read {
        true => format!("the relation with the OID {relation_oid}"),
        false => format!("a table of database {database}"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::activity::blocking::Blocking;
    use crate::rules::activity::idle_in_transaction::IdleInTransaction;
    use crate::rules::activity::long_query::LongQuery;
    use crate::rules::config::connections::Connections;
    use crate::rules::testing::{claims, found, observation, session, set};

    /// A session for which tracking is off, and one that has been idle in its transaction for an hour.
    fn observed() -> Observation {
        let mut observed = observation(vec![], 0.0);
        let untracked = session(1, "disabled", 3600, |session| {
            (session.statement, session.transaction_started_at) = (None, None);
        });
        observed.sessions = Ok(vec![untracked, session(2, "idle in transaction", 3600, |_| ())]);
        observed
    }

    #[test]
    fn one_session_that_is_not_tracked_hides_no_other() {
        let observed = observed();
        let idle = found::<IdleInTransaction>(&observed).unwrap();
        assert_eq!((idle.claims.len(), idle.undecided.len()), (1, 1));
        let untold = idle.untold.unwrap();
        assert!(untold.starts_with("what one session does is not seen: track_activities is off for it,"));
        // what they did before stays as it is told, whatever the statement
        assert_eq!(idle.undecided[0], ["app", "shop"]);
        assert!(idle.claims[0].subject.starts_with(&idle.undecided[0]));
        let mut two = observed.clone();
        let sessions = two.sessions.as_mut().unwrap();
        sessions.push(sessions[0].clone());
        let long = found::<LongQuery>(&two).unwrap();
        assert_eq!(long.undecided.len(), 1, "the same program");
        let untold = long.untold.unwrap();
        assert!(untold.starts_with("what 2 sessions do is not seen: track_activities is off for them,"));
        assert!(found::<Blocking>(&observed).is_ok());
    }

    #[test]
    fn a_server_that_tracks_nothing_is_unknown_but_its_connections_are_counted() {
        let mut observed = observed();
        for (name, value) in [
            ("track_activities", "off"),
            ("max_connections", "5"),
            ("superuser_reserved_connections", "3"),
            ("reserved_connections", "0"),
        ] {
            set(&mut observed, name, value);
        }
        let unknown = claims::<LongQuery>(&observed).unwrap_err();
        assert!(
            unknown.reason.starts_with("track_activities is off"),
            "{}",
            unknown.reason
        );
        assert_eq!(
            unknown.remedy_sql.as_deref(),
            Some("ALTER SYSTEM SET track_activities = 'on'; SELECT pg_catalog.pg_reload_conf()")
        );
        assert_eq!(claims::<Connections>(&observed).unwrap().len(), 1, "two of two");
        set(&mut observed, "rds.extensions", "");
        let managed = claims::<LongQuery>(&observed).unwrap_err();
        assert!(managed.remedy_sql.is_none() && managed.reason.contains("ParameterName=track_activities"));
    }

    #[test]
    fn where_the_servers_own_value_is_hidden_sessions_tell_it() {
        let mut observed = observed();
        set(&mut observed, "track_activities", "on");
        observed
            .server
            .settings
            .get_mut("track_activities")
            .unwrap()
            .source = "user".into();
        assert!(claims::<LongQuery>(&observed).is_ok());
        observed.sessions.as_mut().unwrap().truncate(1);
        assert!(claims::<LongQuery>(&observed).is_err(), "all that there are");
    }
}
