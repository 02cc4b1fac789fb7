//! The vault on a real disk, and the clients against real servers on loopback; the judge and the proxy in networks of their
//! own.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod address;
mod binding;
mod client;
mod dns;
mod fuzz;
mod inside;
mod network;
mod proxy;
mod rules;
mod target;
mod vault;
