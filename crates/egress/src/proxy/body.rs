//! Bodies on their way through: counted against the rule's caps before each piece goes on, without trailers, and on the
//! way back masked. No piece is copied unless something has to be held back.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use policy::redact::Redactor;
use tokio::sync::OwnedSemaphorePermit;

use super::{answer::Broken, receipt::Receipt};

/// The most bytes that are held back for the mask. The longest form of the longest secret is shorter.
const MAX_HELD: usize = 1 << 20;

/// A request's body on its way to the server.
pub(super) struct Upload {
    inner: Outgoing,
    receipt: Arc<Receipt>,
}

/// A request's body as it is here.
pub(super) enum Outgoing {
    /// It goes on as it comes.
    Passing(Incoming),
    /// It was read to its end and looked at.
    Read(ReadBody),
}

/// A body that was read to its end, with its place among those that are held at once.
pub(super) struct ReadBody {
    pub bytes: Bytes,
    _place: OwnedSemaphorePermit,
}

impl ReadBody {
    /// Reads a body of at most so many bytes; none where it is longer.
    pub async fn read(body: Incoming, most: u64, place: OwnedSemaphorePermit) -> Result<Option<Self>, hyper::Error> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if body.size_hint().lower() > most as u64 {
            return Ok(None);
        }
        let (mut body, mut bytes) = (body, BytesMut::new());
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if bytes.len() + data.len() > most {
                return Ok(None);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Some(Self { bytes: bytes.freeze(), _place: place }))
    }
}

impl Upload {
    pub fn new(inner: Outgoing, receipt: Arc<Receipt>) -> Self {
        Self { inner, receipt }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            let inner = match &mut self.inner {
                Outgoing::Passing(inner) => inner,
                Outgoing::Read(read) => {
                    let bytes = std::mem::take(&mut read.bytes);
                    if bytes.is_empty() {
                        return Poll::Ready(None);
                    }
                    self.receipt.sending(bytes.len())?;
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
            };
            let Some(frame) = ready!(Pin::new(inner).poll_frame(cx)) else { return Poll::Ready(None) };
            let frame = frame.map_err(|error| self.receipt.broken("client", error.to_string()))?;
            if let Ok(data) = frame.into_data() {
                self.receipt.sending(data.len())?;
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Outgoing::Passing(inner) => inner.is_end_stream(),
            Outgoing::Read(read) => read.bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Outgoing::Passing(inner) => inner.size_hint(),
            Outgoing::Read(read) => SizeHint::with_exact(read.bytes.len() as u64),
        }
    }
}

/// Masks known values in what streams by.
pub(super) struct Mask {
    redactor: Arc<Redactor>,
    held: BytesMut,
}

impl Mask {
    /// None when there is nothing to mask.
    pub fn new(redactor: Arc<Redactor>) -> Option<Self> {
        (!redactor.is_empty()).then(|| Self { redactor, held: BytesMut::new() })
    }

    /// Takes a piece and gives what is settled of all so far; an error when a server makes us hold back more than any
    /// secret is long.
    pub fn push(&mut self, piece: Bytes) -> Result<Bytes, Broken> {
        if self.held.is_empty() {
            self.held = piece.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        } else {
            self.held.extend_from_slice(&piece);
        }
        let settled = self.redactor.mask_settled(&mut self.held);
        let out = self.held.split_to(settled).freeze();
        if self.held.len() > MAX_HELD {
            return Err(Broken("the answer cannot be searched for secrets".to_owned()));
        }
        Ok(out)
    }

    /// What was held back, at the end.
    pub fn finish(&mut self) -> Bytes {
        self.redactor.mask(&mut self.held);
        self.held.split().freeze()
    }
}

/// An answer's body on its way to the program.
pub(super) struct Download {
    inner: Incoming,
    receipt: Arc<Receipt>,
    mask: Option<Mask>,
}

impl Download {
    pub fn new(inner: Incoming, receipt: Arc<Receipt>, mask: Option<Mask>) -> Self {
        Self { inner, receipt, mask }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        loop {
            let Some(frame) = ready!(Pin::new(&mut this.inner).poll_frame(cx)) else {
                let rest = this.mask.as_mut().map(Mask::finish).filter(|rest| !rest.is_empty());
                return Poll::Ready(rest.map(|rest| Ok(Frame::data(rest))));
            };
            let frame = frame.map_err(|error| this.receipt.broken("upstream", error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            this.receipt.receiving(data.len())?;
            let data = match &mut this.mask {
                Some(mask) => mask.push(data).map_err(|error| this.receipt.broken("mask", error.0))?,
                None => data,
            };
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.mask.as_ref().is_none_or(|mask| mask.held.is_empty())
    }

    /// The mask does not change the length.
    fn size_hint(&self) -> SizeHint {
        let hint = self.inner.size_hint();
        let held = self.mask.as_ref().map_or(0, |mask| mask.held.len() as u64);
        let mut with_held = SizeHint::new();
        with_held.set_lower(hint.lower() + held);
        if let Some(upper) = hint.upper() {
            with_held.set_upper(upper + held);
        }
        with_held
    }
}
