//! The daemon in one process, with a messenger and a model of the tests' own: everything else is real.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod admission;
mod api;
mod approvals;
mod bench;
mod delivery;
mod job_crashes;
mod job_rules;
mod jobs;
mod labels;
mod leaks;
mod models;
mod play;
mod recipes;
mod requests;
mod restart;
mod scene;
mod sessions;
mod shipping;
mod start;
mod undo;
mod words;
