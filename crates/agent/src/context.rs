//! From stored messages to what the model is given. The result depends on nothing else, so that the beginning of the
//! context stays byte for byte the same from call to call and the vendor's cache applies.

use std::collections::BTreeSet;

use store::{Author, MessageKind, StoredMessage};
use types::{Block, Message, Role};

use crate::date;

/// Said in place of a result that was never stored.
const NO_RESULT: &str = "no result was recorded: it is not known whether this ran; check its effect before going on";

/// The conversation, fit for any vendor: it begins with a user message, the sides alternate, and every tool call has
/// its result in the message after it, before anything else there.
pub(crate) fn build(rows: &[StoredMessage], constraints: &[String]) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    for row in rows {
        let blocks = blocks(row, constraints);
        if blocks.is_empty() {
            continue;
        }
        match messages.last_mut() {
            Some(last) if last.role == row.role => last.blocks.extend(blocks),
            Some(_) | None => messages.push(Message { role: row.role, blocks }),
        }
    }
    if messages.first().is_some_and(|message| message.role == Role::Assistant) {
        messages.insert(0, Message::user("[The beginning of this conversation is not shown.]"));
    }
    pair(messages)
}

/// One stored message as blocks.
fn blocks(row: &StoredMessage, constraints: &[String]) -> Vec<Block> {
    let mut blocks: Vec<Block> = row.blocks.iter().filter(|block| !is_empty(block)).cloned().collect();
    match row.kind {
        MessageKind::Summary => blocks.extend(standing(constraints)),
        MessageKind::Normal if row.author == Author::Owner && !blocks.is_empty() => {
            blocks.push(Block::text(format!("(sent {})", date::minute(row.at))));
        }
        MessageKind::Normal => {}
    }
    blocks
}

/// The owner's standing instructions: restated where the messages that gave them are no longer shown.
fn standing(constraints: &[String]) -> Option<Block> {
    if constraints.is_empty() {
        return None;
    }
    let lines: Vec<String> = constraints.iter().map(|sentence| format!("- {sentence}")).collect();
    Some(Block::text(format!("Standing instructions of the owner, in their own words:\n{}", lines.join("\n"))))
}

/// Vendors refuse text blocks without text.
fn is_empty(block: &Block) -> bool {
    match block {
        Block::Text { text } => text.trim().is_empty(),
        Block::Thinking { text, signature, .. } => text.is_empty() && signature.is_none(),
        Block::RedactedThinking { .. }
        | Block::ToolUse { .. }
        | Block::ToolResult { .. }
        | Block::Media { .. }
        | Block::Opaque { .. } => false,
    }
}

/// Puts results first, adds those that are missing and drops those that answer nothing.
fn pair(messages: Vec<Message>) -> Vec<Message> {
    let mut paired: Vec<Message> = Vec::new();
    let mut open: Vec<String> = Vec::new();
    for message in messages {
        match message.role {
            Role::Assistant => {
                if !open.is_empty() {
                    paired.push(Message { role: Role::User, blocks: missing(std::mem::take(&mut open)) });
                }
                open = message.tool_uses().map(|call| call.id).collect();
                paired.push(message);
            }
            Role::User => {
                let blocks = answered(std::mem::take(&mut open), message.blocks);
                if !blocks.is_empty() {
                    paired.push(Message { role: Role::User, blocks });
                }
            }
        }
    }
    if !open.is_empty() {
        paired.push(Message { role: Role::User, blocks: missing(open) });
    }
    paired
}

/// The blocks of a user message after an answer that made the calls `open`.
fn answered(open: Vec<String>, blocks: Vec<Block>) -> Vec<Block> {
    let mut wanted: BTreeSet<String> = open.iter().cloned().collect();
    let (mut results, mut rest) = (Vec::new(), Vec::new());
    for block in blocks {
        match block {
            Block::ToolResult { ref call, .. } => {
                if wanted.remove(call) {
                    results.push(block);
                }
            }
            Block::Text { .. }
            | Block::Thinking { .. }
            | Block::RedactedThinking { .. }
            | Block::ToolUse { .. }
            | Block::Media { .. }
            | Block::Opaque { .. } => rest.push(block),
        }
    }
    results.extend(missing(open.into_iter().filter(|call| wanted.contains(call)).collect()));
    results.extend(rest);
    results
}

fn missing(open: Vec<String>) -> Vec<Block> {
    let result = |call| Block::ToolResult { call, content: NO_RESULT.to_owned(), is_error: true };
    open.into_iter().map(result).collect()
}

#[cfg(test)]
mod tests;
