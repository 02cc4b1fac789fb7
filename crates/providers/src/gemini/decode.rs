//! Google Gemini: the answer, streamed or whole. A stream has no last event: its end is the body's, and it is whole when a reason
//! for the stop was given.
//!
//! Any part may carry a signature, which must go back on the very same part
//! (<https://ai.google.dev/gemini-api/docs/thought-signatures>). Our blocks have no place for it, so a note stands directly before
//! the block: an opaque item with the signature of a call, or with the lengths of the parts that a text came in and their
//! signatures. A text that came in pieces stays one text. Other parts that carry a signature, and parts that we do not know, are
//! opaque items themselves.

use serde_json::{Value, json};
use types::{Block, ModelEvent, ModelReply, ProviderError, StopReason, Usage};

use crate::{
    errors,
    sse::SseEvent,
    wire::{Decoder, Progress, malformed, truncated},
};

/// The most parts of one answer that are kept apart.
const MAX_PARTS: usize = 4096;

/// Whether the item says something about the block behind it, and is no part itself.
pub(super) fn is_note(item: &Value) -> bool {
    let Some(fields) = item.as_object() else { return false };
    fields.len() == 1 && (fields.contains_key("thoughtSignature") || fields.contains_key("textParts"))
}

/// The parts that a text came in. A note that does not fit the text signs all of it, with the last signature.
pub(super) fn text_parts(text: &str, note: Option<&Value>) -> Vec<Value> {
    let Some(lengths) = note.and_then(|note| note["textParts"].as_array()) else { return vec![json!({"text": text})] };
    let signed = |text: &str, signature: &Value| match signature.as_str() {
        Some(signature) => json!({"text": text, "thoughtSignature": signature}),
        None => json!({"text": text}),
    };
    let mut parts = Vec::with_capacity(lengths.len());
    let mut rest = text;
    for part in lengths {
        let length = part["bytes"].as_u64().and_then(|length| usize::try_from(length).ok());
        let Some((piece, left)) = length.and_then(|length| rest.split_at_checked(length)) else { break };
        parts.push(signed(piece, &part["thoughtSignature"]));
        rest = left;
    }
    if rest.is_empty() && parts.len() == lengths.len() {
        return parts;
    }
    let last = lengths.iter().rev().map(|part| &part["thoughtSignature"]).find(|signature| signature.is_string());
    vec![signed(text, last.unwrap_or(&Value::Null))]
}

/// A part, or several parts of text, of an answer that is being written.
enum Piece {
    /// Text, with the length of each part in bytes and its signature.
    Text {
        text: String,
        parts: Vec<(usize, Option<String>)>,
    },
    Thought {
        text: String,
        signature: Option<String>,
    },
    Call {
        block: Block,
        signature: Option<String>,
    },
    /// A part that we do not know.
    Other(Value),
}

impl Piece {
    fn into_blocks(self) -> Vec<Block> {
        let opaque = |item: Value| Block::Opaque { origin: String::new(), item };
        match self {
            Self::Text { text, parts } => {
                let signed = parts.iter().any(|(_, signature)| signature.is_some());
                // A signature on nothing: there is no block that it could stand before.
                if text.is_empty() {
                    let alone = parts.into_iter().filter_map(|(_, signature)| signature);
                    return alone.map(|alone| opaque(json!({"text": "", "thoughtSignature": alone}))).collect();
                }
                let mut blocks = Vec::with_capacity(2);
                if signed {
                    let parts = parts.into_iter().map(|(bytes, signature)| match signature {
                        Some(signature) => json!({"bytes": bytes, "thoughtSignature": signature}),
                        None => json!({"bytes": bytes}),
                    });
                    blocks.push(opaque(json!({"textParts": parts.collect::<Vec<_>>()})));
                }
                blocks.push(Block::Text { text });
                blocks
            }
            Self::Thought { text, signature } => vec![Block::Thinking { text, signature, origin: String::new() }],
            Self::Call { block, signature } => {
                let note = signature.map(|signature| opaque(json!({"thoughtSignature": signature})));
                note.into_iter().chain([block]).collect()
            }
            Self::Other(part) => vec![opaque(part)],
        }
    }
}

/// Puts a streamed answer together.
#[derive(Default)]
pub(super) struct GeminiDecoder {
    pieces: Vec<Piece>,
    finish: Option<String>,
    /// The prompt itself was refused, and there is no answer.
    blocked: bool,
    usage: Usage,
}

impl Decoder for GeminiDecoder {
    fn event(&mut self, event: &SseEvent, seen: &mut Vec<ModelEvent>) -> Result<Progress, ProviderError> {
        let chunk: Value =
            serde_json::from_str(&event.data).map_err(|_| malformed("an event of the answer is not JSON"))?;
        self.chunk(&chunk, seen)
    }

    fn finish(&mut self) -> Result<ModelReply, ProviderError> {
        let pieces = std::mem::take(&mut self.pieces);
        let called = pieces.iter().any(|piece| matches!(piece, Piece::Call { .. }));
        let stop = match self.finish.take() {
            Some(reason) => stop_reason(&reason, called)?,
            None if self.blocked => StopReason::Refusal,
            None => return Err(truncated()),
        };
        let blocks = pieces.into_iter().flat_map(Piece::into_blocks).collect();
        Ok(ModelReply { blocks, stop, usage: self.usage })
    }

    fn usage(&self) -> Usage {
        self.usage
    }
}

impl GeminiDecoder {
    /// Takes an event of a stream, or a whole answer: they have the same form.
    fn chunk(&mut self, chunk: &Value, seen: &mut Vec<ModelEvent>) -> Result<Progress, ProviderError> {
        if !chunk.is_object() {
            return Err(malformed("an event of the answer is no object"));
        }
        if !chunk["error"].is_null() {
            return Err(errors::from_stream(&chunk["error"]));
        }
        let mut progress = Progress::None;
        if add_usage(&mut self.usage, &chunk["usageMetadata"]) {
            progress = Progress::Made;
        }
        self.blocked |= chunk["promptFeedback"]["blockReason"].is_string();
        let candidate = &chunk["candidates"][0];
        for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
            progress = Progress::Made;
            self.part(part, seen)?;
        }
        // Older models give the reason with every event, so that it is no sign of the end.
        if let Some(reason) = candidate["finishReason"].as_str().filter(|reason| !reason.is_empty()) {
            progress = Progress::Made;
            self.finish = Some(reason.to_owned());
        }
        Ok(progress)
    }

    fn part(&mut self, part: &Value, seen: &mut Vec<ModelEvent>) -> Result<(), ProviderError> {
        if self.pieces.len() >= MAX_PARTS {
            return Err(malformed("the answer has too many parts"));
        }
        let signature = part["thoughtSignature"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        if let Some(call) = part["functionCall"].as_object() {
            let text = |key: &str| call.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let input = call.get("args").filter(|args| !args.is_null()).cloned().unwrap_or_else(|| json!({}));
            let block = Block::ToolUse { id: text("id"), name: text("name"), input };
            seen.push(ModelEvent::ToolUseStarted { name: text("name") });
            self.pieces.push(Piece::Call { block, signature });
        } else if let Some(text) = part["text"].as_str() {
            if part["thought"] == true {
                self.thought(text, signature, seen);
            } else {
                self.text(text, signature, seen)?;
            }
        } else if part.as_object().is_some_and(|fields| !fields.is_empty()) {
            self.pieces.push(Piece::Other(part.clone()));
        }
        Ok(())
    }

    fn text(
        &mut self,
        piece: &str,
        signature: Option<String>,
        seen: &mut Vec<ModelEvent>,
    ) -> Result<(), ProviderError> {
        if piece.is_empty() && signature.is_none() {
            return Ok(());
        }
        if !piece.is_empty() {
            seen.push(ModelEvent::TextDelta(piece.to_owned()));
        }
        match self.pieces.last_mut() {
            Some(Piece::Text { text, parts }) => {
                text.push_str(piece);
                let many = parts.len() >= MAX_PARTS;
                match parts.last_mut() {
                    Some((length, None)) if signature.is_none() => *length += piece.len(),
                    _ if many => return Err(malformed("the answer has too many parts")),
                    Some(_) | None => parts.push((piece.len(), signature)),
                }
            }
            Some(_) | None => {
                self.pieces.push(Piece::Text { text: piece.to_owned(), parts: vec![(piece.len(), signature)] });
            }
        }
        Ok(())
    }

    /// Signed reasoning stays apart from all other, since it goes back.
    fn thought(&mut self, piece: &str, signature: Option<String>, seen: &mut Vec<ModelEvent>) {
        if !piece.is_empty() {
            seen.push(ModelEvent::ThinkingDelta(piece.to_owned()));
        }
        match self.pieces.last_mut() {
            Some(Piece::Thought { text, signature: None }) if signature.is_none() => text.push_str(piece),
            _ if piece.is_empty() && signature.is_none() => {}
            Some(_) | None => self.pieces.push(Piece::Thought { text: piece.to_owned(), signature }),
        }
    }
}

/// Reads an answer that came in one piece. A stream that was not asked for events is a list of what they would have said.
pub(super) fn whole(answer: &Value) -> Result<ModelReply, ProviderError> {
    let mut decoder = GeminiDecoder::default();
    let chunks = answer.as_array().map_or(std::slice::from_ref(answer), Vec::as_slice);
    for chunk in chunks {
        decoder.chunk(chunk, &mut Vec::new())?;
    }
    if decoder.finish.is_none() && !decoder.blocked {
        return Err(malformed("the answer has no candidate that came to an end"));
    }
    decoder.finish()
}

/// <https://ai.google.dev/api/generate-content#FinishReason>. A call that the model wrote wrongly is no answer; another try may be.
fn stop_reason(reason: &str, called: bool) -> Result<StopReason, ProviderError> {
    Ok(match reason {
        "STOP" if called => StopReason::ToolUse,
        "STOP" => StopReason::EndTurn,
        "MAX_TOKENS" => StopReason::MaxTokens,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => StopReason::Refusal,
        "MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" => {
            return Err(malformed("the model wrote a tool call that its vendor could not read"));
        }
        other => StopReason::Other(errors::bounded(other)),
    })
}

/// Each report is cumulative. The vendor's prompt includes what came from the cache, its candidates exclude the reasoning.
/// <https://ai.google.dev/api/generate-content#UsageMetadata>. Says whether anything was reported.
fn add_usage(usage: &mut Usage, report: &Value) -> bool {
    let count = |key: &str| report[key].as_u64();
    let Some(prompt) = count("promptTokenCount") else { return false };
    let cached = count("cachedContentTokenCount").unwrap_or(usage.cache_read);
    usage.cache_read = cached;
    usage.input = prompt.saturating_sub(cached).saturating_add(count("toolUsePromptTokenCount").unwrap_or(0));
    let answered = usage.output.saturating_sub(usage.reasoning);
    usage.reasoning = count("thoughtsTokenCount").unwrap_or(usage.reasoning);
    usage.output = count("candidatesTokenCount").unwrap_or(answered).saturating_add(usage.reasoning);
    true
}

#[cfg(test)]
mod tests;
