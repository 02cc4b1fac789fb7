//! What a coding agent can be told.

use serde::{Deserialize, Serialize};

/// An order to a coding agent. It is kept in the records with the lines that it became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum CoderCommand {
    /// Begin a turn.
    Prompt {
        /// The task.
        text: String,
    },
    /// Say something to the running turn; begins one where none runs.
    Steer {
        /// What.
        text: String,
    },
    /// End the running turn; the program stays and can be prompted again.
    Interrupt,
    /// Answer a permission.
    Answer {
        /// The number of the permission.
        permission: String,
        /// The answer.
        verdict: Verdict,
    },
    /// End the program politely.
    Close,
}

/// The answer to a permission. It lifts one use; wider answers are our gate's matter, not the program's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It may.
    Allow,
    /// It may not.
    Deny {
        /// Why, for the coding agent's model.
        why: String,
    },
}

/// A coding agent that cannot be told this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{coder} {why}")]
pub struct Unsupported {
    /// Which.
    pub coder: &'static str,
    /// Why, such as `cannot be steered while it works`.
    pub why: &'static str,
}
