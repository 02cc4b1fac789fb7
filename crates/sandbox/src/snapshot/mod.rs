//! Saving a workspace before a turn writes to it, and putting it back. Owns the directory `snapshots` in the agent's
//! home: contents by their SHA-256, and one manifest per snapshot, which is written last. Must not decide when to save
//! and must not follow a link. Start with [`Snapshots`].

mod config;
mod diff;
mod lines;
mod manifest;
mod objects;
mod pins;
mod prune;
mod registry;
mod remove;
mod restore;
mod scan;
mod take;
#[cfg(test)]
mod tests;

pub use config::SnapshotConfig;
pub use diff::{Change, ChangeKind, DiffStat};
pub use pins::{IsPinned, Pins};
pub use prune::Pruned;
pub use registry::{SnapshotError, Snapshots};
pub use restore::Restored;
