//! `factotum attach`, `factotum terminals` and the hidden `factotum pane`.

use daemon::terminals::{self, Place, TerminalView};

use crate::{args::Context, error::Stop, runtime};

/// Shows the terminal of a job or of your shell. Ctrl-B d leaves it; what runs there goes on. Works over SSH and mosh.
#[derive(Debug, clap::Args)]
pub struct Attach {
    /// The number of a job, or the name of a terminal as `factotum terminals` lists it
    #[arg(value_name = "JOB")]
    place: Place,
}

/// Lists the terminals, or prints what one of them shows.
#[derive(Debug, clap::Args)]
pub struct Terminals {
    /// Print what this one shows: the number of a job, or a name
    #[arg(value_name = "JOB")]
    place: Option<Place>,
    /// With what has scrolled away
    #[arg(long, requires = "place")]
    history: bool,
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
        runtime::ask(attach(context, self.place))
    }
}

/// Becomes a client of a terminal.
pub(super) async fn attach(context: &Context, place: Place) -> Result<(), Stop> {
    #[expect(clippy::disallowed_methods, reason = "the kind of terminal is told by the environment alone")]
    let term = std::env::var("TERM").ok();
    match terminals::attach(&context.home, place, term.as_deref()).await? {}
}

impl Terminals {
    /// Lists them, or shows one.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        runtime::ask(async {
            match self.place {
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

fn listed(all: &[TerminalView]) -> String {
    if all.is_empty() {
        return "there are no terminals".to_owned();
    }
    let line = |view: &TerminalView| {
        let state = if view.is_alive { "" } else { "  (what it showed has ended)" };
        format!("{}{state}", view.name)
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}
