//! What can go wrong with the store: what, where, and what to do about it. Nothing is overwritten in any of these.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another advisor has the writer's lock.
    #[error(
        "the store {} is in use by another pgadvisor: stop that one, or give this one its own [store] path",
        path.display()
    )]
    InUse {
        /// The store's file.
        path: PathBuf,
    },
    /// Somebody wrote more than a comment may hold.
    #[error("the comment has {characters} characters: at most {most} are kept", most = crate::limits::COMMENT_CHARACTERS)]
    LongComment {
        /// How many there are.
        characters: usize,
    },
    /// There is no file, and this command creates none.
    #[error("there is no store at {}: check [store] path, or start `pgadvisor run`, which creates it", path.display())]
    Missing {
        /// The store's file.
        path: PathBuf,
    },
    /// The directory is not there.
    #[error("the directory of the store {} does not exist: create it, or change [store] path", path.display())]
    NoDirectory {
        /// The store's file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is something else than an SQLite database.
    #[error(
        "{} is not a store of pgadvisor, nor any SQLite database: it was left as it is; move it away, or change [store] path",
        path.display()
    )]
    NotSqlite {
        /// The store's file.
        path: PathBuf,
    },
    /// The file is an SQLite database of another program.
    #[error(
        "{} is an SQLite database of another program (application_id {application_id}): it was left as it is; change [store] path",
        path.display()
    )]
    NotOurs {
        /// The store's file.
        path: PathBuf,
        /// The identifier that it carries.
        application_id: i32,
    },
    /// The file was written by a newer pgadvisor.
    #[error(
        "the store {} has version {found}, and this pgadvisor knows versions up to {known}: it was left as it is; use the newer pgadvisor, or another [store] path",
        path.display()
    )]
    Newer {
        /// The store's file.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// The newest version that this program knows.
        known: i32,
    },
    /// The file was written by an older pgadvisor, and this command may not migrate it.
    #[error(
        "the store {} has the older version {found} (now {known}): start `pgadvisor run`, which brings it up to date",
        path.display()
    )]
    Older {
        /// The store's file.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// The version that this program needs.
        known: i32,
    },
    /// The file or its directory cannot be written.
    #[error(
        "the store {} cannot be written: give the user who runs pgadvisor the right to write the file and its directory",
        path.display()
    )]
    ReadOnly {
        /// The store's file.
        path: PathBuf,
        /// What the system or SQLite said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The disk is full.
    #[error("the disk of the store {} is full: free some space; nothing that was stored is lost", path.display())]
    Full {
        /// The store's file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The file is damaged.
    #[error(
        "the store {} is damaged: it was left as it is; move it away and start anew, or put back a copy",
        path.display()
    )]
    Damaged {
        /// The store's file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// Another process holds SQLite's own lock for too long.
    #[error("the store {} is locked by another program: try again, or see who has it open", path.display())]
    Busy {
        /// The store's file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The file cannot be read.
    #[error("the store {} cannot be read: check [store] path and who may read it", path.display())]
    Unreadable {
        /// The store's file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Only the process with the writer's lock may do this.
    #[error("the store was opened without the writer's lock: it can be read and take commands, nothing else")]
    NotTheWriter,
    /// A row does not have the form that this program writes.
    #[error("the store holds a {what} that cannot be read: an error of pgadvisor, please report it")]
    Row {
        /// What kind of row.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A cursor which this program did not give out.
    #[error("this cursor is not one that pgadvisor gave out: start again without it")]
    BadCursor,
    /// Anything else that SQLite says.
    #[error("a statement on the store failed")]
    Sql(#[from] rusqlite::Error),
}

impl StoreError {
    /// Says which file it was, and what to do, where SQLite's code tells that.
    pub(super) fn at(self, path: &Path) -> Self {
        let Self::Sql(source) = self else { return self };
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path, source },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::ReadOnly {
                    path,
                    source: Box::new(source),
                }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged { path, source },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path, source },
            _ => Self::Sql(source),
        }
    }

    /// The same for an error of the file system.
    pub(super) fn of_file(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NoDirectory { path, source },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly {
                path,
                source: Box::new(source),
            },
            io::ErrorKind::StorageFull => Self::Full {
                path,
                source: rusqlite::Error::ToSqlConversionFailure(Box::new(source)),
            },
            _ => Self::Unreadable { path, source },
        }
    }
}
