//! What Ollama's server refuses, for it reads a request by a fixed form: <https://docs.ollama.com/api/chat>. Fields that it does not
//! know are passed over.

use serde_json::Value;

use crate::model::{
    rules::{Checked, ensure},
    seen::{SeenRequest, blocks},
};

const ROLES: [&str; 4] = ["system", "user", "assistant", "tool"];
const LEVELS: [&str; 4] = ["low", "medium", "high", "max"];
/// The deepest schema that is checked.
const MAX_DEPTH: usize = 64;

pub(in crate::model) fn check(request: &SeenRequest) -> Checked {
    let body = &request.body;
    let think = &body["think"];
    let told = think.is_null() || think.is_boolean() || think.as_str().is_some_and(|level| LEVELS.contains(&level));
    ensure(told, || format!("invalid think value: {think}"))?;
    let format = &body["format"];
    ensure(format.is_null() || *format == "json" || format.is_object(), || format!("invalid format: {format}"))?;
    for key in ["stream", "truncate", "shift"] {
        ensure(body[key].is_null() || body[key].is_boolean(), || cannot(&body[key], key, "bool"))?;
    }
    for key in ["num_ctx", "num_predict"] {
        let value = &body["options"][key];
        ensure(value.is_null() || value.is_i64(), || format!("option \"{key}\" must be of type integer"))?;
    }
    let time = &body["keep_alive"];
    let readable = time.is_null() || time.is_number() || time.as_str().is_some_and(is_duration);
    ensure(readable, || format!("time: invalid duration {time}"))?;
    for tool in &request.tools {
        ensure(tool["type"] == "function", || cannot(&tool["type"], "tools.type", "function"))?;
        let function = &tool["function"];
        ensure(function["name"].is_string(), || cannot(&function["name"], "tools.function.name", "string"))?;
        ensure(function["parameters"]["type"].is_string(), || {
            cannot(&function["parameters"]["type"], "tools.function.parameters.type", "string")
        })?;
        check_schema(&function["parameters"], 0)?;
    }
    blocks(&body["messages"]).iter().try_for_each(check_message)?;
    check_results(blocks(&body["messages"]))
}

/// What the server's language says of a value that is not of the type that it reads it into.
fn cannot(value: &Value, place: &str, wanted: &str) -> String {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!("json: cannot unmarshal {kind} into Go struct field ChatRequest.{place} of type {wanted}")
}

/// A duration as the server's language writes it, such as `5m` or `1h30m`.
fn is_duration(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    text.starts_with(digits)
        && text.ends_with(['h', 'm', 's'])
        && text.chars().all(|c| digits(c) || "hmsnuµ".contains(c))
}

fn check_schema(schema: &Value, depth: usize) -> Checked {
    ensure(schema.is_object(), || cannot(schema, "tools.function.parameters", "api.ToolProperty"))?;
    if depth >= MAX_DEPTH {
        return Ok(());
    }
    let properties = schema["properties"].as_object().into_iter().flatten().map(|(_, property)| property);
    properties.chain(blocks(&schema["anyOf"])).try_for_each(|property| check_schema(property, depth + 1))
}

fn check_message(message: &Value) -> Checked {
    let role = message["role"].as_str().unwrap_or_default();
    ensure(ROLES.contains(&role), || format!("invalid role: '{role}'"))?;
    for key in ["content", "thinking", "tool_name", "tool_call_id"] {
        let value = &message[key];
        ensure(value.is_null() || value.is_string(), || cannot(value, &format!("messages.{key}"), "string"))?;
    }
    for call in blocks(&message["tool_calls"]) {
        let arguments = &call["function"]["arguments"];
        ensure(arguments.is_object(), || cannot(arguments, "messages.tool_calls.function.arguments", "map"))?;
    }
    Ok(())
}

/// The server takes any order; the models' templates do not. A result follows its call, and says whose it is.
fn check_results(messages: &[Value]) -> Checked {
    let mut open: Vec<&Value> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        if message["role"] != "tool" {
            ensure(open.is_empty(), || format!("messages[{at}]: calls without a result come before"))?;
            open = blocks(&message["tool_calls"]).iter().collect();
            continue;
        }
        let named = |call: &&Value| call["function"]["name"] == message["tool_name"];
        let position = open.iter().position(named);
        let position =
            position.ok_or_else(|| format!("messages[{at}]: no call of {} is open", message["tool_name"]))?;
        let call = open.remove(position);
        ensure(call["id"] == message["tool_call_id"], || format!("messages[{at}]: answers another call"))?;
    }
    ensure(open.is_empty(), || "messages: calls without a result come last".to_owned())
}
