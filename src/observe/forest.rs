//! Who waits for whom: sessions, and prepared transactions, which belong to none.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::model::observation::Observation;
use crate::model::session::{PreparedTransaction, Session};
use crate::model::snapshot::StatementKind;

/// What `pg_blocking_pids` says in place of a process where a prepared transaction is in the way.
const PREPARED: i32 = 0;

/// Somebody for whom others may wait.
#[derive(Clone, Copy)]
pub enum Holder<'a> {
    /// A session.
    Session(&'a Session),
    /// A prepared transaction, for which sessions of this database wait: which one is not told.
    Prepared(Option<&'a str>),
}

impl Holder<'_> {
    /// Its process.
    pub fn pid(self) -> i32 {
        match self {
            Self::Session(session) => session.pid,
            Self::Prepared(_) => PREPARED,
        }
    }
}

/// Who waits for whom.
pub struct Forest<'a> {
    observation: &'a Observation,
    by_pid: BTreeMap<i32, &'a Session>,
    /// Those who wait for a process, by their own process.
    behind: HashMap<i32, Vec<&'a Session>>,
}

impl<'a> Forest<'a> {
    /// Of all sessions.
    pub fn of(observation: &'a Observation, sessions: &'a [Session]) -> Self {
        let mut behind: HashMap<i32, Vec<&'a Session>> = HashMap::new();
        for session in sessions {
            // of parallel processes the leader is named, once for each of them
            let blockers: HashSet<i32> = session.blocked_by.iter().copied().collect();
            for pid in blockers {
                behind.entry(pid).or_default().push(session);
            }
        }
        for waiters in behind.values_mut() {
            waiters.sort_unstable_by_key(|waiter| waiter.pid);
        }
        Self {
            observation,
            by_pid: sessions.iter().map(|session| (session.pid, session)).collect(),
            behind,
        }
    }

    /// Every session, by its process.
    pub fn sessions(&self) -> Vec<&'a Session> {
        self.by_pid.values().copied().collect()
    }

    /// The prepared transactions that somebody waits for: one of each database in which somebody does.
    pub fn prepared(&self) -> Vec<Holder<'a>> {
        let waiters = self.behind.get(&PREPARED).into_iter().flatten();
        let databases: BTreeSet<Option<&'a str>> = waiters.map(|waiter| waiter.database.as_deref()).collect();
        databases.into_iter().map(Holder::Prepared).collect()
    }

    /// The prepared transactions that one may be, the oldest first: those of the database, or all where it has none. Empty
    /// where they are not known.
    pub fn candidates(&self, database: Option<&str>) -> Vec<&'a PreparedTransaction> {
        let known: &'a [PreparedTransaction] = match &self.observation.prepared_transactions {
            Ok(known) => known,
            Err(_) => &[],
        };
        let is_there = |one: &&PreparedTransaction| Some(one.database.as_str()) == database;
        let mut candidates: Vec<&'a PreparedTransaction> = known.iter().filter(is_there).collect();
        if candidates.is_empty() {
            candidates = known.iter().collect();
        }
        candidates.sort_by(|a, b| a.prepared_at.cmp(&b.prepared_at).then_with(|| a.gid.cmp(&b.gid)));
        candidates
    }

    /// Whether it waits for nobody who is known.
    pub fn is_root(&self, session: &Session) -> bool {
        let is_known = |pid: &i32| *pid == PREPARED || self.by_pid.contains_key(pid);
        !session.blocked_by.iter().any(is_known)
    }

    /// Whether it waits for somebody, or somebody waits for it.
    pub fn is_in_a_queue(&self, session: &Session) -> bool {
        self.behind.contains_key(&session.pid) || !session.blocked_by.is_empty()
    }

    /// Those who wait for it itself.
    pub fn direct(&self, holder: Holder<'a>) -> Vec<&'a Session> {
        let waiters = self.behind.get(&holder.pid()).into_iter().flatten().copied();
        match holder {
            Holder::Session(_) => waiters.collect(),
            Holder::Prepared(database) => waiters
                .filter(|waiter| waiter.database.as_deref() == database)
                .collect(),
        }
    }

    /// Everybody who waits for it, directly or behind each other; each once, so that a circle ends.
    pub fn reached(&self, holder: Holder<'a>) -> Vec<&'a Session> {
        let mut seen = HashSet::from([holder.pid()]);
        let mut reached = Vec::new();
        let mut open = self.direct(holder);
        while let Some(waiter) = open.pop() {
            if seen.insert(waiter.pid) {
                reached.push(waiter);
                open.extend(self.direct(Holder::Session(waiter)));
            }
        }
        reached
    }

    /// The identity of a statement that is counted, so that its page can be asked for: a query in a watched database.
    pub fn counted(&self, session: &Session) -> Option<String> {
        let database = session.database.as_deref()?;
        let mut databases = self.observation.databases.iter();
        databases.find(|known| known.name == database)?;
        let text = session.statement.as_ref()?;
        (text.kind == StatementKind::Query).then(|| text.statement_id.clone())
    }

    /// The lock that a session waits for, with its table where that is known.
    pub fn lock(&self, session: &Session) -> Option<String> {
        let lock = session.awaited.as_ref()?;
        let table = lock.relation_oid.and_then(|oid| self.table(session, oid));
        Some(match table {
            Some(table) => format!("{} on {table}", lock.mode),
            None => format!("{} ({})", lock.mode, lock.kind),
        })
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
