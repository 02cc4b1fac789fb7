//! Everything that is read, one file for each noun. Each query is a function on a connection, so that transactions can
//! use it too, and a method of [`crate::Store`] that lends it one. All of them block for microseconds.

mod allowances;
mod events;
mod inbox;
mod jobs;
mod labels;
mod messages;
mod outbox;
mod proposals;
mod readings;
mod requests;
mod search;
mod second_factor;
mod sessions;
mod spend;
mod texts;
mod turns;
mod workspaces;

pub(crate) use allowances::allowance;
pub(crate) use events::latest_time;
pub(crate) use inbox::waiting_inbox;
pub(crate) use jobs::{job, job_rounds};
pub(crate) use outbox::{FAILED, PENDING, SENDING, SENT};
pub(crate) use proposals::proposal;
pub(crate) use requests::request;
pub(crate) use second_factor::second_factor;
pub(crate) use sessions::session;
pub(crate) use spend::{scope_columns, spent};
pub(crate) use turns::turn;
pub(crate) use workspaces::{cursor, workspace_label};
