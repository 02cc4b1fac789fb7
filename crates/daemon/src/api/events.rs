//! `GET /v1/events`: the journal from any place on, then what happens, as server-sent events. A reader that falls
//! behind is served from the journal again, so it misses no stored event.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Query, State},
    http::HeaderMap,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event as Sent, KeepAlive},
    },
};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use tokio::sync::{
    Semaphore,
    broadcast::{Receiver, error::RecvError},
};
use types::{Envelope, Invariant, Seq, SessionId};

use super::{access::Generation, commands::Refused};
use crate::{core::Core, failure::user};

/// Streams that may be open at the same time.
const MAX_STREAMS: usize = 64;
/// Events read from the journal in one go.
const BATCH: usize = 256;
/// How often a silent stream shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

static STREAMS: Semaphore = Semaphore::const_new(MAX_STREAMS);

/// Where to begin and what to leave out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    after: Option<i64>,
    session: Option<i64>,
}

pub(super) async fn events(
    State(core): State<Arc<Core>>,
    Query(place): Query<Place>,
    generation: Option<Extension<Generation>>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let permit = STREAMS
        .try_acquire()
        .map_err(|_| user(format!("{MAX_STREAMS} event streams are open already"), "close some of them"))?;
    let resumed = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let after = match resumed.or(place.after) {
        Some(seq) => Seq(seq),
        None => core.store.last_seq().map_err(crate::failure::stored)?,
    };
    let live = core.store.subscribe();
    let generation = generation.map(|Extension(generation)| generation);
    let feed = Feed {
        core,
        live,
        generation,
        after,
        session: place.session.map(SessionId),
        ready: VecDeque::new(),
        behind: true,
    };
    let stream = frames(feed, permit);
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn frames(
    feed: Feed,
    permit: tokio::sync::SemaphorePermit<'static>,
) -> impl Stream<Item = Result<Sent, Infallible>> + Send {
    stream::unfold((feed, permit), |(mut feed, permit)| async move {
        let envelope = feed.next().await?;
        let data = serde_json::to_string(&envelope).expect("events hold only strings, numbers and maps of strings");
        let frame = Sent::default().data(data);
        let frame = match envelope.seq {
            Some(seq) => frame.id(seq.to_string()),
            None => frame,
        };
        Some((Ok(frame), (feed, permit)))
    })
}

/// Returns when the token that opened the stream is no longer in force: whoever stole it hears nothing more.
async fn is_over(generation: &mut Option<Generation>) {
    match generation {
        Some(generation) if !Invariant::RevocationIsLive.is_broken() => generation.is_over().await,
        Some(_) | None => std::future::pending().await,
    }
}

/// One reader's view of the journal.
struct Feed {
    core: Arc<Core>,
    live: Receiver<Envelope>,
    /// The token that opened it; none on the Unix socket.
    generation: Option<Generation>,
    after: Seq,
    session: Option<SessionId>,
    ready: VecDeque<Envelope>,
    /// The journal may hold events that were not read yet.
    behind: bool,
}

impl Feed {
    async fn next(&mut self) -> Option<Envelope> {
        loop {
            if self.is_revoked() {
                return None;
            }
            if let Some(envelope) = self.ready.pop_front() {
                return Some(envelope);
            }
            if self.behind {
                self.read()?;
                continue;
            }
            let received = tokio::select! {
                () = self.core.phases.closing.cancelled() => return None,
                () = is_over(&mut self.generation) => return None,
                received = self.live.recv() => received,
            };
            match received {
                Ok(envelope) if self.is_fresh(&envelope) => {
                    self.after = envelope.seq.unwrap_or(self.after);
                    if self.session.is_none() || envelope.session == self.session {
                        return Some(envelope);
                    }
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => self.behind = true,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Whether the token that opened the stream was replaced: the journal is not read to its end for whoever stole it.
    fn is_revoked(&self) -> bool {
        let has_ended = self.generation.as_ref().is_some_and(Generation::has_ended);
        has_ended && !Invariant::RevocationIsLive.is_broken()
    }

    /// Reads on in the journal. None when that fails: the client comes again.
    fn read(&mut self) -> Option<()> {
        let batch = match self.core.store.events_after(self.after, self.session, BATCH) {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(%error, "the journal cannot be read for a client");
                return None;
            }
        };
        self.behind = batch.len() == BATCH;
        self.after = batch.last().and_then(|envelope| envelope.seq).unwrap_or(self.after);
        self.ready.extend(batch);
        Some(())
    }

    /// Whether it was not read from the journal already. Ephemeral events have no place in it.
    fn is_fresh(&self, envelope: &Envelope) -> bool {
        envelope.seq.is_none_or(|seq| seq > self.after)
    }
}
