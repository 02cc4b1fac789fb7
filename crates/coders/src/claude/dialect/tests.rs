//! What the lines of recordings do not show: resumed sums, untried versions, nonsense.

use super::*;
use types::MicroUsd;

fn said(stream: &mut Stream, line: &Value) -> Vec<CoderEvent> {
    stream.heard(Pipe::Out, &line.to_string()).events
}

fn result(cost: f64, input: u64) -> Value {
    json!({"type": "result", "subtype": "success", "is_error": false, "terminal_reason": "completed", "result": "x",
        "total_cost_usd": cost, "modelUsage": {"m": {"inputTokens": input}}})
}

fn totals(events: &[CoderEvent]) -> Option<(u64, u64)> {
    events.iter().find_map(|event| match event {
        CoderEvent::Spent(totals) => Some((totals.usage.input, totals.cost?.0)),
        _ => None,
    })
}

fn resumed() -> Stream {
    let usage = types::Usage { input: 100, ..types::Usage::default() };
    let spent = Totals { usage, cost: Some(MicroUsd(500)) };
    Stream::new(&Start { resume: Some("it".to_owned()), spent, ..Start::default() })
}

#[test]
fn what_was_spent_before_counts_whether_or_not_the_program_remembers() {
    let mut remembers = resumed();
    assert_eq!(totals(&said(&mut remembers, &result(0.0006, 130))), Some((130, 600)));
    let mut forgot = resumed();
    assert_eq!(totals(&said(&mut forgot, &result(0.0001, 30))), Some((130, 600)));
    // It may pass the old total without having remembered it.
    assert_eq!(totals(&said(&mut forgot, &result(0.0009, 200))), Some((300, 1400)));
}

#[test]
fn an_untried_version_works_and_is_remarked_once() {
    let mut stream = Stream::new(&Start::default());
    let line =
        |version: &str| json!({"type": "system", "subtype": "init", "session_id": "s", "claude_code_version": version});
    let events = said(&mut stream, &line("9.9.9"));
    assert!(matches!(&events[..], [CoderEvent::Started { .. }, CoderEvent::Note { .. }]), "{events:?}");
    assert_eq!(said(&mut stream, &line("9.9.9")).len(), 1);
    let tried = said(&mut Stream::new(&Start::default()), &line("2.1.329"));
    assert_eq!(tried.len(), 1);
}

#[test]
fn a_slash_is_no_command() {
    let mut stream = Stream::new(&Start::default());
    let told = stream.command(&CoderCommand::Steer { text: "/compact".to_owned() }).expect("it can be told");
    let line: Value = serde_json::from_str(&told[0]).expect("it is JSON");
    assert_eq!(line["message"]["content"], " /compact");
}

/// Whatever the program says, however it is cut: never a panic, and the dialect stays usable.
#[test]
fn nonsense_is_survived() {
    let lines = [
        "",
        "{",
        "null",
        "[]",
        "7",
        "\"text\"",
        "{\"type\":7}",
        "{\"type\":\"assistant\"}",
        "{\"type\":\"assistant\",\"message\":{\"content\":[null,7,{\"type\":\"tool_use\"}]}}",
        "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\"}]}}",
        "{\"type\":\"control_request\"}",
        "{\"type\":\"control_response\",\"response\":7}",
        "{\"type\":\"control_request\",\"request\":{\"subtype\":\"can_use_tool\"}}",
        "{\"type\":\"control_cancel_request\"}",
        "{\"type\":\"system\",\"subtype\":[]}",
        "{\"type\":\"stream_event\"}",
        "{\"type\":\"result\"}",
        "{\"type\":\"result\",\"total_cost_usd\":-1e300,\"modelUsage\":{\"m\":{\"inputTokens\":-5}}}",
    ];
    let mut stream = Stream::new(&Start::default());
    stream.command(&CoderCommand::Prompt { text: "x".to_owned() }).expect("it can be prompted");
    for line in lines {
        for to in 0..=line.len() {
            stream.heard(Pipe::Out, &line[..to]);
            stream.heard(Pipe::Err, &line[..to]);
        }
    }
    stream.command(&CoderCommand::Prompt { text: "x".to_owned() }).expect("it can be prompted");
    let end = said(&mut stream, &result(0.0, 0));
    assert!(matches!(end.last(), Some(CoderEvent::Finished { .. })) && !stream.is_busy(), "{end:?}");
}
