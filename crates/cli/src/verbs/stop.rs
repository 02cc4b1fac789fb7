//! `factotum stop`.

use daemon::offline;
use serde_json::json;
use types::{Command, Failure};

use crate::{args::Context, error, runtime};

/// Stops what runs, with all its processes, within two seconds. Without a session: everywhere, also the programs of jobs
/// that go on while no daemon runs.
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
            match context.client().await {
                Ok(client) => {
                    super::tell(context.output, &client.command(&Command::Stop { session: self.session }).await?)
                }
                Err(failure) if self.session.is_some() => Err(failure.into()),
                Err(failure) => stop_jobs(context, failure).await,
            }
        })
    }
}

/// What there is to stop where no daemon runs: the programs of jobs, which go on without one.
async fn stop_jobs(context: &Context, failure: Failure) -> Result<(), error::Stop> {
    // One that runs and does not answer is not stopped in this way.
    match offline::end_jobs(&context.home).await {
        Ok(ended @ 1..) => context.output.fact(&json!({ "ended_jobs": ended }), |_| {
            format!("no daemon runs; the programs of {ended} jobs were ended. The next daemon goes on with these jobs.")
        }),
        Ok(0) | Err(_) => Err(failure.into()),
    }
}
