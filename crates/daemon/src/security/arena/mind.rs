//! The model of the arena: it does what the attacker says. What it is shown is kept, to see what reached it.

use std::sync::{Mutex, PoisonError};

use futures_util::stream::{self, BoxStream};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use types::{Block, ModelEvent, ModelReply, ModelRequest, Provider, StopReason, Usage};

/// The most requests that are kept.
const MAX_HEARD: usize = 1_000;

/// A plan: what to answer to the n-th request, from 0.
type Plan = Box<dyn Fn(usize) -> Vec<Block> + Send + Sync>;

/// An obedient model.
pub(in crate::security) struct Mind {
    plan: Plan,
    heard: Mutex<Vec<String>>,
}

impl Mind {
    /// Answers the n-th request with the n-th step, and then says that it is done.
    pub fn of(steps: Vec<Vec<Block>>) -> std::sync::Arc<Self> {
        Self::endless(move |number| steps.get(number).cloned().unwrap_or_else(|| vec![say("done")]))
    }

    /// Answers by a function, for ever.
    pub fn endless(plan: impl Fn(usize) -> Vec<Block> + Send + Sync + 'static) -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self { plan: Box::new(plan), heard: Mutex::default() })
    }

    /// Everything that each request showed, tool results included.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Provider for Mind {
    fn stream(&self, request: ModelRequest, _cancel: CancellationToken) -> BoxStream<'static, ModelEvent> {
        let number = {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.len() < MAX_HEARD {
                heard.push(shown(&request));
            }
            heard.len() - 1
        };
        let blocks = (self.plan)(number);
        let calls = blocks.iter().any(|block| matches!(block, Block::ToolUse { .. }));
        let stop = if calls { StopReason::ToolUse } else { StopReason::EndTurn };
        let usage = Usage { input: 10, output: 5, ..Usage::default() };
        Box::pin(stream::iter([ModelEvent::Finished(ModelReply { blocks, stop, usage })]))
    }
}

/// The last message of a request, as text.
fn shown(request: &ModelRequest) -> String {
    let Some(last) = request.messages.last() else { return String::new() };
    let words: Vec<&str> = last
        .blocks
        .iter()
        .filter_map(|block| match block {
            Block::Text { text } => Some(text.as_str()),
            Block::ToolResult { content, .. } => Some(content.as_str()),
            Block::Thinking { .. }
            | Block::RedactedThinking { .. }
            | Block::ToolUse { .. }
            | Block::Media { .. }
            | Block::Opaque { .. } => None,
        })
        .collect();
    words.join("\n")
}

/// A call of a tool. The number makes its id.
pub(in crate::security) fn call(number: usize, tool: &str, input: Value) -> Block {
    Block::ToolUse { id: format!("call-{number}"), name: tool.to_owned(), input }
}

/// Words.
pub(in crate::security) fn say(text: &str) -> Block {
    Block::text(text)
}
