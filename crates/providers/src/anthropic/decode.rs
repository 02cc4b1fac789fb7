//! Anthropic Messages: the answer, streamed or whole. Blocks keep the order of their indices; reasoning keeps its text
//! and signature to the byte, because both go back. What is unknown is ignored or carried, never an error.

use std::collections::BTreeMap;

use serde_json::Value;
use types::{Block, ModelEvent, ModelReply, ProviderError, StopReason, Usage};

use crate::{
    blocks::arguments,
    errors,
    sse::SseEvent,
    wire::{Decoder, Progress, malformed, truncated},
};

/// The most blocks of one answer.
const MAX_BLOCKS: usize = 4096;

/// A block that is being written.
enum Partial {
    Text(String),
    Thinking {
        text: String,
        signature: String,
    },
    ToolUse {
        id: String,
        name: String,
        start: Value,
        json: String,
    },
    /// Whole from the start: encrypted reasoning, or a block that we do not know.
    Fixed(Block),
}

/// Puts a streamed answer together.
#[derive(Default)]
pub(super) struct AnthropicDecoder {
    blocks: BTreeMap<u64, Partial>,
    stop: Option<StopReason>,
    /// What the vendor says of a refusal.
    why: Option<String>,
    usage: Usage,
    whole: bool,
}

impl Decoder for AnthropicDecoder {
    fn event(&mut self, event: &SseEvent, seen: &mut Vec<ModelEvent>) -> Result<Progress, ProviderError> {
        let data: Value =
            serde_json::from_str(&event.data).map_err(|_| malformed("an event of the answer is not JSON"))?;
        // Some gateways leave the type out of the data, some the name out of the event.
        let kind = data["type"].as_str().unwrap_or(&event.name);
        match kind {
            "message_start" => add_usage(&mut self.usage, &data["message"]["usage"]),
            "content_block_start" => self.start(&data, seen)?,
            "content_block_delta" => return self.delta(&data, seen),
            "content_block_stop" => {}
            "message_delta" => {
                if let Some(reason) = data["delta"]["stop_reason"].as_str() {
                    self.stop = Some(stop_reason(reason));
                }
                if let Some(why) = explanation(&data["delta"]) {
                    seen.push(ModelEvent::TextDelta(why.clone()));
                    self.why = Some(why);
                }
                add_usage(&mut self.usage, &data["usage"]);
            }
            "message_stop" => {
                self.whole = true;
                return Ok(Progress::Whole);
            }
            "error" => return Err(errors::from_stream(&data["error"])),
            // Pings, and events of the future.
            _ => return Ok(Progress::None),
        }
        Ok(Progress::Made)
    }

    fn finish(&mut self) -> Result<ModelReply, ProviderError> {
        if !self.whole {
            return Err(truncated());
        }
        let mut blocks: Vec<Block> = std::mem::take(&mut self.blocks).into_values().map(Partial::close).collect();
        blocks.extend(self.why.take().map(Block::text));
        let stop = self.stop.take().unwrap_or_else(|| StopReason::Other(String::new()));
        Ok(ModelReply { blocks, stop, usage: self.usage })
    }

    fn usage(&self) -> Usage {
        self.usage
    }
}

impl AnthropicDecoder {
    fn start(&mut self, data: &Value, seen: &mut Vec<ModelEvent>) -> Result<(), ProviderError> {
        let index = index(data)?;
        if self.blocks.len() >= MAX_BLOCKS || self.blocks.contains_key(&index) {
            return Err(malformed("the answer has too many blocks, or one twice"));
        }
        let partial = Partial::open(&data["content_block"]);
        match &partial {
            Partial::Text(text) if !text.is_empty() => seen.push(ModelEvent::TextDelta(text.clone())),
            Partial::Thinking { text, .. } if !text.is_empty() => seen.push(ModelEvent::ThinkingDelta(text.clone())),
            Partial::ToolUse { name, .. } => seen.push(ModelEvent::ToolUseStarted { name: name.clone() }),
            Partial::Text(_) | Partial::Thinking { .. } | Partial::Fixed(_) => {}
        }
        self.blocks.insert(index, partial);
        Ok(())
    }

    fn delta(&mut self, data: &Value, seen: &mut Vec<ModelEvent>) -> Result<Progress, ProviderError> {
        let block = self.blocks.get_mut(&index(data)?).ok_or_else(|| malformed("the answer continues no block"))?;
        let delta = &data["delta"];
        let piece = |key: &str| delta[key].as_str().unwrap_or_default();
        match (delta["type"].as_str().unwrap_or_default(), block) {
            ("text_delta", Partial::Text(text)) => {
                text.push_str(piece("text"));
                seen.push(ModelEvent::TextDelta(piece("text").to_owned()));
            }
            ("thinking_delta", Partial::Thinking { text, .. }) => {
                text.push_str(piece("thinking"));
                seen.push(ModelEvent::ThinkingDelta(piece("thinking").to_owned()));
            }
            ("signature_delta", Partial::Thinking { signature, .. }) => signature.push_str(piece("signature")),
            ("input_json_delta", Partial::ToolUse { json, .. }) => json.push_str(piece("partial_json")),
            _ => return Ok(Progress::None),
        }
        Ok(Progress::Made)
    }
}

fn index(data: &Value) -> Result<u64, ProviderError> {
    data["index"].as_u64().ok_or_else(|| malformed("a block of the answer has no index"))
}

impl Partial {
    /// A block as it starts in a stream, or as it stands in a whole answer.
    fn open(block: &Value) -> Self {
        let text = |key: &str| block[key].as_str().unwrap_or_default().to_owned();
        match block["type"].as_str().unwrap_or_default() {
            "text" => Self::Text(text("text")),
            "thinking" => Self::Thinking { text: text("thinking"), signature: text("signature") },
            "redacted_thinking" => Self::Fixed(Block::RedactedThinking { data: text("data"), origin: String::new() }),
            "tool_use" => {
                Self::ToolUse { id: text("id"), name: text("name"), start: block["input"].clone(), json: String::new() }
            }
            _ => Self::Fixed(Block::Opaque { origin: String::new(), item: block.clone() }),
        }
    }

    fn close(self) -> Block {
        match self {
            Self::Text(text) => Block::Text { text },
            Self::Thinking { text, signature } => {
                let signature = Some(signature).filter(|signature| !signature.is_empty());
                Block::Thinking { text, signature, origin: String::new() }
            }
            Self::ToolUse { id, name, start, json } => {
                // A stream starts with an empty object and writes the arguments after it; a whole answer has them at once.
                let input = if json.is_empty() && !start.is_null() { start } else { arguments(&json) };
                Block::ToolUse { id, name, input }
            }
            Self::Fixed(block) => block,
        }
    }
}

/// Reads an answer that came in one piece.
pub(super) fn whole(answer: &Value) -> Result<ModelReply, ProviderError> {
    if answer["type"] == "error" {
        return Err(errors::from_stream(&answer["error"]));
    }
    let content = answer["content"].as_array().ok_or_else(|| malformed("the answer has no content"))?;
    let mut blocks: Vec<Block> = content.iter().take(MAX_BLOCKS).map(|block| Partial::open(block).close()).collect();
    blocks.extend(explanation(answer).map(Block::text));
    let stop = answer["stop_reason"].as_str().ok_or_else(|| malformed("the answer has no stop reason"))?;
    let mut usage = Usage::default();
    add_usage(&mut usage, &answer["usage"]);
    Ok(ModelReply { blocks, stop: stop_reason(stop), usage })
}

fn stop_reason(reason: &str) -> StopReason {
    match reason {
        "end_turn" => StopReason::EndTurn,
        "tool_use" => StopReason::ToolUse,
        "max_tokens" => StopReason::MaxTokens,
        "stop_sequence" => StopReason::StopSequence,
        "pause_turn" => StopReason::PauseTurn,
        "refusal" => StopReason::Refusal,
        "model_context_window_exceeded" => StopReason::ContextFull,
        other => StopReason::Other(errors::bounded(other)),
    }
}

/// Why the vendor stopped the answer, where it says so: what it has in place of the answer.
/// <https://platform.claude.com/docs/en/api/messages>, `stop_details`.
fn explanation(stopped: &Value) -> Option<String> {
    let why = stopped["stop_details"]["explanation"].as_str()?;
    (!why.trim().is_empty()).then(|| errors::bounded(why))
}

/// Later reports are cumulative: what they name replaces what was known. The vendor's input excludes the cache.
fn add_usage(usage: &mut Usage, report: &Value) {
    let fields = [
        ("input_tokens", &mut usage.input),
        ("cache_read_input_tokens", &mut usage.cache_read),
        ("cache_creation_input_tokens", &mut usage.cache_write),
        ("output_tokens", &mut usage.output),
    ];
    for (name, field) in fields {
        if let Some(tokens) = report[name].as_u64() {
            *field = tokens;
        }
    }
    // https://platform.claude.com/docs/en/build-with-claude/prompt-caching: the parts of what was written, by how long it is kept.
    if let Some(tokens) = report["cache_creation"]["ephemeral_1h_input_tokens"].as_u64() {
        usage.cache_write_1h = tokens;
    }
    if let Some(tokens) = report["output_tokens_details"]["thinking_tokens"].as_u64() {
        usage.reasoning = tokens;
    }
}
