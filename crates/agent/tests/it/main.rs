//! Whole turns, in process: a scripted model, fake tools, a fixed clock, a store in memory. The transcript of events is
//! compared as a whole.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alarms;
mod allowances;
mod approvals;
mod budget;
mod compaction;
mod failover;
mod failures;
#[cfg(feature = "faults")]
mod faults;
mod label_property;
mod labels;
mod loops;
mod model;
mod permits;
mod plain;
mod proposals;
mod reader;
mod resume;
mod steering;
mod stop;
mod tools;
mod world;
