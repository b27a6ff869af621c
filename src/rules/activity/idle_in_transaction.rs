//! activity.idle_in_transaction

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::long_query::{Suspect, by_identity, is_left_out};
use crate::model::finding::{Claim, Severity};
use crate::model::observation::Unknown;
use crate::model::remedy::{Remedy, Statement};
use crate::model::session::Session;
use crate::model::unit::{Period, count_for_people, seconds_for_people};
use crate::rules::{Found, Place, Rule, Scope, evidence, number, sessions};

/// A client has begun a transaction and does nothing in it.
///
/// ## Why it is bad
/// Its locks stay: who wants to change the same rows, or the table itself, waits. If it has a snapshot or an id of its
/// own, VACUUM cannot remove row versions that died since, in any table of its database. And its connection is taken.
///
/// ## What to do
/// Mend the program: no waiting for a person, a queue or another server between BEGIN and COMMIT, and a ROLLBACK after
/// every error. Until then `idle_in_transaction_session_timeout` for its role ends such sessions. One that is in the way
/// now can be terminated.
///
/// ## When it is wrong to obey
/// A person at a prompt, or a debugger: ask first. Terminating rolls back all that the transaction has written. Some
/// programs hold a snapshot on purpose while others work with it, as dumps do; those are left out, and so is the advisor
/// itself.
///
/// It is critical after half an hour. It is critical sooner where it holds back row versions that are a million
/// transactions old: each of those may have left a dead row that stays. Which tables it has locked, and how strongly, is read
/// of those that have idled longest, and of none that has idled for less than a minute. A quiet server is far from that after five
/// minutes, a busy one is not. Sessions of the same role and application with the same last statement are one finding,
/// the worst. Source: PostgreSQL's chapter "Client Connection Defaults", idle_in_transaction_session_timeout.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdleInTransaction {
    /// How long it has been idle when it is a warning.
    warning_age: Period,
    /// How long it has been idle when it is critical.
    critical_age: Period,
    /// Age in transactions of what it holds back, from which it is critical as soon as it is a warning.
    critical_xmin_age: i64,
}

impl Default for IdleInTransaction {
    fn default() -> Self {
        Self {
            warning_age: Period::minutes(5),
            critical_age: Period::minutes(30),
            critical_xmin_age: 1_000_000,
        }
    }
}

impl Rule for IdleInTransaction {
    const ID: &'static str = "activity.idle_in_transaction";
    const SCOPE: Scope = Scope::Server;
    /// What has ended has ended: the next one is told only after `warning_age` again.
    const CLEAR: Period = Period::seconds(0);

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let all = sessions::seen(place)?;
        let mut waiting: HashMap<i32, usize> = HashMap::new();
        for pid in all.iter().flat_map(|session| &session.blocked_by) {
            *waiting.entry(*pid).or_default() += 1;
        }
        let mut found = Found::default();
        let mut idle = Vec::new();
        let judged = all.iter().filter(|session| !is_left_out(session));
        for session in sessions::tracked(judged, &mut found) {
            if !session.is_idle_in_transaction() {
                continue;
            }
            match Session::seconds_since(session.state_changed_at, place.observation.now) {
                Some(seconds) => idle.extend(self.severity(session, seconds).map(|severity| Suspect {
                    session,
                    severity,
                    seconds,
                    sessions: 1,
                })),
                None => {
                    found.undecided.push(session.subject());
                    found.untold = Some("since when some sessions are idle is not told".to_owned());
                }
            }
        }
        for suspect in by_identity(idle, Self::ID) {
            let behind = waiting.get(&suspect.session.pid).copied().unwrap_or(0);
            found.claim_worst_first(
                place,
                || suspect.session.subject(),
                || claim(place, &suspect, behind),
            );
        }
        Ok(found)
    }
}

impl IdleInTransaction {
    fn severity(&self, session: &Session, seconds: f64) -> Option<Severity> {
        let holds_much = session.xmin_age.is_some_and(|age| age >= self.critical_xmin_age);
        if seconds < self.warning_age.as_seconds() {
            None
        } else if holds_much || seconds >= self.critical_age.as_seconds() {
            Some(Severity::Critical)
        } else {
            Some(Severity::Warning)
        }
    }
}

/// Tables that are named.
const TABLES_NAMED: usize = 5;

/// The tables that it has locked, each with the strongest lock on it or its indexes; none where that was not read.
fn locked(place: &Place<'_>, session: &Session) -> Option<Vec<(String, String)>> {
    let mut tables: Vec<(String, String)> = Vec::new();
    // the strongest come first
    for lock in session.held.as_ref()? {
        let database = session.database.as_deref().unwrap_or_default();
        let name = sessions::table_of_lock(place.observation, database, lock.relation_oid)
            .unwrap_or_else(|| sessions::unnamed_table(place.observation, database, lock.relation_oid));
        if !tables.iter().any(|(known, _)| *known == name) {
            tables.push((name, lock.mode.clone()));
        }
    }
    Some(tables)
}

/// The same in words.
fn locks_in_words(locked: Option<&[(String, String)]>) -> String {
    match locked {
        None => " Which tables it has locked was not read.".to_owned(),
        Some([]) => " It has locked no table.".to_owned(),
        Some([(table, mode)]) => format!(" It has locked {table} ({mode})."),
        Some([(table, mode), others @ ..]) => {
            format!(" It has locked {table} ({mode}) and {} more.", others.len())
        }
    }
}

/// What it does to others, in words.
fn harm(session: &Session, behind: usize) -> String {
    let held = match session.xmin_age {
        Some(age) => format!(
            "VACUUM cannot remove row versions that died in the last {} transactions.",
            count_for_people(age as f64)
        ),
        None => "It holds no old row versions back just now.".to_owned(),
    };
    match behind {
        0 => held,
        1 => format!("{held} One session waits for its locks: see activity.blocking."),
        more => format!("{held} {more} sessions wait for its locks: see activity.blocking."),
    }
}

fn claim(place: &Place<'_>, suspect: &Suspect<'_>, behind: usize) -> Claim {
    let session = suspect.session;
    let now = place.observation.now;
    let locked = locked(place, session);
    let named = locked.as_ref().map(|tables| {
        let named = tables.iter().take(TABLES_NAMED);
        named
            .map(|(table, mode)| format!("{table}: {mode}"))
            .collect::<Vec<_>>()
    });
    let idle = seconds_for_people(suspect.seconds);
    let in_transaction = Session::seconds_since(session.transaction_started_at, now);
    let role = session.role.as_deref().unwrap_or("unknown");
    let application = session.application_or_type();
    let aborted = match session
        .state
        .as_deref()
        .is_some_and(|state| state.ends_with("(aborted)"))
    {
        true => " An error has ended its work, and the program has sent no ROLLBACK.",
        false => "",
    };
    let others = match suspect.sessions {
        1 => String::new(),
        all => format!(" {all} sessions are the same; this is the worst."),
    };
    let own = evidence([
        ("idle_seconds", number(suspect.seconds)),
        ("transaction_seconds", json!(in_transaction.map(f64::round))),
        ("sessions", json!(suspect.sessions)),
        ("waiting_sessions", json!(behind)),
        ("xmin_age_transactions", json!(session.xmin_age)),
        ("locks_held", json!(named)),
    ]);
    // one that has only begun holds nothing but its connection
    let has_only_begun = ["BEGIN", "START TRANSACTION"].contains(&session.command.as_str());
    let severity = match has_only_begun && session.xmin_age.is_none() && behind == 0 {
        true => suspect.severity.min(Severity::Info),
        false => suspect.severity,
    };
    Claim {
        title: format!("{application} as {role} has been idle in a transaction for {idle}"),
        explanation: format!(
            "The session has begun a transaction, and its program has sent nothing for {idle}. What it has locked \
             stays locked until it goes on.{}{aborted} {} Look at what the program waits for between BEGIN and COMMIT.{others}",
            locks_in_words(locked.as_deref()),
            harm(session, behind)
        ),
        remedy: remedy(session, place.observation.server.is_standby),
        guards: vec!["no dump, and no session of the advisor".to_owned()],
        ..sessions::claim(place, IdleInTransaction::ID, severity, session, own)
    }
}

/// What a role's transactions may pause, and the same for people.
const TIMEOUT: (&str, &str) = ("10min", "10 minutes");

fn remedy(session: &Session, is_standby: bool) -> Remedy {
    const NAME: &str = "idle_in_transaction_session_timeout";
    let mut remedy = Remedy {
        apply_sql: vec![Statement::TerminateBackend { pid: session.pid }.sql()],
        caveats: vec![format!(
            "Look first at who is at the other end of process {}: terminating it rolls back all that its transaction has \
             written, and its client gets an error. To cancel it has no effect, since it executes nothing.",
            session.pid
        )],
        ..Remedy::default()
    };
    if let Some(role) = session.role.clone() {
        let set = Statement::AlterRoleSet {
            role: role.clone(),
            name: NAME,
            value: TIMEOUT.0.to_owned(),
        };
        if is_standby {
            remedy.caveats.push(format!(
                "A standby takes no ALTER ROLE. What a role is set to on the primary counts here, too: {} there ends each \
                 session of {role} that pauses longer than {} in a transaction, on both.",
                set.sql(),
                TIMEOUT.1
            ));
            return remedy;
        }
        remedy.caveats.push(format!(
            "The timeout counts for later sessions of {role}, and ends each that pauses longer than {} in a \
             transaction: make it longer than any pause that is meant. What the role had set before is not seen here, \
             and undoing does not bring it back: look at pg_db_role_setting first.",
            TIMEOUT.1
        ));
        remedy.apply_sql.push(set.sql());
        remedy
            .undo_sql
            .push(Statement::AlterRoleReset { role, name: NAME }.sql());
    }
    remedy
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, found, observation, session, severities};

    fn observed(sessions: Vec<Session>) -> Observation {
        let mut observed = observation(vec![], 0.0);
        observed.sessions = Ok(sessions);
        observed
    }

    fn idle(pid: i32, seconds: i64, change: impl FnOnce(&mut Session)) -> Session {
        session(pid, "idle in transaction", seconds, change)
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let severity = |seconds, xmin_age| {
            let session = idle(1, seconds, |session| session.xmin_age = xmin_age);
            severities::<IdleInTransaction>(&observed(vec![session]))
        };
        assert_eq!(severity(299, None), []);
        assert_eq!(severity(300, None), [Severity::Warning]);
        assert_eq!(severity(1799, None), [Severity::Warning]);
        assert_eq!(severity(1800, None), [Severity::Critical]);
        assert_eq!(
            severity(300, Some(999_999)),
            [Severity::Warning],
            "a quiet server"
        );
        assert_eq!(severity(300, Some(1_000_000)), [Severity::Critical]);
        assert_eq!(severity(299, Some(1_000_000)), [], "busy, and as short as any");
    }

    #[test]
    fn who_holds_a_transaction_on_purpose_is_left_out() {
        let claimed = |change: fn(&mut Session)| {
            claims::<IdleInTransaction>(&observed(vec![idle(1, 900, change)]))
                .unwrap()
                .len()
        };
        assert_eq!(claimed(|_| ()), 1);
        assert_eq!(
            claimed(|session| session.state = Some("idle in transaction (aborted)".into())),
            1
        );
        assert_eq!(claimed(|session| session.state = Some("idle".into())), 0);
        assert_eq!(claimed(|session| session.state = Some("active".into())), 0);
        assert_eq!(claimed(|session| session.application = "pg_dump".into()), 0);
        assert_eq!(claimed(|session| session.application = "pgadvisor".into()), 0);
        assert_eq!(claimed(|session| session.backend_type = "walsender".into()), 0);
    }

    #[test]
    fn the_worst_of_several_is_told_with_what_it_holds_up() {
        let waiter = session(5, "active", 10, |session| session.blocked_by = vec![2]);
        let sessions = vec![
            idle(1, 900, |_| ()),
            idle(2, 400, |session| session.xmin_age = Some(2_000_000)),
            waiter,
        ];
        let claim = claims::<IdleInTransaction>(&observed(sessions))
            .unwrap()
            .remove(0);
        assert_eq!(
            (claim.severity, claim.evidence["process"].clone()),
            (Severity::Critical, json!(2))
        );
        assert_eq!(
            (&claim.evidence["sessions"], &claim.evidence["waiting_sessions"]),
            (&json!(2), &json!(1))
        );
        assert!(claim.explanation.contains("One session waits for its locks"));
    }

    #[test]
    fn what_it_has_locked_is_told_by_table_and_strongest_mode() {
        use crate::model::session::HeldLock;
        use crate::rules::testing::{table, tables};
        let told = |locks: Option<&[(u32, &str)]>| {
            let held = |locks: &[(u32, &str)]| {
                let lock = |(oid, mode): &(u32, &str)| HeldLock {
                    mode: (*mode).into(),
                    relation_oid: *oid,
                };
                locks.iter().map(lock).collect()
            };
            let mut observed = tables(vec![
                table(1, "orders", 10.0, 10.0),
                table(2, "lines", 10.0, 10.0),
            ]);
            observed.sessions = Ok(vec![idle(1, 900, |session| session.held = locks.map(held))]);
            claims::<IdleInTransaction>(&observed).unwrap().remove(0)
        };
        let three = [
            (2, "ShareLock"),
            (1, "RowExclusiveLock"),
            (1, "AccessShareLock"),
            (99, "AccessShareLock"),
        ];
        let many = told(Some(&three));
        assert_eq!(
            many.evidence["locks_held"],
            json!([
                "public.lines: ShareLock",
                "public.orders: RowExclusiveLock",
                "the relation with the OID 99: AccessShareLock"
            ])
        );
        assert!(
            many.explanation
                .contains("It has locked public.lines (ShareLock) and 2 more.")
        );
        let mut elsewhere = tables(vec![]);
        elsewhere.databases[0].name = "another".into();
        let lock = |oid: u32| HeldLock {
            mode: "ShareLock".into(),
            relation_oid: oid,
        };
        elsewhere.sessions = Ok(vec![idle(1, 900, |session| {
            session.held = Some(vec![lock(1), lock(2)])
        })]);
        let claim = claims::<IdleInTransaction>(&elsewhere).unwrap().remove(0);
        assert_eq!(
            claim.evidence["locks_held"],
            json!(["a table of database app: ShareLock"]),
            "once"
        );
        let one = told(Some(&three[1..3]));
        assert!(
            one.explanation
                .contains("It has locked public.orders (RowExclusiveLock). It")
        );
        assert!(told(Some(&[])).explanation.contains("It has locked no table."));
        let unread = told(None);
        assert!(unread.explanation.contains("was not read") && unread.evidence.get("locks_held").is_none());
    }

    #[test]
    fn the_role_gets_a_timeout_and_may_lose_it_again() {
        let remedy = |role: Option<&str>| {
            let role = role.map(str::to_owned);
            let session = idle(7, 900, |session| session.role = role);
            claims::<IdleInTransaction>(&observed(vec![session]))
                .unwrap()
                .remove(0)
                .remedy
        };
        let known = remedy(Some("App"));
        assert_eq!(
            known.apply_sql,
            [
                "SELECT pg_catalog.pg_terminate_backend(7)",
                "ALTER ROLE \"App\" SET idle_in_transaction_session_timeout = '10min'"
            ]
        );
        assert_eq!(
            known.undo_sql,
            ["ALTER ROLE \"App\" RESET idle_in_transaction_session_timeout"]
        );
        let unknown = remedy(None);
        assert_eq!((unknown.apply_sql.len(), unknown.undo_sql.len()), (1, 0));
    }

    #[test]
    fn on_a_standby_the_timeout_is_set_on_the_primary() {
        let mut standby = observed(vec![idle(7, 900, |_| ())]);
        standby.server.is_standby = true;
        let remedy = claims::<IdleInTransaction>(&standby).unwrap().remove(0).remedy;
        assert_eq!(remedy.apply_sql, ["SELECT pg_catalog.pg_terminate_backend(7)"]);
        assert!(remedy.undo_sql.is_empty());
        let told = &remedy.caveats[1];
        assert!(
            told.contains("on the primary")
                && told.contains("ALTER ROLE app SET idle_in_transaction_session_timeout"),
            "{told}"
        );
    }

    #[test]
    fn what_cannot_be_seen_is_unknown() {
        let timeless = idle(1, 900, |session| session.state_changed_at = None);
        let untold = found::<IdleInTransaction>(&observed(vec![timeless])).unwrap();
        assert_eq!((untold.claims.len(), untold.undecided.len()), (0, 1));
        assert!(untold.untold.is_some());
        let mut hidden = observed(vec![idle(1, 900, |_| ())]);
        hidden.server.sees_all_sessions = false;
        assert!(
            claims::<IdleInTransaction>(&hidden)
                .unwrap_err()
                .remedy_sql
                .is_some()
        );
    }
}
