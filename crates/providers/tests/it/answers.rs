//! Answers that arrive, in every form and cut.

use providers::Api;
use serde_json::{Value, json};
use testkit::model::{Fault, Part, Pieces, Reply};
use types::{Block, Message, ModelEvent, ModelReply, Role, StopReason};

use crate::support::{ALL, Bench, hello, request, streamed_text};

const UNICODE: &str = "Grüße, 世界! 👩‍🚀 and a tab\tand \"quotes\" \\ and\nlines\r\nof all kinds \u{2028}";

fn full() -> Reply {
    Reply::tools(UNICODE, [("exec", json!({"command": "echo 'ü 👩‍🚀'"})), ("read", json!({"path": "a b"}))])
        .thinking("first, think 思考")
}

/// The blocks of an answer with call ids left out, and what only stands beside them.
fn plain(blocks: &[Block]) -> Vec<Block> {
    let mut blocks = blocks.to_vec();
    // Gemini's signatures.
    blocks.retain(|block| !matches!(block, Block::Opaque { item, .. } if item["thoughtSignature"].is_string()));
    for block in &mut blocks {
        match block {
            Block::ToolUse { id, .. } => {
                assert!(!id.is_empty());
                id.clear();
            }
            Block::Thinking { signature, origin, .. } => {
                assert!(!origin.is_empty());
                *signature = None;
                origin.clear();
            }
            // Responses gives reasoning as an item that is carried as it came; what it shows of it is its summary.
            Block::Opaque { item, origin } if item["type"] == "reasoning" => {
                assert!(!origin.is_empty());
                let text = item["summary"][0]["text"].as_str().unwrap().to_owned();
                *block = Block::Thinking { text, signature: None, origin: String::new() };
            }
            Block::Text { .. }
            | Block::RedactedThinking { .. }
            | Block::ToolResult { .. }
            | Block::Media { .. }
            | Block::Opaque { .. } => {}
        }
    }
    blocks
}

fn call(name: &str, input: Value) -> Block {
    Block::ToolUse { id: String::new(), name: name.to_owned(), input }
}

#[tokio::test]
async fn every_cut_gives_the_same_answer() {
    let thinking = Block::Thinking { text: "first, think 思考".to_owned(), signature: None, origin: String::new() };
    let expected = [
        thinking,
        Block::text(UNICODE),
        call("exec", json!({"command": "echo 'ü 👩‍🚀'"})),
        call("read", json!({"path": "a b"})),
    ];
    for api in ALL {
        for pieces in [Pieces::Irregular, Pieces::Single, Pieces::Whole] {
            // One byte at a time is slow, so the calmest framing is tried in larger pieces only.
            let calm = pieces != Pieces::Single;
            for noisy in [true, false].into_iter().filter(|noisy| *noisy || calm) {
                let reply = Reply { pieces, crlf: noisy, noise: noisy, ..full() };
                let bench = Bench::replying(api, |_| {}, vec![reply]).await;
                let events = bench.events(hello()).await;
                let Some(ModelEvent::Finished(reply)) = events.last() else { panic!("{api:?} {pieces:?} {events:?}") };
                assert_eq!(plain(&reply.blocks), expected, "{api:?} {pieces:?} noisy {noisy}");
                assert_eq!(reply.stop, StopReason::ToolUse);
                assert!(reply.usage.context() > 0 && reply.usage.output > 0, "{:?}", reply.usage);
                assert_eq!(streamed_text(&events), UNICODE);
                assert_eq!(streamed_thinking(&events), "first, think 思考");
                let names: Vec<&str> = events.iter().filter_map(started).collect();
                assert_eq!(names, ["exec", "read"]);
            }
        }
    }
}

fn streamed_thinking(events: &[ModelEvent]) -> String {
    events.iter().map(|event| if let ModelEvent::ThinkingDelta(text) = event { text } else { "" }).collect()
}

fn started(event: &ModelEvent) -> Option<&str> {
    if let ModelEvent::ToolUseStarted { name } = event { Some(name) } else { None }
}

/// The answer without a mark of which server gave it.
fn from_nowhere(mut reply: ModelReply) -> ModelReply {
    reply.blocks.iter_mut().for_each(|block| block.set_origin(""));
    reply
}

#[tokio::test]
async fn streamed_and_whole_answers_are_equal() {
    for api in ALL {
        let streamed = Bench::replying(api, |_| {}, vec![full()]).await.reply(hello()).await;
        let bench = Bench::replying(api, |config| config.stream = false, vec![full()]).await;
        let events = bench.events(hello()).await;
        assert_eq!(streamed_text(&events), UNICODE);
        assert_eq!(streamed_thinking(&events), "first, think 思考");
        let Some(ModelEvent::Finished(whole)) = events.last().cloned() else { panic!("{events:?}") };
        assert_eq!(from_nowhere(whole), from_nowhere(streamed), "{api:?}");
        assert!(!bench.server.requests()[0].stream);
        assert_eq!(bench.server.violations(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn arguments_may_be_empty_or_broken() {
    // Gemini's model cannot break them without its vendor noticing.
    for api in ALL.into_iter().filter(|api| *api != Api::Gemini) {
        let reply = Reply::call("read", json!({}))
            .and(Part::RawCall { name: "exec".to_owned(), arguments: "{\"command\": \"ls".to_owned() });
        let bench = Bench::replying(api, |_| {}, vec![reply, Reply::say("sorry")]).await;
        let first = bench.reply(hello()).await;
        let expected = [call("read", json!({})), call("exec", json!("{\"command\": \"ls"))];
        assert_eq!(plain(&first.blocks), expected, "{api:?}");
        // The broken call goes back in a form that the vendor takes.
        let results = first.blocks.iter().filter_map(|block| match block {
            Block::ToolUse { id, .. } => {
                Some(Block::ToolResult { call: id.clone(), content: "no".to_owned(), is_error: true })
            }
            _ => None,
        });
        let answer = Message { role: Role::User, blocks: results.collect() };
        let messages =
            vec![Message::user("hello"), Message { role: Role::Assistant, blocks: first.blocks.clone() }, answer];
        assert_eq!(bench.reply(request(messages)).await.blocks, [Block::text("sorry")]);
    }
}

#[tokio::test]
async fn stop_reasons_are_told_apart() {
    let anthropic = [
        (None, StopReason::EndTurn),
        (Some(Fault::MaxTokens), StopReason::MaxTokens),
        (Some(Fault::Refuse), StopReason::Refusal),
        (Some(Fault::Stop("stop_sequence".to_owned())), StopReason::StopSequence),
        (Some(Fault::Stop("pause_turn".to_owned())), StopReason::PauseTurn),
        (Some(Fault::Stop("model_context_window_exceeded".to_owned())), StopReason::ContextFull),
        (Some(Fault::Stop("of_the_future".to_owned())), StopReason::Other("of_the_future".to_owned())),
    ];
    let chat = [
        (None, StopReason::EndTurn),
        (Some(Fault::MaxTokens), StopReason::MaxTokens),
        (Some(Fault::Refuse), StopReason::Refusal),
        (Some(Fault::Stop("content_filter".to_owned())), StopReason::Refusal),
        (Some(Fault::Stop("of_the_future".to_owned())), StopReason::Other("of_the_future".to_owned())),
    ];
    let responses = [
        (None, StopReason::EndTurn),
        (Some(Fault::MaxTokens), StopReason::MaxTokens),
        (Some(Fault::Refuse), StopReason::Refusal),
        (Some(Fault::Stop("content_filter".to_owned())), StopReason::Refusal),
        (Some(Fault::Stop("of_the_future".to_owned())), StopReason::Other("of_the_future".to_owned())),
    ];
    let gemini = [
        (None, StopReason::EndTurn),
        (Some(Fault::MaxTokens), StopReason::MaxTokens),
        (Some(Fault::Refuse), StopReason::Refusal),
        (Some(Fault::Stop("PROHIBITED_CONTENT".to_owned())), StopReason::Refusal),
        (Some(Fault::Stop("of_the_future".to_owned())), StopReason::Other("of_the_future".to_owned())),
    ];
    let ollama = [
        (None, StopReason::EndTurn),
        (Some(Fault::MaxTokens), StopReason::MaxTokens),
        (Some(Fault::Stop("of_the_future".to_owned())), StopReason::Other("of_the_future".to_owned())),
    ];
    let cases = anthropic
        .map(|case| (Api::Anthropic, case))
        .into_iter()
        .chain(chat.map(|case| (Api::OpenaiChat, case)))
        .chain(responses.map(|case| (Api::OpenaiResponses, case)))
        .chain(gemini.map(|case| (Api::Gemini, case)))
        .chain(ollama.map(|case| (Api::Ollama, case)));
    for (api, (fault, stop)) in cases {
        for stream in [true, false] {
            let reply = Reply { fault: fault.clone(), ..Reply::say("text") };
            let answer = Bench::replying(api, |config| config.stream = stream, vec![reply]).await.reply(hello()).await;
            assert_eq!((answer.stop, answer.blocks), (stop.clone(), vec![Block::text("text")]), "{api:?} {fault:?}");
        }
    }
}

#[tokio::test]
async fn an_empty_answer_is_an_answer() {
    for api in ALL {
        for stream in [true, false] {
            let reply = Reply::fault(Fault::EmptyAnswer);
            let answer = Bench::replying(api, |config| config.stream = stream, vec![reply]).await.reply(hello()).await;
            assert_eq!((answer.stop, answer.blocks), (StopReason::EndTurn, Vec::new()), "{api:?} {stream}");
        }
    }
}

#[tokio::test]
async fn ids_that_the_vendor_repeats_become_unique() {
    let old = Message {
        role: Role::Assistant,
        blocks: vec![Block::ToolUse { id: "call_0".to_owned(), name: "exec".to_owned(), input: json!({}) }],
    };
    let result = Block::ToolResult { call: "call_0".to_owned(), content: "x".to_owned(), is_error: false };
    let conversation = vec![Message::user("hi"), old, Message { role: Role::User, blocks: vec![result] }];
    let body = json!({"choices": [{"message": {"tool_calls": [
        {"id": "call_0", "function": {"name": "a", "arguments": "{}"}},
        {"function": {"name": "b", "arguments": {"x": 1}}},
    ]}, "finish_reason": "stop"}]});
    let reply = Reply::fault(Fault::Status { code: 200, retry_after: None, body: Some(body) });
    let answer = Bench::replying(Api::OpenaiChat, |_| {}, vec![reply]).await.reply(request(conversation)).await;
    let ids: Vec<String> =
        Message { role: Role::Assistant, blocks: answer.blocks.clone() }.tool_uses().map(|call| call.id).collect();
    assert_eq!(answer.stop, StopReason::ToolUse);
    assert_eq!(plain(&answer.blocks), [call("a", json!({})), call("b", json!({"x": 1}))]);
    assert!(ids[0] != ids[1] && !ids.contains(&"call_0".to_owned()) && !ids.contains(&String::new()), "{ids:?}");
}

#[tokio::test]
async fn the_cache_is_used_and_counted() {
    let long = "a stable sentence of the system prompt. ".repeat(200);
    // Ollama keeps what it has read, but does not say how much.
    for api in ALL.into_iter().filter(|api| *api != Api::Ollama) {
        let bench = Bench::start(api, |seen| Reply::say(format!("answer {}", seen.messages.len()))).await;
        let mut messages = vec![Message::user("first")];
        let mut last = None;
        for turn in 0..3 {
            let mut request = request(messages.clone());
            request.system = long.as_str().into();
            let reply = bench.reply(request).await;
            let usage = reply.usage;
            if turn > 0 {
                assert!(usage.cache_read > 1500, "{api:?} {usage:?}");
                assert!(usage.input + usage.cache_write < 200, "{api:?} {usage:?}");
            }
            if let Some(before) = last.replace(usage) {
                assert!(usage.context() >= before.context(), "{api:?} {usage:?} {before:?}");
            }
            messages.push(Message { role: Role::Assistant, blocks: reply.blocks });
            messages.push(Message::user(format!("go on {turn}")));
        }
    }
}
