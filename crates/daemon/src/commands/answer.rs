//! The owner's answers to open requests.

use std::sync::Arc;

use types::{Answer, Ask, ChannelId, Failure, OwnerRequest, RequestId, Scope};

use crate::{
    core::Core,
    failure::{stored, user},
};

/// The most bytes of an answer in words.
const MAX_WORDS: usize = 64 << 10;

/// Settles a request. Returns what to say to whoever answered. `said_in` is the messenger's number of the message that
/// answers: it is remembered in the same write, so that the message counts once even if it comes again.
pub(crate) async fn answer(
    core: &Arc<Core>,
    id: RequestId,
    answer: Answer,
    channel: ChannelId,
    said_in: Option<String>,
) -> Result<String, Failure> {
    let request = core.store.request(id).map_err(stored)?;
    let request =
        request.ok_or_else(|| user(format!("there is no request {id}"), "`factotum approvals` lists them"))?;
    fits(&request, &answer)?;
    if let Some(settled) = &request.answer {
        return Err(already(id, settled));
    }
    if core.clock.now() >= request.expires_at {
        return Err(user(format!("request {id} has expired"), "ask the agent to try again"));
    }
    let text = outcome(&answer);
    let recorded = answer.clone();
    let record = move |tx: &mut store::Tx<'_>| {
        let first = tx.answer(id, recorded, Some(channel.clone()))?;
        if let Some(said_in) = said_in.filter(|_| first) {
            tx.note_silenced(&channel, said_in)?;
        }
        Ok(first)
    };
    let first = core.store.transact(record).await.map_err(stored)?;
    if first {
        return Ok(format!("request {id}: {text}"));
    }
    // Somebody else was quicker between our look and the write.
    let settled = core.store.request(id).map_err(stored)?.and_then(|request| request.answer);
    Err(already(id, &settled.unwrap_or(Answer::Withdrawn)))
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
        Answer::Approved { scope: Scope::Task } => "approved for this task",
        Answer::Approved { scope: Scope::Always } => "approved, now and always",
        Answer::Denied => "denied",
        Answer::Expired => "expired without an answer",
        Answer::Withdrawn => "withdrawn, since its task is over",
        Answer::Text { .. } => "answered",
    }
}
