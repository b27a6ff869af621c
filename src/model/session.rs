//! What sessions do at one moment: pg_stat_activity, without any literal.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::selector::is_ignored_by_comment;
use super::snapshot::StatementText;

/// One row of pg_stat_activity.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Session {
    pub pid: i32,
    /// `client backend`, `autovacuum worker`, `walsender`, …
    pub backend_type: String,
    pub role: Option<String>,
    pub database: Option<String>,
    /// application_name; empty where none was given.
    pub application: String,
    /// `active`, `idle`, `idle in transaction`, …; `None` where the login may not see it.
    pub state: Option<String>,
    pub wait_event_type: Option<String>,
    pub wait_event: Option<String>,
    pub transaction_started_at: Option<DateTime<Utc>>,
    pub query_started_at: Option<DateTime<Utc>>,
    pub state_changed_at: Option<DateTime<Utc>>,
    /// The age in transactions of the oldest of its id and its snapshot; `None` where it holds nothing back.
    pub xmin_age: Option<i64>,
    /// What it runs, or ran last, with every constant taken out, and of its comments all but those that ask to leave it
    /// alone; `None` where it is idle or may not be seen.
    #[serde(default)]
    pub statement: Option<Arc<StatementText>>,
    /// PostgreSQL's identifier of what it runs, or ran last; `None` where compute_query_id is off, it was not analysed yet, or may not
    /// be seen.
    #[serde(default)]
    pub query_id: Option<i64>,
    /// The statement as it was sent looks for a pattern that begins with a wildcard. The constant itself is not kept.
    pub has_leading_wildcard: bool,
    /// The first words of the statement in upper case, as `VACUUM`, `CREATE INDEX`; empty where it is not seen.
    pub command: String,
    /// Processes that it waits for; 0 stands for a prepared transaction.
    pub blocked_by: Vec<i32>,
    /// The lock that it waits for.
    pub awaited: Option<AwaitedLock>,
    /// Locks on tables and indexes of its database that it holds, the strongest first; read only of a few that are idle in a
    /// transaction, `None` where that was not done.
    pub held: Option<Vec<HeldLock>>,
}

/// A lock on a relation that a session holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct HeldLock {
    /// `AccessShareLock`, `RowExclusiveLock`, …
    pub mode: String,
    pub relation_oid: u32,
}

/// A lock that somebody waits for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct AwaitedLock {
    /// `relation`, `transactionid`, `tuple`, `advisory`, …
    pub kind: String,
    /// `AccessExclusiveLock`, …
    pub mode: String,
    /// The relation, where it is one.
    pub relation_oid: Option<u32>,
    /// Since when (14 and later).
    pub since: Option<DateTime<Utc>>,
}

impl Session {
    /// Whether a client is at the other end.
    pub fn is_client(&self) -> bool {
        self.backend_type == "client backend"
    }

    /// Whether a client is at the other end and track_activities is off for it: the server tells neither what it does nor since
    /// when.
    pub fn is_untracked(&self) -> bool {
        self.is_client() && self.state.as_deref() == Some("disabled")
    }

    /// Whether it sits in a transaction and does nothing.
    pub fn is_idle_in_transaction(&self) -> bool {
        self.state
            .as_deref()
            .is_some_and(|state| state.starts_with("idle in transaction"))
    }

    /// Whether it executes something.
    pub fn is_active(&self) -> bool {
        self.state.as_deref() == Some("active")
    }

    /// Whether it waits for a lock, whoever is in the way.
    pub fn waits_for_a_lock(&self) -> bool {
        !self.blocked_by.is_empty() || self.wait_event_type.as_deref() == Some("Lock")
    }

    /// Seconds since a time of it.
    pub fn seconds_since(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<f64> {
        at.map(|at| ((now - at).num_milliseconds() as f64 / 1000.0).max(0.0))
    }

    /// The application, or what stands for it where it gave no name.
    pub fn application_or_type(&self) -> &str {
        match self.application.as_str() {
            "" => &self.backend_type,
            application => application,
        }
    }

    /// Whether a comment in its statement asks a rule to leave it alone.
    pub fn is_ignored_by_comment(&self, rule: &str) -> bool {
        let statement = self.statement.as_ref();
        statement.is_some_and(|statement| is_ignored_by_comment(&statement.text, rule))
    }

    /// Who it is, so that the same program is the same tomorrow: role, application and statement_id, never the pid.
    pub fn subject(&self) -> Vec<String> {
        vec![
            self.role.clone().unwrap_or_default(),
            self.application_or_type().to_owned(),
            self.statement
                .as_ref()
                .map(|statement| statement.statement_id.clone())
                .unwrap_or_default(),
        ]
    }

    /// How the subjects of all begin that are of its role and application, whatever they do.
    pub fn subject_of_any_statement(&self) -> Vec<String> {
        let mut subject = self.subject();
        subject.pop();
        subject
    }
}

/// One row of pg_prepared_xacts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PreparedTransaction {
    pub gid: String,
    pub owner: Option<String>,
    pub database: String,
    pub prepared_at: DateTime<Utc>,
    /// Age of its transaction id.
    pub xid_age: i64,
}
