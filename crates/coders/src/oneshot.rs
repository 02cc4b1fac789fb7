//! Coding agents that take a prompt, work and end: any program by the owner's configuration, and forge. Owns how they are
//! started and what their end means. They can neither be steered nor asked, and ask nothing: what they do is bounded by their
//! sandbox alone.

mod clean;
mod dialect;
mod forge;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::{Coder, Dialect, Launch, SeedFile, Start, Transport};

use dialect::{Judge, Run};
pub use forge::Forge;

/// Where the prompt lies for programs that want it in a file, beneath the home.
const PROMPT: &str = ".prompt.md";

/// A program that the owner's configuration names.
#[derive(Clone, Debug)]
pub struct OneShot {
    command: Vec<String>,
    success: Option<String>,
}

impl OneShot {
    /// The program and its arguments. In them `{prompt}` stands for the task, `{prompt_file}` for a file that holds it,
    /// `{session}` for a name of the conversation (a UUID, the same in each round), and `{model}` for the model: where none is
    /// named, that argument is left out, and the option before it. With `success`, it did its work if one of its lines
    /// contains that text, whatever its exit code; without, if its exit code is 0.
    pub fn new(command: Vec<String>, success: Option<String>) -> Self {
        Self { command, success }
    }
}

impl Coder for OneShot {
    fn name(&self) -> &'static str {
        "oneshot"
    }

    fn launch(&self, start: &Start, prompt: Option<&str>) -> Launch {
        let prompt = prompt.unwrap_or_default();
        let argv = fill(&self.command, start, prompt);
        let seed = vec![SeedFile { path: PROMPT.to_owned(), content: prompt.to_owned(), keep: false }];
        Launch { argv, env: plain(), seed, transport: Transport::Silent }
    }

    fn dialect(&self, start: &Start) -> Box<dyn Dialect> {
        let judge = self.success.clone().map_or(Judge::ExitCode, Judge::Line);
        Box::new(Run::new("oneshot", start, judge))
    }

    /// The program as it starts by itself.
    fn interactive(&self, _start: &Start) -> Launch {
        let argv = self.command.first().cloned().into_iter().collect();
        Launch { argv, env: BTreeMap::new(), seed: Vec::new(), transport: Transport::Silent }
    }
}

/// The name of the conversation.
fn session(start: &Start) -> &str {
    start.resume.as_deref().unwrap_or(&start.fresh)
}

fn fill(command: &[String], start: &Start, prompt: &str) -> Vec<String> {
    let file = format!("{}/{PROMPT}", sandbox::HOME);
    let mut argv: Vec<String> = Vec::new();
    for word in command {
        if word.contains("{model}") && start.model.is_none() {
            if argv.len() > 1 {
                argv.pop_if(|before| before.starts_with('-'));
            }
            continue;
        }
        let model = start.model.as_deref().unwrap_or_default();
        // The prompt comes last: what stands in it is not looked at again.
        let word = word.replace("{session}", session(start)).replace("{model}", model).replace("{prompt_file}", &file);
        argv.push(word.replace("{prompt}", prompt));
    }
    argv
}

/// Text without colours, as far as programs heed it.
fn plain() -> BTreeMap<String, String> {
    [("NO_COLOR", "1"), ("TERM", "dumb"), ("CI", "1")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}
