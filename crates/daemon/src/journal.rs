//! Follows the journal and makes the deliveries that events call for: requests to the owner, their outcomes, and notices
//! that need attention. The place is durable, so that a restart neither forgets nor repeats one. Answers of turns are
//! not its affair: they are owed as soon as the turn ends.

use std::{sync::Arc, time::Duration};

use store::{DeliveryBody, NewDelivery, StoreError};
use tokio::sync::broadcast::error::RecvError;
use types::{ChannelId, Envelope, Event, Level, RequestId, Seq, TurnId};

use crate::{core::Core, requests::shown_cursor};

/// How far the journal has been followed.
const PLACE: &str = "journal-followed";
/// Events read in one go.
const BATCH: usize = 500;
/// How long to wait before what could not be written is tried again.
const PAUSE: Duration = Duration::from_secs(2);
/// What is older than this when it is met for the first time is history: a messenger that was added later must not be
/// flooded with it.
const FRESH: Duration = Duration::from_secs(3_600);

/// Follows the journal until the daemon stops. What cannot be written, because the disk is full, is tried again: a
/// question that nobody sees would be denied when its time is over.
pub(crate) async fn follow(core: Arc<Core>) {
    if core.messengers.is_empty() {
        return;
    }
    let stopping = core.phases.stopping.clone();
    let mut events = core.store.subscribe();
    // What happened before we listened, from the last place on.
    let mut place = None;
    let mut behind = true;
    loop {
        if behind {
            let caught = catch_up(&core, &mut place).await;
            behind = caught.is_err();
            if let Err(error) = caught {
                tracing::error!(%error, "requests and notices cannot be put on the messengers; trying again");
                tokio::select! {
                    () = stopping.cancelled() => break,
                    () = tokio::time::sleep(PAUSE) => continue,
                }
            }
        }
        let event = tokio::select! {
            () = stopping.cancelled() => break,
            event = events.recv() => event,
        };
        match event {
            Ok(envelope) if envelope.seq.is_some() && envelope.seq > place => match handle(&core, &envelope).await {
                Ok(()) => place = envelope.seq,
                Err(error) => {
                    tracing::warn!(%error, "a request or notice could not be put on the messengers");
                    behind = true;
                }
            },
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => behind = true,
            Err(RecvError::Closed) => break,
        }
    }
}

/// Handles everything after the place, which moves with each event that was handled.
async fn catch_up(core: &Arc<Core>, place: &mut Option<Seq>) -> Result<(), StoreError> {
    let mut after = match *place {
        Some(place) => place,
        None => core.store.cursor(PLACE)?.and_then(|text| text.parse().ok()).map_or(Seq(0), Seq),
    };
    *place = Some(after);
    loop {
        let batch = core.store.events_after(after, None, BATCH)?;
        if batch.is_empty() {
            return Ok(());
        }
        for envelope in &batch {
            handle(core, envelope).await?;
            after = envelope.seq.unwrap_or(after);
            *place = Some(after);
        }
    }
}

/// Makes the deliveries that an event calls for. A key makes each of them once.
async fn handle(core: &Arc<Core>, envelope: &Envelope) -> Result<(), StoreError> {
    let deliveries = if let Event::OwnerAsked { request } = &envelope.event {
        let settled = core.store.request(request.id)?.is_some_and(|request| request.answer.is_some());
        if settled && !is_fresh(core, envelope) {
            Vec::new()
        } else {
            about_request(core, envelope, request.id, "asked")
        }
    } else if let Event::OwnerAnswered { request, .. } = &envelope.event {
        if is_fresh(core, envelope) || is_shown(core, *request)? {
            about_request(core, envelope, *request, "settled")
        } else {
            Vec::new()
        }
    } else if let Event::Notice { level: Level::Warning | Level::Error, text } = &envelope.event {
        if is_fresh(core, envelope) { notices(core, envelope, text)? } else { Vec::new() }
    } else {
        return Ok(());
    };
    let place = envelope.seq;
    let deliver = move |tx: &mut store::Tx<'_>| {
        for delivery in deliveries {
            tx.deliver(delivery)?;
        }
        match place {
            Some(place) => tx.set_cursor(PLACE, place.to_string()),
            None => Ok(()),
        }
    };
    core.store.transact(deliver).await
}

fn is_fresh(core: &Core, envelope: &Envelope) -> bool {
    core.clock.now().since(envelope.at) < FRESH
}

/// Whether any messenger shows this request.
fn is_shown(core: &Core, request: RequestId) -> Result<bool, StoreError> {
    for channel in core.messengers.keys() {
        if core.store.cursor(&shown_cursor(request, channel))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A request goes to the owner on every messenger: they may be at any of them.
fn about_request(core: &Core, envelope: &Envelope, request: RequestId, stage: &str) -> Vec<NewDelivery> {
    let delivery = |(channel, target): (ChannelId, String)| NewDelivery {
        session: envelope.session,
        turn: envelope.turn,
        key: format!("request:{request}:{stage}:{channel}"),
        channel,
        target,
        body: DeliveryBody::Request { request },
    };
    owners(core).into_iter().map(delivery).collect()
}

/// A notice goes where its turn is answered, or to the owner on every messenger when it belongs to none.
fn notices(core: &Core, envelope: &Envelope, text: &str) -> Result<Vec<NewDelivery>, StoreError> {
    let targets = match envelope.turn {
        Some(turn) => chat_of(core, turn)?.into_iter().collect(),
        None => owners(core),
    };
    let number = envelope.seq.unwrap_or(Seq(0));
    let delivery = |(channel, target): (ChannelId, String)| NewDelivery {
        session: envelope.session,
        turn: envelope.turn,
        key: format!("notice:{number}:{channel}"),
        body: DeliveryBody::Notice { text: crate::deliver::pieces(core, &channel, text).swap_remove(0) },
        channel,
        target,
    };
    Ok(targets.into_iter().map(delivery).collect())
}

/// The chat in which a turn is answered; none for the API's turns.
fn chat_of(core: &Core, turn: TurnId) -> Result<Option<(ChannelId, String)>, StoreError> {
    let turn = core.store.turn(turn)?.filter(|turn| turn.reply_channel != ChannelId::api());
    Ok(turn.and_then(|turn| Some((turn.reply_channel, turn.reply_to?))))
}

/// The owner's private chat on each messenger.
fn owners(core: &Core) -> Vec<(ChannelId, String)> {
    let chat =
        |(channel, messenger): (&ChannelId, &crate::core::Messenger)| Some((channel.clone(), messenger.owner()?));
    core.messengers.iter().filter_map(chat).collect()
}
