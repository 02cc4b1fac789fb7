//! One model call: the stream is followed to its end and shown as it comes.

use std::time::Duration;

use futures_util::StreamExt;
use policy::budget;
use store::{SpendScope, StoreError, Tx};
use types::{Event, MicroUsd, ModelEvent, ModelReply, ModelRequest, Prices, ProviderError, ProviderErrorKind, Usage};

use crate::{breaker::may_pass_on, limits, mask::Pieces, models::Model, run::Run, step::OpenStep};

/// How long a provider has to end its stream after a stop.
const STOP_GRACE: Duration = Duration::from_millis(1_000);

/// Who sees the answer as it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    Clients,
    Nobody,
}

/// What came of a model call.
#[derive(Debug)]
pub(crate) struct Asked {
    pub outcome: Result<ModelReply, ProviderError>,
    /// Whether the vendor may bill the last attempt and nobody knows for what. Those before it are settled already.
    pub unknown: bool,
    /// The limit that forbade another attempt, in a sentence. Then everything is settled already.
    pub limit: Option<String>,
    /// The text that had come when the call ended without an answer.
    pub said: String,
}

/// Asks the model. An attempt that the vendor may bill is settled before the next one is made, and that one is set aside for
/// as if it were a call of its own: no limit is passed by more than what is under way.
pub(crate) async fn ask(
    run: &Run<'_>,
    model: &Model,
    step: OpenStep,
    request: ModelRequest,
    audience: Audience,
) -> Result<Asked, StoreError> {
    let mut stream = model.provider.stream(request, run.halt.clone());
    let mut listener = Listener::new(run, audience);
    let patience = async {
        run.halt.cancelled().await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    tokio::pin!(patience);
    let outcome = loop {
        let event = tokio::select! {
            biased;
            event = stream.next() => event,
            () = &mut patience => Some(ModelEvent::Failed(ProviderError::new(ProviderErrorKind::Cancelled, ""))),
        };
        match event {
            Some(ModelEvent::Finished(reply)) => break Ok(reply),
            Some(ModelEvent::Failed(error)) => break Err(error),
            Some(
                event @ (ModelEvent::TextDelta(_)
                | ModelEvent::ThinkingDelta(_)
                | ModelEvent::ToolUseStarted { .. }
                | ModelEvent::Restarted { .. }),
            ) => {
                let Some(lost) = listener.hear(event) else { continue };
                if let Some(limit) = again(run, model, step, lost).await? {
                    let (said, ..) = listener.finish();
                    let outcome = Err(ProviderError::new(ProviderErrorKind::Cancelled, ""));
                    return Ok(Asked { outcome, unknown: false, limit: Some(limit), said });
                }
            }
            None => {
                break Err(ProviderError::new(ProviderErrorKind::Truncated, "the stream ended without a last event"));
            }
        }
    };
    let (said, begun) = listener.finish();
    // What had begun to answer counts, whatever ended it.
    let unknown = match &outcome {
        // A server that does not count is no reason to count nothing.
        Ok(reply) => reply.usage.context() == 0,
        Err(error) => begun || may_be_billed(error.kind),
    };
    match &outcome {
        Ok(_) => run.deps.models.answered(model),
        // A name that a vendor does not know says nothing about its other models.
        Err(error) if may_pass_on(error.kind) && error.kind != ProviderErrorKind::NotFound => {
            run.deps.models.failed(model, error, run.deps.clock.now())
        }
        Err(_) => {}
    }
    Ok(Asked { outcome, unknown, limit: None, said })
}

/// What an attempt that failed may have cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// What it had used, before anything of its answer came.
    Known(Usage),
    /// What it had told of when it broke off: the answer so far is not in it.
    AtLeast(Usage),
    /// It did not tell.
    Unknown,
}

/// Settles an attempt that failed and sets the same amount aside for the next one; or gives the limit that forbids it.
async fn again(run: &Run<'_>, model: &Model, step: OpenStep, lost: Lost) -> Result<Option<String>, StoreError> {
    let limits = limits::in_force(&run.deps.settings.limits);
    let (turn, now, prices) = (run.turn.id, run.deps.clock.now(), model.prices);
    run.commit(move |tx: &mut Tx<'_>| {
        match lost {
            Lost::Known(usage) => tx.settle(turn, step.step, usage, prices.map(|prices| prices.cost(&usage)))?,
            Lost::AtLeast(usage) => {
                let cost = prices.map(|prices| prices.cost(&usage).max(step.reserved));
                tx.settle(turn, step.step, usage, cost)?;
            }
            Lost::Unknown => tx.settle_unknown(turn, step.step)?,
        }
        let turn = tx.turn(turn)?.ok_or_else(|| StoreError::NotFound { what: "turn", id: turn.to_string() })?;
        let spent = limits::spent(&turn, now, |scope: SpendScope| tx.spent(scope))?;
        if let Err(exceeded) =
            budget::check(&limits, &budget::Spent { steps: spent.steps.saturating_sub(1), ..spent }, step.reserved)
        {
            return Ok(Some(exceeded.to_string()));
        }
        tx.reserve(turn.id, step.step, step.reserved)?;
        Ok(None)
    })
    .await
}

/// What a model call used and what it cost; no cost when the prices are not known.
pub(crate) type Bill = (Usage, Option<MicroUsd>);

impl Asked {
    /// What the last attempt used as far as the vendor told, and what it costs: one that told nothing counts in full.
    pub(crate) fn bill(&self, prices: Option<&Prices>, open: OpenStep) -> Bill {
        let usage = self.outcome.as_ref().map_or(Usage::default(), |reply| reply.usage);
        let unknown = if self.unknown { open.reserved } else { MicroUsd(0) };
        (usage, prices.map(|prices| prices.cost(&usage).plus(unknown)))
    }
}

/// Whether the vendor may count an answer that never reached us whole.
fn may_be_billed(kind: ProviderErrorKind) -> bool {
    match kind {
        ProviderErrorKind::Timeout
        | ProviderErrorKind::Truncated
        | ProviderErrorKind::Malformed
        | ProviderErrorKind::Cancelled => true,
        ProviderErrorKind::RateLimited
        | ProviderErrorKind::Overloaded
        | ProviderErrorKind::Server
        | ProviderErrorKind::Network
        | ProviderErrorKind::Auth
        | ProviderErrorKind::Quota
        | ProviderErrorKind::ContextOverflow
        | ProviderErrorKind::TooLarge
        | ProviderErrorKind::BadRequest
        | ProviderErrorKind::NotFound => false,
    }
}

/// Publishes what comes and adds up what was wasted.
struct Listener<'a> {
    run: &'a Run<'a>,
    audience: Audience,
    text: Pieces,
    thinking: Pieces,
    said: String,
    /// Something of this attempt's answer has come: text, reasoning or a tool call.
    begun: bool,
}

impl<'a> Listener<'a> {
    fn new(run: &'a Run<'a>, audience: Audience) -> Self {
        let pieces = || Pieces::new(run.redactor());
        Self { run, audience, text: pieces(), thinking: pieces(), said: String::new(), begun: false }
    }

    /// Takes an event in. Tells what an attempt may have cost that failed and is about to be repeated.
    fn hear(&mut self, event: ModelEvent) -> Option<Lost> {
        let mut lost = None;
        match event {
            ModelEvent::TextDelta(piece) => {
                self.begun = true;
                let text = self.text.push(&piece);
                self.say(text);
            }
            ModelEvent::ThinkingDelta(piece) => {
                self.begun = true;
                let text = self.thinking.push(&piece);
                self.show(Event::ThinkingDelta { text });
            }
            ModelEvent::ToolUseStarted { .. } => self.begun = true,
            ModelEvent::Restarted { attempt, wait, error, wasted } => {
                lost = match wasted != Usage::default() {
                    true if self.begun => Some(Lost::AtLeast(wasted)),
                    true => Some(Lost::Known(wasted)),
                    false => (may_be_billed(error.kind) || self.begun).then_some(Lost::Unknown),
                };
                self.text.clear();
                self.thinking.clear();
                self.said.clear();
                self.begun = false;
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                let error = self.run.redactor().redact(&error.to_string()).into_owned();
                self.show(Event::ModelRetry { attempt, wait_ms, error });
            }
            // They end the stream and never come here.
            ModelEvent::Finished(_) | ModelEvent::Failed(_) => {}
        }
        lost
    }

    fn say(&mut self, text: String) {
        self.said.push_str(&text);
        self.show(Event::TextDelta { text });
    }

    fn show(&self, event: Event) {
        let is_empty = match &event {
            Event::TextDelta { text } | Event::ThinkingDelta { text } => text.is_empty(),
            _ => false,
        };
        if self.audience == Audience::Clients && !is_empty {
            self.run.publish(event);
        }
    }

    /// What was said, and whether an answer had begun.
    fn finish(mut self) -> (String, bool) {
        let rest = self.text.finish();
        self.say(rest);
        let rest = self.thinking.finish();
        self.show(Event::ThinkingDelta { text: rest });
        (self.said, self.begun)
    }
}
