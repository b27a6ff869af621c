//! What the tests of this folder share.

use chrono::{DateTime, Utc};

use crate::model::snapshot::{DatabaseFacts, ServerFacts, Snapshot};

/// A look at which nothing was read.
pub(super) fn empty(at: DateTime<Utc>) -> Snapshot {
    Snapshot {
        at,
        taken_at: at,
        server: ServerFacts::default(),
        watched: Vec::new(),
        statements: None,
        sessions: None,
        prepared_transactions: None,
        replication: None,
        databases: Vec::new(),
        gaps: Vec::new(),
    }
}

/// The same of a server with one database, which is watched.
pub(super) fn with_database(at: DateTime<Utc>, database: DatabaseFacts) -> Snapshot {
    let mut look = empty(at);
    look.watched = vec![database.name.clone()];
    look.server.databases = vec![database];
    look
}
