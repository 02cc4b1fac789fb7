//! Requests to the owner on the messengers: each open one is shown with buttons, and each settled one shows how it came
//! out, wherever it was shown. It follows the journal from a durable place, so that a restart neither forgets nor
//! repeats one. It must not answer anything itself.

mod text;

use std::sync::Arc;

use store::{DeliveryBody, NewDelivery, StoreError};
use tokio::sync::broadcast::error::RecvError;
use types::{ChannelId, Envelope, Event, RequestId, Seq, SessionId, TurnId};

use crate::core::Core;

pub(crate) use text::{Press, buttons, press, question_text, settled_text};

/// How far the journal has been followed.
const PLACE: &str = "requests-followed";
/// Events read in one go.
const BATCH: usize = 500;

/// The cursor that keeps the messenger's number of the message that shows a request.
pub(crate) fn shown_cursor(request: RequestId, channel: &ChannelId) -> String {
    format!("request:{request}:{channel}")
}

/// Follows the journal until the daemon stops.
pub(crate) async fn follow(core: Arc<Core>) {
    if core.messengers.is_empty() {
        return;
    }
    let stopping = core.phases.stopping.clone();
    let mut events = core.store.subscribe();
    // What happened before we listened, from the last place on.
    let mut place = match catch_up(&core, None).await {
        Ok(place) => place,
        Err(error) => return tracing::error!(%error, "open requests cannot be shown on messengers"),
    };
    loop {
        let event = tokio::select! {
            () = stopping.cancelled() => break,
            event = events.recv() => event,
        };
        let step = match event {
            Ok(envelope) if envelope.seq.is_some_and(|seq| seq > place) => {
                place = envelope.seq.unwrap_or(place);
                handle(&core, &envelope).await
            }
            Ok(_) => Ok(()),
            Err(RecvError::Lagged(_)) => catch_up(&core, Some(place)).await.map(|seq| place = seq),
            Err(RecvError::Closed) => break,
        };
        if let Err(error) = step {
            tracing::error!(%error, "a request could not be put on a messenger; the next start tries again");
        }
    }
}

/// Handles everything after the place, and returns the new place.
async fn catch_up(core: &Arc<Core>, from: Option<Seq>) -> Result<Seq, StoreError> {
    let stored = core.store.cursor(PLACE)?.and_then(|text| text.parse().ok()).map_or(Seq(0), Seq);
    let mut place = from.unwrap_or(stored);
    loop {
        let batch = core.store.events_after(place, None, BATCH)?;
        let Some(last) = batch.last().and_then(|envelope| envelope.seq) else { return Ok(place) };
        for envelope in &batch {
            handle(core, envelope).await?;
        }
        place = last;
    }
}

/// Makes the deliveries that an event calls for. A key makes each of them once.
async fn handle(core: &Arc<Core>, envelope: &Envelope) -> Result<(), StoreError> {
    let (request, stage) = if let Event::OwnerAsked { request } = &envelope.event {
        (request.id, "asked")
    } else if let Event::OwnerAnswered { request, .. } = &envelope.event {
        (*request, "settled")
    } else {
        return Ok(());
    };
    let targets: Vec<(ChannelId, String)> = core
        .messengers
        .iter()
        .filter_map(|(channel, messenger)| Some((channel.clone(), messenger.owner()?.to_owned())))
        .collect();
    let (session, turn) = (envelope.session, envelope.turn);
    let place = envelope.seq;
    let deliver = move |tx: &mut store::Tx<'_>| {
        for (channel, target) in targets {
            tx.deliver(delivery(session, turn, channel, target, request, stage))?;
        }
        match place {
            Some(place) => tx.set_cursor(PLACE, place.to_string()),
            None => Ok(()),
        }
    };
    core.store.transact(deliver).await
}

fn delivery(
    session: Option<SessionId>,
    turn: Option<TurnId>,
    channel: ChannelId,
    target: String,
    request: RequestId,
    stage: &str,
) -> NewDelivery {
    let key = format!("request:{request}:{stage}:{channel}");
    NewDelivery { session, turn, channel, target, body: DeliveryBody::Request { request }, key }
}
