//! What the advisor remembers: findings and their events, what people asked for, and its own work, in one SQLite file.
//! Nothing outside this folder knows SQLite; the questions are the methods of [`Store`].
//!
//! One process writes findings: the one with the lock on `<file>.lock`. Others may read, and hand in commands. Readers
//! have their own connections, so that under WAL they never wait for the writer.

mod audit;
mod columns;
mod commands;
mod cursor;
mod digest;
mod earlier_load;
mod error;
mod events;
mod evidence_gone;
mod findings;
mod findings_before;
mod history;
mod open;
mod open_findings;
mod own_planning;
mod pack;
mod plans;
mod reconcile;
mod record;
mod refresh;
mod row;
mod server_changes;
mod server_facts;
mod status;
#[cfg(test)]
mod testing;
mod turn;
mod usage;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use audit::{AuditEntry, CommandOutcome};
pub use commands::NewCommand;
pub use error::StoreError;
pub use findings::{CountRow, FindingFilter, FindingList, Sort};
pub use refresh::RefreshCommand;
pub use status::PruneReport;
pub use turn::Turn;
pub use usage::{IndexKey, IndexUsage};

/// Connections for reading that are kept for the next reader; more are opened when more read at once.
const IDLE_READERS: usize = 4;

/// The store. A clone is the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    /// The file; none where all is in memory.
    path: Option<PathBuf>,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    numbers: history::Numbers,
    /// What `revision` answers, where this process is the only one that changes anything.
    revision: AtomicU64,
    /// Held as long as the store is open; the system lets go of it however the process ends. None without that right.
    lock: Option<File>,
}

impl Store {
    /// Opens the store for the one process that writes it: creates the file, or brings an older one up to date.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let opened = open::for_writing(path)?;
        Ok(Self::of(
            Some(opened.path),
            opened.connection,
            opened.revision,
            Some(opened.lock),
        ))
    }

    /// Opens a store that another process may be writing: to read, and to hand in commands.
    pub fn open_shared(path: &Path) -> Result<Self, StoreError> {
        let (path, connection) = open::shared(path)?;
        Ok(Self::of(Some(path), connection, 0, None))
    }

    /// A store that is gone with the process, for one-off reports and tests.
    pub fn in_memory() -> Result<Self, StoreError> {
        let (connection, revision) = open::in_memory()?;
        Ok(Self::of(None, connection, revision, None))
    }

    fn of(path: Option<PathBuf>, writer: Connection, revision: u64, lock: Option<File>) -> Self {
        let revision = AtomicU64::new(revision);
        let readers = Mutex::new(Vec::new());
        Self {
            inner: Arc::new(Inner {
                path,
                writer: Mutex::new(writer),
                readers,
                numbers: history::Numbers::default(),
                revision,
                lock,
            }),
        }
    }

    /// A number that grows with each change of what readers can see; also over restarts. Cheap enough to ask often.
    pub fn revision(&self) -> u64 {
        if self.is_writer() {
            return self.inner.revision.load(Ordering::Acquire);
        }
        // Another process writes: SQLite counts its commits for this connection.
        let version =
            locked(&self.inner.writer).query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0));
        version.map_or(0, |version| u64::try_from(version).unwrap_or(0))
    }

    /// How much disk the store takes, its log included.
    pub fn size_bytes(&self) -> Result<u64, StoreError> {
        let Some(path) = &self.inner.path else {
            return self.read(|tx| {
                let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
                Ok(tx.query_row(sql, [], |row| row.get::<_, i64>(0))?.unsigned_abs())
            });
        };
        let mut log = path.clone().into_os_string();
        log.push("-wal");
        let file = std::fs::metadata(path).map_err(|source| StoreError::of_file(path, source))?;
        // SQLite removes the log when the last connection closes.
        let log_size = std::fs::metadata(&log).map_or(0, |log| log.len());
        Ok(file.len() + log_size)
    }

    fn is_writer(&self) -> bool {
        self.inner.lock.is_some() || self.inner.path.is_none()
    }

    /// One transaction of the writer of findings.
    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if !self.is_writer() {
            return Err(StoreError::NotTheWriter);
        }
        self.write_shared(work)
    }

    /// One transaction that any process may make.
    fn write_shared<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = locked(&self.inner.writer);
        let before = connection.total_changes();
        let result = in_transaction(&mut connection, TransactionBehavior::Immediate, work);
        if result.is_ok() && connection.total_changes() != before {
            self.inner.revision.fetch_add(1, Ordering::AcqRel);
        }
        result.map_err(|error| self.located(error))
    }

    /// One consistent view of the store.
    fn read<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let behavior = TransactionBehavior::Deferred;
        let Some(path) = &self.inner.path else {
            return in_transaction(&mut locked(&self.inner.writer), behavior, work);
        };
        let idle = locked(&self.inner.readers).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => open::reader(path).map_err(|error| error.at(path))?,
        };
        let answer = in_transaction(&mut connection, behavior, work).map_err(|error| error.at(path))?;
        let mut idle = locked(&self.inner.readers);
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
        Ok(answer)
    }

    fn located(&self, error: StoreError) -> StoreError {
        match &self.inner.path {
            Some(path) => error.at(path),
            None => error,
        }
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    behavior: TransactionBehavior,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = connection.transaction_with_behavior(behavior)?;
    let answer = work(&transaction)?;
    transaction.commit()?;
    Ok(answer)
}

/// A panic elsewhere has rolled back its transaction, so the connection behind a poisoned lock is sound.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::testing::{at, claim, evaluated, judgement};
    use super::*;

    #[test]
    fn a_store_may_be_shared_by_threads() {
        fn shared<T: Clone + Send + Sync>() {}
        shared::<Store>();
    }

    fn directory() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pgadvisor.db");
        (directory, path)
    }

    #[test]
    fn what_was_recorded_is_there_after_a_kill_and_revisions_never_repeat() {
        let (directory, path) = directory();
        let store = Store::open(&path).unwrap();
        let seen = judgement([claim("a.rule", None, "t")], [evaluated("a.rule", None)]);
        store.record("main", at(0), &seen).unwrap();
        let revision = store.revision();
        // What a killed process leaves: the file and its log, not closed.
        let copy = directory.path().join("copy.db");
        std::fs::copy(&path, &copy).unwrap();
        std::fs::copy(path.with_extension("db-wal"), copy.with_extension("db-wal")).unwrap();
        let again = Store::open(&copy).unwrap();
        assert_eq!(again.findings(&Default::default()).unwrap().total, 1);
        assert!(again.revision() > revision);
        assert!(again.record("main", at(1), &seen).unwrap().is_empty());
        drop(store);
        let again = Store::open(&path).unwrap();
        assert_eq!(again.findings(&Default::default()).unwrap().total, 1);
        assert!(again.revision() > revision);
    }

    #[test]
    fn two_writers_are_refused_and_readers_are_not() {
        let (_directory, path) = directory();
        assert!(matches!(
            Store::open_shared(&path),
            Err(StoreError::Missing { .. })
        ));
        assert!(!path.exists());
        let store = Store::open(&path).unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::InUse { .. })));
        let shared = Store::open_shared(&path).unwrap();
        let before = shared.revision();
        let seen = judgement([claim("a.rule", None, "t")], [evaluated("a.rule", None)]);
        store.record("main", at(0), &seen).unwrap();
        assert_eq!(shared.findings(&Default::default()).unwrap().total, 1);
        assert_ne!(shared.revision(), before);
        assert!(matches!(
            shared.record("main", at(0), &seen),
            Err(StoreError::NotTheWriter)
        ));
        assert!(matches!(
            shared.apply_commands(at(0)),
            Err(StoreError::NotTheWriter)
        ));
        // A reader does not wait for the writer, not even inside its transaction.
        let total = store
            .write(|_| Ok(store.findings(&Default::default())?.total))
            .unwrap();
        assert_eq!(total, 1);
        drop(store);
        assert!(Store::open(&path).is_ok());
    }

    #[test]
    fn a_full_disk_is_told_apart_and_loses_nothing() {
        let (_directory, path) = directory();
        let store = Store::open(&path).unwrap();
        let full = |pages: i64| {
            let connection = locked(&store.inner.writer);
            connection
                .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
                .unwrap();
        };
        let seen = |tables: usize| {
            let claims = (0..tables).map(|n| claim("a.rule", None, &format!("t{n}")));
            judgement(claims, [evaluated("a.rule", None)])
        };
        store.record("main", at(0), &seen(1)).unwrap();
        full(1);
        assert!(matches!(
            store.record("main", at(1), &seen(500)),
            Err(StoreError::Full { .. })
        ));
        assert_eq!(store.findings(&Default::default()).unwrap().total, 1);
        full(1_000_000);
        assert_eq!(store.record("main", at(2), &seen(500)).unwrap().len(), 499);
    }
}
