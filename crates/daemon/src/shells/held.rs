//! The shells that are open, by name.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;
use types::{SessionId, ShellName, WorkspaceName};

/// All that are open. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shells(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Held while one is opened and while those of an earlier daemon are taken up.
    opening: Arc<tokio::sync::Mutex<()>>,
    open: Mutex<BTreeMap<ShellName, Held>>,
}

/// An open shell.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub name: ShellName,
    pub workspace: WorkspaceName,
    pub session: SessionId,
    /// Cancelled when it is to end, and when it has ended by itself.
    pub closing: CancellationToken,
    /// Cancelled when nothing is left of it.
    pub gone: CancellationToken,
}

impl Held {
    pub fn new(name: ShellName, workspace: WorkspaceName, session: SessionId) -> Self {
        Self { name, workspace, session, closing: CancellationToken::new(), gone: CancellationToken::new() }
    }
}

impl Shells {
    /// Waits until nobody else opens one.
    pub(super) async fn opening(&self) -> OwnedMutexGuard<()> {
        self.0.opening.clone().lock_owned().await
    }

    pub(super) fn get(&self, name: &ShellName) -> Option<Held> {
        self.open().get(name).cloned()
    }

    pub(super) fn count(&self) -> usize {
        self.open().len()
    }

    pub(super) fn add(&self, held: Held) {
        self.open().insert(held.name.clone(), held);
    }

    pub(super) fn remove(&self, name: &ShellName) {
        self.open().remove(name);
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<ShellName, Held>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key of the session of a shell.
pub(super) fn key(name: &ShellName) -> String {
    format!("shell-{name}")
}
