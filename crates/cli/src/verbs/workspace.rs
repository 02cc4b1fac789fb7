//! `factotum workspace`: the directories that the agent may work in.

use std::path::PathBuf;

use daemon::offline::{self, WorkspaceEntry};
use types::{Command, FailureKind, WorkspaceName};

use super::complete::complete;
use crate::{
    args::Context,
    error::{Stop, user},
    runtime, show,
};

/// Chooses the directories that the agent's commands may write. Everything else is closed to them.
#[derive(Debug, clap::Args)]
pub struct Workspace {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Add a directory
    Add {
        /// What to call it
        name: WorkspaceName,
        /// The directory; it must exist
        path: PathBuf,
    },
    /// List them
    List,
    /// Remove one from the configuration; the directory stays
    Rm {
        /// Its name
        name: WorkspaceName,
    },
}

impl Workspace {
    /// Adds, lists or removes.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        match self.what {
            What::Add { name, path } => {
                let path = std::path::absolute(&path)
                    .map_err(|error| user(format!("{} is not usable: {error}", path.display()), "name a directory"))?;
                daemon::Home::open(&context.home).map_err(|error| error.failure())?;
                offline::workspace_add(&context.home, &name, &path)?;
                let entry = WorkspaceEntry { name, path };
                context.output.fact(&entry, |entry| format!("workspace {} is {}", entry.name, entry.path.display()))?;
            }
            What::List => {
                let entries = offline::workspace_list(&context.home)?;
                return context.output.fact(&entries, |entries| in_words(entries));
            }
            What::Rm { name } => {
                if !offline::workspace_remove(&context.home, &name)? {
                    let hint = "`factotum workspace list` names them";
                    return Err(user(format!("there is no workspace `{name}` in config.toml"), hint).into());
                }
                context.output.fact(&name, |name| format!("workspace {name} is removed; its directory stays"))?;
            }
        }
        reload(context)
    }
}

fn in_words(entries: &[WorkspaceEntry]) -> String {
    if entries.is_empty() {
        return "no workspace is configured".to_owned();
    }
    let rows: Vec<[String; 2]> =
        entries.iter().map(|entry| [entry.name.to_string(), entry.path.display().to_string()]).collect();
    show::table(["NAME", "DIRECTORY"], &rows)
}

/// Lets a running daemon read the configuration again. When none runs, the next start reads it.
pub fn reload(context: &Context) -> Result<(), Stop> {
    runtime::ask(async {
        let client = match context.client().await {
            Err(failure) if failure.kind == FailureKind::Network => return Ok(()),
            client => client?,
        };
        complete(context, &client, Command::Reload { code: None }).await?;
        context.output.note("the running daemon has read it");
        Ok(())
    })
}
