//! The programs of coding agents: where each is, how it is installed, whether it works. Owns the directory `coders` of the
//! home; must not start a job. Start with [`find`].

mod find;

pub(crate) use find::{Program, find};
