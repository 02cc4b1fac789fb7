//! The audit log.
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;
use types::{SessionId, TurnId};

/// What kind of thing a record tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditKind {
    /// A tool call is about to have an effect.
    ToolIntent,
    /// What came of a tool call.
    ToolOutcome,
    /// A request left the machine, or was refused.
    Egress,
    /// The owner was asked or answered.
    Approval,
    /// The policy or the configuration changed.
    Policy,
    /// Somebody was let in or turned away.
    Login,
    /// The daemon itself.
    Daemon,
}

/// A record to be appended.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// The session concerned.
    pub session: Option<SessionId>,
    /// The turn concerned.
    pub turn: Option<TurnId>,
    /// The tool call concerned.
    pub call: Option<String>,
    /// What kind of thing happened.
    pub kind: AuditKind,
    /// What happened.
    pub detail: Value,
}

/// Why a record could not be appended, or the log not be read. No record, no effect.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuditError {
    /// No room is left.
    #[error("the disk is full")]
    DiskFull,
    /// The log was closed.
    #[error("the audit log is closed")]
    Closed,
}

/// The log is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records it has.
    pub records: u64,
    /// The hash of the last one in hex.
    pub last_hash: String,
}

/// The log is not whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Broken {
    /// The first line that is wrong, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

/// The end of the log as the database remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the last record; 0 when there is none.
    pub seq: u64,
    /// Its hash in hex.
    pub hash: String,
}

/// The audit log.
#[derive(Clone, Debug)]
pub struct AuditLog {}

impl AuditLog {
    /// Appends a record; it is on the disk when this returns.
    pub async fn append(&self, _entry: AuditEntry) -> Result<u64, AuditError> {
        todo!()
    }
}

/// Checks the chain from the first record to the last.
pub fn verify(_path: &Path) -> Result<Verified, Broken> {
    todo!()
}

/// Checks the chain, and that its end was not cut off.
pub fn verify_with_head(_path: &Path, _head: &Head) -> Result<Verified, Broken> {
    todo!()
}

/// Records with a number over `after`, oldest first.
pub fn read(_path: &Path, _after: u64, _limit: usize) -> Result<Vec<Value>, AuditError> {
    todo!()
}
