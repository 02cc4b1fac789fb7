//! What passes and what is refused, by table and by properties.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn of(method: &str, path: &str) -> Option<Interface> {
    Interface::of(method, &RequestPath::parse(path).expect("a path"))
}

fn look(path: &str, body: &str) -> Result<(), Refused> {
    let path = RequestPath::parse(path).expect("a path");
    let interface = Interface::of("POST", &path).expect("a model request");
    inspect(interface, &path, body.as_bytes())
}

fn messages(more: &Value) -> Value {
    with(
        json!({ "model": "claude-sonnet-4-5", "max_tokens": 1, "messages": [{ "role": "user", "content": "x" }] }),
        more,
    )
}

fn responses(more: &Value) -> Value {
    with(json!({ "model": "gpt-5.5", "store": false, "input": "x" }), more)
}

fn chat(more: &Value) -> Value {
    with(json!({ "model": "gpt-5.5", "messages": [{ "role": "user", "content": "x" }] }), more)
}

fn generate(more: &Value) -> Value {
    with(json!({ "contents": [{ "role": "user", "parts": [{ "text": "x" }] }] }), more)
}

fn with(mut base: Value, more: &Value) -> Value {
    let (base_map, more) = (base.as_object_mut().expect("an object"), more.as_object().expect("an object"));
    base_map.extend(more.clone());
    base
}

const MESSAGES_AT: &str = "/v1/messages?beta=true";
const RESPONSES_AT: &str = "/v1/responses";
const CHAT_AT: &str = "/api/v1/chat/completions";
const GENERATE_AT: &str = "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse";

/// What real programs send, and what a program may send that has images and files of its own.
/// Long because it is a table.
fn good() -> Vec<(&'static str, Value)> {
    let image = json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AA==" } });
    let read = json!({ "role": "user", "content": [
        { "type": "tool_result", "tool_use_id": "t", "is_error": false, "content": [image, { "type": "text", "text": "x" }] },
        { "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": "AA==" }, "title": "x" },
        { "type": "document", "source": { "type": "content", "content": [{ "type": "text", "text": "x" }] } },
        { "type": "text", "text": "look at https://example.com/web_search", "cache_control": { "type": "ephemeral" } },
    ] });
    let called = json!({ "role": "assistant", "content": [
        { "type": "thinking", "thinking": "x", "signature": "y" },
        { "type": "tool_use", "id": "t", "name": "Fetch", "input": { "tools": [{ "type": "web_search_20250305" }], "url": "https://x" } },
    ] });
    let tool =
        json!({ "name": "web_search", "description": "ours", "input_schema": { "type": "object", "mcp_servers": 1 } });
    vec![
        (MESSAGES_AT, messages(&json!({}))),
        (
            MESSAGES_AT,
            messages(&json!({ "messages": [read, called], "tools": [tool, { "type": "custom", "name": "x" }] })),
        ),
        (
            MESSAGES_AT,
            messages(
                &json!({ "tools": [{ "type": "bash_20250124", "name": "bash" }], "system": [{ "type": "text", "text": "x" }] }),
            ),
        ),
        (
            MESSAGES_AT,
            messages(
                &json!({ "temperature": 1e300, "thinking": { "type": "enabled", "budget_tokens": 1 }, "tools": null }),
            ),
        ),
        ("/anthropic/v1/messages/count_tokens", messages(&json!({}))),
        (
            MESSAGES_AT,
            messages(
                &json!({ "diagnostics": { "previous_message_id": null }, "fallbacks": [{ "model": "x" }], "messages": [
                { "role": "system", "output_config": {}, "clear_at": "next_user_message", "content": [
                    { "type": "tool_removal", "tool": { "type": "tool_reference", "name": "x" } },
                    { "type": "tool_addition", "tool": { "type": "tool_definition", "definition": { "name": "x", "input_schema": {} } } },
                ] },
            ] }),
            ),
        ),
        (
            RESPONSES_AT,
            responses(&json!({ "stream": true, "include": ["reasoning.encrypted_content"], "background": false })),
        ),
        (
            RESPONSES_AT,
            responses(&json!({ "tools": [
            { "type": "function", "name": "web_search", "parameters": { "type": "mcp" }, "strict": false },
            { "type": "custom", "name": "apply_patch", "format": { "type": "grammar" } },
        ] })),
        ),
        (
            RESPONSES_AT,
            responses(&json!({ "input": [
            { "type": "message", "role": "user", "content": [{ "type": "input_image", "image_url": "data:image/png;base64,AA==" }] },
            { "type": "reasoning", "summary": [], "encrypted_content": "x", "content": null },
            { "type": "function_call_output", "call_id": "c", "output": [{ "type": "input_text", "text": "x" }] },
            { "role": "assistant", "content": "x" },
        ] })),
        ),
        (
            CHAT_AT,
            chat(
                &json!({ "tools": [{ "type": "function", "function": { "name": "x", "parameters": {} } }], "store": false }),
            ),
        ),
        (
            CHAT_AT,
            chat(&json!({ "messages": [
            { "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } }] },
            { "role": "assistant", "content": null, "tool_calls": [{ "id": "c", "type": "function", "function": { "name": "x", "arguments": "{}" } }] },
            { "role": "tool", "tool_call_id": "c", "content": "x" },
        ] })),
        ),
        (
            GENERATE_AT,
            generate(&json!({ "tools": [{ "functionDeclarations": [{ "name": "x" }] }], "generationConfig": {} })),
        ),
        (
            GENERATE_AT,
            generate(
                &json!({ "contents": [{ "parts": [{ "inlineData": { "mimeType": "image/png", "data": "AA==" } }] }] }),
            ),
        ),
        (
            GENERATE_AT,
            generate(&json!({ "contents": [{ "role": "user", "parts": [
                { "functionResponse": { "id": "c", "name": "f", "response": { "fileData": "ours" }, "scheduling": "SILENT",
                    "willContinue": false, "parts": [{ "inlineData": { "mimeType": "image/png", "data": "AA==" } }] } },
                { "function_response": { "name": "f", "response": {}, "will_continue": true,
                    "parts": [{ "inline_data": { "mime_type": "image/png", "data": "AA==" } }] } },
            ] }] })),
        ),
    ]
}

/// What would make a vendor fetch, search, run or keep something.
/// Long because it is a table.
fn bad() -> Vec<(&'static str, Value)> {
    let asks = |block: Value| messages(&json!({ "messages": [{ "role": "user", "content": [block] }] }));
    let says = |part: Value| responses(&json!({ "input": [{ "type": "message", "role": "user", "content": [part] }] }));
    let tells = |part: Value| chat(&json!({ "messages": [{ "role": "user", "content": [part] }] }));
    let answers = |response: Value| generate(&json!({ "contents": [{ "parts": [{ "functionResponse": response }] }] }));
    let mut all = vec![
        (MESSAGES_AT, messages(&json!({ "mcp_servers": [{ "type": "url", "url": "https://x" }] }))),
        (MESSAGES_AT, messages(&json!({ "thread": "t" }))),
        (MESSAGES_AT, messages(&json!({ "fallbacks": [{ "model": "sonar" }] }))),
        (MESSAGES_AT, messages(&json!({ "fallbacks": [{ "model": "x", "tools": [] }] }))),
        (
            MESSAGES_AT,
            asks(json!({ "type": "tool_addition", "tool": { "type": "mcp_toolset", "mcp_server_name": "x" } })),
        ),
        (
            MESSAGES_AT,
            asks(
                json!({ "type": "tool_addition", "tool": { "type": "tool_definition", "definition": { "type": "web_fetch_20250910" } } }),
            ),
        ),
        (MESSAGES_AT, messages(&json!({ "container": "c" }))),
        (MESSAGES_AT, messages(&json!({ "container": { "skills": [] } }))),
        (MESSAGES_AT, messages(&json!({ "something_new": {} }))),
        (MESSAGES_AT, messages(&json!({ "Tools": [{ "type": "web_fetch_20250910" }] }))),
        (
            MESSAGES_AT,
            messages(&json!({ "system": [{ "type": "image", "source": { "type": "url", "url": "https://x" } }] })),
        ),
        (MESSAGES_AT, messages(&json!({ "tools": { "type": "web_search_20250305" } }))),
        (
            "/v1/messages/count_tokens",
            asks(json!({ "type": "image", "source": { "type": "url", "url": "https://x" } })),
        ),
        (MESSAGES_AT, asks(json!({ "type": "image", "source": { "type": "url", "url": "https://x" } }))),
        (MESSAGES_AT, asks(json!({ "type": "image", "source": { "type": "base64", "url": "https://x" } }))),
        (MESSAGES_AT, asks(json!({ "type": "document", "source": { "type": "file", "file_id": "f" } }))),
        (MESSAGES_AT, asks(json!({ "type": "container_upload", "file_id": "f" }))),
        (MESSAGES_AT, asks(json!({ "type": "server_tool_use", "name": "web_search", "input": {} }))),
        (
            MESSAGES_AT,
            asks(
                json!({ "type": "tool_result", "content": [{ "type": "image", "source": { "type": "url", "url": "x" } }] }),
            ),
        ),
        (
            MESSAGES_AT,
            asks(
                json!({ "type": "document", "source": { "type": "content", "content": [{ "type": "image", "source": { "type": "url" } }] } }),
            ),
        ),
        (RESPONSES_AT, json!({ "model": "gpt-5.5", "input": "x" })),
        (RESPONSES_AT, responses(&json!({ "store": true }))),
        // Null is the same as left out, and then the vendor keeps the answer.
        (RESPONSES_AT, responses(&json!({ "store": null }))),
        (RESPONSES_AT, Value::Null),
        (MESSAGES_AT, Value::Null),
        (
            RESPONSES_AT,
            responses(&json!({ "input": [{ "type": "tool_search_output", "tools": [{ "type": "web_search" }] }] })),
        ),
        (RESPONSES_AT, responses(&json!({ "tools": [{ "type": "namespace", "tools": [{ "type": "mcp" }] }] }))),
        (RESPONSES_AT, responses(&json!({ "tools": [{ "type": "tool_search", "execution": "server" }] }))),
        (RESPONSES_AT, responses(&json!({ "store": "false" }))),
        (RESPONSES_AT, responses(&json!({ "background": true }))),
        (RESPONSES_AT, responses(&json!({ "previous_response_id": "r" }))),
        (RESPONSES_AT, responses(&json!({ "conversation": "c" }))),
        (RESPONSES_AT, responses(&json!({ "prompt": { "id": "p" } }))),
        (RESPONSES_AT, responses(&json!({ "plugins": [{ "id": "web" }] }))),
        (RESPONSES_AT, responses(&json!({ "input": [{ "type": "item_reference", "id": "i" }] }))),
        (
            RESPONSES_AT,
            responses(
                &json!({ "input": [{ "type": "function_call_output", "output": [{ "type": "input_image", "image_url": "https://x" }] }] }),
            ),
        ),
        (RESPONSES_AT, says(json!({ "type": "input_image", "image_url": "https://x" }))),
        (RESPONSES_AT, says(json!({ "type": "input_image", "image_url": " data:x" }))),
        (RESPONSES_AT, says(json!({ "type": "input_image", "file_id": "f" }))),
        (RESPONSES_AT, says(json!({ "type": "input_file", "file_url": "https://x" }))),
        (RESPONSES_AT, says(json!({ "type": "input_file", "file_data": "https://x" }))),
        (CHAT_AT, chat(&json!({ "web_search_options": {} }))),
        (CHAT_AT, chat(&json!({ "plugins": [{ "id": "web" }] }))),
        (CHAT_AT, chat(&json!({ "models": ["a", "b:online"] }))),
        (CHAT_AT, chat(&json!({ "search_parameters": { "mode": "on" } }))),
        (CHAT_AT, chat(&json!({ "store": true }))),
        (CHAT_AT, chat(&json!({ "model": "openai/gpt-5.5:online" }))),
        (CHAT_AT, chat(&json!({ "model": "openai/gpt-5.5:online:nitro" }))),
        (CHAT_AT, chat(&json!({ "model": "gpt-4o-search-preview" }))),
        (CHAT_AT, chat(&json!({ "model": "groq/Compound" }))),
        (CHAT_AT, chat(&json!({ "model": ["a"] }))),
        (CHAT_AT, chat(&json!({ "tools": [{ "type": "builtin_function", "function": { "name": "$web_search" } }] }))),
        (CHAT_AT, tells(json!({ "type": "image_url", "image_url": { "url": "https://x" } }))),
        (CHAT_AT, tells(json!({ "type": "image_url", "image_url": "https://x" }))),
        (CHAT_AT, tells(json!({ "type": "document_url", "document_url": "https://x" }))),
        (CHAT_AT, tells(json!({ "type": "file", "file": { "file_data": "https://x" } }))),
        (CHAT_AT, tells(json!({ "type": "file", "file": { "file_id": "f" } }))),
        (CHAT_AT, tells(json!({ "type": "video_url", "video_url": { "url": "https://x" } }))),
        (GENERATE_AT, generate(&json!({ "tools": [{ "google_search": {} }] }))),
        (GENERATE_AT, generate(&json!({ "tools": [{ "functionDeclarations": [] }, { "urlContext": {} }] }))),
        (GENERATE_AT, generate(&json!({ "tools": [{ "codeExecution": {} }] }))),
        (GENERATE_AT, generate(&json!({ "cachedContent": "c" }))),
        (GENERATE_AT, generate(&json!({ "contents": [{ "parts": [{ "fileData": { "fileUri": "https://x" } }] }] }))),
        (GENERATE_AT, answers(json!({ "name": "f", "fileData": { "fileUri": "https://x" } }))),
        (GENERATE_AT, answers(json!({ "name": "f", "parts": [{ "fileData": { "fileUri": "https://x" } }] }))),
        (GENERATE_AT, answers(json!({ "name": "f", "parts": [{ "file_data": { "file_uri": "https://x" } }] }))),
        (GENERATE_AT, answers(json!("https://x"))),
        (
            GENERATE_AT,
            generate(
                &json!({ "contents": [{ "parts": [{ "function_response": { "parts": [{ "fileData": {} }] } }] }] }),
            ),
        ),
        ("/v1beta/models/gemini-sonar:generateContent", generate(&json!({}))),
        ("/v1beta/models/gemini:batchGenerateContent", generate(&json!({}))),
    ];
    for kind in [
        "web_search_20250305",
        "web_fetch_20250910",
        "code_execution_20250825",
        "mcp_toolset",
        "tool_search_tool_regex",
        "",
        "Custom",
    ] {
        all.push((MESSAGES_AT, messages(&json!({ "tools": [{ "type": kind, "name": "x" }] }))));
    }
    for kind in [
        "web_search",
        "web_search_preview",
        "mcp",
        "file_search",
        "code_interpreter",
        "image_generation",
        "computer_use_preview",
        "shell",
    ] {
        all.push((RESPONSES_AT, responses(&json!({ "tools": [{ "type": kind }] }))));
        all.push((CHAT_AT, chat(&json!({ "tools": [{ "type": kind }] }))));
    }
    all
}

#[test]
fn what_asks_a_model_passes() {
    for (path, body) in good() {
        assert_eq!(look(path, &body.to_string()), Ok(()), "{path} {body}");
    }
}

#[test]
fn what_has_a_vendor_do_more_is_refused() {
    for (path, body) in bad() {
        let refused = look(path, &body.to_string());
        assert!(matches!(refused, Err(Refused::Field(_) | Refused::NoModelRequest)), "{path} {body}: {refused:?}");
    }
}

#[test]
fn what_cannot_be_read_in_one_way_is_refused() {
    let tools = r#"{"model":"m","messages":[],"tools":[],"tools":[{"type":"web_search_20250305"}]}"#;
    let kinds = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","type":"container_upload"}]}]}"#;
    for bad in
        ["", "[]", "\"x\"", "{", "{}x", "{}{}", "not json", tools, kinds, "\u{feff}{}", "{\"model\":\"\\ud800\"}"]
    {
        assert!(look(MESSAGES_AT, bad).is_err(), "{bad}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(look(MESSAGES_AT, &deep).is_err());
    let path = RequestPath::parse(MESSAGES_AT).expect("a path");
    let broken = b"{\"model\":\"m\",\"metadata\":\"\xff\"}";
    assert_eq!(inspect(Interface::Messages, &path, broken), Err(Refused::Unreadable));
    // An escaped name is the same name.
    let escaped = r#"{"model":"m","messages":[],"\u0074ools":[{"type":"web_\u0073earch_20250305"}]}"#;
    assert!(matches!(look(MESSAGES_AT, escaped), Err(Refused::Field(_))));
}

#[test]
fn only_requests_to_models_have_an_interface() {
    for (method, path, expected) in [
        ("POST", "/v1/messages", Some(Interface::Messages)),
        ("POST", "/v1/m%65ssages", Some(Interface::Messages)),
        ("POST", "/api/coding/v1/messages/count_tokens", Some(Interface::Messages)),
        ("POST", "/responses", Some(Interface::Responses)),
        ("POST", "/openai/v1/chat/completions", Some(Interface::Chat)),
        ("POST", "/v1beta/models/x:generateContent", Some(Interface::Generate)),
        ("GET", "/v1/models", Some(Interface::List)),
        ("GET", "/v1/models/x", Some(Interface::List)),
        ("GET", "/v1/responses/resp_1", None),
        ("GET", "/v1/responses", None),
        ("POST", "/v1/responses/resp_1/cancel", None),
        ("POST", "/v1/responses%2fx", None),
        ("POST", "/v1/files", None),
        ("POST", "/v1/embeddings", None),
        ("DELETE", "/v1/models/x", None),
        ("GET", "/v1/messages/batches", None),
    ] {
        assert_eq!(of(method, path), expected, "{method} {path}");
    }
}

#[test]
fn a_refusal_names_a_plain_field_and_repeats_nothing_else() {
    let named = look(CHAT_AT, &chat(&json!({ "web_search_options": { "secret": 1 } })).to_string());
    let Err(refused) = named else { panic!("it passed") };
    let text = refused.to_string();
    assert!(text.starts_with("the request may not have the field `web_search_options`") && !text.contains("secret"));
    let odd = look(CHAT_AT, &chat(&json!({ "a\nb: c": 1 })).to_string());
    assert!(odd.is_err_and(|refused| !refused.to_string().contains("b: c")));
    let nothing = look(RESPONSES_AT, "null");
    assert!(nothing.is_err_and(|refused| refused.to_string().starts_with("the request may not be null")));
    for interface in [Interface::Messages, Interface::Responses, Interface::Chat, Interface::Generate, Interface::List]
    {
        let error: Value = serde_json::from_str(&interface.error(400, "no \"x\"")).expect("JSON");
        assert_eq!(error["error"]["message"], "no \"x\"");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let words =
        ["type", "tools", "content", "source", "url", "image_url", "web_search", "data:x", "custom", "text", "store"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        proptest::sample::select(words.to_vec()).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        let name = prop_oneof![proptest::sample::select(words.to_vec()).prop_map(str::to_owned), "[a-z_]{1,6}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..5).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Puts a field into one of the objects that are looked at, the one with this number.
fn put(value: &mut Value, left: &mut usize, name: &str, bad: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter_mut().any(|one| put(one, left, name, bad)),
        Value::Object(fields) if *left == 0 => {
            fields.insert(name.to_owned(), bad.clone());
            true
        }
        Value::Object(fields) => {
            *left -= 1;
            // Beneath these nothing is looked at: they are the program's own words to the model.
            let looked = fields.iter_mut().filter(|(name, _)| {
                ["messages", "content", "contents", "parts", "source", "tools"].contains(&name.as_str())
            });
            looked.map(|(_, value)| value).any(|one| put(one, left, name, bad))
        }
        _ => false,
    }
}

proptest! {
    /// Whatever comes, the same is said of it however it is written down, and nothing panics.
    #[test]
    fn a_verdict_does_not_depend_on_how_it_is_written(value in any_json(), which in 0_usize..4) {
        let path = [MESSAGES_AT, RESPONSES_AT, CHAT_AT, GENERATE_AT][which];
        let (short, long) = (value.to_string(), serde_json::to_string_pretty(&value).expect("JSON"));
        prop_assert_eq!(look(path, &short).is_ok(), look(path, &long).is_ok());
    }

    #[test]
    fn text_of_any_kind_is_read_or_refused(text in ".{0,200}") {
        let _ = look(MESSAGES_AT, &text);
    }

    /// A field that nobody knows is refused wherever something is looked at.
    #[test]
    fn an_unknown_field_is_found_wherever_it_stands(which in 0_usize..13, mut at in 0_usize..8, name in "[a-z]{3,9}_new") {
        let (path, mut body) = good()[which].clone();
        if put(&mut body, &mut at, &name, &json!({})) {
            prop_assert!(look(path, &body.to_string()).is_err(), "{} {}", path, body);
        }
    }
}
