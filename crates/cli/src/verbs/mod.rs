//! One file per verb. A verb reads its options, asks the daemon or the home's files, and shows the answer; it decides
//! nothing.

pub mod allow;
pub mod api;
pub mod approvals;
pub mod attach;
pub mod audit_writer;
pub mod chat;
pub mod coder;
mod complete;
pub mod completions;
pub mod config;
pub mod doctor;
pub mod job;
pub mod log;
pub mod model;
pub mod proposals;
mod reply;
pub mod secret;
pub mod security;
pub mod send;
pub mod sessions;
pub mod setup;
pub mod shell;
pub mod stop;
pub mod totp;
pub mod undo;
pub mod up;
pub mod why;
pub mod workspace;

use reply::tell;
