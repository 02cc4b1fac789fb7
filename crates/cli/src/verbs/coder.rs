//! `factotum coder`: the coding agents that jobs may be given to.

use daemon::api::views::CoderView;
use types::Command;

use crate::{
    args::Context,
    error::{Stop, user},
    runtime, show,
};

/// Installs, lists and tries coding agents. Each works in a sandbox; its vendor's key stays outside.
#[derive(Debug, clap::Args)]
pub struct Coder {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Install one: `claude`, `codex` or `opencode`
    Install {
        /// Which
        coder: String,
        /// The version [default: the newest that is known]
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,
    },
    /// List them, with what each lacks
    List,
    /// Start one's program, and ask its vendor through the proxy
    Test {
        /// Its name under `[coders]`
        coder: String,
    },
    /// Install the newest version that is known, or another, beside the present one
    Update {
        /// Which
        coder: String,
        /// The version [default: the newest that is known]
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,
    },
}

impl Coder {
    /// Does what was asked.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        runtime::ask(async {
            let client = context.client().await?;
            let command = match self.what {
                What::List => return context.output.fact(&client.coders().await?, |coders| in_words(coders)),
                What::Install { coder, version } => Command::InstallCoder { coder, version },
                What::Update { coder, version } => {
                    let all = client.coders().await?;
                    let present = all.iter().find(|one| one.name == coder || one.kind == coder);
                    if present.is_none_or(|present| present.installed.is_empty()) {
                        let hint = format!("install it with `factotum coder install {coder}`");
                        return Err(user(format!("no version of `{coder}` is installed"), hint).into());
                    }
                    Command::InstallCoder { coder, version }
                }
                What::Test { coder } => Command::TestCoder { coder },
            };
            if matches!(command, Command::InstallCoder { .. }) {
                context.output.note("fetching; this may take some minutes");
            }
            super::tell(context.output, &client.command(&command).await?)
        })
    }
}

fn in_words(coders: &[CoderView]) -> String {
    let row = |coder: &CoderView| {
        let checksum = match coder.checksum_ok {
            Some(true) => "ok",
            Some(false) => "WRONG",
            None => "-",
        };
        [
            coder.name.clone(),
            coder.kind.clone(),
            coder.version.clone().unwrap_or_else(|| "-".to_owned()),
            checksum.to_owned(),
            coder.secret.clone().unwrap_or_else(|| "-".to_owned()),
            coder.program.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let rows: Vec<[String; 6]> = coders.iter().map(row).collect();
    let mut text = show::table(["NAME", "KIND", "VERSION", "CHECKSUM", "KEY", "PROGRAM"], &rows);
    for coder in coders {
        for problem in &coder.problems {
            text.push_str(&format!("\n{}: {}", coder.name, daemon::terminal::neutral(problem)));
        }
    }
    text
}
