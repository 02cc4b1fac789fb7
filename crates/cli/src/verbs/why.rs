//! `factotum why` and `factotum endorse`: where a session's label comes from, and the way to a clean one.

use types::Command;

use super::sessions::is_named;
use crate::{
    args::Context,
    error::{Stop, user},
    runtime,
};

/// Shows what a session holds and which texts it has that from: they decide what it is asked about.
#[derive(Debug, clap::Args)]
pub struct Why {
    /// Its number or key; the present one when absent
    #[arg(value_name = "SESSION")]
    session: Option<String>,
}

/// Begins a clean session with one result, which you vouch for, and your own words.
#[derive(Debug, clap::Args)]
pub struct Endorse {
    /// The call whose result it is, from `factotum why`
    #[arg(value_name = "CALL")]
    call: String,
    /// The session that it is in; the present one when absent
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
}

impl Why {
    /// Shows.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        runtime::ask(async {
            let client = context.client().await?;
            let sessions = client.sessions().await?;
            let found = match &self.session {
                Some(name) => sessions.iter().find(|known| is_named(known.id, known.key.as_deref(), name)),
                None => sessions.iter().find(|known| known.current),
            };
            let missing = || user("there is no such session", "`factotum sessions` lists them");
            let why = client.why(found.ok_or_else(missing)?.id).await?;
            context.output.fact(&why, |why| daemon::terminal::neutral(&why.in_words()))
        })
    }
}

impl Endorse {
    /// Endorses.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        runtime::ask(async {
            let command = Command::Endorse { session: self.session, call: self.call };
            let reply = context.client().await?.command(&command).await?;
            super::tell(context.output, &reply)
        })
    }
}
