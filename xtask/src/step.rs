//! Running the tools.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};

use crate::report;

/// Runs a tool and shows what it says. The environment is ours plus `environment`.
pub fn run(root: &Path, command: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let shown = command.join(" ");
    report::line(&format!("==> {shown}"));
    let begun = Instant::now();
    let (program, arguments) = command.split_first().context("an empty command")?;
    let status = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(root)
        .status()
        .with_context(|| format!("start `{program}`"))?;
    ensure!(status.success(), "`{shown}` failed with {status}");
    report::line(&format!("    done in {:.1} s", begun.elapsed().as_secs_f64()));
    Ok(())
}

/// Whether a command succeeds; what it says is not shown.
pub fn succeeds(command: &[&str]) -> bool {
    let Some((program, arguments)) = command.split_first() else { return false };
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What a command prints.
pub fn output(root: &Path, command: &[&str]) -> Result<String> {
    let (program, arguments) = command.split_first().context("an empty command")?;
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("start `{program}`"))?;
    ensure!(output.status.success(), "`{}` failed with {}", command.join(" "), output.status);
    String::from_utf8(output.stdout).with_context(|| format!("`{program}` printed something that is not UTF-8"))
}
