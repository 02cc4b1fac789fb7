//! The judgement of one call: the policy table, then the rules that the owner saved, then the state of the workspace that
//! a question is bound to. It must not ask and must not run anything; `gate` does.

use policy::{Decision, Grant, Reason, allowance, decide};
use store::StoreError;
use types::{Allowance, Question, Sink};

use crate::{calls::Outcome, gate::Judged, run::Run};

/// What becomes of a call.
pub(crate) enum Verdict {
    /// Policy allows it.
    Allow(Grant),
    /// Policy would ask, and a rule of the owner answers. It is not used yet.
    Allowed(Box<Allowance>),
    /// The owner is to be asked.
    Ask(Box<Question>),
    /// It waits for the owner as a proposal.
    Propose(Box<Question>),
    /// It must not run.
    Deny(Reason),
}

/// Judges a call. A failure is for the model: nothing was done.
pub(crate) async fn judge(run: &Run<'_>, judged: &mut Judged) -> Result<Result<Verdict, Outcome>, StoreError> {
    let label = judged.judged_by(run.label()?);
    match decide(&judged.request(run, label), &run.deps.rules.get()) {
        Decision::Allow(grant) => return Ok(Ok(Verdict::Allow(grant))),
        Decision::Deny(reason) => return Ok(Ok(Verdict::Deny(reason))),
        Decision::Propose(question) => return Ok(Ok(Verdict::Propose(question))),
        Decision::Ask(_) => {}
    }
    let saved = run.deps.store.allowances_for(run.turn.id, &judged.call.name)?;
    if let Some(allowance) =
        saved.into_iter().find(|saved| allowance::matches(&saved.rule, &judged.request(run, label)))
    {
        return Ok(Ok(Verdict::Allowed(Box::new(allowance))));
    }
    if depends_on_files(judged) {
        match (run.deps.workspace_state)(run.session, run.workspace.clone()).await {
            Ok(state) => judged.workspace_state = Some(state),
            Err(error) => {
                let text = format!("nothing was done, because the state of the workspace cannot be told: {error}");
                return Ok(Err(Outcome::failed(text)));
            }
        }
    }
    Ok(Ok(match decide(&judged.request(run, label), &run.deps.rules.get()) {
        Decision::Allow(grant) => Verdict::Allow(grant),
        Decision::Ask(question) => Verdict::Ask(question),
        Decision::Propose(question) => Verdict::Propose(question),
        Decision::Deny(reason) => Verdict::Deny(reason),
    }))
}

/// Looks at the workspace once more, right before the approval is redeemed. A state that cannot be told is another one
/// than was shown, so that the approval does not hold.
pub(crate) async fn look_again(run: &Run<'_>, judged: &mut Judged) {
    if judged.workspace_state.is_some() {
        judged.workspace_state = (run.deps.workspace_state)(run.session, run.workspace.clone()).await.ok();
    }
}

/// Whether what the call does may come from the files of the workspace: a command runs what they hold. What is sent,
/// fetched or kept stands in the call itself.
fn depends_on_files(judged: &Judged) -> bool {
    if !judged.in_workspace {
        return false;
    }
    match judged.effect.sink {
        Sink::Compute | Sink::WorkspaceWrite | Sink::Destructive => !judged.effect.read_only,
        Sink::Fetch | Sink::Send | Sink::Reply | Sink::Persist | Sink::Credential => false,
    }
}
