//! What planning by the advisor left behind on servers whose planner's login may not switch off counting.

use rusqlite::{Transaction, params};

use super::Store;
use super::error::StoreError;
use super::row::{micros, rows, time};
use crate::model::own_planning::{KnownOwnScans, OwnScans, PlannedText};

impl Store {
    /// The scans of a server's indexes that planning counted.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn own_scans(&self, server: &str) -> Result<Vec<KnownOwnScans>, StoreError> {
        self.read(|tx| {
            let sql = "SELECT database, oid, schema, name, scans, first_at, last_at, scanned_before, unseen
                 FROM own_scans WHERE server = ?1 ORDER BY database, oid";
            rows(tx, sql, [server], |row| {
                Ok(KnownOwnScans {
                    database: row.get(0)?,
                    own: OwnScans {
                        oid: row.get(1)?,
                        schema: row.get(2)?,
                        name: row.get(3)?,
                        scans: row.get(4)?,
                        first_at: time(row.get(5)?),
                        last_at: time(row.get(6)?),
                        scanned_before: row.get::<_, Option<i64>>(7)?.map(time),
                    },
                    unseen: row.get(8)?,
                })
            })
        })
    }

    /// The texts that were planned on a server of late.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn planned_texts(&self, server: &str) -> Result<Vec<PlannedText>, StoreError> {
        self.read(|tx| {
            let sql = "SELECT text, planned_at FROM planned_text WHERE server = ?1 ORDER BY text";
            rows(tx, sql, [server], |row| {
                Ok(PlannedText {
                    hash: row.get(0)?,
                    planned_at: time(row.get(1)?),
                })
            })
        })
    }

    /// Writes down what there is news of, without a turn.
    ///
    /// # Errors
    /// If the store cannot be written; then nothing of it is.
    pub fn save_own_planning(
        &self,
        server: &str,
        scans: Option<&[KnownOwnScans]>,
        texts: Option<&[PlannedText]>,
    ) -> Result<(), StoreError> {
        self.write(|tx| {
            record_own_scans(tx, server, scans)?;
            record_planned_texts(tx, server, texts)
        })
    }
}

/// Replaces what is known of a server's indexes, where there is news.
pub(super) fn record_own_scans(
    tx: &Transaction<'_>,
    server: &str,
    known: Option<&[KnownOwnScans]>,
) -> Result<(), StoreError> {
    let Some(known) = known else { return Ok(()) };
    tx.prepare_cached("DELETE FROM own_scans WHERE server = ?1")?
        .execute([server])?;
    let mut insert = tx.prepare_cached(
        "INSERT INTO own_scans (server, database, oid, schema, name, scans, first_at, last_at, scanned_before, unseen)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for KnownOwnScans {
        database,
        own,
        unseen,
    } in known
    {
        insert.execute(params![
            server,
            database,
            own.oid,
            own.schema,
            own.name,
            own.scans,
            micros(own.first_at),
            micros(own.last_at),
            own.scanned_before.map(micros),
            unseen,
        ])?;
    }
    Ok(())
}

/// Replaces the texts of a server, where there is news.
pub(super) fn record_planned_texts(
    tx: &Transaction<'_>,
    server: &str,
    texts: Option<&[PlannedText]>,
) -> Result<(), StoreError> {
    let Some(texts) = texts else { return Ok(()) };
    tx.prepare_cached("DELETE FROM planned_text WHERE server = ?1")?
        .execute([server])?;
    let mut insert =
        tx.prepare_cached("INSERT INTO planned_text (server, text, planned_at) VALUES (?1, ?2, ?3)")?;
    for text in texts {
        insert.execute(params![server, text.hash, micros(text.planned_at)])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::at;
    use super::*;
    use crate::model::own_planning::testing::own_scans;

    #[test]
    fn what_planning_left_behind_reads_back_until_there_is_news() {
        let store = Store::in_memory().unwrap();
        let own = |oid, scanned_before: Option<i64>| KnownOwnScans {
            database: "db".into(),
            own: OwnScans {
                last_at: at(2),
                scanned_before: scanned_before.map(at),
                ..own_scans(oid, 7, at(1))
            },
            unseen: 3,
        };
        let texts = [i64::MIN, 5].map(|hash| PlannedText {
            hash,
            planned_at: at(4),
        });
        let record = |known: Option<&[KnownOwnScans]>, texts: Option<&[PlannedText]>| {
            store.save_own_planning("main", known, texts).unwrap();
            (
                store.own_scans("main").unwrap(),
                store.planned_texts("main").unwrap(),
            )
        };
        let both = [own(u32::MAX - 1, None), own(u32::MAX, Some(0))];
        let (known, planned) = record(Some(&both), Some(&texts));
        assert_eq!((&known[..], &planned[..]), (&both[..], &texts[..]));
        let (known, planned) = record(None, None);
        assert_eq!((&known[..], &planned[..]), (&both[..], &texts[..]));
        let (known, planned) = record(Some(&both[..1]), Some(&texts[..1]));
        assert_eq!((&known[..], &planned[..]), (&both[..1], &texts[..1]));
        assert!(
            store.own_scans("other").unwrap().is_empty() && store.planned_texts("other").unwrap().is_empty()
        );
    }
}
