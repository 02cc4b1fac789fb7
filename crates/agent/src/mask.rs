//! Masking of secrets in what a model or a tool gives, whole or in pieces.

use std::{borrow::Cow, sync::Arc};

use policy::{
    Redactor,
    leak::{Severity, redact_patterns},
};
use serde_json::Value;
use types::{Block, Invariant};

/// Masks a text that comes in pieces. What may be the beginning of a secret is held back until more is known.
pub(crate) struct Pieces {
    redactor: Arc<Redactor>,
    held: String,
}

impl Pieces {
    pub(crate) fn new(redactor: Arc<Redactor>) -> Self {
        Self { redactor, held: String::new() }
    }

    /// What can be shown now that `piece` has come.
    pub(crate) fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        let settled = self.redactor.settled(&self.held);
        let rest = self.held.split_off(settled);
        let shown = self.redactor.redact(&self.held).into_owned();
        self.held = rest;
        shown
    }

    /// What was still held back; nothing follows.
    pub(crate) fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        self.redactor.redact(&held).into_owned()
    }

    /// Forgets what was held back.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
    }
}

/// The model's blocks as they may be stored. Blocks that must stay verbatim are dropped where a secret stands in them.
pub(crate) fn blocks(redactor: &Redactor, blocks: Vec<Block>) -> Vec<Block> {
    blocks.into_iter().filter_map(|block| masked(redactor, block)).collect()
}

fn masked(redactor: &Redactor, block: Block) -> Option<Block> {
    let is_clean = |text: &str| matches!(redactor.redact(text), std::borrow::Cow::Borrowed(_));
    match block {
        Block::Text { text } => Some(Block::text(redactor.redact(&text))),
        Block::ToolUse { id, name, input } => Some(Block::ToolUse { id, name, input: value(redactor, input) }),
        Block::ToolResult { call, content, is_error } => {
            Some(Block::ToolResult { call, content: redactor.redact(&content).into_owned(), is_error })
        }
        Block::Thinking { ref text, .. } => is_clean(text).then_some(block),
        Block::RedactedThinking { .. } | Block::Media { .. } => Some(block),
        Block::Opaque { ref item, .. } => is_clean(&item.to_string()).then_some(block),
    }
}

/// A text from outside: known secrets are masked in it, and what is surely one that nobody stored.
pub(crate) fn foreign<'a>(redactor: &Redactor, text: &'a str) -> Cow<'a, str> {
    let patterns = |text: &'a str| match Invariant::NoSecretReadable.is_broken() {
        true => Cow::Borrowed(text),
        false => redact_patterns(text, Severity::High),
    };
    match redactor.redact(text) {
        Cow::Borrowed(text) => patterns(text),
        Cow::Owned(text) => Cow::Owned(redact_patterns(&text, Severity::High).into_owned()),
    }
}

/// A JSON value with every string in it masked, names of fields included.
pub(crate) fn value(redactor: &Redactor, value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(redactor.redact(&text).into_owned()),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| self::value(redactor, item)).collect()),
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, item)| (redactor.redact(&name).into_owned(), self::value(redactor, item)))
                .collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use types::SecretName;

    use super::*;

    fn redactor() -> Arc<Redactor> {
        let name = SecretName::new("key").expect("the name is valid");
        Arc::new(Redactor::new([(name, "hunter22".to_owned())]))
    }

    #[test]
    fn a_secret_in_pieces_is_masked() {
        let mut pieces = Pieces::new(redactor());
        let mut shown = String::new();
        for piece in ["it is hun", "ter", "22, ", "hunt", "ing"] {
            shown.push_str(&pieces.push(piece));
        }
        shown.push_str(&pieces.finish());
        assert_eq!(shown, "it is [secret key], hunting");
    }

    #[test]
    fn blocks_are_masked_or_dropped() {
        let given = vec![
            Block::Thinking { text: "hunter22".to_owned(), signature: Some("s".to_owned()), origin: String::new() },
            Block::Thinking { text: "fine".to_owned(), signature: None, origin: String::new() },
            Block::text("say hunter22"),
            Block::ToolUse { id: "1".into(), name: "t".into(), input: json!({"hunter22": ["hunter22", 1]}) },
        ];
        let expected = vec![
            Block::Thinking { text: "fine".to_owned(), signature: None, origin: String::new() },
            Block::text("say [secret key]"),
            Block::ToolUse { id: "1".into(), name: "t".into(), input: json!({"[secret key]": ["[secret key]", 1]}) },
        ];
        assert_eq!(blocks(&redactor(), given), expected);
    }
}
