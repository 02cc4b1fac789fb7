//! The double of Gemini says what the vendor says, and refuses what the vendor refuses.
#![expect(clippy::unwrap_used, reason = "a double that does not answer fails the test")]

use serde_json::{Value, json};

use crate::model::{Fault, ModelServer, Part, Reply, tests::exchange};

async fn post(server: &ModelServer, call: &str, body: &Value) -> (u16, String) {
    exchange(server, &format!("POST /v1beta/models/{call} HTTP/1.0"), &body.to_string()).await
}

async fn generate(server: &ModelServer, model: &str, contents: Value) -> (u16, Value) {
    let tools = json!([{"functionDeclarations": [{"name": "run"}]}]);
    let (status, answer) =
        post(server, &format!("{model}:generateContent"), &json!({"contents": contents, "tools": tools})).await;
    (status, serde_json::from_str(&answer).unwrap())
}

fn user(text: &str) -> Value {
    json!({"role": "user", "parts": [{"text": text}]})
}

#[tokio::test]
async fn a_stream_is_a_list_unless_events_are_asked_for() {
    let server =
        ModelServer::start(|_| Reply::tools("Ünïcödé text", [("run", json!({"cmd": "ls"}))]).thinking("hm")).await;
    let body = json!({"contents": [user("go")], "tools": [{"functionDeclarations": [{"name": "run"}]}]});
    let (_, events) = post(&server, "m:streamGenerateContent?alt=sse", &body).await;
    let events: Vec<Value> = events
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let (_, list) = post(&server, "m:streamGenerateContent", &body).await;
    assert_eq!(serde_json::from_str::<Vec<Value>>(&list).unwrap(), events);
    let last = events.last().unwrap();
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    let count = |key: &str| last["usageMetadata"][key].as_u64().unwrap();
    let sum = count("promptTokenCount") + count("candidatesTokenCount") + count("thoughtsTokenCount");
    assert_eq!(count("totalTokenCount"), sum);
    let text: String = events
        .iter()
        .flat_map(|event| event["candidates"][0]["content"]["parts"].as_array().unwrap())
        .filter(|part| part["thought"] != true)
        .filter_map(|part| part["text"].as_str())
        .collect();
    assert_eq!((text.as_str(), server.violations()), ("Ünïcödé text", Vec::new()));
    assert_eq!(server.served().len(), 2);
}

#[tokio::test]
async fn an_answer_given_back_whole_is_taken_and_seen_as_one_step() {
    let server = ModelServer::start(|request| match request.step() {
        0 => Reply::tools("first", [("run", json!({"a": 1})), ("run", json!({"a": 2}))]).thinking("hm"),
        _ => Reply::say("end"),
    })
    .await;
    let (_, answer) = generate(&server, "gemini-3-pro", json!([user("go")])).await;
    let content = answer["candidates"][0]["content"].clone();
    let respond = |index: usize, response: Value| {
        let call = &content["parts"][index]["functionCall"];
        json!({"functionResponse": {"id": call["id"], "name": call["name"], "response": response}})
    };
    let results = json!([respond(2, json!({"output": "done"})), respond(3, json!({"error": "no"}))]);
    let contents = json!([user("go"), content, {"role": "user", "parts": results}]);
    let (status, answer) = generate(&server, "gemini-3-pro", contents).await;
    assert_eq!((status, server.violations()), (200, Vec::new()));
    assert_eq!(answer["candidates"][0]["content"]["parts"][0]["text"], "end");
    let seen = server.requests().pop().unwrap();
    assert_eq!((seen.step(), seen.model.as_str(), seen.last_user_text()), (1, "gemini-3-pro", "go".to_owned()));
    let results = seen.last_tool_results();
    assert_eq!((results[0].content.as_str(), results[0].is_error), ("done", false));
    assert_eq!((results[1].content.as_str(), results[1].is_error), ("no", true));
    assert_eq!(seen.tool_calls()[1].input, json!({"a": 2}));
    assert_eq!(seen.assistant_texts(), ["first"]);
}

/// A request that ends with the answer to a call, whose parts are these.
fn called(call: Value, responses: Value) -> Value {
    json!({"contents": [user("go"), {"role": "model", "parts": [call]}, {"role": "user", "parts": responses}]})
}

#[tokio::test]
async fn what_the_vendor_refuses_is_refused() {
    let server = ModelServer::start(|_| Reply::say("x")).await;
    let bare = json!({"functionCall": {"name": "run", "args": {}}});
    let signed = |signature: &str| json!({"functionCall": {"name": "run", "args": {}}, "thoughtSignature": signature});
    let result = json!([{"functionResponse": {"name": "run", "response": {"output": "x"}}}]);
    let with = |key: &str, value: Value| json!({"contents": [user("go")], key: value});
    let config = |key: &str, value: Value| with("generationConfig", json!({key: value}));
    let declared = |declaration: Value| with("tools", json!([{"functionDeclarations": [declaration]}]));
    let schema = |schema: Value| declared(json!({"name": "run", "parametersJsonSchema": schema}));
    let part = |part: Value| json!({"contents": [{"role": "user", "parts": [part]}]});
    let level = |level: &str| config("thinkingConfig", json!({"thinkingLevel": level}));
    let table = [
        ("Unknown name \"messages\"", with("messages", json!([]))),
        ("Unknown name \"max_tokens\" at 'generation_config'", config("max_tokens", json!(1))),
        ("Unknown name \"source\"", part(json!({"text": "x", "source": {}}))),
        ("one initialized field", part(json!({"text": "x", "functionCall": {"name": "run"}}))),
        ("one initialized field", part(json!({}))),
        ("empty text", part(json!({"text": ""}))),
        ("not valid base64", part(json!({"inlineData": {"mimeType": "image/png", "data": "!"}}))),
        ("`image/gif` is not supported", part(json!({"inlineData": {"mimeType": "image/gif", "data": "YWJj"}}))),
        ("Base64 decoding failed", called(signed("not base64"), result.clone())),
        ("signature is not valid", called(signed("AAAA"), result.clone())),
        ("missing a thought_signature", called(bare.clone(), result.clone())),
        (
            "equal to the number of function call parts",
            called(signed("skip_thought_signature_validator"), json!([{"text": "x"}])),
        ),
        ("named", called(bare.clone(), json!([{"functionResponse": {"name": "other", "response": {}}}]))),
        ("immediately after a function call turn", json!({"contents": [{"role": "user", "parts": result}]})),
        ("alternate", json!({"contents": [user("a"), user("b")]})),
        ("valid role", json!({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]})),
        ("end with a user role", json!({"contents": [user("a"), {"role": "model", "parts": [{"text": "x"}]}]})),
        ("must not be empty", json!({"contents": [{"role": "user", "parts": []}]})),
        ("Invalid function name", declared(json!({"name": "1st"}))),
        ("mutually exclusive", declared(json!({"name": "a", "parameters": {}, "parametersJsonSchema": {}}))),
        ("'pattern' is not supported", schema(json!({"properties": {"a": {"pattern": "x"}}}))),
        ("beside '$ref'", schema(json!({"$ref": "#/$defs/a", "title": "t"}))),
        ("mime type", config("responseJsonSchema", json!({}))),
        ("only one of", config("thinkingConfig", json!({"thinkingLevel": "LOW", "thinkingBudget": 1}))),
        ("'thinking_level'", level("EXTREME")),
        ("max_output_tokens", config("maxOutputTokens", json!(0))),
        ("at least one", json!({"contents": []})),
    ];
    let count = table.len();
    for (expected, body) in table {
        let (status, answer) = post(&server, "gemini-3-pro:generateContent", &body).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((status, &answer["error"]["status"]), (400, &json!("INVALID_ARGUMENT")), "{expected}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{expected}: {message}");
    }
    assert_eq!(server.violations().len(), count);
    let mut bound = config("responseMimeType", json!("application/json"));
    bound["tools"] = json!([{"functionDeclarations": [{"name": "run"}]}]);
    assert_eq!(post(&server, "gemini-3-pro:generateContent", &bound).await.0, 200);
    for body in [level("LOW"), config("thinkingConfig", json!({"thinkingBudget": 30_000})), bound] {
        assert_eq!(post(&server, "gemini-2.5-flash:generateContent", &body).await.0, 400);
    }
    // Before the third series nobody asks for signatures, and a stand-in is one.
    let result = json!([{"functionResponse": {"name": "run", "response": {"output": "x"}}}]);
    assert_eq!(post(&server, "gemini-2.5-flash:generateContent", &called(bare, result.clone())).await.0, 200);
    let stand_in = called(signed("context_engineering_is_the_way_to_go"), result);
    assert_eq!(post(&server, "gemini-3-pro:generateContent", &stand_in).await.0, 200);
}

#[tokio::test]
async fn each_end_and_error_is_the_vendors_own() {
    let server = ModelServer::start(|request| match request.last_user_text().as_str() {
        "refuse" => Reply::fault(Fault::Refuse),
        "broken" => Reply::default().and(Part::RawCall { name: "run".into(), arguments: "{".into() }),
        "wait" => Reply::fault(Fault::Status { code: 429, retry_after: Some("7".into()), body: None }),
        "error" => Reply::fault(Fault::StreamError { kind: "overloaded_error".into(), message: "busy".into() }),
        _ => Reply::fault(Fault::EmptyAnswer),
    })
    .await;
    let reason = async |text: &str| {
        let (_, answer) = generate(&server, "m", json!([user(text)])).await;
        answer["candidates"][0]["finishReason"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(reason("refuse").await, "SAFETY");
    assert_eq!(reason("broken").await, "MALFORMED_FUNCTION_CALL");
    assert_eq!(reason("empty").await, "STOP");
    let (status, answer) = generate(&server, "m", json!([user("wait")])).await;
    assert_eq!((status, &answer["error"]["details"][0]["retryDelay"]), (429, &json!("7s")));
    let (_, stream) = post(&server, "m:streamGenerateContent?alt=sse", &json!({"contents": [user("error")]})).await;
    assert!(stream.contains("UNAVAILABLE"), "{stream}");
    let (status, _) = post(&server, "m:countCalories", &json!({})).await;
    assert_eq!(status, 404);
    server.offer_models(["gemini-3-pro"]);
    let (_, list) = exchange(&server, "GET /v1beta/models HTTP/1.0", "").await;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["models"][0]["name"], "models/gemini-3-pro");
}
