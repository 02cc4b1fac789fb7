//! The vault on a real disk, and the clients against real servers on loopback.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod binding;
mod client;
mod vault;
