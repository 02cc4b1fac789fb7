//! Requests to the owner on the messengers: how each open one is shown with its buttons, how far an answer has come that
//! needs more than one step, and how each settled one came out. It must not answer anything itself; `journal` decides when
//! one is shown.

mod text;

use sha2::{Digest, Sha256};
use store::{DeliveryBody, NewDelivery, StoreError};
use types::{ChannelId, CommandReply, Failure, OwnerRequest, RequestId, Scope};

use crate::{core::Core, failure::stored, slash::WORD_LENGTH};

pub(crate) use text::{Press, buttons, fenced, press, question_text, settled_text, stage_buttons, stage_text};

/// The cursor that keeps the messenger's number of the message that shows a request.
pub(crate) fn shown_cursor(request: RequestId, channel: &ChannelId) -> String {
    format!("request:{request}:{channel}")
}

/// How far an answer has come on one messenger that needs another step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The rule is shown that would be saved.
    Rule(Scope),
    /// The code of the second factor is waited for.
    Code(Scope),
}

impl Stage {
    const ALL: [(Self, &str); 6] = [
        (Self::Rule(Scope::Once), "rule once"),
        (Self::Rule(Scope::Task), "rule task"),
        (Self::Rule(Scope::Always), "rule always"),
        (Self::Code(Scope::Once), "code once"),
        (Self::Code(Scope::Task), "code task"),
        (Self::Code(Scope::Always), "code always"),
    ];
}

fn stage_cursor(request: RequestId, channel: &ChannelId) -> String {
    format!("request-stage:{request}:{channel}")
}

/// How far the answer to this request has come on this messenger; none when it is at its beginning.
pub(crate) fn stage(core: &Core, request: RequestId, channel: &ChannelId) -> Result<Option<Stage>, Failure> {
    stored_stage(core, request, channel).map_err(stored)
}

/// The same for those who deal with the store's errors.
pub(crate) fn stored_stage(core: &Core, request: RequestId, channel: &ChannelId) -> Result<Option<Stage>, StoreError> {
    let kept = core.store.cursor(&stage_cursor(request, channel))?;
    Ok(kept.and_then(|kept| Stage::ALL.into_iter().find(|(_, word)| *word == kept)).map(|(stage, _)| stage))
}

/// Moves the answer to its next step: the message that shows the request is owed its new text. It goes through the
/// outbox, so that it cannot overtake the outcome. `update` is the messenger's number of the press that asked for it.
pub(crate) async fn set_stage(
    core: &Core,
    request: &OwnerRequest,
    channel: &ChannelId,
    stage: Stage,
    update: &str,
) -> Result<(), Failure> {
    let Some(target) = core.messengers.get(channel).and_then(crate::core::Messenger::owner) else { return Ok(()) };
    let word = Stage::ALL.into_iter().find(|(known, _)| *known == stage).map_or("", |(_, word)| word);
    let cursor = stage_cursor(request.id, channel);
    let delivery = NewDelivery {
        session: Some(request.session),
        turn: Some(request.turn),
        key: format!("request:{}:stage:{channel}:{update}", request.id),
        channel: channel.clone(),
        target,
        body: DeliveryBody::Request { request: request.id },
    };
    let record = move |tx: &mut store::Tx<'_>| {
        tx.set_cursor(cursor, word)?;
        tx.deliver(delivery).map(|_| ())
    };
    core.store.transact(record).await.map_err(stored)
}

/// The word that a messenger without buttons shows with a question: made from its nonce, which it does not give away.
pub(crate) fn word(nonce: &str) -> String {
    let digest = Sha256::digest(format!("word:{nonce}"));
    digest.iter().take(WORD_LENGTH).map(|byte| char::from(b'a' + byte % 26)).collect()
}

/// What to say in a chat to somebody who typed an answer.
pub(crate) fn in_words(request: RequestId, scope: Scope, reply: CommandReply) -> String {
    let scope = match scope {
        Scope::Once => "",
        Scope::Task => " task",
        Scope::Always => " always",
    };
    match reply {
        CommandReply::Done { text }
        | CommandReply::Said { text }
        | CommandReply::Job { text, .. }
        | CommandReply::Shell { text, .. } => text,
        CommandReply::CodeNeeded { text } => format!("{text}. Write it behind: /approve {request}{scope} 123456"),
        CommandReply::Confirm { rule, confirm } => {
            let start: String = confirm.chars().take(8).collect();
            format!("This rule would be saved:\n{}\nTo save it, write /approve {request}{scope} {start}", fenced(&rule))
        }
        CommandReply::Accepted { inbox, .. } => format!("message {inbox} is stored"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_letters_and_do_not_show_the_nonce() {
        let (first, second) = (word(&"0".repeat(32)), word(&"1".repeat(32)));
        assert_ne!(first, second);
        assert!(first.len() == WORD_LENGTH && first.bytes().all(|byte| byte.is_ascii_lowercase()), "{first}");
    }
}
