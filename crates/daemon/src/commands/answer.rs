//! The owner's answers to open requests.

use std::sync::Arc;

use serde_json::json;
use store::{
    Tx,
    audit::{AuditEntry, AuditKind},
};
use types::{
    AllowanceScope, Answer, Ask, ChannelId, Code, CommandReply, Failure, Offer, OwnerRequest, RequestId, Scope,
};

use crate::{
    core::Core,
    failure::{internal, stored, user},
    second_factor,
};

/// The most bytes of an answer in words.
const MAX_WORDS: usize = 64 << 10;
/// The most rules that hold at the same time.
const MAX_ALLOWANCES: usize = 256;
/// The least of a rule's digest that confirms it, where a person types it.
const LEAST_DIGEST: usize = 8;

/// An answer and what comes with it.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub answer: Answer,
    /// The code of the second factor.
    pub code: Option<Code>,
    /// The digest of the rule that is to be saved, or its beginning.
    pub confirm: Option<String>,
    /// Where it was given.
    pub channel: ChannelId,
    /// The messenger's number of the message that answers: it is remembered in the same write, so that the message counts
    /// once even if it comes again.
    pub said_in: Option<String>,
}

impl Given {
    /// An answer by itself.
    pub fn plain(answer: Answer, channel: ChannelId, said_in: Option<String>) -> Self {
        Self { answer, code: None, confirm: None, channel, said_in }
    }
}

/// The same without secrets in its words: they go to the model and into the journal.
async fn without_secrets(core: &Core, given: Given) -> Given {
    match given.answer {
        Answer::Text { text } => {
            let text = core.leaks.take_in(text, format!("an answer on {}", given.channel)).await;
            Given { answer: Answer::Text { text }, ..given }
        }
        Answer::Approved { .. } | Answer::Denied | Answer::Expired | Answer::Withdrawn => given,
    }
}

/// Settles a request, or says what is missing. The caller must have made sure that the owner answers.
pub(crate) async fn answer(core: &Arc<Core>, id: RequestId, given: Given) -> Result<CommandReply, Failure> {
    let request = open(core, id)?;
    fits(&request, &given.answer)?;
    let given = without_secrets(core, given).await;
    if let Some(reply) = missing(core, &request, &given).await? {
        return Ok(reply);
    }
    let saves = saved_rule(&request, &given.answer);
    if let Some((offer, scope)) = &saves {
        let in_force = core.store.allowances().map_err(stored)?.len();
        if in_force >= MAX_ALLOWANCES {
            let error = format!("{MAX_ALLOWANCES} rules are in force already");
            return Err(user(error, "take some back: `factotum allow list`"));
        }
        // Before it is in force: no record, no rule.
        let detail = json!({ "change": "allowed", "request": id, "scope": scope, "rule": offer.rule });
        let entry = AuditEntry {
            session: Some(request.session),
            turn: Some(request.turn),
            call: Some(request.call.clone()),
            kind: AuditKind::Policy,
            detail,
        };
        core.store.audit().append(entry).await.map_err(internal)?;
    }
    let text = outcome(&given.answer);
    let Given { answer, channel, said_in, .. } = given;
    let record = move |tx: &mut Tx<'_>| {
        let first = tx.answer(id, answer, Some(channel.clone()))?;
        if first {
            if let Some((offer, scope)) = &saves {
                tx.add_allowance(id, offer, *scope)?;
            }
            if let Some(said_in) = said_in {
                tx.note_silenced(&channel, said_in)?;
            }
        }
        Ok(first)
    };
    if core.store.transact(record).await.map_err(stored)? {
        return Ok(CommandReply::Done { text: format!("request {id}: {text}") });
    }
    // Somebody else was quicker between our look and the write.
    let settled = core.store.request(id).map_err(stored)?.and_then(|request| request.answer);
    Err(already(id, &settled.unwrap_or(Answer::Withdrawn)))
}

/// A request that can still be answered.
pub(crate) fn open(core: &Core, id: RequestId) -> Result<OwnerRequest, Failure> {
    let request = core.store.request(id).map_err(stored)?;
    let request =
        request.ok_or_else(|| user(format!("there is no request {id}"), "`factotum approvals` lists them"))?;
    if let Some(settled) = &request.answer {
        return Err(already(id, settled));
    }
    if core.clock.now() >= request.expires_at {
        return Err(user(format!("request {id} has expired"), "ask the agent to try again"));
    }
    Ok(request)
}

/// What must come before a yes counts: the sign that a lasting rule was seen, then the second factor.
async fn missing(core: &Core, request: &OwnerRequest, given: &Given) -> Result<Option<CommandReply>, Failure> {
    let (Ask::Approval(question), Answer::Approved { scope }) = (&request.ask, &given.answer) else { return Ok(None) };
    if let (Some(offer), Scope::Always) = (&question.offer, scope)
        && !given.confirm.as_deref().is_some_and(|confirm| confirms(confirm, offer))
    {
        return Ok(Some(CommandReply::Confirm { rule: offer.text.clone(), confirm: offer.digest.clone() }));
    }
    if !policy::needs_second_factor(question, *scope) {
        return Ok(None);
    }
    second_factor::require(core, given.code.as_ref(), &format!("request {} is approved", request.id)).await
}

fn confirms(typed: &str, offer: &Offer) -> bool {
    typed.len() >= LEAST_DIGEST && offer.digest.starts_with(&typed.to_ascii_lowercase())
}

/// The rule that an answer leaves behind.
fn saved_rule(request: &OwnerRequest, answer: &Answer) -> Option<(Offer, AllowanceScope)> {
    let (Ask::Approval(question), Answer::Approved { scope }) = (&request.ask, answer) else { return None };
    let scope = match scope {
        Scope::Once => return None,
        Scope::Task => AllowanceScope::Task { session: request.session, turn: request.turn },
        Scope::Always => AllowanceScope::Always,
    };
    Some((question.offer.clone()?, scope))
}

/// Whether this kind of answer settles this kind of request.
fn fits(request: &OwnerRequest, answer: &Answer) -> Result<(), Failure> {
    match (&request.ask, answer) {
        (_, Answer::Expired | Answer::Withdrawn) => {
            Err(user("only the daemon may let a request expire", "answer with approved, denied or text"))
        }
        (Ask::Approval(question), Answer::Approved { scope: Scope::Task | Scope::Always })
            if question.offer.is_none() =>
        {
            Err(user("no rule is made of a call like this one", "approve this call alone"))
        }
        (Ask::Approval(_), Answer::Approved { .. } | Answer::Denied) | (Ask::Question { .. }, Answer::Denied) => Ok(()),
        (Ask::Approval(_), Answer::Text { .. }) => {
            Err(user("words are not an approval", "approve or deny it by its number"))
        }
        (Ask::Question { .. }, Answer::Approved { .. }) => {
            Err(user("the agent asked a question; it needs words", "answer in words"))
        }
        (Ask::Question { .. }, Answer::Text { text }) if text.len() > MAX_WORDS => {
            Err(user("the answer is longer than 64 KiB", "shorten it"))
        }
        (Ask::Question { .. }, Answer::Text { .. }) => Ok(()),
    }
}

fn already(id: RequestId, settled: &Answer) -> Failure {
    user(format!("request {id} was settled before: {}", outcome(settled)), "nothing more is to be done")
}

/// An answer in a word or two.
pub(crate) fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Answer::Approved { scope: Scope::Once } => "approved",
        Answer::Approved { scope: Scope::Task } => "approved, and for this task what the rule allows",
        Answer::Approved { scope: Scope::Always } => "approved, and from here on what the rule allows",
        Answer::Denied => "denied",
        Answer::Expired => "expired without an answer",
        Answer::Withdrawn => "withdrawn, since its task is over",
        Answer::Text { .. } => "answered",
    }
}
