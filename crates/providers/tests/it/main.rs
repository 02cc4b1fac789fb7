//! The providers against the scripted vendor, over real HTTP: every behaviour in every dialect.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod answers;
mod anthropic;
mod chat;
mod conversion;
mod failures;
mod media;
mod requests;
mod responses;
mod retries;
mod support;
