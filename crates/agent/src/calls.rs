//! The calls of one answer: those that only read run together, the others one after the other in the model's order.

use futures_util::stream::{FuturesUnordered, StreamExt};
use policy::budget;
use store::{BlockOrigin, CallRecord, CallState, StoreError, Tx};
use types::{BoxFuture, Event, Level, ToolEnd, ToolOutput};

use crate::{cap::line, gate, limits, reader, run::Run};

/// The most calls that run at once.
const MAX_TOGETHER: usize = 8;

/// The most characters of a call's summary where it stands for the cause of a label.
const MAX_CAUSE: usize = 160;

/// What came of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub end: ToolEnd,
    pub output: ToolOutput,
}

impl Outcome {
    /// It failed, in our own words.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self { end: ToolEnd::Error, output: ToolOutput::error(text) }
    }

    /// It was not allowed.
    pub(crate) fn denied(reason: impl std::fmt::Display) -> Self {
        Self { end: ToolEnd::Denied, output: ToolOutput::error(format!("not allowed: {reason}")) }
    }

    /// The turn ended before it ran.
    pub(crate) fn not_run() -> Self {
        Self { end: ToolEnd::Stopped, output: ToolOutput::error("this did not run: the task was ended before") }
    }

    /// The turn ended while it ran.
    pub(crate) fn broken_off() -> Self {
        let text = "this was broken off while it ran, because the task was ended; it may have had a part of its effect";
        Self { end: ToolEnd::Stopped, output: ToolOutput::error(text) }
    }

    /// The daemon died while it ran.
    fn unknown() -> Self {
        let text = "the daemon stopped while this ran; it was NOT repeated and its outcome is unknown: check its effect \
                    before going on";
        Self { end: ToolEnd::Unknown, output: ToolOutput::error(text) }
    }
}

/// Deals with all calls that have not finished. Stops early when the turn is halted or a limit is reached; gives the
/// limit then.
pub(crate) async fn run_all(run: &Run<'_>, records: &[CallRecord]) -> Result<Option<String>, StoreError> {
    let mut rest = records;
    while let Some(first) = rest.first() {
        if run.halt.is_cancelled() {
            return Ok(None);
        }
        if let Some(limit) = limit_reached(run)? {
            return Ok(Some(limit));
        }
        let together = rest.iter().take_while(|record| gate::only_reads(run, &record.call)).count();
        if together == 0 {
            deal(run, first).await?;
            rest = &rest[1..];
        } else {
            deal_together(run, &rest[..together]).await?;
            rest = &rest[together..];
        }
    }
    Ok(None)
}

fn limit_reached(run: &Run<'_>) -> Result<Option<String>, StoreError> {
    let store = &run.deps.store;
    let spent = limits::spent(&run.turn, run.deps.clock.now(), |scope| store.spent(scope))?;
    Ok(budget::check_running(&limits::in_force(&run.deps.settings.limits), &spent)
        .err()
        .map(|exceeded| exceeded.to_string()))
}

async fn deal_together(run: &Run<'_>, records: &[CallRecord]) -> Result<(), StoreError> {
    let mut running: FuturesUnordered<BoxFuture<'_, Result<(), StoreError>>> = FuturesUnordered::new();
    for record in records {
        if running.len() == MAX_TOGETHER
            && let Some(done) = running.next().await
        {
            done?;
        }
        running.push(Box::pin(deal(run, record)));
    }
    while let Some(done) = running.next().await {
        done?;
    }
    Ok(())
}

/// Deals with one call, from wherever it stands, and stores what came of it.
async fn deal(run: &Run<'_>, record: &CallRecord) -> Result<(), StoreError> {
    let outcome = match record.state {
        CallState::Finished(_) => return Ok(()),
        CallState::Planned if reader::is_called(run, &record.call) => reader::read(run, record).await?,
        CallState::Planned => gate::gate(run, record).await?,
        CallState::Started if reader::is_called(run, &record.call) => reader::read(run, record).await?,
        CallState::Started if record.read_only => gate::gate(run, record).await?,
        CallState::Started => Outcome::unknown(),
    };
    let (session, turn, id) = (run.session, run.turn.id, record.call.id.clone());
    let tool = record.call.name.clone();
    let summary = line(&gate::summary(run, &record.call), MAX_CAUSE);
    let notice = (outcome.end == ToolEnd::Unknown).then(|| Event::Notice {
        level: Level::Warning,
        text: format!(
            "factotum was restarted while `{}` ran. It was not repeated; whether it had its effect is not known.",
            if record.summary.is_empty() { &tool } else { &record.summary }
        ),
    });
    let report = denied(run, &outcome, &summary)?;
    run.commit(move |tx: &mut Tx<'_>| {
        // The label rises with the result in one transaction: no later call is judged without it.
        let origin = BlockOrigin { turn: Some(turn), call: Some(&id) };
        tx.raise_label_by(session, outcome.output.label, origin, &format!("the result of `{tool}`: {summary}"))?;
        tx.finish_call(turn, &id, outcome.end, outcome.output)?;
        if let Some(notice) = notice {
            tx.record(Some(session), Some(turn), notice)?;
        }
        if let Some(report) = report {
            // Without its turn, so that it goes to the owner and not to whoever set the task off.
            tx.record(Some(session), None, report)?;
        }
        Ok(())
    })
    .await
}

/// Told when a call was not allowed and the owner is not there to see it: once for each task, which may try a hundred.
fn denied(run: &Run<'_>, outcome: &Outcome, summary: &str) -> Result<Option<Event>, StoreError> {
    if outcome.end != ToolEnd::Denied || run.turn.origin.is_attended() {
        return Ok(None);
    }
    let was_denied = |record: &CallRecord| record.state == CallState::Finished(ToolEnd::Denied);
    if run.deps.store.calls(run.turn.id)?.iter().any(was_denied) {
        return Ok(None);
    }
    let text = format!("a task without you wanted `{summary}`: {}", line(&outcome.output.text, MAX_CAUSE));
    Ok(Some(Event::Notice { level: Level::Warning, text }))
}
