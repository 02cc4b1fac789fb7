//! What is OpenAI Responses' alone.

use providers::{Api, Reasoning};
use serde_json::{Value, json};
use testkit::model::{Fault, Part, Reply};
use types::{Block, Message, ModelEvent, ModelRequest, OutputSchema, ProviderErrorKind as Kind, Role};

use crate::support::{Bench, hello, request};

const API: Api = Api::OpenaiResponses;

/// The body of the first request that a bench with these settings sends.
async fn body(change: impl FnOnce(&mut providers::ProviderConfig), request: ModelRequest) -> Value {
    let bench = Bench::configured(API, change, |_| Reply::say("x")).await;
    bench.reply(request).await;
    bench.server.requests().remove(0).body
}

fn thinking(tokens: u32) -> ModelRequest {
    ModelRequest { thinking_tokens: Some(tokens), ..hello() }
}

#[tokio::test]
async fn nothing_is_stored_and_reasoning_comes_encrypted() {
    let body = body(|_| {}, hello()).await;
    assert_eq!(body["store"], false);
    assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));
    assert_eq!(body["input"][0], json!({"type": "message", "role": "system", "content": "Be brief."}));
    assert_eq!(body["max_output_tokens"], 4000);
    assert_eq!(body["tools"][0]["strict"], false);
    for absent in ["reasoning", "text", "prompt_cache_key", "previous_response_id"] {
        assert!(body[absent].is_null(), "{absent}");
    }
}

#[tokio::test]
async fn effort_form_and_cache_key_are_told() {
    let asked = body(|_| {}, thinking(2000)).await;
    assert_eq!(asked["reasoning"], json!({"effort": "low", "summary": "auto"}));
    assert_eq!(body(|_| {}, thinking(30_000)).await["reasoning"]["effort"], "high");
    let quiet = body(|config| config.quirks.reasoning_summary = false, thinking(8000)).await;
    assert_eq!(quiet["reasoning"], json!({"effort": "medium"}));
    let unable = |config: &mut providers::ProviderConfig| {
        config.quirks.models.insert("model-1".to_owned(), Reasoning::None);
    };
    let plain = body(unable, thinking(8000)).await;
    assert!(plain["reasoning"].is_null() && plain["include"].is_null());

    let schema = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let output = Some(OutputSchema { name: "verdict".to_owned(), schema: schema.clone() });
    let request = ModelRequest { output, cache_key: Some("k".to_owned()), max_output_tokens: 3, ..hello() };
    let formed = body(|config| config.quirks.cache_key = true, request).await;
    let format = json!({"type": "json_schema", "name": "verdict", "schema": schema, "strict": true});
    assert_eq!(formed["text"], json!({"format": format}));
    assert_eq!((&formed["prompt_cache_key"], &formed["max_output_tokens"]), (&json!("k"), &json!(16)));
}

/// A conversation in which the model reasoned, called twice and reasoned without a summary; with the results.
async fn reasoned(bench: &Bench) -> Vec<Message> {
    let reply = bench.reply(hello()).await;
    let assistant = Message { role: Role::Assistant, blocks: reply.blocks };
    let results = assistant.tool_uses().map(|call| Block::ToolResult {
        call: call.id,
        content: "done".to_owned(),
        is_error: false,
    });
    let results = Message { role: Role::User, blocks: results.collect() };
    vec![Message::user("hello"), assistant, results]
}

fn brain(step: usize) -> Reply {
    match step {
        0 => Reply::tools("both", [("exec", json!({"command": "a"}))])
            .thinking("let me see")
            .and(Part::Redacted)
            .and_call("read", json!({"path": "b"})),
        _ => Reply::say("done"),
    }
}

fn kinds(body: &Value) -> Vec<String> {
    let items = body["input"].as_array().unwrap().iter();
    items.map(|item| item["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn reasoning_goes_back_unchanged_and_in_place() {
    // The server itself refuses reasoning that is changed, moved or alone.
    let bench = Bench::start(API, |seen| brain(seen.step())).await;
    let messages = reasoned(&bench).await;
    bench.reply(request(messages)).await;
    let expected = [
        "message",
        "message",
        "reasoning",
        "message",
        "function_call",
        "reasoning",
        "function_call",
        "function_call_output",
        "function_call_output",
    ];
    assert_eq!(kinds(&bench.server.requests()[1].body), expected);
}

#[tokio::test]
async fn reasoning_that_led_to_nothing_stays_behind() {
    let bench = Bench::start(API, |_| Reply::say("").thinking("so far").with_fault(Fault::MaxTokens)).await;
    let reply = bench.reply(hello()).await;
    assert_eq!(reply.blocks.len(), 1, "{reply:?}");
    let messages =
        vec![Message::user("hello"), Message { role: Role::Assistant, blocks: reply.blocks }, Message::user("go on")];
    bench.reply(request(messages)).await;
    assert_eq!(kinds(&bench.server.requests()[1].body), ["message", "message", "message"]);
}

#[tokio::test]
async fn what_is_unknown_goes_back_as_it_came() {
    let search = json!({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "x"}});
    let said = json!({"type": "message", "id": "msg_1", "role": "assistant", "phase": "commentary",
        "content": [{"type": "output_text", "text": "found", "annotations": [{"of": "the future"}]}]});
    let answer = json!({"status": "completed", "output": [search, said], "usage": {"input_tokens": 3}});
    let first = Reply::fault(Fault::Status { code: 200, retry_after: None, body: Some(answer) });
    let bench = Bench::replying(API, |_| {}, vec![first, Reply::say("x")]).await;
    let reply = bench.reply(hello()).await;
    let messages =
        vec![Message::user("hello"), Message { role: Role::Assistant, blocks: reply.blocks }, Message::user("go on")];
    bench.reply(request(messages)).await;
    let items = bench.server.requests()[1].body["input"].clone();
    assert_eq!(items[2], search);
    assert_eq!((&items[3]["phase"], &items[3]["content"][0]["text"]), (&json!("commentary"), &json!("found")));
}

#[tokio::test]
async fn failures_in_the_stream_have_kinds() {
    for (code, kind) in [
        ("server_error", Kind::Server),
        ("rate_limit_exceeded", Kind::RateLimited),
        ("insufficient_quota", Kind::Quota),
        ("context_length_exceeded", Kind::ContextOverflow),
        ("invalid_prompt", Kind::BadRequest),
    ] {
        let failed = Fault::Failed { code: code.to_owned(), message: "Please try again in 1.5s.".to_owned() };
        let bench = Bench::replying(API, |_| {}, vec![Reply::fault(failed)]).await;
        let error = bench.error(hello()).await;
        let wait = (kind == Kind::RateLimited).then_some(1500);
        assert_eq!((error.kind, error.retry_after_ms), (kind, wait), "{code}");
    }
    for noise in [false, true] {
        let fault = Fault::StreamError { kind: "rate_limit_exceeded".to_owned(), message: "slow".to_owned() };
        let bench = Bench::replying(API, |_| {}, vec![Reply { noise, ..Reply::fault(fault) }]).await;
        assert_eq!(bench.failure().await, Kind::RateLimited, "noise {noise}");
    }
}

#[tokio::test]
async fn refused_reasoning_is_left_out_once() {
    let refusal = json!({"error": {"message": "The encrypted content gAAA...Rg== could not be verified.",
        "type": "invalid_request_error", "param": null, "code": "invalid_encrypted_content"}});
    for lasting in [false, true] {
        let refusal = refusal.clone();
        let bench = Bench::start(API, move |seen| match seen.contains("rs_") || (lasting && seen.index > 0) {
            true => Reply::fault(Fault::Status { code: 400, retry_after: None, body: Some(refusal.clone()) }),
            false => brain(seen.step()),
        })
        .await;
        let messages = reasoned(&bench).await;
        let events = bench.events(request(messages.clone())).await;
        let restarts = events.iter().filter(|event| matches!(event, ModelEvent::Restarted { .. })).count();
        assert_eq!((restarts, bench.server.request_count()), (1, 3));
        match events.last() {
            Some(ModelEvent::Finished(reply)) if !lasting => {
                assert_eq!(reply.blocks, [Block::text("done")]);
                // What was refused once stays away.
                bench.reply(request(messages)).await;
                assert_eq!(bench.server.request_count(), 4);
            }
            Some(ModelEvent::Failed(error)) if lasting => assert_eq!(error.kind, Kind::BadRequest),
            other => panic!("{other:?}"),
        }
    }
}
