//! The only door to standard output and standard error. Facts go to standard output, as words or as JSON; everything
//! that accompanies them goes to standard error.

use std::io::{self, Write};

use serde::Serialize;

use crate::error::{Stop, internal};

/// How facts are printed.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Words, or JSON.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether facts are printed as JSON.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints a fact: the value as one line of JSON, or in words.
    pub fn fact<T: Serialize>(self, value: &T, words: impl FnOnce(&T) -> String) -> Result<(), Stop> {
        if !self.json {
            return self.text(&words(value));
        }
        let text = serde_json::to_string(value).map_err(|error| internal(format!("no JSON can be made: {error}")))?;
        self.text(&text)
    }

    /// Prints text and ends the line if it does not end itself. Empty text prints nothing.
    pub fn text(self, text: &str) -> Result<(), Stop> {
        if text.is_empty() {
            return Ok(());
        }
        self.raw(if text.ends_with('\n') { "" } else { "\n" }, text)
    }

    /// Prints a piece of a line.
    pub fn piece(self, text: &str) -> Result<(), Stop> {
        self.raw("", text)
    }

    fn raw(self, end: &str, text: &str) -> Result<(), Stop> {
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.write_all(end.as_bytes()))
            .and_then(|()| stdout.flush())
            .map_err(Stop::from_output)
    }

    /// Tells a person something on standard error; programs that asked for JSON are not told.
    pub fn note(self, text: &str) {
        if !self.json {
            error(text);
        }
    }

    /// A question on standard error, without ending the line.
    pub fn ask(self, text: &str) {
        write_error(text);
    }
}

/// A line on standard error. When even that is closed, nobody is left to tell.
pub fn error(text: &str) {
    write_error(&format!("{text}\n"));
}

fn write_error(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
