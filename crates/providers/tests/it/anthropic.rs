//! What is Anthropic's alone.

use providers::{Api, Reasoning, SchemaForm};
use serde_json::{Value, json};
use testkit::model::{Fault, Reply};
use types::{Block, Message, ModelEvent, ModelRequest, OutputSchema, Role, StopReason};

use crate::support::{Bench, hello, request, streamed_text};

const API: Api = Api::Anthropic;

async fn body(change: impl FnOnce(&mut providers::ProviderConfig), request: ModelRequest) -> Value {
    let bench = Bench::configured(API, change, |_| Reply::say("x")).await;
    bench.reply(request).await;
    bench.server.requests().remove(0).body
}

fn thinking(tokens: u32) -> ModelRequest {
    ModelRequest { thinking_tokens: Some(tokens), ..hello() }
}

#[tokio::test]
async fn each_model_is_told_of_thinking_in_its_own_way() {
    let way = |way: Reasoning| move |config: &mut providers::ProviderConfig| config.quirks.reasoning = Some(way);
    let asked = body(way(Reasoning::Budget), thinking(2000)).await;
    assert_eq!(asked["thinking"], json!({"type": "enabled", "budget_tokens": 2000}));
    // The server refuses a budget for this model.
    let newest = ModelRequest { model: "claude-opus-4-7".to_owned(), ..thinking(20_000) };
    let adaptive = |config: &mut providers::ProviderConfig| {
        config.quirks.models.insert("claude-opus-4-7".to_owned(), Reasoning::Adaptive);
    };
    let asked = body(adaptive, newest).await;
    assert_eq!(asked["thinking"], json!({"type": "adaptive", "display": "summarized"}));
    assert_eq!(asked["output_config"], json!({"effort": "high"}));
    let asked = body(way(Reasoning::None), thinking(2000)).await;
    assert!(asked["thinking"].is_null() && asked["output_config"].is_null());
    let asked = body(way(Reasoning::Adaptive), hello()).await;
    assert!(asked["thinking"].is_null() && asked["output_config"].is_null());
}

#[tokio::test]
async fn a_turn_that_another_began_ends_without_thinking() {
    let call = Block::ToolUse { id: "a".to_owned(), name: "exec".to_owned(), input: json!({}) };
    let result = Block::ToolResult { call: "a".to_owned(), content: "x".to_owned(), is_error: false };
    let turn = vec![
        Message::user("go"),
        Message { role: Role::Assistant, blocks: vec![call] },
        Message { role: Role::User, blocks: vec![result] },
    ];
    let asked = body(|_| {}, ModelRequest { thinking_tokens: Some(2000), ..request(turn.clone()) }).await;
    assert!(asked["thinking"].is_null());
    // With the next turn it thinks again.
    let next = [turn, vec![Message::assistant("done"), Message::user("and now")]].concat();
    let asked = body(|_| {}, ModelRequest { thinking_tokens: Some(2000), ..request(next) }).await;
    assert_eq!(asked["thinking"]["type"], "enabled");
}

#[tokio::test]
async fn thoughts_that_the_vendor_does_not_take_stay_behind() {
    // An answer that was cut while it thought; the server refuses it as a message.
    let cut = Reply::say("").thinking("so far").with_fault(Fault::MaxTokens);
    let bench = Bench::replying(API, |_| {}, vec![cut, Reply::say("x")]).await;
    let mut blocks = bench.reply(hello()).await.blocks;
    blocks.retain(|block| *block != Block::text(""));
    let messages = vec![Message::user("hello"), Message { role: Role::Assistant, blocks }, Message::user("go on")];
    bench.reply(request(messages)).await;
    assert!(!bench.server.requests()[1].contains("so far"));

    // A turn that began with thinking and goes on without.
    let bench = Bench::start(API, |seen| match seen.step() {
        0 => Reply::call("exec", json!({})).thinking("at first"),
        _ => Reply::say("done"),
    })
    .await;
    let first = Message { role: Role::Assistant, blocks: bench.reply(thinking(2000)).await.blocks };
    let call = first.tool_uses().next().unwrap().id;
    let result = Block::ToolResult { call, content: "x".to_owned(), is_error: false };
    let messages = vec![Message::user("hello"), first, Message { role: Role::User, blocks: vec![result] }];
    bench.reply(request(messages.clone())).await;
    assert!(!bench.server.requests()[1].contains("at first"));
    bench.reply(ModelRequest { thinking_tokens: Some(2000), ..request(messages) }).await;
    assert!(bench.server.requests()[2].contains("at first"));
}

#[tokio::test]
async fn the_form_of_an_answer_is_told() {
    let schema = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let output = OutputSchema { name: "verdict".to_owned(), schema: schema.clone() };
    let formed = ModelRequest { output: Some(output), ..thinking(5000) };
    let adaptive = |config: &mut providers::ProviderConfig| config.quirks.reasoning = Some(Reasoning::Adaptive);
    let asked = body(adaptive, formed.clone()).await;
    let format = json!({"type": "json_schema", "schema": schema});
    assert_eq!(asked["output_config"], json!({"effort": "medium", "format": format}));
    let asked = body(|_| {}, formed.clone()).await;
    assert_eq!(asked["output_config"], json!({"format": format}));
    let asked = body(|config| config.quirks.schema = SchemaForm::Words, formed).await;
    assert!(asked["output_config"].is_null());
    let told = asked["messages"][0]["content"][1]["text"].as_str().unwrap();
    assert!(told.ends_with(&schema.to_string()), "{told}");
}

#[tokio::test]
async fn marks_last_an_hour_where_wanted() {
    let asked = body(|config| config.quirks.cache_hour = true, hello()).await.to_string();
    let marks = asked.matches("cache_control").count();
    assert_eq!((marks, asked.matches(r#""ttl":"1h""#).count()), (3, 3));
    assert!(!body(|_| {}, hello()).await.to_string().contains("ttl"));
    for hour in [true, false] {
        let bench = Bench::configured(API, |config| config.quirks.cache_hour = hour, |_| Reply::say("x")).await;
        let usage = bench.reply(hello()).await.usage;
        assert!(usage.cache_write > 0, "{usage:?}");
        assert_eq!(usage.cache_write_1h, if hour { usage.cache_write } else { 0 });
    }
}

#[tokio::test]
async fn a_refused_signature_is_left_out_once() {
    let refusal = json!({"type": "error", "error": {"type": "invalid_request_error",
        "message": "messages.1.content.0: Invalid `signature` in `thinking` block"}});
    let bench = Bench::start(API, move |seen| match seen.step() {
        0 => Reply::call("exec", json!({})).thinking("hm"),
        _ if !seen.contains("signature") => Reply::say("done"),
        _ => Reply::fault(Fault::Status { code: 400, retry_after: None, body: Some(refusal.clone()) }),
    })
    .await;
    let first = Message { role: Role::Assistant, blocks: bench.reply(hello()).await.blocks };
    let call = first.tool_uses().next().unwrap().id;
    let result = Block::ToolResult { call, content: "x".to_owned(), is_error: false };
    let messages = vec![Message::user("hello"), first, Message { role: Role::User, blocks: vec![result] }];
    let asked = ModelRequest { thinking_tokens: Some(2000), ..request(messages) };
    let events = bench.events(asked).await;
    assert!(matches!(events.first(), Some(ModelEvent::Restarted { attempt: 2, .. })), "{events:?}");
    let Some(ModelEvent::Finished(reply)) = events.last() else { panic!("{events:?}") };
    assert_eq!(reply.blocks, [Block::text("done")]);
    // A turn whose thinking is gone goes on without, or the vendor would refuse that as well.
    assert!(
        bench.server.requests()[1].body["thinking"].is_object()
            && bench.server.requests()[2].body["thinking"].is_null()
    );
    assert_eq!(bench.server.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_said_of_a_refusal_is_shown() {
    let answer = json!({"type": "message", "role": "assistant", "content": [], "stop_reason": "refusal",
        "stop_details": {"type": "refusal", "category": "bio", "explanation": "This is not answered."}});
    let fault = Fault::Status { code: 200, retry_after: None, body: Some(answer) };
    let bench = Bench::replying(API, |_| {}, vec![Reply::fault(fault)]).await;
    let reply = bench.reply(hello()).await;
    assert_eq!((reply.stop, reply.blocks), (StopReason::Refusal, vec![Block::text("This is not answered.")]));
    assert_eq!(streamed_text(&bench.events(hello()).await), "This is not answered.");
}
