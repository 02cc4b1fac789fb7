//! What an obligation looks like on its channel.

use channels::{Outbound, RemoteId};
use store::{DeliveryBody, OutboxRow, StoreError};
use types::{Ask, RequestId};

use crate::{
    core::{Core, Messenger},
    leaks::Leaks,
    requests,
};

/// What marks a message that may be in the chat twice.
const MARK: &str = "(possibly sent twice after a restart)";

/// The message to send; none when nothing is left to say.
pub(super) fn compose(
    core: &Core,
    messenger: &Messenger,
    row: &OutboxRow,
    possible_repeat: bool,
) -> Result<Option<Outbound>, StoreError> {
    let outbound = match &row.body {
        DeliveryBody::Text { markdown } => Some(Outbound::Text { markdown: markdown.clone() }),
        DeliveryBody::Notice { text } => Some(Outbound::Text { markdown: text.clone() }),
        DeliveryBody::Request { request } => owner_request(core, messenger, row, *request)?,
    };
    // The last look: whatever way a text took to the outbox, no secret leaves in it.
    let outbound = outbound.map(|outbound| masked(&core.leaks, outbound));
    Ok(outbound.map(|outbound| if possible_repeat { marked(outbound) } else { outbound }))
}

/// An open request with its buttons; a settled one as a change to the message that showed it.
fn owner_request(
    core: &Core,
    messenger: &Messenger,
    row: &OutboxRow,
    id: RequestId,
) -> Result<Option<Outbound>, StoreError> {
    let Some(request) = core.store.request(id)? else { return Ok(None) };
    let shown = core.store.cursor(&requests::shown_cursor(id, &row.channel))?.filter(|remote| !remote.is_empty());
    let limits = messenger.channel.limits();
    let fit = |text: String| channels::split(&text, limits).into_iter().next().unwrap_or_default();
    let nonce = core.store.request_nonce(id)?;
    Ok(match (&request.answer, shown) {
        (None, Some(remote)) if limits.buttons => {
            let stage = requests::stored_stage(core, id, &row.channel)?;
            let (Some(stage), Some(nonce), Ask::Approval(question)) = (stage, nonce, &request.ask) else {
                return Ok(None);
            };
            let markdown = fit(requests::stage_text(&request, question, stage));
            let buttons = requests::stage_buttons(stage, &nonce);
            Some(Outbound::Edit { remote_id: RemoteId(remote), markdown, buttons })
        }
        (None, _) => {
            let typed = nonce.as_deref().filter(|_| !limits.buttons);
            let markdown = fit(requests::question_text(&request, typed));
            let buttons = nonce.filter(|_| limits.buttons).map(|nonce| requests::buttons(&request, &nonce));
            Some(match buttons {
                Some(buttons) => Outbound::Buttons { markdown, buttons },
                None => Outbound::Text { markdown },
            })
        }
        (Some(answer), Some(remote)) => {
            let markdown = fit(requests::settled_text(&request, answer));
            Some(Outbound::Edit { remote_id: RemoteId(remote), markdown, buttons: Vec::new() })
        }
        (Some(_), None) => None,
    })
}

/// The same with every secret masked.
fn masked(leaks: &Leaks, outbound: Outbound) -> Outbound {
    let mask = |markdown: String| leaks.mask(&markdown).into_owned();
    match outbound {
        Outbound::Text { markdown } => Outbound::Text { markdown: mask(markdown) },
        Outbound::Buttons { markdown, buttons } => Outbound::Buttons { markdown: mask(markdown), buttons },
        Outbound::Edit { remote_id, markdown, buttons } => {
            Outbound::Edit { remote_id, markdown: mask(markdown), buttons }
        }
        Outbound::Draft { .. } | Outbound::Typing | Outbound::AnswerButton { .. } => outbound,
    }
}

/// An edit puts the same text in place again, so it needs no mark.
fn marked(outbound: Outbound) -> Outbound {
    match outbound {
        Outbound::Text { markdown } => Outbound::Text { markdown: format!("{MARK}\n{markdown}") },
        Outbound::Buttons { markdown, buttons } => {
            Outbound::Buttons { markdown: format!("{MARK}\n{markdown}"), buttons }
        }
        Outbound::Edit { .. } | Outbound::Draft { .. } | Outbound::Typing | Outbound::AnswerButton { .. } => outbound,
    }
}
