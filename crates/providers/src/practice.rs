//! The practice model: a built-in script in the place of a model, for a newcomer without a key. It uses the real loop,
//! sandbox, approvals and audit on a toy project. It must always say that it is a script.

mod script;
mod toy;

use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use types::{
    Block, ModelEvent, ModelReply, ModelRequest, Provider, ProviderError, ProviderErrorKind, StopReason, Usage,
};

pub use toy::TOY_FILES;

/// The name of the practice model, for configuration and display.
pub const MODEL_NAME: &str = "practice/scripted";

/// The practice model. What it says depends on the conversation alone, so it survives restarts. It uses no tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct PracticeModel;

impl PracticeModel {
    /// The practice model.
    pub fn new() -> Self {
        Self
    }
}

impl Provider for PracticeModel {
    fn stream(&self, request: ModelRequest, cancel: CancellationToken) -> BoxStream<'static, ModelEvent> {
        let reply = reply(&request);
        let mut events = deltas(&reply.blocks);
        events.push(ModelEvent::Finished(reply));
        let cancelled = ModelEvent::Failed(ProviderError::new(ProviderErrorKind::Cancelled, ""));
        // Each event is a step of its own, so that a stop between two of them takes effect.
        stream::iter(events)
            .map(move |event| if cancel.is_cancelled() { cancelled.clone() } else { event })
            .scan(false, |ended, event| {
                let past = *ended;
                *ended = matches!(event, ModelEvent::Finished(_) | ModelEvent::Failed(_));
                std::future::ready((!past).then_some(event))
            })
            .boxed()
    }
}

fn reply(request: &ModelRequest) -> ModelReply {
    let turn = script::next(&request.messages);
    let said_before: usize = request.messages.iter().map(|message| message.tool_uses().count()).sum();
    let mut blocks = vec![Block::text(turn.text)];
    blocks.extend(turn.calls.into_iter().enumerate().map(|(index, (name, input))| Block::ToolUse {
        id: format!("practice_{}", said_before + index + 1),
        name: name.to_owned(),
        input,
    }));
    let stop = if blocks.len() > 1 { StopReason::ToolUse } else { StopReason::EndTurn };
    ModelReply { blocks, stop, usage: Usage::default() }
}

/// The text word by word, as a model would send it.
fn deltas(blocks: &[Block]) -> Vec<ModelEvent> {
    let mut events = Vec::new();
    for event in crate::blocks::as_events(blocks) {
        match event {
            ModelEvent::TextDelta(text) => {
                events.extend(text.split_inclusive(' ').map(|word| ModelEvent::TextDelta(word.to_owned())));
            }
            ModelEvent::ThinkingDelta(_)
            | ModelEvent::ToolUseStarted { .. }
            | ModelEvent::Restarted { .. }
            | ModelEvent::Finished(_)
            | ModelEvent::Failed(_) => events.push(event),
        }
    }
    events
}

#[cfg(test)]
mod tests;
