//! The supervisor of a job: a process of its own that owns one sandbox and the program in it, writes down what the program
//! says, and goes on when the daemon ends (decision 0007). Owns the records, the orders and the custody of the sandbox's
//! door; must not know what the lines mean, decide, or hold a secret in anything but memory. Start with [`Supervised`] for the
//! daemon's side, with [`Record`] for what is written down, and with `process` for the process itself.
//!
//! A supervisor that is killed takes its sandbox with it. A daemon that is killed changes nothing: what it ordered before is
//! carried out and recorded before the next daemon is let in, so that what stands in the records is all that happened.

mod bridge;
mod client;
mod frames;
mod journal;
mod lines;
mod process;
mod program;
mod protocol;
mod record;
mod records;
mod screen;
mod start;
mod stray;
mod tail;

pub(crate) use bridge::{Connect, bridge};
pub use client::{Attached, Supervised};
pub(crate) use process::run;
pub use program::{Program, SupervisedSpec, SupervisorLimits, Transport};
pub use record::{MAX_LINE, Record, What};
pub use records::Records;
pub use screen::Screen;
pub(crate) use start::start_second;

/// The most bytes that a supervisor keeps for the next daemon.
pub const MAX_CUSTODY: usize = frames::MAX_BYTES;
