//! Reading the event stream.

use egress::Response;
use types::{Envelope, Failure};

use crate::failure::{internal, network};

/// The most bytes of one event; a tool's preview and a final text fit many times.
const MAX_EVENT: usize = 8 << 20;

/// Events as they happen. Dropping it closes the connection.
#[derive(Debug)]
pub struct EventStream {
    response: Response,
    lines: Lines,
}

impl EventStream {
    pub(super) fn new(response: Response) -> Self {
        Self { response, lines: Lines::default() }
    }

    /// The next event; none when the daemon closed the stream.
    pub async fn next(&mut self) -> Result<Option<Envelope>, Failure> {
        loop {
            while let Some(line) = self.lines.take() {
                if let Some(data) = line.strip_prefix("data:") {
                    return serde_json::from_str(data.trim_start()).map(Some).map_err(internal);
                }
            }
            let lost = |error| network(error, "the daemon stopped or was stopped; `factotum up` starts it");
            match self.response.chunk().await.map_err(lost)? {
                Some(bytes) => self.lines.push(&bytes)?,
                None => return Ok(None),
            }
        }
    }
}

/// Puts lines together from pieces.
#[derive(Debug, Default)]
struct Lines {
    buffer: Vec<u8>,
    /// Where unread bytes begin: shifting the buffer for every line would be quadratic.
    start: usize,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.len() + bytes.len() > MAX_EVENT {
            return Err(internal("an event of the stream is too large"));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn take(&mut self) -> Option<String> {
        let length = self.buffer[self.start..].iter().position(|byte| *byte == b'\n')?;
        let line = &self.buffer[self.start..self.start + length];
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
        self.start += length + 1;
        Some(line)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::Lines;

    #[test]
    fn lines_are_put_together_from_any_pieces() {
        let text = "id: 1\r\ndata: {\"a\":\"é\"}\n\n: ping\n";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                lines.push(piece).unwrap();
                while let Some(line) = lines.take() {
                    seen.push(line);
                }
            }
            assert_eq!(seen, ["id: 1", "data: {\"a\":\"é\"}", "", ": ping"], "pieces of {size}");
        }
    }
}
