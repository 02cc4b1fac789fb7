//! `factotum approvals`, `approve`, `deny`.

use types::{Answer, Code, Command, RequestId, Scope};

use super::complete::complete;
use crate::{args::Context, error::Stop, runtime, show};

/// Lists the calls and questions that wait for you, with everything that an approval would bind.
#[derive(Debug, clap::Args)]
pub struct Approvals {}

/// Lets a call happen, once. What runs is what `factotum approvals` shows. With --task or --always the rule that is offered
/// there holds as well.
#[derive(Debug, clap::Args)]
pub struct Approve {
    /// The request's number
    #[arg(value_name = "ID")]
    request: i64,
    /// Do not ask about calls that the offered rule matches until this task ends
    #[arg(long, conflicts_with = "always")]
    task: bool,
    /// Do not ask about calls that the offered rule matches until you take it back
    #[arg(long)]
    always: bool,
    /// The digest of the rule, as the sign that you saw it; asked for at a terminal
    #[arg(long, value_name = "DIGEST", requires = "always")]
    confirm: Option<String>,
    /// The code of your authenticator app; asked for at a terminal
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
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
        let scope = match (self.task, self.always) {
            (_, true) => Scope::Always,
            (true, false) => Scope::Task,
            (false, false) => Scope::Once,
        };
        let command = Command::Answer {
            request: RequestId(self.request),
            answer: Answer::Approved { scope },
            code: self.code.map(Code::new),
            confirm: self.confirm,
        };
        send(context, command)
    }
}

impl Deny {
    /// Says no.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        send(context, Command::answer(RequestId(self.request), Answer::Denied))
    }
}

fn send(context: &Context, command: Command) -> Result<(), Stop> {
    runtime::ask(async {
        let client = context.client().await?;
        let reply = complete(context, &client, command).await?;
        super::tell(context.output, &reply)
    })
}
