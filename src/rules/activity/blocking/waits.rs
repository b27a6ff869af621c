//! Who waits for whom, as a forest: its roots, and all that waits behind each.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};

use crate::model::observation::Observation;
use crate::model::session::Session;
use crate::model::unit::seconds_for_people;
use crate::rules::Rule as _;
use crate::rules::activity::blocking::Blocking;
use crate::rules::activity::long_query::{is_ours, outline};
use crate::rules::sessions;

/// What is the same tomorrow: the database, and role, application and relation of the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct Identity {
    pub database: Option<String>,
    pub subject: Vec<String>,
    /// Whether a comment asks to leave the root alone: such a one does not stand for others.
    pub is_ignored_by_comment: bool,
}

/// Who waits for nobody, and is waited for.
#[derive(Clone, Copy)]
pub enum Root<'a> {
    /// A session.
    Session(&'a Session),
    /// A prepared transaction, for which sessions of this database wait.
    Prepared(&'a str),
}

/// All that waits behind roots of one identity.
pub struct Jam<'a> {
    /// What they are known by.
    pub identity: Identity,
    /// The worst of the roots.
    pub root: Root<'a>,
    /// How many roots there are.
    pub roots: usize,
    /// Those that wait for the worst root itself.
    pub direct: Vec<&'a Session>,
    /// All that wait, but our own sessions.
    pub waiting: usize,
    /// Those of them that have waited long enough to count.
    pub counted: usize,
    /// The longest wait in seconds.
    pub longest: f64,
    /// It is told since when each of them waits.
    pub is_timed: bool,
    /// Nobody waits for anything but an advisory lock.
    pub is_advisory: bool,
    /// Who waits for an ACCESS EXCLUSIVE lock, and how many wait behind.
    pub queue: Option<(&'a Session, usize)>,
    /// The tables whose locks are waited for.
    pub relations: BTreeSet<String>,
}

/// Who waits for whom.
pub struct Waits<'a> {
    observation: &'a Observation,
    sessions: HashMap<i32, &'a Session>,
    /// Those that wait for a process, the longest first; 0 stands for prepared transactions.
    behind: BTreeMap<i32, Vec<&'a Session>>,
    /// How many processes are waited for and are not among the sessions.
    pub vanished: usize,
}

/// Since when a session waits; where that is not told, since its statement began at most.
fn waits_since(waiter: &Session) -> Option<DateTime<Utc>> {
    let told = waiter.awaited.as_ref().and_then(|lock| lock.since);
    told.or(waiter.state_changed_at)
}

impl<'a> Waits<'a> {
    /// Of all sessions.
    pub fn of(observation: &'a Observation, all: &'a [Session]) -> Self {
        let sessions: HashMap<i32, &Session> = all.iter().map(|session| (session.pid, session)).collect();
        let mut behind: BTreeMap<i32, Vec<&Session>> = BTreeMap::new();
        for waiter in all {
            // of parallel processes the leader is named, once for each of them
            let blockers: BTreeSet<i32> = waiter.blocked_by.iter().copied().collect();
            for pid in blockers {
                behind.entry(pid).or_default().push(waiter);
            }
        }
        for waiters in behind.values_mut() {
            waiters.sort_by_key(|waiter| (waits_since(waiter), waiter.pid));
        }
        let is_gone = |pid: &&i32| **pid != 0 && !sessions.contains_key(*pid);
        let vanished = behind.keys().filter(is_gone).count();
        Self {
            observation,
            sessions,
            behind,
            vanished,
        }
    }

    fn behind(&self, pid: i32) -> &[&'a Session] {
        self.behind.get(&pid).map_or(&[], Vec::as_slice)
    }

    /// Those that wait for a root itself.
    fn direct(&self, root: Root<'a>) -> Vec<&'a Session> {
        let (pid, database) = match root {
            Root::Session(session) => (session.pid, None),
            Root::Prepared(database) => (0, Some(database)),
        };
        let is_there = |waiter: &&&Session| database.is_none() || waiter.database.as_deref() == database;
        self.behind(pid).iter().filter(is_there).copied().collect()
    }

    /// All roots by what they are known by.
    pub fn roots(&self) -> BTreeMap<Identity, Vec<Root<'a>>> {
        let mut roots: BTreeMap<Identity, Vec<Root<'a>>> = BTreeMap::new();
        let mut add = |database: Option<&str>, role: &str, application: &str, root: Root<'a>| {
            let subject = vec![role.to_owned(), application.to_owned(), self.relation_at(root)];
            let database = database.map(str::to_owned);
            let is_ignored_by_comment =
                matches!(root, Root::Session(session) if session.is_ignored_by_comment(Blocking::ID));
            let identity = Identity {
                database,
                subject,
                is_ignored_by_comment,
            };
            roots.entry(identity).or_default().push(root);
        };
        for pid in self.behind.keys() {
            if let Some(session) = self.sessions.get(pid).copied()
                && session.blocked_by.is_empty()
                && !is_ours(session)
            {
                let role = session.role.as_deref().unwrap_or_default();
                let root = Root::Session(session);
                add(
                    session.database.as_deref(),
                    role,
                    session.application_or_type(),
                    root,
                );
            }
        }
        let waiters = self.behind(0).iter();
        let databases: BTreeSet<&str> = waiters.filter_map(|waiter| waiter.database.as_deref()).collect();
        for database in databases {
            add(
                Some(database),
                "",
                "prepared transaction",
                Root::Prepared(database),
            );
        }
        roots
    }

    /// The relation that the longest of those waits for who wait at a root; empty where it is none, or not known. Who comes later
    /// changes nothing of what the problem is known by.
    fn relation_at(&self, root: Root<'a>) -> String {
        let longest = self.direct(root).into_iter().next();
        longest
            .and_then(|waiter| self.relation(waiter))
            .unwrap_or_default()
    }

    /// The table whose lock is waited for.
    fn relation(&self, waiter: &Session) -> Option<String> {
        let oid = waiter.awaited.as_ref()?.relation_oid?;
        sessions::table_of_lock(self.observation, waiter.database.as_deref()?, oid)
    }

    /// Seconds for which a session waits.
    fn waited(&self, waiter: &Session) -> f64 {
        Session::seconds_since(waits_since(waiter), self.observation.now).unwrap_or(0.0)
    }

    /// These, and everybody who waits behind them, directly or not; each once, so that a circle ends.
    fn reached(&self, direct: &[&'a Session]) -> Vec<&'a Session> {
        let mut seen = HashSet::new();
        let mut reached = Vec::new();
        let mut open = direct.to_vec();
        while let Some(waiter) = open.pop() {
            if seen.insert(waiter.pid) {
                reached.push(waiter);
                open.extend_from_slice(self.behind(waiter.pid));
            }
        }
        reached
    }

    /// All that waits behind roots of one identity; who has waited for less is not counted.
    pub fn jam(&self, identity: Identity, roots: &[Root<'a>], minimum_wait: f64) -> Option<Jam<'a>> {
        let directs: Vec<Vec<&'a Session>> = roots.iter().map(|root| self.direct(*root)).collect();
        // the one for which most wait, of those the first
        let worst = (0..roots.len()).rev().max_by_key(|place| directs[*place].len())?;
        let mut reached = self.reached(&directs.concat());
        reached.retain(|waiter| !is_ours(waiter));
        let counted: Vec<&'a Session> = {
            let all = reached.iter().copied();
            all.filter(|waiter| self.waited(waiter) >= minimum_wait).collect()
        };
        let queues = counted.iter().copied();
        let queues = queues.filter(|waiter| is_exclusive(waiter) && !self.behind(waiter.pid).is_empty());
        let queue = queues.min_by_key(|waiter| (waits_since(waiter), waiter.pid));
        let waits = reached.iter().map(|waiter| self.waited(waiter));
        Some(Jam {
            identity,
            root: roots[worst],
            roots: roots.len(),
            direct: directs[worst].clone(),
            waiting: reached.len(),
            counted: counted.len(),
            longest: waits.fold(0.0, f64::max),
            is_timed: reached.iter().all(|waiter| is_timed(waiter)),
            is_advisory: !reached.is_empty() && reached.iter().all(|waiter| is_advisory(waiter)),
            queue: queue.map(|waiter| (waiter, self.reached(self.behind(waiter.pid)).len())),
            relations: reached
                .iter()
                .filter_map(|waiter| self.relation(waiter))
                .collect(),
        })
    }
}

fn is_timed(waiter: &Session) -> bool {
    let lock = waiter.awaited.as_ref();
    lock.is_some_and(|lock| lock.since.is_some())
}

fn is_advisory(waiter: &Session) -> bool {
    let lock = waiter.awaited.as_ref();
    lock.is_some_and(|lock| lock.kind == "advisory")
}

fn is_exclusive(waiter: &Session) -> bool {
    let lock = waiter.awaited.as_ref();
    lock.is_some_and(|lock| lock.kind == "relation" && lock.mode == "AccessExclusiveLock")
}

/// Lines of a tree that are shown below its root.
pub const TREE_LINES: usize = 30;

impl Waits<'_> {
    /// A root, and who waits behind it: each below one for whom it waits.
    pub fn tree(&self, jam: &Jam<'_>) -> String {
        let root = match jam.root {
            Root::Session(root) => self.root_line(root),
            Root::Prepared(database) => format!("a prepared transaction in {database}"),
        };
        let mut lines = vec![root];
        let mut seen = HashSet::new();
        let mut hidden = 0;
        let mut open: Vec<(&Session, usize)> = jam.direct.iter().rev().map(|waiter| (*waiter, 1)).collect();
        while let Some((waiter, depth)) = open.pop() {
            if !seen.insert(waiter.pid) {
                continue;
            }
            match lines.len() <= TREE_LINES {
                true => lines.push(format!("{}└ {}", "  ".repeat(depth), self.line(waiter))),
                false => hidden += 1,
            }
            let next = self.behind(waiter.pid).iter().rev();
            open.extend(next.map(|waiter| (*waiter, depth + 1)));
        }
        if hidden > 0 {
            lines.push(format!("  … and {hidden} more"));
        }
        lines.join("\n")
    }

    fn line(&self, waiter: &Session) -> String {
        let lock = waiter
            .awaited
            .as_ref()
            .map_or("a lock", |lock| lock.mode.as_str());
        let relation = self.relation(waiter);
        let at = relation.map_or(String::new(), |relation| format!(" on {relation}"));
        let waited = seconds_for_people(self.waited(waiter));
        format!(
            "{} waits {waited} for {lock}{at}: {}",
            who(waiter),
            outline(waiter)
        )
    }

    fn root_line(&self, root: &Session) -> String {
        let since = Session::seconds_since(root.state_changed_at, self.observation.now);
        let lasted = since.map_or(String::new(), |seconds| {
            format!(" {}", seconds_for_people(seconds))
        });
        let state = root.state.as_deref().unwrap_or("at work");
        format!("{} {state}{lasted}: {}", who(root), outline(root))
    }
}

fn who(session: &Session) -> String {
    let role = session.role.as_deref().unwrap_or("unknown");
    format!("pid {} {role}/{}", session.pid, session.application_or_type())
}
