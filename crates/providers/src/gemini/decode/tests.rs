//! What Gemini says, and what is made of it.

use types::ProviderErrorKind as Kind;

use super::*;

/// Reads a stream of these chunks, and the same as a list in one piece: both must say the same.
fn read(chunks: &[Value]) -> Result<ModelReply, Kind> {
    let mut decoder = GeminiDecoder::default();
    let fed = chunks.iter().try_for_each(|chunk| {
        let event = SseEvent { name: String::new(), data: chunk.to_string() };
        decoder.event(&event, &mut Vec::new()).map(drop)
    });
    let streamed = fed.and_then(|()| decoder.finish()).map_err(|error| error.kind);
    if streamed != Err(Kind::Truncated) {
        assert_eq!(whole(&json!(chunks)).map_err(|error| error.kind), streamed);
    }
    streamed
}

fn parts(parts: Value) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}]})
}

fn end(reason: &str) -> Value {
    json!({"candidates": [{"content": {"role": "model"}, "finishReason": reason}]})
}

fn opaque(item: Value) -> Block {
    Block::Opaque { origin: String::new(), item }
}

fn blocks(chunks: &[Value]) -> Vec<Block> {
    read(&[chunks, &[end("STOP")]].concat()).map(|reply| reply.blocks).unwrap_or_default()
}

#[test]
fn a_text_in_pieces_is_one_text_and_keeps_its_signatures() {
    assert_eq!(blocks(&[parts(json!([{"text": "a"}])), parts(json!([{"text": "b"}]))]), [Block::text("ab")]);
    let signed = parts(json!([{"text": "ü", "thoughtSignature": "s"}]));
    let chunks = [parts(json!([{"text": "a"}, {"text": "b"}])), signed, parts(json!([{"text": "c"}]))];
    let note = json!({"textParts": [{"bytes": 2}, {"bytes": 2, "thoughtSignature": "s"}, {"bytes": 1}]});
    let read = blocks(&chunks);
    assert_eq!(read, [opaque(note.clone()), Block::text("abüc")]);
    let back = text_parts("abüc", Some(&note));
    assert_eq!(json!(back), json!([{"text": "ab"}, {"text": "ü", "thoughtSignature": "s"}, {"text": "c"}]));
}

#[test]
fn a_signature_on_nothing_is_kept() {
    let trailing = parts(json!([{"text": "", "thoughtSignature": "s"}]));
    let note = json!({"textParts": [{"bytes": 1}, {"bytes": 0, "thoughtSignature": "s"}]});
    assert_eq!(blocks(&[parts(json!([{"text": "a"}])), trailing.clone()]), [opaque(note), Block::text("a")]);
    assert_eq!(blocks(&[trailing]), [opaque(json!({"text": "", "thoughtSignature": "s"}))]);
    assert_eq!(blocks(&[parts(json!([{"text": ""}, {}, "nonsense"]))]), []);
}

#[test]
fn calls_keep_id_and_signature_and_stop_for_results() {
    let chunks = [
        parts(json!([{"functionCall": {"name": "a", "args": {"x": 1}, "id": "i"}, "thoughtSignature": "s"}])),
        parts(json!([{"functionCall": {"name": "b"}}])),
        end("STOP"),
    ];
    let call = |id: &str, name: &str, input| Block::ToolUse { id: id.to_owned(), name: name.to_owned(), input };
    let blocks =
        vec![opaque(json!({"thoughtSignature": "s"})), call("i", "a", json!({"x": 1})), call("", "b", json!({}))];
    assert_eq!(read(&chunks), Ok(ModelReply { blocks, stop: StopReason::ToolUse, usage: Usage::default() }));
}

#[test]
fn reasoning_and_unknown_parts_are_told_apart() {
    let chunks = [
        parts(json!([{"text": "h", "thought": true}, {"text": "m", "thought": true}])),
        parts(json!([{"text": "!", "thought": true, "thoughtSignature": "s"}])),
        parts(json!([{"executableCode": {"language": "PYTHON"}}])),
    ];
    let thinking = |text: &str, signature: Option<&str>| Block::Thinking {
        text: text.to_owned(),
        signature: signature.map(str::to_owned),
        origin: String::new(),
    };
    let code = opaque(json!({"executableCode": {"language": "PYTHON"}}));
    assert_eq!(blocks(&chunks), [thinking("hm", None), thinking("!", Some("s")), code]);
}

#[test]
fn every_end_has_its_meaning() {
    let ends = [
        ("STOP", Ok(StopReason::EndTurn)),
        ("MAX_TOKENS", Ok(StopReason::MaxTokens)),
        ("SAFETY", Ok(StopReason::Refusal)),
        ("RECITATION", Ok(StopReason::Refusal)),
        ("PROHIBITED_CONTENT", Ok(StopReason::Refusal)),
        ("SPII", Ok(StopReason::Refusal)),
        ("LANGUAGE", Ok(StopReason::Other("LANGUAGE".to_owned()))),
        ("MALFORMED_FUNCTION_CALL", Err(Kind::Malformed)),
        ("UNEXPECTED_TOOL_CALL", Err(Kind::Malformed)),
    ];
    for (reason, stop) in ends {
        assert_eq!(read(&[end(reason)]).map(|reply| reply.stop), stop, "{reason}");
    }
    let blocked =
        json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}});
    assert_eq!(read(&[blocked]).map(|reply| (reply.stop, reply.usage.input)), Ok((StopReason::Refusal, 3)));
    assert_eq!(read(&[parts(json!([{"text": "a"}]))]), Err(Kind::Truncated));
    assert_eq!(read(&[]), Err(Kind::Truncated));
    for nonsense in [json!({}), json!([]), json!([1]), json!("x"), parts(json!([{"text": "a"}]))] {
        assert_eq!(whole(&nonsense).map_err(|error| error.kind), Err(Kind::Malformed), "{nonsense}");
    }
}

#[test]
fn usage_is_cumulative_and_split() {
    let reports = [
        json!({"usageMetadata": {"promptTokenCount": 100, "cachedContentTokenCount": 60, "thoughtsTokenCount": 7}}),
        json!({"usageMetadata": {"promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 5,
            "thoughtsTokenCount": 9, "toolUsePromptTokenCount": 11, "totalTokenCount": 125}}),
        end("STOP"),
    ];
    let usage = Usage { input: 51, cache_read: 60, cache_write: 0, cache_write_1h: 0, output: 14, reasoning: 9 };
    assert_eq!(read(&reports).map(|reply| reply.usage), Ok(usage));
    assert_eq!(read(&reports[..1]), Err(Kind::Truncated));
}

#[test]
fn an_error_in_the_stream_has_its_kind() {
    let error = |code: u16, status: &str| json!({"error": {"code": code, "message": "x", "status": status}});
    assert_eq!(read(&[parts(json!([{"text": "a"}])), error(503, "UNAVAILABLE")]), Err(Kind::Overloaded));
    assert_eq!(read(&[error(429, "RESOURCE_EXHAUSTED")]), Err(Kind::RateLimited));
    assert_eq!(read(&[json!({"error": {"status": "PERMISSION_DENIED"}})]), Err(Kind::Auth));
}

#[test]
fn parts_are_bounded() {
    let many: Vec<Value> = (0..=MAX_PARTS).map(|_| json!({"functionCall": {"name": "a"}})).collect();
    assert_eq!(read(&[parts(json!(many)), end("STOP")]), Err(Kind::Malformed));
    let many: Vec<Value> = (0..=MAX_PARTS).map(|_| json!({"text": "a", "thoughtSignature": "s"})).collect();
    assert_eq!(read(&[parts(json!(many)), end("STOP")]), Err(Kind::Malformed));
}
