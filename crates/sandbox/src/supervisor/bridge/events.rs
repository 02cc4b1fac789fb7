//! Server-sent events: bytes in whatever pieces they come, events out. Pure.

/// The most bytes of one event, and of one line.
pub(super) const MAX_EVENT: usize = 3 * 1024 * 1024;

/// What a stream brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// An event.
    Whole {
        /// Its name, where it has one.
        name: Option<String>,
        /// Its lines of data, joined by line ends. What is not UTF-8 is replaced.
        data: String,
    },
    /// An event that is larger than [`MAX_EVENT`].
    TooLarge,
}

/// Reads a stream.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    /// The line before ended with a carriage return, of which a line feed may be the other half.
    after_return: bool,
    is_first: bool,
    name: Option<String>,
    data: Option<Vec<u8>>,
    is_too_large: bool,
}

impl Events {
    pub fn new() -> Self {
        Self { is_first: true, ..Self::default() }
    }

    /// Takes a piece and gives the events that it completed.
    pub fn push(&mut self, piece: &[u8]) -> Vec<Event> {
        let mut all = Vec::new();
        for byte in piece {
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    all.extend(self.end_line());
                }
                _ => {
                    self.after_return = false;
                    if self.line.len() < MAX_EVENT {
                        self.line.push(*byte);
                    } else {
                        self.is_too_large = true;
                    }
                }
            }
        }
        all
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let mark = b"\xef\xbb\xbf".as_slice();
        let line = if std::mem::take(&mut self.is_first) { line.strip_prefix(mark).unwrap_or(&line) } else { &line };
        if line.is_empty() {
            return self.end_event();
        }
        let end = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(end + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match line.get(..end).unwrap_or_default() {
            b"data" => self.add(value),
            b"event" => self.name = Some(String::from_utf8_lossy(value).into_owned()).filter(|name| !name.is_empty()),
            // A comment has no name; identifiers and times to wait are for those who ask again by themselves.
            _ => {}
        }
        None
    }

    fn add(&mut self, value: &[u8]) {
        let length = self.data.as_ref().map_or(0, Vec::len);
        if self.is_too_large || length + value.len() >= MAX_EVENT {
            self.is_too_large = true;
            self.data = None;
            return;
        }
        match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data.extend(value);
            }
            None => self.data = Some(value.to_vec()),
        }
    }

    fn end_event(&mut self) -> Option<Event> {
        let (name, data) = (self.name.take(), self.data.take());
        if std::mem::take(&mut self.is_too_large) {
            return Some(Event::TooLarge);
        }
        data.map(|data| Event::Whole { name, data: String::from_utf8_lossy(&data).into_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<Event> {
        let mut events = Events::new();
        pieces.iter().flat_map(|piece| events.push(piece)).collect()
    }

    fn whole(name: Option<&str>, data: &str) -> Event {
        Event::Whole { name: name.map(str::to_owned), data: data.to_owned() }
    }

    #[test]
    fn the_forms_of_the_standard_are_read() {
        let text = "\u{feff}data: one\n\n: a comment\n\nevent: named\r\ndata:two\r\ndata\r\ndata:  three\r\n\r\nid: 4\rretry: 5\rdata: x:y\r\r\
                    event: lost\n\nevent:\ndata: {}\nunknown\n\ndata: never ended";
        let expected =
            [whole(None, "one"), whole(Some("named"), "two\n\n three"), whole(None, "x:y"), whole(None, "{}")];
        assert_eq!(read(&[text.as_bytes()]), expected);
    }

    #[test]
    fn what_is_too_large_is_left_out_and_the_next_one_is_read() {
        let long = vec![b'x'; MAX_EVENT + 10];
        assert_eq!(read(&[b"data: ", &long, b"\n\ndata: ok\n\n"]), [Event::TooLarge, whole(None, "ok")]);
        let half = vec![b'x'; MAX_EVENT / 2 + 1];
        let pieces: [&[u8]; 6] = [b"data: ", &half, b"\ndata: ", &half, b"\ndata: z\n\n", b"data: ok\n\n"];
        assert_eq!(read(&pieces), [Event::TooLarge, whole(None, "ok")]);
    }

    proptest! {
        #[test]
        fn where_a_stream_is_cut_does_not_matter(cuts in proptest::collection::vec(0_usize..70, 0..8)) {
            let text = "data: a\r\ndata: b\r\n\r\n:c\r\n\r\nevent: é\rdata: {\"x\":\"ü\"}\r\rdata: last\n\n".as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &text[ends[0]..ends[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[text]));
        }

        #[test]
        fn anything_at_all_is_survived(piece in proptest::collection::vec(any::<u8>(), 0..300)) {
            read(&[&piece]);
        }
    }
}
