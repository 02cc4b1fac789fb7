//! Cutting texts into messages.

use std::time::Duration;

use channels::{
    Limits, TextUnit,
    format::{LinkText, Rich},
    split,
};
use proptest::prelude::*;

fn limits(max_text: usize, unit: TextUnit) -> Limits {
    Limits {
        max_text,
        unit,
        edits: true,
        drafts: false,
        buttons: true,
        min_edit_interval: Duration::ZERO,
        min_draft_interval: Duration::ZERO,
        typing_every: None,
    }
}

fn seen(markdown: &str) -> String {
    Rich::read(markdown, LinkText::Host).text()
}

fn without_space(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

fn check(markdown: &str, max: usize, expected: &[&str]) {
    assert_eq!(split(markdown, &limits(max, TextUnit::Utf16)), expected, "{markdown:?}");
}

#[test]
fn cuts_fall_where_they_hurt_least() {
    check("short", 20, &["short"]);
    check("one one one\n\ntwo two two\n\nthree", 16, &["one one one", "two two two", "three"]);
    check("one one one\n\ntwo\n\nthree", 17, &["one one one\n\ntwo", "three"]);
    check("line one\nline two\nline three", 18, &["line one\nline two", "line three"]);
    check("seven words that go on and on", 12, &["seven words", "that go on", "and on"]);
    check("abcdefghijklmno", 6, &["abcdef", "ghijkl", "mno"]);
    check("text\n# Title\nmore", 12, &["text", "# Title\nmore"]);
    check("", 10, &[]);
    check(" \n\n ", 10, &[]);
    check("[hidden]: https://example.org", 10, &[]);
}

#[test]
fn a_word_does_not_become_a_list() {
    check("twelve and - some", 11, &["twelve", "and - some"]);
}

#[test]
fn code_is_closed_and_opened_again() {
    check(
        "Look:\n```rust\nlet a = 1;\nlet b = 2;\nlet c = 3;\n```\nDone.",
        30,
        &["Look:\n```rust\nlet a = 1;\nlet b = 2;\n```", "```rust\nlet c = 3;\n```\nDone."],
    );
    check(
        "~~~~ python title\nx = 1\n```\ny = 2\n~~~~",
        10,
        &["~~~~ python title\nx = 1\n```\n~~~~", "~~~~python title\ny = 2\n~~~~"],
    );
    check(
        "- item\n      \n  ```sh\n  first\n  second\n  third\n  ```\n",
        14,
        &["- item", "  ```sh\n  first\n  second\n  ```", "```sh\nthird\n```"],
    );
    check(
        "> ```\n> first line\n> other line\n> ```",
        12,
        &["> ```\n> first line\n> ```", "> ```\n> other line\n> ```"],
    );
}

#[test]
fn a_message_is_not_wasted_on_a_small_block() {
    let code: String = (0..40).map(|n| format!("line {n:02}\n")).collect();
    let pieces = split(&format!("Intro.\n\n```\n{code}```"), &limits(120, TextUnit::Utf16));
    assert!(pieces.first().is_some_and(|piece| piece.contains("line 00")), "{pieces:?}");
}

#[test]
fn length_is_what_is_seen_in_the_messengers_unit() {
    // Eight pairs of UTF-16 units.
    let faces = "😀".repeat(8);
    assert_eq!(split(&faces, &limits(8, TextUnit::Utf16)), ["😀😀😀😀", "😀😀😀😀"]);
    assert_eq!(split(&faces, &limits(8, TextUnit::Chars)), [faces.as_str()]);
    assert_eq!(split(&faces, &limits(8, TextUnit::Bytes)).len(), 4);
    // Escapes and marks do not count, the host of a link does.
    let marked = format!("**{}**", "<&>".repeat(10));
    assert_eq!(split(&marked, &limits(30, TextUnit::Utf16)), [marked.as_str()]);
    let link = format!("[docs](https://a.org/{})", "x".repeat(500));
    assert_eq!(split(&link, &limits(14, TextUnit::Utf16)), [link.as_str()]);
}

#[test]
fn a_large_text_is_cut_in_time() {
    let started = std::time::Instant::now();
    let text = "Some words in a line that is not very long.\n".repeat(5000);
    let pieces = split(&text, &limits(4096, TextUnit::Utf16));
    assert!((53..70).contains(&pieces.len()), "{}", pieces.len());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn words_survive_and_fit(text in "[a-zé😀ß ,.\n]{0,400}", max in 16_usize..120) {
        for unit in [TextUnit::Utf16, TextUnit::Chars, TextUnit::Bytes] {
            let pieces = split(&text, &limits(max, unit));
            for piece in &pieces {
                prop_assert!(unit.measure(&seen(piece)) <= max, "{piece:?}");
            }
            let joined: String = pieces.iter().map(|piece| without_space(&seen(piece))).collect();
            prop_assert_eq!(joined, without_space(&text));
        }
    }

    #[test]
    fn any_markdown_fits(text in "[-a-z0-9 *_`~#>|\\[\\]()!<&\n:/.\u{1f600}é\t]{0,400}", max in 24_usize..120) {
        for piece in split(&text, &limits(max, TextUnit::Utf16)) {
            prop_assert!(TextUnit::Utf16.measure(&seen(&piece)) <= max, "{piece:?}");
            prop_assert!(!seen(&piece).trim().is_empty());
        }
    }

    /// Code keeps every line, and every piece shows all of its code as code.
    #[test]
    fn code_survives(lines in proptest::collection::vec("[a-z(){};= ]{0,30}[a-z]", 1..40), max in 40_usize..120) {
        let text = format!("Intro.\n\n```rust\n{}\n```\n\nEnd.", lines.join("\n"));
        let pieces = split(&text, &limits(max, TextUnit::Utf16));
        let mut code = Vec::new();
        for piece in &pieces {
            let rich = Rich::read(piece, LinkText::Host);
            prop_assert!(rich.measure(TextUnit::Utf16) <= max);
            for span in rich.spans.iter().filter(|span| span.style.block.is_some()) {
                prop_assert_eq!(&span.style.block, &Some(Some("rust".to_owned())));
                code.extend(span.text.lines().map(str::to_owned));
            }
        }
        prop_assert_eq!(code, lines);
    }
}
