//! `factotum up`: the daemon in the foreground.

use daemon::{Daemon, Options};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{args::Context, error::Stop, output::Output, runtime};

/// Runs the agent in the foreground. It prints one line when it is ready, and stops in order on Ctrl-C or SIGTERM.
/// SIGUSR1 stops all tasks and leaves the daemon running.
///
/// Without a configured model, a built-in practice model answers: a script that shows the machine at work.
#[derive(Debug, clap::Args)]
pub struct Up {}

/// The readiness line. Other programs wait for it.
#[derive(Debug, Serialize)]
struct Ready {
    ready: bool,
    address: String,
    home: String,
    pid: u32,
}

impl Up {
    /// Returns when the daemon has stopped.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        runtime::serve(async {
            let daemon = Daemon::start(Options::new(&context.home)).await.map_err(|error| error.failure())?;
            for note in daemon.notes() {
                context.output.note(&format!("note: {note}"));
            }
            announce(&daemon, context.output);
            daemon.run_until(CancellationToken::new()).await;
            Ok(())
        })
    }
}

/// A daemon whose standard output is closed is still wanted, so this cannot fail.
fn announce(daemon: &Daemon, output: Output) {
    let ready = Ready {
        ready: true,
        address: format!("http://{}", daemon.addr()),
        home: daemon.home().display().to_string(),
        pid: std::process::id(),
    };
    let told = output.fact(&ready, |ready| format!("factotum ready: {} (home {})", ready.address, ready.home));
    if told.is_err() {
        tracing::warn!("standard output is closed; nobody was told that factotum is ready");
    }
}
