//! The end of a turn that does not end with the model's answer. Everything that is open is closed in one transaction,
//! so that the next turn finds a conversation in which every call has a result.

use store::{CallRecord, CallState, StoreError, Tx};
use types::TurnEnd;

use crate::{answer::note, calls::Outcome, outcome, progress::Progress, report, run::Run, state::State};

/// Ends the turn.
pub(crate) async fn close(run: &Run<'_>, end: TurnEnd) -> Result<TurnEnd, StoreError> {
    let mut state = State::load(run)?;
    let answered = state.unanswered(run);
    let closed: Vec<(String, Outcome)> = answered.iter().filter_map(closing).collect();
    let finished: Vec<CallRecord> = answered.into_iter().map(|record| overlay(record, &closed)).collect();
    state.calls = std::mem::take(&mut state.calls).into_iter().map(|record| overlay(record, &closed)).collect();
    let results = (!finished.is_empty()).then(|| state.results(run, &finished).message);
    let text = outcome::final_text(&end, &state.calls, &state.last_text(run));
    let text = run.redactor().redact(&report::under(text, report::of(run, &state.calls)?)).into_owned();
    let open = state.progress.open;
    let progress = Progress { open: None, ..state.progress };
    let (session, turn, ended) = (run.session, run.turn.id, end.clone());
    run.commit(move |tx: &mut Tx<'_>| {
        if let Some(step) = open {
            tx.settle_unknown(turn, step)?;
        }
        tx.withdraw_requests(turn)?;
        for (call, outcome) in closed {
            tx.finish_call(turn, &call, outcome.end, outcome.output)?;
        }
        if let Some(results) = results {
            tx.append_message(results)?;
        }
        if let Some(text) = outcome::note(&ended) {
            tx.append_message(note(session, turn, text))?;
        }
        progress.save(tx, session)?;
        tx.finish_turn(turn, ended, text)
    })
    .await?;
    Ok(end)
}

/// How a call that is still open ends with the turn.
fn closing(record: &CallRecord) -> Option<(String, Outcome)> {
    let outcome = match record.state {
        CallState::Finished(_) => return None,
        CallState::Started => Outcome::broken_off(),
        CallState::Planned => Outcome::not_run(),
    };
    Some((record.call.id.clone(), outcome))
}

fn overlay(record: CallRecord, closed: &[(String, Outcome)]) -> CallRecord {
    match closed.iter().find(|(call, _)| *call == record.call.id) {
        Some((_, outcome)) => {
            CallRecord { state: CallState::Finished(outcome.end), output: Some(outcome.output.clone()), ..record }
        }
        None => record,
    }
}
