//! The use of indexes, added up over restarts and resets of the statistics. A row changes only when a count moved.

use chrono::{DateTime, Utc};
use rusqlite::{Transaction, params};

use super::Store;
use super::error::StoreError;
use super::row::{micros, rows, time};
use super::status::servers;
use crate::model::status::ServerStatus;

/// Which index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexKey {
    /// The database.
    pub database: String,
    /// The schema.
    pub schema: String,
    /// The index's name.
    pub name: String,
}

/// What is known of the use of one index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexUsage {
    /// Which index.
    pub key: IndexKey,
    /// Its OID: another one under the same name is another index.
    pub oid: u32,
    /// The scans that the server counted at the last change.
    pub scans: i64,
    /// When the index was first seen.
    pub first_seen_at: DateTime<Utc>,
    /// When the count was last seen to have moved; none if never.
    pub last_moved_at: Option<DateTime<Utc>>,
    /// When this was written.
    pub checked_at: DateTime<Utc>,
}

impl Store {
    /// What is known of the indexes of a server.
    pub fn index_usage(&self, server: &str) -> Result<Vec<IndexUsage>, StoreError> {
        self.read(|tx| {
            let sql = "SELECT database, schema, name, oid, scans, first_seen_at, last_moved_at, checked_at
                 FROM index_usage WHERE server = ?1 ORDER BY database, schema, name";
            rows(tx, sql, [server], |row| {
                Ok(IndexUsage {
                    key: IndexKey {
                        database: row.get(0)?,
                        schema: row.get(1)?,
                        name: row.get(2)?,
                    },
                    oid: row.get(3)?,
                    scans: row.get(4)?,
                    first_seen_at: time(row.get(5)?),
                    last_moved_at: row.get::<_, Option<i64>>(6)?.map(time),
                    checked_at: time(row.get(7)?),
                })
            })
        })
    }

    /// The standbys of a primary that were seen to scan one of its indexes, with about when that was last, the latest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn scanned_on_standbys(
        &self,
        server: &str,
        index: &IndexKey,
    ) -> Result<Vec<(String, DateTime<Utc>)>, StoreError> {
        self.read(|tx| scanned_on_standbys(tx, server, index))
    }

    /// Writes what changed, and forgets the indexes that are gone.
    pub fn save_index_usage(
        &self,
        server: &str,
        changed: &[IndexUsage],
        gone: &[IndexKey],
    ) -> Result<(), StoreError> {
        if changed.is_empty() && gone.is_empty() {
            return Ok(());
        }
        self.write(|tx| save_index_usage(tx, server, changed, gone))
    }
}

/// The standbys that share the primary's system identifier, and scanned the index.
fn scanned_on_standbys(
    tx: &Transaction<'_>,
    server: &str,
    index: &IndexKey,
) -> Result<Vec<(String, DateTime<Utc>)>, StoreError> {
    let all = servers(tx)?;
    let is_primary = |status: &&ServerStatus| {
        status.name == server && status.is_standby == Some(false) && status.system_identifier.is_some()
    };
    let Some(primary) = all.iter().find(is_primary) else {
        return Ok(Vec::new());
    };
    let standbys = all.iter().filter(|status| {
        status.is_standby == Some(true) && status.system_identifier == primary.system_identifier
    });
    // a standby has the OIDs of its primary, and may know an older name
    let sql = "SELECT there.last_moved_at FROM index_usage AS here
             JOIN index_usage AS there ON there.database = here.database AND there.oid = here.oid
             WHERE here.server = ?1 AND here.database = ?2 AND here.schema = ?3 AND here.name = ?4
                 AND there.server = ?5 AND there.scans > 0 AND there.last_moved_at IS NOT NULL";
    let mut known = Vec::new();
    for standby in standbys {
        let scanned = rows(
            tx,
            sql,
            params![server, index.database, index.schema, index.name, standby.name],
            |row| Ok(time(row.get(0)?)),
        )?;
        known.extend(scanned.into_iter().map(|at| (standby.name.clone(), at)));
    }
    known.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
    Ok(known)
}

pub(super) fn save_index_usage(
    tx: &Transaction<'_>,
    server: &str,
    changed: &[IndexUsage],
    gone: &[IndexKey],
) -> Result<(), StoreError> {
    let mut delete = tx.prepare_cached(
        "DELETE FROM index_usage WHERE server = ?1 AND database = ?2 AND schema = ?3 AND name = ?4",
    )?;
    for key in gone {
        delete.execute(params![server, key.database, key.schema, key.name])?;
    }
    let mut upsert = tx.prepare_cached(
        "INSERT INTO index_usage (server, database, schema, name, oid, scans, first_seen_at, last_moved_at,
                     checked_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT DO UPDATE SET oid = excluded.oid, scans = excluded.scans,
                     first_seen_at = excluded.first_seen_at, last_moved_at = excluded.last_moved_at,
                     checked_at = excluded.checked_at",
    )?;
    for usage in changed {
        upsert.execute(params![
            server,
            usage.key.database,
            usage.key.schema,
            usage.key.name,
            usage.oid,
            usage.scans,
            micros(usage.first_seen_at),
            usage.last_moved_at.map(micros),
            micros(usage.checked_at),
        ])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::at;
    use super::*;

    #[test]
    fn standbys_that_scan_an_index_are_known_by_its_oid() {
        let store = Store::in_memory().unwrap();
        let server = |name: &str, is_standby: bool, identifier: &str| ServerStatus {
            version_num: Some(180_000),
            system_identifier: Some(identifier.into()),
            is_standby: Some(is_standby),
            databases: vec!["db".into()],
            last_seen_at: Some(at(0)),
            ..ServerStatus::unseen(name)
        };
        let key = |name: &str| IndexKey {
            database: "db".into(),
            schema: "public".into(),
            name: name.into(),
        };
        let usage = |name: &str, oid: u32, moved: Option<i64>| IndexUsage {
            key: key(name),
            oid,
            scans: i64::from(moved.is_some()),
            first_seen_at: at(0),
            last_moved_at: moved.map(at),
            checked_at: at(9),
        };
        for (status, usages) in [
            (
                server("main", false, "1"),
                vec![usage("i", 7, None), usage("j", 8, None)],
            ),
            (
                server("b", true, "1"),
                vec![usage("name_before", 7, Some(3)), usage("j", 8, None)],
            ),
            (server("c", true, "1"), vec![usage("i", 7, Some(5))]),
            (server("other", true, "2"), vec![usage("i", 7, Some(6))]),
        ] {
            store.record_server(&status).unwrap();
            store.save_index_usage(&status.name, &usages, &[]).unwrap();
        }
        let scanned = |server: &str, name: &str| store.scanned_on_standbys(server, &key(name)).unwrap();
        let both = [("c".to_owned(), at(5)), ("b".to_owned(), at(3))];
        assert_eq!(scanned("main", "i"), both);
        assert_eq!(scanned("main", "j"), [], "none of them scans it");
        assert_eq!(scanned("b", "j"), [], "that is a standby itself");
        assert_eq!(scanned("gone", "i"), []);
    }

    #[test]
    fn what_is_saved_reads_back() {
        let store = Store::in_memory().unwrap();
        let usage = |name: &str, scans, moved: Option<i64>| IndexUsage {
            key: IndexKey {
                database: "db".into(),
                schema: "public".into(),
                name: name.into(),
            },
            oid: u32::MAX,
            scans,
            first_seen_at: at(0),
            last_moved_at: moved.map(at),
            checked_at: at(9),
        };
        store
            .save_index_usage("main", &[usage("a", 1, None), usage("b", 2, Some(1))], &[])
            .unwrap();
        let revision = store.revision();
        store.save_index_usage("main", &[], &[]).unwrap();
        assert_eq!(store.revision(), revision);
        store
            .save_index_usage("main", &[usage("a", 3, Some(2))], &[usage("b", 0, None).key])
            .unwrap();
        assert_eq!(store.index_usage("main").unwrap(), [usage("a", 3, Some(2))]);
        assert!(store.index_usage("other").unwrap().is_empty());
    }
}
