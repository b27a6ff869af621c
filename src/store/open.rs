//! Opening: whose file it is, the writer's lock, the settings, the migrations. A file that is not ours is not touched.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::StoreError;

/// Marks the file as ours: "pgad".
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"pgad");

/// What brings a store from each version to the next. Never changed once published, only added to.
const MIGRATIONS: [&str; 17] = [
    include_str!("../../queries/store/0001.sql"),
    include_str!("../../queries/store/0002.sql"),
    include_str!("../../queries/store/0003.sql"),
    include_str!("../../queries/store/0004.sql"),
    include_str!("../../queries/store/0005.sql"),
    include_str!("../../queries/store/0006.sql"),
    include_str!("../../queries/store/0007.sql"),
    include_str!("../../queries/store/0008.sql"),
    include_str!("../../queries/store/0009.sql"),
    include_str!("../../queries/store/0010.sql"),
    include_str!("../../queries/store/0011.sql"),
    include_str!("../../queries/store/0012.sql"),
    include_str!("../../queries/store/0013.sql"),
    include_str!("../../queries/store/0014.sql"),
    include_str!("../../queries/store/0015.sql"),
    include_str!("../../queries/store/0016.sql"),
    include_str!("../../queries/store/0017.sql"),
];
const VERSION: i32 = MIGRATIONS.len() as i32;

/// How long a statement waits for another process.
const BUSY: Duration = Duration::from_secs(10);
/// A log that once grew larger is cut to this when it is next reset.
const LOG_LIMIT_BYTES: i64 = 16 << 20;

/// A store that this process may write.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    pub(super) revision: u64,
    pub(super) lock: File,
}

/// What is at the path.
#[derive(PartialEq)]
enum Found {
    Nothing,
    Ours,
}

/// Opens or creates the store for its one writer.
pub(super) fn for_writing(path: &Path) -> Result<Opened, StoreError> {
    // One file has one lock, whatever the path it was reached by.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    inspect(&path)?;
    let lock = take_lock(&path)?;
    // Only now may nobody else create or change it.
    if inspect(&path)? == Found::Nothing {
        create(&path)?;
    }
    let mut connection =
        connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|error| error.at(&path))?;
    let revision = prepare(&mut connection, &path).map_err(|error| error.at(&path))?;
    Ok(Opened {
        path,
        connection,
        revision,
        lock,
    })
}

/// Opens a store that another process may be writing.
pub(super) fn shared(path: &Path) -> Result<(PathBuf, Connection), StoreError> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if inspect(&path)? == Found::Nothing {
        return Err(StoreError::Missing { path });
    }
    // SQLite falls back to reading where the file may not be written.
    let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|error| error.at(&path))?;
    let found = version(&connection).map_err(|error| error.at(&path))?;
    match found {
        _ if found > VERSION => Err(StoreError::Newer {
            path,
            found,
            known: VERSION,
        }),
        _ if found < VERSION => Err(StoreError::Older {
            path,
            found,
            known: VERSION,
        }),
        _ => Ok((path, connection)),
    }
}

/// A connection that can only read.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// A store without a file.
pub(super) fn in_memory() -> Result<(Connection, u64), StoreError> {
    let mut connection = Connection::open_in_memory()?;
    connection.pragma_update(None, "foreign_keys", true)?;
    migrate(&mut connection, 0)?;
    let revision = count_opening(&connection)?;
    Ok((connection, revision))
}

/// Whose file it is. Read through SQLite, because closing a handle of our own would let go of the locks that a store
/// in this process holds on the file; and as an unchanging file, so that SQLite writes nothing beside it.
/// (Application and version stand in the file itself since its creation; see [`create`].)
fn inspect(path: &Path) -> Result<Found, StoreError> {
    let unreadable = |kind: ErrorKind| StoreError::Unreadable {
        path: path.to_owned(),
        source: kind.into(),
    };
    match std::fs::metadata(path) {
        Ok(file) if file.is_dir() => return Err(unreadable(ErrorKind::IsADirectory)),
        // A device or a pipe has no length either, and must not be replaced by a new store.
        Ok(file) if !file.is_file() => {
            return Err(StoreError::NotSqlite {
                path: path.to_owned(),
            });
        }
        Ok(file) if file.len() == 0 => return Ok(Found::Nothing),
        Ok(_) => {}
        // A link to nothing is somebody's; a new store would replace the link.
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
            return Err(unreadable(ErrorKind::NotFound));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(source) => return Err(StoreError::of_file(path, source)),
    }
    let (application_id, found) = match read_header(path) {
        Ok(header) => header,
        Err(error) => {
            return Err(match error.sqlite_error_code() {
                Some(ErrorCode::NotADatabase) => StoreError::NotSqlite {
                    path: path.to_owned(),
                },
                Some(ErrorCode::CannotOpen) => unreadable(ErrorKind::PermissionDenied),
                _ => StoreError::Sql(error).at(path),
            });
        }
    };
    let path = path.to_owned();
    match application_id {
        APPLICATION_ID if found > VERSION => Err(StoreError::Newer {
            path,
            found,
            known: VERSION,
        }),
        APPLICATION_ID => Ok(Found::Ours),
        _ => Err(StoreError::NotOurs { path, application_id }),
    }
}

/// The application and the version.
fn read_header(path: &Path) -> rusqlite::Result<(i32, i32)> {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte))
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri, flags)?;
    let number = |pragma: &str| connection.query_row(pragma, [], |row| row.get(0));
    Ok((number("PRAGMA application_id")?, number("PRAGMA user_version")?))
}

/// The lock is on a file of its own: SQLite has its own locks on the database, and they would not go together.
fn take_lock(path: &Path) -> Result<File, StoreError> {
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(beside(path, ".lock"))
        .map_err(|source| StoreError::of_file(path, source))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(StoreError::of_file(path, source)),
    }
}

/// Makes a whole store under another name and then renames it, so that there is never half of one.
fn create(path: &Path) -> Result<(), StoreError> {
    let draft = beside(path, ".new");
    for leftover in [draft.clone(), beside(&draft, "-journal")] {
        match std::fs::remove_file(leftover) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StoreError::of_file(path, error));
            }
            _ => {}
        }
    }
    // It holds texts of statements: nobody else needs to read them. SQLite gives its log the same rights.
    private(&draft).map_err(|source| StoreError::of_file(path, source))?;
    let mut connection =
        connect(&draft, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|error| error.at(path))?;
    migrate(&mut connection, 0).map_err(|error| error.at(path))?;
    connection
        .close()
        .map_err(|(_, error)| StoreError::Sql(error).at(path))?;
    std::fs::rename(&draft, path).map_err(|source| StoreError::of_file(path, source))
}

#[cfg(unix)]
fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}

#[cfg(not(unix))]
fn private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map(drop)
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    // Without SQLITE_OPEN_URI: a path is a path, whatever it looks like.
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Migrates and sets up the writer's connection; gives the first revision.
fn prepare(connection: &mut Connection, path: &Path) -> Result<u64, StoreError> {
    // The header that was inspected may be behind the log.
    let found = version(connection)?;
    if found > VERSION {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: VERSION,
        });
    }
    if connection.is_readonly("main")? {
        let source = std::io::Error::from(ErrorKind::PermissionDenied);
        return Err(StoreError::ReadOnly {
            path: path.to_owned(),
            source: Box::new(source),
        });
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", LOG_LIMIT_BYTES)?;
    migrate(connection, found)?;
    count_opening(connection)
}

fn version(connection: &Connection) -> Result<i32, StoreError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Runs the migrations from that version on, all or none.
fn migrate(connection: &mut Connection, found: i32) -> Result<(), StoreError> {
    if found == 0 {
        // Before the first page is written, or it would need a VACUUM.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    let missing = &MIGRATIONS[usize::try_from(found).unwrap_or(0)..];
    if missing.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for migration in missing {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}

/// Leaves room for 2^32 changes between two openings, so that no revision is given twice.
fn count_opening(connection: &Connection) -> Result<u64, StoreError> {
    let sql = "UPDATE opening SET number = number + 1 RETURNING number";
    let number: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(number.unsigned_abs() << 32)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    PathBuf::from(name)
}
#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    fn directory() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pgadvisor.db");
        (directory, path)
    }

    #[test]
    fn a_draft_that_a_kill_left_is_made_anew() {
        let (_directory, path) = directory();
        std::fs::write(beside(&path, ".new"), b"half").unwrap();
        assert!(Store::open(&path).unwrap().size_bytes().unwrap() > 0);
        assert!(!beside(&path, ".new").exists());
    }

    #[test]
    fn a_newer_store_is_refused_and_not_touched() {
        let (_directory, path) = directory();
        drop(Store::open(&path).unwrap());
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "DELETE").unwrap();
        connection
            .pragma_update(None, "user_version", VERSION + 1)
            .unwrap();
        connection.close().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for result in [Store::open(&path), Store::open_shared(&path)] {
            let error = result.err().unwrap();
            assert!(matches!(error, StoreError::Newer { found, .. } if found == VERSION + 1));
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn what_is_not_ours_is_refused_and_not_touched() {
        let (directory, path) = directory();
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE theirs (a)")
            .unwrap();
        connection.close().unwrap();
        let text = directory.path().join("notes.txt");
        std::fs::write(&text, "some notes").unwrap();
        let before = (std::fs::read(&path).unwrap(), std::fs::read(&text).unwrap());
        assert!(matches!(
            Store::open(&path),
            Err(StoreError::NotOurs {
                application_id: 0,
                ..
            })
        ));
        assert!(matches!(Store::open(&text), Err(StoreError::NotSqlite { .. })));
        assert_eq!(
            (std::fs::read(&path).unwrap(), std::fs::read(&text).unwrap()),
            before
        );
        // Not even a lock file is left beside them.
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
        let socket = directory.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(matches!(Store::open(&socket), Err(StoreError::NotSqlite { .. })));
        assert!(!std::fs::metadata(&socket).unwrap().is_file());
        drop(listener);
        assert!(matches!(
            Store::open(directory.path()),
            Err(StoreError::Unreadable { .. })
        ));
        let missing = directory.path().join("no/such/store.db");
        assert!(matches!(
            Store::open(&missing),
            Err(StoreError::NoDirectory { .. })
        ));
    }

    #[test]
    fn a_store_of_the_first_version_keeps_its_findings() {
        use super::super::testing::claim;
        let (_directory, path) = directory();
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        connection
            .pragma_update(None, "application_id", APPLICATION_ID)
            .unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        let claim = claim("a.rule", None, "t");
        let fingerprint = claim.fingerprint();
        let insert = |state: Option<&str>, fingerprint: &str, words: &str| {
            let sql = "INSERT INTO finding VALUES (?1, 'main', 'a.rule', NULL, 'warning', ?2, NULL, NULL, 0, 0, NULL, NULL,
                           0, 0.0, 0.0, 't', '[\"public\",\"t\"]', 'words', ?3)";
            connection.execute(sql, (fingerprint, state, words)).unwrap();
        };
        let words = serde_json::to_string(&claim).unwrap();
        insert(Some("open"), fingerprint.as_str(), &words);
        insert(None, "waits", "");
        connection.close().unwrap();

        let store = Store::open(&path).unwrap();
        let finding = store.finding(&fingerprint).unwrap().unwrap();
        assert_eq!(
            (finding.claim.title, finding.last_seen_at),
            (claim.title, chrono::DateTime::UNIX_EPOCH)
        );
        assert_eq!(store.digest().unwrap().outlines[0].impact, claim.impact);
        let filter = super::super::FindingFilter {
            text: Some("WORDS".to_owned()),
            ..Default::default()
        };
        assert_eq!(store.findings(&filter).unwrap().total, 1);
    }

    #[test]
    fn a_damaged_store_is_told_apart() {
        let (_directory, path) = directory();
        drop(Store::open(&path).unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[100..].fill(7);
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::Damaged { .. })));
    }
}
