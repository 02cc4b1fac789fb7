//! AgentDojo: makes the Python environment, builds the harness of `tests/agentdojo` and runs it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::{report, root::root, step};

/// The package with the harness.
const PACKAGE: &str = "factotum-agentdojo";
/// With it, the defences can be switched off.
const FAULTS: &str = "factotum-agentdojo/faults";
/// What every change runs: pairs, and half as many tasks without an attack.
const SLICE: &str = "40";
/// The promises without which the attacks must succeed: nothing is sent or made to persist silently.
const DEFENCES: &str = "5,22";

/// Runs the harness with these arguments.
pub fn run(arguments: &[&str]) -> Result<()> {
    let root = root()?;
    let python = environment(&root)?;
    let mut build = vec!["cargo", "build", "--quiet", "--locked", "-p", PACKAGE];
    if arguments.contains(&"--break") {
        build.extend(["--features", FAULTS]);
    }
    step::run(&root, &build, &[])?;
    harness(&root, &python, arguments)
}

/// Runs a slice, with the defence and without it. The harness must have been built with the feature `faults`.
pub fn slice() -> Result<()> {
    let root = root()?;
    let python = match environment(&root) {
        Ok(python) => python,
        Err(error) if std::env::var_os("CI").is_none() => {
            report::line(&format!("NOT RUN: AgentDojo, because its Python environment could not be made: {error:#}"));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    harness(&root, &python, &["--slice", SLICE])?;
    harness(&root, &python, &["--slice", SLICE, "--break", DEFENCES])
}

fn harness(root: &Path, python: &Path, arguments: &[&str]) -> Result<()> {
    let this = std::env::current_exe().context("find the build directory")?;
    let program = this.with_file_name("agentdojo");
    let program = program.to_str().context("the build directory's name is not UTF-8")?;
    let python = python.to_str().context("the build directory's name is not UTF-8")?;
    step::run(root, &[&[program, "--python", python], arguments].concat(), &[])
}

/// The Python with AgentDojo, installed from its pinned requirements when they have changed.
fn environment(root: &Path) -> Result<PathBuf> {
    let directory = root.join("target/agentdojo");
    let requirements = root.join("tests/agentdojo/requirements.txt");
    let wanted = fs::read(&requirements).with_context(|| format!("read {}", requirements.display()))?;
    let stamp = directory.join("installed.txt");
    let python = directory.join("bin/python");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    let place = directory.to_str().context("the build directory's name is not UTF-8")?;
    let program = python.to_str().context("the build directory's name is not UTF-8")?;
    let requirements = requirements.to_str().context("the repository's name is not UTF-8")?;
    ensure!(
        step::succeeds(&["python3", "-c", "import ensurepip, venv"]),
        "Python has no venv; on Debian and Ubuntu it is the package python3-venv"
    );
    step::run(root, &["python3", "-m", "venv", "--clear", place], &[])?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let pinned = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", requirements];
    step::run(root, &[&[program], &install[..], &pinned[..]].concat(), &[])?;
    fs::write(&stamp, wanted).with_context(|| format!("write {}", stamp.display()))?;
    Ok(python)
}
