//! The pieces of messages, which opencode tells again and again as they grow. Owns that each becomes an event once; must not
//! know requests or turns.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    CoderEvent,
    border::{MAX_PATH, MAX_TEXT},
    text,
};

/// Pieces that are kept in mind, to know them when they come again. The oldest are forgotten: they come no more, except when
/// the stream of events was lost, and then only the last messages are asked for.
const MAX_PARTS: usize = 20_000;
/// The most bytes of texts that are gathered at once.
const MAX_GATHERED: usize = 4 * 1024 * 1024;
/// Files that are known to have changed.
const MAX_CHANGED: usize = 2_000;
/// Thoughts are told in pieces of about this many bytes, so that long ones show that it goes on.
const THOUGHT: usize = 4096;

/// Whose piece it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    /// The model's, in the conversation itself.
    Model,
    /// A conversation's within the conversation: what it does counts, what it says is for the other model.
    Within,
}

#[derive(Debug)]
enum Part {
    Text { told: String, seen: usize },
    Thought { untold: String, seen: usize },
    Tool { started: bool },
    Done,
}

/// The pieces so far.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Their names rise with time.
    known: BTreeMap<String, Part>,
    changed: BTreeSet<String>,
    /// The bytes of texts and thoughts in `known`.
    gathered: usize,
    /// What the model said last.
    pub last_text: String,
}

impl Parts {
    /// A piece as it stands. Gives nothing for what was told before.
    pub fn updated(&mut self, part: &Value, voice: Voice) -> Vec<CoderEvent> {
        let Some(id) = part["id"].as_str() else { return Vec::new() };
        if matches!(self.known.get(id), Some(Part::Done)) {
            return Vec::new();
        }
        match part["type"].as_str().unwrap_or_default() {
            "text" | "reasoning" if voice == Voice::Within => Vec::new(),
            "text" => self.text(id, part),
            "reasoning" => self.thought(id, part),
            "tool" => self.tool(id, part),
            "patch" => {
                self.keep(id, Part::Done);
                let paths = part["files"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let changed = std::mem::take(&mut self.changed);
                paths.filter(|path| !changed.contains(*path)).map(file).collect()
            }
            // The rest says nothing that is not told elsewhere. New kinds are told once.
            "step-start" | "step-finish" | "snapshot" | "retry" | "compaction" | "subtask" | "agent" | "file" => {
                Vec::new()
            }
            kind => {
                self.keep(id, Part::Done);
                vec![CoderEvent::Other { kind: text::head(kind, 100).to_owned() }]
            }
        }
    }

    /// More of a piece.
    pub fn grew(&mut self, id: &str, delta: &str) -> Vec<CoderEvent> {
        match self.known.get_mut(id) {
            Some(Part::Text { told, seen }) => {
                *seen = seen.saturating_add(delta.len());
                let room = MAX_TEXT.saturating_sub(told.len()).min(MAX_GATHERED.saturating_sub(self.gathered));
                let more = text::head(delta, room);
                told.push_str(more);
                self.gathered += more.len();
                vec![CoderEvent::TextDelta { text: delta.to_owned() }]
            }
            Some(Part::Thought { untold, seen }) => {
                *seen = seen.saturating_add(delta.len());
                let before = untold.len();
                untold.push_str(delta);
                let events = thought(untold, THOUGHT);
                self.gathered = self.gathered.saturating_sub(before) + untold.len();
                events
            }
            Some(Part::Tool { .. } | Part::Done) | None => Vec::new(),
        }
    }

    /// A file was changed by one of its tools.
    pub fn edited(&mut self, path: &str) -> Option<CoderEvent> {
        let path = text::head(path, MAX_PATH);
        (self.changed.len() < MAX_CHANGED && self.changed.insert(path.to_owned())).then(|| file(path))
    }

    /// Whether this piece is told for the first time; from then on it is known.
    pub fn is_new(&mut self, id: &str) -> bool {
        let is_new = !self.known.contains_key(id);
        if is_new {
            self.keep(id, Part::Done);
        }
        is_new
    }

    /// The turn is over: what is open is told as far as it came, and nothing more of it later.
    pub fn end(&mut self) -> Vec<CoderEvent> {
        let mut events = Vec::new();
        for (id, part) in &mut self.known {
            match std::mem::replace(part, Part::Done) {
                Part::Text { told, .. } if !told.is_empty() => {
                    self.last_text.clone_from(&told);
                    events.push(CoderEvent::Text { text: told });
                }
                Part::Thought { mut untold, .. } => events.extend(thought(&mut untold, 0)),
                Part::Tool { started: true } => {
                    let tail = "it did not end".to_owned();
                    events.push(CoderEvent::ToolFinished { id: id.clone(), ok: false, tail });
                }
                Part::Text { .. } | Part::Tool { started: false } | Part::Done => {}
            }
        }
        self.changed.clear();
        self.gathered = 0;
        events
    }

    fn text(&mut self, id: &str, part: &Value) -> Vec<CoderEvent> {
        let whole = part["text"].as_str().unwrap_or_default();
        let (told, seen) = match self.known.get(id) {
            Some(Part::Text { told, seen }) => (told.as_str(), *seen),
            _ => ("", 0),
        };
        if !part["time"]["end"].is_null() {
            self.keep(id, Part::Done);
            if whole.is_empty() {
                return Vec::new();
            }
            text::head(whole, MAX_TEXT).clone_into(&mut self.last_text);
            return vec![CoderEvent::Text { text: whole.to_owned() }];
        }
        // Where pieces were lost, the difference makes up for them.
        let more =
            if whole.starts_with(told) { whole.get(seen..).unwrap_or_default().to_owned() } else { String::new() };
        let told = if whole.len() > told.len() { whole } else { told };
        let room = MAX_TEXT.min(MAX_GATHERED.saturating_sub(self.gathered));
        let told = text::head(told, room).to_owned();
        self.keep(id, Part::Text { told, seen: seen.max(whole.len()) });
        if more.is_empty() { Vec::new() } else { vec![CoderEvent::TextDelta { text: more }] }
    }

    fn thought(&mut self, id: &str, part: &Value) -> Vec<CoderEvent> {
        let whole = part["text"].as_str().unwrap_or_default();
        let (mut untold, seen) = match self.forget(id) {
            Some(Part::Thought { untold, seen }) => (untold, seen),
            _ => (String::new(), 0),
        };
        untold.push_str(whole.get(seen..).unwrap_or_default());
        let seen = seen.max(whole.len());
        let is_over = !part["time"]["end"].is_null();
        let events = thought(&mut untold, if is_over { 0 } else { THOUGHT });
        self.keep(id, if is_over { Part::Done } else { Part::Thought { untold, seen } });
        events
    }

    fn tool(&mut self, id: &str, part: &Value) -> Vec<CoderEvent> {
        let state = &part["state"];
        let started = matches!(self.known.get(id), Some(Part::Tool { started: true }));
        let status = state["status"].as_str().unwrap_or_default();
        let mut events = Vec::new();
        if status != "pending" && !started {
            let tool = part["tool"].as_str().unwrap_or_default().to_owned();
            let summary = summary(&state["input"]);
            events.push(CoderEvent::ToolStarted { id: id.to_owned(), tool, summary });
        }
        let finished = |ok, output: &Value| {
            let tail = text::tail(output.as_str().unwrap_or_default());
            CoderEvent::ToolFinished { id: id.to_owned(), ok, tail }
        };
        match status {
            "completed" => events.push(finished(went_well(part), &state["output"])),
            "error" => events.push(finished(false, &state["error"])),
            _ => {
                self.keep(id, Part::Tool { started: status != "pending" });
                return events;
            }
        }
        self.keep(id, Part::Done);
        events
    }

    fn keep(&mut self, id: &str, part: Part) {
        self.forget(id);
        self.gathered += part.bytes();
        self.known.insert(id.to_owned(), part);
        if self.known.len() > MAX_PARTS
            && let Some((_, oldest)) = self.known.pop_first()
        {
            self.gathered = self.gathered.saturating_sub(oldest.bytes());
        }
    }

    fn forget(&mut self, id: &str) -> Option<Part> {
        let part = self.known.remove(id)?;
        self.gathered = self.gathered.saturating_sub(part.bytes());
        Some(part)
    }
}

impl Part {
    fn bytes(&self) -> usize {
        match self {
            Self::Text { told, .. } => told.len(),
            Self::Thought { untold, .. } => untold.len(),
            Self::Tool { .. } | Self::Done => 0,
        }
    }
}

/// Takes whole thoughts out of what was gathered, once there are so many bytes.
fn thought(untold: &mut String, least: usize) -> Vec<CoderEvent> {
    if untold.len() < least {
        return Vec::new();
    }
    let text = std::mem::take(untold);
    if text.trim().is_empty() { Vec::new() } else { vec![CoderEvent::Thinking { text }] }
}

fn file(path: &str) -> CoderEvent {
    CoderEvent::FileChanged { path: path.to_owned() }
}

/// A command that fails is a tool that was completed.
fn went_well(part: &Value) -> bool {
    let exit = &part["state"]["metadata"]["exit"];
    let is_command = part["tool"] == "bash";
    part["tool"] != "invalid" && (!is_command || exit.as_i64() == Some(0))
}

/// What a tool does, in a line.
fn summary(input: &Value) -> String {
    let telling = ["command", "filePath", "path", "url", "pattern", "query", "description", "name", "error"];
    match telling.iter().find_map(|key| input[*key].as_str().filter(|text| !text.is_empty())) {
        Some(told) => text::summary(told),
        None if input.as_object().is_none_or(serde_json::Map::is_empty) => String::new(),
        None => text::summary(&input.to_string()),
    }
}
