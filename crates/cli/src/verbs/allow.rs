//! `factotum allow`: the rules by which calls are not asked about.

use types::{Allowance, AllowanceId, AllowanceScope, Command};

use crate::{args::Context, error::Stop, runtime, show};

/// Lists the rules by which calls are not asked about, and takes them back. They are made when you approve a call with
/// --task or --always, and in no other way.
#[derive(Debug, clap::Args)]
pub struct Allow {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the rules in force
    List,
    /// Take one back; the next call like it is asked about again
    Rm {
        /// Its number
        #[arg(value_name = "ID")]
        allowance: i64,
    },
}

impl Allow {
    /// Lists or takes back.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        runtime::ask(async {
            let client = context.client().await?;
            match self.what {
                What::List => context.output.fact(&client.allowances().await?, |rules| match rules.as_slice() {
                    [] => "no rule lets calls through without asking".to_owned(),
                    rules => rules.iter().map(in_words).collect::<Vec<_>>().join("\n\n"),
                }),
                What::Rm { allowance } => {
                    let command = Command::RevokeAllowance { allowance: AllowanceId(allowance) };
                    super::tell(context.output, &client.command(&command).await?)
                }
            }
        })
    }
}

fn in_words(allowance: &Allowance) -> String {
    let holds = match allowance.scope {
        AllowanceScope::Task { turn, .. } => format!("until task {turn} ends"),
        AllowanceScope::Always => "until you take it back".to_owned(),
    };
    let used = match allowance.used_at {
        Some(at) => format!("used {} times, last {}", allowance.uses, show::time(at)),
        None => "never used".to_owned(),
    };
    let rule = daemon::terminal::neutral(&allowance.text).replace('\n', "\n  ");
    format!(
        "allowance {} ({holds}; made by request {} on {}; {used})\n  {rule}",
        allowance.id,
        allowance.request,
        show::time(allowance.created_at)
    )
}
