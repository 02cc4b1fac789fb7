//! What the driver writes into the records, so that a later daemon finds it again.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{CoderCommand, Start};

use super::Phase;

/// The note of a run: what is needed to make its dialect again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RunNote {
    pub coder: String,
    #[serde(default)]
    pub start: Start,
    /// What the program is told first.
    #[serde(default)]
    pub prompt: Option<String>,
}

/// What made the driver act. Recorded without lines: the dialect takes it in when its record is read, so that it sees commands
/// and the program's lines in the order of the file, now and after a restart. The lines follow in records without a cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Cause {
    /// Somebody commanded it.
    Command {
        /// Tells its record from others.
        id: u64,
        command: CoderCommand,
    },
    /// The program made no progress in this phase for too long.
    Stalled { phase: Phase, seconds: u64 },
    /// It does not let itself be interrupted, or wants more answers than it reads: it is killed.
    Killed { why: String },
}

impl Cause {
    /// As it stands in a record.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("a cause has nothing but texts and numbers")
    }
}
