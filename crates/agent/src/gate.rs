//! The gate: everything that must be true before a tool call has an effect, in order. Read [`gate`] beside the policy
//! table in `policy::decide`.

mod permit;

use std::sync::Arc;

use policy::{Grant, Reason, Request, allowance, canonical, destination, label_of_call, redeem};
use serde_json::{Value, json};
use store::{
    Author, CallRecord, CallState, StoreError, Tx,
    audit::{AuditEntry, AuditError, AuditKind},
};
use types::{Allowance, Ask, Effect, Invariant, Label, Message, OwnerRequest, Question, Sink, Tool, ToolCall};

use crate::{
    approvals::{self, Asked},
    calls::Outcome,
    cap::cap,
    handles,
    perform::{Work, perform},
    proposals, reader,
    run::Run,
    verdict::{self, Verdict},
};

/// The most characters of arguments in the audit log.
const AUDITED: usize = 4_000;
/// How far back the owner's messages are searched for a destination.
const MESSAGES_SEARCHED: usize = 2_000;

/// One call and everything that its judgement depends on.
#[derive(Clone)]
pub(crate) struct Judged {
    /// With the texts that its handles stand for.
    pub call: ToolCall,
    /// The label of those texts; none when it has no handles.
    passed_on: Option<Label>,
    /// What it does, in a line that names handles and does not show their texts.
    summary: String,
    /// Who asks, where it is not the session's own model: the name of a coding agent.
    by: Option<String>,
    pub effect: Effect,
    destinations_are_owners: bool,
    touched: u32,
    /// Whether it works in the session's workspace, and not in a copy of it.
    pub in_workspace: bool,
    /// The state of the workspace that the call was shown with, where it depends on one.
    pub workspace_state: Option<String>,
    /// Why the owner cannot be asked, if they cannot.
    unasked: Option<String>,
}

pub use permit::{Permission, permit, withdraw};

/// How the call came to be allowed.
enum Permit {
    Granted(Grant),
    Approved(Box<OwnerRequest>),
    Allowed(Box<Allowance>),
}

/// One call, from its arguments to its result. No audit row, no effect; no grant, no effect.
pub(crate) async fn gate(run: &Run<'_>, record: &CallRecord) -> Result<Outcome, StoreError> {
    let (mut judged, tool) = match assess(run, &record.call)? {
        Ok(judged) => judged,
        Err(refused) => return Ok(refused),
    };
    let permit = match settle(run, &record.call, &mut judged).await? {
        Settled::Permitted(permit) => permit,
        Settled::Refused(outcome) => return Ok(outcome),
        Settled::Proposable(question) => return proposals::propose(run, &record.call, question).await,
    };
    if let Err(error) = save_workspace(run, &judged).await? {
        return Ok(Outcome::failed(format!(
            "nothing was done, because the workspace could not be saved before: {error}"
        )));
    }
    if run.halt.is_cancelled() {
        return Ok(Outcome::not_run());
    }
    // The owner may have taken a while to answer.
    if let Some(refused) = not_ready(run, &judged) {
        return Ok(refused);
    }
    verdict::look_again(run, &mut judged).await;
    // A call that runs again after a crash was marked by the run before.
    let mark = (record.state != CallState::Started).then_some(mark as Mark);
    let grant = match redeemed(run, &judged, permit, mark).await? {
        Ok(grant) => grant,
        Err(reason) => return Ok(Outcome::denied(reason)),
    };
    let work = Work {
        tool: &tool,
        input: &judged.call.input,
        call: &judged.call.id,
        session: run.session,
        label: judged.label(run.label().unwrap_or(Label::UNKNOWN)),
    };
    let outcome = perform(run, work, &grant).await;
    audit_outcome(run, &judged, &outcome).await;
    // What a tool says about a text that the session must not read may hold that text.
    Ok(if judged.passed_on.is_some() { handles::unsaid(outcome) } else { outcome })
}

/// What a judgement, and the owner where there was a question, came to.
enum Settled {
    /// It may happen. Nothing is used up yet.
    Permitted(Permit),
    /// It may not.
    Refused(Outcome),
    /// It can wait for the owner as a proposal.
    Proposable(Box<Question>),
}

/// The judgement of a call: policy, the audit of the intent, and the owner's answer where one is needed. `call` is as the
/// one who asks wrote it.
async fn settle(run: &Run<'_>, call: &ToolCall, judged: &mut Judged) -> Result<Settled, StoreError> {
    let unrecorded = |error: AuditError| {
        Outcome::failed(format!("nothing was done, because the audit log cannot be written: {error}"))
    };
    let verdict = match verdict::judge(run, judged).await? {
        Ok(verdict) => verdict,
        Err(failed) => return Ok(Settled::Refused(failed)),
    };
    if let Err(error) = audit_intent(run, judged, &verdict).await
        && !Invariant::AuditBeforeEffect.is_broken()
    {
        return Ok(Settled::Refused(unrecorded(error)));
    }
    if let Some(refused) = not_ready(run, judged) {
        return Ok(Settled::Refused(refused));
    }
    Ok(match verdict {
        Verdict::Deny(reason) => Settled::Refused(Outcome::denied(reason)),
        Verdict::Propose(question) => Settled::Proposable(question),
        Verdict::Allow(grant) => Settled::Permitted(Permit::Granted(grant)),
        Verdict::Allowed(allowance) => Settled::Permitted(Permit::Allowed(allowance)),
        Verdict::Ask(_) if judged.unasked.is_some() => {
            Settled::Refused(Outcome::denied(judged.unasked.as_deref().unwrap_or_default()))
        }
        Verdict::Ask(question) => match approvals::ask(run, call, question).await? {
            Asked::Approved(request) => {
                let detail = json!({ "tool": judged.call.name, "decision": "approved", "request": request.id });
                match audit(run, &judged.call.id, AuditKind::ToolIntent, detail).await {
                    Err(error) if !Invariant::AuditBeforeEffect.is_broken() => Settled::Refused(unrecorded(error)),
                    Ok(()) | Err(_) => Settled::Permitted(Permit::Approved(request)),
                }
            }
            Asked::Refused(outcome) => Settled::Refused(outcome),
        },
    })
}

/// A call that changes something is refused while the daemon cannot answer for it.
fn not_ready(run: &Run<'_>, judged: &Judged) -> Option<Outcome> {
    if judged.effect.read_only {
        return None;
    }
    let refused = (run.deps.ready)().err()?;
    Some(Outcome::failed(format!("nothing was done: {refused}. Nothing that changes anything can run until then")))
}

/// Whether a call changes nothing. A call that cannot be judged has no effect either.
pub(crate) fn only_reads(run: &Run<'_>, call: &ToolCall) -> bool {
    let effect = run.deps.tools.find(&call.name).map(|tool| tool.assess(&call.input));
    // A reader reserves money for its model call, which is done for one at a time.
    effect.and_then(Result::ok).map_or_else(|| !reader::is_called(run, call), |effect| effect.read_only)
}

/// What a call would do, in a line; its tool's name where that cannot be told.
pub(crate) fn summary(run: &Run<'_>, call: &ToolCall) -> String {
    if reader::is_called(run, call) {
        return run.redactor().redact(&reader::summary(run, call)).into_owned();
    }
    let effect = run.deps.tools.find(&call.name).and_then(|tool| tool.assess(&call.input).ok());
    let summary = effect.map_or_else(|| call.name.clone(), |effect| effect.summary);
    run.redactor().redact(&summary).into_owned()
}

/// A call that can be judged, and the tool that would carry it out.
type Assessed = (Judged, Arc<dyn Tool<Grant>>);

/// Finds the tool and checks the arguments. Mistakes go back to the model.
fn assess(run: &Run<'_>, call: &ToolCall) -> Result<Result<Assessed, Outcome>, StoreError> {
    let Some(tool) = run.deps.tools.find(&call.name) else {
        let names = run.deps.tools.names();
        return Ok(Err(Outcome::failed(format!("there is no tool of this name; there are: {names}"))));
    };
    let summary = summary(run, call);
    let (call, passed_on) = handles::expanded(run, call)?;
    let effect = match tool.assess(&call.input) {
        Ok(effect) => effect,
        // The words of a refusal quote the arguments.
        Err(_) if passed_on.is_some() => {
            return Ok(Err(Outcome::failed("the arguments do not fit once the handles are replaced by their texts")));
        }
        Err(invalid) => return Ok(Err(Outcome::failed(run.redactor().redact(&invalid.0)))),
    };
    let destinations_are_owners = owner_wrote(run, &effect.destinations)?;
    let touched = touched(run, &call)?;
    let tool = tool.clone();
    let (by, in_workspace, workspace_state) = (None, true, None);
    let judged = Judged {
        call,
        passed_on,
        summary,
        by,
        effect,
        destinations_are_owners,
        touched,
        in_workspace,
        workspace_state,
        unasked: None,
    };
    Ok(Ok((judged, tool)))
}

impl Judged {
    /// The label of all that may speak through the call in a session of this label.
    pub(crate) fn label(&self, session: Label) -> Label {
        session.join(self.passed_on.unwrap_or(Label::CLEAN))
    }

    /// The label by which the call is judged.
    pub(crate) fn judged_by(&self, session: Label) -> Label {
        label_of_call(session, self.passed_on, &self.effect)
    }

    pub(crate) fn request<'a>(&'a self, run: &'a Run<'_>, label: Label) -> Request<'a> {
        self.request_of(&run.turn, &run.workspace, label)
    }

    fn request_of<'a>(&'a self, turn: &store::Turn, workspace: &'a types::WorkspaceName, label: Label) -> Request<'a> {
        Request {
            tool: &self.call.name,
            input: &self.call.input,
            effect: &self.effect,
            label,
            origin: turn.origin,
            session: turn.session,
            turn: turn.id,
            workspace,
            workspace_state: self.workspace_state.as_deref(),
            destinations_are_owners: self.destinations_are_owners,
            touched: self.touched,
        }
    }
}

/// Whether there are destinations and the owner wrote each of them in this session, in words of their own.
pub(crate) fn owner_wrote(run: &Run<'_>, destinations: &[String]) -> Result<bool, StoreError> {
    if destinations.is_empty() {
        return Ok(false);
    }
    let rows = run.deps.store.messages(run.session, None, MESSAGES_SEARCHED)?;
    let owners: Vec<String> = rows
        .into_iter()
        .filter(|row| row.author == Author::Owner)
        .map(|row| destination::own_words(&Message { role: row.role, blocks: row.blocks }.text()).into_owned())
        .collect();
    Ok(destination::are_owners(&owners, destinations))
}

/// How many things outside of the workspace the task's other calls have touched, or may have. What a call is is read from
/// its arguments again, so that nothing has to be believed of what was stored.
fn touched(run: &Run<'_>, present: &ToolCall) -> Result<u32, StoreError> {
    let counted = |record: &CallRecord| {
        let is_other = record.call.id != present.id;
        // A call that was refused or never begun has no summary: nothing happened.
        if !is_other || record.summary.is_empty() {
            return 0;
        }
        let effect = run.deps.tools.find(&record.call.name).and_then(|tool| tool.assess(&record.call.input).ok());
        effect.filter(policy::is_counted).map_or(0, |effect| effect.count.max(1))
    };
    let calls = run.deps.store.calls(run.turn.id)?;
    Ok(calls.iter().map(counted).fold(0, u32::saturating_add))
}

/// Saves the workspace before the first call of the turn that may change something.
async fn save_workspace(run: &Run<'_>, judged: &Judged) -> Result<Result<(), String>, StoreError> {
    let changes = match judged.effect.sink {
        Sink::Compute | Sink::WorkspaceWrite | Sink::Destructive | Sink::Persist => !judged.effect.read_only,
        Sink::Fetch | Sink::Send | Sink::Reply | Sink::Credential => false,
    };
    let is_saved = |record: &CallRecord| !record.read_only && record.state != CallState::Planned;
    if !changes || run.deps.store.calls(run.turn.id)?.iter().any(is_saved) {
        return Ok(Ok(()));
    }
    Ok((run.deps.before_write)(run.turn.id, run.workspace.clone()).await)
}

/// Stores that a call begins.
type Mark = fn(&mut Tx<'_>, &Judged, &store::Turn) -> Result<(), StoreError>;

fn mark(tx: &mut Tx<'_>, judged: &Judged, turn: &store::Turn) -> Result<(), StoreError> {
    tx.start_call(turn.id, &judged.call.id, &judged.summary, judged.effect.read_only)
}

/// Turns a permit into a grant, and marks the call as started where it is one of ours. An approval is used up in the same
/// transaction, and is compared with the call as it would run at that very moment; the grant exists only if all of that is
/// durable.
async fn redeemed(
    run: &Run<'_>,
    judged: &Judged,
    permit: Permit,
    begin: Option<Mark>,
) -> Result<Result<Grant, Reason>, StoreError> {
    let (turn, workspace, rules) = (run.turn.clone(), run.workspace.clone(), run.deps.rules.get());
    let judged = judged.clone();
    let mark =
        move |tx: &mut Tx<'_>, judged: &Judged, turn: &store::Turn| begin.map_or(Ok(()), |mark| mark(tx, judged, turn));
    match permit {
        Permit::Granted(grant) => {
            run.commit(move |tx: &mut Tx<'_>| mark(tx, &judged, &turn)).await?;
            Ok(Ok(grant))
        }
        Permit::Allowed(allowance) => {
            run.commit(move |tx: &mut Tx<'_>| {
                if !tx.use_allowance(allowance.id, turn.id)? {
                    return Ok(Err(Reason("the rule that let it through was taken back".to_owned())));
                }
                let label = judged.judged_by(tx.session(turn.session)?.map_or(Label::UNKNOWN, |session| session.label));
                let Some(grant) = allowance::allow(&allowance.rule, &judged.request_of(&turn, &workspace, label))
                else {
                    return Ok(Err(Reason("the session's label rose above that of the rule".to_owned())));
                };
                mark(tx, &judged, &turn)?;
                Ok(Ok(grant))
            })
            .await
        }
        Permit::Approved(request) => {
            run.commit(move |tx: &mut Tx<'_>| {
                let (Ask::Approval(question), Some(answer)) = (&request.ask, &request.answer) else {
                    return Ok(Err(Reason("it was not approved".to_owned())));
                };
                // A coding agent's call is named after the question in its records, and is judged again only while no answer to it
                // stands there: a yes that was used before a crash has not been given.
                let is_ungiven = judged.by.is_some() && tx.is_approval_in_use(request.id, &judged.call.id)?;
                if !is_ungiven && !tx.use_approval(request.id)? {
                    let why = "the approval was used already, or its time is over; it lifts one call once";
                    return Ok(Err(Reason(why.to_owned())));
                }
                let label = tx.session(turn.session)?.map_or(Label::UNKNOWN, |session| session.label);
                let label = judged.judged_by(label);
                let grant = redeem(question, answer, &judged.request_of(&turn, &workspace, label), &rules);
                if grant.is_ok() {
                    mark(tx, &judged, &turn)?;
                }
                Ok(grant)
            })
            .await
        }
    }
}

async fn audit_intent(run: &Run<'_>, judged: &Judged, verdict: &Verdict) -> Result<(), AuditError> {
    let (verdict, reason, allowance) = match verdict {
        Verdict::Allow(_) => ("allow", None, None),
        Verdict::Allowed(allowance) => ("allow", None, Some(allowance.id)),
        Verdict::Ask(question) => ("ask", Some(question.reason.as_str()), None),
        Verdict::Propose(question) => ("propose", Some(question.reason.as_str()), None),
        Verdict::Deny(reason) => ("deny", Some(reason.0.as_str()), None),
    };
    let effect = &judged.effect;
    let detail = json!({
        "tool": judged.call.name,
        "by": judged.by,
        "arguments": cap(&run.redactor().redact(&canonical(&judged.call.input)), AUDITED),
        "sink": effect.sink,
        "summary": run.redactor().redact(&effect.summary),
        "destinations": effect.destinations,
        "decision": verdict,
        "reason": reason,
        "allowance": allowance,
    });
    audit(run, &judged.call.id, AuditKind::ToolIntent, detail).await
}

async fn audit_outcome(run: &Run<'_>, judged: &Judged, outcome: &Outcome) {
    let detail = json!({
        "tool": judged.call.name,
        "end": outcome.end,
        "characters": outcome.output.text.chars().count(),
        "label": outcome.output.label,
    });
    if let Err(error) = audit(run, &judged.call.id, AuditKind::ToolOutcome, detail).await {
        // The effect has happened and must not be hidden from the model; the next intent will be refused.
        tracing::error!(%error, turn = %run.turn.id, "the outcome of a call could not be written to the audit log");
    }
}

/// Writes one record about a call of this turn.
pub(crate) async fn audit(run: &Run<'_>, call: &str, kind: AuditKind, detail: Value) -> Result<(), AuditError> {
    let entry =
        AuditEntry { session: Some(run.session), turn: Some(run.turn.id), call: Some(call.to_owned()), kind, detail };
    run.deps.store.audit().append(entry).await.map(|_| ())
}
