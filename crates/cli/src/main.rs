//! The binary `factotum`: parses the command line and shows what comes of it. It has no power beyond the API and the
//! home's files: verbs speak to the daemon through `daemon::client` and to the home through `daemon::offline`. Start
//! reading at [`args::Verb`]; each verb is one file under `verbs`.

mod args;
mod error;
mod input;
mod keys;
mod logging;
mod output;
mod prompt;
mod questions;
mod runtime;
mod show;
mod verbs;
mod watch;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // The inside of a sandbox is this same program. It must neither parse arguments nor start a thread before.
    daemon::maybe_run_sandbox_init();
    #[cfg(feature = "faults")]
    break_promises();
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return error::misused(&error, error::json_is_wanted(std::env::args_os())),
    };
    let json = args.json;
    match args.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => stop.report(json),
    }
}

/// Switches off what a test wants to see broken.
#[cfg(feature = "faults")]
#[expect(clippy::disallowed_methods, reason = "a test build takes its switches from the environment")]
fn break_promises() {
    types::faults::set_broken(&std::env::var(types::faults::VARIABLE).unwrap_or_default());
}
