//! The output of a command as the model sees it: the beginning and the end are kept, the middle is counted. Pure.

use std::collections::VecDeque;

/// The most of an output that a model is shown, in bytes.
pub(crate) const MAX_OUTPUT: usize = 32_000;
/// How much of that is taken from the beginning.
const HEAD: usize = 12_000;
const TAIL: usize = MAX_OUTPUT - HEAD;

/// Output in the order in which it was received.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    cut: u64,
}

impl Transcript {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let room = HEAD.saturating_sub(self.head.len());
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        // What cannot be in the tail when this call ends need not pass through it.
        let skipped = rest.len().saturating_sub(TAIL);
        self.tail.extend(&rest[skipped..]);
        let over = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..over);
        self.cut += (skipped + over) as u64;
    }

    /// The text for the model. Bytes that are not UTF-8 are replaced, and it is said that they were.
    pub(crate) fn finish(self) -> String {
        let tail: Vec<u8> = self.tail.into();
        let mut text;
        let lossy;
        if self.cut == 0 {
            let whole = [self.head, tail].concat();
            lossy = std::str::from_utf8(&whole).is_err();
            text = String::from_utf8_lossy(&whole).into_owned();
        } else {
            // Cut at line ends where they are near, so that no half line is taken for a whole one.
            let head_end = self.head.iter().rposition(|byte| *byte == b'\n').filter(|end| *end > HEAD / 2);
            let head = &self.head[..head_end.map_or(self.head.len(), |end| end + 1)];
            let tail_start = tail.iter().position(|byte| *byte == b'\n').filter(|start| *start < TAIL / 2);
            let tail = &tail[tail_start.map_or(0, |start| start + 1)..];
            let cut = self.cut + (self.head.len() - head.len()) as u64 + (TAIL - tail.len()) as u64;
            lossy = std::str::from_utf8(head).is_err() || std::str::from_utf8(tail).is_err();
            text = String::from_utf8_lossy(head).into_owned();
            text.push_str(&format!("\n[{cut} bytes cut here; write output to a file to read it in parts]\n"));
            text.push_str(&String::from_utf8_lossy(tail));
        }
        if lossy {
            text.push_str("\n[bytes that are not UTF-8 are shown as \u{fffd}]");
        }
        text
    }
}

/// Turns chunks of bytes into text for those who watch, without breaking characters that lie across two chunks.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    rest: Vec<u8>,
}

impl Decoder {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let complete = match std::str::from_utf8(&self.rest) {
            Ok(_) => self.rest.len(),
            // No length: the text ends within a character, the rest of which may be in the next chunk.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.rest.len(),
        };
        let text = String::from_utf8_lossy(&self.rest[..complete]).into_owned();
        self.rest.drain(..complete);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(chunks: &[&[u8]]) -> String {
        let mut transcript = Transcript::default();
        for chunk in chunks {
            transcript.push(chunk);
        }
        transcript.finish()
    }

    #[test]
    fn short_output_is_shown_whole() {
        assert_eq!(transcript(&[b"one\n", b"two"]), "one\ntwo");
        assert_eq!(transcript(&[]), "");
        assert_eq!(transcript(&["ä".as_bytes().split_at(1).0, "ä".as_bytes().split_at(1).1]), "ä");
        assert_eq!(transcript(&[&vec![b'x'; MAX_OUTPUT]]).len(), MAX_OUTPUT);
    }

    #[test]
    fn the_ends_of_long_output_are_kept_and_the_rest_is_counted() {
        let lines: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
        let whole = transcript(&[lines.as_bytes()]);
        let in_parts: Vec<&[u8]> = lines.as_bytes().chunks(777).collect();
        assert_eq!(whole, transcript(&in_parts), "the size of chunks must not matter");
        assert!(whole.starts_with("line 0\nline 1\n") && whole.ends_with("line 19998\nline 19999\n"));
        assert!(whole.len() < MAX_OUTPUT + 200);
        let (head, rest) = whole.split_once("\n[").unwrap_or_default();
        let (note, tail) = rest.split_once("]\n").unwrap_or_default();
        assert!(head.ends_with('\n') && tail.starts_with("line "));
        let cut: usize = note.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        assert_eq!(head.len() + tail.len() + cut, lines.len());
    }

    #[test]
    fn other_bytes_are_replaced_and_named() {
        assert_eq!(transcript(&[b"a\xffb"]), "a\u{fffd}b\n[bytes that are not UTF-8 are shown as \u{fffd}]");
    }

    #[test]
    fn watchers_get_whole_characters() {
        let mut decoder = Decoder::default();
        let euro = "€".as_bytes();
        assert_eq!(decoder.push(&[b"a", &euro[..1]].concat()), "a");
        assert_eq!(decoder.push(&euro[1..2]), "");
        assert_eq!(decoder.push(&euro[2..]), "€");
        assert_eq!(decoder.push(b"\xff!"), "\u{fffd}!");
    }
}
