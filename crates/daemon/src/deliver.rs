//! The last word of a turn: what the owner reads, as obligations in the outbox. Sending is the outbox pump's part.

use std::sync::Arc;

use channels::{Limits, TextUnit};
use policy::{Act, decide_own};
use store::{DeliveryBody, NewDelivery, StoreError, Turn, TurnState};
use types::{ChannelId, TurnEnd, TurnId};

use crate::core::Core;

/// Room that every piece leaves for the mark of a possible repeat, in any unit.
const MARK_ROOM: usize = 128;
/// The most pieces that one answer may have; more is a file, not a message.
const MAX_PIECES: usize = 40;

/// Makes the deliveries of a turn that has ended, to every chat from which it was begun or steered. May be called again:
/// each piece has a key of its own.
pub(crate) async fn turn(core: &Arc<Core>, id: TurnId) -> Result<(), StoreError> {
    let Some(turn) = core.store.turn(id)? else { return Ok(()) };
    let TurnState::Ended(end) = &turn.state else { return Ok(()) };
    let chats = core.store.chats(&turn)?;
    if chats.is_empty() {
        return Ok(());
    }
    let mut text = in_words(end, &turn.text);
    if let Some(change) = changes(core, &turn).await
        && !text.contains(&change)
    {
        text.push_str("\n\n");
        text.push_str(&change);
    }
    let mut deliveries = Vec::new();
    for (place, (channel, target)) in chats.into_iter().enumerate() {
        let chat = if place == 0 { String::new() } else { format!(":{channel}:{target}") };
        for (number, markdown) in pieces(core, &channel, &text).into_iter().enumerate() {
            deliveries.push(NewDelivery {
                session: Some(turn.session),
                turn: Some(id),
                channel: channel.clone(),
                target: target.clone(),
                body: DeliveryBody::Text { markdown },
                key: format!("turn:{id}{chat}:piece:{number}"),
            });
        }
    }
    let record = move |tx: &mut store::Tx<'_>| {
        for delivery in deliveries {
            tx.deliver(delivery)?;
        }
        tx.mark_turn_delivered(id)
    };
    core.store.transact(record).await
}

/// The pieces of a text for this channel, each with room for a mark.
pub(crate) fn pieces(core: &Core, channel: &ChannelId, text: &str) -> Vec<String> {
    let limits = match core.messengers.get(channel) {
        Some(messenger) => messenger.channel.limits().clone(),
        // The channel was taken out of the configuration; the pump reports that. Any limit will do here.
        None => unknown_limits(),
    };
    let room = Limits { max_text: limits.max_text.saturating_sub(MARK_ROOM).max(1), ..limits };
    let mut pieces = channels::split(text, &room);
    if pieces.is_empty() {
        // Nothing but white space: a messenger would refuse it.
        pieces.push("(empty)".to_owned());
    }
    if pieces.len() > MAX_PIECES {
        pieces.truncate(MAX_PIECES);
        pieces.push("(The rest is too long for a chat; `factotum sessions show` has it.)".to_owned());
    }
    pieces
}

fn unknown_limits() -> Limits {
    Limits {
        max_text: 4_000,
        unit: TextUnit::Utf16,
        edits: false,
        drafts: false,
        buttons: false,
        min_edit_interval: std::time::Duration::from_secs(1),
        min_draft_interval: std::time::Duration::from_secs(1),
        typing_every: None,
    }
}

/// The final text, with the reason in front when the turn did not simply finish.
fn in_words(end: &TurnEnd, text: &str) -> String {
    let reason = match end {
        TurnEnd::Done if text.trim().is_empty() => Some("Done; the model had nothing more to say.".to_owned()),
        TurnEnd::Done => None,
        TurnEnd::Stopped => Some("Stopped. Send a message to go on from here; /undo puts the files back.".to_owned()),
        TurnEnd::Limit { limit } => Some(format!(
            "Stopped at a limit: {limit}. Send \"go on\" to continue, or raise the limit under [budget] in config.toml."
        )),
        TurnEnd::Looping { repeated } => {
            Some(format!("Stopped, because it went round in circles: {repeated}. Say what it should do differently."))
        }
        TurnEnd::Refused => {
            Some("The model refused to answer. Put it differently, or choose another model.".to_owned())
        }
        TurnEnd::Failed { error } => Some(format!("Failed: {error}")),
    };
    let text = text.trim();
    match reason {
        None => text.to_owned(),
        // The agent may have said the reason in its own final text.
        Some(reason) if text.is_empty() || text == reason => reason,
        Some(reason) => match end {
            TurnEnd::Failed { error } if text.contains(error.as_str()) => text.to_owned(),
            TurnEnd::Limit { limit } if text.contains(limit.as_str()) => text.to_owned(),
            TurnEnd::Looping { repeated } if text.contains(repeated.as_str()) => text.to_owned(),
            TurnEnd::Done
            | TurnEnd::Stopped
            | TurnEnd::Limit { .. }
            | TurnEnd::Looping { .. }
            | TurnEnd::Refused
            | TurnEnd::Failed { .. } => format!("{reason}\n\n{text}"),
        },
    }
}

/// What the turn changed in its workspace, in a line; none when it changed nothing or was not saved before.
pub(crate) async fn changes(core: &Core, turn: &Turn) -> Option<String> {
    if turn.state == TurnState::Running {
        return None;
    }
    let name = core.store.session(turn.session).ok()??.workspace;
    let taken = core.store.snapshots(&name).ok()?.into_iter().find(|row| row.turn == Some(turn.id))?;
    let workspace = core.workspace(&name).ok()?;
    let snapshots = core.snapshots.clone();
    let compare = move || {
        let grant = decide_own(Act::Snapshot, workspace.name.clone());
        snapshots.diff_stat(&grant, &workspace, &taken.manifest)
    };
    match tokio::task::spawn_blocking(compare).await {
        Ok(Ok(stat)) if stat.files > 0 => Some(stat.to_string()),
        Ok(Ok(_)) => None,
        Ok(Err(error)) => {
            tracing::warn!(turn = %turn.id, %error, "the changes of the turn could not be counted");
            None
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use types::TurnEnd;

    use super::in_words;

    #[test]
    fn an_end_is_told_once() {
        assert_eq!(in_words(&TurnEnd::Done, " all green "), "all green");
        assert_eq!(in_words(&TurnEnd::Done, ""), "Done; the model had nothing more to say.");
        let limit = TurnEnd::Limit { limit: "100 steps".to_owned() };
        assert!(in_words(&limit, "half done").starts_with("Stopped at a limit: 100 steps."));
        assert!(in_words(&limit, "half done").ends_with("\n\nhalf done"));
        assert_eq!(in_words(&limit, "I reached 100 steps; half done"), "I reached 100 steps; half done");
        let failed = TurnEnd::Failed { error: "no key".to_owned() };
        assert_eq!(in_words(&failed, ""), "Failed: no key");
    }
}
