//! Server-sent events, from bytes in any cut to whole events. Pure. Must not know what the events mean.

/// The most bytes of one event; a longer one is an error, so that a hostile server cannot fill the memory.
pub(crate) const MAX_EVENT_BYTES: usize = 8 * 1024 * 1024;

/// One event that has data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// The value of its `event` field; empty when it has none.
    pub name: String,
    /// Its `data` fields, joined by line breaks.
    pub data: String,
}

/// An event is larger than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EventTooLarge;

/// The parser. Lines end in LF, CR LF or CR, and any of these may be split between two pieces, as may a character.
#[derive(Debug, Default)]
pub(crate) struct SseParser {
    line: Vec<u8>,
    after_cr: bool,
    started: bool,
    name: String,
    data: Option<String>,
}

impl SseParser {
    /// Takes the next bytes and appends the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8], events: &mut Vec<SseEvent>) -> Result<(), EventTooLarge> {
        let mut rest = bytes;
        while let Some((first, _)) = rest.split_first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            match rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                None => {
                    self.extend_line(rest)?;
                    return Ok(());
                }
                Some(end) => {
                    self.extend_line(&rest[..end])?;
                    self.after_cr = rest[end] == b'\r';
                    rest = &rest[end + 1..];
                    events.extend(self.end_line()?);
                }
            }
        }
        Ok(())
    }

    /// The event that the end of the body leaves without its empty line. It may be incomplete.
    pub(crate) fn finish(mut self) -> Option<SseEvent> {
        let ended = self.end_line().ok()?;
        ended.or_else(|| self.dispatch())
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), EventTooLarge> {
        if self.line.len() + bytes.len() > MAX_EVENT_BYTES {
            return Err(EventTooLarge);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Result<Option<SseEvent>, EventTooLarge> {
        let bytes = std::mem::take(&mut self.line);
        let mut line = String::from_utf8_lossy(&bytes);
        if !std::mem::replace(&mut self.started, true)
            && let Some(rest) = line.strip_prefix('\u{feff}')
        {
            line = rest.to_owned().into();
        }
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => self.extend_data(value)?,
            // Comments (an empty field), ids, waiting times and fields of the future.
            _ => {}
        }
        Ok(None)
    }

    fn extend_data(&mut self, value: &str) -> Result<(), EventTooLarge> {
        let data = match &mut self.data {
            Some(data) => {
                data.push('\n');
                data
            }
            None => self.data.insert(String::new()),
        };
        if data.len() + value.len() > MAX_EVENT_BYTES {
            return Err(EventTooLarge);
        }
        data.push_str(value);
        Ok(())
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let name = std::mem::take(&mut self.name);
        let data = self.data.take()?;
        Some(SseEvent { name, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<SseEvent> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece, &mut events).expect("the test's events are small");
        }
        events.extend(parser.finish());
        events
    }

    fn event(name: &str, data: &str) -> SseEvent {
        SseEvent { name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn all_line_ends_mean_the_same() {
        let expected = vec![event("a", "1\n2"), event("", "3")];
        for end in ["\n", "\r\n", "\r"] {
            let text = "event: a\ndata: 1\ndata:2\n\n: comment\n\ndata: 3\nid: 7\nnonsense\n\n".replace('\n', end);
            assert_eq!(parse(&[text.as_bytes()]), expected, "{end:?}");
        }
    }

    #[test]
    fn the_mark_at_the_beginning_is_skipped() {
        assert_eq!(parse(&["\u{feff}data: x\n\n".as_bytes()]), [event("", "x")]);
    }

    #[test]
    fn an_event_without_data_is_none() {
        assert_eq!(parse(&[b"event: a\n\ndata: b\n\n"]), [event("", "b")]);
    }

    #[test]
    fn empty_data_is_data() {
        assert_eq!(parse(&[b"data\n\n"]), [event("", "")]);
    }

    #[test]
    fn the_end_completes_the_last_event() {
        assert_eq!(parse(&[b"data: [DONE]"]), [event("", "[DONE]")]);
        assert_eq!(parse(&[b"data: [DONE]\n"]), [event("", "[DONE]")]);
        assert_eq!(parse(&[b": comment"]), []);
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut parser = SseParser::default();
        let piece = vec![b'x'; MAX_EVENT_BYTES / 2];
        let mut events = Vec::new();
        assert_eq!(parser.push(&piece, &mut events), Ok(()));
        assert_eq!(parser.push(&piece, &mut events), Ok(()));
        assert_eq!(parser.push(b"x", &mut events), Err(EventTooLarge));
    }

    proptest! {
        #[test]
        fn the_cut_does_not_matter(
            lines in prop::collection::vec("(data|event|id|)(: ?)?[aé😀:\u{feff} ]{0,6}", 0..12),
            ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\r\r"]), 12),
            cuts in prop::collection::vec(0_usize..400, 0..20),
        ) {
            let text: String = lines.iter().zip(&ends).map(|(line, end)| format!("{line}{end}")).collect();
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let singles: Vec<&[u8]> = bytes.chunks(1).collect();
            let whole = parse(&[bytes]);
            prop_assert_eq!(parse(&pieces), whole.clone());
            prop_assert_eq!(parse(&singles), whole);
        }
    }
}
