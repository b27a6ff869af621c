//! Restarts, failovers and resets of statistics of a server: a short list, which mostly stays.

use chrono::{DateTime, Utc};
use rusqlite::Transaction;

use super::Store;
use super::error::StoreError;
use super::server_facts::{read_fact, record_fact};
use crate::limits;
use crate::model::server_change::{Landmarks, ServerChange, ServerChanges};

const CHANGES: &str = "changes";

impl Store {
    /// What happened to a server as a whole and changes what its numbers mean, in the order in which it was seen.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn server_changes(&self, server: &str) -> Result<Vec<ServerChange>, StoreError> {
        let known: ServerChanges = self.read(|tx| read_fact(tx, server, CHANGES))?;
        Ok(known.changes)
    }

    /// Since when a server is the primary, where it was a standby before for a while.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn primary_since(&self, server: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        let known: ServerChanges = self.read(|tx| read_fact(tx, server, CHANGES))?;
        Ok(known.primary_since)
    }
}

/// Adds what a look tells.
pub(super) fn record_server_changes(
    tx: &Transaction<'_>,
    server: &str,
    now: DateTime<Utc>,
    seen: &Landmarks,
) -> Result<(), StoreError> {
    let mut known: ServerChanges = read_fact(tx, server, CHANGES)?;
    known.see(now, seen.clone(), limits::SERVER_CHANGES_KEPT);
    record_fact(tx, server, CHANGES, &known)
}

#[cfg(test)]
mod tests {
    use super::super::testing::at;
    use super::*;
    use crate::model::server_change::ServerChangeKind;

    /// What a look sees of a server that was started then.
    fn started(seconds: i64) -> Landmarks {
        serde_json::from_value(serde_json::json!({"started_at": at(seconds), "database_resets": {}})).unwrap()
    }

    #[test]
    fn a_restart_is_remembered_once_and_nothing_is_written_where_nothing_happened() {
        let store = Store::in_memory().unwrap();
        let look = |seconds: i64, seen: &Landmarks| {
            store
                .write(|tx| record_server_changes(tx, "main", at(seconds), seen))
                .unwrap();
            store.revision()
        };
        assert!(store.server_changes("main").unwrap().is_empty());
        let first = look(10, &started(0));
        assert_eq!(look(20, &started(0)), first, "nothing changed");
        look(40, &started(30));
        look(50, &started(30));
        let told = store.server_changes("main").unwrap();
        let restarted = ServerChange {
            at: at(30),
            kind: ServerChangeKind::Restarted,
            database: None,
        };
        assert_eq!(told, [restarted]);
        assert!(store.server_changes("other").unwrap().is_empty());
    }
}
