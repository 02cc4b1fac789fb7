//! Ollama's own interface: the answer, in lines of JSON or in one piece. What is unknown is ignored.

use serde_json::{Value, json};
use types::{Block, ModelEvent, ModelReply, ProviderError, StopReason, Usage};

use crate::{
    blocks::arguments,
    errors,
    sse::SseEvent,
    wire::{Decoder, Progress, malformed, truncated},
};

/// The most blocks of one answer.
const MAX_BLOCKS: usize = 4096;

/// Puts a streamed answer together.
#[derive(Default)]
pub(super) struct OllamaDecoder {
    blocks: Vec<Block>,
    done: bool,
    reason: String,
    usage: Usage,
}

impl Decoder for OllamaDecoder {
    fn event(&mut self, event: &SseEvent, seen: &mut Vec<ModelEvent>) -> Result<Progress, ProviderError> {
        let line: Value =
            serde_json::from_str(&event.data).map_err(|_| malformed("a line of the answer is not JSON"))?;
        self.line(&line, seen)
    }

    fn finish(&mut self) -> Result<ModelReply, ProviderError> {
        if !self.done {
            return Err(truncated());
        }
        let blocks = std::mem::take(&mut self.blocks);
        let called = blocks.iter().any(|block| matches!(block, Block::ToolUse { .. }));
        let stop = match self.reason.as_str() {
            // Older servers give no reason.
            "stop" | "" if called => StopReason::ToolUse,
            "stop" | "" => StopReason::EndTurn,
            "length" => StopReason::MaxTokens,
            // Nothing was asked of the model, although it was.
            "load" | "unload" => return Err(malformed("the server loaded the model and gave no answer")),
            other => StopReason::Other(errors::bounded(other)),
        };
        Ok(ModelReply { blocks, stop, usage: self.usage })
    }

    fn usage(&self) -> Usage {
        self.usage
    }
}

impl OllamaDecoder {
    /// Takes a line of a stream, or a whole answer: they have the same form.
    fn line(&mut self, line: &Value, seen: &mut Vec<ModelEvent>) -> Result<Progress, ProviderError> {
        if !line.is_object() {
            return Err(malformed("a line of the answer is no object"));
        }
        if !line["error"].is_null() {
            return Err(errors::from_stream(&line["error"]));
        }
        let message = &line["message"];
        let piece = |key: &str| message[key].as_str().unwrap_or_default();
        self.thinking(piece("thinking"), seen)?;
        self.text(piece("content"), seen)?;
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            self.call(call, seen)?;
        }
        if line["done"] != true {
            return Ok(if message.is_object() { Progress::Made } else { Progress::None });
        }
        self.done = true;
        line["done_reason"].as_str().unwrap_or_default().clone_into(&mut self.reason);
        // Absent where nothing had to be read or said.
        self.usage.input = line["prompt_eval_count"].as_u64().unwrap_or(0);
        self.usage.output = line["eval_count"].as_u64().unwrap_or(0);
        Ok(Progress::Whole)
    }

    fn text(&mut self, piece: &str, seen: &mut Vec<ModelEvent>) -> Result<(), ProviderError> {
        if piece.is_empty() {
            return Ok(());
        }
        seen.push(ModelEvent::TextDelta(piece.to_owned()));
        if let Some(Block::Text { text }) = self.blocks.last_mut() {
            text.push_str(piece);
            return Ok(());
        }
        self.push(Block::text(piece))
    }

    fn thinking(&mut self, piece: &str, seen: &mut Vec<ModelEvent>) -> Result<(), ProviderError> {
        if piece.is_empty() {
            return Ok(());
        }
        seen.push(ModelEvent::ThinkingDelta(piece.to_owned()));
        if let Some(Block::Thinking { text, .. }) = self.blocks.last_mut() {
            text.push_str(piece);
            return Ok(());
        }
        self.push(Block::Thinking { text: piece.to_owned(), signature: None, origin: String::new() })
    }

    /// Takes a call, which always comes whole. Older servers give it no id.
    fn call(&mut self, call: &Value, seen: &mut Vec<ModelEvent>) -> Result<(), ProviderError> {
        let function = &call["function"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&function["name"]);
        let input = match &function["arguments"] {
            Value::Null => json!({}),
            // Imitators write them as a text.
            Value::String(written) => arguments(written),
            given => given.clone(),
        };
        seen.push(ModelEvent::ToolUseStarted { name: name.clone() });
        self.push(Block::ToolUse { id: text(&call["id"]), name, input })
    }

    fn push(&mut self, block: Block) -> Result<(), ProviderError> {
        if self.blocks.len() >= MAX_BLOCKS {
            return Err(malformed("the answer has too many blocks"));
        }
        self.blocks.push(block);
        Ok(())
    }
}

/// Reads an answer that came in one piece.
pub(super) fn whole(answer: &Value) -> Result<ModelReply, ProviderError> {
    let mut decoder = OllamaDecoder::default();
    match decoder.line(answer, &mut Vec::new())? {
        Progress::Whole => decoder.finish(),
        Progress::Made | Progress::None => Err(malformed("the answer does not say that it is done")),
    }
}

#[cfg(test)]
mod tests;
