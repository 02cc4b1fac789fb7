//! The benchmarks. They measure the release binary, so it is built first.

use anyhow::Result;

use crate::{root::root, step};

/// Runs the named benchmarks, or all.
pub fn run(names: &[&str]) -> Result<()> {
    let root = root()?;
    step::run(&root, &["cargo", "build", "--release", "--locked", "-p", "factotum", "-p", "factotum-bench"], &[])?;
    let bench = ["cargo", "run", "--quiet", "--release", "--locked", "-p", "factotum-bench", "--"];
    step::run(&root, &[&bench, names].concat(), &[])
}
