//! Facts in words for a terminal. Everything that comes from a model, a tool or a messenger passes through
//! `daemon::terminal`, so that it cannot command the terminal. Pure, but for the time zone.

mod job;
mod live;
mod request;
mod session;
mod table;
mod time;

pub use job::{job, job_line};
pub use live::{Live, progress};
pub use request::{proposal, request};
pub use session::{message, sessions};
pub use table::table;
pub use time::time;
