//! The command line: what works on the home's files, how mistakes are told, and talking to a daemon with the practice
//! model. Whole jobs are tested end to end elsewhere.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests fail by panicking, and start the program")]

mod offline;
mod online;
mod program;
