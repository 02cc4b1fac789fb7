//! The programs of coding agents: where each is, how it is installed, whether it works. Owns the directory `coders` of the
//! home; must not start a job. Start with [`find`].

mod digest;
mod find;
mod install;
mod list;
mod probe;
mod sandboxed;
mod unchanged;

pub(crate) use find::{Program, find};
pub(crate) use install::install;
pub(crate) use list::list;
pub(crate) use probe::test;
pub(crate) use unchanged::check_unchanged;
