//! What a coding agent is doing, and how long it may do it without progress.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CoderEvent;

/// What a coding agent is doing, as far as it decides how long silence is normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It waits for a prompt, or no program runs.
    Idle,
    /// The program was started and has not spoken yet.
    Starting,
    /// Its model thinks or writes.
    Thinking,
    /// A tool runs.
    Tool,
    /// Somebody must answer a permission.
    Asking,
    /// Requests to its model fail, or it waits for the network.
    Retrying,
    /// It was told to stop.
    Stopping,
    /// It is being killed.
    Dying,
}

impl Phase {
    /// For sentences such as `made no progress while …`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Idle => "waiting for a prompt",
            Self::Starting => "starting",
            Self::Thinking => "its model worked",
            Self::Tool => "a tool ran",
            Self::Asking => "waiting for an answer",
            Self::Retrying => "requests to its model failed",
            Self::Stopping => "stopping",
            Self::Dying => "being killed",
        }
    }
}

/// How long a coding agent may go on without progress, in seconds, by what it is doing. Then it is interrupted, and killed if
/// that does not help. Keep-alives, repeated requests and empty texts are no progress. Waiting for an answer has no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StallLimits {
    /// From the start of its program to its first word.
    pub starting_s: u64,
    /// While its model thinks or writes.
    pub thinking_s: u64,
    /// While a tool runs, such as a long build.
    pub tool_s: u64,
    /// While requests to its model fail and are repeated, or the network is missing.
    pub retrying_s: u64,
    /// From an interrupt to the end of the turn.
    pub stopping_s: u64,
}

impl Default for StallLimits {
    fn default() -> Self {
        Self { starting_s: 120, thinking_s: 600, tool_s: 3600, retrying_s: 900, stopping_s: 15 }
    }
}

/// How long the supervisor may take to kill the program.
const DYING: Duration = Duration::from_secs(10);

impl StallLimits {
    /// The limit of a phase; none where silence is normal.
    pub(super) fn of(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Idle | Phase::Asking => None,
            Phase::Starting => Some(Duration::from_secs(self.starting_s)),
            Phase::Thinking => Some(Duration::from_secs(self.thinking_s)),
            Phase::Tool => Some(Duration::from_secs(self.tool_s)),
            Phase::Retrying => Some(Duration::from_secs(self.retrying_s)),
            Phase::Stopping => Some(Duration::from_secs(self.stopping_s)),
            Phase::Dying => Some(DYING),
        }
    }
}

/// Whether an event shows that work goes on. `Spent` and `Started` are judged by whoever knows what they said before.
pub(super) fn is_progress(event: &CoderEvent) -> bool {
    match event {
        CoderEvent::TextDelta { text } | CoderEvent::Text { text } | CoderEvent::Thinking { text } => !text.is_empty(),
        CoderEvent::ToolStarted { .. }
        | CoderEvent::ToolFinished { .. }
        | CoderEvent::FileChanged { .. }
        | CoderEvent::Plan { .. }
        | CoderEvent::PermissionAsked(_)
        | CoderEvent::PermissionWithdrawn { .. }
        | CoderEvent::Finished { .. } => true,
        CoderEvent::Started { .. }
        | CoderEvent::Retrying { .. }
        | CoderEvent::Waiting { .. }
        | CoderEvent::Spent(_)
        | CoderEvent::Note { .. }
        | CoderEvent::Other { .. } => false,
    }
}
