//! The messages that make up a conversation. They are never changed.

use types::{Block, Integrity, MessageId};

use super::{Tx, labels::BlockOrigin};
use crate::{
    MAX_TEXT, codec,
    error::StoreError,
    records::{Author, MessageKind, NewMessage},
};

impl Tx<'_> {
    /// Stores a message and joins its label into the session's. A summary stands for everything before it.
    pub fn append_message(&mut self, new: NewMessage) -> Result<MessageId, StoreError> {
        self.insert_message(new, None)
    }

    /// Stores a summary of everything before `keep_from`; the messages from there on stay in the context as they are.
    /// Without `keep_from` nothing before the summary stays.
    pub fn compact(&mut self, summary: NewMessage, keep_from: Option<MessageId>) -> Result<MessageId, StoreError> {
        self.insert_message(NewMessage { kind: MessageKind::Summary, ..summary }, keep_from)
    }

    fn insert_message(&mut self, new: NewMessage, keep_from: Option<MessageId>) -> Result<MessageId, StoreError> {
        for block in &new.blocks {
            codec::bounded("message", largest_text(block), MAX_TEXT)?;
        }
        let blocks = codec::encode("message", &new.blocks)?;
        let origin = BlockOrigin { turn: new.turn, call: None };
        self.raise_label_by(new.session, new.label, origin, cause(&new))?;
        self.touch(new.session)?;
        let (integrity, confidentiality) = codec::label_columns(new.label);
        let sql = "INSERT INTO messages
                   (session, turn, role, author, kind, keep_from, blocks, integrity, confidentiality, at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let role = codec::word("role", &new.role)?;
        let author = codec::word("author", &new.author)?;
        let kind = codec::word("kind", &new.kind)?;
        let (turn, keep_from) = (new.turn.map(|id| id.0), keep_from.map(|id| id.0));
        let label = (integrity, confidentiality);
        self.run(sql, (new.session.0, turn, role, author, kind, keep_from, blocks, label.0, label.1, self.now.0))?;
        // The triggers that index the text insert rows as well, but SQLite gives the number of this one.
        Ok(MessageId(self.last_row()))
    }
}

/// What a message is, for whoever asks why a label rose.
fn cause(new: &NewMessage) -> &'static str {
    match (new.author, new.label.integrity) {
        (Author::Owner, Integrity::Trusted) => "your own words",
        (Author::Owner, Integrity::Untrusted) => "text of somebody else in your message",
        (Author::Model, _) => "an answer of the model",
        (Author::Tool, _) => "results of tools",
        (Author::System, Integrity::Trusted) => "a note of factotum",
        (Author::System, Integrity::Untrusted) => "words of a program or of somebody who is not the owner",
    }
}

/// The text of a block that can be long.
fn largest_text(block: &Block) -> &str {
    match block {
        Block::Text { text } | Block::Thinking { text, .. } => text,
        Block::RedactedThinking { data, .. } => data,
        Block::ToolResult { content, .. } => content,
        // These are bounded together with the whole message, as JSON.
        Block::ToolUse { .. } | Block::Media { .. } | Block::Opaque { .. } => "",
    }
}
