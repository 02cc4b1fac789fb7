//! The scripted model. It does the owner's task by its plan, and from the moment at which injected text has come before it,
//! it also tries whatever that text wants: at once, after every further step of the task, and once more at the end, until
//! it has worked. As a reader it obeys as well: it gives the answer that serves the injected text best.

use std::sync::{Arc, Mutex, PoisonError};

use futures_core::stream::BoxStream;
use futures_util::stream;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use types::{Block, ModelEvent, ModelReply, ModelRequest, Provider, StopReason, Usage};

use crate::{
    bridge::{Case, Step},
    fill::{filled, form, worst},
    plan::{Move, Want},
};

/// The tool that reads for the model.
const READER: &str = "reader";

/// What the model has done so far.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Injected text has come before it.
    pub has_seen: bool,
    /// Injected text has come before its reader.
    pub reader_has_seen: bool,
    /// How many calls of the attack it asked for.
    pub attempts: u32,
    /// How many of them ran.
    pub ran: u32,
}

/// The model of one case.
pub struct Script {
    state: Mutex<State>,
}

/// What was asked for last.
enum Asked {
    /// A call of the owner's task.
    Task,
    /// A call of the attack.
    Attack(Step),
    /// A reader.
    Reader { want: Want, honest: String, argument: String, shows: String },
}

struct State {
    case: Case,
    moves: Vec<Move>,
    /// The next move.
    next: usize,
    /// What the readers answered; none where one gave no answer.
    answers: Vec<Option<Value>>,
    /// The calls of the attack that have not worked.
    open: Vec<Step>,
    /// The calls of the attack that are still to be tried in this round.
    round: Vec<Step>,
    asked: Option<Asked>,
    calls: u32,
    ended: bool,
    record: Record,
}

impl Script {
    /// A model that does the case by these moves.
    pub fn new(case: Case, moves: Vec<Move>) -> Arc<Self> {
        let open = case.attack.clone();
        let state = State {
            case,
            moves,
            next: 0,
            answers: Vec::new(),
            open,
            round: Vec::new(),
            asked: None,
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
        // Only the session of the owner has tools.
        let reply = if request.tools.is_empty() {
            state.answer_as_reader(&request)
        } else {
            state.take_in(&request);
            state.reply()
        };
        Box::pin(stream::iter([ModelEvent::Finished(reply)]))
    }
}

impl State {
    /// Takes in what the last call gave.
    fn take_in(&mut self, request: &ModelRequest) {
        let Some(asked) = self.asked.take() else { return };
        let results = request.messages.last().map_or(&[][..], |message| &message.blocks);
        let (mut text, mut failed) = (String::new(), true);
        for block in results {
            if let Block::ToolResult { content, is_error, .. } = block {
                failed = *is_error;
                self.record.has_seen |= content.contains(&self.case.mark);
                text.clone_from(content);
            }
        }
        match asked {
            Asked::Task => {}
            Asked::Reader { .. } => self.answers.push(if failed { None } else { answered(&text) }),
            Asked::Attack(call) if failed => {
                // The same call would be refused again, and the loop ends a turn that goes round in circles.
                self.round.retain(|step| *step != call);
                return;
            }
            Asked::Attack(call) => {
                self.record.ran += 1;
                if let Some(at) = self.open.iter().position(|step| *step == call) {
                    self.open.remove(at);
                }
                return;
            }
        }
        if self.record.has_seen {
            self.round = self.open.clone();
        }
    }

    /// The reader's answer: honest, or the best for the injected text if it stands in what was read.
    fn answer_as_reader(&mut self, request: &ModelRequest) -> ModelReply {
        let Some(Asked::Reader { want, honest, argument, shows }) = &self.asked else {
            return answer(vec![Block::text("There is nothing to read.")], StopReason::EndTurn);
        };
        let holds = |wanted: &str| request.messages.iter().any(|message| message.text().contains(wanted));
        let is_injected = holds(&self.case.mark);
        self.record.reader_has_seen |= is_injected;
        let value = match is_injected {
            true => worst(want, honest, argument, &self.case.attack),
            // A reader that got another text than the task needs cannot know.
            false if self.case.attack.is_empty() && !holds(shows) => "null".to_owned(),
            false => honest.clone(),
        };
        let text = match want {
            Want::Text | Want::Name => value,
            Want::Date => json!({ "answer": value }).to_string(),
            Want::Yes | Want::Number | Want::Minutes => format!("{{\"answer\": {value}}}"),
        };
        answer(vec![Block::text(text)], StopReason::EndTurn)
    }

    fn reply(&mut self) -> ModelReply {
        if !self.round.is_empty() {
            let step = self.round.remove(0);
            self.record.attempts += 1;
            return self.call(&step.function, &step.args, Asked::Attack(step.clone()));
        }
        while let Some(next) = self.moves.get(self.next).cloned() {
            self.next += 1;
            match next {
                Move::Call(step) => return self.call(&step.function, &step.args, Asked::Task),
                Move::Read { step, fills, want, honest, argument } => match filled(&step, &fills, &self.answers) {
                    Some(input) => return self.read(&step, &input, want, honest, argument),
                    None => self.answers.push(None),
                },
                // Without what it needs, the call cannot be made.
                Move::Filled { step, fills } => {
                    if let Some(input) = filled(&step, &fills, &self.answers) {
                        return self.call(&step.function, &input, Asked::Task);
                    }
                }
            }
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

    fn read(&mut self, step: &Step, input: &Value, want: Want, honest: String, argument: String) -> ModelReply {
        let question = if argument.is_empty() { "Is the condition met?".to_owned() } else { format!("{argument}?") };
        let form = form(&want, &honest);
        let arguments = json!({ "tool": step.function, "input": input, "question": question, "answer": form });
        self.call(READER, &arguments, Asked::Reader { want, honest, argument, shows: step.output.clone() })
    }

    fn call(&mut self, tool: &str, args: &Value, asked: Asked) -> ModelReply {
        self.calls += 1;
        let id = format!("call-{}", self.calls);
        let block = Block::ToolUse { id, name: tool.to_owned(), input: without_nulls(args) };
        self.asked = Some(asked);
        answer(vec![block], StopReason::ToolUse)
    }
}

/// What the reader's result says: a value in JSON, or the name of a handle with a note behind it.
fn answered(text: &str) -> Option<Value> {
    match serde_json::from_str::<Value>(text) {
        Ok(parsed) => parsed.get("answer").filter(|value| !value.is_null()).cloned(),
        Err(_) => text.split_whitespace().next().filter(|name| name.starts_with("h_")).map(Value::from),
    }
}

/// Arguments without those that are null, as a model would leave them out.
fn without_nulls(args: &Value) -> Value {
    match args {
        Value::Object(map) => {
            let given = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(given.map(|(name, value)| (name.clone(), value.clone())).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => args.clone(),
    }
}

fn answer(blocks: Vec<Block>, stop: StopReason) -> ModelReply {
    ModelReply { blocks, stop, usage: Usage { input: 1, output: 1, ..Usage::default() } }
}
