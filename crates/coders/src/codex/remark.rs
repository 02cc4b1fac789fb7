//! Small things that Codex says beside its work: remarks, pieces of text, plans.

use serde_json::Value;

use super::item::text;
use crate::{CoderEvent, PlanStep};

/// The most characters of a remark.
pub(super) const MAX_NOTE: usize = 500;

/// A remark, but for what only tells of the sandbox that is off.
pub(super) fn note(message: &Value) -> Vec<CoderEvent> {
    let text: String = text(message).chars().take(MAX_NOTE).collect();
    let told = !text.is_empty() && !text.contains("bubblewrap");
    if told { vec![CoderEvent::Note { text }] } else { Vec::new() }
}

pub(super) fn delta(params: &Value) -> Vec<CoderEvent> {
    match params["delta"].as_str() {
        Some(text) if !text.is_empty() => vec![CoderEvent::TextDelta { text: text.to_owned() }],
        _ => Vec::new(),
    }
}

pub(super) fn plan(steps: &Value) -> CoderEvent {
    let steps = steps.as_array().into_iter().flatten();
    let steps = steps.map(|step| PlanStep { text: text(&step["step"]), done: step["status"] == "completed" });
    CoderEvent::Plan { steps: steps.collect() }
}

/// A line without the colours of a terminal.
pub(super) fn plain(line: &str) -> String {
    let mut pieces = line.split('\u{1b}');
    let first = pieces.next().unwrap_or_default();
    let rest = pieces.map(|piece| piece.split_once('m').map_or(piece, |(_, text)| text));
    std::iter::once(first).chain(rest).collect::<String>().trim().to_owned()
}
