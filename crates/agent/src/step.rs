//! The beginning of a model call: steering messages are taken in, the budget is reserved and the step is recorded, all
//! in the transaction that also stores the results of the step before.

use std::sync::Arc;

use policy::{
    Redactor,
    budget::{self, Limits},
    destination,
};
use store::{Author, InboxRow, MessageKind, NewMessage, StoreError, Turn, Tx};
use types::{Block, ChannelId, Event, Label, Level, MicroUsd, Origin, Prices, Role, Timestamp, TurnId, WhenBusy};

use crate::{Deps, constraints, estimate::block_bytes, limits, models::Model, progress::Progress};

/// An answer shorter than this is of no use: rather than ask for one, the turn ends at its limit.
const SMALLEST_ANSWER: u32 = 256;
/// The share of the context, in percent, at which it is shortened.
const COMPACT_AT: u64 = 75;

/// A model call that may be made: its budget is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenStep {
    pub step: u32,
    pub max_output: u32,
    /// The size of the request in bytes, as it was estimated.
    pub bytes: u64,
    /// The most that one attempt can cost: what is set aside.
    pub reserved: MicroUsd,
}

/// What came of trying to begin a model call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    Ask(OpenStep),
    /// The context must be shortened first. Nothing was reserved.
    TooLong,
    /// A limit stands in the way, in a sentence. Nothing was reserved.
    Limit(String),
}

/// What a model call is begun with.
#[derive(Clone)]
pub(crate) struct Opening {
    pub progress: Progress,
    /// The size of the conversation, the prompt and the tools, without what this transaction adds.
    pub bytes: u64,
    /// The most tokens of the answer.
    pub max_output: u32,
    /// Whether a long context is to be shortened first.
    pub compact: bool,
    limits: Limits,
    /// The model's name for the owner.
    name: String,
    prices: Option<Prices>,
    context_tokens: u64,
    /// The clock's time: days are counted by it, and the journal's may be ahead after the clock was put back.
    now: Timestamp,
}

impl Opening {
    pub(crate) fn new(deps: &Deps, model: &Model, progress: Progress, bytes: u64) -> Self {
        let settings = &deps.settings;
        Self {
            compact: !progress.compacted,
            progress,
            bytes,
            max_output: model.max_output_tokens,
            limits: limits::in_force(&settings.limits),
            name: model.name.clone(),
            prices: model.prices,
            context_tokens: model.context_tokens,
            now: deps.clock.now(),
        }
    }

    /// Reserves and records, if the context is short enough and no limit stands in the way.
    pub(crate) fn open(mut self, tx: &mut Tx<'_>, turn: TurnId, added: u64) -> Result<Opened, StoreError> {
        let turn = tx.turn(turn)?.ok_or_else(|| StoreError::NotFound { what: "turn", id: turn.to_string() })?;
        self.bytes = self.bytes.saturating_add(added);
        let tokens = self.progress.calibration.tokens(self.bytes);
        let long = tokens.saturating_mul(100) >= self.context_tokens.saturating_mul(COMPACT_AT);
        if self.compact && (long || self.progress.must_compact) {
            return Ok(Opened::TooLong);
        }
        let (max_output, amount) = match self.afford(tx, &turn, tokens)? {
            Ok(affordable) => affordable,
            Err(limit) => return Ok(Opened::Limit(limit)),
        };
        let step = turn.step.saturating_add(1);
        tx.reserve(turn.id, step, amount)?;
        tx.set_turn_step(turn.id, step)?;
        tx.record(Some(turn.session), Some(turn.id), Event::StepStarted { step })?;
        self.progress.open = Some(step);
        self.progress.save(tx, turn.session)?;
        Ok(Opened::Ask(OpenStep { step, max_output, bytes: self.bytes, reserved: amount }))
    }

    /// How long the answer may be and what is reserved for it; or the limit that forbids even a short one.
    fn afford(&self, tx: &Tx<'_>, turn: &Turn, tokens: u64) -> Result<Result<(u32, MicroUsd), String>, StoreError> {
        let spent = limits::spent(turn, self.now, |scope| tx.spent(scope))?;
        let affordable = budget::affordable(&self.limits, &spent);
        let Some(prices) = self.prices else {
            if affordable.is_some() && !turn.origin.is_attended() {
                let (provider, model) = self.name.split_once('/').unwrap_or(("NAME", &self.name));
                return Ok(Err(format!(
                    "nobody knows what the model `{model}` costs, so it cannot run unattended under a budget in money; write it \
                     down: [providers.{provider}.models.\"{model}\"] with prices = {{ input = 3.0, output = 15.0 }}, in US \
                     dollars per million tokens"
                )));
            }
            return Ok(match budget::check(&self.limits, &spent, MicroUsd(0)) {
                Ok(()) => Ok((self.max_output, MicroUsd(0))),
                Err(exceeded) => Err(exceeded.to_string()),
            });
        };
        let max_output = affordable.map_or(self.max_output, |most| self.fitting_output(&prices, tokens, most));
        let amount = price(&prices, tokens, max_output);
        Ok(match budget::check(&self.limits, &spent, amount) {
            Ok(()) => Ok((max_output, amount)),
            Err(exceeded) => Err(exceeded.to_string()),
        })
    }

    /// The longest answer that the money allows, within the setting, and not under the smallest useful one.
    fn fitting_output(&self, prices: &Prices, tokens: u64, most: MicroUsd) -> u32 {
        let (_, output) = prices.most(tokens);
        if output <= 0.0 {
            return self.max_output;
        }
        let left = most.minus(price(prices, tokens, 0));
        // The cast saturates and maps NaN to 0; the bound below sees to the rest.
        let fits = (left.0 as f64 / output).floor() as u32;
        fits.saturating_sub(1).clamp(SMALLEST_ANSWER.min(self.max_output), self.max_output)
    }
}

/// The most that a call can cost: no input from the cache, and an answer of full length.
fn price(prices: &Prices, tokens: u64, max_output: u32) -> MicroUsd {
    let (input, output) = prices.most(tokens);
    // Dollars per million tokens are millionths of a dollar per token. The cast saturates.
    MicroUsd((tokens as f64 * input + f64::from(max_output) * output).ceil() as u64)
}

/// How messages of the inbox enter a conversation.
#[derive(Clone)]
pub(crate) struct Intake {
    redactor: Arc<Redactor>,
    /// How many more constraints the session may keep.
    room: usize,
}

impl Intake {
    pub(crate) fn new(deps: &Deps, redactor: Arc<Redactor>, session: types::SessionId) -> Result<Self, StoreError> {
        let known = deps.store.constraints(session)?.len();
        Ok(Self { redactor, room: constraints::MAX_CONSTRAINTS.saturating_sub(known) })
    }

    /// Takes in the messages that came for the running turn; gives their size. A message of another origin is judged
    /// by other rules, so it waits for a turn of its own.
    pub(crate) fn steer(&self, tx: &mut Tx<'_>, turn: &Turn) -> Result<u64, StoreError> {
        let waiting = tx.waiting_inbox(turn.session)?;
        let mut bytes = 0;
        for row in waiting.iter().filter(|row| row.when_busy == WhenBusy::Steer && row.origin == turn.origin) {
            tx.take_inbox(turn.id, row.id)?;
            bytes += self.append(tx, turn.id, row)?;
        }
        Ok(bytes)
    }

    /// Puts one message into the conversation and keeps what it forbids or requires; gives its size.
    pub(crate) fn append(&self, tx: &mut Tx<'_>, turn: TurnId, row: &InboxRow) -> Result<u64, StoreError> {
        let text = self.redactor.redact(&row.text).into_owned();
        let is_ours = row.channel == ChannelId::jobs();
        // What the owner quotes or pastes is somebody else's, and what others said to a job stands in its prompts between fences.
        let has_foreign = destination::has_quotes(&text) || destination::has_fences(&text);
        let label = if has_foreign { Label::UNKNOWN } else { Label::OWNER };
        let (author, label) = match row.origin {
            // A job's prompt is written by us.
            Origin::Owner | Origin::Schedule if is_ours => (Author::System, label),
            Origin::Owner => (Author::Owner, label),
            // The owner wrote the schedule's text when they made it.
            Origin::Schedule => (Author::System, label),
            Origin::SubAgent | Origin::Program => (Author::System, Label::UNKNOWN),
        };
        if author == Author::Owner {
            self.keep_constraints(tx, turn, row.session, &destination::own_words(&text))?;
        }
        let block = Block::Text { text };
        let bytes = block_bytes(&block);
        tx.append_message(NewMessage {
            session: row.session,
            turn: Some(turn),
            role: Role::User,
            blocks: vec![block],
            author,
            label,
            kind: MessageKind::Normal,
        })?;
        Ok(bytes)
    }

    /// Keeps what the owner forbids or requires. What there is no room for is told: it must not get lost in silence.
    fn keep_constraints(
        &self,
        tx: &mut Tx<'_>,
        turn: TurnId,
        session: types::SessionId,
        text: &str,
    ) -> Result<(), StoreError> {
        let (mut kept, mut left) = (0, 0);
        for sentence in constraints::extract(text) {
            if kept >= self.room {
                left += 1;
            } else if tx.add_constraint(session, sentence)? {
                kept += 1;
            }
        }
        if left == 0 {
            return Ok(());
        }
        let text = format!(
            "This session keeps {} standing instructions and has no room for {left} more of your last message. It hears \
             them now, but may forget them once the conversation has been shortened; /new begins a fresh session.",
            constraints::MAX_CONSTRAINTS
        );
        tx.record(Some(session), Some(turn), Event::Notice { level: Level::Warning, text }).map(|_| ())
    }
}
