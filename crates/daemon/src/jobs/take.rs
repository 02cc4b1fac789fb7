//! What one event of a coding agent means for its job: what is remembered, told and booked. Pure; the caller makes it durable
//! together with the place in the records, so that each event counts once.

use coders::{CoderEnd, CoderEvent, Permission, Totals};
use policy::Redactor;
use store::{Job, JobUse};
use types::{CoderWord, Event, MicroUsd, Usage};

use super::{prompts::one_line, report::bounded};

/// The most characters of what is remembered of a coding agent's last words.
const MAX_SAID: usize = 4_000;

/// What an event leads to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Taken {
    /// What clients are told.
    pub events: Vec<Event>,
    /// What it used more than before.
    pub used: Option<JobUse>,
    /// It waits for this.
    pub asked: Option<Permission>,
    /// It does not wait for this any more.
    pub withdrawn: Option<String>,
    /// Its turn is over.
    pub finished: Option<CoderEnd>,
}

/// Takes in one event. All text that is kept or told is masked.
pub(super) fn take(job: &mut Job, event: &CoderEvent, redactor: &Redactor) -> Taken {
    let mut taken = Taken::default();
    let id = job.id;
    let mask = |text: &str| redactor.redact(text).into_owned();
    let said = |kind: CoderWord, text: &str| Event::CoderSaid { job: id, kind, text: bounded(kind, &mask(text)) };
    let memory = &mut job.memory;
    match event {
        CoderEvent::Started { session, model, .. } => {
            if memory.conversation.as_deref() != Some(session) {
                memory.conversation = Some(session.clone());
            }
            if let Some(model) = model {
                memory.last = Some(one_line(&format!("began with the model {model}"), 200));
            }
        }
        CoderEvent::TextDelta { text } => taken.events.push(Event::CoderDelta { job: id, text: mask(text) }),
        CoderEvent::Text { text } => {
            memory.said = mask(text).chars().take(MAX_SAID).collect();
            memory.last = Some(one_line(&memory.said, 200));
            taken.events.push(said(CoderWord::Text, text));
        }
        CoderEvent::Thinking { text } => taken.events.push(said(CoderWord::Thinking, text)),
        CoderEvent::ToolStarted { tool, summary, .. } => {
            memory.last = Some(one_line(&mask(&format!("{tool}: {summary}")), 200));
            taken.events.push(said(CoderWord::Tool, &format!("{tool}: {summary}")));
        }
        CoderEvent::ToolFinished { ok, tail, .. } => {
            memory.iterations = memory.iterations.saturating_add(1);
            // A coding agent that works is one whose failures have passed.
            memory.troubles = 0;
            taken.events.push(said(if *ok { CoderWord::Output } else { CoderWord::Trouble }, tail));
        }
        CoderEvent::FileChanged { path } => taken.events.push(said(CoderWord::File, path)),
        CoderEvent::Plan { steps } => {
            let lines = steps.iter().map(|step| format!("[{}] {}", if step.done { "x" } else { " " }, step.text));
            taken.events.push(said(CoderWord::Plan, &lines.collect::<Vec<_>>().join("\n")));
        }
        CoderEvent::PermissionAsked(permission) => taken.asked = Some(permission.clone()),
        CoderEvent::PermissionWithdrawn { id } => taken.withdrawn = Some(id.clone()),
        CoderEvent::Retrying { attempt, error, .. } => {
            let attempt = attempt.map(|attempt| format!(" (attempt {attempt})")).unwrap_or_default();
            memory.last_error = Some(one_line(&mask(error), 500));
            taken.events.push(said(CoderWord::Waiting, &format!("its model did not answer{attempt}: {error}")));
        }
        CoderEvent::Waiting { what } => taken.events.push(said(CoderWord::Waiting, what)),
        CoderEvent::Spent(totals) => taken.used = spend(memory, totals),
        CoderEvent::Finished { end } => {
            taken.finished = Some(match end {
                CoderEnd::Done { text } => {
                    memory.said = mask(text).chars().take(MAX_SAID).collect();
                    CoderEnd::Done { text: memory.said.clone() }
                }
                CoderEnd::Interrupted => CoderEnd::Interrupted,
                CoderEnd::Failed { trouble, message } => {
                    let message = one_line(&mask(message), 1_000);
                    memory.last_error = Some(message.clone());
                    CoderEnd::Failed { trouble: *trouble, message }
                }
            });
        }
        CoderEvent::Note { text } => taken.events.push(said(CoderWord::Note, text)),
        CoderEvent::Other { .. } => {}
    }
    taken
}

/// What the conversation has used since it was last counted. A number that falls counts for nothing: it was counted before.
fn spend(memory: &mut store::JobMemory, totals: &Totals) -> Option<JobUse> {
    let before = memory.counted;
    let now = JobUse {
        usage: greatest(before.usage, totals.usage),
        cost: totals.cost.map_or(before.cost, |cost| cost.max(before.cost)),
    };
    if now == before {
        return None;
    }
    let more = JobUse { usage: less(now.usage, before.usage), cost: MicroUsd(now.cost.0 - before.cost.0) };
    memory.counted = now;
    memory.used = JobUse { usage: memory.used.usage.plus(more.usage), cost: memory.used.cost.plus(more.cost) };
    memory.bookings = memory.bookings.saturating_add(1);
    Some(more)
}

fn each(a: Usage, b: Usage, of: impl Fn(u64, u64) -> u64) -> Usage {
    Usage {
        input: of(a.input, b.input),
        cache_read: of(a.cache_read, b.cache_read),
        cache_write: of(a.cache_write, b.cache_write),
        cache_write_1h: of(a.cache_write_1h, b.cache_write_1h),
        output: of(a.output, b.output),
        reasoning: of(a.reasoning, b.reasoning),
    }
}

fn greatest(a: Usage, b: Usage) -> Usage {
    each(a, b, u64::max)
}

fn less(a: Usage, b: Usage) -> Usage {
    each(a, b, u64::saturating_sub)
}
