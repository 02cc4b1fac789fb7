//! OpenAI Responses: the answer, streamed or whole. Items are taken when they are done, to the byte; the deltas before are what
//! the reader sees. What is unknown is carried, never an error.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use types::{Block, ModelEvent, ModelReply, ProviderError, ProviderErrorKind, StopReason, Usage};

use crate::{
    blocks::arguments,
    errors,
    sse::SseEvent,
    wire::{Decoder, Progress, malformed, truncated},
};

/// The type of our own item that holds what a message was said as (`phase`): models that name it want it back with the text.
pub(super) const PHASE: &str = "factotum_message_phase";
/// The most items of one answer.
const MAX_ITEMS: usize = 4096;

/// An item that is being written: what it began as, and what was added.
struct Partial {
    item: Value,
    text: String,
    /// A refusal instead of a text.
    refused: bool,
    done: bool,
}

/// Puts a streamed answer together.
#[derive(Default)]
pub(super) struct ResponsesDecoder {
    items: BTreeMap<u64, Partial>,
    /// The answer's frame as its last event gave it.
    last: Option<Value>,
}

impl Decoder for ResponsesDecoder {
    fn event(&mut self, event: &SseEvent, seen: &mut Vec<ModelEvent>) -> Result<Progress, ProviderError> {
        // Some servers end as Chat does; their last event has said all.
        if event.data.trim() == "[DONE]" {
            return Ok(Progress::None);
        }
        let data: Value =
            serde_json::from_str(&event.data).map_err(|_| malformed("an event of the answer is not JSON"))?;
        let kind = data["type"].as_str().unwrap_or(&event.name);
        match kind {
            "response.output_item.added" => self.begin(&data, seen)?,
            "response.output_item.done" => self.end(&data)?,
            "response.output_text.delta" => {
                let piece = self.add(&data)?;
                seen.push(ModelEvent::TextDelta(piece));
            }
            "response.refusal.delta" => {
                let piece = self.add(&data)?;
                if let Some(partial) = data["output_index"].as_u64().and_then(|index| self.items.get_mut(&index)) {
                    partial.refused = true;
                }
                seen.push(ModelEvent::TextDelta(piece));
            }
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                self.add(&data)?;
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                seen.push(ModelEvent::ThinkingDelta(data["delta"].as_str().unwrap_or_default().to_owned()));
            }
            // The parts of a summary have no line between them.
            "response.reasoning_summary_part.added" if data["summary_index"].as_u64() > Some(0) => {
                seen.push(ModelEvent::ThinkingDelta("\n\n".to_owned()));
            }
            "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
                check(&data["response"])?;
                self.last = Some(data["response"].clone());
                return Ok(Progress::Whole);
            }
            // The documented form is flat; what the vendor sends has a field of its own.
            "error" => return Err(errors::from_stream(if data["error"].is_null() { &data } else { &data["error"] })),
            // What repeats what is known, signs of life, and events of the future.
            _ => return Ok(Progress::None),
        }
        Ok(Progress::Made)
    }

    fn finish(&mut self) -> Result<ModelReply, ProviderError> {
        let last = self.last.take().ok_or_else(truncated)?;
        let items: Vec<Value> = std::mem::take(&mut self.items).into_values().map(Partial::close).collect();
        // Some servers give the items in the last event alone.
        let given = last["output"].as_array().filter(|_| items.is_empty());
        Ok(reply(&last, given.unwrap_or(&items)))
    }

    fn usage(&self) -> Usage {
        self.last.as_ref().map(|last| usage(&last["usage"])).unwrap_or_default()
    }
}

impl ResponsesDecoder {
    fn begin(&mut self, data: &Value, seen: &mut Vec<ModelEvent>) -> Result<(), ProviderError> {
        let index = index(data)?;
        if self.items.len() >= MAX_ITEMS || self.items.contains_key(&index) {
            return Err(malformed("the answer has too many items, or one twice"));
        }
        let item = data["item"].clone();
        if let ("function_call" | "custom_tool_call", Some(name)) = (kind_of(&item), item["name"].as_str()) {
            seen.push(ModelEvent::ToolUseStarted { name: name.to_owned() });
        }
        self.items.insert(index, Partial { item, text: String::new(), refused: false, done: false });
        Ok(())
    }

    /// Takes an item that is whole. One that was never announced is taken as well.
    fn end(&mut self, data: &Value) -> Result<(), ProviderError> {
        if self.items.len() >= MAX_ITEMS {
            return Err(malformed("the answer has too many items"));
        }
        let partial = Partial { item: data["item"].clone(), text: String::new(), refused: false, done: true };
        self.items.insert(index(data)?, partial);
        Ok(())
    }

    fn add(&mut self, data: &Value) -> Result<String, ProviderError> {
        let partial = self.items.get_mut(&index(data)?).ok_or_else(|| malformed("the answer continues no item"))?;
        let piece = data["delta"].as_str().unwrap_or_default();
        partial.text.push_str(piece);
        Ok(piece.to_owned())
    }
}

fn index(data: &Value) -> Result<u64, ProviderError> {
    data["output_index"].as_u64().ok_or_else(|| malformed("an item of the answer has no index"))
}

fn kind_of(item: &Value) -> &str {
    item["type"].as_str().unwrap_or_default()
}

impl Partial {
    /// The item; where its end never came, with what was added to it.
    fn close(self) -> Value {
        let Self { mut item, text, refused, done } = self;
        if done || text.is_empty() {
            return item;
        }
        match kind_of(&item) {
            "message" if refused => item["content"] = json!([{"type": "refusal", "refusal": text}]),
            "message" => item["content"] = json!([{"type": "output_text", "text": text}]),
            "function_call" => item["arguments"] = json!(text),
            "custom_tool_call" => item["input"] = json!(text),
            _ => {}
        }
        item
    }
}

/// Reads an answer that came in one piece.
pub(super) fn whole(answer: &Value) -> Result<ModelReply, ProviderError> {
    check(answer)?;
    let items = answer["output"].as_array().ok_or_else(|| malformed("the answer has no output"))?;
    Ok(reply(answer, &items[..items.len().min(MAX_ITEMS)]))
}

/// Whether the frame is one of an answer that did not fail.
fn check(frame: &Value) -> Result<(), ProviderError> {
    if !frame["error"].is_null() {
        return Err(errors::from_stream(&frame["error"]));
    }
    match frame["status"].as_str() {
        Some("failed" | "cancelled") => {
            Err(ProviderError::new(ProviderErrorKind::Server, "the vendor gave the answer up without a reason"))
        }
        Some("queued" | "in_progress") => Err(truncated()),
        _ => Ok(()),
    }
}

fn reply(frame: &Value, items: &[Value]) -> ModelReply {
    let mut blocks = Vec::new();
    let mut refused = false;
    for item in items {
        match kind_of(item) {
            "message" => refused |= message(item, &mut blocks),
            "function_call" | "custom_tool_call" => blocks.push(call(item)),
            _ => blocks.push(Block::Opaque { origin: String::new(), item: item.clone() }),
        }
    }
    let called = blocks.iter().any(|block| matches!(block, Block::ToolUse { .. }));
    let stop = match frame["incomplete_details"]["reason"].as_str() {
        _ if refused => StopReason::Refusal,
        Some("max_output_tokens") => StopReason::MaxTokens,
        Some("content_filter") => StopReason::Refusal,
        Some(other) => StopReason::Other(errors::bounded(other)),
        None if frame["status"] == "incomplete" => StopReason::Other("incomplete".to_owned()),
        None if called => StopReason::ToolUse,
        None => StopReason::EndTurn,
    };
    ModelReply { blocks, stop, usage: usage(&frame["usage"]) }
}

/// Takes a message: one text, whatever its parts, with its phase before it where it has one. Says whether it is a refusal.
fn message(item: &Value, blocks: &mut Vec<Block>) -> bool {
    let parts = item["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let said = |part: &Value| part["text"].as_str().or_else(|| part["refusal"].as_str()).unwrap_or_default().to_owned();
    let text: String = parts.iter().map(said).collect();
    if text.is_empty() {
        return false;
    }
    if let Some(phase) = item["phase"].as_str() {
        let item = json!({"type": PHASE, "phase": errors::bounded(phase)});
        blocks.push(Block::Opaque { origin: String::new(), item });
    }
    blocks.push(Block::Text { text });
    parts.iter().any(|part| part["type"] == "refusal")
}

fn call(item: &Value) -> Block {
    let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
    // A freeform call is none that we offer; its text is no object, which is said where calls are checked.
    let input = if kind_of(item) == "custom_tool_call" { item["input"].clone() } else { arguments(&text("arguments")) };
    Block::ToolUse { id: text("call_id"), name: text("name"), input }
}

/// The vendor's input includes what came from the cache and, since it charges for that, what went into it
/// (<https://developers.openai.com/api/docs/guides/prompt-caching>); ours does not.
fn usage(report: &Value) -> Usage {
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let details = &report["input_tokens_details"];
    let (cached, written) = (count(&details["cached_tokens"]), count(&details["cache_write_tokens"]));
    Usage {
        input: count(&report["input_tokens"]).saturating_sub(cached).saturating_sub(written),
        cache_read: cached,
        cache_write: written,
        output: count(&report["output_tokens"]),
        reasoning: count(&report["output_tokens_details"]["reasoning_tokens"]),
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::summary_of;

    fn read(events: &[Value]) -> (Result<ModelReply, ProviderErrorKind>, Vec<ModelEvent>) {
        let (mut decoder, mut seen) = (ResponsesDecoder::default(), Vec::new());
        for event in events {
            let event = SseEvent { name: String::new(), data: event.to_string() };
            match decoder.event(&event, &mut seen) {
                Ok(Progress::Whole) => break,
                Ok(Progress::Made | Progress::None) => {}
                Err(error) => return (Err(error.kind), seen),
            }
        }
        (decoder.finish().map_err(|error| error.kind), seen)
    }

    fn done(status: &str) -> Value {
        json!({"type": format!("response.{status}"), "response": {"status": status, "output": []}})
    }

    #[test]
    fn an_item_that_was_never_ended_keeps_what_came() {
        let (reply, _) = read(&[
            json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "content": []}}),
            json!({"type": "response.output_text.delta", "output_index": 0, "delta": "half a "}),
            json!({"type": "response.output_text.delta", "output_index": 0, "delta": "sentence"}),
            json!({"type": "response.incomplete", "response": {
                "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []}}),
        ]);
        let reply = reply.expect("the answer is cut, not broken");
        assert_eq!((reply.blocks, reply.stop), (vec![Block::text("half a sentence")], StopReason::MaxTokens));
    }

    #[test]
    fn items_may_come_in_the_last_event_alone() {
        let output = json!([{"type": "message", "content": [{"type": "output_text", "text": "hi"}]}]);
        let last = json!({"type": "response.completed", "response": {"status": "completed", "output": output}});
        let reply = read(&[last]).0.expect("the answer is whole");
        assert_eq!((reply.blocks, reply.stop), (vec![Block::text("hi")], StopReason::EndTurn));
    }

    #[test]
    fn the_phase_stands_before_its_text() {
        let content = json!([{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}]);
        let item = json!({"type": "message", "phase": "commentary", "content": content});
        let event = json!({"type": "response.output_item.done", "output_index": 0, "item": item});
        let reply = read(&[event, done("completed")]).0.expect("the answer is whole");
        let phase = Block::Opaque { origin: String::new(), item: json!({"type": PHASE, "phase": "commentary"}) };
        assert_eq!(reply.blocks, [phase, Block::text("ab")]);
    }

    #[test]
    fn reasoning_is_shown_and_kept() {
        let item = json!({"type": "reasoning", "id": "rs_1", "summary": [
            {"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}], "encrypted_content": "x"});
        let (reply, seen) = read(&[
            json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning"}}),
            json!({"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 0}),
            json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "a"}),
            json!({"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 1}),
            json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "b"}),
            json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
            done("completed"),
        ]);
        let shown: String =
            seen.iter().map(|event| if let ModelEvent::ThinkingDelta(text) = event { text } else { "" }).collect();
        assert_eq!(shown, "a\n\nb");
        assert_eq!(summary_of(&item), Some(shown));
        assert_eq!(reply.map(|reply| reply.blocks), Ok(vec![Block::Opaque { origin: String::new(), item }]));
    }

    #[test]
    fn each_token_of_the_input_counts_once() {
        let report = json!({"input_tokens": 100, "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
            "output_tokens": 20, "output_tokens_details": {"reasoning_tokens": 5}});
        let expected =
            Usage { input: 10, cache_read: 60, cache_write: 30, output: 20, reasoning: 5, ..Usage::default() };
        assert_eq!(usage(&report), expected);
    }

    #[test]
    fn failures_have_kinds() {
        let failed = |code: &str, message: &str| {
            let error = json!({"code": code, "message": message});
            read(&[json!({"type": "response.failed", "response": {"status": "failed", "error": error}})]).0
        };
        for (code, kind) in [
            ("server_error", ProviderErrorKind::Server),
            ("rate_limit_exceeded", ProviderErrorKind::RateLimited),
            ("insufficient_quota", ProviderErrorKind::Quota),
            ("context_length_exceeded", ProviderErrorKind::ContextOverflow),
            ("server_is_overloaded", ProviderErrorKind::Overloaded),
            ("invalid_prompt", ProviderErrorKind::BadRequest),
            ("invalid_encrypted_content", ProviderErrorKind::BadRequest),
            ("unsupported_image_media_type", ProviderErrorKind::BadRequest),
        ] {
            assert_eq!(failed(code, "x"), Err(kind), "{code}");
        }
        assert_eq!(read(&[done("failed")]).0, Err(ProviderErrorKind::Server));
        assert_eq!(read(&[done("cancelled")]).0, Err(ProviderErrorKind::Server));
        assert_eq!(read(&[]).0, Err(ProviderErrorKind::Truncated));
    }

    #[test]
    fn broken_events_are_errors() {
        let at = |index: Value| json!({"type": "response.output_item.added", "output_index": index, "item": {}});
        assert_eq!(read(&[at(json!(0)), at(json!(0))]).0, Err(ProviderErrorKind::Malformed));
        assert_eq!(read(&[at(Value::Null)]).0, Err(ProviderErrorKind::Malformed));
        let lost = json!({"type": "response.output_text.delta", "output_index": 3, "delta": "x"});
        assert_eq!(read(&[lost]).0, Err(ProviderErrorKind::Malformed));
    }
}
