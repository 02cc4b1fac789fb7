//! What Ollama is sent, and what its counts tell.

use std::sync::Arc;

use types::Usage;

use super::*;

fn request(model: &str, messages: Vec<Message>) -> ModelRequest {
    ModelRequest {
        model: model.to_owned(),
        system: "Be brief.".into(),
        tools: Arc::from([]),
        messages,
        max_output_tokens: 400,
        thinking_tokens: None,
        media: MediaBytes::default(),
        output: None,
        cache_key: None,
    }
}

fn ollama() -> Ollama {
    Ollama::new("http://host:11434", Quirks::default(), [("small".to_owned(), 1000)].into())
}

#[test]
fn the_window_is_always_named_and_nothing_may_be_left_out() {
    for (model, window) in [("small", 1000), ("other", DEFAULT_WINDOW)] {
        let body = ollama().body(&request(model, vec![Message::user("x")]), true);
        assert_eq!(body["options"], json!({"num_ctx": window, "num_predict": 400}));
        assert_eq!((&body["truncate"], &body["shift"]), (&json!(false), &json!(false)));
    }
}

#[test]
fn settings_and_forms_are_the_servers() {
    let quirks = |time: &str| Quirks { keep_alive: Some(time.to_owned()), ..Quirks::default() };
    for (time, expected) in [("30m", json!("30m")), ("-1", json!(-1))] {
        let dialect = Ollama::new("http://host/api", quirks(time), BTreeMap::new());
        let mut request = request("m", vec![Message::user("x")]);
        request.output = Some(OutputSchema { name: "o".to_owned(), schema: json!({"type": "object"}) });
        let body = dialect.body(&request, false);
        assert_eq!((&body["keep_alive"], &body["stream"]), (&expected, &json!(false)));
        assert_eq!(body["format"], json!({"type": "object"}));
        assert_eq!(dialect.path(&request, true), "/chat");
    }
    assert_eq!(ollama().body(&request("m", Vec::new()), true)["keep_alive"], Value::Null);
}

#[test]
fn a_form_may_be_told_in_words() {
    let told = |schema: SchemaForm| {
        let dialect = Ollama::new("http://host", Quirks { schema, ..Quirks::default() }, BTreeMap::new());
        let mut request = request("m", vec![Message::user("x")]);
        request.output = Some(OutputSchema { name: "o".to_owned(), schema: json!({"type": "object"}) });
        let body = dialect.body(&request, true);
        (body["format"].clone(), body["messages"][1]["content"].as_str().is_some_and(|text| text.contains("Schema")))
    };
    assert_eq!(told(SchemaForm::Schema), (json!({"type": "object"}), false));
    assert_eq!(told(SchemaForm::Object), (json!("json"), true));
    assert_eq!(told(SchemaForm::Words), (Value::Null, true));
}

#[test]
fn reasoning_is_asked_for_or_forbidden() {
    let think = |model: &str, thinking_tokens| {
        ollama().body(&ModelRequest { thinking_tokens, ..request(model, Vec::new()) }, true)["think"].clone()
    };
    assert_eq!(think("qwen3", Some(2000)), json!(true));
    assert_eq!(think("qwen3", None), json!(false));
    assert_eq!(think("gpt-oss:20b", Some(20_000)), json!("high"));
    assert_eq!(think("gpt-oss:20b", Some(0)), json!("low"));
    let quirks = Quirks { models: [("plain".to_owned(), Reasoning::None)].into(), ..Quirks::default() };
    let dialect = Ollama::new("http://host", quirks, BTreeMap::new());
    let body = dialect.body(&ModelRequest { thinking_tokens: Some(9), ..request("plain", Vec::new()) }, true);
    assert_eq!(body.get("think"), None);
}

#[test]
fn a_conversation_is_told_in_the_servers_messages() {
    let picture = types::MediaRef { digest: "d".to_owned(), media_type: "image/png".to_owned(), name: None, bytes: 3 };
    let thinking = Block::Thinking { text: "hm".to_owned(), signature: None, origin: "here".to_owned() };
    let call = Block::ToolUse { id: "1".to_owned(), name: "exec".to_owned(), input: json!("broken") };
    let result = Block::ToolResult { call: "1".to_owned(), content: "no".to_owned(), is_error: true };
    let messages = vec![
        Message { role: Role::User, blocks: vec![Block::text("look"), Block::Media { media: picture }] },
        Message { role: Role::Assistant, blocks: vec![thinking, Block::text("so"), call] },
        Message { role: Role::User, blocks: vec![result] },
    ];
    let mut request = request("m", messages);
    request.media = Arc::new([("d".to_owned(), Arc::from(*b"abc"))].into());
    let function = json!({"name": "exec", "arguments": {"invalid_arguments": "broken"}});
    let expected = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "look", "images": ["YWJj"]},
        {"role": "assistant", "content": "so", "thinking": "hm", "tool_calls": [{"id": "1", "function": function}]},
        {"role": "tool", "tool_name": "exec", "tool_call_id": "1", "content": "error: no"},
    ]);
    assert_eq!(ollama().body(&request, true)["messages"], expected);
}

#[test]
fn schemas_that_the_server_cannot_read_are_mended() {
    let spec = |input_schema: Value| ToolSpec { name: "t".to_owned(), description: "d".to_owned(), input_schema };
    let parameters = |schema: Value| tool(&spec(schema))["function"]["parameters"].clone();
    let whole = json!({"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]});
    assert_eq!(parameters(whole.clone()), whole);
    let given = json!({"properties": {"a": true, "b": {"anyOf": [true, {"type": "string"}]}}});
    let mended = json!({"type": "object", "properties": {"a": {}, "b": {"anyOf": [{}, {"type": "string"}]}}});
    assert_eq!(parameters(given), mended);
    assert_eq!(parameters(json!(null)), json!({"type": "object"}));
}

fn judged(words: usize, stop: StopReason, input: u64, output: u64) -> Result<StopReason, ProviderErrorKind> {
    let reply = ModelReply { blocks: Vec::new(), stop, usage: Usage { input, output, ..Usage::default() } };
    let request = request("small", vec![Message::user("word ".repeat(words))]);
    ollama().judge(&request, reply).map(|reply| reply.stop).map_err(|error| error.kind)
}

#[test]
fn a_conversation_that_was_cut_is_an_overflow() {
    let overflow = Err(ProviderErrorKind::ContextOverflow);
    assert_eq!(judged(500, StopReason::EndTurn, 999, 10), Ok(StopReason::EndTurn));
    assert_eq!(judged(500, StopReason::EndTurn, 1000, 10), overflow);
    // Ten thousand bytes are no thousand tokens, whatever the server says that it read.
    assert_eq!(judged(2000, StopReason::EndTurn, 502, 10), overflow);
    // A server may count without what it had in memory.
    assert_eq!(judged(1000, StopReason::EndTurn, 0, 10), Ok(StopReason::EndTurn));
}

#[test]
fn an_answer_that_fills_the_window_is_not_one_that_reached_its_limit() {
    assert_eq!(judged(500, StopReason::MaxTokens, 900, 99), Ok(StopReason::ContextFull));
    assert_eq!(judged(500, StopReason::MaxTokens, 500, 400), Ok(StopReason::MaxTokens));
    assert_eq!(judged(500, StopReason::MaxTokens, 600, 400), Ok(StopReason::MaxTokens));
}

#[test]
fn errors_say_what_to_do() {
    let advice = |kind, text: &str| ollama().advice(&ProviderError::new(kind, text)).unwrap_or_default();
    let refused = ProviderErrorKind::BadRequest;
    assert!(advice(refused, "registry.ollama.ai/library/m does not support tools").contains("choose a model"));
    assert!(advice(refused, "\"m\" does not support thinking").contains("`quirks.models`"));
    assert!(advice(ProviderErrorKind::NotFound, "model 'm' not found").contains("ollama pull"));
    assert_eq!(advice(refused, "something else"), "");
}
