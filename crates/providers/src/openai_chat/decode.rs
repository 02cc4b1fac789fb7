//! OpenAI Chat Completions: the answer, streamed or whole, from the vendor and from servers that imitate it more or less
//! well. What is unknown is ignored.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use types::{Block, ModelEvent, ModelReply, ProviderError, StopReason, Usage};

use crate::{
    blocks::arguments,
    errors,
    sse::SseEvent,
    wire::{Decoder, Progress, malformed, truncated},
};

/// The type of our own item that holds a message's `reasoning_details`, which OpenRouter wants back as they came
/// (<https://openrouter.ai/docs/use-cases/reasoning-tokens>).
pub(super) const DETAILS: &str = "reasoning_details";
/// The type of our own item that holds a call's `extra_content`, in which Google's compatible interface sends signatures
/// (<https://ai.google.dev/gemini-api/docs/thought-signatures>).
pub(super) const EXTRA: &str = "extra_content";
/// The most tool calls of one answer.
const MAX_CALLS: usize = 1024;
/// The most pieces of reasoning of one answer.
const MAX_DETAILS: usize = 1024;

/// A call that is being written.
#[derive(Default)]
struct PartialCall {
    id: String,
    name: String,
    arguments: String,
    /// What a vendor has put beside the call; null when nothing.
    extra: Value,
}

/// Puts a streamed answer together.
#[derive(Default)]
pub(super) struct ChatDecoder {
    text: String,
    reasoning: String,
    details: Vec<Value>,
    refused: bool,
    calls: BTreeMap<u64, PartialCall>,
    /// The place of the call that an index means by now, where that is not the index itself.
    places: BTreeMap<u64, u64>,
    finish: Option<String>,
    done: bool,
    usage: Usage,
}

impl Decoder for ChatDecoder {
    fn event(&mut self, event: &SseEvent, seen: &mut Vec<ModelEvent>) -> Result<Progress, ProviderError> {
        if event.data.trim() == "[DONE]" {
            self.done = true;
            return Ok(Progress::Whole);
        }
        let chunk: Value =
            serde_json::from_str(&event.data).map_err(|_| malformed("an event of the answer is not JSON"))?;
        if !chunk["error"].is_null() {
            return Err(errors::from_stream(&chunk["error"]));
        }
        let choice = &chunk["choices"][0];
        let mut progress = Progress::None;
        if add_usage(&mut self.usage, &chunk["usage"]) {
            progress = Progress::Made;
        }
        if choice["delta"].is_object() {
            progress = Progress::Made;
            self.message(&choice["delta"], seen)?;
        }
        // Some servers send an empty reason until the end.
        if let Some(reason) = choice["finish_reason"].as_str().filter(|reason| !reason.is_empty()) {
            progress = Progress::Made;
            self.finish = Some(reason.to_owned());
        }
        Ok(progress)
    }

    fn finish(&mut self) -> Result<ModelReply, ProviderError> {
        // A reason makes the answer whole even if the connection ends before the last event.
        // Some servers name no reason, and only the last event says that this was all.
        let said = !self.text.is_empty() || !self.calls.is_empty();
        let unnamed = (self.done && said).then(|| "stop".to_owned());
        let reason = self.finish.take().or(unnamed).ok_or_else(truncated)?;
        Ok(self.reply(&reason))
    }

    fn usage(&self) -> Usage {
        self.usage
    }
}

impl ChatDecoder {
    /// Takes a delta, or the message of a whole answer: they have the same fields.
    fn message(&mut self, message: &Value, seen: &mut Vec<ModelEvent>) -> Result<(), ProviderError> {
        let named = message["reasoning_content"].as_str().or_else(|| message["reasoning"].as_str());
        let piece = named.map_or_else(|| thoughts_of(&message["content"]), str::to_owned);
        if !piece.is_empty() {
            self.reasoning.push_str(&piece);
            seen.push(ModelEvent::ThinkingDelta(piece));
        }
        for detail in message["reasoning_details"].as_array().into_iter().flatten() {
            self.detail(detail)?;
        }
        let content = text_of(&message["content"]);
        if !content.is_empty() {
            self.text.push_str(&content);
            seen.push(ModelEvent::TextDelta(content));
        }
        if let Some(piece) = message["refusal"].as_str().filter(|piece| !piece.is_empty()) {
            self.refused = true;
            self.text.push_str(piece);
            seen.push(ModelEvent::TextDelta(piece.to_owned()));
        }
        for (position, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
            self.call(call, position as u64, seen)?;
        }
        Ok(())
    }

    /// Takes a piece of the reasoning's own form. A piece goes on where the last one of the same place and kind ended.
    fn detail(&mut self, piece: &Value) -> Result<(), ProviderError> {
        let same = |last: &&mut Value| last["type"] == piece["type"] && last["index"] == piece["index"];
        let is_whole = piece["type"] == "reasoning.encrypted";
        let Some(last) = self.details.last_mut().filter(same).filter(|_| !is_whole) else {
            if self.details.len() >= MAX_DETAILS {
                return Err(malformed("the answer has too many pieces of reasoning"));
            }
            self.details.push(piece.clone());
            return Ok(());
        };
        for (key, value) in piece.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            match (&mut last[key], value) {
                (Value::String(text), Value::String(more)) if key == "text" || key == "summary" => text.push_str(more),
                (known, value) => *known = value.clone(),
            }
        }
        Ok(())
    }

    /// Whose piece it is. Some servers give every call the same index: another id with another name is another call.
    fn place(&mut self, piece: &Value, index: u64) -> u64 {
        let place = self.places.get(&index).copied().unwrap_or(index);
        let id = piece["id"].as_str().unwrap_or_default();
        let is_named = piece["function"]["name"].as_str().is_some_and(|name| !name.is_empty());
        let is_other = self.calls.get(&place).is_some_and(|call| !call.id.is_empty() && call.id != id);
        if id.is_empty() || !is_named || !is_other {
            return place;
        }
        let next = self.calls.last_key_value().map_or(index, |(last, _)| last.saturating_add(1));
        self.places.insert(index, next);
        next
    }

    /// Takes a piece of a call. Only the first piece has the id and the name; the index says whose piece it is.
    fn call(&mut self, piece: &Value, position: u64, seen: &mut Vec<ModelEvent>) -> Result<(), ProviderError> {
        let index = self.place(piece, piece["index"].as_u64().unwrap_or(position));
        if self.calls.len() >= MAX_CALLS && !self.calls.contains_key(&index) {
            return Err(malformed("the answer has too many tool calls"));
        }
        let call = self.calls.entry(index).or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if call.id.is_empty() {
            call.id = text(&piece["id"]);
        }
        if !piece["extra_content"].is_null() {
            call.extra = piece["extra_content"].clone();
        }
        let function = &piece["function"];
        if call.name.is_empty() {
            call.name = text(&function["name"]);
            if !call.name.is_empty() {
                seen.push(ModelEvent::ToolUseStarted { name: call.name.clone() });
            }
        }
        match &function["arguments"] {
            Value::String(piece) => call.arguments.push_str(piece),
            // Some servers give the object itself.
            object @ Value::Object(_) => call.arguments = object.to_string(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {}
        }
        Ok(())
    }

    fn reply(&mut self, reason: &str) -> ModelReply {
        let mut blocks = Vec::new();
        if !self.details.is_empty() {
            let item = json!({"type": DETAILS, "details": std::mem::take(&mut self.details)});
            blocks.push(Block::Opaque { origin: String::new(), item });
        }
        if !self.reasoning.is_empty() {
            blocks.push(Block::Thinking {
                text: std::mem::take(&mut self.reasoning),
                signature: None,
                origin: String::new(),
            });
        }
        if !self.text.is_empty() {
            blocks.push(Block::Text { text: std::mem::take(&mut self.text) });
        }
        let calls = std::mem::take(&mut self.calls);
        let called = !calls.is_empty();
        for call in calls.into_values() {
            if !call.extra.is_null() {
                let item = json!({"type": EXTRA, "extra_content": call.extra});
                blocks.push(Block::Opaque { origin: String::new(), item });
            }
            blocks.push(Block::ToolUse { id: call.id, name: call.name, input: arguments(&call.arguments) });
        }
        let stop = match reason {
            _ if self.refused => StopReason::Refusal,
            // Some servers say `stop` although they call.
            "stop" | "tool_calls" | "function_call" if called => StopReason::ToolUse,
            "stop" => StopReason::EndTurn,
            "tool_calls" | "function_call" => StopReason::ToolUse,
            "length" | "model_length" => StopReason::MaxTokens,
            "content_filter" => StopReason::Refusal,
            other => StopReason::Other(errors::bounded(other)),
        };
        ModelReply { blocks, stop, usage: self.usage }
    }
}

/// A content that is a text, or a list of parts with texts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

/// The reasoning among the parts of a content, as Mistral gives it: a part of type `thinking` with texts of its own
/// (<https://docs.mistral.ai/capabilities/reasoning/>).
fn thoughts_of(content: &Value) -> String {
    let parts = content.as_array().map(Vec::as_slice).unwrap_or_default();
    let thoughts = parts.iter().filter(|part| part["type"] == "thinking");
    thoughts.map(|part| text_of(&part["thinking"])).collect()
}

/// Reads an answer that came in one piece.
pub(super) fn whole(answer: &Value) -> Result<ModelReply, ProviderError> {
    if !answer["error"].is_null() {
        return Err(errors::from_stream(&answer["error"]));
    }
    let choice = &answer["choices"][0];
    if !choice["message"].is_object() {
        return Err(malformed("the answer has no message"));
    }
    let mut decoder = ChatDecoder::default();
    decoder.message(&choice["message"], &mut Vec::new())?;
    add_usage(&mut decoder.usage, &answer["usage"]);
    let reason = choice["finish_reason"].as_str().unwrap_or("stop").to_owned();
    Ok(decoder.reply(&reason))
}

/// The vendor's input includes what came from the cache; ours does not. Says whether anything was reported.
fn add_usage(usage: &mut Usage, report: &Value) -> bool {
    let Some(prompt) = report["prompt_tokens"].as_u64() else { return false };
    let details = &report["prompt_tokens_details"];
    let cached = details["cached_tokens"].as_u64().or_else(|| report["prompt_cache_hit_tokens"].as_u64()).unwrap_or(0);
    let written = details["cache_write_tokens"].as_u64().unwrap_or(0);
    *usage = Usage {
        input: prompt.saturating_sub(cached).saturating_sub(written),
        cache_read: cached,
        cache_write: written,
        cache_write_1h: 0,
        output: report["completion_tokens"].as_u64().unwrap_or(0),
        reasoning: report["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap_or(0),
    };
    true
}

#[cfg(test)]
mod tests {
    use types::ProviderErrorKind;

    use super::*;

    /// The answer that these events make, and whether the last of them ended it.
    fn read(events: &[&str]) -> (Result<ModelReply, ProviderErrorKind>, bool) {
        let mut decoder = ChatDecoder::default();
        let mut whole = false;
        for data in events {
            let event = SseEvent { name: String::new(), data: (*data).to_owned() };
            match decoder.event(&event, &mut Vec::new()) {
                Ok(progress) => whole = progress == Progress::Whole,
                Err(error) => return (Err(error.kind), false),
            }
        }
        (decoder.finish().map_err(|error| error.kind), whole)
    }

    const TEXT: &str = r#"{"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":""}]}"#;

    #[test]
    fn an_end_without_reason_is_an_end_if_anything_was_said() {
        let reply = ModelReply { blocks: vec![Block::text("hi")], stop: StopReason::EndTurn, usage: Usage::default() };
        assert_eq!(read(&[TEXT, "[DONE]"]), (Ok(reply), true));
        assert_eq!(read(&["[DONE]"]), (Err(ProviderErrorKind::Truncated), true));
        assert_eq!(read(&[TEXT]), (Err(ProviderErrorKind::Truncated), false));
    }

    #[test]
    fn calls_that_share_an_index_are_told_apart() {
        let call = |id: &str, name: &str, arguments: &str| {
            let function = json!({"name": name, "arguments": arguments});
            let call = json!({"index": 0, "id": id, "type": "function", "function": function});
            json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}).to_string()
        };
        let end = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#;
        let events = [
            call("a", "exec", "{\"x\""),
            call("", "", ":1}"),
            call("b", "read", "{\"y\""),
            call("b", "", ":2}"),
            end.to_owned(),
        ];
        let events: Vec<&str> = events.iter().map(String::as_str).chain(["[DONE]"]).collect();
        let calls = [("a", "exec", json!({"x": 1})), ("b", "read", json!({"y": 2}))];
        let expected =
            calls.map(|(id, name, input)| Block::ToolUse { id: id.to_owned(), name: name.to_owned(), input });
        let (reply, _) = read(&events);
        assert_eq!(reply.map(|reply| reply.blocks), Ok(expected.to_vec()));
    }

    #[test]
    fn what_a_vendor_wants_back_is_kept_as_it_came() {
        let (reply, _) = read(&[
            r#"{"choices":[{"delta":{"reasoning":"h","reasoning_details":[{"type":"reasoning.text","text":"h","index":0}]}}]}"#,
            r#"{"choices":[{"delta":{"reasoning":"m","reasoning_details":[{"type":"reasoning.text","text":"m","index":0}]}}]}"#,
            r#"{"choices":[{"delta":{"reasoning_details":[{"type":"reasoning.text","signature":"s","index":0},
                {"type":"reasoning.encrypted","data":"x","index":1},{"type":"reasoning.encrypted","data":"y","index":1}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"id":"a","extra_content":{"google":{"thought_signature":"t"}},
                "function":{"name":"exec","arguments":"{}"}}]},"finish_reason":"stop"}]}"#,
        ]);
        let details = json!([
            {"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0},
            {"type": "reasoning.encrypted", "data": "x", "index": 1},
            {"type": "reasoning.encrypted", "data": "y", "index": 1},
        ]);
        let item = |item: Value| Block::Opaque { origin: String::new(), item };
        let blocks = vec![
            item(json!({"type": DETAILS, "details": details})),
            Block::Thinking { text: "hm".to_owned(), signature: None, origin: String::new() },
            item(json!({"type": EXTRA, "extra_content": {"google": {"thought_signature": "t"}}})),
            Block::ToolUse { id: "a".to_owned(), name: "exec".to_owned(), input: json!({}) },
        ];
        assert_eq!(reply.map(|reply| reply.blocks), Ok(blocks));
    }

    #[test]
    fn thoughts_among_the_parts_are_reasoning() {
        let (reply, _) =
            read(&[r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},
                {"type":"text","text":"hi"}]},"finish_reason":"stop"}]}"#]);
        let thought = Block::Thinking { text: "hm".to_owned(), signature: None, origin: String::new() };
        assert_eq!(reply.map(|reply| reply.blocks), Ok(vec![thought, Block::text("hi")]));
    }

    #[test]
    fn oddities_of_imitators_are_borne() {
        let (reply, _) = read(&[
            r#"{"choices":[{"delta":{"role":"assistant","content":null,"tool_calls":null},"finish_reason":null}],"usage":null}"#,
            r#"{"choices":[{"delta":{"reasoning":"hm"}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"exec","arguments":null}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"","function":{"name":"","arguments":"{}"}}]}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{}}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":4}}"#,
        ]);
        let usage = Usage { input: 6, cache_read: 4, output: 5, ..Usage::default() };
        let blocks = vec![
            Block::Thinking { text: "hm".to_owned(), signature: None, origin: String::new() },
            Block::ToolUse { id: "a".to_owned(), name: "exec".to_owned(), input: serde_json::json!({}) },
        ];
        assert_eq!(reply, Ok(ModelReply { blocks, stop: StopReason::ToolUse, usage }));
    }
}
