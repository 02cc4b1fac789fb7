//! A provider over any dialect: one request, its tries, its stream. The dialect says what the bytes mean; this module
//! says when to wait, to give up and to try again.

use std::{borrow::Cow, sync::Arc, time::Duration};

use egress::{HttpClient, Method, Response};
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use types::{ModelEvent, ModelReply, ModelRequest, Provider, ProviderError, ProviderErrorKind, Usage};

use crate::{
    blocks::unique_call_ids,
    errors::{WaitHeaders, from_egress, from_status, refuses_own_reasoning},
    frames::{Frames, Framing},
    keys::Keys,
    media::{MediaLimits, prepare},
    refused::Refused,
    retry::Retry,
    sse::SseEvent,
};

/// Events that wait for the reader; a full queue holds the network back.
const QUEUE: usize = 64;
/// The most bytes of an answer that comes in one piece.
const MAX_WHOLE_BYTES: u64 = 32 * 1024 * 1024;
/// The most bytes of an error's body that are read.
const MAX_ERROR_BYTES: usize = 64 * 1024;
/// How long the end of a finished stream is waited for, so that its connection can serve the next request.
const TAIL: Duration = Duration::from_millis(5);

/// One wire dialect. Pure: no method may wait or touch anything.
pub(crate) trait Dialect: Send + Sync + 'static {
    /// The path of the endpoint, appended to the base address.
    fn path(&self, request: &ModelRequest, stream: bool) -> Cow<'_, str>;
    /// What follows the path.
    fn query(&self, _stream: bool) -> &[(&'static str, &'static str)] {
        &[]
    }
    /// The headers that every request has, beside the key.
    fn headers(&self) -> &[(&'static str, &'static str)];
    /// What pictures and documents it takes.
    fn media(&self) -> MediaLimits;
    /// How a stream of its answers is cut into events.
    fn framing(&self) -> Framing {
        Framing::ServerSentEvents
    }
    /// The request's body. The request holds nothing that another vendor alone may have, and of pictures and documents just those
    /// that [`Dialect::media`] allows, with their bytes.
    fn body(&self, request: &ModelRequest, stream: bool) -> Value;
    /// A decoder for one streamed answer.
    fn decoder(&self) -> Box<dyn Decoder>;
    /// Reads an answer that came in one piece.
    fn whole(&self, answer: &Value) -> Result<ModelReply, ProviderError>;
    /// The answer, if it can be one to all of this request.
    fn judge(&self, _request: &ModelRequest, reply: ModelReply) -> Result<ModelReply, ProviderError> {
        Ok(reply)
    }
    /// What the owner can do about an error whose words are this interface's own.
    fn advice(&self, _error: &ProviderError) -> Option<&'static str> {
        None
    }
}

/// How far an event has brought the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It has grown.
    Made,
    /// It has not: a ping, or an event that we do not know.
    None,
    /// It is whole.
    Whole,
}

/// Puts one answer together from its events.
pub(crate) trait Decoder: Send {
    /// Takes an event; what the reader should see of it goes to `seen`.
    fn event(&mut self, event: &SseEvent, seen: &mut Vec<ModelEvent>) -> Result<Progress, ProviderError>;
    /// The answer, once it is whole or the body has ended. Fails with `Truncated` when too little came.
    fn finish(&mut self) -> Result<ModelReply, ProviderError>;
    /// What has been reported as used so far.
    fn usage(&self) -> Usage;
}

/// The connection's part of a provider's settings.
pub(crate) struct Endpoint {
    pub keys: Keys,
    /// Who answers there: the mark of blocks that it alone may have back.
    pub origin: String,
    pub stream: bool,
    pub retry: Retry,
    /// How long a stream may bring nothing of the answer, pings aside.
    pub idle: Duration,
    /// How long it may take to its first event.
    pub first: Duration,
}

/// A provider that speaks `D`.
pub(crate) struct Wire<D>(Arc<Inner<D>>);

struct Inner<D> {
    endpoint: Endpoint,
    dialect: D,
    refused: Refused,
}

impl<D: Dialect> Wire<D> {
    pub(crate) fn new(endpoint: Endpoint, dialect: D) -> Self {
        Self(Arc::new(Inner { endpoint, dialect, refused: Refused::default() }))
    }
}

impl<D: Dialect> Provider for Wire<D> {
    fn stream(&self, request: ModelRequest, cancel: CancellationToken) -> BoxStream<'static, ModelEvent> {
        let inner = self.0.clone();
        let (sender, receiver) = mpsc::channel(QUEUE);
        let work = async move {
            let request = prepare(request, &inner.endpoint.origin, &inner.dialect.media());
            let request = inner.refused.without(request);
            let end = inner.answer(&request, &sender, &cancel).await;
            // A reader that has gone has no use for the end either.
            drop(sender.send(end).await);
        };
        driven(receiver, work)
    }
}

/// The events of `receiver`, for as long as `work` fills it. The work runs only while the stream is read, and ends when
/// the stream is dropped: no task is left behind.
fn driven(
    receiver: mpsc::Receiver<ModelEvent>,
    work: impl Future<Output = ()> + Send + 'static,
) -> BoxStream<'static, ModelEvent> {
    let events =
        stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|event| (event, receiver)) });
    let work = stream::once(work).filter_map(|()| std::future::ready(None));
    stream::select(events, work).boxed()
}

impl<D: Dialect> Inner<D> {
    /// All tries of one request; gives the stream's last event.
    async fn answer(
        &self,
        request: &ModelRequest,
        events: &mpsc::Sender<ModelEvent>,
        cancel: &CancellationToken,
    ) -> ModelEvent {
        let mut body = self.dialect.body(request, self.endpoint.stream);
        let path = self.dialect.path(request, self.endpoint.stream);
        let started = Instant::now();
        let (mut attempt, mut stripped) = (1, false);
        // A key may have rested by the time that the others have failed, so they do not bound themselves.
        let mut rotations = self.endpoint.keys.count().saturating_sub(1);
        loop {
            let (key, client) = match self.endpoint.keys.pick(Instant::now()) {
                Ok(picked) => picked,
                Err(error) => return ModelEvent::Failed(error),
            };
            let mut wasted = Usage::default();
            let answer = self.attempt(client, &path, &body, events, cancel, &mut wasted).await;
            let error = match answer.and_then(|reply| self.dialect.judge(request, reply)) {
                Ok(mut reply) => {
                    self.endpoint.keys.answered(key);
                    unique_call_ids(&mut reply.blocks, &request.messages);
                    reply.blocks.iter_mut().for_each(|block| block.set_origin(&self.endpoint.origin));
                    return ModelEvent::Finished(reply);
                }
                Err(error) => self.advised(error),
            };
            let next_key = self.endpoint.keys.failed(key, &error, Instant::now()) && rotations > 0;
            rotations = rotations.saturating_sub(usize::from(next_key));
            let wait = match self.endpoint.retry.wait(attempt, started.elapsed(), &error) {
                _ if next_key => Duration::ZERO,
                Some(wait) => wait,
                // Signatures end with the keys behind them. Once, the conversation is tried without what they guard.
                None if !stripped && refuses_own_reasoning(&error) => {
                    stripped = true;
                    body = self.dialect.body(&self.refused.add(request), self.endpoint.stream);
                    Duration::ZERO
                }
                None => return ModelEvent::Failed(error),
            };
            attempt += 1;
            tracing::debug!(attempt, wait_ms = wait.as_millis() as u64, error = %error, "a model request is repeated");
            drop(events.send(ModelEvent::Restarted { attempt, wait, error, wasted }).await);
            tokio::select! {
                biased;
                () = cancel.cancelled() => return ModelEvent::Failed(cancelled()),
                () = sleep(wait) => {}
            }
        }
    }

    fn advised(&self, mut error: ProviderError) -> ProviderError {
        if let Some(advice) = self.dialect.advice(&error) {
            error.message = format!("{}; {advice}", error.message);
        }
        error
    }

    /// One try.
    async fn attempt(
        &self,
        client: &HttpClient,
        path: &str,
        body: &Value,
        events: &mpsc::Sender<ModelEvent>,
        cancel: &CancellationToken,
        used: &mut Usage,
    ) -> Result<ModelReply, ProviderError> {
        let mut request = client.request(Method::POST, path).query(self.dialect.query(self.endpoint.stream)).json(body);
        for (name, value) in self.dialect.headers() {
            request = request.header(name, value);
        }
        let response = request.send(cancel).await.map_err(|error| from_egress(&error, false))?;
        if !response.is_success() {
            return Err(refused(client, response).await);
        }
        match form(&response, self.endpoint.stream, self.dialect.framing())? {
            Form::Events => self.read_events(response, events, cancel, used).await,
            Form::Whole => self.read_whole(response, events).await,
        }
    }

    async fn read_whole(
        &self,
        response: Response,
        events: &mpsc::Sender<ModelEvent>,
    ) -> Result<ModelReply, ProviderError> {
        let bytes = response.bytes_limited(MAX_WHOLE_BYTES).await.map_err(|error| from_egress(&error, true))?;
        let answer: Value = serde_json::from_slice(&bytes).map_err(|error| {
            let kind = if error.is_eof() { ProviderErrorKind::Truncated } else { ProviderErrorKind::Malformed };
            ProviderError::new(kind, "the answer is not whole JSON")
        })?;
        let reply = self.dialect.whole(&answer)?;
        for event in crate::blocks::as_events(&reply.blocks) {
            drop(events.send(event).await);
        }
        Ok(reply)
    }

    async fn read_events(
        &self,
        mut response: Response,
        events: &mpsc::Sender<ModelEvent>,
        cancel: &CancellationToken,
        used: &mut Usage,
    ) -> Result<ModelReply, ProviderError> {
        let mut reading = Reading::new(Frames::new(self.dialect.framing()), self.dialect.decoder());
        let mut deadline = Instant::now() + self.endpoint.first;
        let end = loop {
            let piece = match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(piece)) => piece,
                Ok(Err(error)) => break Err(from_egress(&error, true)),
                Err(_) => break Err(ProviderError::new(ProviderErrorKind::Timeout, "the answer stopped growing")),
            };
            let Some(piece) = piece else {
                let end = reading.end();
                for event in reading.seen.drain(..) {
                    drop(events.send(event).await);
                }
                break end;
            };
            let progress = match reading.take(&piece) {
                Ok(progress) => progress,
                Err(error) => break Err(error),
            };
            for event in reading.seen.drain(..) {
                drop(events.send(event).await);
            }
            match progress {
                Progress::Made => deadline = Instant::now() + self.endpoint.idle,
                Progress::None => {}
                Progress::Whole => {
                    drop(timeout(TAIL, response.chunk()).await);
                    break reading.decoder.finish();
                }
            }
            if cancel.is_cancelled() {
                break Err(cancelled());
            }
        };
        *used = reading.decoder.usage();
        end
    }
}

/// The error that an answer without success tells of.
async fn refused(client: &HttpClient, response: Response) -> ProviderError {
    let status = response.status();
    let [retry_after_ms, retry_after, date] =
        ["retry-after-ms", "retry-after", "date"].map(|name| response.header(name).map(str::to_owned));
    let body = response.text_prefix(MAX_ERROR_BYTES).await;
    let headers = WaitHeaders {
        retry_after_ms: retry_after_ms.as_deref(),
        retry_after: retry_after.as_deref(),
        date: date.as_deref(),
    };
    // A vendor may repeat the key that it refuses.
    from_status(status, headers, &client.masked(&body))
}

/// A streamed answer that is being read.
struct Reading {
    frames: Frames,
    decoder: Box<dyn Decoder>,
    pending: Vec<SseEvent>,
    seen: Vec<ModelEvent>,
    any_bytes: bool,
    any_event: bool,
}

impl Reading {
    fn new(frames: Frames, decoder: Box<dyn Decoder>) -> Self {
        let (pending, seen) = (Vec::new(), Vec::new());
        Self { frames, decoder, pending, seen, any_bytes: false, any_event: false }
    }

    /// Takes a piece of the body.
    fn take(&mut self, piece: &[u8]) -> Result<Progress, ProviderError> {
        self.any_bytes = true;
        self.frames
            .push(piece, &mut self.pending)
            .map_err(|_| ProviderError::new(ProviderErrorKind::Malformed, "an event of the answer is too large"))?;
        let mut progress = Progress::None;
        for event in std::mem::take(&mut self.pending) {
            self.any_event = true;
            match self.decoder.event(&event, &mut self.seen)? {
                Progress::Whole => return Ok(Progress::Whole),
                Progress::Made => progress = Progress::Made,
                Progress::None => {}
            }
        }
        Ok(progress)
    }

    /// The body has ended without the answer's own end.
    fn end(&mut self) -> Result<ModelReply, ProviderError> {
        if let Some(event) = self.frames.finish() {
            self.any_event = true;
            // An event that is cut in the middle says nothing, and the answer is judged by what came before.
            let is_whole = || serde_json::from_str::<serde::de::IgnoredAny>(&event.data).is_ok();
            if let Err(error) = self.decoder.event(&event, &mut self.seen)
                && is_whole()
            {
                return Err(error);
            }
        }
        if self.any_bytes && !self.any_event {
            return Err(ProviderError::new(ProviderErrorKind::Malformed, "the answer is no stream of events"));
        }
        self.decoder.finish()
    }
}

/// The two forms of an answer.
enum Form {
    Events,
    Whole,
}

/// In which form the answer comes. A server may answer in one piece although a stream was asked for.
fn form(response: &Response, streamed: bool, framing: Framing) -> Result<Form, ProviderError> {
    let malformed = |what: &str| Err(ProviderError::new(ProviderErrorKind::Malformed, what));
    if response.header("content-encoding").is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return malformed("the answer is compressed, which was not asked for");
    }
    let content_type = response.header("content-type").map(|text| {
        let essence = text.split(';').next().unwrap_or_default();
        essence.trim().to_ascii_lowercase()
    });
    match content_type.as_deref() {
        Some(given) if given == framing.media_type() => Ok(Form::Events),
        // One value is a line as well.
        Some("application/json") if streamed && framing == Framing::Lines => Ok(Form::Events),
        Some("application/json") => Ok(Form::Whole),
        None if streamed => Ok(Form::Events),
        None => Ok(Form::Whole),
        Some("text/html") => malformed("the answer is a web page; check base_url, or sign in to the network"),
        Some(_) => malformed("the answer is neither JSON nor a stream of events; check base_url"),
    }
}

fn cancelled() -> ProviderError {
    ProviderError::new(ProviderErrorKind::Cancelled, "")
}

/// The error for an answer that ended too early.
pub(crate) fn truncated() -> ProviderError {
    ProviderError::new(ProviderErrorKind::Truncated, "the connection ended before the answer did")
}

/// The error for data that is not what the dialect promises. The data itself is not repeated: it may be anything.
pub(crate) fn malformed(what: &str) -> ProviderError {
    ProviderError::new(ProviderErrorKind::Malformed, what)
}
