//! The loop. Each time round it reads where the turn stands and does the one thing that comes next.

use std::time::Duration;

use store::{StoreError, TurnState, Tx};
use tokio_util::sync::CancellationToken;
use types::{Event, MediaBytes, ModelRequest, TurnEnd, TurnId};

use crate::{
    Deps, answer,
    ask::{Audience, ask},
    calls,
    close::close,
    compaction::compact,
    estimate::request_bytes,
    pause,
    progress::Progress,
    repetition::Verdict,
    run::Run,
    state::{Results, State},
    step::{Intake, OpenStep, Opened, Opening},
};

/// How the loop goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Look again.
    Again,
    /// A model call was begun.
    Asking(OpenStep),
    /// End the turn like this.
    Close(TurnEnd),
    /// The turn has ended like this.
    Ended(TurnEnd),
}

/// Runs a turn to its end, from wherever it stands. The end is durable when this returns, unless the store itself
/// failed; then the turn goes on when it is run again.
pub async fn run_turn(deps: &Deps, turn: TurnId, cancel: CancellationToken) -> TurnEnd {
    match attempt(deps, turn, cancel).await {
        Ok(end) => end,
        Err(error) => {
            tracing::error!(%turn, %error, "a turn could not be stored");
            TurnEnd::Failed { error: format!("{error}; {}", error.hint()) }
        }
    }
}

async fn attempt(deps: &Deps, turn: TurnId, cancel: CancellationToken) -> Result<TurnEnd, StoreError> {
    let stored = deps.store.turn(turn)?;
    let stored = stored.ok_or_else(|| StoreError::NotFound { what: "turn", id: turn.to_string() })?;
    if let TurnState::Ended(end) = stored.state {
        return Ok(end);
    }
    let run = Run::new(deps, stored, cancel)?;
    match within_time(&run).await {
        Ok(end) => Ok(end),
        Err(error) => {
            tracing::error!(%turn, %error, "a turn could not go on");
            // What cannot be stored would fail again and again. If the store itself is out of order, this fails too, and
            // the turn goes on after a restart.
            close(&run, TurnEnd::Failed { error: format!("{error}; {}", error.hint()) }).await
        }
    }
}

/// Runs the turn and halts it when its time is over.
async fn within_time(run: &Run<'_>) -> Result<TurnEnd, StoreError> {
    let time_up = async {
        match run.time_left() {
            Some(left) => tokio::time::sleep(left).await,
            None => std::future::pending().await,
        }
    };
    let work = drive(run);
    tokio::pin!(work);
    tokio::select! {
        biased;
        end = &mut work => return end,
        () = time_up => run.halt.cancel(),
    }
    work.await
}

async fn drive(run: &Run<'_>) -> Result<TurnEnd, StoreError> {
    let mut asking = match run.deps.begun.take(run.turn.id) {
        Some(begun) => begun,
        None => {
            resume(run).await?;
            None
        }
    };
    loop {
        if run.halt.is_cancelled() {
            return close(run, why_halted(run)).await;
        }
        let state = State::load(run)?;
        match next(run, &state, asking.take()).await? {
            Flow::Again => {}
            Flow::Asking(step) => asking = Some(step),
            Flow::Close(end) => return close(run, end).await,
            Flow::Ended(end) => return Ok(end),
        }
    }
}

fn why_halted(run: &Run<'_>) -> TurnEnd {
    if run.cancel.is_cancelled() {
        return TurnEnd::Stopped;
    }
    let limit = run.deps.settings.limits.wall.unwrap_or(Duration::ZERO);
    TurnEnd::Limit { limit: policy::budget::Exceeded::Wall { limit }.to_string() }
}

/// Takes up a turn that another process began. A model call that was open then may have been billed.
async fn resume(run: &Run<'_>) -> Result<(), StoreError> {
    let progress = Progress::load(&run.deps.store, run.session, run.turn.id)?;
    let (session, turn) = (run.session, run.turn.id);
    run.commit(move |tx: &mut Tx<'_>| {
        if let Some(step) = progress.open {
            tx.settle_unknown(turn, step)?;
            Progress { open: None, ..progress }.save(tx, session)?;
        }
        tx.record(Some(session), Some(turn), Event::TurnResumed).map(|_| ())
    })
    .await
}

/// The one thing that comes next.
async fn next(run: &Run<'_>, state: &State, asking: Option<OpenStep>) -> Result<Flow, StoreError> {
    if let Some(step) = asking {
        return ask_model(run, state, step).await;
    }
    let unanswered = state.unanswered(run);
    if unanswered.is_empty() {
        return open(run, state, None).await;
    }
    if let Some(limit) = calls::run_all(run, &unanswered).await? {
        return Ok(Flow::Close(TurnEnd::Limit { limit }));
    }
    if run.halt.is_cancelled() {
        return Ok(Flow::Again);
    }
    let state = State::load(run)?;
    let answered = state.unanswered(run);
    let results = state.results(run, &answered);
    match &results.verdict {
        Verdict::Looping => {
            let summary = answered.last().map_or(String::new(), |record| record.summary.clone());
            Ok(Flow::Close(TurnEnd::Looping { repeated: summary }))
        }
        Verdict::Fine | Verdict::Repeated(_) => open(run, &state, Some(results)).await,
    }
}

/// Stores the results of the calls and begins the next model call, in one transaction.
async fn open(run: &Run<'_>, state: &State, results: Option<Results>) -> Result<Flow, StoreError> {
    if let Some(flow) = pause::check(run, state).await? {
        return Ok(flow);
    }
    let bytes = request_bytes(&run.deps.settings.system, &run.deps.tools.specs(), &state.messages());
    // A turn keeps its model, so that the vendor finds the conversation's beginning in its cache.
    let model = run.model(&state.progress)?;
    let progress = Progress { model: Some(model.name.clone()), ..state.progress.clone() };
    let opening = Opening::new(run.deps, &model, progress, bytes);
    let intake = Intake::new(run.deps, run.redactor(), run.session)?;
    let turn = run.turn.clone();
    let opened = run
        .commit(move |tx: &mut Tx<'_>| {
            let mut added = 0;
            if let Some(results) = results {
                added += results.message.blocks.iter().map(crate::estimate::block_bytes).sum::<u64>();
                tx.append_message(results.message)?;
            }
            added += intake.steer(tx, &turn)?;
            opening.open(tx, turn.id, added)
        })
        .await?;
    match opened {
        Opened::Ask(step) => Ok(Flow::Asking(step)),
        Opened::Limit(limit) => Ok(Flow::Close(TurnEnd::Limit { limit })),
        // Read anew, since the transaction may have added to the conversation.
        Opened::TooLong => compact(run, &State::load(run)?).await,
    }
}

async fn ask_model(run: &Run<'_>, state: &State, step: OpenStep) -> Result<Flow, StoreError> {
    let settings = &run.deps.settings;
    let model = run.model(&state.progress)?;
    let messages = state.messages();
    let tools = run.deps.tools.specs();
    let bytes = request_bytes(&settings.system, &tools, &messages);
    let request = ModelRequest {
        model: model.id.clone(),
        system: settings.system.clone(),
        tools,
        messages,
        max_output_tokens: step.max_output,
        // An answer that was shortened to fit the budget has no room for reasoning.
        thinking_tokens: model.thinking_tokens.filter(|thinking| *thinking < step.max_output),
        media: MediaBytes::default(),
        output: None,
        cache_key: Some(format!("factotum-{}", run.session)),
    };
    let step = OpenStep { bytes, ..step };
    let asked = ask(run, &model, step, request, Audience::Clients).await?;
    answer::store(run, state, &model, step, asked).await
}
