//! OpenAI Chat Completions: the request. The answer is read in [`decode`]. Compatible servers differ in small ways, which are
//! data here: see [`Quirks`].

mod decode;

use std::borrow::Cow;

use serde_json::{Value, json};
use types::{Block, MediaBytes, MediaRef, Message, ModelReply, ModelRequest, ProviderError, Role};

use crate::{
    OutputLimit,
    blocks::{arguments_object, in_words},
    conversation,
    media::{MediaLimits, base64_of, data_url},
    quirks::{CallIds, Quirks, Reasoning, ReasoningField, SchemaForm, effort},
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
        let speaks = |block: &Block| block.origin().is_none() && self.is_sendable(block);
        let spoken = conversation::spoken(&request.messages, speaks);
        for message in conversation::sound(&spoken, |block| self.is_sendable(block)) {
            match message.role {
                Role::User => self.user_messages(&message, &request.media, &mut messages),
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
        self.reasoning(request, &mut body);
        self.output(request, &mut body);
        if let Some(key) = request.cache_key.as_ref().filter(|_| self.quirks.cache_key) {
            body["prompt_cache_key"] = json!(key);
        }
        if self.quirks.cache_marks {
            // At the top the mark stands for one on the last block that may be cached, which moves as the conversation grows.
            body["cache_control"] = self.quirks.cache_mark();
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
            Block::Opaque { item, .. } => item["type"] == decode::DETAILS || item["type"] == decode::EXTRA,
            Block::RedactedThinking { .. } => false,
        }
    }

    fn assistant_message(&self, message: &Message) -> Value {
        let mut calls = Vec::new();
        let mut reasoning = Vec::new();
        let (mut details, mut extra) = (None, None);
        for block in &message.blocks {
            match block {
                Block::ToolUse { id, name, input } => {
                    let arguments = arguments_object(input).to_string();
                    let function = json!({"name": name, "arguments": arguments});
                    let mut call = json!({"id": self.call_id(id), "type": "function", "function": function});
                    if let Some(extra) = extra.take() {
                        call["extra_content"] = extra;
                    }
                    calls.push(call);
                }
                Block::Thinking { text, .. } => reasoning.push(text.as_str()),
                Block::Opaque { item, .. } if item["type"] == decode::DETAILS => {
                    details = Some(item["details"].clone())
                }
                Block::Opaque { item, .. } => extra = Some(item["extra_content"].clone()),
                Block::Text { .. }
                | Block::RedactedThinking { .. }
                | Block::ToolResult { .. }
                | Block::Media { .. } => {}
            }
        }
        let text = message.text();
        let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { json!(text) };
        let mut sent = json!({"role": "assistant", "content": content});
        if !calls.is_empty() {
            sent["tool_calls"] = Value::Array(calls);
        }
        // Where reasoning is to come back, calls without any are refused; another vendor's is not shown.
        if self.quirks.replay_reasoning && (!reasoning.is_empty() || sent.get("tool_calls").is_some()) {
            sent["reasoning_content"] = json!(reasoning.join("\n"));
        }
        if let Some(details) = details {
            sent["reasoning_details"] = details;
        }
        sent
    }

    /// Each result is a message of its own, before what the user says.
    fn user_messages(&self, message: &Message, media: &MediaBytes, messages: &mut Vec<Value>) {
        for block in &message.blocks {
            if let Block::ToolResult { call, content, is_error } = block {
                // The dialect has no mark for errors, so the text carries it.
                let content = if *is_error { format!("error: {content}") } else { content.clone() };
                messages.push(json!({"role": "tool", "tool_call_id": self.call_id(call), "content": content}));
            }
        }
        let content = user_content(message, media);
        if content != json!("") {
            messages.push(json!({"role": "user", "content": content}));
        }
    }

    /// How much to reason, in the vendor's own field.
    fn reasoning(&self, request: &ModelRequest, body: &mut Value) {
        let way = self.quirks.reasoning(&request.model, Reasoning::Effort);
        let Some(tokens) = request.thinking_tokens.filter(|tokens| *tokens > 0) else { return };
        if matches!(way, Reasoning::None | Reasoning::Always) {
            return;
        }
        match self.quirks.reasoning_field {
            ReasoningField::None => {}
            ReasoningField::Effort => body["reasoning_effort"] = json!(effort(tokens)),
            ReasoningField::Object if way == Reasoning::Budget => body["reasoning"] = json!({"max_tokens": tokens}),
            ReasoningField::Object => body["reasoning"] = json!({"effort": effort(tokens)}),
            ReasoningField::Thinking => body["thinking"] = json!({"type": "enabled"}),
            ReasoningField::Budget => {
                body["enable_thinking"] = json!(true);
                body["thinking_budget"] = json!(tokens);
            }
        }
    }

    /// The form of the answer, as far as the vendor can be held to it; the rest is said to the model, after everything that
    /// its cache may hold.
    fn output(&self, request: &ModelRequest, body: &mut Value) {
        let Some(output) = &request.output else { return };
        if self.quirks.schema == SchemaForm::Schema {
            let schema = json!({"name": output.name, "schema": output.schema, "strict": true});
            body["response_format"] = json!({"type": "json_schema", "json_schema": schema});
            return;
        }
        if self.quirks.schema == SchemaForm::Object {
            body["response_format"] = json!({"type": "json_object"});
        }
        let Some(messages) = body["messages"].as_array_mut() else { return };
        let words = in_words(output);
        match messages.last_mut().filter(|last| last["role"] == "user").map(|last| &mut last["content"]) {
            Some(Value::String(text)) => *text = format!("{text}\n\n{words}"),
            Some(Value::Array(parts)) => parts.push(json!({"type": "text", "text": words})),
            Some(_) | None => messages.push(json!({"role": "user", "content": words})),
        }
    }

    /// The id of a call as the vendor takes it.
    fn call_id<'a>(&self, id: &'a str) -> Cow<'a, str> {
        let fits = id.len() == NINE && id.chars().all(|c| c.is_ascii_alphanumeric());
        match self.quirks.call_ids {
            CallIds::Nine if !fits => nine(id).into(),
            CallIds::Nine | CallIds::Any => id.into(),
        }
    }
}

/// How long an id is that must be nine letters and digits.
const NINE: usize = 9;

/// Another id for the same call, always the same for the same id.
fn nine(id: &str) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    // FNV-1a; what is needed is that few ids meet, not that none could.
    let mut hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let digits = (0..NINE).map(|_| {
        let digit = DIGITS[(hash % 36) as usize];
        hash /= 36;
        char::from(digit)
    });
    digits.collect()
}

/// Whether a base address of OpenAI's interfaces has a path, which then ends in the version.
pub(crate) fn versioned(base_url: &str) -> bool {
    let after_scheme = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    after_scheme.trim_end_matches('/').contains('/')
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
