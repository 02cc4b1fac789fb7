//! The sandboxes of all sessions: started when first needed, stopped with the session or when idle.

use std::{path::Path, sync::Arc};

use types::SessionId;

use crate::{Sandbox, SandboxConfig, SandboxError, Workspace};

/// The sandboxes by session.
#[derive(Debug)]
pub struct Pool {}

impl Pool {
    /// An empty pool. `home` is the agent's own directory, which no sandbox may see.
    pub fn new(_config: SandboxConfig, _home: &Path) -> Self {
        todo!()
    }

    /// The session's sandbox for its workspace; started if there is none.
    pub async fn get(&self, _session: SessionId, _workspace: &Workspace) -> Result<Arc<Sandbox>, SandboxError> {
        todo!()
    }

    /// Ends the session's sandbox, if there is one.
    pub async fn stop_session(&self, _session: SessionId) {
        todo!()
    }

    /// Ends all sandboxes and takes no more.
    pub async fn stop_all(&self) {
        todo!()
    }
}
