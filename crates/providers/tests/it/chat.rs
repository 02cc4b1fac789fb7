//! What is Chat Completions' alone, and the ways of the servers that imitate it.

use providers::{Api, CallIds, Quirks, Reasoning, ReasoningField, SchemaForm};
use serde_json::{Value, json};
use testkit::model::{Fault, Part, Reply};
use types::{Block, Message, ModelRequest, OutputSchema, Role};

use crate::support::{Bench, hello, request};

const API: Api = Api::OpenaiChat;

async fn body(quirks: Quirks, request: ModelRequest) -> Value {
    let bench = Bench::configured(API, |config| config.quirks = quirks, |_| Reply::say("x")).await;
    bench.reply(request).await;
    bench.server.requests().remove(0).body
}

#[tokio::test]
async fn each_vendor_is_told_of_reasoning_in_its_own_field() {
    let request = ModelRequest { thinking_tokens: Some(5000), ..hello() };
    let (effort, budget) = (Reasoning::Effort, Reasoning::Budget);
    for (field, way, expected) in [
        (ReasoningField::None, effort, json!({})),
        (ReasoningField::Effort, effort, json!({"reasoning_effort": "medium"})),
        (ReasoningField::Object, effort, json!({"reasoning": {"effort": "medium"}})),
        (ReasoningField::Object, budget, json!({"reasoning": {"max_tokens": 5000}})),
        (ReasoningField::Thinking, effort, json!({"thinking": {"type": "enabled"}})),
        (ReasoningField::Budget, budget, json!({"enable_thinking": true, "thinking_budget": 5000})),
        (ReasoningField::Effort, Reasoning::Always, json!({})),
        (ReasoningField::Effort, Reasoning::None, json!({})),
    ] {
        let quirks = Quirks { reasoning_field: field, reasoning: Some(way), ..Quirks::default() };
        let mut said = body(quirks, request.clone()).await;
        let plain = body(Quirks::default(), hello()).await;
        said.as_object_mut().unwrap().retain(|key, _| plain.get(key).is_none());
        assert_eq!(said, expected, "{field:?} {way:?}");
    }
}

#[tokio::test]
async fn the_form_of_an_answer_is_told_as_far_as_the_vendor_takes_it() {
    let schema = json!({"type": "object", "properties": {}});
    let output = Some(OutputSchema { name: "verdict".to_owned(), schema: schema.clone() });
    let request = ModelRequest { output, ..hello() };
    let strict = body(Quirks::default(), request.clone()).await;
    assert_eq!(strict["response_format"]["json_schema"]["schema"], schema);
    assert_eq!(strict["messages"][1]["content"], "hello");
    for (form, format) in [(SchemaForm::Object, json!({"type": "json_object"})), (SchemaForm::Words, Value::Null)] {
        let told = body(Quirks { schema: form, ..Quirks::default() }, request.clone()).await;
        assert_eq!(told["response_format"], format);
        let words = told["messages"][1]["content"].as_str().unwrap();
        assert!(words.starts_with("hello\n\nAnswer with one JSON object") && words.ends_with(&schema.to_string()));
    }
}

#[tokio::test]
async fn ids_have_the_length_that_the_vendor_takes() {
    let call = |id: &str| Block::ToolUse { id: id.to_owned(), name: "exec".to_owned(), input: json!({}) };
    let result = |id: &str| Block::ToolResult { call: id.to_owned(), content: id.to_owned(), is_error: false };
    let messages = vec![
        Message::user("go"),
        Message { role: Role::Assistant, blocks: vec![call("toolu_0123456789"), call("abcDEF123"), call("b:1")] },
        Message { role: Role::User, blocks: vec![result("toolu_0123456789"), result("abcDEF123"), result("b:1")] },
    ];
    let bench = Bench::configured(API, |config| config.quirks.call_ids = CallIds::Nine, |_| Reply::say("x")).await;
    bench.reply(request(messages)).await;
    let seen = bench.server.requests().remove(0);
    let ids: Vec<String> = seen.tool_calls().into_iter().map(|call| call.id).collect();
    assert!(ids.iter().all(|id| id.len() == 9 && id.chars().all(|c| c.is_ascii_alphanumeric())), "{ids:?}");
    assert_eq!(ids[1], "abcDEF123");
    let answered: Vec<String> = seen.tool_results().into_iter().map(|result| result.call).collect();
    assert_eq!(answered, ids);
}

#[tokio::test]
async fn details_of_reasoning_go_back_as_they_came() {
    // The server itself refuses details that are changed.
    let reply = Reply::call("exec", json!({})).thinking("hm").and(Part::Redacted).and(Part::Redacted);
    let bench = Bench::replying(API, |_| {}, vec![reply, Reply::say("x")]).await;
    let blocks = bench.reply(hello()).await.blocks;
    bench.reply(request(vec![Message::user("hello"), Message { role: Role::Assistant, blocks }])).await;
    let sent = bench.server.requests()[1].messages[1].clone();
    assert_eq!(sent["reasoning_details"].as_array().map(Vec::len), Some(2));
    assert!(sent["reasoning_content"].is_null());
}

#[tokio::test]
async fn an_answer_that_only_thinks_is_left_out() {
    let cut = Reply::say("").thinking("hm").and(Part::Redacted).with_fault(Fault::MaxTokens);
    let bench = Bench::replying(API, |config| config.quirks.replay_reasoning = true, vec![cut, Reply::say("x")]).await;
    let blocks = bench.reply(hello()).await.blocks;
    assert_eq!(blocks.len(), 2, "{blocks:?}");
    let messages = vec![Message::user("hello"), Message { role: Role::Assistant, blocks }, Message::user("go on")];
    bench.reply(request(messages)).await;
    assert_eq!(bench.server.requests()[1].messages, [json!({"role": "user", "content": "hello\ngo on"})]);
}

#[tokio::test]
async fn the_cache_is_told_where_it_listens() {
    let request = ModelRequest { cache_key: Some("k".to_owned()), ..hello() };
    let plain = body(Quirks::default(), request.clone()).await;
    assert!(plain["prompt_cache_key"].is_null() && plain["cache_control"].is_null());
    let marked = body(Quirks { cache_marks: true, cache_hour: true, ..Quirks::default() }, hello()).await;
    assert_eq!(marked["cache_control"], json!({"type": "ephemeral", "ttl": "1h"}));
    assert_eq!(body(Quirks { cache_key: true, ..Quirks::default() }, request).await["prompt_cache_key"], "k");
}
