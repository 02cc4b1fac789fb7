//! Text of a terminal made plain: escape sequences and what a carriage return overwrote are taken out.

/// A line without what only a terminal understands.
pub(super) fn clean(line: &str) -> String {
    let line = line.trim_end_matches(['\r', '\n']);
    let shown = line.rsplit('\r').next().unwrap_or_default();
    let mut plain = String::with_capacity(shown.len());
    let mut rest = shown.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '\u{1b}' => match rest.next() {
                // A control sequence ends with a letter or one of a few signs.
                Some('[') => while rest.next().is_some_and(|letter| !('@'..='~').contains(&letter)) {},
                // A title or a link ends with a bell or a backslash after an escape.
                Some(']') => while rest.next().is_some_and(|letter| letter != '\u{7}' && letter != '\\') {},
                _ => {}
            },
            '\t' => plain.push(letter),
            letter if letter.is_control() => {}
            letter => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn lines_become_plain() {
        for (raw, plain) in [
            ("\u{1b}[1;33m●\u{1b}[0m [12:00:00] \u{1b}[2mFinished\u{1b}[0m x\r", "● [12:00:00] Finished x"),
            ("\u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{1b}\\ end", "link end"),
            ("⠋ working\r⠙ working\r\u{1b}[2Kdone", "done"),
            ("a\tb\u{8}\u{0}", "a\tb"),
            ("half \u{1b}", "half "),
            ("\u{1b}[31", ""),
            ("", ""),
        ] {
            assert_eq!(clean(raw), plain, "{raw:?}");
        }
    }
}
