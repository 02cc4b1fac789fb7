//! Shortening the context: the older part is replaced by a summary, the newest messages stay as they are. What the
//! owner forbade or required is kept outside of the summary, word for word.

use std::sync::Arc;

use store::{Author, MessageKind, NewMessage, StoreError, StoredMessage, Tx};
use types::{Block, Event, MediaBytes, Message, ModelRequest, ProviderErrorKind, Role, TurnEnd};

use crate::{
    ask::{Asked, Audience, Bill, ask},
    breaker::may_pass_on,
    cap::{cap, line},
    constraints, context,
    estimate::{block_bytes, request_bytes},
    models::{Model, ModelRole},
    outcome,
    progress::Progress,
    prompt::{RULES_MARK, SUMMARISER},
    run::Run,
    state::State,
    step::{OpenStep, Opened, Opening},
    turn::Flow,
};

/// The share of the context, in percent, that the newest messages may keep.
const KEEP: u64 = 20;
/// The most tokens of a summary.
const SUMMARY_TOKENS: u32 = 2_048;
/// The most characters of a summary, whatever the model does.
const SUMMARY_CHARACTERS: usize = 16_000;

/// Shortens the context by one model call.
pub(crate) async fn compact(run: &Run<'_>, state: &State) -> Result<Flow, StoreError> {
    let (older, kept) = state.rows.split_at(split(run.model(&state.progress)?.context_tokens, state));
    if older.iter().all(|row| row.kind == MessageKind::Summary) {
        return nothing_to_do(run, state).await;
    }
    let Some(model) = run.pick(ModelRole::Summariser, &state.progress.failed)? else {
        return nothing_to_do(run, state).await;
    };
    let request = request(&model, older);
    let bytes = request_bytes(&request.system, &request.tools, &request.messages);
    let mut opening = Opening::new(run.deps, &model, state.progress.clone(), bytes);
    opening.compact = false;
    opening.max_output = request.max_output_tokens;
    let turn = run.turn.id;
    let step = match run.commit(move |tx: &mut Tx<'_>| opening.open(tx, turn, 0)).await? {
        Opened::Ask(step) => step,
        Opened::Limit(limit) => return Ok(Flow::Close(TurnEnd::Limit { limit })),
        Opened::TooLong => return nothing_to_do(run, state).await,
    };
    let request = ModelRequest { max_output_tokens: step.max_output, ..request };
    let asked = ask(run, &model, step, request, Audience::Nobody).await?;
    if run.halt.is_cancelled() && asked.outcome.is_err() {
        // The end of the turn counts the open call as spent.
        return Ok(Flow::Again);
    }
    store(run, state, &model, (older, kept), step, asked).await
}

/// The index of the first message that stays. Never between a call and its result: it is a message of the owner or a
/// note if one is near enough, else an answer of the model, which follows the summary as its answer.
fn split(context_tokens: u64, state: &State) -> usize {
    let rows = &state.rows;
    let size = |row: &StoredMessage| row.blocks.iter().map(block_bytes).sum::<u64>();
    let share = context_tokens.saturating_mul(KEEP) / 100;
    // When the vendor found the conversation too long, the size that we believe in says nothing: half of it must go.
    let half = state.progress.calibration.tokens(rows.iter().map(size).sum()) / 2;
    let most = if state.progress.must_compact { share.min(half) } else { share };
    let mut bytes: u64 = 0;
    let near = rows
        .iter()
        .enumerate()
        .rev()
        .take_while(|(_, row)| {
            bytes = bytes.saturating_add(size(row));
            state.progress.calibration.tokens(bytes) <= most
        })
        .last()
        .map_or(rows.len(), |(index, _)| index);
    let is_plain = |row: &StoredMessage| {
        row.role == Role::User
            && row.kind == MessageKind::Normal
            && !row.blocks.iter().any(|block| matches!(block, Block::ToolResult { .. }))
    };
    let find = |fits: &dyn Fn(&StoredMessage) -> bool| (near..rows.len()).find(|&index| fits(&rows[index]));
    let plain = find(&is_plain).or_else(|| find(&|row| row.role == Role::Assistant));
    // What was said last is kept whatever its size: it is the question.
    let last = rows.last().filter(|row| is_plain(row)).map(|_| rows.len() - 1);
    plain.or(last).unwrap_or(rows.len())
}

/// Goes on without shortening. If it is really too long, the vendor will say so.
async fn nothing_to_do(run: &Run<'_>, state: &State) -> Result<Flow, StoreError> {
    let progress = Progress { compacted: true, must_compact: false, ..state.progress.clone() };
    let session = run.session;
    run.commit(move |tx: &mut Tx<'_>| progress.save(tx, session)).await?;
    Ok(Flow::Again)
}

/// The request for a summary. The record is given as text: vendors refuse calls and results without their tools.
fn request(model: &Model, older: &[StoredMessage]) -> ModelRequest {
    let record: Vec<String> = older.iter().map(shown).collect();
    // At four bytes to a token this fills half of the context.
    let most = usize::try_from(model.context_tokens.saturating_mul(2)).unwrap_or(usize::MAX);
    let text = format!("<record>\n{}\n</record>\n\nSummarise the record.", cap(&record.join("\n\n"), most));
    ModelRequest {
        model: model.id.clone(),
        system: SUMMARISER.into(),
        tools: Arc::new([]),
        messages: vec![Message::user(text)],
        max_output_tokens: SUMMARY_TOKENS.min(model.max_output_tokens),
        thinking_tokens: None,
        media: MediaBytes::default(),
        output: None,
        cache_key: None,
    }
}

/// A stored message in the record.
fn shown(row: &StoredMessage) -> String {
    let who = match (row.kind, row.author) {
        (MessageKind::Summary, _) => "EARLIER SUMMARY",
        (MessageKind::Normal, Author::Owner) => "OWNER",
        (MessageKind::Normal, Author::Model) => "AGENT",
        (MessageKind::Normal, Author::Tool) => "RESULTS",
        (MessageKind::Normal, Author::System) => "NOTE",
    };
    let blocks: Vec<String> = row
        .blocks
        .iter()
        .filter_map(|block| match block {
            Block::Text { text } => Some(cap(text, 8_000)),
            Block::ToolUse { id, name, input } => {
                Some(format!("[call {id}: {name} {}]", cap(&input.to_string(), 1_000)))
            }
            Block::ToolResult { call, content, is_error } => {
                let failed = if *is_error { ", failed" } else { "" };
                Some(format!("[result of {call}{failed}]\n{}", cap(content, 2_000)))
            }
            Block::Media { media } => Some(media.stand_in()),
            Block::Thinking { .. } | Block::RedactedThinking { .. } | Block::Opaque { .. } => None,
        })
        .collect();
    format!("{who}:\n{}", blocks.join("\n"))
}

/// What the summariser gave, taken apart.
#[derive(Clone)]
struct Summary {
    text: String,
    constraints: Vec<String>,
}

async fn store(
    run: &Run<'_>,
    state: &State,
    model: &Model,
    (older, kept): (&[StoredMessage], &[StoredMessage]),
    step: OpenStep,
    asked: Asked,
) -> Result<Flow, StoreError> {
    if let Some(limit) = asked.limit {
        return Ok(Flow::Close(TurnEnd::Limit { limit }));
    }
    let bill = asked.bill(model.prices.as_ref(), step);
    if let Err(error) = &asked.outcome
        && is_hopeless(error.kind)
    {
        let mut failed = state.progress.failed.clone();
        failed.push(model.name.clone());
        let goes_on = may_pass_on(error.kind) && run.pick(ModelRole::Summariser, &failed)?.is_some();
        let error = outcome::provider_failed(&run.redactor(), error);
        settle(run, Progress { open: None, failed, ..state.progress.clone() }, step, bill).await?;
        return Ok(if goes_on { Flow::Again } else { Flow::Close(TurnEnd::Failed { error }) });
    }
    let summary = match &asked.outcome {
        Ok(reply) => taken_apart(&run.redactor().redact(&reply_text(&reply.blocks)), older),
        Err(_) => None,
    };
    let summary = summary.unwrap_or_else(|| Summary { text: without_model(state, older), constraints: Vec::new() });
    write(run, state, kept, step, bill, summary).await?;
    Ok(Flow::Again)
}

fn reply_text(blocks: &[Block]) -> String {
    Message { role: Role::Assistant, blocks: blocks.to_vec() }.text()
}

/// Failures that would meet the next call in the same way.
fn is_hopeless(kind: ProviderErrorKind) -> bool {
    match kind {
        ProviderErrorKind::Auth
        | ProviderErrorKind::Quota
        | ProviderErrorKind::NotFound
        | ProviderErrorKind::RateLimited
        | ProviderErrorKind::Overloaded
        | ProviderErrorKind::Server
        | ProviderErrorKind::Network
        | ProviderErrorKind::Timeout
        | ProviderErrorKind::Cancelled => true,
        ProviderErrorKind::Truncated
        | ProviderErrorKind::Malformed
        | ProviderErrorKind::ContextOverflow
        | ProviderErrorKind::TooLarge
        | ProviderErrorKind::BadRequest => false,
    }
}

async fn settle(run: &Run<'_>, progress: Progress, step: OpenStep, (usage, cost): Bill) -> Result<(), StoreError> {
    let (session, turn) = (run.session, run.turn.id);
    run.commit(move |tx: &mut Tx<'_>| {
        tx.settle(turn, step.step, usage, cost)?;
        progress.save(tx, session)
    })
    .await
}

/// The summary without the quotes, and those of the quotes that the owner really wrote; none if there is no text.
fn taken_apart(reply: &str, older: &[StoredMessage]) -> Option<Summary> {
    let (text, quotes) = reply.split_once(RULES_MARK).unwrap_or((reply, ""));
    if text.trim().is_empty() {
        return None;
    }
    let owner: Vec<String> =
        older.iter().filter(|row| row.author == Author::Owner).map(|row| reply_text(&row.blocks)).collect();
    let owner: Vec<&str> = owner.iter().map(String::as_str).collect();
    let constraints = constraints::confirmed(quotes, &owner);
    Some(Summary { text: cap(text.trim(), SUMMARY_CHARACTERS), constraints })
}

/// A summary by rule, for when the model gives none: what the owner said and what was done.
fn without_model(state: &State, older: &[StoredMessage]) -> String {
    let mut parts = Vec::new();
    for row in older {
        let text = reply_text(&row.blocks);
        match (row.kind, row.author) {
            (MessageKind::Summary, _) => parts.push(cap(&text, 6_000)),
            (MessageKind::Normal, Author::Owner) => parts.push(format!("The owner said: {}", line(&text, 600))),
            (MessageKind::Normal, Author::Model) if !text.trim().is_empty() => {
                parts.push(format!("The agent said: {}", line(&text, 200)));
            }
            (MessageKind::Normal, Author::Model | Author::Tool | Author::System) => {}
        }
    }
    let done = state.calls.iter().filter(|record| !record.summary.is_empty());
    parts.extend(done.map(|record| format!("Done: {}", line(&record.summary, 120))));
    cap(&parts.join("\n"), SUMMARY_CHARACTERS)
}

async fn write(
    run: &Run<'_>,
    state: &State,
    kept: &[StoredMessage],
    step: OpenStep,
    (usage, cost): Bill,
    summary: Summary,
) -> Result<(), StoreError> {
    let message = NewMessage {
        session: run.session,
        turn: Some(run.turn.id),
        role: Role::User,
        blocks: vec![Block::text(format!(
            "[Summary of the conversation so far, made because it had become too long]\n{}\n[End of the summary; go on \
             from here.]",
            summary.text
        ))],
        author: Author::System,
        // A summary has the label of everything that it may tell.
        label: run.label()?,
        kind: MessageKind::Summary,
    };
    let event = compacted(run, state, kept, &message, &summary);
    let room = constraints::MAX_CONSTRAINTS.saturating_sub(state.constraints.len());
    let constraints: Vec<String> = summary.constraints.into_iter().take(room).collect();
    let progress = Progress { open: None, compacted: true, must_compact: false, ..state.progress.clone() };
    let (session, turn, keep_from) = (run.session, run.turn.id, kept.first().map(|row| row.id));
    run.commit(move |tx: &mut Tx<'_>| {
        tx.settle(turn, step.step, usage, cost)?;
        for constraint in constraints {
            tx.add_constraint(session, constraint)?;
        }
        tx.compact(message, keep_from)?;
        tx.record(Some(session), Some(turn), event)?;
        progress.save(tx, session)
    })
    .await
}

/// The sizes before and after, in estimated tokens.
fn compacted(run: &Run<'_>, state: &State, kept: &[StoredMessage], summary: &NewMessage, taken: &Summary) -> Event {
    let tokens = |messages: &[Message]| {
        let bytes = request_bytes(&run.deps.settings.system, &run.deps.tools.specs(), messages);
        state.progress.calibration.tokens(bytes)
    };
    let constraints: Vec<String> = state.constraints.iter().chain(&taken.constraints).cloned().collect();
    let Some(first) = state.rows.first() else { return Event::Compacted { before: 0, after: 0 } };
    let stands_first = StoredMessage {
        role: summary.role,
        author: summary.author,
        kind: summary.kind,
        blocks: summary.blocks.clone(),
        ..first.clone()
    };
    let rows: Vec<StoredMessage> = std::iter::once(stands_first).chain(kept.iter().cloned()).collect();
    Event::Compacted { before: tokens(&state.messages()), after: tokens(&context::build(&rows, &constraints)) }
}
