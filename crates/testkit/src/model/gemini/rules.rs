//! Gemini's published rules: <https://ai.google.dev/api/generate-content>, of function calls and of thought signatures. The vendor
//! reads a request by a fixed form, and refuses a field that it does not know.

use std::collections::HashSet;

use serde_json::Value;

use super::{STAND_INS, is_third_series, signature};
use crate::model::{
    rules::{Checked, ensure},
    seen::{SeenRequest, blocks},
};

const BODY: &[&str] = &[
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "generationConfig",
    "safetySettings",
    "cachedContent",
    "labels",
    "store",
];
const CONTENT: &[&str] = &["role", "parts"];
const PART_DATA: &[&str] = &[
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
];
const PART_REST: &[&str] = &["thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata"];
const CONFIG: &[&str] = &[
    "maxOutputTokens",
    "temperature",
    "topP",
    "topK",
    "seed",
    "stopSequences",
    "candidateCount",
    "presencePenalty",
    "frequencyPenalty",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "responseModalities",
    "thinkingConfig",
    "mediaResolution",
];
const DECLARATION: &[&str] =
    &["name", "description", "parameters", "parametersJsonSchema", "response", "responseJsonSchema", "behavior"];
/// The keywords of JSON Schema that are supported, by what stands behind them.
const KEYWORDS: &[&str] = &[
    "$id",
    "$ref",
    "$anchor",
    "type",
    "format",
    "title",
    "description",
    "enum",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "required",
    "propertyOrdering",
];
const MAX_NAME: usize = 128;

pub(in crate::model) fn check(request: &SeenRequest) -> Checked {
    let body = &request.body;
    known(body, BODY, "")?;
    check_config(request)?;
    for (at, tool) in blocks(&body["tools"]).iter().enumerate() {
        for (index, declaration) in blocks(&tool["functionDeclarations"]).iter().enumerate() {
            check_declaration(declaration, &format!("tools[{at}].function_declarations[{index}]"))?;
        }
    }
    if let Some(system) = body.get("systemInstruction") {
        check_content(system, "system_instruction")?;
    }
    for (at, content) in request.messages.iter().enumerate() {
        check_content(content, &format!("contents[{at}]"))?;
        check_order(request, at)?;
        check_calls(request, at)?;
    }
    check_signatures(request)
}

/// Only these fields.
fn known(value: &Value, fields: &[&str], place: &str) -> Checked {
    let unknown =
        value.as_object().into_iter().flatten().map(|(key, _)| key).find(|key| !fields.contains(&key.as_str()));
    ensure(unknown.is_none(), || {
        let name = unknown.map(String::as_str).unwrap_or_default();
        let at = if place.is_empty() { String::new() } else { format!(" at '{place}'") };
        format!("Invalid JSON payload received. Unknown name \"{name}\"{at}: Cannot find field.")
    })
}

fn check_config(request: &SeenRequest) -> Checked {
    let config = &request.body["generationConfig"];
    known(config, CONFIG, "generation_config")?;
    let limit = config["maxOutputTokens"].as_u64();
    ensure(limit != Some(0), || "max_output_tokens must be positive.".to_owned())?;
    let schema = config.get("responseJsonSchema");
    let json = config["responseMimeType"] == "application/json";
    ensure(schema.is_none() || json, || "response_json_schema needs the mime type 'application/json'".to_owned())?;
    if let Some(schema) = schema {
        check_schema(schema, "generation_config.response_json_schema")?;
    }
    let bound = json && !request.tools.is_empty() && !is_third_series(request);
    ensure(!bound, || "Function calling with a response mime type: 'application/json' is unsupported".to_owned())?;
    let thinking = &config["thinkingConfig"];
    known(thinking, &["includeThoughts", "thinkingBudget", "thinkingLevel"], "generation_config.thinking_config")?;
    let (budget, level) = (thinking["thinkingBudget"].as_i64(), thinking["thinkingLevel"].as_str());
    ensure(budget.is_none() || level.is_none(), || {
        "You can only set only one of thinking budget and thinking level.".to_owned()
    })?;
    let second = request.model.starts_with("gemini-2.5");
    ensure(level.is_none() || !second, || "Thinking level is not supported for this model.".to_owned())?;
    let levels = ["MINIMAL", "LOW", "MEDIUM", "HIGH"];
    ensure(level.is_none_or(|level| levels.contains(&level)), || {
        format!("Invalid value at 'thinking_level': {level:?}")
    })?;
    let least = if request.model.contains("pro") { 128 } else { 0 };
    ensure(!second || budget.is_none_or(|budget| budget == -1 || (least..=24_576).contains(&budget)), || {
        format!("The thinking budget {} is invalid.", budget.unwrap_or_default())
    })
}

fn check_declaration(declaration: &Value, place: &str) -> Checked {
    known(declaration, DECLARATION, place)?;
    let name = declaration["name"].as_str().unwrap_or_default();
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c));
    ensure(starts && plain && name.len() <= MAX_NAME, || format!("{place}.name: Invalid function name '{name}'."))?;
    let schema = declaration.get("parametersJsonSchema");
    let both = schema.is_some() && declaration.get("parameters").is_some();
    ensure(!both, || format!("{place}: parameters and parameters_json_schema are mutually exclusive"))?;
    schema.map_or(Ok(()), |schema| check_schema(schema, &format!("{place}.parameters_json_schema")))
}

/// The vendor passes over keywords that it does not support; nobody should rely on them, so here they are refused.
fn check_schema(schema: &Value, place: &str) -> Checked {
    let fields = schema.as_object().ok_or_else(|| format!("{place}: a schema must be an object"))?;
    for (key, value) in fields {
        let within = format!("{place}.{key}");
        match key.as_str() {
            plain if KEYWORDS.contains(&plain) => {}
            "items" => check_schema(value, &within)?,
            "additionalProperties" if value.is_boolean() => {}
            "additionalProperties" => check_schema(value, &within)?,
            "prefixItems" | "anyOf" | "oneOf" => {
                blocks(value).iter().try_for_each(|schema| check_schema(schema, &within))?;
            }
            "properties" | "$defs" => {
                let schemas = value.as_object().into_iter().flatten();
                schemas
                    .map(|(name, schema)| (format!("{within}.{name}"), schema))
                    .try_for_each(|(place, schema)| check_schema(schema, &place))?;
            }
            unsupported => return Err(format!("{place}: the keyword '{unsupported}' is not supported")),
        }
    }
    let alone = !fields.contains_key("$ref") || fields.keys().all(|key| key.starts_with('$'));
    ensure(alone, || format!("{place}: only properties that begin with '$' may stand beside '$ref'"))
}

fn check_content(content: &Value, place: &str) -> Checked {
    known(content, CONTENT, place)?;
    let parts = blocks(&content["parts"]);
    ensure(!parts.is_empty(), || format!("GenerateContentRequest.{place}.parts: must not be empty."))?;
    for (index, part) in parts.iter().enumerate() {
        check_part(part, &format!("{place}.parts[{index}]"))?;
    }
    Ok(())
}

fn check_part(part: &Value, place: &str) -> Checked {
    known(part, &[PART_DATA, PART_REST].concat(), place)?;
    let data = part.as_object().into_iter().flatten().filter(|(key, _)| PART_DATA.contains(&key.as_str())).count();
    ensure(data == 1, || format!("{place}.data: required oneof field 'data' must have one initialized field"))?;
    let sealed = part["thoughtSignature"].as_str();
    ensure(sealed.is_none_or(is_base64), || {
        format!("Invalid value at '{place}.thought_signature' (TYPE_BYTES), Base64 decoding failed")
    })?;
    let unchanged = sealed.is_none_or(|sealed| STAND_INS.contains(&sealed) || sealed == signature(part));
    ensure(unchanged, || format!("{place}: Thought signature is not valid."))?;
    let blank = part["text"] == "" && sealed.is_none();
    ensure(!blank, || format!("{place}: Unable to submit request because it has an empty text parameter."))?;
    if let Some(call) = part.get("functionCall") {
        known(call, &["id", "name", "args"], &format!("{place}.function_call"))?;
        ensure(call["args"].is_null() || call["args"].is_object(), || {
            format!("{place}.function_call.args: not a struct")
        })?;
    }
    if let Some(answer) = part.get("functionResponse") {
        let fields = ["id", "name", "response", "parts", "willContinue", "scheduling"];
        known(answer, &fields, &format!("{place}.function_response"))?;
        ensure(answer["response"].is_object(), || format!("{place}.function_response.response: not a struct"))?;
    }
    if let Some(data) = part.get("inlineData") {
        known(data, &["mimeType", "data"], &format!("{place}.inline_data"))?;
    }
    Ok(())
}

/// Whether the text is bytes in base64, in either alphabet.
fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let plain = digits.chars().all(|c| c.is_ascii_alphanumeric() || "+/-_".contains(c));
    plain && text.len() - digits.len() <= 2 && text.len().is_multiple_of(4)
}

fn check_order(request: &SeenRequest, at: usize) -> Checked {
    let found = request.messages[at]["role"].as_str().unwrap_or_default();
    let valid = ["user", "model"].contains(&found);
    ensure(valid, || format!("contents[{at}]: Please use a valid role: user, model. Found '{found}'."))?;
    let expected = if at.is_multiple_of(2) { "user" } else { "model" };
    ensure(found == expected, || format!("contents[{at}]: multiturn requests alternate between user and model"))?;
    let last = at + 1 == request.messages.len();
    ensure(!last || found == "user", || {
        "Please ensure that multiturn requests end with a user role or a function response.".to_owned()
    })
}

/// What stands under this key in the parts of a message.
fn all<'a>(request: &'a SeenRequest, at: usize, key: &str) -> Vec<&'a Value> {
    let parts = request.messages.get(at).map_or(&[][..], |content| blocks(&content["parts"]));
    parts.iter().filter_map(|part| part.get(key)).collect()
}

/// A turn of calls is answered by the very next one: as many responses, in the calls' order.
fn check_calls(request: &SeenRequest, at: usize) -> Checked {
    let model = request.messages[at]["role"] == "model";
    let wrong = all(request, at, if model { "functionResponse" } else { "functionCall" });
    ensure(wrong.is_empty(), || {
        format!("contents[{at}]: Please ensure that function call turn comes immediately after a user turn.")
    })?;
    if !model {
        let before = at.checked_sub(1).map(|before| all(request, before, "functionCall").len()).unwrap_or_default();
        let answers = all(request, at, "functionResponse").len();
        return ensure(answers == 0 || before > 0, || {
            "Please ensure that function response turn comes immediately after a function call turn.".to_owned()
        });
    }
    let (calls, answers) = (all(request, at, "functionCall"), all(request, at + 1, "functionResponse"));
    ensure(calls.len() == answers.len(), || {
        "Please ensure that the number of function response parts is equal to the number of function call parts of the \
         function call turn."
            .to_owned()
    })?;
    let mut ids = HashSet::new();
    for (call, answer) in calls.into_iter().zip(answers) {
        ensure(call["name"] == answer["name"], || {
            format!("contents[{at}]: the response to {} is named {}", call["name"], answer["name"])
        })?;
        ensure(call["id"] == answer["id"], || format!("contents[{at}]: no response has the id {}", call["id"]))?;
        let id = call["id"].as_str().unwrap_or_default();
        ensure(id.is_empty() || ids.insert(id), || format!("contents[{at}]: the id '{id}' stands for two calls"))?;
    }
    Ok(())
}

/// In the current turn, which begins with what the user wrote last, the first call of each step is signed.
fn check_signatures(request: &SeenRequest) -> Checked {
    let written = |content: &Value| {
        content["role"] == "user" && blocks(&content["parts"]).iter().any(|part| part.get("functionResponse").is_none())
    };
    let begin = request.messages.iter().rposition(written).unwrap_or(0);
    if !is_third_series(request) {
        return Ok(());
    }
    for (at, content) in request.messages.iter().enumerate().skip(begin) {
        let first = blocks(&content["parts"]).iter().find(|part| part.get("functionCall").is_some());
        let signed = first.is_none_or(|part| part["thoughtSignature"].is_string());
        ensure(signed, || {
            let name = first.map(|part| part["functionCall"]["name"].to_string()).unwrap_or_default();
            format!(
                "Function call is missing a thought_signature in functionCall parts. Additional data, function call {name}, position {at}."
            )
        })?;
    }
    Ok(())
}
