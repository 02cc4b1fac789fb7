//! Why a verb ends early, and how a person or a program is told.

use std::{ffi::OsString, io, process::ExitCode};

use clap::error::ErrorKind;
use types::{Failure, FailureKind};

/// Why a verb ended early.
#[derive(Debug)]
pub enum Stop {
    /// Something failed.
    Failed(Failure),
    /// Everything was told already; the exit code alone is left to give.
    Verdict(u8),
    /// Whoever read our output has gone, as `head` does; there is nobody to tell.
    OutputClosed,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Stop {
    /// An error of writing to standard output.
    pub fn from_output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::Failed(internal(format!("standard output cannot be written: {error}")))
    }

    /// Tells standard error and gives the exit code.
    pub fn report(self, json: bool) -> ExitCode {
        match self {
            Self::Verdict(code) => ExitCode::from(code),
            Self::OutputClosed => ExitCode::SUCCESS,
            Self::Failed(failure) => {
                crate::output::error(&in_words(&failure, json));
                ExitCode::from(failure.kind.exit_code())
            }
        }
    }
}

/// A failure as two lines, or as one JSON value.
fn in_words(failure: &Failure, json: bool) -> String {
    if json && let Ok(text) = serde_json::to_string(failure) {
        return text;
    }
    let mut text = format!("error: {}", daemon::terminal::neutral(&failure.error));
    if let Some(hint) = &failure.hint {
        text.push_str(&format!("\nhint: {}", daemon::terminal::neutral(hint)));
    }
    text
}

/// Whether `--json` stands anywhere in a command line that could not be read. What follows `--` is no option.
pub fn json_is_wanted(arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

/// Ends a call that could not be read, or that only asks for help.
pub fn misused(error: &clap::Error, json: bool) -> ExitCode {
    if !json || !error.use_stderr() {
        // Nobody is left to tell when printing fails.
        let _ = error.print();
        return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    Stop::Failed(as_failure(error)).report(json)
}

/// What clap found, without its usage lines: the first paragraph says what is wrong, and a tip, if there is one, what to
/// do.
fn as_failure(error: &clap::Error) -> Failure {
    let hint = "add --help to see what can be given";
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return user("the command is not complete", hint);
    }
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let wrong: Vec<&str> = text.split("\n\n").next().unwrap_or_default().lines().map(str::trim).collect();
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    user(wrong.join(" "), tip.unwrap_or(hint))
}

/// A mistake in how the program was called, or in what was given to it.
pub fn user(error: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure { kind: FailureKind::User, error: error.into(), hint: Some(hint.into()) }
}

/// Something that is ours to mend.
pub fn internal(error: impl Into<String>) -> Failure {
    Failure { kind: FailureKind::Internal, error: error.into(), hint: None }
}

/// A task that ended without success.
pub fn task(error: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure { kind: FailureKind::Task, error: error.into(), hint: Some(hint.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_in_words_or_as_json() {
        let failure = user("there is no session 7", "`factotum sessions` lists them");
        assert_eq!(in_words(&failure, false), "error: there is no session 7\nhint: `factotum sessions` lists them");
        let value: Result<serde_json::Value, _> = serde_json::from_str(&in_words(&failure, true));
        assert_eq!(
            value.ok(),
            Some(serde_json::json!({
                "kind": "user", "error": "there is no session 7", "hint": "`factotum sessions` lists them"
            }))
        );
    }

    #[test]
    fn a_failure_cannot_command_the_terminal() {
        let words = in_words(&internal("bad \u{1b}[2J text"), false);
        assert!(!words.contains('\u{1b}'), "{words:?}");
    }
}
