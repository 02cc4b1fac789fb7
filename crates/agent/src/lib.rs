//! The turn loop, the context and the tool gate. Start reading at [`run_turn`] (`turn.rs`), then `gate.rs`. This crate
//! must not open sockets, start processes or touch files, and must not know any provider, channel or tool by name: what
//! it needs is handed to it in [`Deps`].
//!
//! A turn can be dropped at any await and run again: each time round, the loop derives what comes next from the store.

mod answer;
mod approvals;
mod ask;
mod begin;
mod breaker;
mod calls;
mod cap;
mod close;
mod compaction;
mod constraints;
mod context;
mod date;
mod deps;
mod estimate;
mod gate;
mod handles;
mod limits;
mod mask;
mod models;
mod outcome;
mod pause;
mod perform;
mod progress;
mod prompt;
mod proposals;
mod reader;
mod repetition;
mod report;
mod run;
mod state;
mod step;
mod turn;
mod verdict;

pub use begin::begin;
pub use deps::{
    BeforeWrite, Begun, Deps, Ready, Redaction, RulesInForce, Seen, Sent, Settings, Sighting, Toolbox, WorkspaceState,
};
pub use gate::{Permission, permit, withdraw};
pub use models::{Model, ModelRole, Models, choose, chosen};
pub use prompt::system_prompt;
pub use proposals::accept;
pub use turn::run_turn;
