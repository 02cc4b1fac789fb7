//! `factotum shell`.

use std::io::{IsTerminal, stdin, stdout};

use daemon::terminals::{self, Place};
use types::{Command, CommandReply, ShellName, WorkspaceName};

use super::attach::attach;
use crate::{
    args::Context,
    error::{Stop, user},
    runtime,
};

/// Opens a terminal of your own in a sandbox of a workspace, or shows it again. What runs in it goes on when you leave
/// (Ctrl-B d), when the connection breaks and when the daemon ends; `exit` ends it.
#[derive(Debug, clap::Args)]
pub struct Shell {
    /// The workspace; the usual one when absent
    #[arg(long, value_name = "NAME")]
    workspace: Option<WorkspaceName>,
    /// Its name, for more than one in a workspace; the workspace's name when absent
    #[arg(long, value_name = "NAME")]
    name: Option<ShellName>,
    /// Only open it; `factotum attach` shows it
    #[arg(short, long)]
    detached: bool,
}

impl Shell {
    /// Opens it and becomes a client of it.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        runtime::ask(async {
            if !self.detached {
                if !(stdin().is_terminal() && stdout().is_terminal()) {
                    return Err(
                        user("a shell needs a terminal to be shown in", "use --detached to open it only").into()
                    );
                }
                terminals::check(&context.home).await?;
            }
            let client = context.client().await?;
            let reply = client.command(&Command::OpenShell { workspace: self.workspace, name: self.name }).await?;
            match reply {
                CommandReply::Shell { name, .. } if !self.detached => attach(context, &Place::Shell(name)).await,
                reply => super::tell(context.output, &reply),
            }
        })
    }
}
