//! What goes on just now: sessions in the order in which somebody who is called at night wants them.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::limits;
use crate::model::activity::{ActivityLine, ActivityNow, Count, PreparedLine};
use crate::model::observation::Observation;
use crate::model::session::{PreparedTransaction, Session};
use crate::model::snapshot::StatementKind;

/// What goes on, as the page shows it; none where sessions could not be read.
pub fn now(observation: &Observation) -> Option<ActivityNow> {
    let sessions = observation.sessions.as_ref().ok()?;
    let clients: Vec<&Session> = sessions.iter().filter(|session| session.is_client()).collect();
    let server = &observation.server;
    let setting = |name: &str| server.setting_number(name);
    let kept = setting("superuser_reserved_connections").unwrap_or(0.0)
        + setting("reserved_connections").unwrap_or(0.0);
    let (lines, more_sessions) = Forest::of(observation, sessions).lines();
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

/// Who waits for whom.
struct Forest<'a> {
    observation: &'a Observation,
    by_pid: BTreeMap<i32, &'a Session>,
    /// Those who wait for a process.
    behind: HashMap<i32, Vec<i32>>,
}

impl<'a> Forest<'a> {
    fn of(observation: &'a Observation, sessions: &'a [Session]) -> Self {
        let mut behind: HashMap<i32, Vec<i32>> = HashMap::new();
        for session in sessions {
            let blockers: HashSet<i32> = session.blocked_by.iter().copied().collect();
            for pid in blockers {
                behind.entry(pid).or_default().push(session.pid);
            }
        }
        behind.values_mut().for_each(|pids| pids.sort_unstable());
        Self {
            observation,
            by_pid: sessions.iter().map(|session| (session.pid, session)).collect(),
            behind,
        }
    }

    /// All that are worth a line: who is waited for with those behind, most first; then the oldest transactions.
    fn lines(&self) -> (Vec<ActivityLine>, usize) {
        let is_worth = |session: &&&Session| {
            let is_at_work = session.is_active() && session.is_client();
            let holds = session.xmin_age.is_some() && session.is_client();
            is_at_work || holds || session.is_idle_in_transaction() || self.is_in_a_queue(session.pid)
        };
        // who waits comes below another, so only of the others it matters how many wait behind
        let behind = |session: &Session| match self.waits_for_a_known_one(session) {
            true => 0,
            false => self.count_behind(session.pid),
        };
        let mut roots: Vec<(usize, &Session)> = self
            .by_pid
            .values()
            .filter(is_worth)
            .map(|session| (behind(session), *session))
            .collect();
        roots.sort_by_key(|(count, session)| {
            let oldest = session.transaction_started_at.or(session.query_started_at);
            (std::cmp::Reverse(*count), oldest.is_none(), oldest, session.pid)
        });
        let mut places = Vec::new();
        let mut told = HashSet::new();
        // a circle has no root: its members come after all that have one
        let (waiting, free): (Vec<_>, Vec<_>) = roots
            .iter()
            .partition(|(_, session)| self.waits_for_a_known_one(session));
        for (_, session) in free.into_iter().chain(waiting) {
            self.add(session.pid, 0, &mut told, &mut places);
        }
        let more = places.len().saturating_sub(limits::SESSIONS_SHOWN);
        places.truncate(limits::SESSIONS_SHOWN);
        let lines = places
            .into_iter()
            .map(|(session, depth)| self.line(session, depth));
        (lines.collect(), more)
    }

    fn is_in_a_queue(&self, pid: i32) -> bool {
        self.behind.contains_key(&pid)
            || self
                .by_pid
                .get(&pid)
                .is_some_and(|session| !session.blocked_by.is_empty())
    }

    fn waits_for_a_known_one(&self, session: &Session) -> bool {
        session.blocked_by.iter().any(|pid| self.by_pid.contains_key(pid))
    }

    /// Everybody who waits for a process, directly or not.
    fn count_behind(&self, pid: i32) -> usize {
        let mut seen = HashSet::from([pid]);
        let mut open = vec![pid];
        while let Some(next) = open.pop() {
            for waiter in self.behind.get(&next).into_iter().flatten() {
                if seen.insert(*waiter) {
                    open.push(*waiter);
                }
            }
        }
        seen.len() - 1
    }

    fn add(&self, root: i32, depth: usize, told: &mut HashSet<i32>, places: &mut Vec<(&'a Session, usize)>) {
        let mut open = vec![(root, depth)];
        while let Some((pid, depth)) = open.pop() {
            let Some(session) = self.by_pid.get(&pid) else {
                continue;
            };
            if !told.insert(pid) {
                continue;
            }
            places.push((*session, depth));
            let behind = self.behind.get(&pid).into_iter().flatten().rev();
            open.extend(behind.map(|waiter| (*waiter, depth + 1)));
        }
    }

    fn line(&self, session: &Session, depth: usize) -> ActivityLine {
        let now = self.observation.now;
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
            wait: self.wait(session),
            blocks: self.count_behind(session.pid),
            state_seconds: Session::seconds_since(began, now),
            transaction_seconds: Session::seconds_since(session.transaction_started_at, now),
            xmin_age: session.xmin_age,
            statement_id: self.counted(session),
            text: session
                .statement
                .as_ref()
                .map(|text| crate::sql::cut(&text.text, limits::STATEMENT_BEGINNING_BYTES).to_owned()),
        }
    }

    /// The identity of a statement that is counted, so that its page can be asked for: a query in a watched database.
    fn counted(&self, session: &Session) -> Option<String> {
        let database = session.database.as_deref()?;
        let mut databases = self.observation.databases.iter();
        databases.find(|known| known.name == database)?;
        let text = session.statement.as_ref()?;
        (text.kind == StatementKind::Query).then(|| text.statement_id.clone())
    }

    /// What a session waits for: a lock with its table, or an event; waiting for its client is no waiting.
    fn wait(&self, session: &Session) -> Option<String> {
        if let Some(lock) = &session.awaited {
            let table = lock.relation_oid.and_then(|oid| self.table(session, oid));
            return Some(match table {
                Some(table) => format!("{} on {table}", lock.mode),
                None => format!("{} ({})", lock.mode, lock.kind),
            });
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

    fn table(&self, session: &Session, oid: u32) -> Option<String> {
        let name = session.database.as_deref()?;
        let mut databases = self.observation.databases.iter();
        let catalog = &databases.find(|database| database.name == name)?.catalog;
        let oid = catalog.indexes.get(oid).map_or(oid, |index| index.table_oid);
        let table = catalog.tables.get(oid)?;
        Some(format!("{}.{}", table.schema, table.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Unknown;
    use crate::model::session::AwaitedLock;
    use crate::rules::testing::{observation, session, set, table, tables};

    fn lines(sessions: Vec<Session>) -> Vec<(i32, usize, usize)> {
        let mut observed = observation(vec![], 0.0);
        observed.sessions = Ok(sessions);
        let seen = now(&observed).unwrap();
        seen.sessions
            .iter()
            .map(|line| (line.pid, line.depth, line.blocks))
            .collect()
    }

    #[test]
    fn who_is_waited_for_comes_first_and_a_circle_ends() {
        let waits = |pid: i32, on: &[i32]| {
            let on = on.to_vec();
            session(pid, "active", 9, |waiter| waiter.blocked_by = on)
        };
        let told = lines(vec![
            session(1, "active", 500, |_| {}),
            session(2, "idle in transaction", 60, |_| {}),
            waits(3, &[2]),
            waits(4, &[3, 2]),
            session(5, "idle", 900, |_| {}),
            waits(6, &[7]),
            waits(7, &[6]),
        ]);
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
