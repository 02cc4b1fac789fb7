//! Calls that may not persist by themselves and can wait: proposals. A task without the owner leaves them, the owner decides
//! later, and [`accept`] runs what was stored, once.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use policy::{Grant, Reason, Request, canonical, redeem};
use serde_json::{Value, json};
use store::{
    StoreError, Tx,
    audit::{AuditEntry, AuditError, AuditKind},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::{Answer, Effect, Origin, Proposal, ProposalId, Question, Settlement, ToolCall, ToolContext, ToolOutput};

use crate::{Deps, calls::Outcome, cap::cap, run::Run};

/// The longest that an accepted proposal may run.
const PATIENCE: Duration = Duration::from_secs(120);
/// Progress that nobody sees; more is dropped.
const PROGRESS_QUEUE: usize = 8;
/// The most characters of arguments in the audit log.
const AUDITED: usize = 4_000;

/// Keeps a call of this turn as a proposal. Asked again after a crash, it is the same one.
pub(crate) async fn propose(run: &Run<'_>, call: &ToolCall, question: Box<Question>) -> Result<Outcome, StoreError> {
    let id = call.id.clone();
    let kept = run.commit(move |tx: &mut Tx<'_>| tx.propose(&id, &question)).await?;
    Ok(Outcome::denied(match kept {
        Some(proposal) => format!(
            "nobody is present to approve it, so it waits for the owner as proposal {}; it has had no effect. Go on \
             without it",
            proposal.id
        ),
        None => "nobody is present to approve it, and too many proposals wait for the owner already".to_owned(),
    }))
}

/// Runs a proposal that the owner accepts: the stored call, once. The caller has made sure that it is the owner who
/// accepts. What came of it is stored with the proposal and returned; none when it was settled before.
pub async fn accept(deps: &Deps, id: ProposalId, cancel: CancellationToken) -> Result<Option<Settlement>, StoreError> {
    let missing = || StoreError::NotFound { what: "proposal", id: id.to_string() };
    let proposal = deps.store.proposal(id)?.ok_or_else(missing)?;
    let prepared = prepare(deps, &proposal);
    let detail = json!({
        "proposal": id,
        "tool": proposal.question.tool,
        "arguments": cap(&(deps.redactor)().redact(&proposal.question.arguments), AUDITED),
        "decision": if prepared.is_ok() { "accepted by the owner" } else { "refused" },
    });
    if let Err(error) = audit(deps, &proposal, AuditKind::ToolIntent, detail).await {
        let error = format!("nothing was done, because the audit log cannot be written: {error}");
        return Ok(Some(Settlement::Failed { error }));
    }
    if let Err(why) = (deps.ready)() {
        return Ok(Some(Settlement::Failed { error: format!("nothing was done: {why}. It still waits") }));
    }
    // From here on it counts as having run: a crash before its end leaves it accepted, and it is not repeated.
    if !deps.store.transact(move |tx| tx.settle_proposal(id, true)).await? {
        return Ok(None);
    }
    let settlement = match prepared {
        Ok((input, grant)) => operate(deps, &proposal, &input, &grant, cancel).await,
        Err(reason) => Settlement::Failed { error: reason.0 },
    };
    let detail = json!({ "proposal": id, "settlement": settlement });
    if let Err(error) = audit(deps, &proposal, AuditKind::ToolOutcome, detail).await {
        tracing::error!(%error, proposal = %id, "the outcome of a proposal could not be written to the audit log");
    }
    let stored = settlement.clone();
    deps.store.transact(move |tx| tx.finish_proposal(id, stored)).await?;
    Ok(Some(settlement))
}

/// The stored arguments and the grant for them, if the call still is what was shown.
fn prepare(deps: &Deps, proposal: &Proposal) -> Result<(Value, Grant), Reason> {
    let question = &proposal.question;
    let refuse = |text: &str| Reason(text.to_owned());
    let tool = deps.tools.find(&question.tool).ok_or_else(|| refuse("its tool does not exist any more"))?;
    if deps.rules.get().tools.get(&question.tool) == Some(&policy::ToolRule::Deny) {
        return Err(refuse("its tool is switched off"));
    }
    let input: Value = serde_json::from_str(&question.arguments).map_err(|_| refuse("its arguments are damaged"))?;
    let effect = tool.assess(&input).map_err(|invalid| Reason(invalid.0))?;
    let grant = redeem(question, &Answer::ONCE, &request(question, &input, &effect), &rules_of(deps, question))?;
    debug_assert_eq!(canonical(&input), question.arguments);
    Ok((input, grant))
}

/// The call as it was judged. What the owner accepts is what was shown then, whatever has entered the session since.
fn request<'a>(question: &'a Question, input: &'a Value, effect: &'a Effect) -> Request<'a> {
    Request {
        tool: &question.tool,
        input,
        effect,
        label: question.label,
        origin: Origin::Owner,
        session: question.session,
        turn: question.turn,
        workspace: &question.workspace,
        workspace_state: question.workspace_state.as_deref(),
        destinations_are_owners: false,
        touched: 0,
    }
}

/// The rules in force, under the version that the question was put with: a proposal waits longer than rules do, and the
/// one rule that could forbid it has been looked at.
fn rules_of(deps: &Deps, question: &Question) -> policy::Rules {
    policy::Rules { version: question.policy_version, ..(*deps.rules.get()).clone() }
}

async fn operate(
    deps: &Deps,
    proposal: &Proposal,
    input: &Value,
    grant: &Grant,
    cancel: CancellationToken,
) -> Settlement {
    let question = &proposal.question;
    let Some(tool) = deps.tools.find(&question.tool) else {
        return Settlement::Failed { error: "its tool does not exist any more".to_owned() };
    };
    let (progress, _unseen) = mpsc::channel(PROGRESS_QUEUE);
    let context = ToolContext {
        session: question.session,
        turn: question.turn,
        call: proposal.call.clone(),
        workspace: question.workspace.clone(),
        // Accepting is no endorsement: what persists keeps the label of the session that made it.
        label: question.label,
        cancel: cancel.clone(),
        progress,
    };
    let work = AssertUnwindSafe(tool.run(grant, input, &context)).catch_unwind();
    let done = tokio::time::timeout(PATIENCE, work).await;
    let masked = |text: &str| (deps.redactor)().redact(text).into_owned();
    match done {
        Ok(Ok(ToolOutput { text, is_error: false, .. })) => Settlement::Done { text: masked(&text) },
        Ok(Ok(ToolOutput { text, .. })) => Settlement::Failed { error: masked(&text) },
        Ok(Err(_panic)) => Settlement::Failed { error: "the tool failed by a fault of its own".to_owned() },
        Err(_elapsed) => {
            cancel.cancel();
            Settlement::Failed { error: format!("it did not end within {} s", PATIENCE.as_secs()) }
        }
    }
}

async fn audit(deps: &Deps, proposal: &Proposal, kind: AuditKind, detail: Value) -> Result<(), AuditError> {
    let question = &proposal.question;
    let entry = AuditEntry {
        session: Some(question.session),
        turn: Some(question.turn),
        call: Some(proposal.call.clone()),
        kind,
        detail,
    };
    deps.store.audit().append(entry).await.map(|_| ())
}
