//! The vendors' published rules for requests. A breach is what the real vendor answers with status 400.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    anthropic, gemini, media, ollama, openai, responses,
    seen::{Dialect, SeenRequest, blocks, role},
};

pub(super) type Checked = Result<(), String>;

/// Checks a request; the error says which rule it breaks and where.
pub(super) fn check(request: &SeenRequest) -> Checked {
    ensure(!request.model.is_empty(), || "model: must not be empty".to_owned())?;
    ensure(!request.messages.is_empty(), || "messages: at least one message is required".to_owned())?;
    media::check(request)?;
    match request.dialect {
        Dialect::Anthropic => check_anthropic(request),
        Dialect::OpenaiChat => check_chat(request),
        Dialect::OpenaiResponses => responses::check(request),
        Dialect::Gemini => gemini::check(request),
        Dialect::Ollama => ollama::check(request),
    }
}

pub(super) fn ensure(holds: bool, message: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(message()) }
}

fn check_anthropic(request: &SeenRequest) -> Checked {
    ensure(request.headers.contains_key("anthropic-version"), || "anthropic-version: header is required".to_owned())?;
    let max_tokens = request.body["max_tokens"].as_u64().unwrap_or(0);
    ensure(max_tokens > 0, || "max_tokens: a positive number is required".to_owned())?;
    let marks = count_marks(&request.body);
    ensure(marks <= 4, || format!("a maximum of 4 blocks with cache_control may be provided; found {marks}"))?;
    check_thinking(request, max_tokens)?;
    check_output(&request.body)?;
    let mut ids = HashSet::new();
    for (at, message) in request.messages.iter().enumerate() {
        check_order(request, at)?;
        check_blocks(message, at)?;
        check_calls(request, at, &mut ids)?;
    }
    Ok(())
}

/// Models that decide by themselves how much to think, and take no budget.
/// <https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking>
const ADAPTIVE_ONLY: [&str; 3] = ["claude-opus-4-7", "claude-mythos-5", "claude-fable-5"];

fn check_thinking(request: &SeenRequest, max_tokens: u64) -> Checked {
    let thinking = &request.body["thinking"];
    if thinking.is_null() || thinking["type"] == "disabled" {
        check_turn_without_thinking(&request.messages)?;
    }
    let budget = thinking["budget_tokens"].as_u64();
    match thinking["type"].as_str() {
        None => ensure(thinking.is_null(), || "thinking.type: field required".to_owned()),
        Some("disabled") => Ok(()),
        Some("adaptive") => ensure(budget.is_none(), || "thinking.adaptive.budget_tokens: not permitted".to_owned()),
        Some("enabled") => {
            let adaptive = ADAPTIVE_ONLY.iter().any(|name| request.model.starts_with(name));
            ensure(!adaptive, || "\"thinking.type.enabled\" is not supported for this model".to_owned())?;
            let budget = budget.unwrap_or(0);
            ensure(budget >= 1024, || "thinking.budget_tokens: must be at least 1024".to_owned())?;
            ensure(budget < max_tokens, || "max_tokens: must be greater than thinking.budget_tokens".to_owned())?;
            check_turn_began_with_thinking(&request.messages)
        }
        Some(unknown) => Err(format!("thinking.type: `{unknown}` is unknown")),
    }
}

/// A turn that goes on without thinking does not end in some.
fn check_turn_without_thinking(messages: &[Value]) -> Checked {
    let last = messages.iter().rfind(|message| role(message) == "assistant");
    let results = messages
        .last()
        .is_some_and(|message| blocks(&message["content"]).iter().any(|block| block["type"] == "tool_result"));
    let content = last.filter(|_| results).map_or(&[][..], |message| blocks(&message["content"]));
    ensure(!content.iter().any(|block| block["type"] == "thinking"), || {
        "messages: When thinking is disabled, an `assistant` message in the final position cannot contain `thinking`"
            .to_owned()
    })
}

/// A turn in which tools are used goes on with thinking only if it began with it. A brain may answer without thinking although
/// it was asked for, which the vendor never does; so the rule holds for turns that somebody else began.
fn check_turn_began_with_thinking(messages: &[Value]) -> Checked {
    let of = |message: &Value, kind: &str| blocks(&message["content"]).iter().any(|block| block["type"] == kind);
    let begun = messages.iter().rposition(|message| role(message) == "user" && !of(message, "tool_result"));
    let Some(first) = begun.and_then(|at| messages.get(at + 1)) else { return Ok(()) };
    let thought = ["thinking", "redacted_thinking"].iter().any(|kind| first["content"][0]["type"] == *kind);
    let ours = |block: &Value| block["type"] != "tool_use" || anthropic::made(&block["id"]);
    ensure(thought || blocks(&first["content"]).iter().all(ours), || {
        "messages: Expected `thinking` or `redacted_thinking`. When `thinking` is enabled, a final `assistant` message must \
         start with a thinking block"
            .to_owned()
    })
}

/// <https://platform.claude.com/docs/en/build-with-claude/structured-outputs> and `/effort`.
fn check_output(body: &Value) -> Checked {
    ensure(body.get("output_format").is_none(), || "output_format: use output_config.format".to_owned())?;
    let config = &body["output_config"];
    let effort = config["effort"].as_str().unwrap_or("high");
    let known = ["low", "medium", "high", "xhigh", "max"].contains(&effort);
    ensure(known, || format!("output_config.effort: `{effort}` is unknown"))?;
    let format = &config["format"];
    let formed = format["type"] == "json_schema" && format["schema"]["additionalProperties"] == false;
    ensure(format.is_null() || formed, || {
        "output_config.format: a json_schema is required whose objects have additionalProperties set to false"
            .to_owned()
    })?;
    let mut times = Vec::new();
    // The order in which the vendor reads a request.
    ["tools", "system", "messages"].iter().for_each(|part| cache_times(&body[*part], &mut times));
    let known = times.iter().all(|time| matches!(time.as_str(), "5m" | "1h"));
    ensure(known, || format!("cache_control.ttl: {times:?} are not all known"))?;
    ensure(times.is_sorted(), || "cache_control: a ttl='1h' block must not come after a ttl='5m' block".to_owned())
}

/// For how long each marked block is kept, in order.
fn cache_times(value: &Value, times: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(mark) = map.get("cache_control") {
                times.push(mark["ttl"].as_str().unwrap_or("5m").to_owned());
            }
            map.values().for_each(|item| cache_times(item, times));
        }
        Value::Array(items) => items.iter().for_each(|item| cache_times(item, times)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn check_order(request: &SeenRequest, at: usize) -> Checked {
    let expected = if at.is_multiple_of(2) { "user" } else { "assistant" };
    let found = role(&request.messages[at]);
    ensure(found == expected, || format!("messages.{at}: roles must alternate from user on; found `{found}`"))?;
    let last = at + 1 == request.messages.len();
    ensure(!last || found == "user", || "messages: the last message must be the user's".to_owned())
}

fn check_blocks(message: &Value, at: usize) -> Checked {
    if let Some(text) = message["content"].as_str() {
        return ensure(!text.trim().is_empty(), || format!("messages.{at}: content must not be empty"));
    }
    let content = blocks(&message["content"]);
    ensure(!content.is_empty(), || format!("messages.{at}: content must not be empty"))?;
    let thought = content.last().is_some_and(|last| last["type"] == "thinking" || last["type"] == "redacted_thinking");
    ensure(!thought, || format!("messages.{at}: The final block in an assistant message cannot be `thinking`"))?;
    for (index, block) in content.iter().enumerate() {
        let place = format!("messages.{at}.content.{index}");
        let kind = block["type"].as_str().unwrap_or_default();
        let assistant = role(message) == "assistant";
        match kind {
            "text" => {
                let text = block["text"].as_str().unwrap_or_default();
                ensure(!text.trim().is_empty(), || format!("{place}: text content blocks must contain text"))?;
            }
            "thinking" => {
                let text = block["thinking"].as_str().unwrap_or_default();
                let unchanged = block["signature"] == anthropic::signature(index, text).as_str();
                ensure(assistant && unchanged, || format!("{place}: invalid signature in thinking block"))?;
                ensure(block.get("cache_control").is_none(), || format!("{place}: thinking cannot be marked"))?;
            }
            "redacted_thinking" => {
                let unchanged = block["data"] == anthropic::redacted(index).as_str();
                ensure(assistant && unchanged, || format!("{place}: invalid data in redacted_thinking block"))?;
            }
            "tool_use" => {
                ensure(assistant, || format!("{place}: tool_use is the assistant's"))?;
                ensure(block["input"].is_object(), || format!("{place}.input: must be an object"))?;
                let named = block["name"].as_str().is_some_and(|name| !name.is_empty());
                ensure(named, || format!("{place}.name: must not be empty"))?;
            }
            "tool_result" => ensure(!assistant, || format!("{place}: tool_result is the user's"))?,
            "image" | "document" => {}
            unknown => return Err(format!("{place}: unknown block type `{unknown}`")),
        }
    }
    Ok(())
}

/// Every call is answered by the very next message, whose results come first, one for each call.
fn check_calls(request: &SeenRequest, at: usize, ids: &mut HashSet<String>) -> Checked {
    let content = |at: usize| request.messages.get(at).map_or(&[][..], |message| blocks(&message["content"]));
    let of = |at: usize, kind: &str, key: &str| -> Vec<String> {
        let found = content(at).iter().filter(|block| block["type"] == kind);
        found.map(|block| block[key].as_str().unwrap_or_default().to_owned()).collect()
    };
    let calls = of(at, "tool_use", "id");
    for id in &calls {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        ensure(!id.is_empty() && id.chars().all(plain), || format!("messages.{at}: tool_use id `{id}` is malformed"))?;
        ensure(ids.insert(id.clone()), || format!("messages.{at}: tool_use ids must be unique; `{id}` is not"))?;
        let results = of(at + 1, "tool_result", "tool_use_id");
        let count = results.iter().filter(|result| *result == id).count();
        ensure(count == 1, || {
            format!("messages.{at}: tool_use `{id}` has {count} tool_result blocks in the next message; 1 is required")
        })?;
    }
    ensure(calls.is_empty() || !request.tools.is_empty(), || "tools: must be given when tools were used".to_owned())?;
    let results = of(at, "tool_result", "tool_use_id");
    let before = if at == 0 { Vec::new() } else { of(at - 1, "tool_use", "id") };
    for id in &results {
        ensure(before.contains(id), || format!("messages.{at}: unexpected tool_use_id `{id}` in tool_result"))?;
    }
    let first = content(at).iter().take(results.len()).all(|block| block["type"] == "tool_result");
    ensure(first, || format!("messages.{at}: tool_result blocks must come first"))
}

fn count_marks(value: &Value) -> usize {
    match value {
        Value::Object(map) => {
            usize::from(map.contains_key("cache_control")) + map.values().map(count_marks).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(count_marks).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn check_chat(request: &SeenRequest) -> Checked {
    let body = &request.body;
    let both = body.get("max_tokens").is_some() && body.get("max_completion_tokens").is_some();
    ensure(!both, || "max_tokens and max_completion_tokens cannot both be set".to_owned())?;
    let options = body.get("stream_options").is_none() || request.stream;
    ensure(options, || "stream_options: only allowed when stream is set".to_owned())?;
    for (at, tool) in request.tools.iter().enumerate() {
        let whole = tool["type"] == "function" && tool["function"]["parameters"].is_object();
        ensure(whole, || format!("tools.{at}: a function with parameters is required"))?;
    }
    let mut open: Vec<String> = Vec::new();
    for (at, message) in request.messages.iter().enumerate() {
        let who = role(message);
        if who == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let position = open.iter().position(|open| open == id);
            let position = position.ok_or_else(|| {
                format!("messages.{at}: role `tool` must answer a preceding tool call; `{id}` is none")
            })?;
            open.remove(position);
            ensure(message["content"].is_string(), || format!("messages.{at}.content: text is required"))?;
            continue;
        }
        ensure(open.is_empty(), || format!("messages.{at}: tool calls {open:?} have no answer"))?;
        match who {
            "user" => {
                ensure(has_content(message), || format!("messages.{at}.content: must not be empty"))?;
                check_chat_parts(message, at)?;
            }
            "assistant" => {
                let details = &message["reasoning_details"];
                ensure(details.is_null() || openai::gave(details), || {
                    format!("messages.{at}.reasoning_details: must be given back unmodified")
                })?;
                open = check_chat_calls(message, at)?;
            }
            unknown => return Err(format!("messages.{at}.role: `{unknown}` is not a role here")),
        }
    }
    ensure(open.is_empty(), || format!("messages: tool calls {open:?} have no answer"))?;
    let last = request.messages.last().map(role);
    ensure(last != Some("assistant"), || "messages: the last message must not be the assistant's".to_owned())
}

fn check_chat_parts(message: &Value, at: usize) -> Checked {
    for (index, part) in blocks(&message["content"]).iter().enumerate() {
        let whole = match part["type"].as_str() {
            Some("text") => part["text"].as_str().is_some_and(|text| !text.is_empty()),
            Some("image_url") => part["image_url"]["url"].is_string(),
            Some("file") => part["file"]["file_data"].is_string() && part["file"]["filename"].is_string(),
            Some(_) | None => false,
        };
        ensure(whole, || format!("messages.{at}.content.{index}: no valid part of a user's message"))?;
    }
    Ok(())
}

fn check_chat_calls(message: &Value, at: usize) -> Result<Vec<String>, String> {
    let calls = blocks(&message["tool_calls"]);
    let said = has_content(message) || !calls.is_empty();
    ensure(said, || format!("messages.{at}: an assistant message needs content or tool_calls"))?;
    let emptied = message.get("tool_calls").is_some() && calls.is_empty();
    ensure(!emptied, || format!("messages.{at}.tool_calls: must not be an empty list"))?;
    let mut ids = Vec::new();
    for call in calls {
        let arguments = call["function"]["arguments"].as_str();
        let parsed = arguments.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let object = parsed.is_some_and(|value| value.is_object());
        ensure(object, || format!("messages.{at}.tool_calls: arguments must be an object written as a string"))?;
        let id = call["id"].as_str().unwrap_or_default().to_owned();
        ensure(!id.is_empty() && !ids.contains(&id), || format!("messages.{at}.tool_calls: ids must be unique"))?;
        ids.push(id);
    }
    Ok(ids)
}

fn has_content(message: &Value) -> bool {
    match message["content"].as_str() {
        Some(text) => !text.is_empty(),
        None => !blocks(&message["content"]).is_empty(),
    }
}
