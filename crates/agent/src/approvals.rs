//! Asking the owner about one call. A request is put once: after a restart the same one is waited for.

use serde_json::json;
use store::{NewRequest, StoreError, Tx, audit::AuditKind};
use types::{Answer, Ask, OwnerRequest, Question, ToolCall};

use crate::{calls::Outcome, gate, run::Run};

/// What came of asking.
pub(crate) enum Asked {
    /// The owner said yes. It is not used yet.
    Approved(Box<OwnerRequest>),
    /// The call must not run.
    Refused(Outcome),
}

/// Asks, and waits until there is an answer, the time is over or the turn is stopped.
pub(crate) async fn ask(run: &Run<'_>, call: &ToolCall, question: Box<Question>) -> Result<Asked, StoreError> {
    let request = match known(run, call)? {
        // Approved before a restart, and the restart took longer than the approval holds.
        Some(request) if request.answer.as_ref().is_some_and(Answer::is_approval) && has_passed(run, &request) => {
            return Ok(Asked::Refused(Outcome::denied(
                "it was approved, but the approval's time was over before it could run; ask again",
            )));
        }
        Some(request) => wait(run, request).await?,
        None => {
            let request = put(run, call, question).await?;
            wait(run, request).await?
        }
    };
    let refusal = match &request.answer {
        None => return Ok(Asked::Refused(Outcome::not_run())),
        Some(Answer::Approved { .. }) => return Ok(Asked::Approved(Box::new(request))),
        Some(Answer::Denied) => "the owner said no; do not try to get the same effect in another way",
        Some(Answer::Expired) => "nobody approved it in time; go on without it, or end with what you need",
        Some(Answer::Withdrawn) => "the question was withdrawn before anybody answered",
        Some(Answer::Text { .. }) => "the owner answered in words, which is no approval",
    };
    Ok(Asked::Refused(Outcome::denied(refusal)))
}

fn known(run: &Run<'_>, call: &ToolCall) -> Result<Option<OwnerRequest>, StoreError> {
    let request = run.deps.store.request_for_call(run.turn.id, &call.id)?;
    Ok(request.filter(|request| match request.ask {
        Ask::Approval(_) => true,
        Ask::Question { .. } => false,
    }))
}

fn has_passed(run: &Run<'_>, request: &OwnerRequest) -> bool {
    run.deps.clock.now() >= request.expires_at
}

async fn put(run: &Run<'_>, call: &ToolCall, question: Box<Question>) -> Result<OwnerRequest, StoreError> {
    let new = NewRequest {
        session: run.session,
        turn: run.turn.id,
        call: call.id.clone(),
        ask: Ask::Approval(question),
        expires_at: run.deps.clock.now().plus(run.deps.settings.approval_timeout),
    };
    run.commit(move |tx: &mut Tx<'_>| tx.ask_owner(new)).await
}

/// Waits until there is an answer, the time is over or the turn is stopped; then the request is as it was.
pub(crate) async fn wait(run: &Run<'_>, request: OwnerRequest) -> Result<OwnerRequest, StoreError> {
    if request.answer.is_some() {
        return Ok(request);
    }
    let left = request.expires_at.since(run.deps.clock.now());
    let settled = tokio::select! {
        biased;
        settled = run.deps.store.wait_request(request.id) => settled?,
        () = run.halt.cancelled() => return Ok(request),
        () = tokio::time::sleep(left) => expire(run, request).await?,
    };
    let detail = json!({ "request": settled.id, "answer": settled.answer });
    if let Err(error) = gate::audit(run, &settled.call, AuditKind::Approval, detail).await {
        // The approval itself is in the journal; the effect has its own record, without which it does not happen.
        tracing::error!(%error, "an answer of the owner could not be written to the audit log");
    }
    Ok(settled)
}

async fn expire(run: &Run<'_>, request: OwnerRequest) -> Result<OwnerRequest, StoreError> {
    let id = request.id;
    // An answer that came in the same moment wins; what is stored counts.
    run.commit(move |tx: &mut Tx<'_>| tx.answer(id, Answer::Expired, None)).await?;
    Ok(run.deps.store.request(id)?.unwrap_or(request))
}
