//! `factotum undo`.

use types::{Command, SnapshotId, WorkspaceName};

use crate::{args::Context, error::Stop, runtime, show};

/// Puts a workspace back to before the last task that wrote to it. The present state is saved first, so that an undo can
/// be undone.
#[derive(Debug, clap::Args)]
pub struct Undo {
    /// The workspace; without it, the one of the session that you are in
    #[arg(long, value_name = "NAME")]
    workspace: Option<WorkspaceName>,
    /// The number of a saved state; without it, the latest
    #[arg(long, value_name = "ID", conflicts_with = "list")]
    snapshot: Option<i64>,
    /// List the saved states and change nothing
    #[arg(long)]
    list: bool,
}

impl Undo {
    /// Restores, or lists.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        runtime::ask(async {
            let client = context.client().await?;
            if !self.list {
                let snapshot = self.snapshot.map(SnapshotId);
                let reply = client.command(&Command::Undo { workspace: self.workspace, snapshot }).await?;
                return super::tell(context.output, &reply);
            }
            let saved = client.snapshots(self.workspace.as_ref()).await?;
            context.output.fact(&saved, |saved| {
                if saved.is_empty() {
                    return "nothing was saved yet: no task has written to this workspace".to_owned();
                }
                let rows: Vec<[String; 4]> = saved
                    .iter()
                    .map(|state| {
                        let turn = state.turn.map(|turn| format!("before task {turn}")).unwrap_or_default();
                        [state.id.to_string(), state.workspace.to_string(), show::time(state.at), turn]
                    })
                    .collect();
                show::table(["ID", "WORKSPACE", "SAVED", "WHY"], &rows)
            })
        })
    }
}
