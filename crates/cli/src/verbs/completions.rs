//! `factotum completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{
    args::{Args, Context},
    error::Stop,
};

/// Prints a completion script, for example for `~/.local/share/bash-completion/completions/factotum`.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Args::command(), "factotum", &mut script);
        context.output.text(&String::from_utf8_lossy(&script))
    }
}
