//! How a terminal shows what the agent says and does: plain text in which nothing is obeyed. Pure.

mod jobs;

use types::{Answer, Ask, Event, Level, OwnerRequest, Proposal, Scope, Settlement, ToolEnd, TurnEnd};

use crate::format::{self, LinkText, Rich};

/// The most characters of a tool's output that are shown with its end.
const MAX_PREVIEW: usize = 400;

/// Markdown as plain text, with whole addresses behind the labels of links.
pub fn render(markdown: &str) -> String {
    Rich::read(markdown, LinkText::Address).text()
}

/// Text of any origin with everything that a terminal would obey made harmless.
pub fn neutral(text: &str) -> String {
    format::neutral(text).into_owned()
}

/// One event as lines for a person who watches; none for events that are not shown. Pieces of the answer
/// ([`Event::TextDelta`]) are given without a line feed of their own.
pub fn event(event: &Event) -> Option<String> {
    match event {
        Event::TextDelta { text } => Some(neutral(text)),
        Event::ModelRetry { attempt, wait_ms, error } => {
            let seconds = wait_ms.div_ceil(1000);
            Some(neutral(&format!("… {error}; attempt {attempt} in {seconds} s")))
        }
        Event::ModelSwitched { from, to, why } => {
            Some(neutral(&format!("… {from} does not answer ({why}); {to} goes on")))
        }
        Event::ToolStarted { summary, .. } => Some(neutral(&format!("→ {summary}"))),
        Event::ToolProgress { text, .. } => Some(neutral(text)),
        Event::ToolFinished { tool, end, preview, .. } => Some(finished(tool, *end, preview)),
        Event::OwnerAsked { request } => Some(asked(request)),
        Event::OwnerAnswered { request, answer, .. } => Some(format!("request {request}: {}", answered(answer))),
        Event::Proposed { proposal } => Some(proposed(proposal)),
        Event::ProposalSettled { proposal, settlement } => {
            Some(format!("proposal {proposal}: {}", settled(settlement)))
        }
        Event::SnapshotTaken { snapshot, workspace } => Some(format!("saved {workspace} as snapshot {snapshot}")),
        Event::SnapshotRestored { snapshot, workspace } => Some(format!("put {workspace} back to snapshot {snapshot}")),
        Event::Compacted { before, after } => Some(format!("shortened the context from {before} to {after} tokens")),
        Event::TurnFinished { end, steps, usage, cost, .. } => {
            let tokens = usage.context().saturating_add(usage.output);
            Some(format!("{} ({steps} steps, {tokens} tokens, {cost})", ended(end)))
        }
        Event::DeliveryFailed { channel, error, .. } => Some(neutral(&format!("not delivered to {channel}: {error}"))),
        Event::Notice { level, text } => Some(neutral(&match level {
            Level::Info => text.clone(),
            Level::Warning => format!("warning: {text}"),
            Level::Error => format!("error: {text}"),
        })),
        Event::JobQueued { .. }
        | Event::JobMoved { .. }
        | Event::CoderSaid { .. }
        | Event::CoderDelta { .. }
        | Event::JobChecked { .. }
        | Event::JobProgress { .. }
        | Event::JobFinished { .. } => jobs::event(event),
        Event::MessageReceived { .. }
        | Event::TurnStarted { .. }
        | Event::TurnResumed
        | Event::Steered { .. }
        | Event::StepStarted { .. }
        | Event::ThinkingDelta { .. }
        | Event::ModelAnswered { .. }
        | Event::LabelRaised { .. }
        | Event::Delivered { .. } => None,
    }
}

fn finished(tool: &str, end: ToolEnd, preview: &str) -> String {
    let end = match end {
        ToolEnd::Ok => "done",
        ToolEnd::Error => "failed",
        ToolEnd::Denied => "denied",
        ToolEnd::Stopped => "stopped",
        ToolEnd::Unknown => "outcome unknown",
    };
    let preview = preview.trim();
    let mut shown: String = preview.chars().take(MAX_PREVIEW).collect();
    if shown.len() < preview.len() {
        shown.push('…');
    }
    let lines: String = neutral(&shown).lines().map(|line| format!("\n  {line}")).collect();
    format!("← {} {end}{lines}", neutral(tool))
}

fn asked(request: &OwnerRequest) -> String {
    let id = request.id;
    match &request.ask {
        Ask::Approval(question) => neutral(&format!(
            "? request {id}: {}\n  {}\n  answer with `factotum approve {id}` or `factotum deny {id}`",
            question.effect.summary, question.reason
        )),
        Ask::Question { text, options } => {
            let options: String = options.iter().map(|option| format!("\n  - {option}")).collect();
            neutral(&format!("? request {id}: {text}{options}"))
        }
    }
}

fn proposed(proposal: &Proposal) -> String {
    let (id, question) = (proposal.id, &proposal.question);
    neutral(&format!(
        "? proposal {id}: {}\n  {}\n  decide with `factotum proposals accept {id}` or `factotum proposals reject {id}`",
        question.effect.summary, question.reason
    ))
}

/// What became of a proposal, in a few words.
fn settled(settlement: &Settlement) -> String {
    match settlement {
        Settlement::Accepted => "accepted".to_owned(),
        Settlement::Done { text } => neutral(&format!("done: {text}")),
        Settlement::Failed { error } => neutral(&format!("failed: {error}")),
        Settlement::Rejected => "rejected".to_owned(),
    }
}

fn answered(answer: &Answer) -> String {
    match answer {
        Answer::Approved { scope: Scope::Once } => "approved".to_owned(),
        Answer::Approved { scope: Scope::Task } => "approved for this task".to_owned(),
        Answer::Approved { scope: Scope::Always } => "approved, now and always".to_owned(),
        Answer::Denied => "denied".to_owned(),
        Answer::Expired => "expired, which means denied".to_owned(),
        Answer::Withdrawn => "withdrawn".to_owned(),
        Answer::Text { text } => neutral(&format!("answered: {text}")),
    }
}

fn ended(end: &TurnEnd) -> String {
    match end {
        TurnEnd::Done => "done".to_owned(),
        TurnEnd::Stopped => "stopped".to_owned(),
        TurnEnd::Limit { limit } => neutral(&format!("stopped at a limit: {limit}")),
        TurnEnd::Looping { repeated } => neutral(&format!("stopped because it went in circles: {repeated}")),
        TurnEnd::Refused => "the model refused".to_owned(),
        TurnEnd::Failed { error } => neutral(&format!("failed: {error}")),
    }
}
