//! AgentDojo through our own loop: every user task and every injection, with a scripted model that obeys whatever it
//! reads. Started by `cargo xtask agentdojo`, which makes the Python environment. Read `world` for what one case is,
//! `model` for how the model obeys, and `labels.toml` for what the tools are. It must not change policy to fit the
//! benchmark.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program whose result is what it prints")]

mod bridge;
mod fill;
mod labels;
mod matrix;
mod model;
mod options;
mod plan;
mod report;
mod tool;
mod words;
mod world;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = async {
        let options = options::parse(&arguments)?;
        if let Some(numbers) = &options.broken {
            break_promises(numbers)?;
        }
        let measured = matrix::run(&options).await?;
        let text = if options.json { serde_json::to_string_pretty(&measured)? } else { report::text(&measured) };
        println!("{text}");
        report::verdict(&measured, options.broken.is_some())
    };
    match result.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agentdojo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "faults")]
fn break_promises(numbers: &str) -> anyhow::Result<()> {
    types::faults::set_broken(numbers);
    Ok(())
}

#[cfg(not(feature = "faults"))]
fn break_promises(_numbers: &str) -> anyhow::Result<()> {
    anyhow::bail!("this build cannot break its promises; build it with the feature `faults`")
}
