//! `factotum stop`.

use types::Command;

use crate::{args::Context, error, runtime};

/// Stops what runs, with all its processes, within two seconds. Without a session: everywhere.
#[derive(Debug, clap::Args)]
pub struct Stop {
    /// The session's number or key
    #[arg(value_name = "SESSION")]
    session: Option<String>,
}

impl Stop {
    /// Stops.
    pub fn run(self, context: &Context) -> Result<(), error::Stop> {
        runtime::ask(async {
            let reply = context.client().await?.command(&Command::Stop { session: self.session }).await?;
            super::tell(context.output, &reply)
        })
    }
}
