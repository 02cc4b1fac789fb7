//! The gate for what a coding agent asks to be allowed: the same judgement, questions and records as for a call of our own
//! model, without a tool that runs here. Start with [`permit`].

use serde_json::{Value, json};
use store::{StoreError, Tx, audit::AuditKind};
use tokio_util::sync::CancellationToken;
use types::{Answer, Effect, Label, ToolCall, TurnId};

use super::{Judged, Settled, audit, not_ready, owner_wrote, redeemed, settle, touched};
use crate::{Deps, calls::Outcome, run::Run, verdict};

/// Something that a coding agent asks to be allowed, in the terms of our own tools.
#[derive(Clone, Debug)]
pub struct Permission {
    /// A name for it that no other one of this turn has, and that it has again after a restart.
    pub key: String,
    /// Which coding agent asks.
    pub by: String,
    /// The tool of ours that it would be, so that the owner's rules for that tool hold.
    pub tool: String,
    /// The arguments that it would have.
    pub input: Value,
    /// What it would do.
    pub effect: Effect,
    /// Whether it works in the workspace itself, so that an approval depends on the state of the files there. A tree of its
    /// own holds nothing of the owner's.
    pub in_workspace: bool,
    /// Why the owner cannot be asked about it, if they cannot: then what would be asked about is refused with this.
    pub unasked: Option<String>,
}

/// Judges what a coding agent asks for as a call of our own would be judged: the same table, rules, questions and records.
/// What it says is foreign and it has read the owner's files, so it counts as the highest label. An error is the reason
/// for a refusal, for the coding agent's model. A yes lifts the one use that has this key. Asked again with the same key, because
/// the daemon died before the answer was given, it goes on waiting for the same answer, and takes it.
pub async fn permit(
    deps: &Deps,
    turn: store::Turn,
    halt: CancellationToken,
    asked: Permission,
) -> Result<Result<(), String>, StoreError> {
    let run = &Run::new(deps, turn, halt)?;
    let call = ToolCall { id: asked.key, name: asked.tool, input: asked.input };
    let mut judged = Judged {
        destinations_are_owners: owner_wrote(run, &asked.effect.destinations)?,
        touched: touched(run, &call)?,
        call: call.clone(),
        // What it says is foreign, and it has read the owner's files.
        passed_on: Some(Label::UNKNOWN),
        summary: run.redactor().redact(&asked.effect.summary).into_owned(),
        by: Some(asked.by),
        effect: asked.effect,
        in_workspace: asked.in_workspace,
        workspace_state: None,
        unasked: asked.unasked,
    };
    let outcome = match settle(run, &call, &mut judged).await? {
        Settled::Refused(outcome) => Err(outcome),
        Settled::Proposable(_) => Err(Outcome::denied("it would change what persists, which no coding agent may")),
        Settled::Permitted(_) if run.halt.is_cancelled() => Err(Outcome::not_run()),
        Settled::Permitted(permit) => match not_ready(run, &judged) {
            Some(refused) => Err(refused),
            None => {
                verdict::look_again(run, &mut judged).await;
                redeemed(run, &judged, permit, None).await?.map(drop).map_err(Outcome::denied)
            }
        },
    };
    let detail = json!({
        "tool": judged.call.name,
        "by": judged.by,
        "end": match &outcome {
            Ok(()) => "allowed",
            Err(_) => "refused",
        },
    });
    if let Err(error) = audit(run, &judged.call.id, AuditKind::ToolOutcome, detail).await {
        tracing::error!(%error, turn = %run.turn.id, "the answer to a coding agent could not be written to the audit log");
    }
    Ok(outcome.map_err(|outcome| outcome.output.text))
}

/// A coding agent does not wait for this any more: an open question about it is withdrawn.
pub async fn withdraw(deps: &Deps, turn: TurnId, key: &str) -> Result<(), StoreError> {
    let Some(request) = deps.store.request_for_call(turn, key)?.filter(|request| request.answer.is_none()) else {
        return Ok(());
    };
    deps.store.transact(move |tx: &mut Tx<'_>| tx.answer(request.id, Answer::Withdrawn, None)).await.map(drop)
}
