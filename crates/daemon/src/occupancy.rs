//! Who may change the files of a directory: any number of tasks, or one undo by itself. Two workspaces may be one
//! directory under two names, so the directory counts. It must not know what they do.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// One lock for each directory that was ever used; they come from the configuration, so there are few.
#[derive(Debug, Default)]
pub(crate) struct Occupancy(Mutex<HashMap<PathBuf, Arc<RwLock<()>>>>);

/// A task is at work there until this is dropped.
#[derive(Debug)]
pub(crate) struct AtWork {
    _guard: OwnedRwLockReadGuard<()>,
}

/// Nothing else is at work there until this is dropped.
#[derive(Debug)]
pub(crate) struct Alone {
    _guard: OwnedRwLockWriteGuard<()>,
}

impl Occupancy {
    /// Waits for the end of an undo that is at work there; an undo itself waits for nobody.
    pub async fn work(&self, directory: &Path) -> AtWork {
        AtWork { _guard: self.lock(directory).read_owned().await }
    }

    /// Takes the directory for itself, or nothing when anything is at work there.
    pub fn alone(&self, directory: &Path) -> Option<Alone> {
        self.lock(directory).try_write_owned().ok().map(|guard| Alone { _guard: guard })
    }

    fn lock(&self, directory: &Path) -> Arc<RwLock<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        locks.entry(directory.to_owned()).or_default().clone()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_undo_is_alone_and_tasks_are_not() {
        let occupancy = Occupancy::default();
        let [here, there] = ["/here", "/there"].map(PathBuf::from);
        let tasks = (occupancy.work(&here).await, occupancy.work(&here).await);
        assert!(occupancy.alone(&here).is_none(), "tasks are at work");
        drop(tasks);
        let undo = occupancy.alone(&here).unwrap();
        assert!(occupancy.alone(&here).is_none(), "an undo is at work");
        assert!(occupancy.alone(&there).is_some(), "another workspace is free");
        let waits = tokio::time::timeout(Duration::from_secs(9), occupancy.work(&here)).await;
        assert!(waits.is_err(), "a task began during an undo");
        drop(undo);
        drop(occupancy.work(&here).await);
    }
}
