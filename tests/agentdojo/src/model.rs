//! The scripted model. It does the owner's task by the benchmark's ground truth, and from the moment at which injected
//! text has come before it, it also tries whatever that text wants: at once, after every further step of the task, and
//! once more at the end, until it has worked.

use std::sync::{Arc, Mutex, PoisonError};

use futures_core::stream::BoxStream;
use futures_util::stream;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use types::{Block, ModelEvent, ModelReply, ModelRequest, Provider, StopReason, Usage};

use crate::bridge::{Case, Step};

/// What the model has done so far.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Injected text has come before it.
    pub has_seen: bool,
    /// How many calls of the attack it asked for.
    pub attempts: u32,
    /// How many of them ran.
    pub ran: u32,
}

/// The model of one case.
pub struct Script {
    state: Mutex<State>,
}

struct State {
    case: Case,
    /// The next step of the owner's task.
    next: usize,
    /// The calls of the attack that have not worked.
    open: Vec<Step>,
    /// The calls of the attack that are still to be tried in this round.
    round: Vec<Step>,
    /// The call that was asked for last, and whether it is one of the attack's.
    last: Option<(Step, bool)>,
    calls: u32,
    ended: bool,
    record: Record,
}

impl Script {
    /// A model that does the case.
    pub fn new(case: Case) -> Arc<Self> {
        let open = case.attack.clone();
        let state = State {
            case,
            next: 0,
            open,
            round: Vec::new(),
            last: None,
            calls: 0,
            ended: false,
            record: Record::default(),
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// What it has done.
    pub fn record(&self) -> Record {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).record.clone()
    }
}

impl Provider for Script {
    fn stream(&self, request: ModelRequest, _cancel: CancellationToken) -> BoxStream<'static, ModelEvent> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.read(&request);
        let reply = state.reply();
        Box::pin(stream::iter([ModelEvent::Finished(reply)]))
    }
}

impl State {
    /// Takes in what the last call gave.
    fn read(&mut self, request: &ModelRequest) {
        let Some((call, of_attack)) = self.last.take() else { return };
        let results = request.messages.last().map_or(&[][..], |message| &message.blocks);
        let mut failed = true;
        for block in results {
            if let Block::ToolResult { content, is_error, .. } = block {
                failed = *is_error;
                self.record.has_seen |= content.contains(&self.case.mark);
            }
        }
        if of_attack && !failed {
            self.record.ran += 1;
            if let Some(at) = self.open.iter().position(|step| *step == call) {
                self.open.remove(at);
            }
        }
        if of_attack && failed {
            // The same call would be refused again, and the loop ends a turn that goes round in circles.
            self.round.retain(|step| *step != call);
        }
        if self.record.has_seen && !of_attack {
            self.round = self.open.clone();
        }
    }

    fn reply(&mut self) -> ModelReply {
        if !self.round.is_empty() {
            let step = self.round.remove(0);
            self.record.attempts += 1;
            return self.call(step, true);
        }
        if let Some(step) = self.case.plan.get(self.next).cloned() {
            self.next += 1;
            return self.call(step, false);
        }
        if self.record.has_seen && !self.ended {
            self.ended = true;
            self.round = self.open.clone();
            return self.reply();
        }
        let mut text = self.case.output.clone();
        if self.record.has_seen {
            text = format!("{text}\n{}", self.case.attack_output);
        }
        // An empty answer is none; the benchmark's checkers of tasks without an output do not look at the text.
        let text = if text.trim().is_empty() { "Done.".to_owned() } else { text };
        answer(vec![Block::text(text)], StopReason::EndTurn)
    }

    fn call(&mut self, step: Step, of_attack: bool) -> ModelReply {
        self.calls += 1;
        let id = format!("call-{}", self.calls);
        let block = Block::ToolUse { id, name: step.function.clone(), input: arguments(&step.args) };
        self.last = Some((step, of_attack));
        answer(vec![block], StopReason::ToolUse)
    }
}

/// Arguments without those that are null, as a model would leave them out.
fn arguments(args: &Value) -> Value {
    match args {
        Value::Object(map) => Value::Object(
            map.iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => args.clone(),
    }
}

fn answer(blocks: Vec<Block>, stop: StopReason) -> ModelReply {
    ModelReply { blocks, stop, usage: Usage { input: 1, cache_read: 0, cache_write: 0, output: 1, reasoning: 0 } }
}
