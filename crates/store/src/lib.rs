//! Durable state: the SQLite journal and the audit chain. This is the only crate that speaks SQL. It must not decide
//! anything: what it is told to store is stored, exactly once, or refused.
//!
//! Start with [`Store::transact`]: everything that is written happens in a transaction, and whoever gets its result may
//! rely on it after a crash. Reads are plain functions.

pub mod audit;

mod calendar;
mod codec;
mod connection;
mod error;
mod faults;
mod job_records;
mod queue;
mod read;
mod readers;
mod records;
mod schema;
mod store;
#[cfg(test)]
mod tests;
mod tx;
mod writer;

pub use calendar::{hour_of, year_month};
pub use error::StoreError;
pub use faults::fault_point;
pub use job_records::{Job, JobCursor, JobMemory, JobOrder, JobSince, JobUse, NewJob};
pub use records::{
    Author, CallRecord, CallState, DeliveryBody, Handle, InboxRow, LabelCause, MessageKind, ModelSpend, NewCall,
    NewDelivery, NewInbox, NewMessage, NewReading, NewRequest, NewSession, NewTurn, OutboxRow, OutboxState, Received,
    SearchHit, SecondFactor, Session, SnapshotRow, Spend, SpendScope, StoredMessage, Turn, TurnState,
};
pub use store::Store;
pub use tx::{BlockOrigin, Tx};

/// The most bytes of one text: a message, a result, an answer.
pub const MAX_TEXT: usize = 1 << 20;
