//! What the tools work with: the store, the sandboxes and the workspaces; and how labels pass between a session and the
//! files of its workspace.

use std::sync::Arc;

use sandbox::{Files, Pool, Workspace};
use store::Store;
use tokio::runtime::{Handle, RuntimeFlavor};
use types::{Label, ToolContext, ToolOutput};

use crate::Workspaces;

pub(crate) struct Reach {
    pub store: Store,
    pub pool: Arc<Pool>,
    workspaces: Workspaces,
}

impl Reach {
    pub(crate) fn new(store: Store, pool: Arc<Pool>, workspaces: Workspaces) -> Self {
        Self { store, pool, workspaces }
    }

    /// The session's workspace, or what to tell the model.
    pub(crate) fn workspace(&self, context: &ToolContext) -> Result<Workspace, ToolOutput> {
        (self.workspaces)(context.session, &context.workspace).ok_or_else(|| {
            let why = "is not in the configuration any more, or the tree of this session's job is gone";
            ToolOutput::error(format!("the workspace `{}` {why}", context.workspace))
        })
    }

    /// The files of the session's workspace.
    pub(crate) fn files(&self, context: &ToolContext) -> Result<Files, ToolOutput> {
        let workspace = self.workspace(context)?;
        Files::new(&workspace).map_err(|error| ToolOutput::error(format!("the workspace cannot be opened: {error}")))
    }

    /// The label of what comes out of the workspace. What is not known is the highest.
    pub(crate) fn label(&self, context: &ToolContext) -> Label {
        self.store.workspace_label(&context.workspace).unwrap_or(Label::UNKNOWN).join(Label::OWNER)
    }

    /// Before a write: whatever the session knows may end up in the files, so they get its label.
    pub(crate) async fn raise(&self, context: &ToolContext) -> Result<(), ToolOutput> {
        if self.label(context).covers(context.label) {
            return Ok(());
        }
        let (workspace, label) = (context.workspace.clone(), context.label);
        let raised = self.store.transact(move |tx| tx.raise_workspace_label(&workspace, label)).await;
        raised
            .map(drop)
            .map_err(|error| ToolOutput::error(format!("nothing was changed: the label could not be stored: {error}")))
    }
}

/// Runs work that blocks for up to some seconds without holding up the other tasks of this thread.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        // A runtime of one thread, as in tests, has nowhere else to run its tasks.
        Ok(_) | Err(_) => work(),
    }
}
