//! The sandbox for real. Every test that runs something does so inside outer namespaces of its own, as root or as an ordinary
//! user: an escape that succeeds must not reach the machine.
#![expect(clippy::disallowed_methods, reason = "tests start themselves again, and clean up")]
#![expect(clippy::print_stderr, reason = "tests say why they are skipped")]

mod bombs;
#[cfg(feature = "faults")]
mod broken;
mod commands;
mod door;
mod ends;
mod escapes;
mod fixed;
mod home;
mod outer;
mod pool;
mod programs;
mod refusals;
mod source;
mod supervisor;
mod support;
mod terminals;
mod tmux;
