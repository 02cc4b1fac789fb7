//! `factotum attach`, `factotum terminals` and the hidden `factotum pane`.

use daemon::terminals::{self, Place, TerminalView};
use types::{Command, CommandReply};

use crate::{args::Context, error::Stop, runtime};

/// Shows the terminal of a job or of your shell. Ctrl-B d leaves it; what runs there goes on. Works over SSH and mosh.
#[derive(Debug, clap::Args)]
pub struct Attach {
    /// The number of a job, or the name of a terminal as `factotum terminals` lists it
    #[arg(value_name = "JOB")]
    place: Place,
}

/// Lists the terminals, prints what one of them shows, or closes one.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Terminals {
    #[command(subcommand)]
    what: Option<What>,
    /// Print what this one shows: the number of a job, or a name
    #[arg(value_name = "JOB")]
    place: Option<Place>,
    /// With what has scrolled away
    #[arg(long, requires = "place")]
    history: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// End a shell with everything that runs in it, or close the window of a job, which goes on
    Close {
        /// Its name as `factotum terminals` lists it, or the number of a job
        #[arg(value_name = "NAME")]
        place: Place,
    },
}

/// What runs in a terminal's window.
#[derive(Debug, clap::Args)]
pub struct Pane {
    /// Whose it is
    place: Place,
}

impl Attach {
    /// Becomes a client of the terminal.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        runtime::ask(attach(context, &self.place))
    }
}

/// Becomes a client of a terminal.
pub(super) async fn attach(context: &Context, place: &Place) -> Result<(), Stop> {
    #[expect(clippy::disallowed_methods, reason = "the kind of terminal is told by the environment alone")]
    let term = std::env::var("TERM").ok();
    match terminals::attach(&context.home, place, term.as_deref()).await? {}
}

impl Terminals {
    /// Lists them, or shows one.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        runtime::ask(async {
            if let Some(What::Close { place }) = self.what {
                return close(context, place).await;
            }
            match &self.place {
                None => context.output.fact(&terminals::list(&context.home).await?, |all| listed(all)),
                Some(place) => {
                    let screen = terminals::screen(&context.home, place, self.history).await?;
                    context.output.fact(&screen, |screen| daemon::terminal::neutral(screen.trim_end()))
                }
            }
        })
    }
}

impl Pane {
    /// Shows it until its window is closed.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        runtime::ask(async { Ok(terminals::pane(&context.home, self.place).await?) })
    }
}

async fn close(context: &Context, place: Place) -> Result<(), Stop> {
    match place {
        Place::Shell(name) => {
            let closed = context.client().await?.command(&Command::CloseShell { name }).await?;
            super::tell(context.output, &closed)
        }
        Place::Job(job) => {
            terminals::close(&context.home, &place).await;
            let text = format!("the window of job {job} is closed; `factotum attach {job}` opens it again");
            super::tell(context.output, &CommandReply::Done { text })
        }
    }
}

fn listed(all: &[TerminalView]) -> String {
    if all.is_empty() {
        return "there are no terminals".to_owned();
    }
    let line = |view: &TerminalView| {
        let state = match (view.is_alive, view.pid) {
            (false, _) => "  (what it showed has ended)",
            (true, None) => "  (in no window)",
            (true, Some(_)) => "",
        };
        format!("{}{state}", view.name)
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}
