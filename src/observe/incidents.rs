//! What one look saw of sessions that is worth remembering for days: who held others up, and transactions that are old.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::forest::{Forest, Holder};
use crate::limits;
use crate::model::incident::{IncidentFacts, IncidentKind, Sighting, Sightings};
use crate::model::observation::Observation;
use crate::model::session::{PreparedTransaction, Session};
use crate::sql::cut;

/// What the look saw, of each kind that it could see; nothing where sessions could not be read.
pub fn seen(observation: &Observation) -> Vec<Sightings> {
    let Ok(sessions) = &observation.sessions else {
        return Vec::new();
    };
    let forest = Forest::of(observation, sessions);
    let now = observation.now;
    let mut all = vec![Sightings {
        kind: IncidentKind::Blocking,
        seen: blocking(&forest, now),
    }];
    // without the prepared ones nobody knows which of them are over
    if let Ok(prepared) = &observation.prepared_transactions {
        all.push(Sightings {
            kind: IncidentKind::OldTransaction,
            seen: old(&forest, prepared, now),
        });
    }
    all
}

/// Who waits for nobody and is waited for, the worst first. A circle has no such one; the server resolves it.
fn blocking(forest: &Forest<'_>, now: DateTime<Utc>) -> Vec<Sighting> {
    let sessions = forest.sessions().into_iter();
    let roots = sessions
        .filter(|session| forest.is_root(session))
        .map(Holder::Session);
    let held = roots
        .chain(forest.prepared())
        .filter_map(|root| held_up(forest, root, now));
    let mut seen: Vec<Sighting> = held.collect();
    seen.sort_by(|a, b| {
        let by_size = b.facts.waiting.cmp(&a.facts.waiting);
        by_size.then_with(|| a.identity.cmp(&b.identity))
    });
    seen
}

/// What waits behind a root; none where nobody has waited for long enough.
fn held_up<'a>(forest: &Forest<'a>, root: Holder<'a>, now: DateTime<Utc>) -> Option<Sighting> {
    let waiters = forest.reached(root);
    let waits = waiters.iter().filter_map(|waiter| waited_seconds(waiter, now));
    let longest = waits.reduce(f64::max)?;
    if longest < limits::BLOCKING_WORTH_KEEPING.as_secs_f64() {
        return None;
    }
    let (identity, facts) = match root {
        Holder::Session(session) => (identity(session), of_session(forest, session, now)),
        Holder::Prepared(database) => (
            format!("prepared in {}", name(database.unwrap_or_default())),
            of_prepared(&forest.candidates(database), database, now),
        ),
    };
    Some(Sighting {
        identity,
        seconds: longest,
        facts: IncidentFacts {
            waits_for: most_wanted(forest, root),
            waiting: waiters.len(),
            longest_wait_seconds: Some(longest),
            ..facts
        },
    })
}

/// How long a session waits; where that is not told, since its statement began at most.
fn waited_seconds(waiter: &Session, now: DateTime<Utc>) -> Option<f64> {
    let told = waiter.awaited.as_ref().and_then(|lock| lock.since);
    Session::seconds_since(told.or(waiter.state_changed_at), now)
}

/// The lock for which most wait at a root.
fn most_wanted<'a>(forest: &Forest<'a>, root: Holder<'a>) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for lock in forest
        .direct(root)
        .into_iter()
        .filter_map(|waiter| forest.lock(waiter))
    {
        *counts.entry(lock).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(lock, _)| name(&lock))
}

/// Transactions that have been open for long, the oldest first. VACUUM is none of them: it holds no other back.
fn old(forest: &Forest<'_>, prepared: &[PreparedTransaction], now: DateTime<Utc>) -> Vec<Sighting> {
    let is_told = |session: &&Session| session.is_client() && !session.command.starts_with("VACUUM");
    let sessions = forest.sessions().into_iter().filter(is_told);
    let sessions = sessions.filter_map(|session| {
        Some(Sighting {
            identity: identity(session),
            seconds: Session::seconds_since(session.transaction_started_at, now)?,
            facts: of_session(forest, session, now),
        })
    });
    let prepared = prepared.iter().filter_map(|one| {
        Some(Sighting {
            identity: format!(
                "prepared {} {}",
                one.prepared_at.timestamp_micros(),
                name(&one.gid)
            ),
            seconds: Session::seconds_since(Some(one.prepared_at), now)?,
            facts: of_prepared(&[one], Some(&one.database), now),
        })
    });
    let is_old = |one: &Sighting| one.seconds >= limits::TRANSACTION_WORTH_KEEPING.as_secs_f64();
    let mut seen: Vec<Sighting> = sessions.chain(prepared).filter(is_old).collect();
    seen.sort_by(|a, b| {
        let by_age = b.seconds.total_cmp(&a.seconds);
        by_age.then_with(|| a.identity.cmp(&b.identity))
    });
    seen
}

/// Processes are numbered anew after a while: with its transaction each is one of its own.
fn identity(session: &Session) -> String {
    let began = session.transaction_started_at.map(|at| at.timestamp_micros());
    format!("{} {}", session.pid, began.unwrap_or_default())
}

fn of_session(forest: &Forest<'_>, session: &Session, now: DateTime<Utc>) -> IncidentFacts {
    IncidentFacts {
        state: session.state.as_deref().map(name),
        database: session.database.as_deref().map(name),
        role: session.role.as_deref().map(name),
        application: name(session.application_or_type()),
        command: name(&session.command),
        statement_id: forest.counted(session),
        transaction_seconds: Session::seconds_since(session.transaction_started_at, now),
        xmin_age: session.xmin_age,
        ..IncidentFacts::default()
    }
}

/// Of several that it may be, only how old the oldest is can be said.
fn of_prepared(
    candidates: &[&PreparedTransaction],
    database: Option<&str>,
    now: DateTime<Utc>,
) -> IncidentFacts {
    let only = match candidates {
        [only] => Some(*only),
        _ => None,
    };
    let oldest = candidates.iter().map(|one| one.prepared_at).min();
    IncidentFacts {
        state: Some("prepared".to_owned()),
        database: database.map(name),
        role: only.and_then(|one| one.owner.as_deref()).map(name),
        application: "prepared transaction".to_owned(),
        gid: only.map(|one| name(&one.gid)),
        transaction_seconds: Session::seconds_since(oldest, now),
        xmin_age: only.map(|one| one.xid_age),
        ..IncidentFacts::default()
    }
}

/// A name as it is kept.
fn name(text: &str) -> String {
    cut(text, limits::INCIDENT_NAME_BYTES).to_owned()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::model::observation::Unknown;
    use crate::model::session::AwaitedLock;
    use crate::rules::testing::{now, observation, session, table, tables};

    fn of(kind: IncidentKind, observed: &Observation) -> Option<Vec<Sighting>> {
        let all = seen(observed).into_iter();
        all.filter(|one| one.kind == kind).map(|one| one.seen).next()
    }

    fn waits(pid: i32, on: i32, seconds: i64) -> Session {
        session(pid, "active", 900, |waiter| {
            waiter.database = Some("app".into());
            waiter.blocked_by = vec![on];
            waiter.awaited = Some(AwaitedLock {
                kind: "relation".into(),
                mode: "RowExclusiveLock".into(),
                relation_oid: Some(7),
                since: Some(now() - TimeDelta::seconds(seconds)),
            });
        })
    }

    #[test]
    fn who_holds_others_up_is_seen_with_its_worst_and_no_text() {
        let mut observed = tables(vec![table(7, "orders", 1.0, 1.0)]);
        let root = session(2, "idle in transaction", 60, |root| root.xmin_age = Some(33));
        let text = root.statement.as_ref().unwrap().text.to_string();
        observed.sessions = Ok(vec![
            root,
            waits(3, 2, 40),
            waits(4, 3, 50),
            waits(5, 0, 30),
            waits(6, 77, 90),
        ]);
        let seen = of(IncidentKind::Blocking, &observed).unwrap();
        assert_eq!(seen.len(), 2, "a process that is gone is nobody: {seen:?}");
        let facts = &seen[0].facts;
        assert_eq!((facts.waiting, facts.longest_wait_seconds), (2, Some(50.0)));
        assert_eq!(
            facts.waits_for.as_deref(),
            Some("RowExclusiveLock on public.orders")
        );
        assert_eq!(facts.state.as_deref(), Some("idle in transaction"));
        assert_eq!(
            (facts.application.as_str(), facts.command.as_str()),
            ("shop", "SELECT")
        );
        assert_eq!(
            (facts.transaction_seconds, facts.xmin_age),
            (Some(60.0), Some(33))
        );
        assert_eq!(seen[0].seconds, 50.0);
        assert!(
            !serde_json::to_string(facts).unwrap().contains(&text),
            "{facts:?}"
        );
        assert_eq!(seen[1].identity, "prepared in app");
        assert_eq!(
            (seen[1].facts.state.as_deref(), seen[1].facts.waiting),
            (Some("prepared"), 1)
        );
        // the same root at the next look, and the same process in another transaction
        let again = session(2, "idle in transaction", 60, |_| {});
        let another = session(2, "idle in transaction", 61, |_| {});
        assert_eq!(identity(&again), seen[0].identity);
        assert_ne!(identity(&another), seen[0].identity);
    }

    #[test]
    fn what_has_just_begun_is_not_worth_it() {
        let mut observed = observation(vec![], 0.0);
        observed.sessions = Ok(vec![session(2, "active", 299, |_| {}), waits(3, 2, 0)]);
        assert_eq!(of(IncidentKind::Blocking, &observed), Some(vec![]));
        let old = of(IncidentKind::OldTransaction, &observed).unwrap();
        assert_eq!(old.len(), 1, "who waits has a transaction of 15 min: {old:?}");
    }

    #[test]
    fn old_transactions_are_told_the_oldest_first_and_none_is_left_out() {
        let mut observed = observation(vec![], 0.0);
        let one = |gid: &str, seconds: i64| PreparedTransaction {
            gid: gid.into(),
            owner: Some("app".into()),
            database: "app".into(),
            prepared_at: now() - TimeDelta::seconds(seconds),
            xid_age: 44,
        };
        observed.prepared_transactions = Ok(vec![one("left over", 7200), one("new", 3)]);
        observed.sessions = Ok(vec![
            session(1, "idle in transaction", 3600, |one| one.xmin_age = Some(9)),
            session(2, "active", 9000, |one| one.command = "VACUUM".into()),
            session(3, "active", 9000, |one| {
                one.backend_type = "autovacuum worker".into()
            }),
            session(4, "idle", 9000, |one| one.transaction_started_at = None),
        ]);
        let seen = of(IncidentKind::OldTransaction, &observed).unwrap();
        let ages: Vec<(f64, Option<i64>)> =
            seen.iter().map(|one| (one.seconds, one.facts.xmin_age)).collect();
        assert_eq!(ages, [(7200.0, Some(44)), (3600.0, Some(9))]);
        assert_eq!(seen[0].facts.gid.as_deref(), Some("left over"));
        let many = (1..=1000).map(|pid| session(pid, "active", 1000 + i64::from(pid), |_| {}));
        observed.sessions = Ok(many.collect());
        let seen = of(IncidentKind::OldTransaction, &observed).unwrap();
        assert_eq!(seen.len(), 1001, "what is left out would be over");
        assert_eq!(seen[1].seconds, 2000.0);
    }

    #[test]
    fn what_could_not_be_read_ends_nothing() {
        let mut observed = observation(vec![], 0.0);
        observed.prepared_transactions = Err(Unknown::because("not read"));
        assert_eq!(of(IncidentKind::OldTransaction, &observed), None);
        assert_eq!(of(IncidentKind::Blocking, &observed), Some(vec![]));
        observed.sessions = Err(Unknown::because("not read"));
        assert!(seen(&observed).is_empty());
    }

    #[test]
    fn names_are_cut_at_whole_characters() {
        let mut observed = observation(vec![], 0.0);
        let hostile = "é".repeat(10_000);
        observed.sessions = Ok(vec![session(1, "idle in transaction", 3600, |one| {
            one.application = hostile.clone();
            one.role = Some(hostile.clone());
            one.database = Some(hostile.clone());
        })]);
        let seen = of(IncidentKind::OldTransaction, &observed).unwrap();
        assert_eq!(seen[0].facts.application, "é".repeat(100));
        assert!(serde_json::to_string(&seen[0].facts).unwrap().len() < 1500);
    }
}
