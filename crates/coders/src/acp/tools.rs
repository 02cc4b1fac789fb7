//! The tools that a program uses, which the protocol tells by changes. Owns that each begins and ends once.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use crate::{CoderEvent, text};

use super::permissions::{command, paths};

/// Tools that are kept in mind at once.
const MAX_OPEN: usize = 1024;
/// Tools that ended, to know them when more is told of them.
const MAX_DONE: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Tools {
    open: BTreeMap<String, Tool>,
    done: VecDeque<String>,
}

/// What was told of a tool so far, each part as it was told last.
#[derive(Debug, Default)]
struct Tool {
    known: Value,
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
        let tool = self.open.entry(id.to_owned()).or_insert_with(|| Tool { known: Value::Null, started: false });
        for key in ["title", "kind", "status", "locations", "content", "rawInput", "rawOutput"] {
            if !update[key].is_null() {
                tool.known[key] = update[key].clone();
            }
        }
        let mut events = Vec::new();
        let status = tool.known["status"].as_str().unwrap_or("pending").to_owned();
        if status != "pending" && !tool.started {
            tool.started = true;
            events.push(started(id, &tool.known));
        }
        if matches!(status.as_str(), "completed" | "failed") {
            let known = self.open.remove(id).map(|tool| tool.known).unwrap_or_default();
            if status == "completed" {
                events.extend(changed(&known));
            }
            events.push(finished(id, &known, status == "completed"));
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

fn started(id: &str, known: &Value) -> CoderEvent {
    let title = known["title"].as_str().unwrap_or_default();
    let tool = known["kind"].as_str().filter(|kind| *kind != "other").unwrap_or(title);
    let told = command(&known["rawInput"]).or_else(|| paths(known).into_iter().next());
    let summary = text::summary(&told.unwrap_or_else(|| title.to_owned()));
    CoderEvent::ToolStarted { id: id.to_owned(), tool: text::summary(tool), summary }
}

fn finished(id: &str, known: &Value, completed: bool) -> CoderEvent {
    let output = &known["rawOutput"];
    let told: Vec<&str> =
        known["content"].as_array().into_iter().flatten().filter_map(|part| part["content"]["text"].as_str()).collect();
    let whole = match output["output"].as_str().or(output.as_str()) {
        Some(output) if told.is_empty() => output.to_owned(),
        _ => told.join("\n"),
    };
    let exit = [&output["metadata"]["exit"], &output["exitCode"], &output["exit_code"]];
    let ok = completed && exit.iter().all(|exit| exit.as_i64().unwrap_or(0) == 0);
    CoderEvent::ToolFinished { id: id.to_owned(), ok, tail: text::tail(&whole) }
}

fn changed(known: &Value) -> Vec<CoderEvent> {
    let is_change = matches!(known["kind"].as_str(), Some("edit" | "delete" | "move"));
    let has_diff = known["content"].as_array().is_some_and(|parts| parts.iter().any(|part| part["type"] == "diff"));
    let paths = if is_change || has_diff { paths(known) } else { Vec::new() };
    paths.into_iter().map(|path| CoderEvent::FileChanged { path }).collect()
}
