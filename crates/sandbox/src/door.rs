//! The seam to whoever serves a sandbox's only door, the proxy: asked before a sandbox is built for what its commands must
//! trust and hold, and handed the listening socket once it stands. Must not know what lies behind the door.

use std::{collections::BTreeMap, fmt, os::fd::OwnedFd, sync::Arc};

use tokio_util::sync::CancellationToken;
use types::{BoxFuture, SessionId, WorkspaceName};

use crate::ProxyTrust;

/// Serves the listening socket until the token is cancelled. The sandbox owns the task and joins it.
pub type Serve = Box<dyn FnOnce(OwnedFd, CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// The door of one sandbox.
pub struct Door {
    /// Whose certificates its commands believe.
    pub trust: ProxyTrust,
    /// Environment variables with placeholders for credentials.
    pub env: BTreeMap<String, String>,
    /// What serves it.
    pub serve: Serve,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

/// What the commands behind a door may do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayOut {
    /// What the session's own commands may.
    Usual,
    /// Read, whatever the workspace's rules allow besides.
    Reading,
    /// All that the workspace's rules allow: somebody approved what is sent.
    Sending,
}

/// Makes the door for a session's sandbox in a workspace. The error is a sentence for the model and the log; it refuses the
/// sandbox, since one without its door would only fail later and less clearly.
pub type Doors = Arc<dyn Fn(SessionId, &WorkspaceName, WayOut) -> Result<Door, String> + Send + Sync>;
