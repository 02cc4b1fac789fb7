//! Removing old snapshots and the contents that no snapshot needs.

use std::collections::HashSet;

use super::{SnapshotError, Snapshots, manifest::Saved};

/// What pruning removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Snapshots.
    pub snapshots: u64,
    /// Contents that were needed by none that is left.
    pub objects: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl Snapshots {
    /// Keeps the latest `keep` snapshots of each workspace, and always the last one. A damaged manifest among those that
    /// are kept is an error, because what it needs is not known.
    pub fn prune(&self, keep: usize) -> Result<Pruned, SnapshotError> {
        let _lock = self.lock()?;
        self.prune_locked(keep)
    }

    pub(super) fn prune_locked(&self, keep: usize) -> Result<Pruned, SnapshotError> {
        let mut pruned = Pruned::default();
        let mut needed = HashSet::new();
        for workspace in self.workspaces()? {
            let ids = self.list(&workspace)?;
            let (old, kept) = ids.split_at(ids.len().saturating_sub(keep.max(1)));
            for id in old {
                self.remove(&workspace, id)?;
                pruned.snapshots += 1;
            }
            for id in kept {
                for saved in self.load(&workspace, id)?.entries.into_values() {
                    match saved {
                        Saved::File { hash, .. } => _ = needed.insert(hash),
                        Saved::Directory { .. } | Saved::Link { .. } | Saved::Special => {}
                    }
                }
            }
        }
        (pruned.objects, pruned.bytes) = self.objects.retain(&|hash| needed.contains(hash))?;
        Ok(pruned)
    }
}
