//! Reading a job's records without driving it: for panes and logs. Writes nothing and orders nothing.

use sandbox::{Record, What};

use crate::{CoderCommand, CoderEvent, Registry};

use super::{
    cause::{Cause, RunNote},
    talk::Talk,
};

/// Something that a record shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// A program was started.
    Started {
        /// Which coding agent, if the record says so.
        coder: Option<String>,
        /// Its arguments.
        argv: Vec<String>,
    },
    /// The coding agent was told something.
    Told(CoderCommand),
    /// It did something.
    Did(CoderEvent),
    /// It wrote this to its standard error.
    Complained(String),
    /// A limit of time was passed, or it was killed.
    Stopped(String),
    /// Its program ended.
    Ended {
        /// Its exit code; none when a signal ended it.
        code: Option<i32>,
        /// Why it was ended from outside, where it was.
        why: Option<String>,
    },
    /// A person sat down at a terminal.
    TerminalOpened(Vec<String>),
    /// The terminal was closed.
    TerminalClosed(Option<i32>),
    /// A remark of the supervisor.
    Note(String),
}

/// Reads records in order and says what they show.
pub struct Replay {
    talk: Talk,
}

impl Replay {
    /// Before the first record.
    pub fn new(coders: Registry) -> Self {
        Self { talk: Talk::new(coders) }
    }

    /// Takes in the next record.
    pub fn take(&mut self, record: &Record) -> Vec<Shown> {
        let mut all: Vec<Shown> = self.talk.take(record).events.into_iter().map(Shown::Did).collect();
        match &record.what {
            What::Started { argv, note, .. } => {
                let note = serde_json::from_value::<RunNote>(note.clone()).ok();
                let prompt = note.as_ref().and_then(|note| note.prompt.clone());
                all.push(Shown::Started { coder: note.map(|note| note.coder), argv: argv.clone() });
                all.extend(prompt.map(|text| Shown::Told(CoderCommand::Prompt { text })));
            }
            What::In { cause, .. } => match serde_json::from_value(cause.clone()) {
                Ok(Cause::Command { command, .. }) => all.insert(0, Shown::Told(command)),
                Ok(Cause::Stalled { seconds, .. }) => {
                    all.insert(0, Shown::Stopped(format!("it made no progress for {seconds} seconds")));
                }
                Ok(Cause::Killed { why }) => all.insert(0, Shown::Stopped(why)),
                Err(_) => {}
            },
            What::Out { .. } => {}
            // What the dialect understood was said already.
            What::Err { line } if all.is_empty() => all.push(Shown::Complained(line.clone())),
            What::Err { .. } => {}
            What::Ended { code, why, .. } => all.push(Shown::Ended { code: *code, why: why.clone() }),
            What::TerminalOpened { argv } => all.push(Shown::TerminalOpened(argv.clone())),
            What::TerminalClosed { code } => all.push(Shown::TerminalClosed(*code)),
            What::Note { text } => return vec![Shown::Note(text.clone())],
        }
        all
    }
}
