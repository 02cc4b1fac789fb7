//! What the model is given for which stored messages.

use serde_json::json;
use types::{Label, MessageId, SessionId, Timestamp};

use super::*;

fn row(role: Role, author: Author, blocks: Vec<Block>) -> StoredMessage {
    StoredMessage {
        id: MessageId(1),
        session: SessionId(1),
        turn: None,
        role,
        author,
        kind: MessageKind::Normal,
        blocks,
        label: Label::CLEAN,
        at: Timestamp(0),
    }
}

fn owner(text: &str) -> StoredMessage {
    row(Role::User, Author::Owner, vec![Block::text(text)])
}

fn note(text: &str) -> StoredMessage {
    row(Role::User, Author::System, vec![Block::text(text)])
}

fn model(text: &str, calls: &[&str]) -> StoredMessage {
    let mut blocks = vec![Block::text(text)];
    let call = |id: &&str| Block::ToolUse { id: (*id).to_owned(), name: "t".to_owned(), input: json!({}) };
    blocks.extend(calls.iter().map(call));
    row(Role::Assistant, Author::Model, blocks)
}

fn results(calls: &[&str]) -> StoredMessage {
    let result = |id: &&str| Block::ToolResult { call: (*id).to_owned(), content: "ok".to_owned(), is_error: false };
    row(Role::User, Author::Tool, calls.iter().map(result).collect())
}

/// Each message on a line: the side and its blocks in short.
fn shown(rows: &[StoredMessage], constraints: &[&str]) -> Vec<String> {
    let constraints: Vec<String> = constraints.iter().map(|text| (*text).to_owned()).collect();
    let block = |block: &Block| match block {
        Block::Text { text } => text.clone(),
        Block::ToolUse { id, .. } => format!("call {id}"),
        Block::ToolResult { call, content, .. } => format!("{call}: {}", &content[..2]),
        Block::Thinking { .. } | Block::RedactedThinking { .. } | Block::Media { .. } | Block::Opaque { .. } => {
            "other".to_owned()
        }
    };
    build(rows, &constraints)
        .iter()
        .map(|message| {
            format!("{:?}: {}", message.role, message.blocks.iter().map(block).collect::<Vec<_>>().join(" | "))
        })
        .collect()
}

#[test]
fn the_sides_alternate_and_owner_messages_carry_their_time() {
    let rows = [owner("hi"), owner("there"), model("hello", &[]), model("again", &[])];
    assert_eq!(
        shown(&rows, &["unused"]),
        ["User: hi | (sent 1970-01-01 00:00 UTC) | there | (sent 1970-01-01 00:00 UTC)", "Assistant: hello | again"]
    );
}

#[test]
fn results_come_first_and_missing_ones_are_made() {
    let rows = [note("go"), model("", &["a", "b"]), note("steered"), results(&["b", "x"])];
    assert_eq!(shown(&rows, &[]), ["User: go", "Assistant: call a | call b", "User: b: ok | a: no | steered"]);
}

#[test]
fn calls_at_the_end_get_results_and_lone_results_vanish() {
    let rows = [results(&["lost"]), note("go"), model("x", &["a"])];
    assert_eq!(shown(&rows, &[]), ["User: go", "Assistant: x | call a", "User: a: no"]);
    assert_eq!(shown(&[results(&["lost"])], &[]), Vec::<String>::new());
}

#[test]
fn a_conversation_begins_with_the_user() {
    let rows = [model("x", &[]), note("go")];
    assert_eq!(
        shown(&rows, &[]),
        ["User: [The beginning of this conversation is not shown.]", "Assistant: x", "User: go"]
    );
}

#[test]
fn constraints_are_restated_after_a_summary() {
    let summary = StoredMessage { kind: MessageKind::Summary, ..note("so far") };
    assert_eq!(
        shown(&[summary, model("x", &["a"]), results(&["a"])], &["Never push.", "Ask me."]),
        [
            "User: so far | Standing instructions of the owner, in their own words:\n- Never push.\n- Ask me.",
            "Assistant: x | call a",
            "User: a: ok"
        ]
    );
}

#[test]
fn nothing_empty_is_sent() {
    assert_eq!(shown(&[note("go"), model(" ", &[]), note("on")], &[]), ["User: go | on"]);
}
