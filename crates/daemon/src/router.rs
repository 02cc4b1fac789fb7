//! What arrives on a messenger: who is admitted, and where it goes. Strangers, groups, programs, forwarded and changed
//! messages meet silence: nothing goes out, no model is asked, nothing is fetched. It must not know any wire format.

use std::sync::Arc;

use channels::{Delivered, Inbound, InboundKind, Outbound, ReceiveEnd, RemoteId};
use policy::admit::{Admission, Sender, admit};
use store::{DeliveryBody, NewDelivery, StoreError};
use tokio::sync::mpsc;
use types::{
    Answer, Ask, ChannelId, CommandReply, Event, Failure, FailureKind, Invariant, Level, Origin, OwnerRequest, Scope,
    WhenBusy,
};

use crate::{
    commands::{
        answer::{self, Given},
        send::{self, Incoming, Selection},
    },
    core::{Core, Messenger},
    requests::{self, Press, Stage},
    slash::{self, Slash},
};

/// Messages that wait to be stored; the channel waits when there are more.
const QUEUE: usize = 32;

/// Serves one messenger until the daemon stops.
pub(crate) async fn serve(core: Arc<Core>, id: ChannelId) {
    let Some(messenger) = core.messengers.get(&id) else { return };
    let (to, mut from) = mpsc::channel(QUEUE);
    let cursor = core.store.cursor(&format!("channel:{id}")).unwrap_or_default();
    let mut receiving = messenger.channel.clone().receive(to, cursor, core.phases.stopping.clone());
    let end = loop {
        tokio::select! {
            end = &mut receiving => break end,
            Some(delivered) = from.recv() => take(&core, &id, messenger, delivered).await,
        }
    };
    match end {
        ReceiveEnd::Cancelled | ReceiveEnd::Closed => {}
        ReceiveEnd::Auth(why) => {
            tracing::error!(channel = %id, %why, "the messenger does not accept us; its messages are not received");
            let notice = Event::Notice { level: Level::Error, text: format!("{id} is not received: {why}") };
            let recorded = core.store.transact(move |tx| tx.record(None, None, notice)).await;
            if let Err(error) = recorded {
                tracing::error!(%error, "the notice could not be stored");
            }
        }
    }
}

/// Takes one thing. Only an undo and a proposal that runs are so slow that what follows must not wait for it.
async fn take(core: &Arc<Core>, id: &ChannelId, messenger: &Messenger, delivered: Delivered<Inbound>) {
    let slow = match &delivered.item.kind {
        InboundKind::Text { text } => matches!(slash::parse(text), Some(Ok(Slash::Undo | Slash::Decide(..)))),
        InboundKind::Button { .. } | InboundKind::Other { .. } => false,
    };
    let admission = admission(&delivered.item, messenger);
    if slow && admission == Admission::Owner {
        let (core, id) = (core.clone(), id.clone());
        core.tasks.clone().spawn(async move { confirm(&core, &id, admission, delivered).await });
        return;
    }
    let remote_id = delivered.item.remote_id.clone();
    let (owned, channel) = (core.clone(), id.clone());
    let handled = core.tasks.spawn(async move { confirm(&owned, &channel, admission, delivered).await });
    if handled.await.is_err_and(|error| error.is_panic()) {
        // It would panic again each time it comes again, so it is put aside.
        tracing::error!(channel = %id, remote_id, "the code that takes a message panicked; the message is put aside");
        if let Err(failure) = remember(core, id, &remote_id).await {
            tracing::error!(error = %failure.error, "it could not be put aside");
        }
    }
}

/// Handles it, and lets the messenger forget it once it is durable. Otherwise it comes again.
async fn confirm(core: &Arc<Core>, id: &ChannelId, admission: Admission, delivered: Delivered<Inbound>) {
    let Delivered { item, ack } = delivered;
    match handle(core, id, admission, item).await {
        Ok(()) => ack.confirm(),
        Err(failure) => {
            tracing::error!(channel = %id, error = %failure.error, "a message could not be stored; it will come again");
        }
    }
}

fn admission(item: &Inbound, messenger: &Messenger) -> Admission {
    admit(&sender(item), &messenger.allow())
}

/// Who sent something, for the rule of admission.
pub(crate) fn sender(item: &Inbound) -> Sender {
    Sender {
        user: item.sender.user.clone(),
        chat_is_private: item.private,
        is_bot: item.from_bot,
        is_forward: item.forwarded,
        is_edit: item.edited,
    }
}

/// Fails only when nothing could be stored.
async fn handle(core: &Arc<Core>, id: &ChannelId, admission: Admission, item: Inbound) -> Result<(), Failure> {
    let owner = match admission {
        Admission::Silence => return remember(core, id, &item.remote_id).await,
        Admission::Owner => true,
        Admission::Allowed => false,
    };
    match &item.kind {
        InboundKind::Button { nonce, callback_id, message } if owner => {
            let text = pressed(core, id, nonce, &item.remote_id).await?;
            remember(core, id, &item.remote_id).await?;
            if let Some(text) = text {
                let text = text.chars().take(190).collect();
                let answer = Outbound::AnswerButton { callback_id: callback_id.clone(), text };
                let leftover = message.as_ref().and_then(|message| leftover(core, id, nonce, message));
                signal(core, id, item.chat.clone(), [Some(answer), leftover]);
            }
            Ok(())
        }
        InboundKind::Button { .. } => remember(core, id, &item.remote_id).await,
        InboundKind::Text { text } => said(core, id, owner, &item, text.clone()).await,
        InboundKind::Other { what, caption: Some(caption) } => {
            let text = format!("{caption}\n\n(With it came: {what}. It was not opened.)");
            said(core, id, owner, &item, text).await
        }
        InboundKind::Other { what, caption: None } if owner && Invariant::NothingOpened.is_broken() => {
            said(core, id, owner, &item, format!("Look at this: {what}")).await
        }
        InboundKind::Other { what, caption: None } if owner => {
            let text =
                format!("I got this, but I do not open attachments by myself ({what}). Say in words what you need.");
            reply(core, id, &item, text).await
        }
        InboundKind::Other { .. } => remember(core, id, &item.remote_id).await,
    }
}

/// A message in words.
async fn said(core: &Arc<Core>, id: &ChannelId, owner: bool, item: &Inbound, text: String) -> Result<(), Failure> {
    if core.store.is_received(id, &item.remote_id).map_err(crate::failure::stored)? {
        // It came again because its confirmation was lost. A command must not be carried out twice.
        return Ok(());
    }
    let guest = || Selection::Guest(format!("{id}:{}", item.sender.user));
    let incoming = Incoming {
        channel: id.clone(),
        remote_id: item.remote_id.clone(),
        reply_to: Some(item.chat.clone()),
        text,
        selection: if owner { Selection::Current } else { guest() },
        workspace: None,
        when_busy: WhenBusy::Steer,
        // Whoever is allowed but not the owner cannot approve anything, so nobody is present for their tasks.
        origin: if owner { Origin::Owner } else { Origin::Program },
    };
    match send::accept(core, incoming).await {
        Ok(CommandReply::Accepted { .. }) => Ok(()),
        Ok(
            CommandReply::Said { text }
            | CommandReply::Done { text }
            | CommandReply::CodeNeeded { text }
            | CommandReply::Job { text, .. }
            | CommandReply::Shell { text, .. },
        ) => reply(core, id, item, text).await,
        Ok(CommandReply::Confirm { rule, .. }) => reply(core, id, item, rule).await,
        Err(failure) if failure.kind == FailureKind::Internal => Err(failure),
        Err(_) if !owner => remember(core, id, &item.remote_id).await,
        Err(failure) => {
            let hint = failure.hint.map(|hint| format!("\n{hint}")).unwrap_or_default();
            reply(core, id, item, format!("{}{hint}", failure.error)).await
        }
    }
}

/// The daemon's own answer, owed in the same write that remembers the message.
async fn reply(core: &Arc<Core>, id: &ChannelId, item: &Inbound, text: String) -> Result<(), Failure> {
    let pieces = crate::deliver::pieces(core, id, &text);
    let (channel, target, remote_id) = (id.clone(), item.chat.clone(), item.remote_id.clone());
    let record = move |tx: &mut store::Tx<'_>| -> Result<(), StoreError> {
        for (number, text) in pieces.into_iter().enumerate() {
            tx.deliver(NewDelivery {
                session: None,
                turn: None,
                channel: channel.clone(),
                target: target.clone(),
                body: DeliveryBody::Notice { text },
                key: format!("reply:{channel}:{remote_id}:{number}"),
            })?;
        }
        tx.note_silenced(&channel, &remote_id)
    };
    core.store.transact(record).await.map_err(crate::failure::stored)
}

/// Remembers that this was dealt with, so that it is not dealt with again.
async fn remember(core: &Arc<Core>, id: &ChannelId, remote_id: &str) -> Result<(), Failure> {
    let (channel, remote_id) = (id.clone(), remote_id.to_owned());
    core.store.transact(move |tx| tx.note_silenced(&channel, &remote_id)).await.map_err(crate::failure::stored)
}

/// A press of a button by the owner. Returns what to show for it: nothing for a button that we never made.
async fn pressed(core: &Arc<Core>, id: &ChannelId, data: &str, update: &str) -> Result<Option<String>, Failure> {
    let Some(press) = requests::press(data) else { return Ok(None) };
    let Some(request) = core.store.request_by_nonce(press.nonce()).map_err(crate::failure::stored)? else {
        return Ok(None);
    };
    let offer = match &request.ask {
        Ask::Approval(question) => question.offer.as_ref(),
        Ask::Question { .. } => None,
    };
    let (answer, confirm) = match (press, &request.ask) {
        (Press::Approve(_), _) => (Answer::ONCE, None),
        (Press::Deny(_), _) => (Answer::Denied, None),
        (Press::Show(scope, _), Ask::Approval(_)) => {
            return show_rule(core, id, &request, scope, update).await.map(Some);
        }
        (Press::Save(scope, _), Ask::Approval(_)) => {
            // The button stands under the rule alone. One that was made up saves nothing that was not shown.
            if requests::stage(core, request.id, id)? != Some(Stage::Rule(scope)) {
                return Ok(None);
            }
            (Answer::Approved { scope }, offer.map(|offer| offer.digest.clone()))
        }
        (Press::Option(_, number), Ask::Question { options, .. }) => match options.get(number) {
            Some(option) => (Answer::Text { text: option.clone() }, None),
            None => return Ok(None),
        },
        (Press::Option(..), Ask::Approval(_)) | (Press::Show(..) | Press::Save(..), Ask::Question { .. }) => {
            return Ok(None);
        }
    };
    let scope = match answer {
        Answer::Approved { scope } => scope,
        Answer::Denied | Answer::Expired | Answer::Withdrawn | Answer::Text { .. } => Scope::Once,
    };
    let given = Given { answer, code: None, confirm, channel: id.clone(), said_in: None };
    match answer::answer(core, request.id, given).await {
        Ok(CommandReply::CodeNeeded { .. }) => {
            requests::set_stage(core, &request, id, Stage::Code(scope), update).await?;
            Ok(Some(format!("Write the code of your authenticator app: {} 123456", request.id)))
        }
        Ok(reply) => Ok(Some(requests::in_words(request.id, scope, reply))),
        Err(failure) if failure.kind == FailureKind::Internal => Err(failure),
        Err(failure) => Ok(Some(failure.error)),
    }
}

/// Shows the rule that would be saved, with the buttons that save it.
async fn show_rule(
    core: &Arc<Core>,
    id: &ChannelId,
    request: &OwnerRequest,
    scope: Scope,
    update: &str,
) -> Result<String, Failure> {
    match answer::open(core, request.id) {
        Ok(_) => {}
        Err(failure) if failure.kind == FailureKind::Internal => return Err(failure),
        Err(failure) => return Ok(failure.error),
    }
    requests::set_stage(core, request, id, Stage::Rule(scope), update).await?;
    Ok("This is the rule; nothing is allowed yet.".to_owned())
}

/// Takes the buttons away from a message that shows a settled request and that we know nothing of: a crash fell between
/// its sending and our record, so that it was sent a second time.
fn leftover(core: &Core, id: &ChannelId, data: &str, message: &RemoteId) -> Option<Outbound> {
    let request = core.store.request_by_nonce(requests::press(data)?.nonce()).ok()??;
    let settled = requests::settled_text(&request, request.answer.as_ref()?);
    let shown = core.store.cursor(&requests::shown_cursor(request.id, id)).ok()?;
    if shown.as_ref() == Some(&message.0) {
        // The outbox sees to that one.
        return None;
    }
    let limits = core.messengers.get(id)?.channel.limits();
    let markdown = channels::split(&settled, limits).into_iter().next().unwrap_or_default();
    Some(Outbound::Edit { remote_id: message.clone(), markdown, buttons: Vec::new() })
}

/// What follows a pressed button: signs only, so a failure is not worth another attempt.
fn signal(core: &Arc<Core>, id: &ChannelId, chat: String, signs: [Option<Outbound>; 2]) {
    let (core, id) = (core.clone(), id.clone());
    core.tasks.clone().spawn(async move {
        let Some(messenger) = core.messengers.get(&id) else { return };
        for sign in signs.into_iter().flatten() {
            if let Err(error) = messenger.channel.send(&chat, sign, core.phases.stopping.clone()).await {
                tracing::debug!(%error, "a button could not be acknowledged");
            }
        }
    });
}
