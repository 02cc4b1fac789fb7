//! Reasoning that its own vendor no longer takes back: signed or encrypted with keys that are gone. What was refused once stays
//! away, so that one refusal costs one repetition and not one in every turn that follows. Must not know dialects.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, PoisonError},
};

use types::{Block, ModelRequest};

/// The most blocks that are remembered; past this the memory starts anew, which costs a repetition.
const MAX_BLOCKS: usize = 65_536;

/// The blocks that one provider has refused while it runs.
#[derive(Debug, Default)]
pub(crate) struct Refused(Mutex<HashSet<u64>>);

impl Refused {
    /// The request without what was refused before.
    pub fn without(&self, mut request: ModelRequest) -> ModelRequest {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.is_empty() {
            let stays = |block: &Block| block.origin().is_none() || !known.contains(&mark(block));
            request.messages.iter_mut().for_each(|message| message.blocks.retain(stays));
        }
        request
    }

    /// Remembers what the vendor alone understands of this request, and gives the request without it.
    pub fn add(&self, request: &ModelRequest) -> ModelRequest {
        let own =
            || request.messages.iter().flat_map(|message| &message.blocks).filter(|block| block.origin().is_some());
        {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() > MAX_BLOCKS {
                known.clear();
            }
            known.extend(own().map(mark).take(MAX_BLOCKS));
        }
        self.without(request.clone())
    }
}

/// What tells one block from another.
fn mark(block: &Block) -> u64 {
    let mut hasher = DefaultHasher::new();
    match block {
        Block::Thinking { text, signature, origin } => (text, signature, origin).hash(&mut hasher),
        Block::RedactedThinking { data, origin } => (data, origin).hash(&mut hasher),
        Block::Opaque { origin, item } => (origin, item.to_string()).hash(&mut hasher),
        Block::Text { .. } | Block::ToolUse { .. } | Block::ToolResult { .. } | Block::Media { .. } => {}
    }
    hasher.finish()
}
