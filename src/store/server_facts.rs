//! What the page of a server tells beside its status, as of the last look: a row for each fact, which mostly stays.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Store;
use super::error::StoreError;
use super::row::{from_json, to_json};
use crate::model::observation::BlockReads;
use crate::model::snapshot::{Checkpoints, Setting};

const SETTINGS: &str = "settings";
const CHECKPOINTS: &str = "checkpoints";
const BLOCK_READS: &str = "block reads";

impl Store {
    /// The settings of a server that rules read, by name; empty where they are not known.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn settings(&self, server: &str) -> Result<BTreeMap<String, Setting>, StoreError> {
        self.server_fact(server, SETTINGS)
    }

    /// How the databases of a server found their blocks; one of which that is not known is not among them.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn block_reads(&self, server: &str) -> Result<Vec<BlockReads>, StoreError> {
        self.server_fact(server, BLOCK_READS)
    }

    /// The checkpoints of a server, where they are known.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn checkpoints(&self, server: &str) -> Result<Option<Checkpoints>, StoreError> {
        self.server_fact(server, CHECKPOINTS)
    }

    fn server_fact<T: DeserializeOwned + Default>(
        &self,
        server: &str,
        fact: &'static str,
    ) -> Result<T, StoreError> {
        self.read(|tx| read_fact(tx, server, fact))
    }
}

/// What is known of a server; nothing where it is not known.
pub(super) fn read_fact<T: DeserializeOwned + Default>(
    tx: &Transaction<'_>,
    server: &str,
    fact: &'static str,
) -> Result<T, StoreError> {
    let mut statement = tx.prepare_cached("SELECT body FROM server_fact WHERE server = ?1 AND fact = ?2")?;
    let body: Option<String> = statement
        .query_row(params![server, fact], |row| row.get(0))
        .optional()?;
    let known = body.map(|body| from_json(fact, &body)).transpose()?;
    Ok(known.unwrap_or_default())
}

/// Replaces what is known of a server.
pub(super) fn record_server_facts(
    tx: &Transaction<'_>,
    server: &str,
    settings: &BTreeMap<String, Setting>,
    checkpoints: Option<&Checkpoints>,
    block_reads: &[BlockReads],
) -> Result<(), StoreError> {
    record_fact(tx, server, SETTINGS, settings)?;
    record_fact(tx, server, CHECKPOINTS, &checkpoints)?;
    record_fact(tx, server, BLOCK_READS, &block_reads)
}

/// Replaces one of them.
pub(super) fn record_fact(
    tx: &Transaction<'_>,
    server: &str,
    fact: &'static str,
    known: &impl Serialize,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO server_fact (server, fact, body) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET body = excluded.body WHERE body <> excluded.body",
    )?
    .execute(params![server, fact, to_json(fact, known)?])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::at;
    use super::*;
    use crate::model::finding::Window;

    #[test]
    fn facts_read_back_and_are_written_where_they_changed() {
        let store = Store::in_memory().unwrap();
        assert!(store.settings("main").unwrap().is_empty() && store.block_reads("main").unwrap().is_empty());
        let setting = Setting {
            value: "16384".to_owned(),
            unit: Some("8kB".to_owned()),
            source: "configuration file".to_owned(),
            is_altered: Some(true),
            ..Setting::default()
        };
        let settings: BTreeMap<String, Setting> = [("shared_buffers".to_owned(), setting)].into();
        let reads = |read| BlockReads {
            database: "app".to_owned(),
            window: Window {
                from: at(0),
                to: at(60),
            },
            hit: 9,
            read,
        };
        let checkpoints = Checkpoints {
            timed: 3,
            requested: 1,
            blocks_written: 100,
            since: Some(at(0)),
            at: at(60),
        };
        assert_eq!(store.checkpoints("main").unwrap(), None);
        let record = |read: i64| {
            store
                .write(|tx| record_server_facts(tx, "main", &settings, Some(&checkpoints), &[reads(read)]))
                .unwrap();
            store.revision()
        };
        let first = record(1);
        assert_eq!(record(1), first, "nothing changed");
        assert!(record(2) > first);
        assert_eq!(store.settings("main").unwrap(), settings);
        assert_eq!(store.checkpoints("main").unwrap(), Some(checkpoints));
        assert_eq!(store.block_reads("main").unwrap(), [reads(2)]);
        assert!(store.block_reads("other").unwrap().is_empty());
        store.forget_servers_but(&[]).unwrap();
        assert!(store.settings("main").unwrap().is_empty());
    }
}
