//! Anthropic Messages: the request. The answer is read in [`decode`].

mod decode;

use std::borrow::Cow;

use serde_json::{Value, json};
use types::{Block, MediaBytes, Message, ModelReply, ModelRequest, ProviderError, Role};

use crate::{
    blocks::{arguments_object, in_words},
    conversation,
    media::{MediaLimits, base64_of},
    quirks::{Quirks, Reasoning, SchemaForm, effort},
    wire::{Decoder, Dialect},
};

/// The least reasoning budget that the vendor takes.
const MIN_THINKING_TOKENS: u32 = 1024;

/// The dialect, bound to a path and a vendor's ways.
pub(crate) struct Anthropic {
    path: &'static str,
    quirks: Quirks,
}

impl Anthropic {
    /// For a base address with or without the `/v1` that belongs to every path.
    pub(crate) fn new(base_url: &str, quirks: Quirks) -> Self {
        let versioned = base_url.trim_end_matches('/').ends_with("/v1");
        Self { path: if versioned { "/messages" } else { "/v1/messages" }, quirks }
    }
}

impl Dialect for Anthropic {
    fn path(&self, _request: &ModelRequest, _stream: bool) -> Cow<'_, str> {
        self.path.into()
    }

    fn headers(&self) -> &[(&'static str, &'static str)] {
        &[("anthropic-version", "2023-06-01")]
    }

    /// <https://docs.claude.com/en/docs/build-with-claude/vision>: 5 MB a picture, 32 MB a request.
    fn media(&self) -> MediaLimits {
        MediaLimits { each: 5 << 20, total: 22 << 20, count: 100, ..self.quirks.media() }
    }

    fn body(&self, request: &ModelRequest, stream: bool) -> Value {
        let spoken = conversation::spoken(&request.messages, |block| is_sendable(block) && !is_thought(block));
        let mut conversation = conversation::sound(&spoken, is_sendable);
        let thinking = self.thinking(request, &conversation);
        settle_thoughts(&mut conversation, thinking.is_some());
        let mut body = json!({
            "model": request.model,
            "max_tokens": request.max_output_tokens,
            "messages": self.messages(&conversation, &request.media),
        });
        let mut tools: Vec<Value> = request
            .tools
            .iter()
            .map(|tool| json!({"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}))
            .collect();
        // The vendor hashes tools, then the system prompt, then messages: a mark on the last of the stable part covers
        // all of it. Two marks, because the system prompt may change while the tools do not.
        if let Some(last) = tools.last_mut() {
            self.mark(last);
        }
        if !tools.is_empty() {
            body["tools"] = Value::Array(tools);
        }
        if !request.system.trim().is_empty() {
            let mut block = json!({"type": "text", "text": &*request.system});
            self.mark(&mut block);
            body["system"] = json!([block]);
        }
        if let Some(thinking) = thinking.filter(|thinking| !thinking.is_null()) {
            body["thinking"] = thinking;
        }
        self.output(request, &mut body);
        if stream {
            body["stream"] = json!(true);
        }
        body
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(decode::AnthropicDecoder::default())
    }

    fn whole(&self, answer: &Value) -> Result<ModelReply, ProviderError> {
        decode::whole(answer)
    }
}

impl Anthropic {
    /// What the model is told of reasoning; null where it reasons untold, and none where it does not reason this time. Models of
    /// the adaptive kind refuse a budget, older ones refuse anything else
    /// (<https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking>); the newest show nothing of it unless they are
    /// asked for the summary.
    fn thinking(&self, request: &ModelRequest, conversation: &[Message]) -> Option<Value> {
        match self.quirks.reasoning(&request.model, Reasoning::Budget) {
            Reasoning::Budget => {
                let budget = thinking_budget(request).filter(|_| may_think(conversation))?;
                Some(json!({"type": "enabled", "budget_tokens": budget}))
            }
            Reasoning::Adaptive => {
                request.thinking_tokens.filter(|tokens| *tokens > 0)?;
                Some(json!({"type": "adaptive", "display": "summarized"}))
            }
            Reasoning::Always => Some(Value::Null),
            Reasoning::Effort | Reasoning::None => None,
        }
    }

    /// How hard to try, for models that take a word.
    fn effort(&self, request: &ModelRequest) -> Option<&'static str> {
        let way = self.quirks.reasoning(&request.model, Reasoning::Budget);
        let tokens = request.thinking_tokens.filter(|tokens| *tokens > 0)?;
        matches!(way, Reasoning::Adaptive | Reasoning::Effort).then(|| effort(tokens))
    }

    /// The form of the answer: <https://platform.claude.com/docs/en/build-with-claude/structured-outputs>. Where a vendor of this
    /// interface does not take it, the model is told in words.
    fn output(&self, request: &ModelRequest, body: &mut Value) {
        if let Some(effort) = self.effort(request) {
            body["output_config"]["effort"] = json!(effort);
        }
        let Some(output) = &request.output else { return };
        match self.quirks.schema {
            SchemaForm::Schema => {
                body["output_config"]["format"] = json!({"type": "json_schema", "schema": output.schema});
            }
            SchemaForm::Object | SchemaForm::Words => {
                let last = body["messages"].as_array_mut().and_then(|messages| messages.last_mut());
                if let Some(content) = last.and_then(|message| message["content"].as_array_mut()) {
                    content.push(json!({"type": "text", "text": in_words(output)}));
                }
            }
        }
    }

    /// The conversation, with cache marks on the last block and on the last block of the user's message before it: the one
    /// is written for the next request, the other was written by the last one.
    fn messages(&self, conversation: &[Message], media: &MediaBytes) -> Value {
        let mut messages: Vec<Value> = conversation
            .iter()
            .map(|message| {
                let role = match message.role {
                    Role::User => "user",
                    Role::Assistant => "assistant",
                };
                json!({"role": role, "content": message.blocks.iter().map(|one| block(one, media)).collect::<Vec<_>>()})
            })
            .collect();
        let users = messages.iter_mut().rev().filter(|message| message["role"] == "user");
        for message in users.take(2) {
            if let Some(last) = message["content"].as_array_mut().and_then(|blocks| blocks.last_mut()) {
                self.mark(last);
            }
        }
        Value::Array(messages)
    }

    fn mark(&self, block: &mut Value) {
        block["cache_control"] = self.quirks.cache_mark();
    }
}

/// Where the turn that is going on begins: behind what the user last said.
fn turn(conversation: &[Message]) -> usize {
    let is_result = |block: &Block| matches!(block, Block::ToolResult { .. });
    let said = |message: &Message| message.role == Role::User && !message.blocks.iter().any(is_result);
    conversation.iter().rposition(said).map_or(0, |at| at + 1)
}

/// Leaves out the thoughts that the vendor does not take: those at the end of a message, which led to nothing, and those of the
/// turn that is going on when it goes on without thinking.
fn settle_thoughts(conversation: &mut [Message], thinks: bool) {
    if !thinks {
        let begun = turn(conversation);
        conversation[begun..].iter_mut().for_each(|message| message.blocks.retain(|block| !is_thought(block)));
    }
    for message in conversation {
        while message.blocks.last().is_some_and(is_thought) {
            message.blocks.pop();
        }
    }
}

fn is_thought(block: &Block) -> bool {
    matches!(block, Block::Thinking { .. } | Block::RedactedThinking { .. })
}

/// Whether a model that reasons within a budget may do so now. While tools are used, the vendor demands the reasoning with which
/// the turn began; where it is gone, or another vendor began the turn, this turn ends without.
fn may_think(conversation: &[Message]) -> bool {
    let first = conversation[turn(conversation)..].iter().find(|message| message.role == Role::Assistant);
    first.is_none_or(|message| message.blocks.first().is_some_and(is_thought))
}

/// The reasoning budget, which must be at least 1024 and below the answer's limit. An answer too short for it has none.
fn thinking_budget(request: &ModelRequest) -> Option<u32> {
    let most = request.max_output_tokens.saturating_sub(1);
    let wanted = request.thinking_tokens.filter(|tokens| *tokens > 0)?;
    (most >= MIN_THINKING_TOKENS).then(|| wanted.clamp(MIN_THINKING_TOKENS, most))
}

/// Whether the vendor takes the block: it refuses blank text and reasoning without its signature.
fn is_sendable(block: &Block) -> bool {
    match block {
        Block::Text { text } => !text.trim().is_empty(),
        Block::Thinking { signature, .. } => signature.is_some(),
        Block::RedactedThinking { .. }
        | Block::ToolUse { .. }
        | Block::ToolResult { .. }
        | Block::Media { .. }
        | Block::Opaque { .. } => true,
    }
}

fn block(block: &Block, bytes: &MediaBytes) -> Value {
    match block {
        Block::Text { text } => json!({"type": "text", "text": text}),
        Block::Thinking { text, signature, .. } => {
            json!({"type": "thinking", "thinking": text, "signature": signature})
        }
        Block::RedactedThinking { data, .. } => json!({"type": "redacted_thinking", "data": data}),
        Block::ToolUse { id, name, input } => {
            json!({"type": "tool_use", "id": id, "name": name, "input": arguments_object(input)})
        }
        Block::ToolResult { call, content, is_error } => {
            let mut result = json!({"type": "tool_result", "tool_use_id": call, "content": content});
            if *is_error {
                result["is_error"] = json!(true);
            }
            result
        }
        Block::Media { media } => {
            let kind = if media.is_image() { "image" } else { "document" };
            let data = base64_of(media, bytes);
            json!({"type": kind, "source": {"type": "base64", "media_type": media.media_type, "data": data}})
        }
        Block::Opaque { item, .. } => item.clone(),
    }
}
