//! The tools that a program uses, which the protocol tells by changes. Owns that each begins and ends once.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use crate::{CoderEvent, border::files, text};

use super::permissions::{changed, command, located, named};

/// Tools that are kept in mind at once.
const MAX_OPEN: usize = 128;
/// Tools that ended, to know them when more is told of them.
const MAX_DONE: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Tools {
    open: BTreeMap<String, Tool>,
    done: VecDeque<String>,
}

/// What was told of a tool so far: of each part what it says as it was told last.
#[derive(Debug, Default)]
struct Tool {
    title: String,
    kind: Option<String>,
    status: Option<String>,
    /// The files that it says it is about, those that it shows to be changed, and the one in its arguments.
    located: Vec<String>,
    changed: Vec<String>,
    named: Option<String>,
    /// The command that it runs, in a line.
    command: Option<String>,
    /// The ends of what it shows, and of what it gave back.
    shown: String,
    output: Option<String>,
    /// Whether what it gave back tells of a failure.
    failed: bool,
    started: bool,
}

impl Tools {
    /// A tool was begun or has changed.
    pub fn updated(&mut self, update: &Value) -> Vec<CoderEvent> {
        let Some(id) = update["toolCallId"].as_str() else { return Vec::new() };
        let is_known = self.open.contains_key(id);
        if self.done.iter().any(|done| done == id) || (!is_known && self.open.len() >= MAX_OPEN) {
            return Vec::new();
        }
        let tool = self.open.entry(id.to_owned()).or_default();
        tool.take(update);
        let mut events = Vec::new();
        let status = tool.status.as_deref().unwrap_or("pending");
        if status != "pending" && !tool.started {
            tool.started = true;
            events.push(tool.began(id));
        }
        let completed = tool.status.as_deref() == Some("completed");
        if completed || tool.status.as_deref() == Some("failed") {
            let tool = self.open.remove(id).unwrap_or_default();
            if completed {
                events.extend(tool.changes());
            }
            events.push(tool.ended(id, completed));
            self.done.push_back(id.to_owned());
            if self.done.len() > MAX_DONE {
                self.done.pop_front();
            }
        }
        events
    }

    /// The turn is over, and every tool with it.
    pub fn end(&mut self) -> Vec<CoderEvent> {
        let open = std::mem::take(&mut self.open).into_iter().filter(|(_, tool)| tool.started);
        let tail = "it did not end";
        open.map(|(id, _)| CoderEvent::ToolFinished { id, ok: false, tail: tail.to_owned() }).collect()
    }
}

impl Tool {
    /// Takes in what is told of it now.
    fn take(&mut self, update: &Value) {
        if let Some(title) = update["title"].as_str() {
            self.title = text::summary(title);
        }
        if let Some(kind) = update["kind"].as_str() {
            self.kind = Some(text::summary(kind));
        }
        if let Some(status) = update["status"].as_str() {
            self.status = Some(text::summary(status));
        }
        if !update["locations"].is_null() {
            self.located = files(located(&update["locations"]));
        }
        let content = &update["content"];
        if !content.is_null() {
            self.changed = files(changed(content));
            let parts = content.as_array().into_iter().flatten();
            let shown: Vec<&str> = parts.filter_map(|part| part["content"]["text"].as_str()).collect();
            self.shown = text::tail(&shown.join("\n"));
        }
        let input = &update["rawInput"];
        if !input.is_null() {
            self.command = command(input).map(|command| text::summary(&command));
            self.named = files(named(input).into_iter()).pop();
        }
        let output = &update["rawOutput"];
        if !output.is_null() {
            self.output = output["output"].as_str().or(output.as_str()).map(text::tail);
            let exit = [&output["metadata"]["exit"], &output["exitCode"], &output["exit_code"]];
            self.failed = exit.iter().any(|exit| exit.as_i64().unwrap_or(0) != 0);
        }
    }

    /// The files that it is about.
    fn paths(&self) -> Vec<String> {
        let all = files(self.located.iter().chain(&self.changed).map(String::as_str));
        if all.is_empty() { self.named.clone().into_iter().collect() } else { all }
    }

    fn began(&self, id: &str) -> CoderEvent {
        let tool = self.kind.as_deref().filter(|kind| *kind != "other").unwrap_or(&self.title);
        let told = self.command.clone().or_else(|| self.paths().into_iter().next());
        let summary = text::summary(&told.unwrap_or_else(|| self.title.clone()));
        CoderEvent::ToolStarted { id: id.to_owned(), tool: text::summary(tool), summary }
    }

    fn ended(&self, id: &str, completed: bool) -> CoderEvent {
        let shown = match &self.output {
            Some(output) if self.shown.is_empty() => output,
            _ => &self.shown,
        };
        CoderEvent::ToolFinished { id: id.to_owned(), ok: completed && !self.failed, tail: shown.clone() }
    }

    fn changes(&self) -> Vec<CoderEvent> {
        let is_change = matches!(self.kind.as_deref(), Some("edit" | "delete" | "move"));
        let paths = if is_change || !self.changed.is_empty() { self.paths() } else { Vec::new() };
        paths.into_iter().map(|path| CoderEvent::FileChanged { path }).collect()
    }
}
