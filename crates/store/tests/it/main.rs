//! The store as its users see it: what is written, what is found again, and what survives.
#![expect(clippy::disallowed_methods, reason = "tests start tasks, await them, and damage files")]

mod allowances;
mod audit;
mod audit_files;
mod audit_remote;
mod conversation;
#[cfg(feature = "faults")]
mod crash;
mod damage;
mod fixture;
mod group;
mod jobs;
mod model;
mod outbox;
mod requests;
mod search;
mod spend;
mod turns;
