//! What a person feels before the first message: size, `--version`, readiness, the first sandbox.

use std::{process::Stdio, time::Instant};

use anyhow::{Result, ensure};

use crate::{
    proc::{Daemon, Program},
    report::{Report, percentile},
};

/// The size of the binary.
pub fn binary(program: &Program, report: &mut Report) -> Result<()> {
    let bytes = std::fs::metadata(&program.path)?.len();
    report.aimed("binary", bytes as f64 / 1e6, "MB", 25.0, "stripped release build");
    Ok(())
}

/// `factotum --version`, against the cheapest program there is.
pub fn version(program: &Program, report: &mut Report) -> Result<()> {
    let time = |path: &std::path::Path, argument: &str| -> Result<f64> {
        let start = Instant::now();
        let status = std::process::Command::new(path).arg(argument).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "{} failed", path.display());
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    let mut ours = Vec::new();
    let mut floor = Vec::new();
    for _ in 0..50 {
        ours.push(time(&program.path, "--version")?);
        floor.push(time("/bin/true".as_ref(), "--version")?);
    }
    let (ours, floor) = (percentile(&mut ours, 0.5), percentile(&mut floor, 0.5));
    report.aimed("`--version`", ours, "ms", 5.0, format!("median of 50; `/bin/true` {floor:.2} ms in the same run"));
    Ok(())
}

/// From starting the process to its readiness line.
pub fn ready(program: &Program, report: &mut Report) -> Result<()> {
    let mut samples = Vec::new();
    for _ in 0..10 {
        samples.push(Daemon::start(program, "http://127.0.0.1:9")?.started_in.as_secs_f64() * 1e3);
    }
    let median = percentile(&mut samples, 0.5);
    report.aimed("start to ready", median, "ms", 50.0, "median of 10, each in a new home");
    Ok(())
}

/// One sandbox from nothing to its first command's end, as `doctor` times it.
pub fn sandbox(program: &Program, report: &mut Report) -> Result<()> {
    let home = tempfile::tempdir()?;
    let mut samples = Vec::new();
    for _ in 0..20 {
        let output = program.command(home.path(), &["doctor", "--json", "--only", "sandbox-start"]).output()?;
        let value: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let figure = value["sandbox_start_ms"].as_f64();
        ensure!(figure.is_some(), "doctor gave no sandbox_start_ms: {value}");
        samples.extend(figure);
    }
    report.aimed("sandbox start", percentile(&mut samples, 0.5), "ms", 25.0, "median of 20, until it takes commands");
    Ok(())
}
