//! The double of Responses says what the vendor says, and refuses what the vendor refuses.
#![expect(clippy::unwrap_used, reason = "a double that does not answer fails the test")]

use serde_json::{Value, json};

use crate::model::{Fault, ModelServer, Part, Reply, tests::exchange};

async fn post(server: &ModelServer, body: &Value) -> (u16, String) {
    exchange(server, "POST /v1/responses HTTP/1.0", &body.to_string()).await
}

/// The data of each event.
fn events(stream: &str) -> Vec<Value> {
    stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    kinds.dedup();
    kinds
}

fn request(input: Value) -> Value {
    json!({
        "model": "m",
        "stream": true,
        "store": false,
        "include": ["reasoning.encrypted_content"],
        "input": input,
        "tools": [
            {"type": "function", "name": "run", "strict": false, "parameters": {"type": "object", "properties": {}}},
            {"type": "custom", "name": "patch"},
        ],
    })
}

fn user(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

/// What the answer's items are, as the last event tells them.
fn output(stream: &str) -> Vec<Value> {
    events(stream).pop().unwrap()["response"]["output"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_whole_answer_is_streamed_in_the_vendors_order() {
    let server = ModelServer::start(|_| {
        Reply::tools("Ünïcödé text", [("run", json!({"cmd": "ls"}))])
            .thinking("hm")
            .and_call("patch", json!("*** Begin"))
    })
    .await;
    let (status, stream) = post(&server, &request(json!([user("go")]))).await;
    assert_eq!(status, 200);
    let events = events(&stream);
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(kinds(&events), expected);
    let numbers: Vec<u64> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a + 1 == *b));
    let text: String = events
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta")
        .map(|event| event["delta"].as_str().unwrap())
        .collect();
    assert_eq!(text, "Ünïcödé text");
    let usage = &events.last().unwrap()["response"]["usage"];
    assert!(usage["output_tokens_details"]["reasoning_tokens"].as_u64().unwrap() > 0);
    let sum = usage["input_tokens"].as_u64().unwrap() + usage["output_tokens"].as_u64().unwrap();
    assert_eq!(usage["total_tokens"], sum);
}

#[tokio::test]
async fn an_answer_given_back_whole_is_taken_and_seen_as_one_step() {
    let server = ModelServer::start(|request| match request.step() {
        0 => Reply::tools("first", [("run", json!({}))]).thinking("hm").and_call("patch", json!("*** Begin")),
        _ => Reply::say("end"),
    })
    .await;
    let (_, stream) = post(&server, &request(json!([user("go")]))).await;
    let mut input = vec![user("go")];
    input.extend(output(&stream));
    let ids: Vec<Value> = input[3..].iter().map(|item| item["call_id"].clone()).collect();
    input.push(json!({"type": "function_call_output", "call_id": ids[0], "output": "done"}));
    let list = json!([{"type": "input_text", "text": "patched"}]);
    input.push(json!({"type": "custom_tool_call_output", "call_id": ids[1], "output": list}));
    let (status, stream) = post(&server, &request(json!(input))).await;
    assert_eq!((status, server.violations()), (200, Vec::new()));
    assert_eq!(output(&stream)[0]["content"][0]["text"], "end");
    let seen = server.requests().pop().unwrap();
    assert_eq!(seen.step(), 1);
    let results: Vec<(String, String)> =
        seen.last_tool_results().into_iter().map(|result| (result.name, result.content)).collect();
    assert_eq!(results, [("run".into(), "done".into()), ("patch".into(), "patched".into())]);
    assert_eq!(seen.tool_calls()[1].input, json!("*** Begin"));
}

#[tokio::test]
async fn what_the_vendor_refuses_is_refused() {
    let server = ModelServer::start(|_| Reply::call("run", json!({})).thinking("hm")).await;
    let (_, stream) = post(&server, &request(json!([user("go")]))).await;
    let answer = output(&stream);
    let (reasoning, call) = (&answer[0], &answer[1]);
    let result = json!({"type": "function_call_output", "call_id": call["call_id"], "output": "x"});
    let changed = {
        let mut changed = reasoning.clone();
        changed["summary"][0]["text"] = json!("hmm");
        changed
    };
    let unsealed = {
        let mut unsealed = reasoning.clone();
        unsealed.as_object_mut().unwrap().remove("encrypted_content");
        unsealed
    };
    let whole = request(json!([user("go")]));
    let with = |key: &str, value: Value| {
        let mut body = whole.clone();
        body[key] = value;
        body
    };
    let custom = json!({"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "x"});
    let said_wrong = json!({"role": "assistant", "content": [{"type": "input_text", "text": "x"}]});
    let foreign_id = json!({"type": "function_call", "id": "it_1", "call_id": "a", "name": "run", "arguments": "{}"});
    let reference = json!({"type": "item_reference", "id": "rs_1"});
    let table = [
        ("store", with("store", json!(true))),
        ("not stored", with("previous_response_id", json!("resp_1"))),
        ("'messages'", with("messages", json!([]))),
        ("'max_output_tokens'", with("max_tokens", json!(100))),
        ("max_output_tokens", with("max_output_tokens", json!(5))),
        ("stream_options", {
            let mut body = with("stream_options", json!({}));
            body["stream"] = json!(false);
            body
        }),
        ("'tools[0].name'", with("tools", json!([{"type": "function", "function": {"name": "run"}}]))),
        ("additionalProperties", with("tools", json!([{"type": "function", "name": "r", "strict": true}]))),
        ("tools[0].type", with("tools", json!([{"type": "spoon"}]))),
        ("No tool output found", request(json!([user("go"), reasoning, call]))),
        ("No tool call found", request(json!([user("go"), result]))),
        ("No tool call found", request(json!([user("go"), reasoning, call, custom]))),
        ("duplicate call_id", request(json!([user("go"), reasoning, call, result, reasoning, call, result]))),
        ("required following item", request(json!([user("go"), reasoning, user("more")]))),
        ("required following item", request(json!([user("go"), reasoning]))),
        ("required 'reasoning' item", request(json!([user("go"), call, result]))),
        ("could not be verified", request(json!([user("go"), changed, call, result]))),
        ("not persisted", request(json!([user("go"), unsealed, call, result]))),
        ("Supported values", request(json!([user("go"), said_wrong]))),
        ("begins with 'fc'", request(json!([user("go"), foreign_id]))),
        ("not found", request(json!([user("go"), reference]))),
        ("at least one", request(json!([]))),
    ];
    for (expected, body) in table {
        let expected = if expected == "not stored" { "no such response is stored" } else { expected };
        let (status, answer) = post(&server, &body).await;
        assert_eq!(status, 400, "{expected}: {answer}");
        assert!(answer.contains(expected), "{expected}: {answer}");
    }
    assert_eq!(server.violations().len(), 22);
}

#[tokio::test]
async fn each_end_is_the_vendors_own() {
    let server = ModelServer::start(|request| {
        let fault = match request.last_user_text().as_str() {
            "limit" => Fault::MaxTokens,
            "filter" => Fault::Stop("content_filter".into()),
            "refuse" => Fault::Refuse,
            "failed" => Fault::Failed { code: "server_error".into(), message: "broken".into() },
            "overflow" => Fault::ContextOverflow,
            "error" => Fault::StreamError { kind: "rate_limit_exceeded".into(), message: "slow".into() },
            "cut" => Fault::NoLastEvent,
            _ => Fault::EmptyAnswer,
        };
        let reply = Reply::fault(fault);
        if request.body["noise"] == true { reply.with_noise() } else { reply }
    })
    .await;
    let last = async |text: &str, noise: bool| {
        let mut body = request(json!([user(text)]));
        body["noise"] = json!(noise);
        let (status, stream) = post(&server, &body).await;
        assert_eq!(status, 200);
        events(&stream).pop().unwrap()
    };
    let limit = last("limit", false).await;
    assert_eq!(limit["type"], "response.incomplete");
    assert_eq!(limit["response"]["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(last("filter", false).await["response"]["incomplete_details"]["reason"], "content_filter");
    assert_eq!(last("refuse", false).await["response"]["output"][0]["content"][0]["type"], "refusal");
    let failed = last("failed", false).await;
    assert_eq!((failed["type"].as_str(), &failed["response"]["usage"]), (Some("response.failed"), &Value::Null));
    assert_eq!(failed["response"]["error"]["code"], "server_error");
    assert_eq!(last("overflow", false).await["response"]["error"]["code"], "context_length_exceeded");
    assert_eq!(last("error", false).await["error"]["code"], "rate_limit_exceeded");
    assert_eq!(last("error", true).await["code"], "rate_limit_exceeded");
    assert_eq!(last("cut", false).await["type"], "response.output_item.done");
    let empty = last("empty", true).await;
    assert_eq!((empty["type"].as_str(), &empty["response"]["output"]), (Some("response.completed"), &json!([])));
}

#[tokio::test]
async fn reasoning_is_sealed_only_for_who_asks() {
    let server = ModelServer::start(|_| Reply::say("x").and(Part::Redacted)).await;
    let mut body = request(json!("go"));
    body["include"] = json!([]);
    body["stream"] = json!(false);
    let (status, answer) = post(&server, &body).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(status, 200);
    assert_eq!(answer["output"][1]["summary"], json!([]));
    assert!(answer["output"][1].get("encrypted_content").is_none());
    assert_eq!(server.requests()[0].first_user_text(), "go");
}

#[tokio::test]
async fn models_are_listed_in_both_shapes() {
    let server = ModelServer::start(|_| Reply::say("x")).await;
    server.offer_models(["gpt-5.5", "small"]);
    let list = async |header: &'static str| {
        let (_, answer) = exchange(&server, &format!("GET /v1/models HTTP/1.0\r\n{header}: x"), "").await;
        serde_json::from_str::<Value>(&answer).unwrap()
    };
    assert_eq!(list("authorization").await["data"][0]["object"], "model");
    let anthropic = list("anthropic-version").await;
    assert_eq!((&anthropic["data"][1]["id"], &anthropic["has_more"]), (&json!("small"), &json!(false)));
}
