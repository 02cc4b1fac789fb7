//! The built-in tools as the agent uses them: judged by the real policy, on real files, with a real store.

mod ask;
mod assess;
mod bench;
mod exec;
mod files;
mod search;
