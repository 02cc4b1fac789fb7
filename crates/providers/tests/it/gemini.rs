//! What is Gemini's alone.

use std::sync::Arc;

use providers::{Api, ProviderConfig, build};
use serde_json::{Value, json};
use testkit::model::{Fault, Part, Reply};
use types::{Block, MediaRef, Message, ModelEvent, ModelRequest, ProviderErrorKind as Kind, Role, StopReason};

use crate::support::{Bench, hello, request};

const API: Api = Api::Gemini;

/// A request to a model of the series that refuses calls without signatures.
fn third_series(messages: Vec<Message>) -> ModelRequest {
    ModelRequest { model: "gemini-3.5-flash".to_owned(), thinking_tokens: Some(2000), ..request(messages) }
}

/// The answer, and the results of its calls.
fn answered(blocks: Vec<Block>) -> [Message; 2] {
    let assistant = Message { role: Role::Assistant, blocks };
    let results = assistant.tool_uses().map(|call| Block::ToolResult {
        call: call.id,
        content: format!("did {}", call.name),
        is_error: false,
    });
    let results = results.collect();
    [assistant, Message { role: Role::User, blocks: results }]
}

#[tokio::test]
async fn signatures_go_back_to_their_parts_and_the_beginning_is_stable() {
    let bench = Bench::start(API, |seen| match seen.step() {
        0 => Reply::tools("both", [("exec", json!({"command": "a"})), ("read", json!({"path": "b"}))]).thinking("hm"),
        1 => Reply::call("exec", json!({"command": "c"})).and(Part::Redacted),
        _ => Reply::say("done"),
    })
    .await;
    let mut messages = vec![Message::user("go")];
    for _ in 0..3 {
        // The server itself refuses signatures that are missing, changed or moved.
        let reply = bench.reply(third_series(messages.clone())).await;
        messages.extend(answered(reply.blocks));
    }
    messages.push(Message::user("again"));
    bench.reply(third_series(messages)).await;
    let requests = bench.server.requests();
    for pair in requests.windows(2) {
        let (before, after) = (&pair[0].messages, &pair[1].messages);
        assert_eq!(before[..], after[..before.len()]);
        assert_eq!(pair[0].body["tools"], pair[1].body["tools"]);
        assert_eq!(pair[0].body["systemInstruction"], pair[1].body["systemInstruction"]);
    }
    let last = requests.last().unwrap();
    // The text that ended the first turn was signed after its end.
    assert_eq!(last.messages[5]["parts"][0], json!({"text": "done"}));
    assert!(last.messages[5]["parts"][1]["thoughtSignature"].is_string());
    assert!(!last.contains("hm"), "shown reasoning stays behind");
    let thinking = json!({"thinkingLevel": "LOW", "includeThoughts": true});
    assert_eq!(last.body["generationConfig"]["thinkingConfig"], thinking);
}

#[tokio::test]
async fn a_call_of_another_vendor_is_stood_in_for() {
    for stripped in [false, true] {
        let bench = Bench::start(API, |_| Reply::say("x")).await;
        let mut blocks = vec![Block::ToolUse { id: "toolu_1".to_owned(), name: "exec".to_owned(), input: json!({}) }];
        if stripped {
            let item = json!({"thoughtSignature": "c2lnbmVk"});
            blocks.insert(0, Block::Opaque { origin: "gemini@elsewhere".to_owned(), item });
        }
        let [assistant, results] = answered(blocks);
        bench.reply(third_series(vec![Message::user("go"), assistant, results])).await;
        let part = &bench.server.requests()[0].messages[1]["parts"][0];
        assert_eq!(part["thoughtSignature"], "skip_thought_signature_validator");
    }
}

#[tokio::test]
async fn refused_signatures_are_left_out_once() {
    let bench = Bench::start(API, |seen| match seen.step() {
        0 => Reply::call("exec", json!({})).thinking("hm"),
        _ => Reply::say("done"),
    })
    .await;
    let reply = bench.reply(third_series(vec![Message::user("go")])).await;
    let [mut assistant, results] = answered(reply.blocks);
    for block in &mut assistant.blocks {
        if let Block::Opaque { item, .. } = block {
            *item = json!({"thoughtSignature": "AAAA"});
        }
    }
    let events = bench.events(third_series(vec![Message::user("go"), assistant, results])).await;
    let Some(ModelEvent::Finished(reply)) = events.last() else { panic!("{events:?}") };
    assert_eq!(reply.stop, StopReason::EndTurn);
    assert_eq!(bench.server.violations().len(), 1, "the first try had the wrong signature");
}

#[tokio::test]
async fn a_list_in_one_piece_is_an_answer() {
    let chunk =
        |part: Value, reason: Value| json!({"candidates": [{"content": {"parts": [part]}, "finishReason": reason}]});
    let list = json!([chunk(json!({"text": "a"}), Value::Null), chunk(json!({"text": "b"}), json!("STOP"))]);
    for stream in [true, false] {
        let reply = Reply::fault(Fault::Status { code: 200, retry_after: None, body: Some(list.clone()) });
        let bench = Bench::replying(API, |config| config.stream = stream, vec![reply]).await;
        assert_eq!(bench.reply(hello()).await.blocks, [Block::text("ab")]);
    }
}

#[tokio::test]
async fn a_refused_prompt_is_a_refusal() {
    let body = json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}});
    let reply = Reply::fault(Fault::Status { code: 200, retry_after: None, body: Some(body) });
    let answer = Bench::replying(API, |_| {}, vec![reply]).await.reply(hello()).await;
    assert_eq!((answer.stop, answer.blocks, answer.usage.input), (StopReason::Refusal, Vec::new(), 9));
}

#[tokio::test]
async fn a_call_that_the_model_wrote_wrongly_is_tried_again() {
    let broken = Reply::default().and(Part::RawCall { name: "exec".to_owned(), arguments: "{".to_owned() });
    let bench = Bench::replying(API, |config| config.attempts = 2, vec![broken, Reply::say("x")]).await;
    let events = bench.events(hello()).await;
    let wasted = events.iter().find_map(|event| match event {
        ModelEvent::Restarted { error, wasted, .. } => Some((error.kind, wasted.context() > 0)),
        _ => None,
    });
    assert_eq!(wasted, Some((Kind::Malformed, true)), "{events:?}");
    assert_eq!(bench.server.request_count(), 2);
}

#[tokio::test]
async fn googles_errors_have_kinds() {
    let quota = |id: &str| {
        json!([
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": id}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "43.5s"},
        ])
    };
    let exceeded = "You exceeded your current quota, please check your plan and billing details.";
    let invalid = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
    let cases = [
        (429, "RESOURCE_EXHAUSTED", exceeded, quota("RequestsPerMinutePerProject"), Kind::RateLimited, Some(43_500)),
        (429, "RESOURCE_EXHAUSTED", exceeded, quota("RequestsPerDayPerProject"), Kind::Quota, Some(43_500)),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "Resource exhausted. Please try again later.",
            json!(null),
            Kind::RateLimited,
            None,
        ),
        (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", invalid, Kind::Auth, None),
        (400, "INVALID_ARGUMENT", "Request contains an invalid argument.", json!([]), Kind::BadRequest, None),
        (503, "UNAVAILABLE", "The model is overloaded.", json!(null), Kind::Overloaded, None),
        (403, "PERMISSION_DENIED", "x", json!(null), Kind::Auth, None),
        (404, "NOT_FOUND", "models/x is not found for API version v1beta", json!(null), Kind::NotFound, None),
    ];
    for (code, status, message, details, kind, wait) in cases {
        let body = json!({"error": {"code": code, "message": message, "status": status, "details": details}});
        // A stream that was not asked for events has its errors in a list.
        for body in [body.clone(), json!([body])] {
            let fault = Fault::Status { code, retry_after: None, body: Some(body) };
            let error = Bench::replying(API, |_| {}, vec![Reply::fault(fault)]).await.error(hello()).await;
            assert_eq!((error.kind, error.retry_after_ms), (kind, wait), "{message}");
        }
    }
}

#[tokio::test]
async fn vertex_is_an_address() {
    for of_project in ["/projects/p/locations/global", ""] {
        let bench = Bench::start(API, |_| Reply::say("x")).await;
        let address = format!("{}/v1{of_project}/publishers/google", bench.server.base_url());
        let provider = build("lab", &ProviderConfig::new(API, address), &bench.vault).unwrap();
        let bench = Bench { provider, ..bench };
        bench.reply(third_series(vec![Message::user("go")])).await;
        assert_eq!(bench.server.requests()[0].model, "gemini-3.5-flash");
    }
}

#[tokio::test]
async fn pictures_and_documents_go_inline() {
    let media = |digest: &str, media_type: &str| Block::Media {
        media: MediaRef { digest: digest.to_owned(), media_type: media_type.to_owned(), name: None, bytes: 3 },
    };
    let blocks = vec![media("a", "image/png"), media("b", "application/pdf"), media("c", "image/gif")];
    let mut request = request(vec![Message { role: Role::User, blocks }]);
    let bytes: Arc<[u8]> = Arc::from(*b"abc");
    request.media = Arc::new(["a", "b", "c"].map(|digest| (digest.to_owned(), bytes.clone())).into());
    let bench = Bench::start(API, |_| Reply::say("x")).await;
    bench.reply(request).await;
    let parts = bench.server.requests()[0].messages[0]["parts"].clone();
    assert_eq!(parts[0], json!({"inlineData": {"mimeType": "image/png", "data": "YWJj"}}));
    assert_eq!(parts[1], json!({"inlineData": {"mimeType": "application/pdf", "data": "YWJj"}}));
    assert!(parts[2]["text"].as_str().is_some_and(|line| line.contains("image/gif")), "{parts}");
}
