//! One model call: the stream is followed to its end and shown as it comes.

use std::time::Duration;

use futures_util::StreamExt;
use types::{Event, MicroUsd, ModelEvent, ModelReply, ModelRequest, Prices, ProviderError, ProviderErrorKind, Usage};

use crate::{mask::Pieces, run::Run, step::OpenStep};

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
    /// What failed attempts had used; the vendor may bill it.
    pub wasted: Usage,
    /// How many attempts failed without telling what they had used, though the vendor may bill them.
    pub unknown: u64,
    /// The text that had come when the call ended without an answer.
    pub said: String,
}

/// Asks the model.
pub(crate) async fn ask(run: &Run<'_>, request: ModelRequest, audience: Audience) -> Asked {
    let mut stream = run.deps.provider.stream(request, run.halt.clone());
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
            ) => listener.hear(event),
            None => {
                break Err(ProviderError::new(ProviderErrorKind::Truncated, "the stream ended without a last event"));
            }
        }
    };
    let begun = listener.begun;
    let (said, wasted, mut unknown) = listener.finish();
    if let Err(error) = &outcome {
        // What had begun to answer counts, whatever ended it.
        unknown += u64::from(may_be_billed(error.kind) || begun);
    }
    Asked { outcome, wasted, unknown, said }
}

/// What a model call used and what it cost; no cost when the prices are not known.
pub(crate) type Bill = (Usage, Option<MicroUsd>);

impl Asked {
    /// What the call used as far as the vendor told, and what it costs: attempts that told nothing count in full.
    pub(crate) fn bill(&self, prices: Option<&Prices>, open: OpenStep) -> Bill {
        let answered = self.outcome.as_ref().map_or(Usage::default(), |reply| reply.usage);
        let usage = answered.plus(self.wasted);
        let unknown = MicroUsd(open.reserved.0.saturating_mul(self.unknown));
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
    wasted: Usage,
    unknown: u64,
}

impl<'a> Listener<'a> {
    fn new(run: &'a Run<'a>, audience: Audience) -> Self {
        let pieces = || Pieces::new(run.redactor());
        Self {
            run,
            audience,
            text: pieces(),
            thinking: pieces(),
            said: String::new(),
            begun: false,
            wasted: Usage::default(),
            unknown: 0,
        }
    }

    fn hear(&mut self, event: ModelEvent) {
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
                self.wasted = self.wasted.plus(wasted);
                let told = wasted != Usage::default();
                self.unknown += u64::from(!told && (may_be_billed(error.kind) || self.begun));
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

    fn finish(mut self) -> (String, Usage, u64) {
        let rest = self.text.finish();
        self.say(rest);
        let rest = self.thinking.finish();
        self.show(Event::ThinkingDelta { text: rest });
        (self.said, self.wasted, self.unknown)
    }
}
