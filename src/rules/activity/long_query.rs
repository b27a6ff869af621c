//! activity.long_query

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Severity};
use crate::model::observation::Unknown;
use crate::model::remedy::{Remedy, Statement};
use crate::model::session::Session;
use crate::model::unit::{Period, count_for_people, seconds_for_people};
use crate::rules::{Found, Place, Rule, Scope, evidence, number, sessions};

/// A statement that a client has been executing for a very long time.
///
/// ## Why it is bad
/// As long as it runs, VACUUM cannot remove row versions that died after it began, its locks stay, and it keeps a
/// connection and a core busy. Often nobody waits for it any more: the page was closed, the job was started again.
///
/// ## What to do
/// Ask whether somebody still needs the result. If not, cancel it. If it is needed every day, look at its plan, run it at
/// a quiet hour, or keep its result in a materialized view. `statement_timeout` for the role ends the next one by itself.
///
/// ## When it is wrong to obey
/// A report, a migration or a batch may be meant to run for hours: let it, and give its application or role a threshold
/// of its own. Cancelling a statement that writes rolls back all that its transaction has done, and it begins anew.
///
/// Left out are the advisor itself, dumps and restores, building of indexes, VACUUM, ANALYZE, REINDEX, CLUSTER and
/// REFRESH, and replication. Time in which a statement waits for a lock just now is not counted: that is
/// activity.blocking. Sessions that run the same statement for the same role and application are one finding, the
/// longest. Source: PostgreSQL's chapter "The Cumulative Statistics System", pg_stat_activity.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LongQuery {
    /// How long a statement has been running when it is a warning.
    warning_age: Period,
    /// How long a statement has been running when it is critical.
    critical_age: Period,
}

impl Default for LongQuery {
    fn default() -> Self {
        Self {
            warning_age: Period::minutes(30),
            critical_age: Period::minutes(60),
        }
    }
}

impl Rule for LongQuery {
    const ID: &'static str = "activity.long_query";
    const SCOPE: Scope = Scope::Server;
    /// What has ended has ended: the next one is told only after `warning_age` again.
    const CLEAR: Period = Period::seconds(0);

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let mut found = Found::default();
        let mut long = Vec::new();
        let judged = sessions::seen(place)?
            .iter()
            .filter(|session| !is_left_out(session));
        for session in sessions::tracked(judged, &mut found) {
            if !session.is_active() || is_maintenance(session) {
                continue;
            }
            match running_seconds(session, place.observation.now) {
                Some(seconds) => long.extend(self.severity(seconds).map(|severity| Suspect {
                    session,
                    severity,
                    seconds,
                    sessions: 1,
                })),
                None => {
                    found.undecided.push(session.subject());
                    found.untold = Some("since when some statements run or wait is not told".to_owned());
                }
            }
        }
        for suspect in by_identity(long, Self::ID) {
            found.claim_worst_first(place, || suspect.session.subject(), || claim(place, &suspect));
        }
        Ok(found)
    }
}

impl LongQuery {
    fn severity(&self, seconds: f64) -> Option<Severity> {
        if seconds >= self.critical_age.as_seconds() {
            Some(Severity::Critical)
        } else if seconds >= self.warning_age.as_seconds() {
            Some(Severity::Warning)
        } else {
            None
        }
    }
}

/// The application name of all our sessions.
const OURS: &str = "pgadvisor";
/// Programs whose statements and transactions are long by nature.
const PATIENT: [&str; 5] = [
    "pg_dump",
    "pg_dumpall",
    "pg_restore",
    "pg_basebackup",
    "pg_repack",
];

/// Whether a session is one of the advisor's own.
pub fn is_ours(session: &Session) -> bool {
    session.application == OURS
}

/// Whether an application dumps, restores or rewrites: what it does takes long by nature.
pub fn is_patient(application: &str) -> bool {
    PATIENT.contains(&application)
}

/// Whether a session is no client's, one of ours, or a dump.
pub fn is_left_out(session: &Session) -> bool {
    !session.is_client() || is_ours(session) || is_patient(&session.application)
}

/// Whether it does work on tables and indexes that takes as long as they are large.
pub fn is_maintenance(session: &Session) -> bool {
    let command = session.command.as_str();
    let first = command.split(' ').next().unwrap_or_default();
    let words = ["VACUUM", "ANALYZE", "ANALYSE", "REINDEX", "CLUSTER", "REFRESH"];
    words.contains(&first) || first == "CREATE" && command.contains(" INDEX")
}

/// Whether what a session executes only reads, as far as its first words tell.
pub fn only_reads(session: &Session) -> bool {
    let writes = ["INSERT", "UPDATE", "DELETE", "MERGE"];
    let text = session
        .statement
        .as_ref()
        .map_or("", |statement| statement.text.as_str());
    let is_writer = |word: &str| writes.iter().any(|write| word.eq_ignore_ascii_case(write));
    match session.command.as_str() {
        "SELECT" | "VALUES" | "TABLE" | "SHOW" | "FETCH" => true,
        "WITH" => !text.split(|c: char| !c.is_ascii_alphabetic()).any(is_writer),
        _ => false,
    }
}

/// What a session executes, or executed last, in one line for titles.
pub fn outline(session: &Session) -> String {
    let text = session
        .statement
        .as_ref()
        .map(|statement| crate::sql::outline(&statement.text));
    text.filter(|text| !text.is_empty())
        .unwrap_or_else(|| "A statement".to_owned())
}

/// A session that is to be claimed.
pub struct Suspect<'a> {
    /// The session; of several that are the same, the worst.
    pub session: &'a Session,
    /// How severe.
    pub severity: Severity,
    /// For how long.
    pub seconds: f64,
    /// How many sessions are the same by their names.
    pub sessions: usize,
}

/// Sessions that are the same by their names are one, the worst; the worst of all comes first. One that asks the rule to
/// leave it alone does not stand for others that do not.
pub fn by_identity<'a>(mut suspects: Vec<Suspect<'a>>, rule: &str) -> Vec<Suspect<'a>> {
    suspects.sort_by(|a, b| {
        let by_time = b.seconds.total_cmp(&a.seconds);
        b.severity
            .cmp(&a.severity)
            .then(by_time)
            .then(a.session.pid.cmp(&b.session.pid))
    });
    let mut places = HashMap::new();
    let mut worst: Vec<Suspect<'a>> = Vec::new();
    for suspect in suspects {
        let session = suspect.session;
        let identity = (
            session.database.clone(),
            session.subject(),
            session.is_ignored_by_comment(rule),
        );
        let place = *places.entry(identity).or_insert(worst.len());
        match worst.get_mut(place) {
            Some(same) => same.sessions += 1,
            None => worst.push(suspect),
        }
    }
    worst
}

/// Seconds for which it waits for a lock just now; `None` where that is not told.
fn waiting_seconds(session: &Session, now: DateTime<Utc>) -> Option<f64> {
    match session.blocked_by.is_empty() {
        true => Some(0.0),
        false => Session::seconds_since(session.awaited.as_ref()?.since, now),
    }
}

/// Seconds of executing, without those of the lock that it waits for just now.
fn running_seconds(session: &Session, now: DateTime<Utc>) -> Option<f64> {
    let since_start = Session::seconds_since(session.query_started_at, now)?;
    Some((since_start - waiting_seconds(session, now)?).max(0.0))
}

fn claim(place: &Place<'_>, suspect: &Suspect<'_>) -> Claim {
    let session = suspect.session;
    let running = seconds_for_people(suspect.seconds);
    let waits = waiting_seconds(session, place.observation.now).filter(|seconds| *seconds > 0.0);
    let role = session.role.as_deref().unwrap_or("unknown");
    let held = session.xmin_age.map_or(String::new(), |age| {
        format!(
            " VACUUM cannot remove row versions that died in the last {} transactions.",
            count_for_people(age as f64)
        )
    });
    let others = match suspect.sessions {
        1 => String::new(),
        all => {
            format!(" {all} sessions of this role and application run it; this is the one that began first.")
        }
    };
    let own = evidence([
        ("running_seconds", number(suspect.seconds)),
        ("lock_wait_seconds", json!(waits.map(f64::round))),
        ("sessions", json!(suspect.sessions)),
        ("xmin_age_transactions", json!(session.xmin_age)),
    ]);
    Claim {
        title: format!("{} has been running for {running}", outline(session)),
        explanation: format!(
            "{role} has been executing it through {} for {running}. Its locks stay until it ends.{held} Ask whether \
             somebody still waits for the result; if not, cancel it.{others}",
            session.application_or_type()
        ),
        remedy: remedy(session),
        guards: vec![
            "no dump, no index build, no VACUUM, ANALYZE, REINDEX, CLUSTER or REFRESH".to_owned(),
            "the time that it waits for a lock now is not counted".to_owned(),
        ],
        ..sessions::claim(place, LongQuery::ID, suspect.severity, session, own)
    }
}

fn remedy(session: &Session) -> Remedy {
    let mut caveats = vec![format!(
        "Look first whether process {} still runs the same statement, and whether somebody waits for its result.",
        session.pid
    )];
    if session.wait_event_type.as_deref() == Some("Client") {
        caveats.push("It waits for its client: look at the program that reads the result.".to_owned());
    }
    caveats.push(match only_reads(session) {
        true => "Its result so far is lost, and what its transaction wrote before is rolled back.".to_owned(),
        false => {
            "It may write: cancelling it rolls back all that its transaction did, and that work is lost."
                .to_owned()
        }
    });
    Remedy {
        apply_sql: vec![Statement::CancelBackend { pid: session.pid }.sql()],
        caveats,
        ..Remedy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    use crate::model::observation::Observation;
    use crate::model::session::AwaitedLock;
    use crate::rules::testing::{claims, found, now, observation, session, severities};

    fn observed(sessions: Vec<Session>) -> Observation {
        let mut observed = observation(vec![], 0.0);
        observed.sessions = Ok(sessions);
        observed
    }

    fn blocked(seconds: i64, waits_since: Option<i64>) -> Session {
        session(1, "active", seconds, |session| {
            session.blocked_by = vec![9];
            session.awaited = Some(AwaitedLock {
                since: waits_since.map(|seconds| now() - TimeDelta::seconds(seconds)),
                ..AwaitedLock::default()
            });
        })
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let severity =
            |seconds| severities::<LongQuery>(&observed(vec![session(1, "active", seconds, |_| ())]));
        assert_eq!(severity(1799), []);
        assert_eq!(severity(1800), [Severity::Warning]);
        assert_eq!(severity(3599), [Severity::Warning]);
        assert_eq!(severity(3600), [Severity::Critical]);
    }

    #[test]
    fn what_is_long_by_nature_is_left_out() {
        let claimed = |change: fn(&mut Session)| {
            let sessions = observed(vec![session(1, "active", 7200, change)]);
            claims::<LongQuery>(&sessions).unwrap().len()
        };
        assert_eq!(claimed(|_| ()), 1);
        assert_eq!(
            claimed(|session| session.state = Some("idle in transaction".into())),
            0
        );
        assert_eq!(claimed(|session| session.application = "pg_dump".into()), 0);
        assert_eq!(claimed(|session| session.application = "pgadvisor".into()), 0);
        assert_eq!(claimed(|session| session.backend_type = "walsender".into()), 0);
        assert_eq!(
            claimed(|session| session.command = "CREATE UNIQUE INDEX CONCURRENTLY".into()),
            0
        );
        assert_eq!(claimed(|session| session.command = "VACUUM FULL".into()), 0);
        assert_eq!(claimed(|session| session.command = "CREATE TABLE".into()), 1);
    }

    #[test]
    fn time_in_a_queue_for_a_lock_is_not_counted() {
        assert_eq!(
            severities::<LongQuery>(&observed(vec![blocked(3700, Some(200))])),
            [Severity::Warning]
        );
        assert_eq!(
            severities::<LongQuery>(&observed(vec![blocked(3700, Some(1901))])),
            []
        );
        let untold = found::<LongQuery>(&observed(vec![blocked(3700, None)])).unwrap();
        assert_eq!((untold.claims.len(), untold.undecided.len()), (0, 1));
        assert!(untold.untold.is_some());
    }

    #[test]
    fn sessions_that_are_the_same_are_one_finding() {
        let other = session(4, "active", 2000, |session| session.role = Some("other".into()));
        let same = |pid, seconds| session(pid, "active", seconds, |_| ());
        let found = claims::<LongQuery>(&observed(vec![
            same(3, 1900),
            same(2, 3700),
            same(1, 3700),
            other,
        ]))
        .unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|claim| {
                (
                    claim.severity,
                    claim.evidence["process"].clone(),
                    claim.evidence["sessions"].clone(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (Severity::Critical, json!(1), json!(3)),
                (Severity::Warning, json!(4), json!(1))
            ],
            "the one with the least pid of two that are as old"
        );
    }

    #[test]
    fn what_is_lost_is_said_before_it_is_cancelled() {
        let caveats = |change: fn(&mut Session)| {
            let claim = claims::<LongQuery>(&observed(vec![session(7, "active", 7200, change)]))
                .unwrap()
                .remove(0);
            assert_eq!(claim.remedy.apply_sql, ["SELECT pg_catalog.pg_cancel_backend(7)"]);
            claim.remedy.caveats.join(" ")
        };
        let text = |text: &str| Some(std::sync::Arc::new(crate::sql::identify(text)));
        assert!(!caveats(|_| ()).contains("It may write"));
        assert!(caveats(|session| session.command = "UPDATE".into()).contains("It may write"));
        let with = |body: &str| {
            only_reads(&session(7, "active", 7200, |session| {
                session.command = "WITH".into();
                session.statement = text(body);
            }))
        };
        assert!(with("WITH a AS (SELECT deleted FROM t) SELECT $1 FROM a"));
        assert!(!with("WITH a AS (DELETE FROM t RETURNING *) SELECT $1 FROM a"));
        assert!(
            caveats(|session| session.wait_event_type = Some("Client".into()))
                .contains("waits for its client")
        );
    }

    #[test]
    fn what_cannot_be_seen_is_unknown() {
        let mut unread = observed(vec![]);
        unread.sessions = Err(Unknown::because("not read"));
        assert_eq!(claims::<LongQuery>(&unread).unwrap_err().reason, "not read");
        let mut hidden = observed(vec![session(1, "active", 7200, |_| ())]);
        hidden.server.sees_all_sessions = false;
        assert!(claims::<LongQuery>(&hidden).unwrap_err().remedy_sql.is_some());
    }
}
