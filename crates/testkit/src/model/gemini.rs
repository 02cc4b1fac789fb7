//! Google Gemini, as the vendor writes it: `generateContent` and its stream, which is a list unless events are asked for.

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

/// What stands for the signature of a call that another vendor's model made.
const STAND_INS: [&str; 2] = ["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"];

/// The signature over a part. It depends on what the part says alone, so that a changed part is noticed even after a restart.
fn signature(part: &Value) -> String {
    let call = &part["functionCall"];
    let said = match call.is_object() {
        true => format!("{} {}", call["name"], call["args"]),
        false => part["text"].as_str().unwrap_or_default().to_owned(),
    };
    // The digits are base64 as well, which is what the vendor's signatures are.
    format!("{:016x}", fnv(3, said.as_bytes()))
}

fn sign(part: &mut Value) {
    part["thoughtSignature"] = json!(signature(part));
}

/// The parts of an answer, whole. A model that reasons signs the first call, or else an empty text at the end.
fn parts(request: &SeenRequest, reply: &Reply) -> Vec<Value> {
    let seed = conversation_seed(request);
    let mut parts: Vec<Value> = Vec::new();
    for (position, part) in reply.parts.iter().enumerate() {
        let id = format!("{:08x}", fnv(seed, &[position as u8]) >> 32);
        let call = |name: &str, args: &Value| json!({"functionCall": {"id": id, "name": name, "args": args}});
        match part {
            Part::Think(text) => parts.push(json!({"text": text, "thought": true})),
            Part::Redacted => {}
            Part::Say(text) => parts.push(json!({"text": text})),
            Part::Call { name, input } => parts.push(call(name, input)),
            Part::RawCall { name, arguments } => parts.extend(readable(arguments).map(|args| call(name, &args))),
        }
    }
    let reasons = reply.parts.iter().any(|part| matches!(part, Part::Think(_) | Part::Redacted));
    if reasons || is_third_series(request) {
        match parts.iter_mut().find(|part| part["functionCall"].is_object()) {
            Some(call) => sign(call),
            None => {
                let mut last = json!({"text": ""});
                sign(&mut last);
                parts.push(last);
            }
        }
    }
    parts
}

/// Whether the model refuses calls without signatures.
fn is_third_series(request: &SeenRequest) -> bool {
    request.model.starts_with("gemini-3")
}

/// The arguments that characters say; none where they say no object.
fn readable(arguments: &str) -> Option<Value> {
    serde_json::from_str(arguments).ok().filter(Value::is_object)
}

fn finish_reason(reply: &Reply) -> &str {
    let unreadable = |part: &Part| matches!(part, Part::RawCall { arguments, .. } if readable(arguments).is_none());
    match &reply.fault {
        Some(Fault::Refuse) => "SAFETY",
        Some(Fault::MaxTokens) => "MAX_TOKENS",
        Some(Fault::Stop(reason)) => reason,
        _ if reply.parts.iter().any(unreadable) => "MALFORMED_FUNCTION_CALL",
        _ => "STOP",
    }
}

fn usage(input: InputTokens, parts: &[Value]) -> Value {
    let count = |thought: bool| -> u64 {
        let counted = parts.iter().filter(|part| (part["thought"] == true) == thought);
        counted.map(|part| tokens(&part.to_string())).sum()
    };
    let (thoughts, candidates) = (count(true), count(false));
    let prompt = input.fresh + input.cache_read;
    let mut usage = json!({
        "promptTokenCount": prompt,
        "candidatesTokenCount": candidates,
        "totalTokenCount": prompt + candidates + thoughts,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    });
    // What is zero is left out.
    if thoughts > 0 {
        usage["thoughtsTokenCount"] = json!(thoughts);
    }
    if input.cache_read > 0 {
        usage["cachedContentTokenCount"] = json!(input.cache_read);
    }
    usage
}

/// What an answer counts for.
pub(super) fn output_tokens(answer: &Value) -> u64 {
    let count = |key: &str| answer["usageMetadata"][key].as_u64().unwrap_or(0);
    count("candidatesTokenCount") + count("thoughtsTokenCount")
}

fn chunk(request: &SeenRequest, parts: &[Value], usage: Value) -> Value {
    json!({
        "candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}],
        "usageMetadata": usage,
        "modelVersion": request.model,
        "responseId": format!("{:016x}", conversation_seed(request)),
    })
}

/// The answer in one piece.
pub(super) fn whole(request: &SeenRequest, reply: &Reply, input: InputTokens) -> Value {
    let parts = parts(request, reply);
    let mut answer = chunk(request, &parts, usage(input, &parts));
    answer["candidates"][0]["finishReason"] = json!(finish_reason(reply));
    answer
}

/// The answer as a stream of events. Texts come in pieces, calls whole; the last event says why the model stopped.
pub(super) fn events(request: &SeenRequest, reply: &Reply, input: InputTokens) -> Vec<Event> {
    let all = parts(request, reply);
    let mut pieces: Vec<Value> = Vec::new();
    for part in &all {
        match part["text"].as_str() {
            Some(text) if !text.is_empty() => {
                let fragments = fragments(text).map(|fragment| {
                    let mut piece = part.clone();
                    piece["text"] = json!(fragment);
                    piece
                });
                pieces.extend(fragments);
            }
            _ => pieces.push(part.clone()),
        }
    }
    let mut chunks = Vec::new();
    for piece in pieces {
        // Until the end the vendor knows the prompt alone.
        let so_far = json!({"promptTokenCount": input.fresh + input.cache_read});
        chunks.push(chunk(request, &[piece], so_far));
        if reply.noise {
            chunks.push(json!({"eventOfTheFuture": {"nested": [1, 2, 3]}}));
        }
    }
    let mut last = chunk(request, &[], usage(input, &all));
    last["candidates"][0]["finishReason"] = json!(finish_reason(reply));
    if reply.noise {
        last["candidates"][0]["safetyRatings"] = json!([{"category": "OF_THE_FUTURE", "probability": "NEGLIGIBLE"}]);
    }
    chunks.push(last);
    chunks.iter().map(|chunk| Event { name: None, data: chunk.to_string() }).collect()
}

/// Google's names for kinds of errors.
fn status_name(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

/// An error inside a stream. The kinds are named as elsewhere.
pub(super) fn error_event(kind: &str, message: &str) -> Event {
    let status = match kind {
        "overloaded_error" => 503,
        "rate_limit_error" => 429,
        "invalid_request_error" => 400,
        _ => 500,
    };
    Event { name: None, data: error_body(status, message, None).to_string() }
}

/// The body of an HTTP error. How many seconds to wait stands in it, not in the head.
pub(super) fn error_body(status: u16, message: &str, wait: Option<f64>) -> Value {
    let mut error = json!({"code": status, "message": message, "status": status_name(status)});
    if let Some(seconds) = wait {
        let kind = "type.googleapis.com/google.rpc.RetryInfo";
        error["details"] = json!([{"@type": kind, "retryDelay": format!("{seconds}s")}]);
    }
    json!({"error": error})
}

/// What the vendor says of a conversation that is too long.
pub(super) fn overflow_body() -> Value {
    let message = "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).";
    error_body(400, message, None)
}
