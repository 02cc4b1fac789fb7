//! How a stream is cut into events: server-sent events, or lines of JSON. Pure.

use crate::sse::{EventTooLarge, MAX_EVENT_BYTES, SseEvent, SseParser};

/// The form of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `text/event-stream`.
    ServerSentEvents,
    /// One JSON value in each line: `application/x-ndjson`.
    Lines,
}

impl Framing {
    /// The media type by which a server announces it.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::ServerSentEvents => "text/event-stream",
            Self::Lines => "application/x-ndjson",
        }
    }
}

/// The parser of a stream, of either form.
#[derive(Debug)]
pub(crate) enum Frames {
    ServerSentEvents(SseParser),
    Lines(Vec<u8>),
}

impl Frames {
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::ServerSentEvents => Self::ServerSentEvents(SseParser::default()),
            Framing::Lines => Self::Lines(Vec::new()),
        }
    }

    /// Takes the next bytes and appends the events that they complete.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<SseEvent>) -> Result<(), EventTooLarge> {
        let line = match self {
            Self::ServerSentEvents(parser) => return parser.push(bytes, events),
            Self::Lines(line) => line,
        };
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if line.len() + piece.len() > MAX_EVENT_BYTES {
                return Err(EventTooLarge);
            }
            line.extend_from_slice(piece);
            if line.ends_with(b"\n") {
                events.extend(event(line));
                line.clear();
            }
        }
        Ok(())
    }

    /// The event that the end of the body leaves unended. It may be incomplete.
    pub fn finish(&mut self) -> Option<SseEvent> {
        match self {
            Self::ServerSentEvents(parser) => std::mem::take(parser).finish(),
            Self::Lines(line) => event(&std::mem::take(line)),
        }
    }
}

fn event(line: &[u8]) -> Option<SseEvent> {
    let data = String::from_utf8_lossy(line).trim().to_owned();
    (!data.is_empty()).then(|| SseEvent { name: String::new(), data })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a frame that is refused fails the test")]
mod tests {
    use super::*;

    #[test]
    fn lines_may_be_cut_anywhere() {
        let body = "{\"a\": \"ü\"}\r\n\n{\"b\": 2}\n{\"c\"".as_bytes();
        for cut in 0..body.len() {
            let (mut frames, mut events) = (Frames::new(Framing::Lines), Vec::new());
            frames.push(&body[..cut], &mut events).unwrap();
            frames.push(&body[cut..], &mut events).unwrap();
            events.extend(frames.finish());
            let data: Vec<&str> = events.iter().map(|event| event.data.as_str()).collect();
            assert_eq!(data, ["{\"a\": \"ü\"}", "{\"b\": 2}", "{\"c\""], "{cut}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let (mut frames, mut events) = (Frames::new(Framing::Lines), Vec::new());
        frames.push(&vec![b'x'; MAX_EVENT_BYTES], &mut events).unwrap();
        assert_eq!(frames.push(b"x", &mut events), Err(EventTooLarge));
    }
}
