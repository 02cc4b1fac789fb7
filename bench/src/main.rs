//! Benchmarks of the release binary, each beside its aim and, where there is one, a floor measured in the same run.
//!
//! `cargo run --release -p factotum-bench [-- NAME...]` runs them all, or the named ones, and prints a table in
//! Markdown. Nothing here passes or fails by time.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark starts the program under test, opens its own sockets and prints its figures"
)]

mod api;
mod growth;
mod proc;
mod proxy;
mod report;
mod startup;
mod supervisor;
mod turns;

use anyhow::{Context, Result};

use crate::report::Report;

/// One benchmark: its name on the command line, and what it does.
type Bench = (&'static str, fn(&proc::Program, &mut Report) -> Result<()>);

const BENCHES: &[Bench] = &[
    ("binary", startup::binary),
    ("version", startup::version),
    ("ready", startup::ready),
    ("sandbox", startup::sandbox),
    ("proxy", proxy::way_out),
    ("supervisor", supervisor::jobs),
    ("prompt", turns::prompt),
    ("turn", turns::latency),
    ("concurrent", turns::concurrent),
    ("growth", growth::thousand_turns),
    ("idle", growth::idle),
];

fn main() -> Result<()> {
    // The client of the API speaks plain HTTP, but cannot be built without one. An error means that one is there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| !BENCHES.iter().any(|(known, _)| known == name)) {
        let known: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
        anyhow::bail!("there is no benchmark `{unknown}`; there are {}", known.join(", "));
    }
    let program = proc::Program::find().context("find the release binary")?;
    let mut report = Report::default();
    for (name, run) in BENCHES {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            run(&program, &mut report).with_context(|| format!("run the benchmark `{name}`"))?;
        }
    }
    println!("{report}");
    Ok(())
}
