//! The bound on what one tool result may put into the context.

/// The most characters of one result.
pub(crate) const MAX_CHARACTERS: usize = 32_000;

/// The text, or its head and tail with a note between them of what was left out. Errors stand at the end of long
/// output, and what it is at the beginning: the middle is what can be missed.
pub(crate) fn cap(text: &str, most: usize) -> String {
    let characters = text.chars().count();
    if characters <= most {
        return text.to_owned();
    }
    let head = most / 2;
    let tail = most - head;
    let at = |index: usize| text.char_indices().nth(index).map_or(text.len(), |(at, _)| at);
    let left_out = characters - most;
    format!("{}\n[... {left_out} characters left out ...]\n{}", &text[..at(head)], &text[at(characters - tail)..])
}

/// The first `most` characters on one line, for summaries and lists.
pub(crate) fn line(text: &str, most: usize) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match flat.char_indices().nth(most) {
        None => flat,
        Some((at, _)) => format!("{}...", &flat[..at]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_tail_are_kept() {
        assert_eq!(cap("short", 5), "short");
        assert_eq!(cap("äbcdefghïj", 4), "äb\n[... 6 characters left out ...]\nïj");
        assert_eq!(cap("abcdef", 5), "ab\n[... 1 characters left out ...]\ndef");
    }

    #[test]
    fn a_line_is_flat_and_short() {
        assert_eq!(line(" a\n b\tc ", 9), "a b c");
        assert_eq!(line("äöüß", 2), "äö...");
    }
}
