//! The vault on a real disk, and the clients against real servers on loopback; the judge in networks of its own.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod address;
mod binding;
mod client;
mod dns;
mod inside;
mod network;
mod rules;
mod target;
mod vault;
