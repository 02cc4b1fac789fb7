//! The proof that policy allowed one call.

use types::{SessionId, Sink, WorkspaceName};

/// Permission for one effect. It cannot be made outside this crate, copied or serialised: whoever holds one got it from
/// [`crate::decide`] or from an approval that was redeemed.
#[derive(Debug)]
pub struct Grant {
    pub(crate) sink: Sink,
    pub(crate) read_only: bool,
    pub(crate) session: Option<SessionId>,
    pub(crate) workspace: WorkspaceName,
}

impl Grant {
    /// Where the effect may go.
    pub fn sink(&self) -> Sink {
        self.sink
    }

    /// Whether only reading was granted.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The session that may act; none for the daemon's own acts.
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// The only workspace that may be touched.
    pub fn workspace(&self) -> &WorkspaceName {
        &self.workspace
    }
}
