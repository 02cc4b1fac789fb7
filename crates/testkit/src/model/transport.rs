//! From events to bytes on the wire: framing, cutting into packets, and the faults that live there. Lines of JSON are events without
//! a frame.

use std::{convert::Infallible, io, time::Duration};

use axum::body::{Body, Bytes};
use futures_util::{Stream, StreamExt, stream};

use super::reply::{Fault, Pieces, Reply};

/// One server-sent event.
pub(super) struct Event {
    pub name: Option<String>,
    pub data: String,
}

/// The sizes that irregular pieces go through.
const SIZES: [usize; 9] = [1, 3, 7, 2, 19, 5, 64, 11, 31];

/// A text in pieces of irregular length, each of whole characters.
pub(super) fn fragments(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    let mut turn = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let wanted = SIZES[turn % SIZES.len()];
        turn += 1;
        let end = rest.char_indices().nth(wanted).map_or(rest.len(), |(position, _)| position);
        let (piece, left) = rest.split_at(end);
        rest = left;
        Some(piece)
    })
}

/// The form of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Server-sent events.
    Events,
    /// One JSON value in each line.
    Lines,
}

impl Form {
    /// What stands between two events.
    fn gap(self) -> &'static [u8] {
        match self {
            Self::Events => b"\n\n",
            Self::Lines => b"\n",
        }
    }

    /// A sign of life. Where there is no comment, an empty line is all that can be said.
    fn ping(self) -> &'static [u8] {
        match self {
            Self::Events => b": still here\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n",
            Self::Lines => b"\n",
        }
    }
}

/// The events as bytes, with the reply's framing and those faults that change bytes.
pub(super) fn frame(events: &[Event], reply: &Reply, form: Form) -> Vec<u8> {
    if reply.fault == Some(Fault::MalformedSse) {
        return b"<html><body>502 upstream</body></html>\n\n".to_vec();
    }
    let end = if reply.crlf { "\r\n" } else { "\n" };
    let mut text = String::new();
    let kept = if reply.fault == Some(Fault::NoLastEvent) { events.len().saturating_sub(1) } else { events.len() };
    for (index, event) in events.iter().take(kept).enumerate() {
        if form == Form::Lines && reply.noise {
            text.push_str(end);
        } else if reply.noise {
            text.push_str(&format!(": keep-alive {index}{end}{end}"));
            text.push_str(&format!("id: {index}{end}retry: 1000{end}"));
        }
        if let Some(name) = &event.name {
            text.push_str(&format!("event: {name}{end}"));
        }
        let broken = reply.fault == Some(Fault::MalformedJson) && index == events.len() / 2;
        let mut data = event.data.as_str();
        if broken {
            let middle = (0..=data.len() / 2).rev().find(|at| data.is_char_boundary(*at)).unwrap_or(0);
            data = &data[..middle];
        }
        match form {
            Form::Events => text.push_str(&format!("data: {data}{end}{end}")),
            Form::Lines => text.push_str(&format!("{data}{end}")),
        }
    }
    text.into_bytes()
}

/// The bytes as a body, cut and delayed as the reply says.
pub(super) fn body(bytes: Vec<u8>, reply: &Reply, form: Form) -> Body {
    let bytes = Bytes::from(bytes);
    let cut = |at: usize| bytes.slice(..at.min(bytes.len()));
    match &reply.fault {
        Some(Fault::HangAfter(at)) => Body::from_stream(packets(cut(*at), reply.pieces).chain(stream::pending())),
        Some(Fault::OnlyPingsAfter { bytes: at, every }) => {
            let every = *every;
            let pings = stream::repeat(()).then(move |()| async move {
                tokio::time::sleep(every).await;
                Ok(Bytes::from_static(form.ping()))
            });
            // What was cut in the middle of a line is ended, so that the pings stand by themselves.
            let line_end = stream::iter([Ok(Bytes::from_static(b"\n"))]);
            Body::from_stream(packets(cut_at_event(&bytes, *at, form), reply.pieces).chain(line_end).chain(pings))
        }
        Some(Fault::EndAfter(at)) => Body::from_stream(packets(cut(*at), reply.pieces)),
        Some(Fault::CutAfter(at)) => {
            let broken = stream::once(async { Err(io::Error::other("the connection is cut")) });
            Body::from_stream(packets(cut(*at), reply.pieces).map(|piece| Ok(piece.unwrap_or_default())).chain(broken))
        }
        Some(Fault::SlowDrip { bytes: size, every }) => Body::from_stream(drip(bytes.clone(), (*size).max(1), *every)),
        _ if reply.pieces == Pieces::Whole => Body::from(bytes),
        _ => Body::from_stream(packets(bytes, reply.pieces)),
    }
}

/// As many whole events as fit into the first `at` bytes.
fn cut_at_event(bytes: &Bytes, at: usize, form: Form) -> Bytes {
    let at = at.min(bytes.len());
    let gap = form.gap();
    let end = bytes[..at].windows(gap.len()).rposition(|run| run == gap).map_or(0, |position| position + gap.len());
    bytes.slice(..end)
}

type Piece = Result<Bytes, Infallible>;

/// Each piece is followed by a yield, at which the server flushes what it has: so pieces become packets.
fn packets(bytes: Bytes, pieces: Pieces) -> impl Stream<Item = Piece> + Send + 'static {
    stream::unfold((bytes, 0), move |(mut rest, turn)| async move {
        if rest.is_empty() {
            return None;
        }
        if turn > 0 {
            tokio::task::yield_now().await;
        }
        let wanted = match pieces {
            Pieces::Irregular => SIZES[turn % SIZES.len()] * 3,
            Pieces::Single => 1,
            Pieces::Whole => rest.len(),
        };
        let piece = rest.split_to(wanted.min(rest.len()));
        Some((Ok(piece), (rest, turn + 1)))
    })
}

fn drip(bytes: Bytes, size: usize, every: Duration) -> impl Stream<Item = Piece> + Send + 'static {
    stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(every).await;
        let piece = rest.split_to(size.min(rest.len()));
        Some((Ok(piece), rest))
    })
}
