//! Pausing a task that is out of the ordinary until the owner has answered. No model is asked while it is paused. The
//! question is a request like any other, so it survives a restart; nobody answering means stop.

use policy::alarm::{self, Unusual, Used};
use serde_json::json;
use store::{NewRequest, SpendScope, StoreError, Tx, audit::AuditKind, hour_of};
use types::{Answer, Ask, OwnerRequest, ToolEnd, TurnEnd};

use crate::{approvals, gate, limits, progress::Progress, run::Run, state::State, turn::Flow};

/// How many earlier tasks or hours are compared with.
const HISTORY: usize = 20;
/// How often an answer may be neither yes nor no.
const MAX_UNCLEAR: u32 = 3;
/// What the owner may answer.
const CONTINUE: &str = "continue";
const STOP: &str = "stop";

/// What is out of the ordinary, and what would be let pass by going on.
struct Found {
    why: String,
    task: Used,
    hour: (i64, Used),
}

/// Pauses the task if something is out of the ordinary. None when it may go on at once.
pub(crate) async fn check(run: &Run<'_>, state: &State) -> Result<Option<Flow>, StoreError> {
    let Some(found) = unusual(run, state)? else { return Ok(None) };
    let number = state.progress.pauses + 1;
    let request = match run.deps.store.request_for_call(run.turn.id, &key(number))? {
        Some(request) => request,
        None => put(run, number, &found).await?,
    };
    let request = approvals::wait(run, request).await?;
    let flow = match &request.answer {
        // Stopped from outside; the loop sees to it.
        None => Flow::Again,
        Some(Answer::Text { text }) => return said(run, state, found, text).await.map(Some),
        Some(Answer::Approved { .. }) => return accept(run, state, found).await.map(Some),
        Some(Answer::Denied) => Flow::Close(TurnEnd::Stopped),
        Some(Answer::Expired | Answer::Withdrawn) => Flow::Close(TurnEnd::Limit { limit: unanswered(run, &found) }),
    };
    Ok(Some(flow))
}

fn key(number: u32) -> String {
    format!("pause:{number}")
}

fn unanswered(run: &Run<'_>, found: &Found) -> String {
    let hours = run.deps.settings.alarms.patience.as_secs_f64() / 3_600.0;
    format!("{}, and nobody answered for {hours:.1} hours", found.why)
}

/// What the owner said: go on, stop, or something that is asked about again.
async fn said(run: &Run<'_>, state: &State, found: Found, text: &str) -> Result<Flow, StoreError> {
    let word: String = text.trim().chars().take_while(|c| c.is_alphabetic()).collect::<String>().to_lowercase();
    match word.as_str() {
        CONTINUE | "yes" | "go" => accept(run, state, found).await,
        STOP | "no" => Ok(Flow::Close(TurnEnd::Stopped)),
        _ if state.progress.unclear >= MAX_UNCLEAR => Ok(Flow::Close(TurnEnd::Stopped)),
        _ => {
            let progress = &state.progress;
            let (pauses, unclear) = (progress.pauses + 1, progress.unclear + 1);
            save(run, Progress { pauses, unclear, ..progress.clone() }).await
        }
    }
}

/// The owner lets it pass; only twice as much is asked about again.
async fn accept(run: &Run<'_>, state: &State, found: Found) -> Result<Flow, StoreError> {
    let calls = state.calls.len() as u64;
    let progress = Progress {
        pauses: state.progress.pauses + 1,
        unclear: 0,
        accepted: found.task,
        accepted_hour: found.hour,
        accepted_calls: calls,
        ..state.progress.clone()
    };
    save(run, progress).await
}

async fn save(run: &Run<'_>, progress: Progress) -> Result<Flow, StoreError> {
    let session = run.session;
    run.commit(move |tx: &mut Tx<'_>| progress.save(tx, session)).await?;
    Ok(Flow::Again)
}

async fn put(run: &Run<'_>, number: u32, found: &Found) -> Result<OwnerRequest, StoreError> {
    let patience = run.deps.settings.alarms.patience;
    let hours = patience.as_secs_f64() / 3_600.0;
    let text = format!(
        "This task is paused: {}. Answer `{CONTINUE}` or `{STOP}`; without an answer it is stopped in {hours:.1} hours.",
        found.why
    );
    let detail = json!({ "event": "paused", "why": found.why, "task": found.task, "hour": found.hour.1 });
    if let Err(error) = gate::audit(run, &key(number), AuditKind::Alarm, detail).await {
        // The task is paused all the same, and no call of it has an effect without a record of its own.
        tracing::error!(%error, turn = %run.turn.id, "an alarm could not be written to the audit log");
    }
    let new = NewRequest {
        session: run.session,
        turn: run.turn.id,
        call: key(number),
        ask: Ask::Question { text, options: vec![CONTINUE.to_owned(), STOP.to_owned()] },
        expires_at: run.deps.clock.now().plus(patience),
    };
    run.commit(move |tx: &mut Tx<'_>| tx.ask_owner(new)).await
}

/// Compares the task with the tasks before it, and the hour with the hours before.
fn unusual(run: &Run<'_>, state: &State) -> Result<Option<Found>, StoreError> {
    let (rules, store) = (&run.deps.settings.alarms, &run.deps.store);
    if *rules == alarm::Rules::OFF {
        return Ok(None);
    }
    let now = run.deps.clock.now();
    // The number of model calls is read anew: the run's own turn is as it was when it began.
    let turn = store.turn(run.turn.id)?.unwrap_or_else(|| run.turn.clone());
    let spent = limits::spent(&turn, now, |scope| store.spent(scope))?;
    let task = Used {
        money: spent.task,
        tokens: spent.tokens,
        steps: u64::from(spent.steps),
        bytes_up: (run.deps.sent)(run.session),
        denied: denied(state),
    };
    let earlier = store.spent_by_turns(run.turn.id, HISTORY)?;
    let history: Vec<Used> = earlier.into_iter().map(|(spend, steps)| used(&spend, u64::from(steps))).collect();
    let hour = hour_of(now);
    let this_hour = used(&store.spent(SpendScope::Hour(hour))?, 0);
    let found = |what: &str, unusual: Unusual| {
        Some(Found { why: format!("{what} has used {unusual}"), task, hour: (hour, this_hour) })
    };
    if let Some(unusual) = alarm::judge(&rules.task, &history, &task, &state.progress.accepted) {
        return Ok(found("it", unusual));
    }
    let hours: Vec<Used> = store.spent_by_hours(hour, HISTORY)?.iter().map(|spend| used(spend, 0)).collect();
    let accepted = match state.progress.accepted_hour {
        (accepted, used) if accepted == hour => used,
        _ => Used::ZERO,
    };
    Ok(alarm::judge(&rules.hour, &hours, &this_hour, &accepted).and_then(|unusual| found("this hour", unusual)))
}

fn used(spend: &store::Spend, steps: u64) -> Used {
    let tokens = spend.usage.context().saturating_add(spend.usage.output);
    Used { money: spend.total(), tokens, steps, ..Used::ZERO }
}

/// How many of the last calls in a row were not allowed, since the owner last let it pass.
fn denied(state: &State) -> u64 {
    let since = usize::try_from(state.progress.accepted_calls).unwrap_or(usize::MAX);
    let ends = state.calls.iter().skip(since).rev();
    ends.take_while(|record| record.state == store::CallState::Finished(ToolEnd::Denied)).count() as u64
}
