//! The supervisor of a job: a process of its own that owns one sandbox and the program in it, writes down what the program
//! says, and goes on when the daemon ends (decision 0007). Owns the records, the orders and the custody of the sandbox's
//! door; must not know what the lines mean, decide, or hold a secret. Start with [`Record`].

mod record;

pub use record::{MAX_LINE, Record, What};
