//! Cuts a Markdown text into messages.

use crate::Limits;

/// Cuts `markdown` into pieces that each fit into one message.
pub fn split(markdown: &str, limits: &Limits) -> Vec<String> {
    let _ = (markdown, limits);
    todo!()
}
