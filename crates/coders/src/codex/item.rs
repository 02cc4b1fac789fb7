//! Items of a turn: what Codex says, thinks, runs and changes.

use serde_json::Value;

use super::shell::script;
use crate::{CoderEvent, TAIL, border::files};

/// A text of a field; empty where there is none.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The texts of a list, joined by empty lines.
fn texts(list: &Value) -> String {
    let texts: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    texts.join("\n\n")
}

/// The last [`TAIL`] bytes, at the border of a character.
pub(super) fn tail(output: &str) -> String {
    let from = output.len().saturating_sub(TAIL);
    let from = (from..=output.len()).find(|at| output.is_char_boundary(*at)).unwrap_or(output.len());
    output[from..].to_owned()
}

/// The files of a change, where it goes included.
pub(super) fn paths(item: &Value) -> Vec<String> {
    let changes = item["changes"].as_array().into_iter().flatten();
    let both = changes.flat_map(|change| [&change["path"], &change["kind"]["move_path"]]);
    files(both.filter_map(Value::as_str))
}

/// The tool that an item uses and what for; none for what is no tool.
fn tool(item: &Value) -> Option<(String, String)> {
    let kind = item["type"].as_str()?;
    let named = |tool: &str, summary: String| Some((tool.to_owned(), summary));
    match kind {
        "commandExecution" => named("command", script(&text(&item["command"]))),
        "fileChange" => named("apply_patch", paths(item).join(", ")),
        "mcpToolCall" => {
            named(&format!("{}.{}", text(&item["server"]), text(&item["tool"])), item["arguments"].to_string())
        }
        "dynamicToolCall" => named(&text(&item["tool"]), item["arguments"].to_string()),
        "collabAgentToolCall" => named(&text(&item["tool"]), text(&item["prompt"])),
        "webSearch" => named("web_search", text(&item["query"])),
        "imageView" => named("view_image", text(&item["path"])),
        "imageGeneration" => named("image_generation", text(&item["revisedPrompt"])),
        "sleep" => named("sleep", format!("{} ms", item["durationMs"].as_u64().unwrap_or(0))),
        _ => None,
    }
}

/// What the beginning of an item tells.
pub(super) fn started(item: &Value) -> Option<CoderEvent> {
    let (tool, summary) = tool(item)?;
    Some(CoderEvent::ToolStarted { id: text(&item["id"]), tool, summary })
}

/// What its end tells. `output` is what was heard of it in between, for items that do not repeat it.
pub(super) fn completed(item: &Value, output: &str) -> Vec<CoderEvent> {
    let kind = text(&item["type"]);
    if tool(item).is_some() {
        return tool_completed(item, output);
    }
    let said = |event: fn(String) -> CoderEvent, text: String| {
        if text.trim().is_empty() { Vec::new() } else { vec![event(text)] }
    };
    match kind.as_str() {
        "agentMessage" | "plan" => said(|text| CoderEvent::Text { text }, text(&item["text"])),
        "reasoning" => {
            let summary = texts(&item["summary"]);
            let thought = if summary.is_empty() { texts(&item["content"]) } else { summary };
            said(|text| CoderEvent::Thinking { text }, thought)
        }
        "userMessage" | "functionCallOutput" => Vec::new(),
        "contextCompaction" => vec![CoderEvent::Note { text: "it shortened its conversation".to_owned() }],
        _ => vec![CoderEvent::Other { kind: format!("item {kind}") }],
    }
}

fn tool_completed(item: &Value, output: &str) -> Vec<CoderEvent> {
    let status = item["status"].as_str().unwrap_or("completed");
    let ok = status == "completed" && item["success"] != false && item["exitCode"].as_i64().unwrap_or(0) == 0;
    let whole = match (item["aggregatedOutput"].as_str(), &item["error"]["message"]) {
        (Some(whole), _) => whole.to_owned(),
        (None, Value::String(error)) => error.clone(),
        (None, _) if item["result"].is_object() => item["result"]["content"].to_string(),
        (None, _) if item["contentItems"].is_array() => item["contentItems"].to_string(),
        (None, _) => output.to_owned(),
    };
    let whole = if whole.is_empty() && !ok { status.to_owned() } else { whole };
    let mut events = vec![CoderEvent::ToolFinished { id: text(&item["id"]), ok, tail: tail(&whole) }];
    if item["type"] == "fileChange" && ok {
        events.extend(paths(item).into_iter().map(|path| CoderEvent::FileChanged { path }));
    }
    events
}
