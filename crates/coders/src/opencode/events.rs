//! What opencode's server tells by its stream of events, and again where pieces of that were lost. Owns what each event does to
//! the conversation.

use serde_json::Value;

use crate::{
    CoderEvent, Heard, PlanStep, Trouble,
    border::{MAX_LINE, MAX_STEPS},
    text, trouble,
};

use super::{dialect::Conversation, errors, messages::Kind, parts::Voice};

impl Conversation {
    /// An event of the stream.
    pub(super) fn event(&mut self, event: &Value) -> Heard {
        self.silent_streams = 0;
        let about = &event["properties"];
        let kind = event["type"].as_str().unwrap_or_default();
        match kind {
            "server.connected" => self.connected(),
            "session.created" | "session.updated" => {
                self.messages.met(&about["info"]);
                let is_of_ours = self.messages.is_of_ours(&about["info"]["id"]);
                let spent = if is_of_ours { self.spend.session(&about["info"]) } else { None };
                Heard::told(spent.map(CoderEvent::Spent))
            }
            "message.updated" if self.messages.is_of_ours(&about["info"]["sessionID"]) => self.message(&about["info"]),
            "message.part.updated" if self.messages.is_of_ours(&about["part"]["sessionID"]) => {
                self.part(&about["part"])
            }
            "message.part.delta" if self.messages.is_ours(&about["sessionID"]) && about["field"] == "text" => {
                let part = about["partID"].as_str().unwrap_or_default();
                Heard::told(self.parts.grew(part, about["delta"].as_str().unwrap_or_default()))
            }
            "permission.asked" | "question.asked" => Heard::told(self.asked(about)),
            "permission.replied" | "question.replied" | "question.rejected" => {
                Heard::told(about["requestID"].as_str().and_then(|id| self.permissions.settled(id)))
            }
            "session.status" if self.messages.is_ours(&about["sessionID"]) => self.status(&about["status"]),
            "session.idle" if self.messages.is_ours(&about["sessionID"]) => self.idle(),
            "session.error" if about["sessionID"].is_null() || self.messages.is_ours(&about["sessionID"]) => {
                self.error(&about["error"]);
                Heard::default()
            }
            "session.compacted" if self.messages.is_ours(&about["sessionID"]) => {
                Heard::told([CoderEvent::Note { text: "its conversation was too long and was summed up".to_owned() }])
            }
            "todo.updated" if self.messages.is_ours(&about["sessionID"]) => Heard::told([plan(&about["todos"])]),
            "file.edited" => Heard::told(about["file"].as_str().and_then(|path| self.parts.edited(path))),
            _ if is_silent(kind) => Heard::default(),
            kind => Heard::told([CoderEvent::Other { kind: text::head(kind, 100).to_owned() }]),
        }
    }

    pub(super) fn message(&mut self, info: &Value) -> Heard {
        let kind = self.messages.noted(info);
        let is_ours = self.messages.is_ours(&info["sessionID"]);
        if is_ours && kind == Some(Kind::Assistant) {
            let id = info["id"].as_str().map(str::to_owned);
            if self.said < id {
                self.said = id;
                self.parts.last_text.clear();
            }
        }
        if is_ours && kind != Some(Kind::User) && self.said.as_deref() <= info["id"].as_str() {
            self.answering = info["time"]["completed"].is_null() && info["error"].is_null();
        }
        let is_of_turn = self.before.as_deref() < info["id"].as_str();
        if is_ours && is_of_turn && self.turn.is_busy() && !info["error"].is_null() {
            self.error(&info["error"]);
        }
        Heard::default()
    }

    pub(super) fn part(&mut self, part: &Value) -> Heard {
        let kind = self.messages.kind(&part["messageID"]);
        let is_ours = self.messages.is_ours(&part["sessionID"]);
        if kind == Some(Kind::User) {
            // Texts that opencode makes up by itself are marked.
            let is_prompt = is_ours && part["type"] == "text" && part["synthetic"] != true;
            if is_prompt && part["id"].as_str().is_some_and(|id| self.parts.is_new(id)) {
                self.turn.taken_up();
            }
            return Heard::default();
        }
        if part["type"] == "step-finish" {
            let is_new = part["id"].as_str().is_some_and(|id| self.parts.is_new(id));
            if !is_new {
                return Heard::default();
            }
            if is_ours && kind != Some(Kind::Summary) {
                self.turn.step_ended(part["reason"].as_str().unwrap_or_default());
            }
            return Heard::told(self.spend.step(part).map(CoderEvent::Spent));
        }
        let voice = if is_ours && kind != Some(Kind::Summary) { Voice::Model } else { Voice::Within };
        // Between turns only the late remains of the one before come.
        if is_ours && !self.turn.is_busy() {
            return Heard::default();
        }
        Heard::told(self.parts.updated(part, voice))
    }

    pub(super) fn asked(&mut self, asked: &Value) -> Option<CoderEvent> {
        let may_ask = self.messages.is_of_ours(&asked["sessionID"]) && self.turn.is_busy();
        if may_ask { self.permissions.asked(asked) } else { None }
    }

    fn status(&mut self, status: &Value) -> Heard {
        match status["type"].as_str().unwrap_or_default() {
            "busy" => {
                self.turn.works();
                Heard::wrote(self.abort_if(self.turn.halted))
            }
            "retry" => {
                self.turn.works();
                let error = text::message(status["message"].as_str().unwrap_or_default());
                let attempt = status["attempt"].as_u64().and_then(|attempt| attempt.try_into().ok());
                let mut lines = Vec::new();
                if trouble::is_quota(&error) {
                    self.turn.give_up(Trouble::Quota, error.clone());
                    lines = self.abort_if(true);
                }
                // It says until when, by a clock that nobody else can read.
                Heard { events: vec![CoderEvent::Retrying { attempt, wait_ms: None, error }], lines, broken: None }
            }
            _ => Heard::default(),
        }
    }

    fn idle(&mut self) -> Heard {
        // After a failure it is idle twice. Before the message is closed, the server takes a prompt and forgets it.
        self.finish_if(self.turn.is_over_when_idle() && !self.answering)
    }

    /// Which conversations work; those that do not are absent.
    pub(super) fn status_known(&mut self, body: &Value) -> Heard {
        let is_idle = self.messages.session().is_none_or(|id| matches!(body[id]["type"].as_str(), None | Some("idle")));
        if !is_idle {
            self.turn.works();
            return Heard::wrote(self.abort_if(self.turn.halted));
        }
        self.finish_if(self.turn.is_over_when_idle())
    }

    fn error(&mut self, error: &Value) {
        if error["name"] == "MessageAbortedError" {
            self.turn.was_aborted();
        } else {
            let (trouble, message) = errors::trouble(error);
            self.turn.failed(trouble, message);
        }
    }
}

fn plan(todos: &Value) -> CoderEvent {
    let step = |todo: &Value| PlanStep {
        text: text::head(todo["content"].as_str().unwrap_or_default(), MAX_LINE).to_owned(),
        done: matches!(todo["status"].as_str(), Some("completed" | "cancelled")),
    };
    CoderEvent::Plan { steps: todos.as_array().into_iter().flatten().take(MAX_STEPS).map(step).collect() }
}

/// Names of events that say nothing to us.
fn is_silent(kind: &str) -> bool {
    let families = [
        "catalog.",
        "command.",
        "file.",
        "installation.",
        "integration.",
        "lsp.",
        "mcp.",
        "message.",
        "models-dev.",
        "permission.",
        "plugin.",
        "project.",
        "pty.",
        "question.",
        "reference.",
        "server.",
        "session.",
        "todo.",
        "tui.",
        "vcs.",
        "workspace.",
        "worktree.",
    ];
    families.iter().any(|family| kind.starts_with(family))
}
