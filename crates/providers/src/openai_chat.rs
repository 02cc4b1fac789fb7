//! OpenAI Chat Completions: the request. The answer is read in [`decode`]. Compatible servers differ in small ways,
//! which are data here: the field for the answer's limit, and whether reasoning is given back.

mod decode;

use std::borrow::Cow;

use serde_json::{Value, json};
use types::{Block, MediaBytes, MediaRef, Message, ModelReply, ModelRequest, ProviderError, Role};

use crate::{
    OutputLimit,
    blocks::arguments_object,
    conversation,
    media::{MediaLimits, base64_of, data_url},
    quirks::Quirks,
    wire::{Decoder, Dialect},
};

/// The dialect, bound to a path and a vendor's ways.
pub(crate) struct OpenaiChat {
    path: &'static str,
    quirks: Quirks,
}

impl OpenaiChat {
    /// For a base address that ends in the version, as is usual, or has no path at all.
    pub(crate) fn new(base_url: &str, quirks: Quirks) -> Self {
        let path = if versioned(base_url) { "/chat/completions" } else { "/v1/chat/completions" };
        Self { path, quirks }
    }
}

impl Dialect for OpenaiChat {
    fn path(&self, _request: &ModelRequest, _stream: bool) -> Cow<'_, str> {
        self.path.into()
    }

    fn headers(&self) -> &[(&'static str, &'static str)] {
        &[]
    }

    fn media(&self) -> MediaLimits {
        MediaLimits { each: 20 << 20, total: 35 << 20, count: 500, ..self.quirks.media() }
    }

    fn body(&self, request: &ModelRequest, stream: bool) -> Value {
        let mut messages = Vec::with_capacity(request.messages.len() + 1);
        if !request.system.trim().is_empty() {
            messages.push(json!({"role": "system", "content": &*request.system}));
        }
        for message in conversation::sound(&request.messages, |block| self.is_sendable(block)) {
            match message.role {
                Role::User => user_messages(&message, &request.media, &mut messages),
                Role::Assistant => messages.push(self.assistant_message(&message)),
            }
        }
        let mut body = json!({"model": request.model, "messages": messages});
        let limit = match self.quirks.output_limit {
            None | Some(OutputLimit::MaxTokens) => "max_tokens",
            Some(OutputLimit::MaxCompletionTokens) => "max_completion_tokens",
        };
        body[limit] = json!(request.max_output_tokens);
        if !request.tools.is_empty() {
            let tools = request.tools.iter().map(|tool| {
                let function =
                    json!({"name": tool.name, "description": tool.description, "parameters": tool.input_schema});
                json!({"type": "function", "function": function})
            });
            body["tools"] = tools.collect();
        }
        if let Some(output) = &request.output {
            let schema = json!({"name": output.name, "schema": output.schema, "strict": true});
            body["response_format"] = json!({"type": "json_schema", "json_schema": schema});
        }
        if stream {
            body["stream"] = json!(true);
            // Without this no usage is reported, and no budget could be kept.
            body["stream_options"] = json!({"include_usage": true});
        }
        body
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(decode::ChatDecoder::default())
    }

    fn whole(&self, answer: &Value) -> Result<ModelReply, ProviderError> {
        decode::whole(answer)
    }
}

impl OpenaiChat {
    /// Whether the vendor takes the block.
    fn is_sendable(&self, block: &Block) -> bool {
        match block {
            Block::Text { text } => !text.is_empty(),
            Block::ToolUse { .. } | Block::ToolResult { .. } | Block::Media { .. } => true,
            Block::Thinking { .. } => self.quirks.replay_reasoning,
            Block::RedactedThinking { .. } | Block::Opaque { .. } => false,
        }
    }

    fn assistant_message(&self, message: &Message) -> Value {
        let mut calls = Vec::new();
        let mut reasoning = Vec::new();
        for block in &message.blocks {
            match block {
                Block::ToolUse { id, name, input } => {
                    let arguments = arguments_object(input).to_string();
                    let function = json!({"name": name, "arguments": arguments});
                    calls.push(json!({"id": id, "type": "function", "function": function}));
                }
                Block::Thinking { text, .. } => reasoning.push(text.as_str()),
                Block::Text { .. }
                | Block::RedactedThinking { .. }
                | Block::ToolResult { .. }
                | Block::Media { .. }
                | Block::Opaque { .. } => {}
            }
        }
        let text = message.text();
        // Reasoning alone is no message to these vendors.
        let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { json!(text) };
        let mut sent = json!({"role": "assistant", "content": content});
        if !calls.is_empty() {
            sent["tool_calls"] = Value::Array(calls);
        }
        if self.quirks.replay_reasoning && !reasoning.is_empty() {
            sent["reasoning_content"] = json!(reasoning.join("\n"));
        }
        sent
    }
}

/// Whether a base address of OpenAI's interfaces has a path, which then ends in the version.
pub(crate) fn versioned(base_url: &str) -> bool {
    let after_scheme = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    after_scheme.trim_end_matches('/').contains('/')
}

/// Each result is a message of its own, before what the user says.
fn user_messages(message: &Message, media: &MediaBytes, messages: &mut Vec<Value>) {
    for block in &message.blocks {
        if let Block::ToolResult { call, content, is_error } = block {
            // The dialect has no mark for errors, so the text carries it.
            let content = if *is_error { format!("error: {content}") } else { content.clone() };
            messages.push(json!({"role": "tool", "tool_call_id": call, "content": content}));
        }
    }
    let content = user_content(message, media);
    if content != json!("") {
        messages.push(json!({"role": "user", "content": content}));
    }
}

/// Plain text where that is all, since some servers take nothing else; otherwise parts in their order.
fn user_content(message: &Message, bytes: &MediaBytes) -> Value {
    if !message.blocks.iter().any(|block| matches!(block, Block::Media { .. })) {
        return json!(message.text());
    }
    let parts = message.blocks.iter().filter_map(|block| match block {
        Block::Text { text } => Some(json!({"type": "text", "text": text})),
        Block::Media { media } => Some(media_part(media, bytes)),
        Block::Thinking { .. }
        | Block::RedactedThinking { .. }
        | Block::ToolUse { .. }
        | Block::ToolResult { .. }
        | Block::Opaque { .. } => None,
    });
    parts.collect()
}

/// <https://platform.openai.com/docs/api-reference/chat/create>: pictures and files as data URLs.
fn media_part(media: &MediaRef, bytes: &MediaBytes) -> Value {
    let url = data_url(media, &base64_of(media, bytes));
    if media.is_image() {
        return json!({"type": "image_url", "image_url": {"url": url}});
    }
    let name = media.name.as_deref().unwrap_or("document.pdf");
    json!({"type": "file", "file": {"filename": name, "file_data": url}})
}
