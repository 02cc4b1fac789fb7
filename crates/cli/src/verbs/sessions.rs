//! `factotum sessions`: conversations.

use types::SessionId;

use crate::{
    args::Context,
    error::{Stop, user},
    runtime, show,
};

/// Lists the conversations, latest first. A star marks the one that messages go to.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Sessions {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show the messages of one conversation
    Show {
        /// Its number or key
        #[arg(value_name = "SESSION")]
        session: String,
    },
}

impl Sessions {
    /// Lists or shows.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        runtime::ask(async {
            let client = context.client().await?;
            let sessions = client.sessions().await?;
            let Some(What::Show { session }) = self.what else {
                return context.output.fact(&sessions, |sessions| show::sessions(sessions));
            };
            let found = sessions.iter().find(|known| is_named(known.id, known.key.as_deref(), &session));
            let found = found
                .ok_or_else(|| user(format!("there is no session `{session}`"), "`factotum sessions` lists them"))?;
            let messages = client.messages(found.id).await?;
            context
                .output
                .fact(&messages, |messages| messages.iter().map(show::message).collect::<Vec<_>>().join("\n\n"))
        })
    }
}

/// Whether a session is the one that a person named.
pub fn is_named(id: SessionId, key: Option<&str>, name: &str) -> bool {
    key == Some(name) || id.to_string() == name
}
