//! Exact replacement in a text, and the explanations when it cannot be done. Pure.

use regex::bytes::{NoExpand, Regex, RegexBuilder};

/// So many lines are looked at for the most similar one.
const MAX_LINES: usize = 20_000;
/// Lines are compared and shown up to here.
const MAX_LINE: usize = 200;
/// A larger result is refused: many replacements by a long text would need more memory than there is.
const MAX_RESULT: usize = 16 << 20;

/// Which occurrences are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occurrences {
    /// The only one; more are an error.
    One,
    /// Every one.
    All,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub text: Vec<u8>,
    /// The lines, from 1, at which replacements begin, in the old text.
    pub lines: Vec<usize>,
}

/// Replaces `old` by `new` in `text`. The error is a sentence for the model.
pub(crate) fn replace(text: &[u8], old: &str, new: &str, which: Occurrences) -> Result<Replaced, String> {
    let Ok(pattern) = literal(old) else {
        return Err("`old` is too long to be searched for; use a shorter part".to_owned());
    };
    let lines = lines_of(text, &pattern);
    match (lines.len(), which) {
        (0, _) => Err(not_found(text, old)),
        (number, Occurrences::All) if number.saturating_mul(new.len()) > MAX_RESULT => {
            Err(format!("`old` is there {number} times, so the file would have more than {MAX_RESULT} bytes; use exec"))
        }
        (1, _) | (_, Occurrences::All) => {
            Ok(Replaced { text: pattern.replace_all(text, NoExpand(new.as_bytes())).into_owned(), lines })
        }
        (number, Occurrences::One) => {
            let shown: Vec<String> = lines.iter().take(10).map(usize::to_string).collect();
            let more = if number > 10 { ", …" } else { "" };
            Err(format!(
                "`old` is there {number} times (lines {}{more}); add lines around it until it is unique, or set \
                 `all` to true",
                shown.join(", ")
            ))
        }
    }
}

fn literal(old: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&regex::escape(old)).size_limit(64 << 20).build()
}

/// The lines, from 1, at which the pattern is found. Each byte is counted once, however many there are.
fn lines_of(text: &[u8], pattern: &Regex) -> Vec<usize> {
    let (mut at, mut line) = (0, 1);
    let line_of = |found: regex::bytes::Match<'_>| {
        line += text[at..found.start()].iter().filter(|byte| **byte == b'\n').count();
        at = found.start();
        line
    };
    pattern.find_iter(text).map(line_of).collect()
}

/// Says why `old` is not in the text, as helpfully as can be done at once.
fn not_found(text: &[u8], old: &str) -> String {
    let text = String::from_utf8_lossy(text);
    if text.contains("\r\n") && !old.contains('\r') && text.replace("\r\n", "\n").contains(old) {
        return "`old` is not in the file because its lines end in CRLF; replace single lines, or use exec".to_owned();
    }
    let lines: Vec<&str> = text.lines().take(MAX_LINES).collect();
    let wanted: Vec<String> = old.trim().lines().map(squeezed).collect();
    let spaced_alike = !wanted.is_empty() && lines.len() >= wanted.len() && wanted.iter().any(|line| !line.is_empty());
    let squeezed_lines: Vec<String> =
        if spaced_alike { lines.iter().map(|line| squeezed(line)).collect() } else { vec![] };
    let same = squeezed_lines.windows(wanted.len().max(1)).position(|window| window == wanted);
    if let Some(index) = same {
        return format!(
            "`old` is not in the file: at line {} only its whitespace differs; copy it exactly, as read shows it: `{}`",
            index + 1,
            cut(lines[index])
        );
    }
    let first = old.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    match most_similar(&lines, first) {
        Some(index) => format!(
            "`old` is not in the file; the most similar line is {}: `{}`; read the file again",
            index + 1,
            cut(lines[index])
        ),
        None => "`old` is not in the file, nor anything like it; read the file again".to_owned(),
    }
}

/// A line with each run of whitespace as one space and none at its ends.
fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cut(line: &str) -> String {
    crate::arguments::one_line(line, MAX_LINE)
}

/// The line that shares most pairs of neighbouring characters with `wanted`; at least half of them.
fn most_similar(lines: &[&str], wanted: &str) -> Option<usize> {
    let wanted = pairs(wanted);
    if wanted.is_empty() {
        return None;
    }
    let mut best = (0, 0.5);
    for (index, line) in lines.iter().enumerate() {
        let line = pairs(line);
        let score = 2.0 * shared(&wanted, &line) as f64 / (wanted.len() + line.len()) as f64;
        if score >= best.1 && (best.0 == 0 || score > best.1) {
            best = (index + 1, score);
        }
    }
    best.0.checked_sub(1)
}

fn pairs(line: &str) -> Vec<(char, char)> {
    let characters: Vec<char> = line.trim().chars().take(MAX_LINE).collect();
    let mut pairs: Vec<_> = characters.windows(2).map(|pair| (pair[0], pair[1])).collect();
    pairs.sort_unstable();
    pairs
}

/// How many elements two sorted lists have in common.
fn shared(a: &[(char, char)], b: &[(char, char)]) -> usize {
    let (mut i, mut j, mut number) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                number += 1;
                i += 1;
                j += 1;
            }
        }
    }
    number
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const TEXT: &str = "fn main() {\n    let total = add(1, 2);\n    print(total);\n    print(total);\n}\n";

    fn refused(old: &str) -> String {
        replace(TEXT.as_bytes(), old, "x", Occurrences::One).unwrap_err()
    }

    #[test]
    fn text_is_replaced_exactly() {
        let replaced = replace(TEXT.as_bytes(), "add(1, 2)", "$0\\1${x}", Occurrences::One).unwrap();
        assert_eq!(String::from_utf8(replaced.text).unwrap(), TEXT.replace("add(1, 2)", "$0\\1${x}"));
        assert_eq!(replaced.lines, [2]);
        let all = replace(TEXT.as_bytes(), "print", "show", Occurrences::All).unwrap();
        assert_eq!(String::from_utf8(all.text).unwrap(), TEXT.replace("print", "show"));
        assert_eq!(all.lines, [3, 4]);
        let odd = replace(b"a\xffb", "b", "c", Occurrences::One).unwrap();
        assert_eq!(odd.text, b"a\xffc", "bytes that are not text must stay");
    }

    #[test]
    fn what_is_not_unique_is_told_with_its_lines() {
        let error = refused("print(total)");
        assert!(error.contains("2 times (lines 3, 4)") && error.contains("`all`"), "{error}");
    }

    #[test]
    fn what_is_missing_is_told_with_what_is_near() {
        let spaces = refused("let total  =  add(1, 2);\nprint(total);");
        assert!(spaces.contains("line 2 only its whitespace differs"), "{spaces}");
        let similar = refused("let total = sub(1, 2);");
        assert!(similar.contains("most similar line is 2: `    let total = add(1, 2);`"), "{similar}");
        assert!(refused("zebra").contains("nor anything like it"));
        let lines = replace(b"a\r\nb\r\n", "a\nb", "x", Occurrences::One).unwrap_err();
        assert!(lines.contains("CRLF"), "{lines}");
    }

    #[test]
    fn very_many_occurrences_take_neither_time_nor_memory() {
        let text = b"a\n".repeat(1 << 19);
        let replaced = replace(&text, "a", "b", Occurrences::All).unwrap();
        assert_eq!((replaced.lines.len(), replaced.lines.last()), (1 << 19, Some(&(1 << 19))));
        let refused = replace(&text, "a", &"x".repeat(1000), Occurrences::All).unwrap_err();
        assert!(refused.contains("524288 times") && refused.contains("use exec"), "{refused}");
    }

    proptest::proptest! {
        #[test]
        fn replacing_all_agrees_with_the_standard_library(text in "[ab\n]{0,30}", old in "[ab]{1,3}", new in "[ab]{0,3}") {
            match replace(text.as_bytes(), &old, &new, Occurrences::All) {
                Ok(replaced) => {
                    proptest::prop_assert_eq!(String::from_utf8(replaced.text).unwrap(), text.replace(&old, &new));
                }
                Err(_) => proptest::prop_assert!(!text.contains(&old)),
            }
        }
    }
}
