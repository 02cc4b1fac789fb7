//! What is Ollama's alone.

use providers::Api;
use serde_json::{Value, json};
use testkit::model::{Fault, Reply};
use types::{Block, Message, ModelEvent, ProviderErrorKind as Kind, Role, StopReason};

use crate::support::{Bench, hello, request};

const API: Api = Api::Ollama;

/// A bench whose model has a window of so many tokens.
async fn with_window(tokens: u64, replies: Vec<Reply>) -> Bench {
    let narrow = |config: &mut providers::ProviderConfig| {
        config.context_tokens.insert("model-1".to_owned(), tokens);
    };
    Bench::replying(API, narrow, replies).await
}

fn answers(body: Value) -> Vec<Reply> {
    vec![Reply::fault(Fault::Status { code: 200, retry_after: None, body: Some(body) })]
}

#[tokio::test]
async fn a_server_refuses_what_its_window_does_not_hold() {
    let long = request(vec![Message::user("word ".repeat(2000))]);
    let bench = with_window(1000, vec![Reply::say("x")]).await;
    assert_eq!(bench.error(long.clone()).await.kind, Kind::ContextOverflow);
    assert_eq!(bench.server.requests()[0].body["options"]["num_ctx"], 1000);
    with_window(5000, vec![Reply::say("x")]).await.reply(long).await;
}

#[tokio::test]
async fn the_server_is_told_the_window_that_is_reckoned_with() {
    for written in [None, Some(8_000)] {
        let mut reckoned = 0;
        let change = |config: &mut providers::ProviderConfig| {
            let model = providers::ModelConfig { context_tokens: written, ..providers::ModelConfig::default() };
            config.models.insert("model-1".to_owned(), model);
            reckoned = config.context("model-1", 200_000);
        };
        let bench = Bench::configured(API, change, |_| Reply::say("x")).await;
        bench.reply(hello()).await;
        assert_eq!(reckoned, written.unwrap_or(32_768));
        assert_eq!(bench.server.requests()[0].body["options"]["num_ctx"], reckoned);
    }
}

#[tokio::test]
async fn a_server_that_cuts_in_silence_is_found_out() {
    let cut = |count: u64| {
        let message = json!({"role": "assistant", "content": "what was the question?"});
        answers(json!({"message": message, "done": true, "done_reason": "stop", "prompt_eval_count": count}))
    };
    let long = request(vec![Message::user("word ".repeat(2000))]);
    assert_eq!(with_window(1000, cut(502)).await.error(long).await.kind, Kind::ContextOverflow);
    assert_eq!(with_window(1000, cut(1000)).await.error(hello()).await.kind, Kind::ContextOverflow);
    with_window(1000, cut(502)).await.reply(hello()).await;
}

#[tokio::test]
async fn an_answer_that_fills_the_window_says_so() {
    let message = json!({"role": "assistant", "content": "and so on"});
    let body = json!({"message": message, "done": true, "done_reason": "length",
        "prompt_eval_count": 600, "eval_count": 399});
    let answer = with_window(1000, answers(body)).await.reply(hello()).await;
    assert_eq!(answer.stop, StopReason::ContextFull);
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let cases = [
        (400, "registry.ollama.ai/library/m:latest does not support tools", Kind::BadRequest, "choose a model"),
        (400, "\"m\" does not support thinking", Kind::BadRequest, "`quirks.models`"),
        (404, "model 'm' not found", Kind::NotFound, "`ollama pull`"),
        (503, "server busy, please try again.  maximum pending requests exceeded", Kind::Overloaded, ""),
        (500, "llama runner process has terminated", Kind::Server, ""),
    ];
    for (code, text, kind, advice) in cases {
        let fault = Fault::Status { code, retry_after: None, body: Some(json!({"error": text})) };
        let error = Bench::replying(API, |_| {}, vec![Reply::fault(fault)]).await.error(hello()).await;
        assert_eq!(error.kind, kind, "{text}");
        assert!(error.message.starts_with(text) && error.message.contains(advice), "{error}");
        assert_eq!(error.message == text, advice.is_empty(), "{error}");
    }
}

#[tokio::test]
async fn lines_may_be_called_json() {
    // The double sends this with the type of one whole value, though a stream was asked for.
    let body = json!({"message": {"content": "hi", "tool_calls": [{"function": {"name": "exec", "arguments": {}}}]},
        "done": true, "done_reason": "stop", "prompt_eval_count": 5, "eval_count": 2});
    let bench = Bench::replying(API, |_| {}, answers(body)).await;
    let events = bench.events(hello()).await;
    assert!(events.contains(&ModelEvent::TextDelta("hi".to_owned())), "{events:?}");
    let Some(ModelEvent::Finished(reply)) = events.last() else { panic!("{events:?}") };
    let [Block::Text { .. }, Block::ToolUse { id, .. }] = reply.blocks.as_slice() else { panic!("{reply:?}") };
    assert!(!id.is_empty(), "the server gave none");
    assert_eq!((reply.stop.clone(), reply.usage.context()), (StopReason::ToolUse, 5));
}

#[tokio::test]
async fn reasoning_goes_back_with_its_call() {
    let bench = Bench::start(API, |seen| match seen.step() {
        0 => Reply::call("exec", json!({"command": "a"})).thinking("let me see"),
        _ => Reply::say("done"),
    })
    .await;
    let assistant = Message { role: Role::Assistant, blocks: bench.reply(hello()).await.blocks };
    let call = assistant.tool_uses().next().unwrap();
    let result = Block::ToolResult { call: call.id.clone(), content: "did".to_owned(), is_error: false };
    bench
        .reply(request(vec![Message::user("hello"), assistant, Message { role: Role::User, blocks: vec![result] }]))
        .await;
    let requests = bench.server.requests();
    let messages = requests[1].body["messages"].clone();
    assert_eq!(messages[2]["thinking"], "let me see");
    assert_eq!(messages[2]["tool_calls"][0]["function"]["arguments"], json!({"command": "a"}));
    let expected = json!({"role": "tool", "tool_name": "exec", "tool_call_id": call.id, "content": "did"});
    assert_eq!(messages[3], expected);
    assert_eq!((&requests[0].body["think"], &requests[0].body["stream"]), (&json!(false), &json!(true)));
}
