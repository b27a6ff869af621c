//! What goes on just now: sessions in the order in which somebody who is called at night wants them.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};

use super::forest::{Forest, Holder};
use crate::limits;
use crate::model::activity::{ActivityLine, ActivityNow, Count, PreparedLine};
use crate::model::observation::Observation;
use crate::model::session::{PreparedTransaction, Session};

/// What goes on, as the page shows it; none where sessions could not be read.
pub fn now(observation: &Observation) -> Option<ActivityNow> {
    let sessions = observation.sessions.as_ref().ok()?;
    let clients: Vec<&Session> = sessions.iter().filter(|session| session.is_client()).collect();
    let server = &observation.server;
    let setting = |name: &str| server.setting_number(name);
    let kept = setting("superuser_reserved_connections").unwrap_or(0.0)
        + setting("reserved_connections").unwrap_or(0.0);
    let (lines, more_sessions) = lines(&Forest::of(observation, sessions), observation.now);
    let unknown = || "not seen".to_owned();
    Some(ActivityNow {
        at: observation.now,
        clients: clients.len(),
        connections_limit: setting("max_connections").map(|most| (most - kept).max(0.0) as usize),
        states: counted(
            clients
                .iter()
                .map(|session| session.state.clone().unwrap_or_else(unknown)),
        ),
        applications: counted(clients.iter().map(|session| session.application.clone())),
        sessions: lines,
        more_sessions,
        waiting: sessions
            .iter()
            .filter(|session| session.waits_for_a_lock())
            .count(),
        why_blind: (!server.sees_all_sessions).then(|| {
            format!(
                "the login {} sees its own sessions only: GRANT pg_read_all_stats",
                server.login
            )
        }),
        prepared_transactions: prepared(observation),
    })
}

/// Prepared transactions, the oldest first; none where they could not be read.
fn prepared(observation: &Observation) -> Option<Vec<PreparedLine>> {
    let mut oldest: Vec<_> = observation.prepared_transactions.as_ref().ok()?.iter().collect();
    oldest.sort_by(|a, b| a.prepared_at.cmp(&b.prepared_at).then_with(|| a.gid.cmp(&b.gid)));
    oldest.truncate(limits::SESSIONS_SHOWN);
    let line = |one: &PreparedTransaction| PreparedLine {
        gid: one.gid.clone(),
        owner: one.owner.clone(),
        database: one.database.clone(),
        age_seconds: Session::seconds_since(Some(one.prepared_at), observation.now).unwrap_or(0.0),
        xid_age: one.xid_age,
    };
    Some(oldest.into_iter().map(line).collect())
}

/// How often each occurs, the most frequent first.
fn counted(names: impl Iterator<Item = String>) -> Vec<Count> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let mut counts: Vec<Count> = counts
        .into_iter()
        .map(|(name, count)| Count { name, count })
        .collect();
    counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    counts.truncate(limits::APPLICATIONS_SHOWN);
    counts
}

/// All that are worth a line: who is waited for with those behind, most first; then the oldest transactions.
fn lines(forest: &Forest<'_>, now: DateTime<Utc>) -> (Vec<ActivityLine>, usize) {
    let is_worth = |session: &&Session| {
        let is_at_work = session.is_active() && session.is_client();
        let holds = session.xmin_age.is_some() && session.is_client();
        is_at_work || holds || session.is_idle_in_transaction() || forest.is_in_a_queue(session)
    };
    let is_root = |holder: Holder<'_>| match holder {
        Holder::Session(session) => forest.is_root(session),
        Holder::Prepared(_) => true,
    };
    // who waits comes below another, so only of the others it matters how many wait behind
    let behind = |holder| match is_root(holder) {
        true => forest.reached(holder).len(),
        false => 0,
    };
    let sessions = forest
        .sessions()
        .into_iter()
        .filter(is_worth)
        .map(Holder::Session);
    let all = sessions.chain(forest.prepared());
    let mut roots: Vec<(usize, Holder<'_>)> = all.map(|holder| (behind(holder), holder)).collect();
    roots.sort_by_key(|(count, holder)| {
        let oldest = began(forest, *holder);
        (std::cmp::Reverse(*count), oldest.is_none(), oldest, holder.pid())
    });
    // a circle has no root: its members come after all that have one
    let (free, waiting): (Vec<_>, Vec<_>) = roots.into_iter().partition(|(_, holder)| is_root(*holder));
    let mut places: Vec<(Holder<'_>, usize)> = Vec::new();
    let mut told = HashSet::new();
    for (_, holder) in free.into_iter().chain(waiting) {
        add(forest, holder, &mut told, &mut places);
    }
    let more = places.len().saturating_sub(limits::SESSIONS_SHOWN);
    places.truncate(limits::SESSIONS_SHOWN);
    let shown = |(holder, depth): (Holder<'_>, usize)| match holder {
        Holder::Session(session) => line(forest, session, depth, now),
        Holder::Prepared(database) => prepared_line(forest, database, now),
    };
    (places.into_iter().map(shown).collect(), more)
}

/// Since when somebody may hold something.
fn began(forest: &Forest<'_>, holder: Holder<'_>) -> Option<DateTime<Utc>> {
    match holder {
        Holder::Session(session) => session.transaction_started_at.or(session.query_started_at),
        Holder::Prepared(database) => forest.candidates(database).first().map(|one| one.prepared_at),
    }
}

/// Adds a place for somebody and, below, for all that wait behind and have none yet.
fn add<'a>(
    forest: &Forest<'a>,
    root: Holder<'a>,
    told: &mut HashSet<i32>,
    places: &mut Vec<(Holder<'a>, usize)>,
) {
    let mut open = vec![(root, 0)];
    while let Some((holder, depth)) = open.pop() {
        if let Holder::Session(session) = holder
            && !told.insert(session.pid)
        {
            continue;
        }
        places.push((holder, depth));
        let behind = forest.direct(holder).into_iter().rev();
        open.extend(behind.map(|waiter| (Holder::Session(waiter), depth + 1)));
    }
}

fn line(forest: &Forest<'_>, session: &Session, depth: usize, now: DateTime<Utc>) -> ActivityLine {
    let began = match session.is_active() {
        true => session.query_started_at,
        false => session.state_changed_at,
    };
    ActivityLine {
        depth,
        pid: session.pid,
        role: session.role.clone(),
        database: session.database.clone(),
        application: session.application_or_type().to_owned(),
        state: session.state.clone(),
        wait: wait(forest, session),
        blocks: forest.reached(Holder::Session(session)).len(),
        state_seconds: Session::seconds_since(began, now),
        transaction_seconds: Session::seconds_since(session.transaction_started_at, now),
        xmin_age: session.xmin_age,
        statement_id: forest.counted(session),
        text: session
            .statement
            .as_ref()
            .map(|text| crate::sql::cut(&text.text, limits::STATEMENT_BEGINNING_BYTES).to_owned()),
        prepared: Vec::new(),
    }
}

/// A prepared transaction for which sessions of a database wait. The server does not say which one: where there is but one,
/// it is that.
fn prepared_line(forest: &Forest<'_>, database: Option<&str>, now: DateTime<Utc>) -> ActivityLine {
    let candidates = forest.candidates(database);
    let only = match candidates.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    let oldest = candidates.first().map(|one| one.prepared_at);
    let names = candidates.iter().take(limits::PREPARED_NAMED);
    ActivityLine {
        role: only.and_then(|one| one.owner.clone()),
        database: database.map(str::to_owned),
        application: "prepared transaction".to_owned(),
        state: Some("prepared".to_owned()),
        blocks: forest.reached(Holder::Prepared(database)).len(),
        state_seconds: Session::seconds_since(oldest, now),
        transaction_seconds: Session::seconds_since(oldest, now),
        xmin_age: only.map(|one| one.xid_age),
        prepared: names.map(|one| one.gid.clone()).collect(),
        ..ActivityLine::default()
    }
}

/// What a session waits for: a lock with its table, or an event; waiting for its client is no waiting.
fn wait(forest: &Forest<'_>, session: &Session) -> Option<String> {
    if let Some(lock) = forest.lock(session) {
        return Some(lock);
    }
    let kind = session
        .wait_event_type
        .as_deref()
        .filter(|kind| *kind != "Client")?;
    Some(format!(
        "{kind}: {}",
        session.wait_event.as_deref().unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Unknown;
    use crate::model::session::AwaitedLock;
    use crate::rules::testing::{observation, session, set, table, tables};

    fn places(seen: &ActivityNow) -> Vec<(i32, usize, usize)> {
        let lines = seen.sessions.iter();
        lines.map(|line| (line.pid, line.depth, line.blocks)).collect()
    }

    #[test]
    fn who_is_waited_for_comes_first_and_a_circle_ends() {
        let waits = |pid: i32, on: &[i32]| {
            let on = on.to_vec();
            session(pid, "active", 9, |waiter| waiter.blocked_by = on)
        };
        let mut observed = observation(vec![], 0.0);
        observed.sessions = Ok(vec![
            session(1, "active", 500, |_| {}),
            session(2, "idle in transaction", 60, |_| {}),
            waits(3, &[2]),
            waits(4, &[3, 2]),
            session(5, "idle", 900, |_| {}),
            waits(6, &[7]),
            waits(7, &[6]),
        ]);
        let seen = now(&observed).unwrap();
        let told = places(&seen);
        assert_eq!(seen.waiting, 4);
        assert_eq!(told[..4], [(2, 0, 2), (3, 1, 1), (4, 2, 0), (1, 0, 0)]);
        assert_eq!(
            told.len(),
            6,
            "who is idle and holds nothing has no line: {told:?}"
        );
    }

    #[test]
    fn prepared_transactions_are_told_the_oldest_first() {
        let mut observed = observation(vec![], 0.0);
        let one = |gid: &str, seconds: i64| PreparedTransaction {
            gid: gid.into(),
            owner: Some("app".into()),
            database: "shop".into(),
            prepared_at: observed.now - chrono::TimeDelta::seconds(seconds),
            xid_age: 44,
        };
        observed.prepared_transactions = Ok(vec![one("new", 5), one("old", 600)]);
        let told = now(&observed).unwrap().prepared_transactions.unwrap();
        assert_eq!(
            told[0],
            PreparedLine {
                gid: "old".into(),
                owner: Some("app".into()),
                database: "shop".into(),
                age_seconds: 600.0,
                xid_age: 44,
            }
        );
        assert_eq!((told.len(), told[1].gid.as_str()), (2, "new"));
        observed.prepared_transactions = Err(Unknown::because("not read"));
        assert_eq!(now(&observed).unwrap().prepared_transactions, None);
    }

    #[test]
    fn a_prepared_transaction_is_a_root_of_its_own_in_each_database() {
        let mut observed = observation(vec![], 0.0);
        let waits = |pid: i32, database: &str, on: &[i32]| {
            let (database, on) = (database.to_owned(), on.to_vec());
            session(pid, "active", 9, |waiter| {
                waiter.database = Some(database);
                waiter.blocked_by = on;
            })
        };
        observed.sessions = Ok(vec![
            session(1, "idle in transaction", 900, |_| {}),
            waits(2, "shop", &[0]),
            waits(3, "shop", &[2, 0]),
            waits(4, "bank", &[0]),
            waits(5, "shop", &[77]),
        ]);
        let one = |gid: &str, database: &str, seconds: i64| PreparedTransaction {
            gid: gid.into(),
            owner: Some("app".into()),
            database: database.into(),
            prepared_at: observed.now - chrono::TimeDelta::seconds(seconds),
            xid_age: 44,
        };
        observed.prepared_transactions = Ok(vec![
            one("new", "shop", 5),
            one("old", "shop", 600),
            one("other", "bank", 50),
        ]);
        let seen = now(&observed).unwrap();
        assert_eq!(seen.waiting, 4, "who waits for somebody that is gone waits, too");
        assert_eq!(
            places(&seen),
            [
                (0, 0, 2),
                (2, 1, 1),
                (3, 2, 0),
                (0, 0, 1),
                (4, 1, 0),
                (1, 0, 0),
                (5, 0, 0)
            ]
        );
        let (shop, bank) = (&seen.sessions[0], &seen.sessions[3]);
        assert_eq!(
            (shop.database.as_deref(), shop.transaction_seconds),
            (Some("shop"), Some(600.0))
        );
        assert_eq!(
            (shop.role.as_deref(), shop.xmin_age),
            (None, None),
            "nobody knows which of the two"
        );
        assert_eq!(shop.prepared, ["old", "new"]);
        assert_eq!((bank.role.as_deref(), bank.xmin_age), (Some("app"), Some(44)));
        observed.prepared_transactions = Err(Unknown::because("not read"));
        let root = &now(&observed).unwrap().sessions[0];
        assert_eq!(
            (root.blocks, root.transaction_seconds),
            (2, None),
            "it is there all the same"
        );
        assert!(root.prepared.is_empty());
    }

    #[test]
    fn counts_and_the_lock_with_its_table() {
        let mut observed = tables(vec![table(7, "orders", 1.0, 1.0)]);
        set(&mut observed, "max_connections", "100");
        set(&mut observed, "superuser_reserved_connections", "3");
        let waiter = session(3, "active", 9, |waiter| {
            waiter.blocked_by = vec![2];
            waiter.awaited = Some(AwaitedLock {
                mode: "ShareLock".into(),
                relation_oid: Some(7),
                ..AwaitedLock::default()
            });
        });
        observed.sessions = Ok(vec![session(2, "idle in transaction", 60, |_| {}), waiter]);
        let seen = now(&observed).unwrap();
        assert_eq!((seen.clients, seen.connections_limit), (2, Some(97)));
        assert_eq!(
            seen.applications,
            [Count {
                name: "shop".into(),
                count: 2
            }]
        );
        assert_eq!(
            seen.sessions[1].wait.as_deref(),
            Some("ShareLock on public.orders")
        );
        assert_eq!(seen.sessions[0].state_seconds, Some(60.0));
    }
}
