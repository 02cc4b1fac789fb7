//! OpenAI Responses, as the vendor writes it. It keeps nothing between requests: whoever talks to it works stateless.

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

/// The encrypted form of reasoning. It depends on the shown summary alone, so that a changed item is noticed even after
/// a restart.
fn encrypted(summary: &str) -> String {
    format!("enc-{:016x}", fnv(2, summary.as_bytes()))
}

/// Whether the vendor made this item right after a reasoning item, without which it does not take it back.
fn follows_reasoning(id: &str) -> bool {
    id.ends_with("-after")
}

/// The items of an answer, whole.
fn items(request: &SeenRequest, reply: &Reply) -> Vec<Value> {
    let seed = conversation_seed(request);
    let sealed =
        request.body["include"].as_array().is_some_and(|list| list.contains(&json!("reasoning.encrypted_content")));
    let mut items: Vec<Value> = Vec::new();
    for (position, part) in reply.parts.iter().enumerate() {
        let number = fnv(seed, &[position as u8]);
        let after = items.last().is_some_and(|item| item["type"] == "reasoning");
        let id = |kind: &str| format!("{kind}_{number:016x}{}", if after { "-after" } else { "" });
        let call_id = format!("call_{number:016x}");
        items.push(match part {
            Part::Think(text) => reasoning(&id("rs"), &json!([{"type": "summary_text", "text": text}]), text, sealed),
            Part::Redacted => reasoning(&id("rs"), &json!([]), "", sealed),
            Part::Say(text) => {
                let content = if reply.fault == Some(Fault::Refuse) {
                    json!([{"type": "refusal", "refusal": text}])
                } else {
                    json!([{"type": "output_text", "text": text, "annotations": [], "logprobs": []}])
                };
                json!({"type": "message", "id": id("msg"), "role": "assistant", "status": "completed", "content": content})
            }
            Part::Call { name, input } => match input.as_str() {
                // A freeform tool takes a text; a function takes an object.
                Some(text) => custom_call(&id("ctc"), &call_id, name, text),
                None => function_call(&id("fc"), &call_id, name, &input.to_string()),
            },
            Part::RawCall { name, arguments } => function_call(&id("fc"), &call_id, name, arguments),
        });
    }
    items
}

fn reasoning(id: &str, summary: &Value, text: &str, sealed: bool) -> Value {
    let mut item = json!({"type": "reasoning", "id": id, "summary": summary});
    if sealed {
        item["encrypted_content"] = json!(encrypted(text));
    }
    item
}

fn custom_call(id: &str, call_id: &str, name: &str, input: &str) -> Value {
    json!({"type": "custom_tool_call", "id": id, "call_id": call_id, "name": name, "input": input, "status": "completed"})
}

fn function_call(id: &str, call_id: &str, name: &str, arguments: &str) -> Value {
    json!({
        "type": "function_call",
        "id": id,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": "completed",
    })
}

fn usage(input: InputTokens, items: &[Value]) -> Value {
    let reasoning: u64 =
        items.iter().filter(|item| item["type"] == "reasoning").map(|item| tokens(&item["summary"].to_string())).sum();
    let rest = items.iter().filter(|item| item["type"] != "reasoning").map(|item| tokens(&item.to_string()));
    let output = reasoning + rest.sum::<u64>();
    let prompt = input.fresh + input.cache_read;
    json!({
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": input.cache_read},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": prompt + output,
    })
}

/// The frame around an answer, with what it says of how it ended.
fn frame(request: &SeenRequest, reply: &Reply) -> Value {
    let mut frame = json!({
        "id": format!("resp_{:016x}", conversation_seed(request)),
        "object": "response",
        "created_at": 1_700_000_000,
        "model": request.model,
        "status": "completed",
        "error": null,
        "incomplete_details": null,
        "output": [],
        "parallel_tool_calls": request.body["parallel_tool_calls"].as_bool().unwrap_or(true),
        "store": request.body["store"].as_bool().unwrap_or(true),
        "usage": null,
    });
    match &reply.fault {
        Some(Fault::MaxTokens) => incomplete(&mut frame, "max_output_tokens"),
        Some(Fault::Stop(reason)) => incomplete(&mut frame, reason),
        Some(Fault::Failed { code, message }) => failed(&mut frame, code, message),
        Some(Fault::ContextOverflow) => failed(&mut frame, "context_length_exceeded", OVERFLOW),
        _ => {}
    }
    frame
}

fn incomplete(frame: &mut Value, reason: &str) {
    frame["status"] = json!("incomplete");
    frame["incomplete_details"] = json!({"reason": reason});
}

fn failed(frame: &mut Value, code: &str, message: &str) {
    frame["status"] = json!("failed");
    frame["error"] = json!({"code": code, "message": message});
}

/// The answer in one piece.
pub(super) fn whole(request: &SeenRequest, reply: &Reply, input: InputTokens) -> Value {
    let mut frame = frame(request, reply);
    if frame["status"] != "failed" {
        let items = items(request, reply);
        frame["usage"] = usage(input, &items);
        frame["output"] = Value::Array(items);
    }
    frame
}

/// The answer as a stream of events. There is no `[DONE]`: the last event says how the answer ended.
pub(super) fn events(request: &SeenRequest, reply: &Reply, input: InputTokens) -> Vec<Event> {
    let last = whole(request, reply, input);
    let mut begun = frame(request, reply);
    begun["status"] = json!("in_progress");
    begun["error"] = Value::Null;
    begun["incomplete_details"] = Value::Null;
    let mut events = vec![
        json!({"type": "response.created", "response": begun}),
        json!({"type": "response.in_progress", "response": begun}),
    ];
    for (index, item) in last["output"].as_array().into_iter().flatten().enumerate() {
        item_events(&mut events, index, item);
        if reply.noise {
            events.push(json!({"type": "response.event_of_the_future", "output_index": index, "delta": {"text": "?"}}));
        }
    }
    let kind = format!("response.{}", last["status"].as_str().expect("every frame has a status"));
    events.push(json!({"type": kind, "response": last}));
    let numbered = events.into_iter().enumerate().map(|(number, mut data)| {
        data["sequence_number"] = json!(number);
        event(&data)
    });
    numbered.collect()
}

fn item_events(events: &mut Vec<Value>, index: usize, item: &Value) {
    let mut begun = item.clone();
    for (key, empty) in [("content", json!([])), ("summary", json!([])), ("arguments", json!("")), ("input", json!(""))]
    {
        if begun.get(key).is_some() {
            begun[key] = empty;
        }
    }
    if begun.get("status").is_some() {
        begun["status"] = json!("in_progress");
    }
    events.push(json!({"type": "response.output_item.added", "output_index": index, "item": begun}));
    let place = json!({"item_id": item["id"], "output_index": index});
    match item["type"].as_str() {
        Some("reasoning") => {
            for (at, part) in item["summary"].as_array().into_iter().flatten().enumerate() {
                let place = at_part(&place, "summary_index", at);
                part_events(events, &place, "reasoning_summary_part", "reasoning_summary_text", "text", part);
            }
        }
        Some("message") => {
            for (at, part) in item["content"].as_array().into_iter().flatten().enumerate() {
                let place = at_part(&place, "content_index", at);
                let refused = part["type"] == "refusal";
                let (name, key) = if refused { ("refusal", "refusal") } else { ("output_text", "text") };
                part_events(events, &place, "content_part", name, key, part);
            }
        }
        Some("function_call") => {
            text_events(events, &place, "function_call_arguments", "arguments", &item["arguments"])
        }
        Some("custom_tool_call") => text_events(events, &place, "custom_tool_call_input", "input", &item["input"]),
        _ => {}
    }
    events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
}

fn at_part(place: &Value, key: &str, at: usize) -> Value {
    let mut place = place.clone();
    place[key] = json!(at);
    place
}

/// One part of an item: it is announced empty, filled, and given whole.
fn part_events(events: &mut Vec<Value>, place: &Value, frame: &str, name: &str, key: &str, part: &Value) {
    let mut begun = part.clone();
    begun[key] = json!("");
    events.push(with(place, &format!("response.{frame}.added"), "part", begun));
    text_events(events, place, name, key, &part[key]);
    events.push(with(place, &format!("response.{frame}.done"), "part", part.clone()));
}

fn text_events(events: &mut Vec<Value>, place: &Value, name: &str, key: &str, text: &Value) {
    let pieces = fragments(text.as_str().unwrap_or_default());
    events.extend(pieces.map(|piece| with(place, &format!("response.{name}.delta"), "delta", json!(piece))));
    events.push(with(place, &format!("response.{name}.done"), key, text.clone()));
}

fn with(place: &Value, kind: &str, key: &str, value: Value) -> Value {
    let mut data = place.clone();
    data["type"] = json!(kind);
    data[key] = value;
    data
}

fn event(data: &Value) -> Event {
    Event { name: data["type"].as_str().map(str::to_owned), data: data.to_string() }
}

/// An error inside a stream. The documented form is flat; what the vendor sends has the error in a field of its own.
pub(super) fn error_event(kind: &str, message: &str, documented: bool) -> Event {
    if documented {
        return event(&json!({"type": "error", "code": kind, "message": message, "param": null, "sequence_number": 2}));
    }
    let error = json!({"type": kind, "code": kind, "message": message, "param": null});
    event(&json!({"type": "error", "error": error, "sequence_number": 2}))
}

/// What the vendor says of a conversation that is too long.
const OVERFLOW: &str = "Your input exceeds the context window of this model. Please adjust your input and try again.";

/// The same as the body of an HTTP error, which a request without a stream gets.
pub(super) fn overflow_body() -> Value {
    json!({"error": {
        "message": OVERFLOW,
        "type": "invalid_request_error",
        "param": "input",
        "code": "context_length_exceeded",
    }})
}
