//! A request as the server saw it, in one view for all dialects.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::media;

/// A vendor's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Chat Completions.
    OpenaiChat,
    /// OpenAI Responses.
    OpenaiResponses,
    /// Google Gemini.
    Gemini,
    /// Ollama's own interface.
    Ollama,
}

/// What a request's address says, for the interface that has the model and the method there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Address {
    pub model: String,
    pub stream: bool,
    /// Whether the stream is asked for as events; it is one list otherwise.
    pub events: bool,
}

/// A tool call that the conversation contains.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenCall {
    /// Its id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments.
    pub input: Value,
}

/// A tool result that the conversation contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenResult {
    /// The id of the call it answers.
    pub call: String,
    /// The tool; empty when the call is not in the conversation.
    pub name: String,
    /// Its text.
    pub content: String,
    /// Whether it is marked as an error; OpenAI has no such mark.
    pub is_error: bool,
}

/// A picture or a document that the conversation contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenMedia {
    /// Its media type; empty when it stands as an address.
    pub media_type: String,
    /// Its bytes in base64.
    pub data: String,
}

/// One request to the server.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenRequest {
    /// How many requests the server had seen before.
    pub index: usize,
    /// The interface it came by.
    pub dialect: Dialect,
    /// The model it names.
    pub model: String,
    /// The system prompt, all of it.
    pub system: String,
    /// The tools, as sent; Gemini's are its function declarations.
    pub tools: Vec<Value>,
    /// The conversation, as sent, without the system prompt: messages, or the items of Responses.
    pub messages: Vec<Value>,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// The headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The whole body, as sent.
    pub body: Value,
    /// Whether a stream comes as one list.
    pub(super) listed: bool,
}

impl SeenRequest {
    pub(super) fn new(
        index: usize,
        dialect: Dialect,
        headers: BTreeMap<String, String>,
        address: Option<Address>,
        body: Value,
    ) -> Self {
        let all: Vec<Value> = match (dialect, &body["input"]) {
            (Dialect::OpenaiResponses, Value::String(text)) => vec![json!({"role": "user", "content": text})],
            (Dialect::OpenaiResponses, input) => input.as_array().cloned().unwrap_or_default(),
            (Dialect::Gemini, _) => body["contents"].as_array().cloned().unwrap_or_default(),
            _ => body["messages"].as_array().cloned().unwrap_or_default(),
        };
        let (system, messages) = match dialect {
            Dialect::Anthropic => (text_of(&body["system"]), all),
            Dialect::Gemini => (said(&body["systemInstruction"]), all),
            Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Ollama => {
                let (system, rest): (Vec<Value>, Vec<Value>) =
                    all.into_iter().partition(|message| matches!(role(message), "system" | "developer"));
                let instructions = body["instructions"].as_str().map(str::to_owned);
                let texts = system.iter().map(|message| text_of(&message["content"]));
                (instructions.into_iter().chain(texts).collect::<Vec<_>>().join("\n"), rest)
            }
        };
        let sent = blocks(&body["tools"]);
        let tools = match dialect {
            Dialect::Gemini => sent.iter().flat_map(|tool| blocks(&tool["functionDeclarations"])).cloned().collect(),
            _ => sent.to_vec(),
        };
        let address = address.unwrap_or_else(|| Address {
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            stream: body["stream"].as_bool().unwrap_or(dialect == Dialect::Ollama),
            events: true,
        });
        Self {
            index,
            dialect,
            model: address.model,
            system,
            tools,
            messages,
            stream: address.stream,
            headers,
            body,
            listed: !address.events,
        }
    }

    /// What the user wrote, message by message; tool results are not the user's writing.
    pub fn user_texts(&self) -> Vec<String> {
        let texts = self.messages.iter().filter(|message| role(message) == "user");
        texts.map(said).filter(|text| !text.is_empty()).collect()
    }

    /// The last thing that the user wrote.
    pub fn last_user_text(&self) -> String {
        self.user_texts().pop().unwrap_or_default()
    }

    /// The first thing that the user wrote.
    pub fn first_user_text(&self) -> String {
        self.user_texts().into_iter().next().unwrap_or_default()
    }

    /// Everything that the model has said so far, message by message.
    pub fn assistant_texts(&self) -> Vec<String> {
        let texts = self.messages.iter().filter(|message| role(message) == "assistant");
        texts.map(said).filter(|text| !text.is_empty()).collect()
    }

    /// Every tool call in the conversation, in order.
    pub fn tool_calls(&self) -> Vec<SeenCall> {
        let mut calls = Vec::new();
        for message in &self.messages {
            for block in blocks(&message["content"]).iter().filter(|block| block["type"] == "tool_use") {
                calls.push(SeenCall {
                    id: string(&block["id"]),
                    name: string(&block["name"]),
                    input: block["input"].clone(),
                });
            }
            for call in blocks(&message["parts"]).iter().filter_map(|part| part.get("functionCall")) {
                calls.push(SeenCall {
                    id: string(&call["id"]),
                    name: string(&call["name"]),
                    input: call["args"].clone(),
                });
            }
            calls.extend(item_call(message));
            for call in message["tool_calls"].as_array().into_iter().flatten() {
                let arguments = &call["function"]["arguments"];
                calls.push(SeenCall {
                    id: string(&call["id"]),
                    name: string(&call["function"]["name"]),
                    input: arguments
                        .as_str()
                        .and_then(|text| serde_json::from_str(text).ok())
                        .unwrap_or_else(|| arguments.clone()),
                });
            }
        }
        calls
    }

    /// Every tool result in the conversation, in order.
    pub fn tool_results(&self) -> Vec<SeenResult> {
        self.messages.iter().flat_map(|message| self.results_in(message)).collect()
    }

    /// The results that came since the model last spoke.
    pub fn last_tool_results(&self) -> Vec<SeenResult> {
        let last = self.messages.iter().rposition(|message| role(message) == "assistant");
        let since = last.map_or(0, |position| position + 1);
        self.messages[since..].iter().flat_map(|message| self.results_in(message)).collect()
    }

    /// Every picture and document in the conversation, in order.
    pub fn media(&self) -> Vec<SeenMedia> {
        media::all(&self.messages)
    }

    /// How many tool results the conversation has.
    pub fn tool_result_count(&self) -> usize {
        self.tool_results().len()
    }

    /// How many times the model has spoken since the user last wrote something.
    pub fn step(&self) -> usize {
        let written = |message: &Value| role(message) == "user" && !said(message).is_empty();
        let since = self.messages.iter().rposition(written).unwrap_or(0);
        let spoken = self.messages[since..].iter().map(|message| role(message) == "assistant").collect::<Vec<_>>();
        match self.dialect {
            Dialect::Anthropic | Dialect::OpenaiChat | Dialect::Gemini | Dialect::Ollama => {
                spoken.iter().filter(|spoken| **spoken).count()
            }
            // One answer is several items, one after the other.
            Dialect::OpenaiResponses => spoken.chunk_by(|a, b| a == b).filter(|run| run[0]).count(),
        }
    }

    /// Whether the whole body contains this text, in any place.
    pub fn contains(&self, text: &str) -> bool {
        fn within(value: &Value, text: &str) -> bool {
            match value {
                Value::String(string) => string.contains(text),
                Value::Array(items) => items.iter().any(|item| within(item, text)),
                Value::Object(map) => map.iter().any(|(key, item)| key.contains(text) || within(item, text)),
                Value::Null | Value::Bool(_) | Value::Number(_) => false,
            }
        }
        within(&self.body, text)
    }

    fn results_in(&self, message: &Value) -> Vec<SeenResult> {
        let name_of = |id: &str| {
            let calls = self.tool_calls();
            calls.into_iter().rfind(|call| call.id == id).map(|call| call.name).unwrap_or_default()
        };
        if let (Some(call), "tool") = (message["call_id"].as_str(), role(message)) {
            let content = text_of(&message["output"]);
            return vec![SeenResult { call: call.to_owned(), name: name_of(call), content, is_error: false }];
        }
        if role(message) == "tool" {
            let call = string(&message["tool_call_id"]);
            let name = message["tool_name"].as_str().map_or_else(|| name_of(&call), str::to_owned);
            return vec![SeenResult { call, name, content: text_of(&message["content"]), is_error: false }];
        }
        if message.get("parts").is_some() {
            let answers = blocks(&message["parts"]).iter().filter_map(|part| part.get("functionResponse"));
            let result = |answer: &Value| {
                let failed = answer["response"].get("error");
                let content = string(failed.unwrap_or(&answer["response"]["output"]));
                SeenResult {
                    call: string(&answer["id"]),
                    name: string(&answer["name"]),
                    content,
                    is_error: failed.is_some(),
                }
            };
            return answers.map(result).collect();
        }
        let results = blocks(&message["content"]).iter().filter(|block| block["type"] == "tool_result");
        results
            .map(|block| {
                let call = string(&block["tool_use_id"]);
                SeenResult {
                    name: name_of(&call),
                    call,
                    content: text_of(&block["content"]),
                    is_error: block["is_error"] == true,
                }
            })
            .collect()
    }
}

/// A message's role. An item of Responses that is no message is the model's, or the answer to a tool call.
pub(super) fn role(message: &Value) -> &str {
    match (message["role"].as_str(), message["type"].as_str()) {
        (Some("model"), _) => "assistant",
        (Some(role), _) => role,
        (None, Some(kind)) if kind.ends_with("_output") => "tool",
        (None, Some(_)) => "assistant",
        (None, None) => "",
    }
}

/// The text of a message. Gemini's comes in parts of one text, beside thoughts.
pub(super) fn said(message: &Value) -> String {
    match message["parts"].as_array() {
        Some(parts) => {
            let shown = parts.iter().filter(|part| part["thought"] != true);
            shown.filter_map(|part| part["text"].as_str()).collect()
        }
        None => text_of(&message["content"]),
    }
}

/// The tool call that an item of Responses is.
fn item_call(item: &Value) -> Option<SeenCall> {
    let input = match item["type"].as_str()? {
        "function_call" => {
            let arguments = item["arguments"].as_str().unwrap_or_default();
            serde_json::from_str(arguments).unwrap_or(Value::String(arguments.to_owned()))
        }
        "custom_tool_call" => item["input"].clone(),
        _ => return None,
    };
    Some(SeenCall { id: string(&item["call_id"]), name: string(&item["name"]), input })
}

/// The blocks of a content that is a list.
pub(super) fn blocks(content: &Value) -> &[Value] {
    content.as_array().map_or(&[], Vec::as_slice)
}

/// The text of a content: itself, or its text blocks joined by line breaks.
pub(super) fn text_of(content: &Value) -> String {
    match content.as_str() {
        Some(text) => text.to_owned(),
        None => {
            let texts = blocks(content).iter().filter_map(|block| block["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
