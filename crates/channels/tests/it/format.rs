//! Markdown as Telegram shows it.

use channels::format::{LinkText, Rich, telegram_html};
use proptest::prelude::*;

fn html(markdown: &str) -> String {
    telegram_html(&Rich::read(markdown, LinkText::Host))
}

fn check(markdown: &str, expected: &str) {
    assert_eq!(html(markdown), expected, "{markdown:?}");
}

#[test]
fn a_whole_answer() {
    insta::assert_snapshot!(html(include_str!("answer.md")));
}

#[test]
fn marks() {
    check("**bold** *italic* ~~gone~~ `a < b`", "<b>bold</b> <i>italic</i> <s>gone</s> <code>a &lt; b</code>");
    check("***both***", "<b><i>both</i></b>");
    check("**bold `code` bold**", "<b>bold </b><code>code</code><b> bold</b>");
    check("a <script>x</script> & \"b\"", "a &lt;script&gt;x&lt;/script&gt; &amp; &quot;b&quot;");
    check("# Title\nText", "<b>Title</b>\n\nText");
    check("one\ntwo  \nthree", "one\ntwo\nthree");
    check("a <br> b", "a \n b");
}

#[test]
fn code_blocks() {
    check("```rust\nfn a() {}\n```", "<pre><code class=\"language-rust\">fn a() {}</code></pre>");
    check("```\n<a>\n\n  b\n```\nafter", "<pre>&lt;a&gt;\n\n  b</pre>\n\nafter");
    check("```\"><b>\nx\n```", "<pre>x</pre>");
    check("- item\n  ```sh\n  ls\n  ```\n- next", "• item\n<pre><code class=\"language-sh\">ls</code></pre>\n• next");
}

#[test]
fn lists_and_quotes() {
    check("- a\n- b\n  - c\n    d\n- e", "• a\n• b\n  • c\n    d\n• e");
    check("3. a\n4. b\n\ntext", "3. a\n4. b\n\ntext");
    check("- [x] done\n- [ ] open", "• ☑ done\n• ☐ open");
    check("> a\n> b\n>\n> c\n\nd", "<blockquote>a\nb\n\nc</blockquote>\n\nd");
    check("> a\n\n- x\n\n> b", "<blockquote>a</blockquote>\n\n• x\n\n<blockquote>b</blockquote>");
    check("a\n\n---\n\nb", "a\n\n———\n\nb");
}

#[test]
fn tables_are_aligned_text() {
    check(
        "| Name | n |\n|---|--:|\n| **a** | 1 |\n| long name | `22` |",
        "<pre>Name      │ n\n──────────┼───\na         │ 1\nlong name │ 22</pre>",
    );
}

#[test]
fn links_say_where_they_lead() {
    check("[docs](https://a.org/b?c=1)", "<a href=\"https://a.org/b?c=1\">docs (a.org/…)</a>");
    check("[docs](https://a.org)", "<a href=\"https://a.org\">docs (a.org)</a>");
    check("[https://good.org](https://evil.org/x)", "<a href=\"https://evil.org/x\">https://good.org (evil.org/…)</a>");
    check("<https://a.org/b>", "<a href=\"https://a.org/b\">https://a.org/b</a>");
    check("[`f`](https://a.org/)", "<a href=\"https://a.org/\">f (a.org)</a>");
    check("[x](javascript:alert(1))", "x (javascript:alert(1))");
    check("[x](https://good.org@evil.org/)", "x (https://good.org@evil.org/)");
    check("[main](src/main.rs)", "main (src/main.rs)");
    check("[](https://a.org/b)", "<a href=\"https://a.org/b\">(a.org/…)</a>");
}

#[test]
fn images_are_links_and_never_fetched() {
    check("![a cat](https://a.org/c.png?data=1)", "<a href=\"https://a.org/c.png?data=1\">image: a cat (a.org/…)</a>");
    let badge = html("[![build](https://b.org/x.svg)](https://a.org/ci)");
    assert_eq!(badge, "<a href=\"https://a.org/ci\">image: build (b.org/…) (a.org/…)</a>");
}

#[test]
fn what_cannot_be_seen_is_shown() {
    check("a\u{202e}b\u{200b}c\u{1b}[31m", "a\u{fffd}bc␛[31m");
    check("a&#x202e;b&#27;c", "a\u{fffd}b␛c");
    check("```\n\u{202e}x\n```", "<pre>\u{fffd}x</pre>");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever the model writes, the markup is closed and nested, and says nothing but what is seen.
    #[test]
    fn markup_is_always_well_formed(markdown in "[-a-z0-9 *_`~#>|\\[\\]()!<&\n:/.\u{1f600}é\u{202e}]{0,200}") {
        let rich = Rich::read(&markdown, LinkText::Host);
        prop_assert_eq!(unmarked(&telegram_html(&rich)), Some(rich.text()));
    }
}

/// The text of an HTML of ours, or nothing when its elements do not match.
fn unmarked(html: &str) -> Option<String> {
    let mut open: Vec<&str> = Vec::new();
    let mut text = String::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        text.push_str(&rest[..start]);
        let end = start + rest[start..].find('>')?;
        let tag = &rest[start + 1..end];
        match tag.strip_prefix('/') {
            Some(name) if open.pop() == Some(name) => {}
            Some(_) => return None,
            None => open.push(tag.split(' ').next()?),
        }
        rest = &rest[end + 1..];
    }
    text.push_str(rest);
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    open.is_empty().then_some(plain)
}
