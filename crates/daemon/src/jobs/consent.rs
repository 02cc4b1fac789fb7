//! Putting a question about a job's work to the owner: stored, shown on every messenger and client as each question is, bound to
//! what was shown, denied when its time is over. What leaves the machine in a job's name passes here.

use std::{sync::Arc, time::Duration};

use agent::RulesInForce;
use policy::{Grant, Request, question, redeem};
use serde_json::{Value, json};
use store::{NewRequest, StoreError, audit::AuditKind};
use types::{Answer, Ask, Clock, Effect, Label, OwnerRequest, Sink};

use super::{Site, SiteError};

/// An approval that was used by an attempt which a crash ended is asked for again, this often.
const ATTEMPTS: usize = 3;

/// Puts questions.
#[derive(Clone)]
pub struct Desk {
    /// The owner's rules.
    pub rules: RulesInForce,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How long an answer is waited for.
    pub patience: Duration,
}

/// What the owner said.
#[derive(Debug)]
pub enum Consent {
    /// Yes, to just this.
    Given(Grant),
    /// No, or nobody said anything; why, in words.
    Refused(String),
}

impl Desk {
    /// Asks, and waits for the answer. `call` names the question within the job's turn: asked again after a restart, the same one
    /// is waited for.
    pub async fn ask(
        &self,
        site: &Site,
        call: &str,
        tool: &str,
        input: &Value,
        effect: Effect,
        why: &str,
    ) -> Result<Consent, SiteError> {
        let failed = |error: StoreError| SiteError::Failed { what: "ask the owner", why: error.to_string() };
        let turn = site.store.turn(site.turn).map_err(failed)?;
        let Some(turn) = turn else { return Ok(Consent::Refused("the job has no turn".to_owned())) };
        let label = site.store.session(site.session).map_err(failed)?.map_or(Label::UNKNOWN, |session| session.label);
        let request = Request {
            tool,
            input,
            effect: &effect,
            label,
            origin: turn.origin,
            session: site.session,
            turn: site.turn,
            workspace: &site.workspace.name,
            workspace_state: None,
            destinations_are_owners: false,
            touched: 0,
        };
        let verdict = if turn.origin.is_attended() { "ask" } else { "deny" };
        let intent = json!({ "tool": tool, "arguments": input, "summary": effect.summary, "sink": effect.sink,
            "destinations": effect.destinations, "decision": verdict, "reason": why });
        site.audit(AuditKind::ToolIntent, intent).await?;
        if !turn.origin.is_attended() {
            return Ok(Consent::Refused(format!("nobody is present to approve it: {why}")));
        }
        let asked = question(&request, &self.rules.get(), why);
        for attempt in 0..ATTEMPTS {
            let settled = self.settle(site, call, &asked, attempt == 0).await.map_err(failed)?;
            site.audit(AuditKind::Approval, json!({ "request": settled.id, "answer": settled.answer })).await?;
            if let Some(refusal) = refusal(&settled) {
                return Ok(Consent::Refused(refusal.to_owned()));
            }
            let id = settled.id;
            if !site.store.transact(move |tx| tx.use_approval(id)).await.map_err(failed)? {
                continue;
            }
            let (Ask::Approval(shown), Some(answer)) = (&settled.ask, &settled.answer) else { continue };
            return Ok(match redeem(shown, answer, &request, &self.rules.get()) {
                Ok(grant) => Consent::Given(grant),
                Err(reason) => Consent::Refused(reason.0),
            });
        }
        Ok(Consent::Refused("the approval was used already, or its time is over".to_owned()))
    }

    /// The question with its answer. With `known`, one that was put before a restart counts, answered or not.
    async fn settle(
        &self,
        site: &Site,
        call: &str,
        asked: &types::Question,
        known: bool,
    ) -> Result<OwnerRequest, StoreError> {
        let is_same = |request: &OwnerRequest| matches!(&request.ask, Ask::Approval(shown) if shown.hash == asked.hash);
        let request = match site.store.request_for_call(site.turn, call)?.filter(|_| known) {
            Some(request) if is_same(&request) => request,
            other => {
                if let Some(stale) = other.filter(|request| request.answer.is_none()) {
                    // Something changed since it was shown: what is asked is another thing.
                    site.store.transact(move |tx| tx.answer(stale.id, Answer::Withdrawn, None)).await?;
                }
                self.put(site, call, asked).await?
            }
        };
        if request.answer.is_some() {
            return Ok(request);
        }
        let left = request.expires_at.since(self.clock.now());
        tokio::select! {
            biased;
            settled = site.store.wait_request(request.id) => settled,
            () = tokio::time::sleep(left) => {
                let id = request.id;
                site.store.transact(move |tx| tx.answer(id, Answer::Expired, None)).await?;
                Ok(site.store.request(id)?.unwrap_or(request))
            }
        }
    }

    async fn put(&self, site: &Site, call: &str, asked: &types::Question) -> Result<OwnerRequest, StoreError> {
        let new = NewRequest {
            session: site.session,
            turn: site.turn,
            call: call.to_owned(),
            ask: Ask::Approval(Box::new(asked.clone())),
            expires_at: self.clock.now().plus(self.patience),
        };
        site.store.transact(move |tx| tx.ask_owner(new)).await
    }
}

fn refusal(settled: &OwnerRequest) -> Option<&'static str> {
    match &settled.answer {
        Some(Answer::Approved { .. }) => None,
        Some(Answer::Denied) => Some("you said no"),
        Some(Answer::Expired) | None => Some("nobody approved it in time"),
        Some(Answer::Withdrawn) => Some("the question was withdrawn"),
        Some(Answer::Text { .. }) => Some("words are no approval"),
    }
}

/// What committing something doubtful would do.
pub(crate) fn commit_effect(site: &Site, question: &str, changes: &str) -> Effect {
    Effect {
        sink: Sink::Persist,
        read_only: false,
        destinations: Vec::new(),
        reversible: true,
        payload: Some(question.to_owned()),
        summary: format!("commit the work of job {} ({changes})", site.job),
        count: 1,
    }
}
