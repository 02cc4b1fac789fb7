//! Anthropic Messages, as the vendor writes it.

use serde_json::{Value, json};

use super::{
    reply::{Fault, Part, Reply},
    seen::SeenRequest,
    transport::{Event, fragments},
    usage::{InputTokens, conversation_seed, fnv, tokens},
};

/// The signature over reasoning at this place in a message. It depends on text and place alone, so that a changed or
/// moved block is noticed even after a restart.
pub(super) fn signature(position: usize, text: &str) -> String {
    format!("sig-{position}-{:016x}", fnv(0, text.as_bytes()))
}

/// The encrypted form of reasoning at this place in a message.
pub(super) fn redacted(position: usize) -> String {
    format!("sealed-{position}-{:016x}", fnv(1, &[position as u8]))
}

/// Whether a call's id has the form that this vendor gives.
pub(super) fn made(id: &Value) -> bool {
    id.as_str().is_some_and(|id| id.starts_with("toolu_"))
}

/// The blocks of an answer, as they stand in a whole message.
fn content(request: &SeenRequest, reply: &Reply) -> Vec<Value> {
    let seed = conversation_seed(request);
    let blocks = reply.parts.iter().enumerate().map(|(position, part)| {
        let id = || format!("toolu_{:016x}", fnv(seed, &[position as u8]));
        match part {
            Part::Think(text) => json!({"type": "thinking", "thinking": text, "signature": signature(position, text)}),
            Part::Redacted => json!({"type": "redacted_thinking", "data": redacted(position)}),
            Part::Say(text) => json!({"type": "text", "text": text}),
            Part::Call { name, input } => json!({"type": "tool_use", "id": id(), "name": name, "input": input}),
            Part::RawCall { name, arguments } => {
                json!({"type": "tool_use", "id": id(), "name": name, "input": arguments})
            }
        }
    });
    blocks.collect()
}

fn stop_reason(reply: &Reply) -> &str {
    let calls = reply.parts.iter().any(|part| matches!(part, Part::Call { .. } | Part::RawCall { .. }));
    match &reply.fault {
        Some(Fault::Refuse) => "refusal",
        Some(Fault::MaxTokens) => "max_tokens",
        Some(Fault::Stop(reason)) => reason,
        _ if calls => "tool_use",
        _ => "end_turn",
    }
}

fn usage(request: &SeenRequest, input: InputTokens, output: u64) -> Value {
    let hour = request.body.to_string().contains(r#""ttl":"1h""#);
    let (short, long) = if hour { (0, input.cache_write) } else { (input.cache_write, 0) };
    json!({
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
        "input_tokens": input.fresh,
        "cache_read_input_tokens": input.cache_read,
        "cache_creation_input_tokens": input.cache_write,
        "output_tokens": output,
    })
}

fn output_tokens(blocks: &[Value]) -> u64 {
    blocks.iter().map(|block| tokens(&block.to_string())).sum()
}

/// The answer in one piece.
pub(super) fn whole(request: &SeenRequest, reply: &Reply, input: InputTokens) -> Value {
    let content = content(request, reply);
    let output = output_tokens(&content);
    json!({
        "id": format!("msg_{:016x}", conversation_seed(request)),
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": content,
        "stop_reason": stop_reason(reply),
        "stop_sequence": null,
        "usage": usage(request, input, output),
    })
}

/// The answer as a stream of events.
pub(super) fn events(request: &SeenRequest, reply: &Reply, input: InputTokens) -> Vec<Event> {
    let content = content(request, reply);
    let output = output_tokens(&content);
    let mut start = whole(request, reply, input);
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    start["usage"]["output_tokens"] = json!(1);
    let mut events = vec![event(json!({"type": "message_start", "message": start})), event(json!({"type": "ping"}))];
    for (index, (block, part)) in content.iter().zip(&reply.parts).enumerate() {
        block_events(&mut events, index, block, part);
        if reply.noise {
            events.push(event(json!({"type": "ping"})));
            events.push(event(json!({"type": "event_of_the_future", "index": index, "delta": {"type": "text_delta"}})));
        }
    }
    let delta = json!({"stop_reason": stop_reason(reply), "stop_sequence": null});
    events.push(event(json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": output}})));
    events.push(event(json!({"type": "message_stop"})));
    events
}

fn block_events(events: &mut Vec<Event>, index: usize, block: &Value, part: &Part) {
    let mut start = block.clone();
    let mut deltas = Vec::new();
    match part {
        Part::Think(text) => {
            start["thinking"] = json!("");
            start["signature"] = json!("");
            deltas.extend(fragments(text).map(|piece| json!({"type": "thinking_delta", "thinking": piece})));
            deltas.push(json!({"type": "signature_delta", "signature": block["signature"]}));
        }
        Part::Redacted => {}
        Part::Say(text) => {
            start["text"] = json!("");
            deltas.extend(fragments(text).map(|piece| json!({"type": "text_delta", "text": piece})));
        }
        Part::Call { input, .. } => {
            start["input"] = json!({});
            // The vendor sends nothing, or one empty piece, for a call without arguments.
            let arguments = if *input == json!({}) { String::new() } else { input.to_string() };
            deltas.push(json!({"type": "input_json_delta", "partial_json": ""}));
            deltas
                .extend(fragments(&arguments).map(|piece| json!({"type": "input_json_delta", "partial_json": piece})));
        }
        Part::RawCall { arguments, .. } => {
            start["input"] = json!({});
            deltas.extend(fragments(arguments).map(|piece| json!({"type": "input_json_delta", "partial_json": piece})));
        }
    }
    events.push(event(json!({"type": "content_block_start", "index": index, "content_block": start})));
    for delta in deltas {
        events.push(event(json!({"type": "content_block_delta", "index": index, "delta": delta})));
    }
    events.push(event(json!({"type": "content_block_stop", "index": index})));
}

fn event(data: Value) -> Event {
    Event { name: data["type"].as_str().map(str::to_owned), data: data.to_string() }
}

/// An error inside a stream.
pub(super) fn error_event(kind: &str, message: &str) -> Event {
    event(json!({"type": "error", "error": {"type": kind, "message": message}}))
}

/// The body of an HTTP error.
pub(super) fn error_body(status: u16, message: &str) -> Value {
    let kind = match status {
        400 | 402 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": message}})
}

/// What the vendor says of a conversation that is too long.
pub(super) fn overflow_body() -> Value {
    error_body(400, "prompt is too long: 215000 tokens > 200000 maximum")
}
