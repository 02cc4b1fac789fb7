//! What goes out: sound, stable, and by the vendor's rules.

use providers::{Api, OutputLimit};
use serde_json::{Value, json};
use testkit::model::{Dialect, Part, Reply};
use types::{Block, Message, Role};

use crate::support::{ALL, Bench, KEY, dialect, hello, request};

#[tokio::test]
async fn the_key_goes_into_its_header_alone() {
    for api in ALL {
        let bench = Bench::start(api, |_| Reply::say("x")).await;
        bench.reply(hello()).await;
        let seen = bench.server.requests().remove(0);
        assert_eq!(seen.dialect, dialect(api));
        let holders: Vec<&String> =
            seen.headers.iter().filter(|(_, value)| value.contains(KEY)).map(|(name, _)| name).collect();
        let expected = match seen.dialect {
            Dialect::Anthropic => "x-api-key",
            Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Ollama => "authorization",
            Dialect::Gemini => "x-goog-api-key",
        };
        assert_eq!(holders, [expected]);
        assert!(!seen.contains(KEY));
        assert_eq!(seen.headers["accept-encoding"], "identity");
        assert_eq!(seen.system, "Be brief.");
    }
}

#[tokio::test]
async fn addresses_with_and_without_version_both_work() {
    for api in ALL {
        let version = match api {
            Api::Anthropic | Api::OpenaiChat | Api::OpenaiResponses => "/v1",
            Api::Gemini => "/v1beta",
            Api::Ollama => "/api",
        };
        for suffix in ["", "/", version, &format!("{version}/")] {
            let bench = Bench::start(api, |_| Reply::say("x")).await;
            let config = providers::ProviderConfig::new(api, format!("{}{suffix}", bench.server.base_url()));
            let provider = providers::build("lab", &config, &bench.vault).unwrap();
            let bench = Bench { provider, ..bench };
            bench.reply(hello()).await;
        }
    }
}

/// Runs a conversation of several steps with reasoning and parallel calls, and returns the bench for inspection.
async fn converse(api: Api, change: impl FnOnce(&mut providers::ProviderConfig)) -> Bench {
    let bench = Bench::configured(api, change, |seen| match seen.step() {
        0 => Reply::tools("both", [("exec", json!({"command": "a"})), ("read", json!({"path": "b"}))])
            .thinking("let me see"),
        1 => Reply::call("exec", json!({"command": "c"}))
            .thinking("and then")
            .and(Part::Redacted)
            .and_call("read", json!({"path": "d"})),
        _ => Reply::say("done").thinking("finally"),
    })
    .await;
    let mut messages = vec![Message::user("go")];
    for _ in 0..3 {
        let mut request = request(messages.clone());
        request.thinking_tokens = Some(2000);
        let reply = bench.reply(request).await;
        let assistant = Message { role: Role::Assistant, blocks: reply.blocks };
        let results = assistant.tool_uses().map(|call| Block::ToolResult {
            call: call.id,
            content: format!("did {}", call.name),
            is_error: call.name == "read",
        });
        let results = Message { role: Role::User, blocks: results.collect() };
        messages.extend([assistant, results]);
    }
    bench
}

#[tokio::test]
async fn reasoning_goes_back_unchanged_and_in_place() {
    // The server itself refuses reasoning that is changed, moved or unsigned.
    let bench = converse(Api::Anthropic, |_| {}).await;
    let last = bench.server.requests().pop().unwrap();
    let kinds = |index: usize| -> Vec<String> {
        let blocks = last.messages[index]["content"].as_array().unwrap();
        blocks.iter().map(|block| block["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(1), ["thinking", "text", "tool_use", "tool_use"]);
    assert_eq!(kinds(3), ["thinking", "tool_use", "redacted_thinking", "tool_use"]);
    assert_eq!(last.body["thinking"], json!({"type": "enabled", "budget_tokens": 2000}));
}

#[tokio::test]
async fn results_of_parallel_calls_go_together() {
    for api in ALL {
        let bench = converse(api, |_| {}).await;
        let second = &bench.server.requests()[1];
        let results = second.last_tool_results();
        let names: Vec<&str> = results.iter().map(|result| result.name.as_str()).collect();
        assert_eq!(names, ["exec", "read"], "{api:?}");
        match second.dialect {
            Dialect::Anthropic => assert!(results[1].is_error && !results[0].is_error),
            Dialect::Gemini => assert!(results[1].is_error && !results[0].is_error),
            Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Ollama => {
                assert_eq!(results[1].content, "error: did read");
            }
        }
    }
}

#[tokio::test]
async fn at_most_four_blocks_are_marked_and_the_beginning_is_stable() {
    let bench = converse(Api::Anthropic, |_| {}).await;
    let requests = bench.server.requests();
    for request in &requests {
        let last = request.messages.last().unwrap()["content"].as_array().unwrap().last().unwrap().clone();
        assert!(last["cache_control"].is_object());
        assert!(request.tools.last().unwrap()["cache_control"].is_object());
        let marks = request.body.to_string().matches("cache_control").count();
        assert!((3..=4).contains(&marks), "{marks}");
    }
    // The mark of one request is still marked in the next, which reads what was written there.
    assert!(requests[1].messages[0]["content"][0]["cache_control"].is_object());
    for pair in requests.windows(2) {
        assert_eq!(pair[0].tools, pair[1].tools);
        assert_eq!(pair[0].body["system"], pair[1].body["system"]);
    }
}

#[tokio::test]
async fn chat_gives_reasoning_back_only_where_told() {
    for replay in [false, true] {
        let bench = converse(Api::OpenaiChat, |config| config.replay_reasoning = replay).await;
        let last = bench.server.requests().pop().unwrap();
        let expected = if replay { json!("let me see") } else { Value::Null };
        assert_eq!(last.messages[1]["reasoning_content"], expected);
    }
}

#[tokio::test]
async fn chat_names_the_limit_as_the_vendor_wants_it() {
    for (limit, field) in [
        (None, "max_tokens"),
        (Some(OutputLimit::MaxTokens), "max_tokens"),
        (Some(OutputLimit::MaxCompletionTokens), "max_completion_tokens"),
    ] {
        let bench = Bench::configured(Api::OpenaiChat, |config| config.output_limit = limit, |_| Reply::say("x")).await;
        bench.reply(hello()).await;
        let body = bench.server.requests().remove(0).body;
        let fields: Vec<&String> = body.as_object().unwrap().keys().filter(|key| key.starts_with("max_")).collect();
        assert_eq!(fields, [field]);
        assert_eq!(body["stream_options"], json!({"include_usage": true}));
    }
}

#[tokio::test]
async fn a_conversation_moves_between_dialects() {
    let foreign = Message {
        role: Role::Assistant,
        blocks: vec![
            Block::Thinking { text: "unsigned".to_owned(), signature: None, origin: "elsewhere".to_owned() },
            Block::Opaque { origin: "elsewhere".to_owned(), item: json!({"type": "reasoning", "id": "rs_elsewhere"}) },
            Block::text("  "),
            Block::ToolUse { id: "functions.exec:0".to_owned(), name: "exec".to_owned(), input: json!({}) },
        ],
    };
    let result = Block::ToolResult { call: "functions.exec:0".to_owned(), content: String::new(), is_error: false };
    let messages = vec![Message::user("hi"), foreign, Message { role: Role::User, blocks: vec![result] }];
    for api in ALL {
        let bench = Bench::start(api, |_| Reply::say("x")).await;
        bench.reply(request(messages.clone())).await;
        let seen = bench.server.requests().remove(0);
        assert!(!seen.contains("unsigned") && !seen.contains("rs_elsewhere"), "{api:?}");
        assert_eq!(seen.tool_result_count(), 1);
    }
}

#[tokio::test]
async fn unsound_conversations_are_mended() {
    let call = |id: &str| Block::ToolUse { id: id.to_owned(), name: "exec".to_owned(), input: json!({}) };
    let orphan = Block::ToolResult { call: "nobody".to_owned(), content: "x".to_owned(), is_error: false };
    let messages = vec![
        Message { role: Role::Assistant, blocks: vec![call("a"), call("b")] },
        Message { role: Role::User, blocks: vec![orphan, Block::text("and?")] },
        Message { role: Role::User, blocks: vec![Block::text("well?")] },
        Message { role: Role::Assistant, blocks: vec![call("a")] },
    ];
    for api in ALL {
        let bench = Bench::start(api, |_| Reply::say("x")).await;
        // `reply` checks that the server found nothing to complain about.
        bench.reply(request(messages.clone())).await;
        assert_eq!(bench.server.requests()[0].tool_result_count(), 3, "{api:?}");
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_refused() {
    let bench = Bench::start(Api::Anthropic, |_| Reply::say("x")).await;
    let config = providers::ProviderConfig::new(Api::Anthropic, "ftp://example.org");
    let error = providers::build("lab", &config, &bench.vault).err().unwrap().to_string();
    assert!(error.contains("providers.lab.base_url"), "{error}");
}
