//! Ollama's own interface, as the server writes it: lines of JSON.

mod rules;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use super::{
    reply::{Fault, Part, Reply},
    seen::SeenRequest,
    transport::{Event, fragments},
    usage::{InputTokens, conversation_seed, fnv, tokens},
};

pub(in crate::model) use rules::check;

/// The window of a server that is told nothing.
const DEFAULT_WINDOW: u64 = 4096;

/// What the server says where the conversation does not fit and it is told not to cut it.
pub(super) const OVERFLOW: &str = "the input length exceeds the context length";

/// How much of the conversation the model sees, in tokens: all of it, or what is left when it is cut, which nobody is told. None
/// where it must not be cut.
pub(super) fn read_tokens(request: &SeenRequest, input: InputTokens) -> Option<u64> {
    let window = request.body["options"]["num_ctx"].as_u64().unwrap_or(DEFAULT_WINDOW);
    let whole = input.fresh + input.cache_read;
    match whole < window {
        true => Some(whole),
        false => (request.body["truncate"] != false).then_some(window / 2 + 2),
    }
}

/// The parts of an answer as pieces of messages.
fn messages(request: &SeenRequest, reply: &Reply) -> Vec<Value> {
    let seed = conversation_seed(request);
    let parts = reply.parts.iter().enumerate().filter_map(|(position, part)| {
        let id = format!("call_{:08x}", fnv(seed, &[position as u8]) >> 32);
        let call = |name: &str, arguments: Value| {
            let function = json!({"index": 0, "name": name, "arguments": arguments});
            json!({"role": "assistant", "content": "", "tool_calls": [{"id": id, "function": function}]})
        };
        match part {
            Part::Think(text) => Some(json!({"role": "assistant", "content": "", "thinking": text})),
            Part::Redacted => None,
            Part::Say(text) => Some(json!({"role": "assistant", "content": text})),
            Part::Call { name, input } => Some(call(name, input.clone())),
            // Imitators give the characters as they are.
            Part::RawCall { name, arguments } => Some(call(name, json!(arguments))),
        }
    });
    parts.collect()
}

fn line(request: &SeenRequest, message: Value, done: bool) -> Value {
    json!({"model": request.model, "created_at": "2026-01-01T00:00:00.000000001Z", "message": message, "done": done})
}

/// The frame of the last line, which counts.
fn last(request: &SeenRequest, reply: &Reply, input: InputTokens, message: Value) -> Value {
    let reason = match &reply.fault {
        Some(Fault::MaxTokens) => "length",
        Some(Fault::Stop(reason)) => reason,
        _ => "stop",
    };
    let said: u64 = messages(request, reply).iter().map(|message| tokens(&message.to_string())).sum();
    let mut last = line(request, message, true);
    last["done_reason"] = json!(reason);
    last["total_duration"] = json!(4_883_583_458_u64);
    // What is zero is left out.
    let counts = [("prompt_eval_count", read_tokens(request, input).unwrap_or(0)), ("eval_count", said)];
    for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        last[name] = json!(count);
    }
    last
}

/// The answer in one piece.
pub(super) fn whole(request: &SeenRequest, reply: &Reply, input: InputTokens) -> Value {
    let mut all = json!({"role": "assistant", "content": ""});
    for message in messages(request, reply) {
        for key in ["content", "thinking"] {
            let piece = message[key].as_str().unwrap_or_default();
            if !piece.is_empty() {
                all[key] = json!(format!("{}{piece}", all[key].as_str().unwrap_or_default()));
            }
        }
        if let Some(calls) = message["tool_calls"].as_array() {
            let mut so_far = all["tool_calls"].as_array().cloned().unwrap_or_default();
            so_far.extend(calls.iter().cloned());
            all["tool_calls"] = json!(so_far);
        }
    }
    last(request, reply, input, all)
}

/// The answer as lines.
pub(super) fn events(request: &SeenRequest, reply: &Reply, input: InputTokens) -> Vec<Event> {
    let mut lines = Vec::new();
    for message in messages(request, reply) {
        let key = if message.get("thinking").is_some() { "thinking" } else { "content" };
        let pieces: Vec<Value> = fragments(message[key].as_str().unwrap_or_default())
            .map(|fragment| {
                let mut piece = message.clone();
                piece[key] = json!(fragment);
                piece
            })
            .collect();
        let pieces = if pieces.is_empty() { vec![message] } else { pieces };
        lines.extend(pieces.into_iter().map(|piece| line(request, piece, false)));
    }
    lines.push(last(request, reply, input, json!({"role": "assistant", "content": ""})));
    if reply.noise {
        lines.iter_mut().for_each(|line| line["of_the_future"] = json!({"nested": [1, 2, 3]}));
    }
    lines.iter().map(|line| Event { name: None, data: line.to_string() }).collect()
}

/// What an answer counts for.
pub(super) fn output_tokens(answer: &Value) -> u64 {
    answer["eval_count"].as_u64().unwrap_or(0)
}

/// An error inside a stream: the text is all that there is.
pub(super) fn error_event(message: &str) -> Event {
    Event { name: None, data: error_body(message).to_string() }
}

/// The body of an HTTP error.
pub(super) fn error_body(message: &str) -> Value {
    json!({"error": message})
}
