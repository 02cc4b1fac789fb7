//! The providers against the scripted vendor, over real HTTP: every behaviour in both dialects.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod answers;
mod failures;
mod requests;
mod retries;
mod support;
