//! What can go wrong with durable state, in terms that a caller can act on.

use std::{io, path::PathBuf, sync::Arc};

use types::InvalidName;

use crate::audit::AuditError;

/// A failure of the store. A write that returns one has left no trace.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database file is damaged, or is not ours. Nothing was changed in it.
    #[error("the database {} is damaged: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// No room is left. Nothing is lost; the write may be tried again when there is room.
    #[error("the disk is full")]
    DiskFull,
    /// A later version of the program wrote this database.
    #[error("the database {} has schema {found}, and this program knows schemas up to {supported}", path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The latest schema that this program knows.
        supported: i64,
    },
    /// An earlier version wrote this database, and it was opened for reading only.
    #[error("the database {} has schema {found} and must be brought to schema {supported} first", path.display())]
    OlderSchema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The schema that is needed.
        supported: i64,
    },
    /// There is no database where one was to be read.
    #[error("there is no database at {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// What was to be stored exceeds its bound.
    #[error("the {what} has {size} bytes; the most is {limit}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The bound in bytes.
        limit: usize,
    },
    /// A row that the operation needs does not exist.
    #[error("there is no {what} {id}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Its number or name.
        id: String,
    },
    /// The state does not allow the operation.
    #[error("{0}")]
    Conflict(String),
    /// The code of a transaction panicked. It was rolled back.
    #[error("the code of a transaction panicked: {0}")]
    Panicked(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The store was opened for reading only.
    #[error("the store is open for reading only")]
    ReadOnly,
    /// A stored value cannot be understood.
    #[error("a stored {what} cannot be read: {reason}")]
    Unreadable {
        /// What kind of value.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes could be had: {0}")]
    Random(String),
    /// The file system refused.
    #[error("the store could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: Arc<io::Error>,
    },
    /// The audit log could not be opened.
    #[error("the audit log could not be opened: {0}")]
    Audit(#[from] AuditError),
    /// Another failure of the database.
    #[error("the database failed: {0}")]
    Database(#[source] Arc<rusqlite::Error>),
}

impl StoreError {
    /// What the person at the keyboard can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Corrupt { path, .. } => format!(
                "stop factotum, move {} and the files beside it that start with its name away (do not delete them), put \
                 a backup in their place or start anew; the audit log stays valid",
                path.display()
            ),
            Self::DiskFull | Self::Audit(AuditError::DiskFull) => {
                "make room on the disk that holds the home directory; what waits is stored again by itself".to_owned()
            }
            Self::NewerSchema { .. } => "use the later version of factotum that wrote it".to_owned(),
            Self::OlderSchema { .. } => "start `factotum up` once; it brings the database up to date".to_owned(),
            Self::Missing { .. } => "start `factotum up` once, or name the right directory with --home".to_owned(),
            Self::TooLarge { .. } => "send less at once, or put it into a file of the workspace".to_owned(),
            Self::NotFound { .. } | Self::Conflict(_) => "look at the present state and try again".to_owned(),
            Self::Closed => "factotum is stopping; start it again".to_owned(),
            Self::ReadOnly => "do this while `factotum up` runs".to_owned(),
            Self::Panicked(_) | Self::Unreadable { .. } => "this is a fault of factotum; please report it".to_owned(),
            Self::Random(_) | Self::Io { .. } | Self::Audit(_) | Self::Database(_) => {
                "check the permissions and the health of the disk that holds the home directory".to_owned()
            }
        }
    }

    pub(crate) fn not_found(what: &'static str, id: impl ToString) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }

    pub(crate) fn unreadable(what: &'static str, reason: impl ToString) -> Self {
        Self::Unreadable { what, reason: reason.to_string() }
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::StorageFull {
            return Self::DiskFull;
        }
        Self::Io { action, path: path.into(), source: Arc::new(source) }
    }

    /// Puts the path to a finding of corruption that was made where the path is not known.
    pub(crate) fn at(self, known: &std::path::Path) -> Self {
        match self {
            Self::Corrupt { path, reason } if path.as_os_str().is_empty() => {
                Self::Corrupt { path: known.to_owned(), reason }
            }
            other => other,
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt { path: PathBuf::new(), reason: error.to_string() }
            }
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(_) | None => Self::Database(Arc::new(error)),
        }
    }
}

impl From<InvalidName> for StoreError {
    fn from(error: InvalidName) -> Self {
        Self::unreadable("name", error)
    }
}
