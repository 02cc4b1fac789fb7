//! What Gemini is sent.

use std::sync::Arc;

use super::*;

fn request(model: &str, messages: Vec<Message>) -> ModelRequest {
    ModelRequest {
        model: model.to_owned(),
        system: "Be brief.".into(),
        tools: Arc::from([]),
        messages,
        max_output_tokens: 4000,
        thinking_tokens: None,
        media: MediaBytes::default(),
        output: None,
        cache_key: None,
    }
}

fn gemini(base_url: &str) -> Gemini {
    Gemini::new(base_url, Quirks::default())
}

#[test]
fn the_path_names_model_and_method() {
    let path = |base: &str, model: &str, stream| gemini(base).path(&request(model, Vec::new()), stream).into_owned();
    let google = "https://generativelanguage.googleapis.com";
    assert_eq!(path(google, "gemini-3.5-flash", true), "/v1beta/models/gemini-3.5-flash:streamGenerateContent");
    assert_eq!(path(google, "models/gemini-3.5-flash", false), "/v1beta/models/gemini-3.5-flash:generateContent");
    assert_eq!(path(&format!("{google}/v1beta/"), "m", false), "/models/m:generateContent");
    assert_eq!(path(google, "tunedModels/mine", false), "/v1beta/tunedModels/mine:generateContent");
    let vertex = "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google";
    assert_eq!(path(vertex, "m@1", true), "/models/m%401:streamGenerateContent");
    assert_eq!(path("https://proxy.example/google", "../ü?", false), "/v1beta/models/..%2F%C3%BC%3F:generateContent");
}

#[test]
fn each_series_is_told_in_its_way_how_much_to_reason() {
    let told = |model: &str, thinking_tokens, max_output_tokens| {
        let request = ModelRequest { thinking_tokens, max_output_tokens, ..request(model, vec![Message::user("x")]) };
        gemini("https://g").body(&request, true)["generationConfig"]["thinkingConfig"].clone()
    };
    let level = |word: &str, shown: bool| json!({"thinkingLevel": word, "includeThoughts": shown});
    let budget = |tokens: u32, shown: bool| json!({"thinkingBudget": tokens, "includeThoughts": shown});
    assert_eq!(told("gemini-3.1-pro-preview", Some(20_000), 64_000), level("HIGH", true));
    assert_eq!(told("gemini-flash-latest", Some(1), 100), level("LOW", true));
    assert_eq!(told("gemini-3.8-flash", None, 4000), level("LOW", false));
    assert_eq!(told("models/gemini-2.5-flash", Some(2000), 4000), budget(2000, true));
    assert_eq!(told("gemini-2.5-flash", Some(1), 4000), budget(512, true));
    assert_eq!(told("gemini-2.5-flash", Some(99_000), 64_000), budget(24_576, true));
    assert_eq!(told("gemini-2.5-flash", Some(9000), 4000), budget(3999, true));
    assert_eq!(told("gemini-2.5-flash", Some(9000), 500), budget(0, false));
    assert_eq!(told("gemini-2.5-pro", Some(0), 4000), budget(128, false));
    assert_eq!(told("gemini-2.0-flash", Some(2000), 4000), Value::Null);
    assert_eq!(told("gemma-3-27b-it", Some(2000), 4000), Value::Null);
    let quirks = Quirks { reasoning: Some(Reasoning::Effort), ..Quirks::default() };
    let body = Gemini::new("https://g", quirks).body(&request("unheard-of", vec![Message::user("x")]), true);
    assert_eq!(body["generationConfig"]["thinkingConfig"], level("LOW", false));
}

fn call(id: &str) -> Block {
    Block::ToolUse { id: id.to_owned(), name: "exec".to_owned(), input: json!({"a": 1}) }
}

fn result(call: &str, is_error: bool) -> Block {
    Block::ToolResult { call: call.to_owned(), content: "done".to_owned(), is_error }
}

fn note(item: Value) -> Block {
    Block::Opaque { origin: "here".to_owned(), item }
}

#[test]
fn results_name_their_calls_and_pictures_go_inline() {
    let picture = types::MediaRef { digest: "d".to_owned(), media_type: "image/png".to_owned(), name: None, bytes: 3 };
    let user = vec![result("2", true), result("1", false), Block::Media { media: picture }, Block::text("and")];
    let messages = vec![
        Message::user("go"),
        Message { role: Role::Assistant, blocks: vec![call("1"), call("2")] },
        Message { role: Role::User, blocks: user },
    ];
    let mut request = request("gemini-2.5-flash", messages);
    request.media = Arc::new([("d".to_owned(), Arc::from(*b"abc"))].into());
    let body = gemini("https://g").body(&request, true);
    let answer =
        |id: &str, key: &str| json!({"functionResponse": {"id": id, "name": "exec", "response": {key: "done"}}});
    let inline = json!({"inlineData": {"mimeType": "image/png", "data": "YWJj"}});
    let expected = json!([answer("1", "output"), answer("2", "error"), inline, {"text": "and"}]);
    assert_eq!(body["contents"][2], json!({"role": "user", "parts": expected}));
    assert_eq!(body["systemInstruction"], json!({"parts": [{"text": "Be brief."}]}));
    assert_eq!(body["contents"][1]["parts"][0]["thoughtSignature"], Value::Null, "this series knows no stand-in");
}

#[test]
fn signatures_go_back_to_their_parts_and_missing_ones_are_stood_in_for() {
    let calls = |id: &str| json!({"functionCall": {"id": id, "name": "exec", "args": {"a": 1}}});
    let signed = |mut part: Value, signature: &str| {
        part["thoughtSignature"] = json!(signature);
        part
    };
    let check = |blocks: Vec<Block>, expected: Value| assert_eq!(json!(model_parts(&blocks, true)), expected);
    let own = note(json!({"thoughtSignature": "s"}));
    check(vec![own.clone(), call("1"), call("2")], json!([signed(calls("1"), "s"), calls("2")]));
    check(vec![call("1"), call("2")], json!([signed(calls("1"), NO_SIGNATURE), calls("2")]));
    check(vec![call("1"), own.clone(), call("2")], json!([signed(calls("1"), NO_SIGNATURE), signed(calls("2"), "s")]));
    let parts = note(json!({"textParts": [{"bytes": 2}, {"bytes": 0, "thoughtSignature": "s"}]}));
    check(vec![parts.clone(), Block::text("ab")], json!([{"text": "ab"}, {"text": "", "thoughtSignature": "s"}]));
    // The text is another than the one that was signed.
    check(vec![parts.clone(), Block::text("abc")], json!([{"text": "abc", "thoughtSignature": "s"}]));
    check(vec![note(json!({"textParts": [{"bytes": 1}]})), Block::text("ü")], json!([{"text": "ü"}]));
    // The block of a note is gone.
    check(vec![own.clone()], json!([{"text": " "}]));
    check(
        vec![own, note(json!({"executableCode": {}})), Block::text("x")],
        json!([{"executableCode": {}}, {"text": "x"}]),
    );
    let thought = Block::Thinking { text: "hm".to_owned(), signature: Some("s".to_owned()), origin: String::new() };
    check(vec![thought], json!([{"text": "hm", "thought": true, "thoughtSignature": "s"}]));
    assert_eq!(json!(model_parts(&[call("1")], false)), json!([calls("1")]));
}

#[test]
fn an_answers_form_and_the_tools_are_in_the_vendors_part_of_json_schema() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}, "required": ["a"]});
    let tool =
        |name: &str, input_schema: Value| ToolSpec { name: name.to_owned(), description: "d".to_owned(), input_schema };
    let mut request = request("gemini-3.5-flash", vec![Message::user("x")]);
    request.tools = Arc::from([tool("one", schema.clone()), tool("two", json!({"type": "object", "properties": {}}))]);
    request.output = Some(types::OutputSchema { name: "o".to_owned(), schema });
    let body = gemini("https://g").body(&request, false);
    let expected = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
    let declarations = json!([
        {"name": "one", "description": "d", "parametersJsonSchema": expected},
        {"name": "two", "description": "d"},
    ]);
    assert_eq!(body["tools"], json!([{"functionDeclarations": declarations}]));
    assert_eq!(body["generationConfig"]["responseMimeType"], "application/json");
    assert_eq!(body["generationConfig"]["responseJsonSchema"], expected);
}

#[test]
fn a_form_that_cannot_be_held_is_told_in_words() {
    let told = |form: SchemaForm, model: &str, tools: Vec<ToolSpec>| {
        let mut request = request(model, vec![Message::user("x")]);
        request.output = Some(types::OutputSchema { name: "o".to_owned(), schema: json!({"type": "object"}) });
        request.tools = tools.into();
        let body = Gemini::new("https://g", Quirks { schema: form, ..Quirks::default() }).body(&request, true);
        let config = &body["generationConfig"];
        let in_words = body["contents"][0]["parts"].as_array().is_some_and(|parts| parts.len() == 2);
        (config["responseMimeType"].is_string(), config["responseJsonSchema"].is_object(), in_words)
    };
    let tool = || ToolSpec { name: "t".to_owned(), description: String::new(), input_schema: json!({}) };
    assert_eq!(told(SchemaForm::Schema, "gemini-2.5-pro", Vec::new()), (true, true, false));
    assert_eq!(told(SchemaForm::Object, "gemini-2.5-pro", Vec::new()), (true, false, true));
    assert_eq!(told(SchemaForm::Words, "gemini-2.5-pro", Vec::new()), (false, false, true));
    assert_eq!(told(SchemaForm::Schema, "gemini-3.5-flash", vec![tool()]), (true, true, false));
    assert_eq!(told(SchemaForm::Schema, "gemini-2.5-pro", vec![tool()]), (false, false, true));
}
