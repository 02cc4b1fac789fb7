//! What Ollama says, and what is made of it.

use types::ProviderErrorKind as Kind;

use super::*;

fn read(lines: &[Value]) -> Result<ModelReply, Kind> {
    let mut decoder = OllamaDecoder::default();
    for line in lines {
        let event = SseEvent { name: String::new(), data: line.to_string() };
        decoder.event(&event, &mut Vec::new()).map_err(|error| error.kind)?;
    }
    decoder.finish().map_err(|error| error.kind)
}

fn message(message: Value) -> Value {
    json!({"model": "m", "message": message, "done": false})
}

fn done(reason: &str) -> Value {
    json!({"message": {"role": "assistant", "content": ""}, "done": true, "done_reason": reason,
        "prompt_eval_count": 20, "eval_count": 5})
}

fn thinking(text: &str) -> Block {
    Block::Thinking { text: text.to_owned(), signature: None, origin: String::new() }
}

fn call(id: &str, name: &str, input: Value) -> Block {
    Block::ToolUse { id: id.to_owned(), name: name.to_owned(), input }
}

#[test]
fn an_answer_comes_in_lines() {
    let lines = [
        message(json!({"thinking": "h", "content": ""})),
        message(json!({"thinking": "m"})),
        message(json!({"content": "a"})),
        message(json!({"content": "b", "tool_calls": [{"function": {"name": "x", "arguments": {"k": 1}}}]})),
        message(json!({"tool_calls": [{"id": "i", "function": {"name": "y", "arguments": "{\"k\": 2}"}}]})),
        message(json!({"tool_calls": [{"function": {"name": "z"}}]})),
        done("stop"),
    ];
    let calls = [call("", "x", json!({"k": 1})), call("i", "y", json!({"k": 2})), call("", "z", json!({}))];
    let blocks = [vec![thinking("hm"), Block::text("ab")], calls.to_vec()].concat();
    let usage = Usage { input: 20, output: 5, ..Usage::default() };
    assert_eq!(read(&lines), Ok(ModelReply { blocks, stop: StopReason::ToolUse, usage }));
}

#[test]
fn every_end_has_its_meaning() {
    let ends = [
        ("stop", Ok(StopReason::EndTurn)),
        ("", Ok(StopReason::EndTurn)),
        ("length", Ok(StopReason::MaxTokens)),
        ("load", Err(Kind::Malformed)),
        ("unload", Err(Kind::Malformed)),
        ("of_the_future", Ok(StopReason::Other("of_the_future".to_owned()))),
    ];
    for (reason, stop) in ends {
        assert_eq!(read(&[done(reason)]).map(|reply| reply.stop), stop, "{reason}");
        assert_eq!(whole(&done(reason)).map(|reply| reply.stop).map_err(|error| error.kind), stop, "{reason}");
    }
    assert_eq!(read(&[json!({"done": true})]).map(|reply| reply.usage), Ok(Usage::default()));
    assert_eq!(read(&[message(json!({"content": "a"}))]), Err(Kind::Truncated));
}

#[test]
fn errors_and_nonsense_are_told_apart() {
    let error = |text: &str| json!({"error": text});
    assert_eq!(read(&[message(json!({"content": "a"})), error("an error was encountered")]), Err(Kind::Server));
    assert_eq!(read(&[error("the input length exceeds the context length")]), Err(Kind::ContextOverflow));
    assert_eq!(read(&[error("")]), Err(Kind::Server));
    for nonsense in [json!([]), json!("x"), json!(null)] {
        assert_eq!(read(std::slice::from_ref(&nonsense)), Err(Kind::Malformed));
        assert_eq!(whole(&nonsense).map_err(|error| error.kind), Err(Kind::Malformed));
    }
    assert_eq!(whole(&message(json!({"content": "a"}))).map_err(|error| error.kind), Err(Kind::Malformed));
}

#[test]
fn blocks_are_bounded() {
    let many: Vec<Value> = (0..=MAX_BLOCKS).map(|_| json!({"function": {"name": "a"}})).collect();
    assert_eq!(read(&[message(json!({"tool_calls": many})), done("stop")]), Err(Kind::Malformed));
}
