//! The audit log: an append-only file in which each record carries the hash of the one before it. A file
//! that is full is put aside, and the chain goes on in another one. It must not decide
//! what is recorded, and it never changes or drops a record. Start with [`AuditLog::append`] and [`verify`].

mod chain;
mod copy;
mod error;
mod follow;
mod log;
mod read;
mod record;
mod remote;
mod segments;
mod serve;
mod sink;
mod verify;
mod wire;
mod writer;

pub use copy::{Compared, Parted, compare};
pub use error::AuditError;
pub use follow::{Batch, Follower, Line};
pub use log::{AuditLog, Keeping};
pub use read::read;
pub use record::{AuditEntry, AuditKind, Head};
pub use remote::Connect;
pub use serve::AuditServer;
pub use sink::LogOptions;
pub use verify::{Broken, Verified, verify, verify_with_head};
