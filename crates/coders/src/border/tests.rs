//! What is passed on has its bounds, and what a job needs is passed on whatever else there is.

use super::*;
use crate::{Totals, Trouble};

fn text(length: usize) -> String {
    "ä".repeat(length / 2)
}

fn piece(text: &str) -> CoderEvent {
    CoderEvent::TextDelta { text: text.to_owned() }
}

fn done() -> CoderEvent {
    CoderEvent::Finished { end: CoderEnd::Done { text: String::new() } }
}

fn pieces(events: &[CoderEvent]) -> Vec<&str> {
    let mut pieces = Vec::new();
    for event in events {
        if let CoderEvent::TextDelta { text } = event {
            pieces.push(text.as_str());
        }
    }
    pieces
}

#[test]
fn every_text_is_cut_to_its_bound() {
    let long = || text(1 << 20);
    let steps = vec![PlanStep { text: text(2_000), done: false }; 5_000];
    let asked = Permission {
        id: "1".to_owned(),
        tool: "x".to_owned(),
        action: Action::Command { script: "x".to_owned() },
        reason: Some(long()),
    };
    for (event, most) in [
        (CoderEvent::Started { session: String::new(), model: Some(long()), version: Some(long()) }, 2 * MAX_LINE),
        (CoderEvent::Text { text: long() }, MAX_TEXT),
        (CoderEvent::Thinking { text: long() }, MAX_TEXT),
        (CoderEvent::ToolStarted { id: String::new(), tool: long(), summary: long() }, 2 * MAX_LINE),
        (CoderEvent::ToolFinished { id: String::new(), ok: true, tail: long() }, crate::TAIL),
        (CoderEvent::FileChanged { path: long() }, MAX_PATH),
        (CoderEvent::Plan { steps }, MAX_STEPS * (MAX_LINE + 30)),
        (CoderEvent::PermissionAsked(asked), MAX_REMARK),
        (CoderEvent::Retrying { attempt: None, wait_ms: None, error: long() }, MAX_REMARK),
        (CoderEvent::Waiting { what: long() }, MAX_REMARK),
        (CoderEvent::Note { text: long() }, MAX_REMARK),
        (CoderEvent::Other { kind: long() }, MAX_LINE),
        (CoderEvent::Finished { end: CoderEnd::Done { text: long() } }, MAX_TEXT),
        (CoderEvent::Finished { end: CoderEnd::Failed { trouble: Trouble::Other, message: long() } }, MAX_REMARK),
    ] {
        let fitted = serde_json::to_string(&fit(event)).unwrap_or_default();
        // Beside the texts there are the names of the fields.
        assert!(fitted.len() <= most + 200, "{} of {most}: {}", fitted.len(), head(&fitted, 60));
    }
}

#[test]
fn short_events_are_left_as_they_are() {
    let event = CoderEvent::Finished { end: CoderEnd::Failed { trouble: Trouble::Auth, message: "no".to_owned() } };
    assert_eq!(fit(event.clone()), event);
    let events = vec![CoderEvent::Text { text: "a".to_owned() }, event];
    assert_eq!(Border::default().pass(events.clone()), events);
}

#[test]
fn pieces_are_gathered_until_they_are_worth_an_event() {
    let mut border = Border::default();
    let told: Vec<CoderEvent> = (0..50).flat_map(|_| border.pass(vec![piece("word ")])).collect();
    assert_eq!(told.len(), 5);
    assert_eq!(pieces(&told).concat(), "word ".repeat(50));
    // What is left goes before the next thing that happens, and not before the whole text.
    border.pass(vec![piece("left")]);
    let tool = CoderEvent::ToolStarted { id: String::new(), tool: String::new(), summary: String::new() };
    assert_eq!(border.pass(vec![tool.clone()]), [piece("left"), tool]);
    border.pass(vec![piece("left")]);
    let whole = CoderEvent::Text { text: "left over".to_owned() };
    assert_eq!(border.pass(vec![whole.clone()]), [whole]);
}

#[test]
fn a_turn_tells_so_much_and_the_next_again() {
    let mut border = Border::default();
    for turn in 0..2 {
        let mut bytes = 0;
        for _ in 0..10_000 {
            let told = border.pass(vec![piece(&text(100_000))]);
            bytes += pieces(&told).concat().len();
            assert!(pieces(&told).iter().all(|piece| piece.len() <= MAX_PIECE + PIECE));
        }
        assert_eq!(bytes, PIECES, "turn {turn}");
        for (event, most) in [
            (CoderEvent::Text { text: text(MAX_TEXT) }, TEXTS / MAX_TEXT),
            (CoderEvent::Thinking { text: text(MAX_TEXT) }, THOUGHTS / MAX_TEXT),
            (CoderEvent::FileChanged { path: "a".to_owned() }, FILES),
            (CoderEvent::Plan { steps: Vec::new() }, PLANS),
            (CoderEvent::Other { kind: "x".to_owned() }, REMARKS),
        ] {
            let told = (0..5_000).flat_map(|_| border.pass(vec![event.clone()])).filter(|told| *told == event).count();
            assert_eq!(told, most, "turn {turn}: {}", head(&format!("{event:?}"), 30));
        }
        let end = border.pass(vec![done()]);
        assert_eq!(end, [done()]);
    }
}

#[test]
fn what_a_job_needs_comes_through_and_the_rest_is_remarked_once() {
    let mut border = Border::default();
    let finished = || CoderEvent::ToolFinished { id: String::new(), ok: true, tail: String::new() };
    let mut events: Vec<CoderEvent> = (0..5_000).map(|_| finished()).collect();
    let withdrawn = CoderEvent::PermissionWithdrawn { id: "1".to_owned() };
    let spent = CoderEvent::Spent(Totals::default());
    events.extend([withdrawn.clone(), spent.clone(), done()]);
    let told = border.pass(events);
    assert!(told.ends_with(&[withdrawn, spent, done()]));
    assert_eq!(told.iter().filter(|event| **event == finished()).count(), MAX_EVENTS);
    assert_eq!(told.iter().filter(|event| matches!(event, CoderEvent::Note { .. })).count(), 1);
}

#[test]
fn nobody_is_asked_about_what_cannot_be_shown() {
    let asked = |action| Permission { id: "1".to_owned(), tool: "x".to_owned(), action, reason: None };
    let long = || "x".repeat(MAX_ASKED + 1);
    for action in [
        Action::Command { script: long() },
        Action::Write { paths: vec!["x".to_owned(); MAX_FILES + 1] },
        Action::Write { paths: files([long().as_str(), "b"].into_iter()) },
        Action::Read {
            paths: files((0..100_000).map(|number| number.to_string()).collect::<Vec<_>>().iter().map(String::as_str)),
        },
        Action::Fetch { target: long() },
        Action::Other { arguments: long() },
    ] {
        assert!(!is_shown_whole(&asked(action)));
    }
    assert!(is_shown_whole(&asked(Action::Command { script: "x".repeat(MAX_ASKED) })));
    assert!(is_shown_whole(&asked(Action::Write { paths: files(["a", "b", "a"].into_iter()) })));
    assert_eq!(files(["a", "b", "a"].into_iter()), ["a", "b"]);
}
