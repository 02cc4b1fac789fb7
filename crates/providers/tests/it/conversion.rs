//! A conversation that begins on one dialect goes on with another, and comes back: whoever answers sees all that was said, and
//! each vendor gets its own reasoning back and nobody else's.

use std::sync::Arc;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use providers::Api;
use serde_json::{Value, json};
use testkit::model::{Part, Reply, SeenRequest};
use types::{Block, Message, ModelRequest, Role};

use crate::support::{ALL, Bench, picture, request};

/// What one dialect's model thinks, which no other may be shown.
fn thought(api: Api) -> String {
    format!("a private thought of {api:?}")
}

/// Thinks and calls twice, thinks unseen and calls again, answers.
fn brain(api: Api) -> impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static {
    move |seen| match seen.step() {
        0 => Reply::tools(
            format!("{api:?} looks"),
            [
                ("exec", json!({"command": "echo 'ü'", "deep": {"list": [1, null, "x"]}})),
                ("read", json!({"path": "a b"})),
            ],
        )
        .thinking(thought(api)),
        1 => Reply::call("exec", json!({"command": "again"}))
            .thinking(thought(api))
            .and(Part::Redacted)
            .and_call("read", json!({})),
        _ => Reply::say(format!("{api:?} is done 世界")).thinking(thought(api)),
    }
}

/// Results for the calls of an answer; every second is an error.
fn results(assistant: &Message) -> Option<Message> {
    let result = |(at, call): (usize, types::ToolCall)| Block::ToolResult {
        call: call.id,
        content: format!("result {at} of {}", call.input),
        is_error: at % 2 == 1,
    };
    let blocks: Vec<Block> = assistant.tool_uses().enumerate().map(result).collect();
    (!blocks.is_empty()).then_some(Message { role: Role::User, blocks })
}

/// What was said before anybody here was asked: ids that no vendor makes, one of them twice, and a name that no tool has.
fn odd_beginning() -> Vec<Message> {
    let call =
        |id: &str, name: &str| Block::ToolUse { id: id.to_owned(), name: name.to_owned(), input: json!({"odd": id}) };
    let result = |id: &str| Block::ToolResult { call: id.to_owned(), content: format!("odd {id}"), is_error: false };
    let answers = |ids: &[&str]| Message { role: Role::User, blocks: ids.iter().map(|id| result(id)).collect() };
    let asks = |blocks: Vec<Block>| Message { role: Role::Assistant, blocks };
    vec![
        Message::user("begin"),
        asks(vec![call("functions.exec:0", "exec"), call("call_0", "read")]),
        answers(&["functions.exec:0", "call_0"]),
        asks(vec![call("call_0", "functions.exec")]),
        answers(&["call_0"]),
        Message::assistant("begun"),
    ]
}

/// Goes on with the conversation for at most `answers` answers, or until the model asks for nothing.
async fn converse(bench: &Bench, messages: &mut Vec<Message>, answers: usize) {
    let (_, media) = picture(40);
    for _ in 0..answers {
        let request =
            ModelRequest { thinking_tokens: Some(2000), media: Arc::clone(&media), ..request(messages.clone()) };
        let assistant = Message { role: Role::Assistant, blocks: bench.reply(request).await.blocks };
        let next = results(&assistant);
        messages.push(assistant);
        match next {
            Some(next) => messages.push(next),
            None => return,
        }
    }
}

/// What a server must be shown of a conversation, in the order of its kind.
#[derive(Debug, PartialEq)]
struct Shown {
    asked: Vec<String>,
    said: Vec<String>,
    calls: Vec<(String, Value)>,
    results: Vec<String>,
    pictures: Vec<String>,
}

fn of_request(seen: &SeenRequest) -> Shown {
    let plain = |text: &str| text.strip_prefix("error: ").unwrap_or(text).to_owned();
    Shown {
        asked: seen.user_texts(),
        said: seen.assistant_texts(),
        calls: seen.tool_calls().into_iter().map(|call| (call.name, call.input)).collect(),
        results: seen.tool_results().iter().map(|result| plain(&result.content)).collect(),
        pictures: seen.media().into_iter().map(|media| media.data).collect(),
    }
}

fn of_messages(messages: &[Message]) -> Shown {
    let texts = |role: Role| -> Vec<String> {
        let texts = messages.iter().filter(|message| message.role == role).map(Message::text);
        texts.filter(|text| !text.is_empty()).collect()
    };
    let all = || messages.iter().flat_map(|message| &message.blocks);
    let calls = messages.iter().flat_map(Message::tool_uses);
    Shown {
        asked: texts(Role::User),
        said: texts(Role::Assistant),
        calls: calls.map(|call| (call.name.replace('.', "_"), call.input)).collect(),
        results: all()
            .filter_map(
                |block| if let Block::ToolResult { content, .. } = block { Some(content.clone()) } else { None },
            )
            .collect(),
        pictures: all().filter(|block| matches!(block, Block::Media { .. })).map(|_| picture(40).0.base64).collect(),
    }
}

/// The messages of a request without cache marks, which move.
fn unmarked(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, _)| *key != "cache_control");
            Value::Object(kept.map(|(key, value)| (key.clone(), unmarked(value))).collect())
        }
        Value::Array(items) => items.iter().map(unmarked).collect(),
        other => other.clone(),
    }
}

fn check_last(bench: &Bench, messages: &[Message], foreign: Api, place: &str) {
    let last = bench.server.requests().pop().unwrap();
    assert_eq!(of_request(&last), of_messages(&messages[..messages.len() - 1]), "{place}");
    assert!(!last.contains(&thought(foreign)), "{place}: shown what {foreign:?} thought");
}

/// From `first` to `second` and back, at the end of a turn or while tools are used.
async fn there_and_back(first: Api, second: Api, answers: usize) {
    let place = format!("{first:?} to {second:?} after {answers} answers");
    let (one, other) = (Bench::start(first, brain(first)).await, Bench::start(second, brain(second)).await);
    let mut messages = odd_beginning();
    messages.push(Message { role: Role::User, blocks: vec![picture(40).0.block, Block::text("what is this?")] });
    converse(&one, &mut messages, answers).await;
    let own = one.server.requests().pop().unwrap();
    if messages.last().is_some_and(|last| last.role == Role::Assistant) {
        messages.push(Message::user("and what else?"));
    }
    converse(&other, &mut messages, 9).await;
    check_last(&other, &messages, first, &place);
    messages.push(Message::user("once more"));
    converse(&one, &mut messages, 9).await;
    check_last(&one, &messages, second, &format!("{place}, back"));
    // What the first had said and thought before stands where it stood, to the byte.
    let again = one.server.requests().pop().unwrap();
    let before = own.messages.iter().map(unmarked).collect::<Vec<_>>();
    let after = again.messages.iter().map(unmarked).collect::<Vec<_>>();
    assert!(after.starts_with(&before), "{place}: {before:#?} {after:#?}");
}

#[tokio::test]
async fn every_pair_at_the_end_of_a_turn() {
    for first in ALL {
        for second in ALL.into_iter().filter(|second| *second != first) {
            there_and_back(first, second, 9).await;
        }
    }
}

#[tokio::test]
async fn every_pair_while_tools_are_used() {
    for first in ALL {
        for second in ALL.into_iter().filter(|second| *second != first) {
            there_and_back(first, second, 2).await;
        }
    }
}

/// Any block, sound or not, but none that claims to be the asked vendor's own.
fn any_block() -> impl Strategy<Value = Block> {
    let text = || prop::sample::select(vec!["", " ", "\n", "x", "ü 👩‍🚀 \u{0}", "error: no"]).prop_map(str::to_owned);
    let id = || prop::sample::select(vec!["", "a", "b", "functions.exec:0", "toolu_1", "ü"]).prop_map(str::to_owned);
    let name = prop::sample::select(vec!["exec", "read", "", "functions.exec", "ü"]).prop_map(str::to_owned);
    let input = prop::sample::select(vec![json!({}), json!({"a": [1]}), json!("half {"), json!(null), json!([1])]);
    let origin = || prop::sample::select(vec!["", "elsewhere"]).prop_map(str::to_owned);
    let item = prop::sample::select(vec![json!({"type": "reasoning", "summary": []}), json!({}), json!("x")]);
    let media_type = prop::sample::select(vec!["image/png", "application/pdf", "image/tiff", "text/plain"]);
    prop_oneof![
        3 => text().prop_map(|text| Block::Text { text }),
        3 => (id(), name, input).prop_map(|(id, name, input)| Block::ToolUse { id, name, input }),
        3 => (id(), text(), any::<bool>())
            .prop_map(|(call, content, is_error)| Block::ToolResult { call, content, is_error }),
        1 => (text(), any::<bool>(), origin()).prop_map(|(text, signed, origin)| Block::Thinking {
            text,
            signature: signed.then(|| "signed".to_owned()),
            origin,
        }),
        1 => origin().prop_map(|origin| Block::RedactedThinking { data: "sealed".to_owned(), origin }),
        1 => (origin(), item).prop_map(|(origin, item)| Block::Opaque { origin, item }),
        2 => (0_usize..60, media_type).prop_map(|(size, media_type)| {
            let mut media = picture(size).0.media;
            media.media_type = media_type.to_owned();
            Block::Media { media }
        }),
    ]
}

fn any_message() -> impl Strategy<Value = Message> {
    (any::<bool>(), prop::collection::vec(any_block(), 0..5)).prop_map(|(user, blocks)| {
        let role = if user { Role::User } else { Role::Assistant };
        Message { role, blocks }
    })
}

#[test]
fn any_conversation_becomes_a_request_that_the_vendor_takes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_, media) = picture(40);
    for api in ALL {
        let bench = runtime.block_on(Bench::start(api, |_| Reply::say("x")));
        let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
        let given = (prop::collection::vec(any_message(), 0..7), prop::option::of(0_u32..6000));
        let outcome = runner.run(&given, |(messages, thinking_tokens)| {
            let request = ModelRequest { thinking_tokens, media: Arc::clone(&media), ..request(messages) };
            runtime.block_on(bench.events(request));
            let violations = bench.server.violations();
            prop_assert!(violations.is_empty(), "{:?} {:?}", api, violations);
            Ok(())
        });
        assert!(outcome.is_ok(), "{api:?}: {}", outcome.unwrap_err());
    }
}
