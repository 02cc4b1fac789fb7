//! The command line without a daemon: what works on the home's files, and how mistakes are told.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests fail by panicking, and start the program")]

mod offline;
mod program;
