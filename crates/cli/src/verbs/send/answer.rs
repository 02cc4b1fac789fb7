//! The end of a turn as `send` reports it.

use daemon::client::Client;
use serde::Serialize;
use types::{Envelope, Event, Failure, InboxId, MicroUsd, SessionId, TurnEnd, TurnId, Usage};

use crate::{
    error::{Stop, task},
    output::Output,
};

/// How a message was answered.
#[derive(Debug, Serialize)]
pub struct Answer {
    session: Option<SessionId>,
    turn: Option<TurnId>,
    inbox: InboxId,
    end: TurnEnd,
    text: String,
    /// What changed in the workspace, in a line.
    changes: Option<String>,
    steps: u32,
    usage: Usage,
    cost_micro_usd: MicroUsd,
}

impl Answer {
    /// Reads the end of a turn; none for any other event.
    pub fn read(inbox: InboxId, envelope: Envelope) -> Option<Self> {
        let Event::TurnFinished { end, text, steps, usage, cost } = envelope.event else { return None };
        let (session, turn) = (envelope.session, envelope.turn);
        Some(Self { session, turn, inbox, end, text, changes: None, steps, usage, cost_micro_usd: cost })
    }

    /// Asks what changed in the workspace. An answer is an answer without it, so a failure only shows in the log.
    pub async fn look_up_changes(&mut self, client: &Client) {
        let Some(turn) = self.turn else { return };
        match client.turn(turn).await {
            Ok(view) => self.changes = view.changes,
            Err(failure) => tracing::warn!(error = failure.error, "what changed is not known"),
        }
    }

    fn in_words(&self) -> String {
        let text = daemon::terminal::render(&self.text);
        match &self.changes {
            Some(changes) if !self.text.contains(changes.as_str()) => {
                format!("{}\n\n{}", text.trim_end(), daemon::terminal::neutral(changes))
            }
            _ => text,
        }
    }

    /// Prints the text; an end without success is an error besides.
    pub fn print(&self, output: Output) -> Result<(), Stop> {
        output.fact(self, Self::in_words)?;
        failure(&self.end).map_or(Ok(()), |failure| Err(failure.into()))
    }
}

/// What an end without success means to the caller.
fn failure(end: &TurnEnd) -> Option<Failure> {
    match end {
        TurnEnd::Done => None,
        TurnEnd::Stopped => Some(task("the task was stopped", "send it again to start over")),
        TurnEnd::Limit { limit } => Some(task(
            format!("the task was stopped at a limit: {limit}"),
            "raise it under [budget] in config.toml, or send `go on`",
        )),
        TurnEnd::Looping { repeated } => {
            Some(task(format!("the task went in circles: {repeated}"), "say what it should do differently"))
        }
        TurnEnd::Refused => Some(task("the model refused", "put it in other words, or choose another model")),
        TurnEnd::Failed { error } => {
            Some(task(format!("the task failed: {error}"), "`factotum doctor` looks for the cause"))
        }
    }
}

#[cfg(test)]
mod tests {
    use types::FailureKind;

    use super::*;

    #[test]
    fn only_done_is_success() {
        let text = String::new;
        let failures = [
            TurnEnd::Stopped,
            TurnEnd::Limit { limit: text() },
            TurnEnd::Looping { repeated: text() },
            TurnEnd::Refused,
            TurnEnd::Failed { error: text() },
        ];
        for end in &failures {
            assert_eq!(failure(end).map(|failure| failure.kind), Some(FailureKind::Task), "{end:?}");
        }
        assert_eq!(failure(&TurnEnd::Done), None);
    }
}
