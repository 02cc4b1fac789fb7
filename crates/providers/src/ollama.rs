//! Ollama's own interface: the request. The answer is read in [`decode`].
//!
//! A server whose window is smaller than the conversation leaves out its beginning and says nothing. So the window is always named,
//! and the server told to refuse instead; older servers do not know how to, and are found out in [`Dialect::judge`].

mod decode;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use serde_json::{Map, Value, json};
use types::{
    Block, MediaBytes, Message, ModelReply, ModelRequest, OutputSchema, ProviderError, ProviderErrorKind, Role,
    StopReason, ToolSpec,
};

use crate::{
    blocks::{arguments_object, in_words},
    conversation,
    frames::Framing,
    media::{MediaLimits, base64_of},
    quirks::{Quirks, Reasoning, SchemaForm, effort},
    wire::{Decoder, Dialect},
};

/// The window of a model of which nothing is known, in tokens. Larger ones cost memory whether they are used or not.
pub(crate) const DEFAULT_WINDOW: u64 = 32_768;
/// More bytes than a token of any tokenizer in use stands for on the average of a text.
const MOST_BYTES_PER_TOKEN: u64 = 8;
/// The deepest schema of a tool that is read.
const MAX_DEPTH: usize = 64;

/// The dialect, bound to a path, a vendor's ways and the windows of its models, in tokens by the model's name.
pub(crate) struct Ollama {
    path: &'static str,
    quirks: Quirks,
    windows: BTreeMap<String, u64>,
}

impl Ollama {
    /// For a base address with or without the `/api` that belongs to every path.
    pub(crate) fn new(base_url: &str, quirks: Quirks, windows: BTreeMap<String, u64>) -> Self {
        let with_api = base_url.trim_end_matches('/').ends_with("/api");
        Self { path: if with_api { "/chat" } else { "/api/chat" }, quirks, windows }
    }

    /// The model's window in tokens, for prompt and answer together. It must not change from request to request: the server loads
    /// the model anew for another one.
    fn window(&self, model: &str) -> u64 {
        self.windows.get(model).copied().unwrap_or(DEFAULT_WINDOW)
    }

    /// <https://docs.ollama.com/capabilities/thinking>: a yes or no, and a word for one family. A model that reasons does so unless
    /// it is told not to.
    fn think(&self, request: &ModelRequest) -> Option<Value> {
        let wanted = request.thinking_tokens.filter(|tokens| *tokens > 0);
        let usual = if request.model.contains("gpt-oss") { Reasoning::Effort } else { Reasoning::Adaptive };
        match self.quirks.reasoning(&request.model, usual) {
            Reasoning::None | Reasoning::Always => None,
            Reasoning::Effort => Some(json!(wanted.map_or("low", effort))),
            Reasoning::Budget | Reasoning::Adaptive => Some(json!(wanted.is_some())),
        }
    }
}

impl Dialect for Ollama {
    fn path(&self, _request: &ModelRequest, _stream: bool) -> Cow<'_, str> {
        self.path.into()
    }

    fn headers(&self) -> &[(&'static str, &'static str)] {
        &[]
    }

    fn media(&self) -> MediaLimits {
        let types = if self.quirks.images { MediaLimits::IMAGES.types } else { &[] };
        MediaLimits { types, ..MediaLimits::IMAGES }
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn body(&self, request: &ModelRequest, stream: bool) -> Value {
        let mut body = json!({
            "model": request.model,
            "messages": messages(request),
            "stream": stream,
            "options": {"num_ctx": self.window(&request.model), "num_predict": request.max_output_tokens},
            // The one is about the prompt, the other about an answer that outgrows the window.
            "truncate": false,
            "shift": false,
        });
        if !request.tools.is_empty() {
            body["tools"] = request.tools.iter().map(tool).collect();
        }
        if let Some(think) = self.think(request) {
            body["think"] = think;
        }
        if let Some(output) = &request.output {
            bind(output, self.quirks.schema, &mut body);
        }
        if let Some(time) = &self.quirks.keep_alive {
            body["keep_alive"] = time.parse::<i64>().map_or_else(|_| json!(time), |seconds| json!(seconds));
        }
        body
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(decode::OllamaDecoder::default())
    }

    fn whole(&self, answer: &Value) -> Result<ModelReply, ProviderError> {
        decode::whole(answer)
    }

    /// Finds out a server that has left out the beginning. What it counts does not prove that it has read all: it counts what is
    /// left, and some count without what they had in memory. But a prompt that fills the window, or whose text cannot fit into it,
    /// was not read whole.
    fn judge(&self, request: &ModelRequest, mut reply: ModelReply) -> Result<ModelReply, ProviderError> {
        let window = self.window(&request.model);
        let (read, said) = (reply.usage.context(), reply.usage.output);
        if read >= window || text_bytes(request) / MOST_BYTES_PER_TOKEN > window {
            let message = format!("the server cut the conversation to its window of {window} tokens");
            return Err(ProviderError::new(ProviderErrorKind::ContextOverflow, message));
        }
        let ended_early = said < u64::from(request.max_output_tokens);
        if reply.stop == StopReason::MaxTokens && ended_early && read.saturating_add(said) + 1 >= window {
            reply.stop = StopReason::ContextFull;
        }
        Ok(reply)
    }

    fn advice(&self, error: &ProviderError) -> Option<&'static str> {
        let says = |text: &str| error.message.contains(text);
        match error.kind {
            ProviderErrorKind::BadRequest if says("does not support tools") => {
                Some("choose a model that uses tools, as https://ollama.com/search?c=tools lists them")
            }
            ProviderErrorKind::BadRequest if says("does not support thinking") => {
                Some("say `none` for this model in `quirks.models` of this provider, or choose one that reasons")
            }
            ProviderErrorKind::NotFound if says("not found") => {
                Some("fetch it with `ollama pull` on the server, or correct the model's name")
            }
            _ => None,
        }
    }
}

/// Binds the answer to a form, or tells the model of it in words behind all else.
fn bind(output: &OutputSchema, form: SchemaForm, body: &mut Value) {
    match form {
        SchemaForm::Schema => {
            body["format"] = output.schema.clone();
            return;
        }
        SchemaForm::Object => body["format"] = json!("json"),
        SchemaForm::Words => {}
    }
    let words = in_words(output);
    let Some(messages) = body["messages"].as_array_mut() else { return };
    match messages.last_mut().filter(|last| last["role"] == "user").map(|last| &mut last["content"]) {
        Some(Value::String(text)) => *text = format!("{text}\n\n{words}"),
        Some(_) | None => messages.push(json!({"role": "user", "content": words})),
    }
}

/// The bytes of all text that goes out.
fn text_bytes(request: &ModelRequest) -> u64 {
    let blocks = request.messages.iter().flat_map(|message| &message.blocks).map(|block| match block {
        Block::Text { text } => text.len(),
        Block::ToolResult { content, .. } => content.len(),
        Block::Thinking { .. }
        | Block::RedactedThinking { .. }
        | Block::ToolUse { .. }
        | Block::Media { .. }
        | Block::Opaque { .. } => 0,
    });
    blocks.chain([request.system.len()]).map(|length| length as u64).sum()
}

fn messages(request: &ModelRequest) -> Vec<Value> {
    let mut messages = Vec::with_capacity(request.messages.len() + 1);
    if !request.system.trim().is_empty() {
        messages.push(json!({"role": "system", "content": &*request.system}));
    }
    // A result names its call's tool, and all calls stand before their results.
    let mut names: HashMap<String, String> = HashMap::new();
    for message in conversation::sound(&request.messages, is_sendable) {
        match message.role {
            Role::User => user_messages(&message, &names, &request.media, &mut messages),
            Role::Assistant => {
                names.extend(message.tool_uses().map(|call| (call.id, call.name)));
                messages.push(assistant_message(&message));
            }
        }
    }
    messages
}

/// Whether the server takes the block. Reasoning goes back: models that use tools lose their thread without it.
fn is_sendable(block: &Block) -> bool {
    match block {
        Block::Text { text } | Block::Thinking { text, .. } => !text.is_empty(),
        Block::ToolUse { .. } | Block::ToolResult { .. } | Block::Media { .. } => true,
        Block::RedactedThinking { .. } | Block::Opaque { .. } => false,
    }
}

fn assistant_message(message: &Message) -> Value {
    let mut sent = json!({"role": "assistant", "content": message.text()});
    let calls = message.tool_uses().map(|call| {
        let function = json!({"name": call.name, "arguments": arguments_object(&call.input)});
        json!({"id": call.id, "function": function})
    });
    let calls: Vec<Value> = calls.collect();
    if !calls.is_empty() {
        sent["tool_calls"] = Value::Array(calls);
    }
    let thoughts: Vec<&str> = message
        .blocks
        .iter()
        .filter_map(|block| if let Block::Thinking { text, .. } = block { Some(text.as_str()) } else { None })
        .collect();
    if !thoughts.is_empty() {
        sent["thinking"] = json!(thoughts.join("\n"));
    }
    sent
}

/// Each result is a message of its own, before what the user says. Pictures stand beside the text.
fn user_messages(message: &Message, names: &HashMap<String, String>, bytes: &MediaBytes, messages: &mut Vec<Value>) {
    let mut images = Vec::new();
    for block in &message.blocks {
        match block {
            Block::ToolResult { call, content, is_error } => {
                // The dialect has no mark for errors, so the text carries it.
                let content = if *is_error { format!("error: {content}") } else { content.clone() };
                let name = names.get(call).map_or("", String::as_str);
                messages.push(json!({"role": "tool", "tool_name": name, "tool_call_id": call, "content": content}));
            }
            Block::Media { media } => images.push(base64_of(media, bytes)),
            Block::Text { .. }
            | Block::Thinking { .. }
            | Block::RedactedThinking { .. }
            | Block::ToolUse { .. }
            | Block::Opaque { .. } => {}
        }
    }
    let content = message.text();
    if content.is_empty() && images.is_empty() {
        return;
    }
    let mut sent = json!({"role": "user", "content": content});
    if !images.is_empty() {
        sent["images"] = json!(images);
    }
    messages.push(sent);
}

fn tool(tool: &ToolSpec) -> Value {
    let mut parameters = object_schema(&tool.input_schema, 0);
    if !parameters["type"].is_string() {
        parameters["type"] = json!("object");
    }
    let function = json!({"name": tool.name, "description": tool.description, "parameters": parameters});
    json!({"type": "function", "function": function})
}

/// The schema with an object in the place of each `true` or `false`, which the server cannot read.
fn object_schema(schema: &Value, depth: usize) -> Value {
    let (Some(fields), true) = (schema.as_object(), depth < MAX_DEPTH) else { return Value::Object(Map::new()) };
    let mut fields = fields.clone();
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(|property| *property = object_schema(property, depth + 1));
    }
    if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
        choices.iter_mut().for_each(|choice| *choice = object_schema(choice, depth + 1));
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests;
