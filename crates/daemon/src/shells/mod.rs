//! The owner's own shells: interactive terminals in a sandbox of a workspace, each under a supervisor, so that neither the end of
//! the daemon nor a lost connection ends them. Owns when one begins and when it is over; the terminal is the supervisor's, the
//! window is `terminals`'. A shell has a session, for the records and the labels of what it reaches. Start with [`open`].

mod follow;
mod held;
mod open;
mod record;

pub(crate) use follow::take_up;
pub(crate) use held::Shells;
pub(crate) use open::{close, open};
