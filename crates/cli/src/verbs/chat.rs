//! `factotum chat`: a conversation in the terminal, line by line.

mod place;
mod talk;

use types::WorkspaceName;

use crate::{args::Context, error::Stop, runtime};
use talk::Talk;

/// Talks to the agent. Each line is a message; while a task runs, it hears it at its next step. /help lists the slash
/// commands. Ctrl-C stops the task, Ctrl-D leaves; the task goes on without you.
#[derive(Debug, clap::Args)]
pub struct Chat {
    /// The session's number or key, or `new`; without it, the one that you are in
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// The workspace of a session that this starts
    #[arg(long, value_name = "NAME")]
    workspace: Option<WorkspaceName>,
}

impl Chat {
    /// Returns when the person leaves. With input from a pipe, when the last message is answered.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        runtime::ask(async { Talk::start(context, self.session, self.workspace).await?.run().await })
    }
}
