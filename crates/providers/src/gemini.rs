//! Google Gemini: the request. The answer is read in [`decode`]. The Gemini API and Vertex AI speak the same interface; they differ in
//! the address alone.

mod decode;
mod schema;

use std::{borrow::Cow, collections::HashMap};

use serde_json::{Value, json};
use types::{Block, MediaBytes, Message, ModelReply, ModelRequest, ProviderError, Role, ToolSpec};

use crate::{
    blocks::{arguments_object, in_words},
    conversation,
    media::{MediaLimits, base64_of},
    quirks::{Quirks, Reasoning, SchemaForm, effort},
    wire::{Decoder, Dialect},
};

/// What stands for the signature of a call that another vendor's model made.
/// <https://ai.google.dev/gemini-api/docs/thought-signatures#faqs>; Vertex AI documents this one of the two values alone.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";
/// The reasoning budgets that every model of the 2.5 series takes. <https://ai.google.dev/gemini-api/docs/thinking>
const BUDGETS: std::ops::RangeInclusive<u32> = 512..=24_576;
/// The least budget of the models that cannot be kept from reasoning.
const LEAST_BUDGET_OF_PRO: u32 = 128;
/// The versions of the interface, one of which is in every address.
const VERSIONS: [&str; 4] = ["v1", "v1alpha", "v1beta", "v1beta1"];

/// The dialect, bound to an address and a vendor's ways.
pub(crate) struct Gemini {
    prefix: &'static str,
    quirks: Quirks,
}

impl Gemini {
    /// For a base address with or without the interface's version. The one of Vertex AI has it, and ends in
    /// `/publishers/google`.
    pub(crate) fn new(base_url: &str, quirks: Quirks) -> Self {
        let versioned = base_url.split('/').any(|segment| VERSIONS.contains(&segment));
        Self { prefix: if versioned { "" } else { "/v1beta" }, quirks }
    }

    /// How the model reasons, for its name says to which series it belongs.
    fn reasoning(&self, model: &str) -> Reasoning {
        let bare = model.rsplit('/').next().unwrap_or(model);
        let usual = match bare.strip_prefix("gemini-") {
            Some(series) if series.starts_with("2.5") => Reasoning::Budget,
            Some(series) if !series.starts_with(['1', '2']) => Reasoning::Effort,
            Some(_) | None => Reasoning::None,
        };
        self.quirks.reasoning(model, usual)
    }
}

impl Dialect for Gemini {
    fn path(&self, request: &ModelRequest, stream: bool) -> Cow<'_, str> {
        let method = if stream { "streamGenerateContent" } else { "generateContent" };
        let (collection, name) = match request.model.strip_prefix("tunedModels/") {
            Some(name) => ("tunedModels", name),
            None => ("models", request.model.strip_prefix("models/").unwrap_or(&request.model)),
        };
        format!("{}/{collection}/{}:{method}", self.prefix, escaped(name)).into()
    }

    /// Without this the stream is one JSON list, whose end alone makes it readable.
    fn query(&self, stream: bool) -> &[(&'static str, &'static str)] {
        if stream { &[("alt", "sse")] } else { &[] }
    }

    fn headers(&self) -> &[(&'static str, &'static str)] {
        &[]
    }

    /// <https://ai.google.dev/gemini-api/docs/image-understanding>: 20 MB a request, encoded. Vertex AI takes 7 MB a picture.
    fn media(&self) -> MediaLimits {
        const TYPES: &[&str] =
            &["image/png", "image/jpeg", "image/webp", "image/heic", "image/heif", "application/pdf"];
        let types = match (self.quirks.images, self.quirks.documents) {
            (true, true) => TYPES,
            (true, false) => &TYPES[..5],
            (false, true) => &TYPES[5..],
            (false, false) => &[],
        };
        MediaLimits { types, each: 7 << 20, total: 13 << 20, count: 500 }
    }

    fn body(&self, request: &ModelRequest, _stream: bool) -> Value {
        let reasoning = self.reasoning(&request.model);
        // Models that take a budget or do not reason know nothing of missing signatures.
        let signed = matches!(reasoning, Reasoning::Effort | Reasoning::Adaptive | Reasoning::Always);
        let mut body = json!({
            "contents": contents(&request.messages, &request.media, signed),
            "generationConfig": {"maxOutputTokens": request.max_output_tokens},
        });
        if !request.system.trim().is_empty() {
            body["systemInstruction"] = json!({"parts": [{"text": &*request.system}]});
        }
        if !request.tools.is_empty() {
            let declarations: Vec<Value> = request.tools.iter().map(declaration).collect();
            body["tools"] = json!([{"functionDeclarations": declarations}]);
        }
        if let Some(config) = thinking_config(request, reasoning) {
            body["generationConfig"]["thinkingConfig"] = config;
        }
        // <https://ai.google.dev/gemini-api/docs/structured-output>: older models cannot be held to a form while they may call.
        let form = if signed || request.tools.is_empty() { self.quirks.schema } else { SchemaForm::Words };
        bind(request, form, &mut body);
        body
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(decode::GeminiDecoder::default())
    }

    fn whole(&self, answer: &Value) -> Result<ModelReply, ProviderError> {
        decode::whole(answer)
    }
}

/// Binds the answer to the form that is asked for, or tells the model of it in words behind all else.
fn bind(request: &ModelRequest, form: SchemaForm, body: &mut Value) {
    let Some(output) = &request.output else { return };
    if matches!(form, SchemaForm::Schema | SchemaForm::Object) {
        body["generationConfig"]["responseMimeType"] = json!("application/json");
    }
    if form == SchemaForm::Schema {
        body["generationConfig"]["responseJsonSchema"] = schema::subset(&output.schema);
        return;
    }
    let last = body["contents"].as_array_mut().and_then(|contents| contents.last_mut());
    if let Some(parts) = last.and_then(|content| content["parts"].as_array_mut()) {
        parts.push(json!({"text": in_words(output)}));
    }
}

/// The name as one segment of a path: all but letters, digits and `-._~` as `%XX`.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// A tool; one without parameters says nothing about them, for an empty object is refused.
fn declaration(tool: &ToolSpec) -> Value {
    let mut declaration = json!({"name": tool.name, "description": tool.description});
    if tool.input_schema["properties"].as_object().is_some_and(|properties| !properties.is_empty()) {
        declaration["parametersJsonSchema"] = schema::subset(&tool.input_schema);
    }
    declaration
}

/// What the model is told about reasoning. Where none is asked for, it is told to reason as little as it can: by default these
/// models reason as long as they like, out of the answer's limit.
fn thinking_config(request: &ModelRequest, reasoning: Reasoning) -> Option<Value> {
    let wanted = request.thinking_tokens.filter(|tokens| *tokens > 0);
    match reasoning {
        Reasoning::None | Reasoning::Always => None,
        Reasoning::Budget => {
            let most = request.max_output_tokens.saturating_sub(1).min(*BUDGETS.end());
            let budget = wanted.filter(|_| most >= *BUDGETS.start()).map(|tokens| tokens.clamp(*BUDGETS.start(), most));
            let least = if request.model.contains("pro") { LEAST_BUDGET_OF_PRO } else { 0 };
            Some(json!({"thinkingBudget": budget.unwrap_or(least), "includeThoughts": budget.is_some()}))
        }
        Reasoning::Effort | Reasoning::Adaptive => {
            let level = wanted.map_or("low", effort).to_uppercase();
            Some(json!({"thinkingLevel": level, "includeThoughts": wanted.is_some()}))
        }
    }
}

/// The conversation. `signed` says whether the model refuses calls without a signature.
fn contents(conversation: &[Message], media: &MediaBytes, signed: bool) -> Value {
    // A result names its call's tool as well, and all calls stand before their results.
    let mut names: HashMap<String, String> = HashMap::new();
    let sound = conversation::sound(conversation, is_sendable);
    let contents = sound.iter().map(|message| match message.role {
        Role::User => {
            let parts = message.blocks.iter().filter_map(|block| user_part(block, &names, media));
            json!({"role": "user", "parts": parts.collect::<Vec<_>>()})
        }
        Role::Assistant => {
            names.extend(message.tool_uses().map(|call| (call.id, call.name)));
            json!({"role": "model", "parts": model_parts(&message.blocks, signed)})
        }
    });
    contents.collect()
}

/// Whether the vendor takes the block. Shown reasoning is for the reader; only what is signed goes back.
fn is_sendable(block: &Block) -> bool {
    match block {
        Block::Text { text } => !text.is_empty(),
        Block::Thinking { signature, .. } => signature.is_some(),
        Block::ToolUse { .. } | Block::ToolResult { .. } | Block::Media { .. } | Block::Opaque { .. } => true,
        Block::RedactedThinking { .. } => false,
    }
}

fn user_part(block: &Block, names: &HashMap<String, String>, bytes: &MediaBytes) -> Option<Value> {
    match block {
        Block::Text { text } => Some(json!({"text": text})),
        Block::ToolResult { call, content, is_error } => {
            let key = if *is_error { "error" } else { "output" };
            let name = names.get(call).map_or("", String::as_str);
            Some(json!({"functionResponse": {"id": call, "name": name, "response": {key: content}}}))
        }
        Block::Media { media } => {
            Some(json!({"inlineData": {"mimeType": media.media_type, "data": base64_of(media, bytes)}}))
        }
        Block::Thinking { .. } | Block::RedactedThinking { .. } | Block::ToolUse { .. } | Block::Opaque { .. } => None,
    }
}

/// The parts of an answer, each with the signature that it came with: see [`decode`] for how the blocks keep it.
fn model_parts(blocks: &[Block], signed: bool) -> Vec<Value> {
    let mut parts: Vec<Value> = Vec::with_capacity(blocks.len());
    let mut note: Option<&Value> = None;
    for block in blocks {
        // A note whose own block is gone says nothing about a later one.
        let before = note.take();
        match block {
            Block::Opaque { item, .. } if decode::is_note(item) => note = Some(item),
            Block::Opaque { item, .. } => parts.push(item.clone()),
            Block::Text { text } => parts.extend(decode::text_parts(text, before)),
            Block::Thinking { text, signature, .. } => {
                parts.push(json!({"text": text, "thought": true, "thoughtSignature": signature}));
            }
            Block::ToolUse { id, name, input } => {
                let mut part = json!({"functionCall": {"id": id, "name": name, "args": arguments_object(input)}});
                if let Some(signature) = before.and_then(|note| note["thoughtSignature"].as_str()) {
                    part["thoughtSignature"] = json!(signature);
                }
                parts.push(part);
            }
            Block::RedactedThinking { .. } | Block::ToolResult { .. } | Block::Media { .. } => {}
        }
    }
    // Not in the current turn alone, where it is demanded: what was sent once must stay as it was, or the cache is lost.
    let first = parts.iter_mut().find(|part| part["functionCall"].is_object());
    if let Some(call) = first.filter(|call| signed && !call["thoughtSignature"].is_string()) {
        call["thoughtSignature"] = json!(NO_SIGNATURE);
    }
    if parts.is_empty() {
        // Nothing but a note whose block is gone.
        parts.push(json!({"text": " "}));
    }
    parts
}

#[cfg(test)]
mod tests;
