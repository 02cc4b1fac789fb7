//! What a conversation is made of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The two sides of a conversation, as model interfaces see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The owner, tool results and our own notes.
    User,
    /// The model.
    Assistant,
}

/// A piece of a message, in the order in which the model gave it. Thinking blocks and opaque items must be replayed
/// verbatim and in place, or the vendor refuses the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// The model's reasoning with the vendor's signature over it.
    Thinking {
        /// The reasoning; may be empty when the vendor withholds it.
        text: String,
        /// The vendor's signature, without which it must not be replayed to that vendor.
        signature: Option<String>,
        /// Who gave it and alone may have it back; see [`Block::origin`].
        #[serde(default, skip_serializing_if = "String::is_empty")]
        origin: String,
    },
    /// Reasoning that the vendor encrypted.
    RedactedThinking {
        /// The vendor's opaque bytes.
        data: String,
        /// Who gave it and alone may have it back; see [`Block::origin`].
        #[serde(default, skip_serializing_if = "String::is_empty")]
        origin: String,
    },
    /// The model asks for a tool.
    ToolUse {
        /// The vendor's id of this call.
        id: String,
        /// The tool's name.
        name: String,
        /// The arguments as the model gave them.
        input: Value,
    },
    /// The answer to a tool call.
    ToolResult {
        /// The id of the call that this answers.
        call: String,
        /// What the model is to see.
        content: String,
        /// Whether the call failed.
        is_error: bool,
    },
    /// A picture or a document that the user gave.
    Media {
        /// Which one.
        media: MediaRef,
    },
    /// A vendor's item that we carry and do not understand.
    Opaque {
        /// Who gave it and alone may have it back; see [`Block::origin`].
        #[serde(alias = "dialect")]
        origin: String,
        /// The item, verbatim.
        item: Value,
    },
}

impl Block {
    /// A text block.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// Who gave a block that means something to its giver alone: the interface and the vendor behind it. Signed reasoning of one
    /// vendor makes another refuse the whole request. None for blocks that anybody may have; empty while nobody has said it.
    pub fn origin(&self) -> Option<&str> {
        match self {
            Self::Thinking { origin, .. } | Self::RedactedThinking { origin, .. } | Self::Opaque { origin, .. } => {
                Some(origin)
            }
            Self::Text { .. } | Self::ToolUse { .. } | Self::ToolResult { .. } | Self::Media { .. } => None,
        }
    }

    /// Says who gave the block, where that matters.
    pub fn set_origin(&mut self, giver: &str) {
        match self {
            Self::Thinking { origin, .. } | Self::RedactedThinking { origin, .. } | Self::Opaque { origin, .. } => {
                giver.clone_into(origin);
            }
            Self::Text { .. } | Self::ToolUse { .. } | Self::ToolResult { .. } | Self::Media { .. } => {}
        }
    }
}

/// A picture or a document as a conversation names it. Its bytes are kept elsewhere and come with the request, in
/// [`crate::ModelRequest::media`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MediaRef {
    /// The SHA-256 of its bytes, in lower-case hex.
    pub digest: String,
    /// Its media type, such as `image/png`.
    pub media_type: String,
    /// The name of the file, where it had one.
    #[serde(default)]
    pub name: Option<String>,
    /// Its size in bytes.
    pub bytes: u64,
}

impl MediaRef {
    /// Whether it is a picture.
    pub fn is_image(&self) -> bool {
        self.media_type.starts_with("image/")
    }

    /// What stands for it where it cannot be shown: one line.
    pub fn stand_in(&self) -> String {
        let name = self.name.as_deref().unwrap_or("without a name");
        format!("[a file that is not shown here: {name}, {}, {} bytes]", self.media_type, self.bytes)
    }
}

/// One message as it is given to a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub blocks: Vec<Block>,
}

impl Message {
    /// A user message of one text block.
    pub fn user(text: impl Into<String>) -> Self {
        Self { role: Role::User, blocks: vec![Block::text(text)] }
    }

    /// An assistant message of one text block.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self { role: Role::Assistant, blocks: vec![Block::text(text)] }
    }

    /// All text blocks, joined by line breaks.
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self
            .blocks
            .iter()
            .filter_map(|block| match block {
                Block::Text { text } => Some(text.as_str()),
                Block::Thinking { .. }
                | Block::RedactedThinking { .. }
                | Block::ToolUse { .. }
                | Block::ToolResult { .. }
                | Block::Media { .. }
                | Block::Opaque { .. } => None,
            })
            .collect();
        texts.join("\n")
    }

    /// The tool calls in this message, in order.
    pub fn tool_uses(&self) -> impl Iterator<Item = ToolCall> + '_ {
        self.blocks.iter().filter_map(|block| match block {
            Block::ToolUse { id, name, input } => {
                Some(ToolCall { id: id.clone(), name: name.clone(), input: input.clone() })
            }
            Block::Text { .. }
            | Block::Thinking { .. }
            | Block::RedactedThinking { .. }
            | Block::ToolResult { .. }
            | Block::Media { .. }
            | Block::Opaque { .. } => None,
        })
    }
}

/// A tool call that a model asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolCall {
    /// The vendor's id of this call.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as the model gave them: not yet checked.
    pub input: Value,
}
