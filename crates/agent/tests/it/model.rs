//! The scripted model.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use types::{
    Block, ModelEvent, ModelReply, ModelRequest, Provider, ProviderError, ProviderErrorKind, StopReason, Usage,
};

/// One answer of the script.
#[derive(Clone)]
pub enum Reply {
    /// Text in two pieces.
    Say(&'static str),
    /// Calls: (id, tool, arguments).
    Call(Vec<(&'static str, &'static str, Value)>),
    /// A stop reason with this text.
    Stop(StopReason, &'static str),
    /// A failure.
    Fail(ProviderErrorKind),
    /// These events.
    Events(Vec<ModelEvent>),
    /// Some text, then nothing until it is stopped.
    Hang(&'static str),
    /// Some text, then nothing, even when it is stopped.
    Deaf(&'static str),
}

/// 100 tokens in, 10 out.
pub const USAGE: Usage =
    Usage { input: 100, cache_read: 0, cache_write: 0, cache_write_1h: 0, output: 10, reasoning: 0 };

type Brain = Box<dyn Fn(&ModelRequest) -> Reply + Send + Sync>;

/// A model that follows a list, or a function of the request.
pub struct Script {
    list: Mutex<VecDeque<Reply>>,
    brain: Option<Brain>,
    pub seen: Arc<Mutex<Vec<ModelRequest>>>,
}

impl Script {
    pub fn list(replies: Vec<Reply>) -> Self {
        Self { list: Mutex::new(replies.into()), brain: None, seen: Arc::default() }
    }

    pub fn brain(brain: impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static) -> Self {
        Self { list: Mutex::default(), brain: Some(Box::new(brain)), seen: Arc::default() }
    }
}

impl Provider for Script {
    fn stream(
        &self,
        request: ModelRequest,
        cancel: CancellationToken,
    ) -> futures_core::stream::BoxStream<'static, ModelEvent> {
        let reply = match &self.brain {
            Some(brain) => brain(&request),
            None => self.list.lock().unwrap().pop_front().expect("the script has another reply"),
        };
        self.seen.lock().unwrap().push(request);
        let delta = |text: &str| ModelEvent::TextDelta(text.to_owned());
        match reply {
            Reply::Hang(text) => stream::iter([delta(text)])
                .chain(stream::once(async move {
                    cancel.cancelled().await;
                    ModelEvent::Failed(ProviderError::new(ProviderErrorKind::Cancelled, ""))
                }))
                .boxed(),
            Reply::Deaf(text) => stream::iter([delta(text)]).chain(stream::pending()).boxed(),
            Reply::Say(text) => {
                let middle = text.floor_char_boundary(text.len() / 2);
                let mut events = vec![delta(&text[..middle]), delta(&text[middle..])];
                events.push(finished(vec![Block::text(text)], StopReason::EndTurn));
                stream::iter(events).boxed()
            }
            Reply::Call(calls) => {
                let block = |(id, name, input): (&str, &str, Value)| Block::ToolUse {
                    id: id.to_owned(),
                    name: name.to_owned(),
                    input,
                };
                stream::iter([finished(calls.into_iter().map(block).collect(), StopReason::ToolUse)]).boxed()
            }
            Reply::Stop(stop, text) => {
                let blocks = if text.is_empty() { Vec::new() } else { vec![Block::text(text)] };
                stream::iter([finished(blocks, stop)]).boxed()
            }
            Reply::Fail(kind) => stream::iter([ModelEvent::Failed(ProviderError::new(kind, "scripted"))]).boxed(),
            Reply::Events(events) => stream::iter(events).boxed(),
        }
    }
}

pub fn finished(blocks: Vec<Block>, stop: StopReason) -> ModelEvent {
    ModelEvent::Finished(ModelReply { blocks, stop, usage: USAGE })
}
