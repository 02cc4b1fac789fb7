//! A place in what a coding agent said, and whether it is one of these records at all.

use sandbox::Record;
use serde::{Deserialize, Serialize};

/// A place in what a coding agent said: after the event `index` of the record `seq`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cursor {
    /// The record; 0 before the first.
    pub seq: u64,
    /// The event in it, counted from 0.
    pub index: u32,
    /// When the record was written, in milliseconds since 1970. Whoever keeps a place keeps it elsewhere than the records, which
    /// may be removed, or lose their end when the power is cut, and go on with other records of the same numbers: this tells
    /// them apart.
    pub at: i64,
}

/// Why a place is none of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// There are not so many records.
    Short,
    /// The record of that number is another one.
    Other,
}

impl Cursor {
    /// After all events of a record.
    pub fn after_record(record: &Record) -> Self {
        Self { seq: record.seq, index: u32::MAX, at: record.at }
    }

    /// Whether it is a place in this record.
    pub(super) fn is_in(&self, record: &Record) -> bool {
        (self.seq, self.at) == (record.seq, record.at)
    }
}
