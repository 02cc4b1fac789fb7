//! The rules of the house that clippy cannot know. Start with `run`; each rule is one file and says in its head what it
//! holds and why.

mod edges;
mod headers;
mod run;
mod sizes;
mod source;
mod suppressions;
mod words;

pub use run::run;
