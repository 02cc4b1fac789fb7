//! Makes a conversation sound before it goes out. The caller guarantees most of this; vendors refuse the whole request
//! when it fails once, so it is enforced here as well. Pure, and stable: the same beginning always gives the same
//! beginning, or the vendor's cache would be lost.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use types::{Block, Message, Role};

/// What stands for the result of a call that has none.
const NO_RESULT: &str = "the outcome of this call is unknown";
/// What stands before an answer that nothing was said before.
const OPENING: &str = "(the conversation goes on)";
/// What stands after an answer that nothing was said after.
const GO_ON: &str = "Go on.";

/// The conversation without messages in which nothing is said or done, by what `speaks` tells of a block: reasoning alone is no
/// message to most vendors.
pub(crate) fn spoken(messages: &[Message], speaks: impl Fn(&Block) -> bool) -> Cow<'_, [Message]> {
    let is_mute = |message: &Message| !message.blocks.iter().any(&speaks);
    if messages.iter().any(is_mute) {
        messages.iter().filter(|message| !is_mute(message)).cloned().collect()
    } else {
        messages.into()
    }
}

/// The conversation with only those blocks that `keep` lets pass, in which the two sides alternate from the user on,
/// every call has exactly one result in the next message, results come first in their message, call ids are unique and plain,
/// and names of tools are plain.
pub(crate) fn sound(messages: &[Message], keep: impl Fn(&Block) -> bool) -> Vec<Message> {
    let mut merged: Vec<Message> = Vec::with_capacity(messages.len());
    for message in messages {
        let blocks: Vec<Block> = message.blocks.iter().filter(|block| keep(block)).cloned().collect();
        match merged.last_mut() {
            _ if blocks.is_empty() => {}
            Some(last) if last.role == message.role => last.blocks.extend(blocks),
            Some(_) | None => merged.push(Message { role: message.role, blocks }),
        }
    }
    let mut paired = pair(merged);
    if paired.first().is_some_and(|first| first.role == Role::Assistant) {
        paired.insert(0, Message::user(OPENING));
    }
    if paired.last().is_none_or(|last| last.role == Role::Assistant) {
        paired.push(Message::user(GO_ON));
    }
    paired
}

/// Puts each call and its result together.
fn pair(messages: Vec<Message>) -> Vec<Message> {
    let mut names = Names::default();
    let mut paired: Vec<Message> = Vec::with_capacity(messages.len());
    // The ids of the last message's calls: as given, and as sent.
    let mut open: Vec<(String, String)> = Vec::new();
    for message in messages {
        match message.role {
            Role::User => push(&mut paired, answer(std::mem::take(&mut open), message.blocks)),
            Role::Assistant => {
                push(&mut paired, answer(std::mem::take(&mut open), Vec::new()));
                let mut blocks = message.blocks;
                // A result is the user's to give.
                blocks.retain(|block| !matches!(block, Block::ToolResult { .. }));
                for block in &mut blocks {
                    if let Block::ToolUse { id, name, .. } = block {
                        let given = id.clone();
                        *id = names.name(&given);
                        *name = plain_tool(name);
                        open.push((given, id.clone()));
                    }
                }
                push(&mut paired, Message { role: Role::Assistant, blocks });
            }
        }
    }
    push(&mut paired, answer(open, Vec::new()));
    paired
}

/// Appends a message, unless it is empty; to the last one if that is of the same side.
fn push(messages: &mut Vec<Message>, message: Message) {
    match messages.last_mut() {
        _ if message.blocks.is_empty() => {}
        Some(last) if last.role == message.role => last.blocks.extend(message.blocks),
        Some(_) | None => messages.push(message),
    }
}

/// The user's message: one result for each open call, in the calls' order, then everything else. Results that answer
/// no open call are dropped: no vendor takes them.
fn answer(open: Vec<(String, String)>, blocks: Vec<Block>) -> Message {
    let mut results: HashMap<String, (String, bool)> = HashMap::new();
    let mut rest = Vec::new();
    for block in blocks {
        match block {
            Block::ToolResult { call, content, is_error } => {
                results.entry(call).or_insert((content, is_error));
            }
            // A call is the assistant's to make.
            Block::ToolUse { .. } => {}
            Block::Text { .. }
            | Block::Thinking { .. }
            | Block::RedactedThinking { .. }
            | Block::Media { .. }
            | Block::Opaque { .. } => rest.push(block),
        }
    }
    let mut ordered: Vec<Block> = Vec::with_capacity(open.len() + rest.len());
    for (given, sent) in open {
        let (content, is_error) = results.remove(&given).unwrap_or_else(|| (NO_RESULT.to_owned(), true));
        ordered.push(Block::ToolResult { call: sent, content, is_error });
    }
    ordered.extend(rest);
    Message { role: Role::User, blocks: ordered }
}

/// The name of a tool as every vendor takes it back. A model may have called what does not exist, and was told so; the call stays
/// in the conversation.
fn plain_tool(name: &str) -> String {
    const LONGEST: usize = 64;
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let name: String = name.chars().take(LONGEST).map(plain).collect();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

/// Ids as they are sent. An id that is plain and new keeps its form; any other gets one from its place, which does not
/// change as the conversation grows.
#[derive(Default)]
struct Names {
    taken: HashSet<String>,
    count: usize,
}

impl Names {
    fn name(&mut self, given: &str) -> String {
        self.count += 1;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let usable = !given.is_empty() && given.len() <= 64 && given.chars().all(plain);
        let mut name = if usable { given.to_owned() } else { format!("call_{}", self.count) };
        while !self.taken.insert(name.clone()) {
            name.push('x');
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(id: &str) -> Block {
        Block::ToolUse { id: id.to_owned(), name: "t".to_owned(), input: json!({}) }
    }

    fn result(call: &str, content: &str) -> Block {
        Block::ToolResult { call: call.to_owned(), content: content.to_owned(), is_error: false }
    }

    fn lost(call: &str) -> Block {
        Block::ToolResult { call: call.to_owned(), content: NO_RESULT.to_owned(), is_error: true }
    }

    fn user(blocks: Vec<Block>) -> Message {
        Message { role: Role::User, blocks }
    }

    fn assistant(blocks: Vec<Block>) -> Message {
        Message { role: Role::Assistant, blocks }
    }

    fn check(given: &[Message], expected: &[Message]) {
        assert_eq!(sound(given, |block| *block != Block::text("")), expected);
        // What is sound stays as it is.
        assert_eq!(sound(expected, |_| true), expected);
    }

    #[test]
    fn a_sound_conversation_is_left_alone() {
        let sound = [
            Message::user("hi"),
            assistant(vec![Block::text("a"), call("1"), call("2")]),
            user(vec![result("1", "x"), result("2", "y"), Block::text("and")]),
        ];
        check(&sound, &sound);
    }

    #[test]
    fn missing_results_are_made_up_and_orphans_dropped() {
        check(
            &[
                Message::user("hi"),
                assistant(vec![call("1"), call("2")]),
                user(vec![Block::text("stop"), result("2", "y"), result("9", "z"), result("2", "again")]),
                assistant(vec![call("3")]),
            ],
            &[
                Message::user("hi"),
                assistant(vec![call("1"), call("2")]),
                user(vec![lost("1"), result("2", "y"), Block::text("stop")]),
                assistant(vec![call("3")]),
                user(vec![lost("3")]),
            ],
        );
    }

    #[test]
    fn sides_alternate_from_the_user_on() {
        check(
            &[Message::assistant("a"), Message::assistant("b"), Message::user(""), Message::assistant("c")],
            &[
                Message::user(OPENING),
                assistant(vec![Block::text("a"), Block::text("b"), Block::text("c")]),
                Message::user(GO_ON),
            ],
        );
        check(&[], &[Message::user(GO_ON)]);
    }

    #[test]
    fn names_of_tools_become_plain() {
        let long = "x".repeat(70);
        let names = ["exec", "functions.exec", "", "ü b", &long].map(plain_tool);
        assert_eq!(names, ["exec", "functions_exec", "unnamed", "__b", &long[..64]]);
    }

    #[test]
    fn ids_become_unique_and_plain() {
        check(
            &[
                Message::user("hi"),
                assistant(vec![call("call_0")]),
                user(vec![result("call_0", "first")]),
                assistant(vec![call("call_0"), call("functions.exec:1")]),
                user(vec![result("functions.exec:1", "third"), result("call_0", "second")]),
            ],
            &[
                Message::user("hi"),
                assistant(vec![call("call_0")]),
                user(vec![result("call_0", "first")]),
                assistant(vec![call("call_0x"), call("call_3")]),
                user(vec![result("call_0x", "second"), result("call_3", "third")]),
            ],
        );
    }
}
