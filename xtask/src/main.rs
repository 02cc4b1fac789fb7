//! The project's automation: `cargo xtask test|tidy|licenses|setup|bench|agentdojo`. It must not be needed to build or run
//! factotum. Start reading at `check` for what a change must pass, and at `tidy` for the rules of the house.
#![expect(clippy::disallowed_methods, reason = "automation starts tools and reads its environment")]

mod agentdojo;
mod bench;
mod check;
mod coders;
mod licenses;
mod metadata;
mod report;
mod root;
mod setup;
mod spdx;
mod step;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <command>
  test [--full]  everything that a change must pass; --full adds the long suites
  tidy           edges between crates, sizes, suppressions, headers, words
  licenses       licences of all dependencies against deny.toml
  setup          installs what the tests need
  bench [NAME..] benchmarks of the release binary
  agentdojo ..   AgentDojo's suites through our loop; `--help` says how to choose";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::line(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["test"] => check::run(check::Extent::Usual),
        ["test", "--full"] => check::run(check::Extent::Full),
        ["tidy"] => tidy::run(),
        ["licenses"] => licenses::run(),
        ["setup"] => setup::run(),
        ["bench", names @ ..] => bench::run(names),
        ["agentdojo", arguments @ ..] => agentdojo::run(arguments),
        _ => bail!("{USAGE}"),
    }
}
