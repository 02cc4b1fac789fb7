//! `factotum proposals`: what tasks without the owner would let persist.

use types::{Code, Command, ProposalId};

use super::complete::complete;
use crate::{args::Context, error::Stop, runtime, show};

/// Lists what waits for your decision, with everything that would run; accepts or rejects it.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Proposals {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// List them
    List,
    /// Let one run, once, as it is shown
    Accept {
        /// Its number
        #[arg(value_name = "ID")]
        proposal: i64,
        /// The code of the second factor, where one is set up
        #[arg(long, value_name = "CODE")]
        code: Option<String>,
    },
    /// Forget one
    Reject {
        /// Its number
        #[arg(value_name = "ID")]
        proposal: i64,
    },
}

impl Proposals {
    /// Lists or decides.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        runtime::ask(async {
            let client = context.client().await?;
            let (proposal, accept, code) = match self.what {
                None | Some(What::List) => {
                    let open = client.proposals().await?;
                    return context.output.fact(&open, |open| match open.as_slice() {
                        [] => "nothing is proposed".to_owned(),
                        open => open.iter().map(show::proposal).collect::<Vec<_>>().join("\n\n"),
                    });
                }
                Some(What::Accept { proposal, code }) => (ProposalId(proposal), true, code.map(Code::new)),
                Some(What::Reject { proposal }) => (ProposalId(proposal), false, None),
            };
            let reply = complete(context, &client, Command::Decide { proposal, accept, code }).await?;
            super::tell(context.output, &reply)
        })
    }
}
