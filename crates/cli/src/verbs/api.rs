//! `factotum api`: the credential of the TCP API.

use types::Command;

use crate::{args::Context, error::Stop, runtime};

/// Manages the credential of the API on the loopback address.
#[derive(Debug, clap::Args)]
pub struct Api {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a new token; the old one is refused at once, and what it opened is closed
    Rotate,
}

impl Api {
    /// Does it over the Unix socket, which needs no token.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        match self.what {
            What::Rotate => runtime::ask(async {
                let reply = context.client().await?.command(&Command::RotateToken).await?;
                super::tell(context.output, &reply)
            }),
        }
    }
}
