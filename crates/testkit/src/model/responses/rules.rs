//! The published rules of OpenAI Responses for a client that keeps its conversation itself (`store: false`).

use std::collections::HashSet;

use serde_json::Value;

use super::{encrypted, follows_reasoning};
use crate::model::{
    rules::{Checked, ensure},
    seen::{SeenRequest, blocks},
};

/// Parameters of the older interface, and what became of them.
const MOVED: [(&str, &str); 6] = [
    ("messages", "input"),
    ("max_tokens", "max_output_tokens"),
    ("max_completion_tokens", "max_output_tokens"),
    ("response_format", "text.format"),
    ("reasoning_effort", "reasoning.effort"),
    ("functions", "tools"),
];
const TOOL_TYPES: [&str; 13] = [
    "function",
    "custom",
    "namespace",
    "tool_search",
    "web_search",
    "web_search_preview",
    "file_search",
    "code_interpreter",
    "image_generation",
    "computer_use_preview",
    "local_shell",
    "shell",
    "mcp",
];
/// Items whose id the vendor checks, and what it begins with.
const ID_PREFIXES: [(&str, &str); 4] =
    [("message", "msg"), ("reasoning", "rs"), ("function_call", "fc"), ("custom_tool_call", "ctc")];
const MAX_CALL_ID: usize = 64;
const MIN_OUTPUT_TOKENS: u64 = 16;

pub(in crate::model) fn check(request: &SeenRequest) -> Checked {
    check_parameters(&request.body)?;
    for (at, tool) in request.tools.iter().enumerate() {
        check_tool(tool, at)?;
    }
    let items = blocks(&request.body["input"]);
    for (at, item) in items.iter().enumerate() {
        check_item(item, at)?;
        check_id(item, at)?;
        check_reasoning(items, at)?;
    }
    check_calls(items)
}

fn check_parameters(body: &Value) -> Checked {
    for (old, new) in MOVED {
        ensure(body.get(old).is_none(), || {
            format!("Unsupported parameter: '{old}'. In the Responses API, this parameter has moved to '{new}'.")
        })?;
    }
    let continued = ["previous_response_id", "conversation"].into_iter().find(|key| !body[*key].is_null());
    // This server keeps nothing, as the vendor does for whoever asks for that.
    ensure(continued.is_none(), || format!("{}: no such response is stored", continued.unwrap_or_default()))?;
    ensure(body["store"] == false, || "store: must be false, since nothing is kept here".to_owned())?;
    let limit = body["max_output_tokens"].as_u64().unwrap_or(MIN_OUTPUT_TOKENS);
    ensure(limit >= MIN_OUTPUT_TOKENS, || format!("max_output_tokens: expected at least {MIN_OUTPUT_TOKENS}"))?;
    let streams = body.get("stream_options").is_none_or(Value::is_null) || body["stream"] == true;
    ensure(streams, || "stream_options: only allowed when stream is set".to_owned())
}

fn check_tool(tool: &Value, at: usize) -> Checked {
    let kind = tool["type"].as_str().unwrap_or_default();
    ensure(TOOL_TYPES.contains(&kind), || format!("tools[{at}].type: invalid value '{kind}'"))?;
    if !matches!(kind, "function" | "custom") {
        return Ok(());
    }
    let name = tool["name"].as_str().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    ensure(!name.is_empty() && name.chars().all(plain), || {
        format!("Missing or malformed parameter: 'tools[{at}].name' ('{name}'); it is not inside of 'function' here")
    })?;
    let parameters = &tool["parameters"];
    if kind == "function" {
        ensure(parameters.is_null() || parameters.is_object(), || format!("tools[{at}].parameters: not an object"))?;
    }
    let closed = tool["strict"] != true || parameters["additionalProperties"] == false;
    ensure(closed, || format!("tools[{at}]: a strict function needs 'additionalProperties' to be false"))
}

fn check_item(item: &Value, at: usize) -> Checked {
    let place = format!("input[{at}]");
    match item["type"].as_str().unwrap_or("message") {
        "message" => check_message(item, &place),
        "reasoning" => {
            ensure(item["summary"].is_array(), || format!("Missing required parameter: '{place}.summary'"))?;
            let texts: String = blocks(&item["summary"]).iter().filter_map(|part| part["text"].as_str()).collect();
            let sealed = item["encrypted_content"].as_str();
            let id = &item["id"];
            let found = sealed.is_some();
            ensure(found, || format!("{place}: item {id} not found. Items are not persisted when `store` is false"))?;
            let unchanged = sealed == Some(encrypted(&texts).as_str());
            ensure(unchanged, || format!("{place}: the encrypted content of item {id} could not be verified"))
        }
        "item_reference" => Err(format!("{place}: item {} not found", item["id"])),
        "function_call" => {
            check_call_id(item, &place)?;
            ensure(named(item), || format!("Missing required parameter: '{place}.name'"))?;
            ensure(item["arguments"].is_string(), || format!("{place}.arguments: expected a string"))
        }
        "custom_tool_call" => {
            check_call_id(item, &place)?;
            ensure(named(item), || format!("Missing required parameter: '{place}.name'"))?;
            ensure(item["input"].is_string(), || format!("{place}.input: expected a string"))
        }
        "function_call_output" | "custom_tool_call_output" => {
            check_call_id(item, &place)?;
            let given = item["output"].is_string() || item["output"].is_array();
            ensure(given, || format!("{place}.output: expected a string or a list of contents"))
        }
        kind if kind.ends_with("_call") || kind.ends_with("_output") || kind.contains("compaction") => Ok(()),
        unknown => Err(format!("Invalid value: '{unknown}' for '{place}.type'")),
    }
}

fn named(item: &Value) -> bool {
    item["name"].as_str().is_some_and(|name| !name.is_empty())
}

fn check_call_id(item: &Value, place: &str) -> Checked {
    let length = item["call_id"].as_str().unwrap_or_default().len();
    ensure((1..=MAX_CALL_ID).contains(&length), || {
        format!("{place}.call_id: expected 1 to {MAX_CALL_ID} characters, found {length}")
    })
}

fn check_message(item: &Value, place: &str) -> Checked {
    let role = item["role"].as_str().unwrap_or_default();
    let allowed: &[&str] = match role {
        "user" | "system" | "developer" => &["input_text", "input_image", "input_file", "input_audio"],
        "assistant" => &["output_text", "refusal"],
        _ => return Err(format!("{place}.role: '{role}' is not a role here")),
    };
    let content = &item["content"];
    ensure(content.is_string() || content.is_array(), || format!("Missing required parameter: '{place}.content'"))?;
    for (index, part) in blocks(content).iter().enumerate() {
        let kind = part["type"].as_str().unwrap_or_default();
        ensure(allowed.contains(&kind), || {
            format!("Invalid value: '{kind}' for '{place}.content[{index}].type'. Supported values are {allowed:?}")
        })?;
    }
    Ok(())
}

fn check_id(item: &Value, at: usize) -> Checked {
    let kind = item["type"].as_str().unwrap_or("message");
    let prefix = ID_PREFIXES.iter().find(|(of, _)| *of == kind).map(|(_, prefix)| *prefix);
    let (Some(prefix), Some(id)) = (prefix, item["id"].as_str()) else { return Ok(()) };
    ensure(id.starts_with(prefix), || {
        format!("Invalid 'input[{at}].id': '{id}'. Expected an ID that begins with '{prefix}'.")
    })
}

/// Reasoning goes back in its place: right before the item that it led to, and never without it.
fn check_reasoning(items: &[Value], at: usize) -> Checked {
    let kind = |item: &Value| item["type"].as_str().unwrap_or("message").to_owned();
    let id = items[at]["id"].as_str().unwrap_or_default();
    if kind(&items[at]) == "reasoning" {
        let next = items.get(at + 1);
        let led = next.is_some_and(|item| {
            let own = item["role"].is_null() || item["role"] == "assistant";
            own && !kind(item).ends_with("_output")
        });
        return ensure(led, || {
            format!("Item '{id}' of type 'reasoning' was provided without its required following item.")
        });
    }
    let before = at.checked_sub(1).map(|before| kind(&items[before]));
    ensure(!follows_reasoning(id) || before.as_deref() == Some("reasoning"), || {
        format!("Item '{id}' was provided without its required 'reasoning' item.")
    })
}

/// Every call has one output of its own kind behind it, and every output a call before it.
fn check_calls(items: &[Value]) -> Checked {
    let mut known = HashSet::new();
    let mut open: Vec<(String, String)> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let kind = item["type"].as_str().unwrap_or_default();
        let id = item["call_id"].as_str().unwrap_or_default().to_owned();
        match kind {
            "function_call" | "custom_tool_call" => {
                ensure(known.insert(id.clone()), || format!("input[{at}]: duplicate call_id '{id}'"))?;
                open.push((format!("{kind}_output"), id));
            }
            "function_call_output" | "custom_tool_call_output" => {
                let found = open.iter().position(|(expected, call)| expected == kind && *call == id);
                let Some(found) = found else {
                    return Err(format!("No tool call found for {kind} with call_id {id}."));
                };
                open.remove(found);
            }
            _ => {}
        }
    }
    ensure(open.is_empty(), || format!("No tool output found for function call {}.", open[0].1))
}
