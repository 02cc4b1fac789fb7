//! What all dialects do with the blocks of an answer.

use std::collections::HashSet;

use serde_json::{Map, Value, json};
use types::{Block, Message, ModelEvent, OutputSchema};

/// The arguments of a call from the characters that the model wrote. None at all are an empty object; what is no JSON
/// stays as it is, for the gate to refuse with a reason that the model can act on.
pub(crate) fn arguments(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Object(Map::new());
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// The arguments as an object, which is all that vendors take back.
pub(crate) fn arguments_object(input: &Value) -> Value {
    if input.is_object() { input.clone() } else { json!({"invalid_arguments": input}) }
}

/// The form of an answer in words, for vendors that cannot be held to a schema.
pub(crate) fn in_words(output: &OutputSchema) -> String {
    format!("Answer with one JSON object and nothing else. It must fit this JSON Schema: {}", output.schema)
}

/// The events that a stream would have brought for these blocks.
pub(crate) fn as_events(blocks: &[Block]) -> Vec<ModelEvent> {
    let events = blocks.iter().filter_map(|block| match block {
        Block::Text { text } => Some(ModelEvent::TextDelta(text.clone())),
        Block::Thinking { text, .. } => Some(ModelEvent::ThinkingDelta(text.clone())),
        Block::ToolUse { name, .. } => Some(ModelEvent::ToolUseStarted { name: name.clone() }),
        Block::Opaque { item, .. } => summary_of(item).map(ModelEvent::ThinkingDelta),
        Block::RedactedThinking { .. } | Block::ToolResult { .. } | Block::Media { .. } => None,
    });
    events.collect()
}

/// What a vendor's item shows of the reasoning that it holds: its summary, or else the reasoning itself.
pub(crate) fn summary_of(item: &Value) -> Option<String> {
    let texts = |key: &str| -> Vec<&str> {
        item[key].as_array().into_iter().flatten().filter_map(|part| part["text"].as_str()).collect()
    };
    let summary = match texts("summary") {
        summary if summary.is_empty() => texts("content").concat(),
        summary => summary.join("\n\n"),
    };
    (item["type"] == "reasoning" && !summary.is_empty()).then_some(summary)
}

/// Gives a new id to every call whose id is empty or stands in the conversation already: some servers number the calls
/// of each answer from zero, and an id must name one call alone.
pub(crate) fn unique_call_ids(blocks: &mut [Block], conversation: &[Message]) {
    let mut taken: HashSet<String> =
        conversation.iter().flat_map(|message| message.tool_uses().map(|call| call.id)).collect();
    for block in blocks {
        let Block::ToolUse { id, .. } = block else { continue };
        if id.is_empty() || taken.contains(id) {
            *id = fresh_id(&taken);
        }
        taken.insert(id.clone());
    }
}

fn fresh_id(taken: &HashSet<String>) -> String {
    let mut bytes = [0_u8; 8];
    // Without randomness the count of calls still makes the id new.
    let random = getrandom::fill(&mut bytes).map_or(0, |()| u64::from_le_bytes(bytes));
    format!("call_{random:016x}_{}", taken.len())
}
