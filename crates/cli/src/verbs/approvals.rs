//! `factotum approvals`, `approve`, `deny`.

use types::{Answer, Command, RequestId};

use crate::{args::Context, error::Stop, runtime, show};

/// Lists the calls and questions that wait for you, with everything that an approval would bind.
#[derive(Debug, clap::Args)]
pub struct Approvals {}

/// Lets a call happen, once. What runs is what `factotum approvals` shows.
#[derive(Debug, clap::Args)]
pub struct Approve {
    /// The request's number
    #[arg(value_name = "ID")]
    request: i64,
}

/// Forbids a call. The agent is told and goes on without it.
#[derive(Debug, clap::Args)]
pub struct Deny {
    /// The request's number
    #[arg(value_name = "ID")]
    request: i64,
}

impl Approvals {
    /// Lists.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        runtime::ask(async {
            let open = context.client().await?.approvals().await?;
            context.output.fact(&open, |open| match open.as_slice() {
                [] => "nothing waits for you".to_owned(),
                open => open.iter().map(show::request).collect::<Vec<_>>().join("\n\n"),
            })
        })
    }
}

impl Approve {
    /// Says yes.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        answer(context, self.request, Answer::ONCE)
    }
}

impl Deny {
    /// Says no.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        answer(context, self.request, Answer::Denied)
    }
}

fn answer(context: &Context, request: i64, answer: Answer) -> Result<(), Stop> {
    runtime::ask(async {
        let command = Command::Answer { request: RequestId(request), answer };
        let reply = context.client().await?.command(&command).await?;
        super::tell(context.output, &reply)
    })
}
