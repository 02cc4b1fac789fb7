//! Where a turn stands, read from the store each time round.

use store::{Author, CallRecord, CallState, NewMessage, StoreError, StoredMessage};
use types::{Block, Label, Message, Role, ToolCall, ToolEnd, ToolOutput};

use crate::{
    context,
    progress::Progress,
    repetition::{self, Done, Verdict},
    run::Run,
};

/// Everything durable that the next step depends on.
pub(crate) struct State {
    /// The session's messages since the last summary.
    pub rows: Vec<StoredMessage>,
    /// The turn's calls.
    pub calls: Vec<CallRecord>,
    pub progress: Progress,
    pub constraints: Vec<String>,
}

/// The results of the last answer's calls.
#[derive(Clone)]
pub(crate) struct Results {
    pub message: NewMessage,
    pub verdict: Verdict,
}

impl State {
    pub(crate) fn load(run: &Run<'_>) -> Result<Self, StoreError> {
        let store = &run.deps.store;
        Ok(Self {
            rows: store.context(run.session)?,
            calls: store.calls(run.turn.id)?,
            progress: Progress::load(store, run.session, run.turn.id)?,
            constraints: store.constraints(run.session)?,
        })
    }

    /// The conversation for the model.
    pub(crate) fn messages(&self) -> Vec<Message> {
        context::build(&self.rows, &self.constraints)
    }

    /// The calls of the last answer, in its order, if their results are not in the conversation yet.
    pub(crate) fn unanswered(&self, run: &Run<'_>) -> Vec<CallRecord> {
        let Some(last) = self.rows.last().filter(|row| row.turn == Some(run.turn.id)) else { return Vec::new() };
        if last.role != Role::Assistant {
            return Vec::new();
        }
        let message = Message { role: last.role, blocks: last.blocks.clone() };
        message.tool_uses().map(|call| self.record(run, call)).collect()
    }

    fn record(&self, run: &Run<'_>, call: ToolCall) -> CallRecord {
        let known = self.calls.iter().rfind(|record| record.call.id == call.id);
        known.cloned().unwrap_or_else(|| CallRecord {
            turn: run.turn.id,
            step: 0,
            call,
            state: CallState::Planned,
            summary: String::new(),
            read_only: false,
            output: None,
        })
    }

    /// The message with the results of these calls, which all have finished.
    pub(crate) fn results(&self, run: &Run<'_>, answered: &[CallRecord]) -> Results {
        let done = Done::of(&self.calls);
        let series: Vec<Done> = done.iter().map(|(_, done)| done.clone()).collect();
        let mut verdict = Verdict::Fine;
        let mut label = Label::CLEAN;
        let mut blocks = Vec::new();
        for record in answered {
            let (mut content, is_error) = shown(record);
            label = label.join(record.output.as_ref().map_or(Label::CLEAN, |output| output.label));
            if let Some(at) = done.iter().position(|(id, _)| *id == record.call.id) {
                verdict = repetition::judge(&series[..=at]);
                content.push_str(&warning(&verdict));
            }
            blocks.push(Block::ToolResult { call: record.call.id.clone(), content, is_error });
        }
        let message = NewMessage {
            session: run.session,
            turn: Some(run.turn.id),
            role: Role::User,
            blocks,
            author: Author::Tool,
            label,
            kind: store::MessageKind::Normal,
        };
        Results { message, verdict }
    }

    /// What the model has said last in this turn. The pieces of an answer that was cut off or paused are one text.
    pub(crate) fn last_text(&self, run: &Run<'_>) -> String {
        let mut pieces: Vec<String> = Vec::new();
        for row in self.rows.iter().rev().take_while(|row| row.turn == Some(run.turn.id)) {
            match row.author {
                Author::Model => {
                    let text = Message { role: row.role, blocks: row.blocks.clone() }.text();
                    if !text.trim().is_empty() {
                        pieces.push(text);
                    }
                }
                Author::System => {}
                Author::Owner | Author::Tool if pieces.is_empty() => {}
                Author::Owner | Author::Tool => break,
            }
        }
        pieces.reverse();
        pieces.concat()
    }
}

/// The text of a finished call and whether it is an error.
fn shown(record: &CallRecord) -> (String, bool) {
    let failed = !matches!(record.state, CallState::Finished(ToolEnd::Ok));
    match &record.output {
        Some(ToolOutput { text, is_error, .. }) if text.trim().is_empty() => {
            ("(no output)".to_owned(), failed || *is_error)
        }
        Some(output) => (output.text.clone(), failed || output.is_error),
        None => ("no result".to_owned(), true),
    }
}

/// What is added to a result for the model's eyes. It is not part of the stored result, which is compared.
fn warning(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Fine => String::new(),
        Verdict::Repeated(times) => format!(
            "\n[Note: the same calls gave the same results {times} times in a row. Do something else, or say what keeps \
             you from going on; the task is ended if this goes on.]"
        ),
        Verdict::Looping => {
            "\n[Note: the same calls gave the same results again and again; the task is ended.]".to_owned()
        }
    }
}
