//! The double of Ollama says what the server says, refuses what it refuses, and cuts what it cuts.
#![expect(clippy::unwrap_used, reason = "a double that does not answer fails the test")]

use serde_json::{Value, json};

use crate::model::{Fault, ModelServer, Part, Reply, tests::exchange};

async fn post(server: &ModelServer, body: &Value) -> (u16, String) {
    exchange(server, "POST /api/chat HTTP/1.0", &body.to_string()).await
}

fn lines(stream: &str) -> Vec<Value> {
    stream.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn request(messages: Value) -> Value {
    json!({"model": "m", "messages": messages})
}

#[tokio::test]
async fn an_answer_comes_in_lines_or_whole() {
    let server = ModelServer::start(|_| Reply::tools("Ünïcödé text", [("run", json!({"a": 1}))]).thinking("hm")).await;
    let mut body = request(json!([{"role": "system", "content": "s"}, {"role": "user", "content": "go"}]));
    let (_, stream) = post(&server, &body).await;
    body["stream"] = json!(false);
    let (_, whole) = post(&server, &body).await;
    let (lines, whole) = (lines(&stream), lines(&whole).remove(0));
    let text: String = lines.iter().filter_map(|line| line["message"]["content"].as_str()).collect();
    assert_eq!((text.as_str(), &whole["message"]["content"]), ("Ünïcödé text", &json!("Ünïcödé text")));
    assert_eq!(whole["message"]["thinking"], "hm");
    let called = lines.iter().find(|line| line["message"]["tool_calls"].is_array()).unwrap();
    assert_eq!(called["message"]["tool_calls"], whole["message"]["tool_calls"]);
    let last = lines.last().unwrap();
    assert_eq!((&last["done"], &last["done_reason"]), (&json!(true), &json!("stop")));
    assert_eq!((&last["eval_count"], &last["prompt_eval_count"]), (&whole["eval_count"], &whole["prompt_eval_count"]));
    let seen = server.requests().remove(0);
    assert_eq!((seen.system.as_str(), seen.stream, server.requests()[1].stream), ("s", true, false));
}

#[tokio::test]
async fn an_answer_given_back_is_taken_and_seen() {
    let server = ModelServer::start(|request| match request.step() {
        0 => Reply::call("run", json!({"a": 1})),
        _ => Reply::say("end"),
    })
    .await;
    let user = json!({"role": "user", "content": "go"});
    let (_, stream) = post(&server, &request(json!([user]))).await;
    let call = lines(&stream)[0]["message"].clone();
    let id = &call["tool_calls"][0]["id"];
    let result = json!({"role": "tool", "tool_name": "run", "tool_call_id": id, "content": "done"});
    let (status, _) = post(&server, &request(json!([user, call, result]))).await;
    assert_eq!((status, server.violations()), (200, Vec::new()));
    let seen = server.requests().pop().unwrap();
    let results = seen.last_tool_results();
    assert_eq!((results[0].name.as_str(), results[0].content.as_str(), seen.step()), ("run", "done", 1));
    assert_eq!(seen.tool_calls()[0].input, json!({"a": 1}));
}

#[tokio::test]
async fn what_the_server_refuses_is_refused() {
    let server = ModelServer::start(|_| Reply::say("x")).await;
    let user = json!({"role": "user", "content": "go"});
    let with = |key: &str, value: Value| {
        let mut body = request(json!([user]));
        body[key] = value;
        body
    };
    let tool = |parameters: Value| {
        with("tools", json!([{"type": "function", "function": {"name": "run", "parameters": parameters}}]))
    };
    let call = |arguments: Value| json!({"role": "assistant", "tool_calls": [{"function": {"name": "run", "arguments": arguments}}]});
    let result = json!({"role": "tool", "tool_name": "other", "content": "x"});
    let table = [
        ("invalid think value", with("think", json!("a lot"))),
        ("invalid format", with("format", json!(["x"]))),
        ("time: invalid duration", with("keep_alive", json!("soon"))),
        ("ChatRequest.truncate of type bool", with("truncate", json!("no"))),
        ("num_ctx", with("options", json!({"num_ctx": "large"}))),
        ("parameters.type", tool(json!({"properties": {}}))),
        ("cannot unmarshal bool", tool(json!({"type": "object", "properties": {"a": true}}))),
        ("cannot unmarshal array", request(json!([{"role": "user", "content": [{"type": "text"}]}]))),
        ("not valid base64", request(json!([{"role": "user", "content": "x", "images": ["data:x"]}]))),
        ("arguments of type map", request(json!([user, call(json!("{}")), user]))),
        ("without a result", request(json!([user, call(json!({}))]))),
        ("without a result", request(json!([user, call(json!({})), user]))),
        ("no call of \"other\"", request(json!([user, call(json!({})), result]))),
        ("invalid role", request(json!([{"role": "model", "content": "x"}]))),
    ];
    let count = table.len();
    for (expected, body) in table {
        let (status, answer) = post(&server, &body).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let text = answer["error"].as_str().unwrap();
        assert!(status == 400 && text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(server.violations().len(), count);
}

#[tokio::test]
async fn what_does_not_fit_is_cut_unless_that_is_forbidden() {
    let server = ModelServer::start(|_| Reply::say("x")).await;
    let mut body = request(json!([{"role": "user", "content": "word ".repeat(2000)}]));
    body["options"] = json!({"num_ctx": 1000});
    let (_, stream) = post(&server, &body).await;
    assert_eq!(lines(&stream).pop().unwrap()["prompt_eval_count"], 502);
    body["truncate"] = json!(false);
    let (status, answer) = post(&server, &body).await;
    assert!(status == 400 && answer.contains("exceeds the context length"), "{answer}");
    body["options"] = json!({"num_ctx": 10_000});
    assert_eq!(post(&server, &body).await.0, 200);
}

#[tokio::test]
async fn ends_errors_and_models_are_the_servers_own() {
    let server = ModelServer::start(|request| match request.last_user_text().as_str() {
        "limit" => Reply::fault(Fault::MaxTokens),
        "error" => Reply::fault(Fault::StreamError { kind: "any".into(), message: "broken".into() }),
        _ => Reply::default().and(Part::RawCall { name: "run".into(), arguments: "{".into() }),
    })
    .await;
    let last = async |text: &str| {
        lines(&post(&server, &request(json!([{"role": "user", "content": text}]))).await.1).pop().unwrap()
    };
    assert_eq!(last("limit").await["done_reason"], "length");
    assert_eq!(last("error").await, json!({"error": "broken"}));
    let (_, list) = exchange(&server, "GET /api/tags HTTP/1.0", "").await;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["models"][0]["model"], "mock-large");
}
