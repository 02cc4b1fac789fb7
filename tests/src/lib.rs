//! The end-to-end harness: a home, a repository with failing tests, the real binary as a child process, and a scripted
//! model that works from what it sees. It holds no assertions; those stand in `tests/it`.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "a test harness starts processes, and a failed set-up must stop the test"
)]

pub mod brain;
pub mod census;
pub mod coder;
pub mod coders;
pub mod home;
pub mod inside;
pub mod job;
pub mod malicious;
pub mod online;
pub mod origin;
pub mod outing;
pub mod played;
pub mod process;
pub mod repository;
pub mod scenes;
pub mod seat;
pub mod shift;
pub mod workshop;

pub use home::Home;
pub use inside::{all_but_network_inside, all_inside, all_inside_as_nobody, run_inside};
pub use process::{Factotum, Finished};
pub use repository::Repository;
pub use shift::Shift;
pub use workshop::Workshop;
