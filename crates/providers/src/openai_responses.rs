//! OpenAI Responses: the request. The answer is read in [`decode`]. The vendor keeps nothing (`store: false`); the whole
//! conversation goes with every request, and what the vendor alone understands goes back as it came.

mod decode;

use std::borrow::Cow;

use serde_json::{Value, json};
use types::{Block, MediaBytes, MediaRef, Message, ModelReply, ModelRequest, ProviderError, Role};

use crate::{
    blocks::arguments_object,
    conversation,
    media::{MediaLimits, base64_of, data_url},
    openai_chat::versioned,
    quirks::{Quirks, Reasoning, effort},
    wire::{Decoder, Dialect},
};

/// The least limit of an answer that the vendor takes.
const MIN_OUTPUT_TOKENS: u32 = 16;

/// The dialect, bound to a path and a vendor's ways.
pub(crate) struct OpenaiResponses {
    path: &'static str,
    quirks: Quirks,
}

impl OpenaiResponses {
    /// For a base address that ends in the version, as is usual, or has no path at all.
    pub(crate) fn new(base_url: &str, quirks: Quirks) -> Self {
        Self { path: if versioned(base_url) { "/responses" } else { "/v1/responses" }, quirks }
    }
}

impl Dialect for OpenaiResponses {
    fn path(&self, _request: &ModelRequest, _stream: bool) -> Cow<'_, str> {
        self.path.into()
    }

    fn headers(&self) -> &[(&'static str, &'static str)] {
        &[]
    }

    /// <https://platform.openai.com/docs/guides/images-vision> and <https://platform.openai.com/docs/guides/pdf-files>: 50 MB a
    /// request, 500 pictures.
    fn media(&self) -> MediaLimits {
        MediaLimits { each: 20 << 20, total: 35 << 20, count: 500, ..self.quirks.media() }
    }

    fn body(&self, request: &ModelRequest, stream: bool) -> Value {
        let mut body = json!({
            "model": request.model,
            "input": input(request),
            "store": false,
            "max_output_tokens": request.max_output_tokens.max(MIN_OUTPUT_TOKENS),
        });
        if !request.tools.is_empty() {
            // The vendor tightens schemas by itself unless it is told not to.
            let tools = request.tools.iter().map(|tool| {
                json!({
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.input_schema,
                    "strict": false,
                })
            });
            body["tools"] = tools.collect();
        }
        self.reasoning(request, &mut body);
        if let Some(output) = &request.output {
            let (name, schema) = (&output.name, &output.schema);
            let format = json!({"type": "json_schema", "name": name, "schema": schema, "strict": true});
            body["text"] = json!({"format": format});
        }
        if let Some(key) = request.cache_key.as_ref().filter(|_| self.quirks.cache_key) {
            body["prompt_cache_key"] = json!(key);
        }
        if stream {
            body["stream"] = json!(true);
        }
        body
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(decode::ResponsesDecoder::default())
    }

    fn whole(&self, answer: &Value) -> Result<ModelReply, ProviderError> {
        decode::whole(answer)
    }
}

impl OpenaiResponses {
    /// Models that do not reason refuse every word about reasoning; all others must be asked for the encrypted form, or nothing
    /// could be given back.
    fn reasoning(&self, request: &ModelRequest, body: &mut Value) {
        let way = self.quirks.reasoning(&request.model, Reasoning::Effort);
        if way == Reasoning::None {
            return;
        }
        body["include"] = json!(["reasoning.encrypted_content"]);
        let Some(tokens) = request.thinking_tokens.filter(|tokens| *tokens > 0) else { return };
        let mut reasoning = json!({});
        if way != Reasoning::Always {
            reasoning["effort"] = json!(effort(tokens));
        }
        if self.quirks.reasoning_summary {
            reasoning["summary"] = json!("auto");
        }
        if reasoning != json!({}) {
            body["reasoning"] = reasoning;
        }
    }
}

/// The system prompt and the conversation. The prompt is the first item rather than `instructions`: to the vendor's cache both
/// are the same beginning, and servers that imitate the interface read the items in any case.
fn input(request: &ModelRequest) -> Value {
    let mut items = Vec::with_capacity(request.messages.len() * 2 + 1);
    if !request.system.trim().is_empty() {
        items.push(json!({"type": "message", "role": "system", "content": &*request.system}));
    }
    for message in conversation::sound(&request.messages, is_sendable) {
        match message.role {
            Role::User => user_items(&message, &request.media, &mut items),
            Role::Assistant => assistant_items(&message, &mut items),
        }
    }
    Value::Array(items)
}

/// Whether the vendor takes the block. Reasoning that it did not encrypt and whose text it did not give lies with nobody.
fn is_sendable(block: &Block) -> bool {
    match block {
        Block::Text { text } => !text.is_empty(),
        Block::ToolUse { .. } | Block::ToolResult { .. } | Block::Media { .. } => true,
        Block::Opaque { item, .. } => {
            item["type"] != "reasoning"
                || item["encrypted_content"].is_string()
                || item["content"].as_array().is_some_and(|content| !content.is_empty())
        }
        Block::Thinking { .. } | Block::RedactedThinking { .. } => false,
    }
}

/// Results are items of their own, before what the user says.
fn user_items(message: &Message, bytes: &MediaBytes, items: &mut Vec<Value>) {
    let mut content = Vec::new();
    for block in &message.blocks {
        match block {
            Block::ToolResult { call, content, is_error } => {
                // The dialect has no mark for errors, so the text carries it.
                let output = if *is_error { format!("error: {content}") } else { content.clone() };
                items.push(json!({"type": "function_call_output", "call_id": call, "output": output}));
            }
            Block::Text { text } => content.push(json!({"type": "input_text", "text": text})),
            Block::Media { media } => content.push(media_part(media, bytes)),
            Block::Thinking { .. } | Block::RedactedThinking { .. } | Block::ToolUse { .. } | Block::Opaque { .. } => {}
        }
    }
    if !content.is_empty() {
        items.push(json!({"type": "message", "role": "user", "content": content}));
    }
}

/// One item for each block. Reasoning waits for the item that it led to: the vendor refuses it alone. The ids of our own items
/// are left out, since they would tie an item to reasoning that may be gone.
fn assistant_items(message: &Message, items: &mut Vec<Value>) {
    let mut reasoning = Vec::new();
    let mut phase = None;
    for block in &message.blocks {
        let item = match block {
            Block::Opaque { item, .. } if item["type"] == "reasoning" => {
                reasoning.push(item.clone());
                continue;
            }
            Block::Opaque { item, .. } if item["type"] == decode::PHASE => {
                phase = Some(item["phase"].clone());
                continue;
            }
            Block::Opaque { item, .. } => item.clone(),
            Block::Text { text } => {
                let content = json!([{"type": "output_text", "text": text}]);
                let mut item = json!({"type": "message", "role": "assistant", "content": content});
                if let Some(phase) = phase.take() {
                    item["phase"] = phase;
                }
                item
            }
            Block::ToolUse { id, name, input } => {
                let arguments = arguments_object(input).to_string();
                json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments})
            }
            Block::Thinking { .. }
            | Block::RedactedThinking { .. }
            | Block::ToolResult { .. }
            | Block::Media { .. } => continue,
        };
        items.append(&mut reasoning);
        items.push(item);
    }
}

fn media_part(media: &MediaRef, bytes: &MediaBytes) -> Value {
    let url = data_url(media, &base64_of(media, bytes));
    if media.is_image() {
        return json!({"type": "input_image", "detail": "auto", "image_url": url});
    }
    let name = media.name.as_deref().unwrap_or("document.pdf");
    json!({"type": "input_file", "filename": name, "file_data": url})
}
