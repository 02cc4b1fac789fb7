//! OpenAI Chat Completions, as the vendor and its imitators write it.

use serde_json::{Value, json};

use super::{
    reply::{Fault, Part, Reply},
    seen::SeenRequest,
    transport::{Event, fragments},
    usage::{InputTokens, conversation_seed, fnv, tokens},
};

struct Content {
    text: String,
    reasoning: String,
    details: Vec<Value>,
    refusal: Option<String>,
    calls: Vec<(String, String, String)>,
}

fn content(request: &SeenRequest, reply: &Reply) -> Content {
    let seed = conversation_seed(request);
    let mut content = Content {
        text: String::new(),
        reasoning: String::new(),
        details: Vec::new(),
        refusal: None,
        calls: Vec::new(),
    };
    for (position, part) in reply.parts.iter().enumerate() {
        let id = format!("call_{:016x}", fnv(seed, &[position as u8]));
        match part {
            Part::Think(text) => content.reasoning.push_str(text),
            Part::Redacted => content.details.push(detail(content.details.len())),
            Part::Say(text) => content.text.push_str(text),
            Part::Call { name, input } => {
                let arguments = if *input == json!({}) { String::new() } else { input.to_string() };
                content.calls.push((id, name.clone(), arguments));
            }
            Part::RawCall { name, arguments } => content.calls.push((id, name.clone(), arguments.clone())),
        }
    }
    if reply.fault == Some(Fault::Refuse) {
        content.refusal = Some(std::mem::take(&mut content.text));
    }
    content
}

/// Encrypted reasoning as OpenRouter gives it, from which it takes it back.
fn detail(index: usize) -> Value {
    let data = format!("sealed-{:016x}", fnv(3, &[index as u8]));
    json!({"type": "reasoning.encrypted", "data": data, "id": format!("rd_{index}"), "format": "mock-v1", "index": index})
}

/// Whether these `reasoning_details` are such as were given.
pub(super) fn gave(details: &Value) -> bool {
    details.as_array().is_some_and(|details| details.iter().enumerate().all(|(index, given)| *given == detail(index)))
}

fn finish_reason<'a>(reply: &'a Reply, content: &Content) -> &'a str {
    match &reply.fault {
        Some(Fault::MaxTokens) => "length",
        Some(Fault::Stop(reason)) => reason,
        _ if !content.calls.is_empty() => "tool_calls",
        _ => "stop",
    }
}

fn usage(input: InputTokens, content: &Content) -> Value {
    let reasoning = if content.reasoning.is_empty() { 0 } else { tokens(&content.reasoning) };
    let calls: u64 = content.calls.iter().map(|(_, name, arguments)| tokens(name) + tokens(arguments)).sum();
    let output = tokens(&content.text) + calls + reasoning;
    let prompt = input.fresh + input.cache_read;
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": input.cache_read},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    })
}

/// The answer in one piece.
pub(super) fn whole(request: &SeenRequest, reply: &Reply, input: InputTokens) -> Value {
    let content = content(request, reply);
    let mut message = json!({"role": "assistant", "content": content.text, "refusal": content.refusal});
    if content.text.is_empty() {
        message["content"] = Value::Null;
    }
    if !content.reasoning.is_empty() {
        message["reasoning_content"] = json!(content.reasoning);
    }
    if !content.details.is_empty() {
        message["reasoning_details"] = json!(content.details);
    }
    if !content.calls.is_empty() {
        let calls = content.calls.iter().map(|(id, name, arguments)| {
            json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
        });
        message["tool_calls"] = calls.collect();
    }
    json!({
        "id": format!("chatcmpl-{:016x}", conversation_seed(request)),
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": request.model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(reply, &content)}],
        "usage": usage(input, &content),
    })
}

/// The answer as a stream of chunks.
pub(super) fn events(request: &SeenRequest, reply: &Reply, input: InputTokens) -> Vec<Event> {
    let content = content(request, reply);
    let chunk = |delta: Value, finish: Option<&str>| {
        let mut chunk = json!({
            "id": format!("chatcmpl-{:016x}", conversation_seed(request)),
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": request.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        });
        if reply.noise {
            chunk["system_fingerprint"] = json!("fp_0");
            chunk["choices"][0]["future_field"] = json!({"nested": [1, 2, 3]});
        }
        Event { name: None, data: chunk.to_string() }
    };
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), None)];
    events.extend(fragments(&content.reasoning).map(|piece| chunk(json!({"reasoning_content": piece}), None)));
    events.extend(content.details.iter().map(|detail| chunk(json!({"reasoning_details": [detail]}), None)));
    events.extend(fragments(&content.text).map(|piece| chunk(json!({"content": piece}), None)));
    if let Some(refusal) = &content.refusal {
        events.extend(fragments(refusal).map(|piece| chunk(json!({"refusal": piece}), None)));
    }
    let starts = content.calls.iter().enumerate().map(|(index, (id, name, _))| {
        let function = json!({"name": name, "arguments": ""});
        json!([{"index": index, "id": id, "type": "function", "function": function}])
    });
    events.extend(starts.map(|start| chunk(json!({"tool_calls": start}), None)));
    // The arguments of parallel calls come interleaved: only the index says whose they are.
    let mut pieces: Vec<Vec<String>> =
        content.calls.iter().map(|(_, _, arguments)| fragments(arguments).map(str::to_owned).collect()).collect();
    while pieces.iter().any(|left| !left.is_empty()) {
        for (index, left) in pieces.iter_mut().enumerate().filter(|(_, left)| !left.is_empty()) {
            let delta = json!([{"index": index, "function": {"arguments": left.remove(0)}}]);
            events.push(chunk(json!({"tool_calls": delta}), None));
        }
    }
    events.push(chunk(json!({}), Some(finish_reason(reply, &content))));
    if request.body["stream_options"]["include_usage"] == true {
        let mut last: Value = json!({"object": "chat.completion.chunk", "model": request.model, "choices": []});
        last["usage"] = usage(input, &content);
        events.push(Event { name: None, data: last.to_string() });
    }
    events.push(Event { name: None, data: "[DONE]".to_owned() });
    events
}

/// An error inside a stream.
pub(super) fn error_event(kind: &str, message: &str) -> Event {
    Event { name: None, data: json!({"error": {"type": kind, "message": message, "code": null}}).to_string() }
}

/// The body of an HTTP error.
pub(super) fn error_body(status: u16, message: &str) -> Value {
    let (kind, code) = match status {
        401 => ("invalid_request_error", json!("invalid_api_key")),
        404 => ("invalid_request_error", json!("model_not_found")),
        429 => ("requests", json!("rate_limit_exceeded")),
        500.. => ("server_error", Value::Null),
        _ => ("invalid_request_error", Value::Null),
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

/// What the vendor says of a conversation that is too long.
pub(super) fn overflow_body() -> Value {
    json!({"error": {
        "message": "This model's maximum context length is 128000 tokens. However, your messages resulted in 140000 tokens.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }})
}
