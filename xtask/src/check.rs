//! Everything that a change must pass, in the order in which it fails fastest.

use std::time::Instant;

use anyhow::Result;

use crate::{agentdojo, licenses, report, root::root, setup, step, tidy};

/// How much is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What every change runs.
    Usual,
    /// The long suites as well: every crash point, in place of a sample.
    Full,
}

/// The features that let tests kill the binary at chosen points and switch defences off.
const FAULTS: &str = "factotum/faults,factotum-agentdojo/faults";

/// Runs everything.
pub fn run(extent: Extent) -> Result<()> {
    let begun = Instant::now();
    let root = root()?;
    setup::run()?;
    step::run(&root, &["cargo", "fmt", "--all", "--check"], &[])?;
    tidy::run()?;
    licenses::run()?;
    let clippy = ["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    step::run(&root, &clippy, &[])?;
    let full: &[(&str, &str)] = match extent {
        Extent::Usual => &[],
        Extent::Full => &[("FACTOTUM_FULL", "1")],
    };
    // The end-to-end tests start the binary that this build leaves beside them. Building and testing must name the same
    // packages and features, or the second would replace the binary by one without the crash points.
    step::run(&root, &["cargo", "build", "--workspace", "--bins", "--locked", "--features", FAULTS], &[])?;
    let runner: &[&str] = if setup::has_nextest() { &["nextest", "run"] } else { &["test"] };
    let tests = [&["cargo"], runner, &["--workspace", "--locked", "--features", FAULTS]].concat();
    step::run(&root, &tests, full)?;
    agentdojo::slice()?;
    report::line(&format!("all checks passed in {:.0} s", begun.elapsed().as_secs_f64()));
    Ok(())
}
