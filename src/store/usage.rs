//! The use of indexes, added up over restarts and resets of the statistics. A row changes only when a count moved.

use chrono::{DateTime, Utc};
use rusqlite::{Transaction, params};

use super::Store;
use super::error::StoreError;
use super::row::{micros, rows, time};

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
