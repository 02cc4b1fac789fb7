//! Why the audit log refused. Whoever gets one of these must not have the effect.

use std::{io, path::PathBuf, sync::Arc};

/// A record could not be appended, or the log could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuditError {
    /// No room is left. The log is as it was before.
    #[error("the audit log cannot grow: the disk is full")]
    DiskFull,
    /// The process that writes the log cannot be reached.
    #[error("the writer of the audit log cannot record anything: {why}; look at the service factotum-audit")]
    WriterGone {
        /// Why.
        why: String,
    },
    /// The log was closed.
    #[error("the audit log is closed")]
    Closed,
    /// The log was opened for reading only.
    #[error("the audit log is open for reading only")]
    ReadOnly,
    /// A record exceeds its bound.
    #[error("an audit record has {size} bytes; the most is {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The bound in bytes.
        limit: usize,
    },
    /// A line of the log is not a record.
    #[error("line {line} of the audit log is not a record; `factotum log verify` tells more")]
    Unreadable {
        /// Which, from 1.
        line: u64,
    },
    /// The file system refused.
    #[error("the audit log could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: Arc<io::Error>,
    },
}

impl AuditError {
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::DiskFull,
            _ => Self::Io { action, path: path.into(), source: Arc::new(source) },
        }
    }
}
