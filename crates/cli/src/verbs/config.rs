//! `factotum config`.

use daemon::offline;
use serde::Serialize;

use crate::{args::Context, error::Stop};

/// Checks or explains config.toml.
#[derive(Debug, clap::Args)]
pub struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Copy, clap::Subcommand)]
enum What {
    /// Find mistakes: the line, what is wrong, what to do
    Check,
    /// Print the JSON schema of config.toml
    Schema,
    /// Print a commented example
    Example,
    /// Print where config.toml stands
    Path,
}

/// A configuration without mistakes.
#[derive(Debug, Serialize)]
struct Checked {
    valid: bool,
    notes: Vec<String>,
}

impl Config {
    /// Checks or prints.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        let output = context.output;
        match self.what {
            What::Check => {
                let checked = Checked { valid: true, notes: offline::config_check(&context.home)? };
                output.fact(&checked, |checked| {
                    let mut lines = vec!["the configuration is valid".to_owned()];
                    lines.extend(checked.notes.iter().map(|note| format!("note: {note}")));
                    lines.join("\n")
                })
            }
            What::Schema => {
                let schema = offline::config_schema();
                // A schema is JSON either way; people get it with line breaks.
                output.fact(&schema, |schema| format!("{schema:#}"))
            }
            What::Example => output.fact(&offline::config_example(), |example| (*example).to_owned()),
            What::Path => {
                let path = offline::config_path(&context.home).display().to_string();
                output.fact(&path, String::clone)
            }
        }
    }
}
