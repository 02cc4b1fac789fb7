//! The driver over a supervisor in memory: crashes at any point, orders that fail, silences.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod bounds;
mod crashes;
mod deaths;
mod memory;
mod parrot;
mod places;
mod silences;
