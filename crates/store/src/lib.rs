//! Durable state: the SQLite journal and the audit chain.
/// The audit log.
pub mod audit;
mod error;
mod records;
mod store;
mod tx;

pub use error::StoreError;
pub use records::*;
pub use store::Store;
pub use tx::Tx;

/// The most bytes of one text.
pub const MAX_TEXT: usize = 1 << 20;
/// The UTC month of a time: the year times 100 plus the month from 1 to 12.
pub fn year_month(_at: types::Timestamp) -> i64 {
    todo!()
}
/// A named point at which a test build may be killed.
pub fn fault_point(_name: &str) {}
