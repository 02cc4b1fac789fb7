//! Foreign text made fit for events: cut, and reduced to a line. Owns no wording.

use crate::TAIL;

/// The most bytes of a summary.
pub(crate) const SUMMARY: usize = 200;
/// The most bytes of what a program says about a failure.
const MESSAGE: usize = 600;

/// The end of a tool's output.
pub(crate) fn tail(text: &str) -> String {
    end(text.trim_end(), TAIL).to_owned()
}

/// The first line that says something, short.
pub(crate) fn summary(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let mut line = head(first, SUMMARY).to_owned();
    if line.len() < first.len() || lines.next().is_some() {
        line.push('…');
    }
    line
}

/// What a program says about a failure, not too long.
pub(crate) fn message(text: &str) -> String {
    head(text.trim(), MESSAGE).to_owned()
}

/// The first bytes of a text, not cut within a character.
pub(crate) fn head(text: &str, most: usize) -> &str {
    let mut to = text.len().min(most);
    while !text.is_char_boundary(to) {
        to -= 1;
    }
    &text[..to]
}

/// The last bytes of a text, not cut within a character.
pub(crate) fn end(text: &str, most: usize) -> &str {
    let mut from = text.len().saturating_sub(most);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        let long = "ä".repeat(TAIL);
        assert_eq!(tail(&format!("x{long}\n\n")).len(), TAIL);
        assert_eq!(summary("\n  make \n test"), "make…");
        assert_eq!(summary("make"), "make");
        assert!(summary(&long).ends_with('…') && summary(&long).len() <= SUMMARY + 3);
        assert!(message(&long).len() <= MESSAGE);
    }
}
