//! What goes on at a server at one moment, as the page shows it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What goes on at a server at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActivityNow {
    /// When, by the server's clock.
    pub at: DateTime<Utc>,
    /// Sessions of clients, ours included.
    pub clients: usize,
    /// max_connections less what is kept for superusers and others; null where that is not known.
    pub connections_limit: Option<usize>,
    /// Clients by their state, the most frequent first.
    pub states: Vec<Count>,
    /// Clients by application, the most frequent first; only the first of them.
    pub applications: Vec<Count>,
    /// Sessions that do something, wait, or hold something: who is waited for first, with those who wait below; then by age.
    pub sessions: Vec<ActivityLine>,
    /// Sessions of that kind that are not among them.
    pub more_sessions: usize,
    /// Sessions that wait for a lock, whether it is known who is in the way or not.
    #[serde(default)]
    pub waiting: usize,
    /// Why sessions of other roles are not seen, where they are not.
    pub why_blind: Option<String>,
    /// Transactions that were prepared and belong to no session, the oldest first; null where they are not known.
    #[serde(default)]
    pub prepared_transactions: Option<Vec<PreparedLine>>,
}

/// One prepared transaction: it holds locks and row versions until somebody commits it or rolls it back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PreparedLine {
    /// The name that its transaction manager gave it.
    pub gid: String,
    /// Who prepared it; null where the role is gone.
    pub owner: Option<String>,
    /// Its database.
    pub database: String,
    /// Since it was prepared.
    pub age_seconds: f64,
    /// Transactions since the oldest row versions that it keeps from being removed.
    pub xid_age: i64,
}

/// How many of something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub struct Count {
    pub name: String,
    pub count: usize,
}

/// One session, or one of the prepared transactions of a database, for which others wait.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActivityLine {
    /// How far below the one for whom, in the end, it waits; 0 for who waits for nobody.
    pub depth: usize,
    /// Its process; 0 for a prepared transaction, which has none.
    pub pid: i32,
    /// Its role.
    pub role: Option<String>,
    /// Its database.
    pub database: Option<String>,
    /// Its application_name, or what kind of process it is.
    pub application: String,
    /// As pg_stat_activity has it.
    pub state: Option<String>,
    /// What it waits for: an event, or a lock with its table.
    pub wait: Option<String>,
    /// How many sessions wait for it, directly or not.
    pub blocks: usize,
    /// Since its statement began, or it became idle.
    pub state_seconds: Option<f64>,
    /// Since its transaction began; where it is one of several prepared ones, since the oldest was prepared.
    pub transaction_seconds: Option<f64>,
    /// Transactions since the oldest row versions that it keeps from being removed.
    pub xmin_age: Option<i64>,
    /// The identity of its statement.
    pub statement_id: Option<String>,
    /// Its statement, without constants.
    pub text: Option<String>,
    /// Of a prepared transaction: the names of those that it may be, the oldest first; only the first of them.
    #[serde(default)]
    pub prepared: Vec<String>,
}
