//! What a terminal shows.

use channels::terminal;
use types::{Event, MicroUsd, ToolEnd, TurnEnd, Usage};

#[test]
fn markdown_is_plain_text_with_whole_addresses() {
    insta::assert_snapshot!(terminal::render(include_str!("answer.md")));
}

#[test]
fn nothing_is_obeyed() {
    assert_eq!(terminal::neutral("\u{1b}]0;title\u{7}\u{9b}2J"), "␛]0;title␇\u{fffd}2J");
    assert_eq!(terminal::render("a\u{1b}[2J `b\u{8}`"), "a␛[2J b␈");
}

#[test]
fn events_are_lines() {
    let shown = |event: Event| terminal::event(&event);
    let started = Event::ToolStarted {
        call: "1".to_owned(),
        tool: "exec".to_owned(),
        summary: "exec: cargo\u{1b}[2J test".to_owned(),
    };
    assert_eq!(shown(started).as_deref(), Some("→ exec: cargo␛[2J test"));
    let finished = Event::ToolFinished {
        call: "1".to_owned(),
        tool: "exec".to_owned(),
        end: ToolEnd::Error,
        preview: "one\ntwo\n".to_owned(),
    };
    assert_eq!(shown(finished).as_deref(), Some("← exec failed\n  one\n  two"));
    let usage = Usage { input: 100, output: 20, ..Usage::default() };
    let end = TurnEnd::Limit { limit: "100 steps".to_owned() };
    let over = Event::TurnFinished { end, text: "x".to_owned(), steps: 3, usage, cost: MicroUsd(12_000) };
    assert_eq!(shown(over).as_deref(), Some("stopped at a limit: 100 steps (3 steps, 120 tokens, $0.0120)"));
    assert_eq!(shown(Event::TurnResumed), None);
}
