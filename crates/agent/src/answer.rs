//! What is done with what came of a model call. An answer, what it cost and what follows from it are stored at once.

use std::collections::BTreeSet;

use store::{Author, MessageKind, NewCall, NewMessage, StoreError, Tx};
use types::{
    Block, Event, Label, Message, MicroUsd, ModelReply, ProviderError, ProviderErrorKind, Role, SessionId, StopReason,
    ToolCall, TurnEnd, TurnId, Usage,
};

use crate::{
    ask::{Asked, Bill},
    breaker::may_pass_on,
    cap::cap,
    estimate::block_bytes,
    handles, mask,
    models::{Model, ModelRole},
    outcome,
    progress::Progress,
    prompt::{GO_ON, WAS_EMPTY},
    report,
    run::Run,
    state::State,
    step::OpenStep,
    turn::Flow,
};

/// How often an answer that was cut off is continued.
const MAX_CONTINUED: u32 = 3;
/// How often a paused answer is resumed.
const MAX_PAUSED: u32 = 5;

/// The most bytes of an answer that are kept; the store bounds messages too, and an answer over that bound would be lost.
const MAX_BYTES: u64 = 512 * 1024;
/// The most characters of a text that is kept of an answer over that.
const MAX_CHARACTERS: usize = 100_000;

/// What follows from an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Calls,
    Final,
    Cut,
    Paused,
    Refused,
    Empty,
    /// The context window was full before the answer was done.
    Full,
}

/// What is to be stored.
#[derive(Clone)]
struct Stored {
    step: u32,
    usage: Usage,
    cost: Option<MicroUsd>,
    reply: ModelReply,
    label: Label,
    progress: Progress,
    /// Said to the model after its answer.
    note: Option<&'static str>,
    /// The end of the turn and the final text.
    end: Option<(TurnEnd, String)>,
}

/// Stores what came of a model call and says how the turn goes on.
pub(crate) async fn store(
    run: &Run<'_>,
    state: &State,
    model: &Model,
    open: OpenStep,
    asked: Asked,
) -> Result<Flow, StoreError> {
    if let Some(limit) = asked.limit {
        return Ok(Flow::Close(TurnEnd::Limit { limit }));
    }
    let bill = asked.bill(model.prices.as_ref(), open);
    match asked.outcome {
        Ok(reply) => answered(run, state, model, open, reply, bill).await,
        Err(error) => failed(run, state, model, open, Failed { error, bill, said: asked.said }).await,
    }
}

async fn answered(
    run: &Run<'_>,
    state: &State,
    model: &Model,
    open: OpenStep,
    reply: ModelReply,
    (usage, cost): Bill,
) -> Result<Flow, StoreError> {
    let mut progress = Progress { open: None, compacted: false, ..state.progress.clone() };
    progress.calibration.learn(open.bytes, reply.usage.context());
    let reply = bounded(reply);
    let kind = kind(&reply);
    let mut reply = ModelReply { blocks: kept(kind, mask::blocks(&run.redactor(), reply.blocks)), ..reply };
    make_unique(&mut reply.blocks, state, open.step);
    let (mut note, mut end, mut flow) = (None, None, Flow::Again);
    let mut give_up = |error: String| flow = Flow::Close(TurnEnd::Failed { error });
    match kind {
        Kind::Calls => {}
        Kind::Final => {
            let text = handles::in_reply(run, &final_text(run, state, &reply))?;
            let text = report::under(text, report::of(run, &state.calls)?);
            end = Some((TurnEnd::Done, text));
        }
        Kind::Refused => end = Some((TurnEnd::Refused, outcome::refused(&final_text(run, state, &reply)))),
        Kind::Cut if progress.continued < MAX_CONTINUED => note = Some(GO_ON),
        Kind::Full if progress.continued < MAX_CONTINUED => {
            note = Some(GO_ON);
            progress.must_compact = true;
        }
        Kind::Cut | Kind::Full => give_up(outcome::too_long(model.max_output_tokens)),
        Kind::Paused if progress.paused < MAX_PAUSED => {}
        Kind::Paused => give_up("the provider paused the answer again and again; try again later".to_owned()),
        Kind::Empty if progress.empty == 0 => note = Some(WAS_EMPTY),
        Kind::Empty => give_up("the model gave an empty answer twice; try again, or use another model".to_owned()),
    }
    progress.continued += u32::from(matches!(kind, Kind::Cut | Kind::Full));
    progress.paused += u32::from(kind == Kind::Paused);
    progress.empty += u32::from(kind == Kind::Empty);
    let stored = Stored { step: open.step, usage, cost, reply, label: run.label()?, progress, note, end: end.clone() };
    write(run, stored).await?;
    Ok(end.map_or(flow, |(end, _)| Flow::Ended(end)))
}

/// An answer of monstrous size counts as cut off.
fn bounded(reply: ModelReply) -> ModelReply {
    if reply.blocks.iter().map(block_bytes).sum::<u64>() <= MAX_BYTES {
        return reply;
    }
    let text = Message { role: Role::Assistant, blocks: reply.blocks }.text();
    ModelReply { blocks: vec![Block::text(cap(&text, MAX_CHARACTERS))], stop: StopReason::MaxTokens, ..reply }
}

fn kind(reply: &ModelReply) -> Kind {
    let calls = reply.blocks.iter().any(|block| matches!(block, Block::ToolUse { .. }));
    let text = reply.blocks.iter().any(|block| matches!(block, Block::Text { text } if !text.trim().is_empty()));
    match reply.stop {
        StopReason::MaxTokens => Kind::Cut,
        StopReason::ContextFull => Kind::Full,
        StopReason::Refusal => Kind::Refused,
        StopReason::PauseTurn if !calls => Kind::Paused,
        StopReason::EndTurn
        | StopReason::ToolUse
        | StopReason::StopSequence
        | StopReason::PauseTurn
        | StopReason::Other(_) => match (calls, text) {
            // Nobody knows whether calls of such an answer are whole.
            (true, _) if matches!(reply.stop, StopReason::Other(_)) => Kind::Cut,
            (true, _) => Kind::Calls,
            (false, true) => Kind::Final,
            (false, false) => Kind::Empty,
        },
    }
}

/// The blocks that stay. Of an answer that was broken off only the text does: a call in it may have lost a part.
fn kept(kind: Kind, blocks: Vec<Block>) -> Vec<Block> {
    match kind {
        Kind::Calls | Kind::Final | Kind::Paused => blocks,
        Kind::Cut | Kind::Full | Kind::Refused | Kind::Empty => {
            let is_text = |block: &Block| matches!(block, Block::Text { text } if !text.trim().is_empty());
            blocks.into_iter().filter(is_text).collect()
        }
    }
}

/// Some servers number the calls of each answer anew, or not at all. The journal needs each id once in a turn.
fn make_unique(blocks: &mut [Block], state: &State, step: u32) {
    let mut known: BTreeSet<String> = state.calls.iter().map(|record| record.call.id.clone()).collect();
    let mut number = 0;
    for block in blocks {
        let Block::ToolUse { id, .. } = block else { continue };
        // Ids that begin so are those of our own questions.
        while id.is_empty() || id.starts_with("pause:") || known.contains(id) {
            number += 1;
            *id = format!("call-{step}-{number}");
        }
        known.insert(id.clone());
    }
}

/// The text for the owner. An answer that came in pieces is one text.
fn final_text(run: &Run<'_>, state: &State, reply: &ModelReply) -> String {
    let text = Message { role: Role::Assistant, blocks: reply.blocks.clone() }.text();
    let continues = state.rows.last().is_some_and(|row| match row.author {
        Author::Model => true,
        Author::System => row.blocks == [Block::text(GO_ON)],
        Author::Owner | Author::Tool => false,
    });
    if continues { state.last_text(run) + &text } else { text }
}

async fn write(run: &Run<'_>, stored: Stored) -> Result<(), StoreError> {
    let (session, turn) = (run.session, run.turn.id);
    run.commit(move |tx: &mut Tx<'_>| {
        let Stored { step, usage, cost, reply, label, progress, note, end } = stored;
        tx.settle(turn, step, usage, cost)?;
        let message = Message { role: Role::Assistant, blocks: reply.blocks };
        let calls: Vec<ToolCall> = message.tool_uses().collect();
        let text = message.text();
        if !message.blocks.is_empty() {
            tx.append_message(NewMessage {
                session,
                turn: Some(turn),
                role: Role::Assistant,
                blocks: message.blocks,
                author: Author::Model,
                label,
                kind: MessageKind::Normal,
            })?;
        }
        for call in calls {
            tx.plan_call(NewCall { turn, step, call })?;
        }
        tx.record(Some(session), Some(turn), Event::ModelAnswered { text, stop: reply.stop, usage, cost })?;
        if let Some(note) = note {
            tx.append_message(self::note(session, turn, note))?;
        }
        progress.save(tx, session)?;
        if let Some((end, text)) = end {
            tx.finish_turn(turn, end, text)?;
        }
        Ok(())
    })
    .await
}

/// A message of our own to the model.
pub(crate) fn note(session: SessionId, turn: TurnId, text: impl Into<String>) -> NewMessage {
    NewMessage {
        session,
        turn: Some(turn),
        role: Role::User,
        blocks: vec![Block::text(text)],
        author: Author::System,
        label: Label::CLEAN,
        kind: MessageKind::Normal,
    }
}

/// A call without an answer.
struct Failed {
    error: ProviderError,
    bill: Bill,
    /// What had come of the answer.
    said: String,
}

/// There is no answer. The provider has retried what a retry can mend; another model may still do better.
async fn failed(
    run: &Run<'_>,
    state: &State,
    model: &Model,
    open: OpenStep,
    Failed { error, bill: (usage, cost), said }: Failed,
) -> Result<Flow, StoreError> {
    let too_long = matches!(error.kind, ProviderErrorKind::ContextOverflow | ProviderErrorKind::TooLarge);
    let compacts = too_long && state.progress.overflows == 0;
    let stopped = run.halt.is_cancelled();
    let mut progress = Progress { open: None, ..state.progress.clone() };
    if compacts {
        progress.overflows += 1;
        progress.must_compact = true;
        progress.compacted = false;
    }
    let why = outcome::provider_failed(&run.redactor(), &error);
    let mut switched = None;
    if !stopped && may_pass_on(error.kind) {
        progress.failed.push(model.name.clone());
        let next = run.pick(ModelRole::Main, &progress.failed)?;
        progress.model = next.as_ref().map(|next| next.name.clone());
        switched =
            next.map(|next| Event::ModelSwitched { from: model.name.clone(), to: next.name.clone(), why: why.clone() });
    }
    let goes_on = stopped || compacts || switched.is_some();
    let (session, turn) = (run.session, run.turn.id);
    let label = run.label()?;
    run.commit(move |tx: &mut Tx<'_>| {
        tx.settle(turn, open.step, usage, cost)?;
        if let Some(event) = switched {
            tx.record(Some(session), Some(turn), event)?;
        }
        if stopped && !said.trim().is_empty() {
            // What was said was seen; the model should know it said so.
            tx.append_message(NewMessage {
                role: Role::Assistant,
                author: Author::Model,
                label,
                ..note(session, turn, said)
            })?;
        }
        progress.save(tx, session)
    })
    .await?;
    Ok(if goes_on { Flow::Again } else { Flow::Close(TurnEnd::Failed { error: why }) })
}
