//! How many tokens a request will have. Vendors tell only afterwards, and budgets are reserved before; so the size in
//! bytes is converted by what the last request turned out to have.

use types::{Block, Message, ToolSpec};

/// The size of a request before it is sent, in bytes of the conversation, the tools and the prompt.
pub(crate) fn request_bytes(system: &str, tools: &[ToolSpec], messages: &[Message]) -> u64 {
    let tools: usize =
        tools.iter().map(|spec| spec.name.len() + spec.description.len() + spec.input_schema.to_string().len()).sum();
    let messages: u64 = messages.iter().flat_map(|message| &message.blocks).map(block_bytes).sum();
    (system.len() + tools) as u64 + messages
}

/// The size of one block, with what surrounds it.
pub(crate) fn block_bytes(block: &Block) -> u64 {
    const AROUND: usize = 16;
    // Vendors count up to some 1,600 tokens for a picture, whatever its file's size.
    const IMAGE: usize = 4 * 1_600;
    let size = match block {
        Block::Text { text } => text.len(),
        Block::Thinking { text, signature, .. } => text.len() + signature.as_ref().map_or(0, String::len),
        Block::RedactedThinking { data, .. } => data.len(),
        Block::ToolUse { id, name, input } => id.len() + name.len() + input.to_string().len(),
        Block::ToolResult { call, content, .. } => call.len() + content.len(),
        Block::Media { media } if media.is_image() => IMAGE,
        // Vendors read documents as text and as pictures of their pages.
        Block::Media { media } => usize::try_from(media.bytes).unwrap_or(usize::MAX).max(IMAGE),
        Block::Opaque { item, .. } => item.to_string().len(),
    };
    size.saturating_add(AROUND) as u64
}

/// Converts bytes to tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Calibration {
    bytes: u64,
    tokens: u64,
}

impl Calibration {
    /// What a request of `bytes` turned out to have; nothing is learnt from a vendor that does not count.
    pub(crate) fn learn(&mut self, bytes: u64, tokens: u64) {
        if bytes > 0 && tokens > 0 {
            // Outside of these bounds the count says something else than the size: a broken server, say.
            *self = Self { bytes, tokens: tokens.clamp(bytes.div_ceil(8), bytes) };
        }
    }

    /// The expected tokens, rounded up; four bytes to a token until something better is known.
    pub(crate) fn tokens(&self, bytes: u64) -> u64 {
        if self.bytes == 0 {
            return bytes.div_ceil(4);
        }
        let product = u128::from(bytes) * u128::from(self.tokens);
        u64::try_from(product.div_ceil(u128::from(self.bytes))).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_follow_the_last_count() {
        let mut calibration = Calibration::default();
        assert_eq!(calibration.tokens(9), 3);
        calibration.learn(1000, 500);
        assert_eq!(calibration.tokens(9), 5);
        calibration.learn(1000, 0);
        assert_eq!(calibration.tokens(10), 5);
        calibration.learn(1000, 1);
        assert_eq!(calibration.tokens(1000), 125);
        calibration.learn(10, u64::MAX);
        assert_eq!(calibration.tokens(u64::MAX), u64::MAX);
    }
}
