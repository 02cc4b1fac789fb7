//! What a terminal showed, made fit to be shown again: without whatever asks the terminal something, since its answer would
//! be typed into a program that did not ask. Pure.

const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;

/// What may be shown again. `is_whole`: whether nothing is missing at its beginning; where something is, it may begin within
/// a sequence, and only what follows the first line end counts.
pub(super) fn replayable(shown: &[u8], is_whole: bool) -> Vec<u8> {
    let start =
        if is_whole { 0 } else { shown.iter().position(|byte| *byte == b'\n').map_or(shown.len(), |at| at + 1) };
    let mut rest = shown.get(start..).unwrap_or_default();
    let mut all = Vec::with_capacity(rest.len());
    while let Some((first, after)) = rest.split_first() {
        // The question ENQ has an answer too.
        match *first {
            ESCAPE => {
                let (length, is_harmless) = sequence(rest);
                let (sequence, after) = rest.split_at(length);
                if is_harmless {
                    all.extend(sequence);
                }
                rest = after;
            }
            5 => rest = after,
            byte => {
                all.push(byte);
                rest = after;
            }
        }
    }
    all
}

/// The length of the escape sequence at the beginning, and whether it only changes what is seen. One that is cut off by the
/// end is not harmless, since what comes next would complete it.
fn sequence(bytes: &[u8]) -> (usize, bool) {
    match bytes.get(1) {
        None => (1, false),
        Some(b'[') => control(bytes),
        // Operating system commands, device control, privacy messages, application commands and titles: up to their end.
        Some(b']' | b'P' | b'^' | b'_' | b'X' | b'k') => (string(bytes), false),
        Some(b'Z') => (2, false),
        // With intermediate bytes, such as the choice of a character set.
        Some(0x20..=0x2f) => {
            let middle = bytes.iter().skip(1).take_while(|byte| (0x20..=0x2f).contains(*byte)).count();
            (bytes.len().min(middle + 2), bytes.len() > middle + 1)
        }
        Some(_) => (2, true),
    }
}

/// A control sequence: parameters, intermediate bytes and a final one.
fn control(bytes: &[u8]) -> (usize, bool) {
    let inner = bytes.get(2..).unwrap_or_default();
    let length = inner.iter().take_while(|byte| (0x20..=0x3f).contains(*byte)).count();
    let parameters = inner.get(..length).unwrap_or_default();
    let Some(last) = inner.get(length) else { return (bytes.len(), false) };
    let is_plain = parameters.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':' | b'?'));
    let is_private = parameters.contains(&b'?');
    let is_harmless = match last {
        b'A'..=b'H'
        | b'J'..=b'M'
        | b'P'
        | b'S'
        | b'T'
        | b'X'
        | b'@'
        | b'`'
        | b'a'
        | b'd'
        | b'e'
        | b'f'
        | b'm'
        | b'r' => !is_private || matches!(last, b'J' | b'K'),
        b'h' | b'l' => true,
        b's' | b'u' => !is_private && parameters.is_empty(),
        _ => false,
    };
    (length + 3, is_plain && is_harmless)
}

/// A string up to its end, which is a bell or an escape with a backslash.
fn string(bytes: &[u8]) -> usize {
    let end = bytes.iter().skip(2).position(|byte| *byte == BELL || *byte == ESCAPE);
    match end.map(|end| end + 2) {
        None => bytes.len(),
        Some(end) if bytes.get(end) == Some(&BELL) => end + 1,
        Some(end) if bytes.get(end + 1) == Some(&b'\\') => end + 2,
        Some(end) => end,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn replayed(text: &str) -> String {
        String::from_utf8_lossy(&replayable(text.as_bytes(), true)).into_owned()
    }

    #[test]
    fn what_is_seen_stays_and_questions_go() {
        for kept in [
            "plain ü\r\n\t\u{8}",
            "\x1b[1;31mred\x1b[0m \x1b[38:2:1:2:3m",
            "\x1b[2J\x1b[H\x1b[10;20Hx\x1b[K\x1b[?25l\x1b[?1049h\x1b[4;20r",
            "\x1b7\x1b8\x1bM\x1b(B\x1b=\x1b[s\x1b[u",
        ] {
            assert_eq!(replayed(kept), kept);
        }
        for gone in [
            "\x1b[c",
            "\x1b[>c",
            "\x1b[=c",
            "\x1b[6n",
            "\x1b[?6n",
            "\x1b[>q",
            "\x1b[?u",
            "\x1b[14t",
            "\x1b[?2026$p",
            "\x1b]11;?\x07",
            "\x1b]52;c;?\x1b\\",
            "\x1bP+q544e\x1b\\",
            "\x1b_Gi=1;a=q\x1b\\",
            "\x1bZ",
            "\u{5}",
            "\x1b[>4;2m",
            "\x1b[?4m",
        ] {
            assert_eq!(replayed(&format!("a{gone}b")), "ab", "{gone:?}");
        }
    }

    #[test]
    fn what_is_cut_off_is_left_out() {
        for cut in ["\x1b", "\x1b[", "\x1b[12;", "\x1b]0;title", "\x1b(", "\x1bPx\x1b"] {
            let text = replayed(&format!("a{cut}"));
            assert!(text == "a", "{cut:?} {text:?}");
        }
        assert_eq!(replayable(b";31mhalf\nwhole\n", false), b"whole\n");
        assert_eq!(replayable(b"no end", false), b"");
    }

    proptest! {
        #[test]
        fn nothing_is_invented(bytes in proptest::collection::vec(prop_oneof![Just(ESCAPE), Just(b'['), Just(b']'), any::<u8>()], 0..200)) {
            let shown = replayable(&bytes, true);
            prop_assert!(shown.len() <= bytes.len());
            // Showing it once more leaves nothing out that would have been shown.
            prop_assert!(replayable(&shown, true).len() <= shown.len());
        }
    }
}
