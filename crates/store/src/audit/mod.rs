//! The audit log: an append-only file in which each record carries the hash of the one before it. It must not decide
//! what is recorded, and it never changes or drops a record. Start with [`AuditLog::append`] and [`verify`].

mod chain;
mod error;
mod log;
mod read;
mod record;
mod sink;
mod verify;
mod writer;

pub use error::AuditError;
pub use log::AuditLog;
pub use read::read;
pub use record::{AuditEntry, AuditKind, Head};
pub use verify::{Broken, Verified, verify, verify_with_head};
