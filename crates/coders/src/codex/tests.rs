//! What the recordings of a real app-server do not show: races, refusals, and words of other versions.
#![expect(clippy::unwrap_used, reason = "a test fails where a line is not what it says")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Codex;
use crate::{Action, Coder, CoderCommand, CoderEnd, CoderEvent, Dialect, Heard, Start, Stream, Trouble, Verdict};

fn prompt(text: &str) -> CoderCommand {
    CoderCommand::Prompt { text: text.to_owned() }
}

fn steer(text: &str) -> CoderCommand {
    CoderCommand::Steer { text: text.to_owned() }
}

fn hear(dialect: &mut dyn Dialect, message: &Value) -> Heard {
    dialect.heard(Stream::Out, &message.to_string())
}

fn opened(policy: &str, reviewer: &str) -> Value {
    let thread = json!({"id": "thread", "cliVersion": "9.9.9"});
    json!({"id": 2, "result": {"thread": thread, "model": "m", "approvalPolicy": policy, "approvalsReviewer": reviewer}})
}

/// A dialect whose conversation is open.
fn open() -> Box<dyn Dialect> {
    let mut dialect = Codex.dialect(&Start::default());
    dialect.open();
    hear(&mut *dialect, &json!({"id": 1, "result": {}}));
    let heard = hear(&mut *dialect, &opened("untrusted", "user"));
    assert!(matches!(&heard.events[..], [CoderEvent::Started { session, .. }] if session == "thread"));
    dialect
}

/// One whose turn runs and has a name.
fn running() -> Box<dyn Dialect> {
    let mut dialect = open();
    assert_eq!(method(&dialect.command(&prompt("go")).unwrap()), ["turn/start"]);
    hear(&mut *dialect, &json!({"id": 3, "result": {"turn": {"id": "turn"}}}));
    dialect
}

fn method(lines: &[String]) -> Vec<String> {
    let message = |line: &String| serde_json::from_str::<Value>(line).unwrap();
    lines.iter().map(|line| message(line)["method"].as_str().unwrap_or("answer").to_owned()).collect()
}

fn completed(status: &str, error: &Value) -> Value {
    let turn = json!({"id": "turn", "status": status, "error": error, "items": []});
    json!({"method": "turn/completed", "params": {"threadId": "thread", "turn": turn}})
}

fn said(text: &str) -> Value {
    let item = json!({"type": "agentMessage", "id": "m", "text": text});
    json!({"method": "item/completed", "params": {"threadId": "thread", "turnId": "turn", "item": item}})
}

fn trouble(heard: &Heard) -> Option<Trouble> {
    heard.events.iter().find_map(|event| match event {
        CoderEvent::Finished { end: CoderEnd::Failed { trouble, .. } } => Some(*trouble),
        _ => None,
    })
}

#[test]
fn a_conversation_that_would_not_ask_us_is_not_used() {
    for (policy, reviewer) in [("on-request", "user"), ("never", "user"), ("untrusted", "auto_review")] {
        let mut dialect = Codex.dialect(&Start::default());
        dialect.open();
        dialect.command(&prompt("go")).unwrap();
        hear(&mut *dialect, &json!({"id": 1, "result": {}}));
        let heard = hear(&mut *dialect, &opened(policy, reviewer));
        assert_eq!((trouble(&heard), heard.lines.len()), (Some(Trouble::Other), 0), "{policy} {reviewer}");
        assert!(!dialect.is_busy());
        assert!(dialect.command(&prompt("go")).is_err());
    }
}

#[test]
fn what_is_said_before_it_listens_goes_with_the_first_turn() {
    let mut dialect = Codex.dialect(&Start::default());
    assert!(dialect.command(&prompt("one")).unwrap().is_empty());
    assert!(dialect.is_busy());
    assert!(dialect.command(&steer("two")).unwrap().is_empty());
    dialect.open();
    assert_eq!(method(&hear(&mut *dialect, &json!({"id": 1, "result": {}})).lines), ["initialized", "thread/start"]);
    let lines = hear(&mut *dialect, &opened("untrusted", "user")).lines;
    let start: Value = serde_json::from_str(&lines[0]).unwrap();
    let texts: Vec<&Value> = start["params"]["input"].as_array().unwrap().iter().map(|part| &part["text"]).collect();
    assert_eq!(texts, ["one", "two"]);
}

#[test]
fn an_interrupt_finds_its_turn_whenever_it_comes() {
    // Before there is a conversation: nothing begins.
    let mut dialect = Codex.dialect(&Start::default());
    dialect.open();
    dialect.command(&prompt("go")).unwrap();
    dialect.command(&CoderCommand::Interrupt).unwrap();
    hear(&mut *dialect, &json!({"id": 1, "result": {}}));
    let heard = hear(&mut *dialect, &opened("untrusted", "user"));
    assert!(heard.lines.is_empty());
    assert_eq!(heard.events.last(), Some(&CoderEvent::Finished { end: CoderEnd::Interrupted }));
    // Before the turn has a name: as soon as it has one.
    let mut dialect = open();
    dialect.command(&prompt("go")).unwrap();
    assert!(dialect.command(&CoderCommand::Interrupt).unwrap().is_empty());
    let heard = hear(&mut *dialect, &json!({"id": 3, "result": {"turn": {"id": "turn"}}}));
    assert_eq!(method(&heard.lines), ["turn/interrupt"]);
    let heard = hear(&mut *dialect, &completed("interrupted", &Value::Null));
    assert_eq!(heard.events, [CoderEvent::Finished { end: CoderEnd::Interrupted }]);
    assert_eq!(method(&heard.lines), ["thread/backgroundTerminals/clean"]);
    // When nothing runs: nothing.
    assert!(open().command(&CoderCommand::Interrupt).unwrap().is_empty());
    // One that was not ours is a failure.
    let mut dialect = running();
    assert_eq!(trouble(&hear(&mut *dialect, &completed("interrupted", &Value::Null))), Some(Trouble::Other));
}

#[test]
fn what_comes_too_late_for_a_turn_begins_the_next() {
    let refused = json!({"id": 4, "error": {"code": -32600, "message": "no active turn to steer"}});
    // The answer comes after the end.
    let mut dialect = running();
    assert_eq!(method(&dialect.command(&steer("more")).unwrap()), ["turn/steer"]);
    hear(&mut *dialect, &said("done"));
    assert_eq!(hear(&mut *dialect, &completed("completed", &Value::Null)), Heard::default());
    assert!(dialect.is_busy());
    assert_eq!(method(&hear(&mut *dialect, &refused).lines), ["turn/start"]);
    // And before it.
    let mut dialect = running();
    dialect.command(&steer("more")).unwrap();
    assert_eq!(hear(&mut *dialect, &refused), Heard::default());
    hear(&mut *dialect, &said("done"));
    assert_eq!(method(&hear(&mut *dialect, &completed("completed", &Value::Null)).lines), ["turn/start"]);
    // It was taken: the turn that ended meanwhile is over.
    let mut dialect = running();
    dialect.command(&steer("more")).unwrap();
    hear(&mut *dialect, &said("done"));
    hear(&mut *dialect, &completed("completed", &Value::Null));
    let heard = hear(&mut *dialect, &json!({"id": 4, "result": {"turnId": "turn"}}));
    assert_eq!(heard.events, [CoderEvent::Finished { end: CoderEnd::Done { text: "done".to_owned() } }]);
    // A failed turn is told of at once; what was said waits for the next prompt.
    let mut dialect = running();
    dialect.command(&steer("more")).unwrap();
    hear(&mut *dialect, &refused);
    let error = json!({"message": "no", "codexErrorInfo": "usageLimitExceeded"});
    assert_eq!(trouble(&hear(&mut *dialect, &completed("failed", &error))), Some(Trouble::Quota));
    assert!(!dialect.is_busy());
    assert!(dialect.command(&prompt("again")).unwrap()[0].contains("more"));
}

#[test]
fn a_permission_nobody_answered_is_withdrawn() {
    let ask = json!({"id": "r", "method": "item/commandExecution/requestApproval", "params": {
        "threadId": "thread", "turnId": "turn", "itemId": "c", "command": "/bin/bash -c 'rm x'",
    }});
    let mut dialect = running();
    let CoderEvent::PermissionAsked(asked) = hear(&mut *dialect, &ask).events.remove(0) else { panic!("not asked") };
    assert_eq!(asked.action, Action::Command { script: "rm x".to_owned() });
    let withdrawn = [CoderEvent::PermissionWithdrawn { id: asked.id.clone() }];
    let resolved = json!({"method": "serverRequest/resolved", "params": {"threadId": "thread", "requestId": "r"}});
    assert_eq!(hear(&mut *dialect, &resolved).events, withdrawn);
    let answer = CoderCommand::Answer { permission: asked.id, verdict: Verdict::Allow };
    assert!(dialect.command(&answer).unwrap().is_empty());
    hear(&mut *dialect, &ask);
    assert_eq!(hear(&mut *dialect, &completed("failed", &Value::Null)).events[..1], withdrawn);
    // One that was answered is not withdrawn by its own answer.
    hear(&mut *dialect, &ask);
    assert_eq!(method(&dialect.command(&answer).unwrap()), ["answer"]);
    assert_eq!(hear(&mut *dialect, &resolved), Heard::default());
}

#[test]
fn words_of_other_versions_do_no_harm() {
    let item = |value: Value| json!({"method": "item/completed", "params": {"threadId": "thread", "item": value}});
    let table = [
        (json!({"method": "of/the/future", "params": {}}), "other"),
        (item(json!({"type": "hologram", "id": "h"})), "other"),
        (item(json!({"type": "commandExecution", "id": "c", "status": "evaporated"})), "tool_finished"),
        (json!({"method": "turn/plan/updated", "params": {"plan": [{"step": "s", "status": "someday"}]}}), "plan"),
        (json!({"method": "error", "params": {"willRetry": true, "error": {"message": 7}}}), "retrying"),
        (json!({"result": 1, "id": 99}), "other"),
        (json!({"result": 1, "id": "text"}), "other"),
        (json!(["no", "message"]), "other"),
        (json!({"id": 5, "method": "of/the/future"}), "note"),
    ];
    for (message, kind) in table {
        let mut dialect = running();
        let heard = hear(&mut *dialect, &message);
        assert_eq!(serde_json::to_value(&heard.events[0]).unwrap()["type"], kind, "{message}");
        assert!(dialect.is_busy());
    }
    let mut dialect = running();
    assert_eq!(trouble(&hear(&mut *dialect, &completed("abandoned", &Value::Null))), Some(Trouble::Other));
    assert!(matches!(running().heard(Stream::Out, "{\"id\": 0, \"meth").events[..], [CoderEvent::Other { .. }]));
}

#[test]
fn helpers_of_its_own_do_not_end_its_turn() {
    let mut dialect = running();
    let turn = json!({"id": "t2", "status": "failed", "items": []});
    let other = json!({"method": "turn/completed", "params": {"threadId": "helper", "turn": turn}});
    assert_eq!(hear(&mut *dialect, &other), Heard::default());
    let earlier = json!({"method": "turn/completed", "params": {"threadId": "thread", "turn": turn}});
    assert_eq!(hear(&mut *dialect, &earlier), Heard::default());
    assert!(dialect.is_busy());
}

#[test]
fn what_is_told_has_a_bound() {
    let mut dialect = Codex.dialect(&Start::default());
    let refused = (0..1000).filter(|_| dialect.command(&prompt("again")).is_err()).count();
    assert_eq!(refused, 1000 - 64);
}

#[test]
fn its_end_is_told_once() {
    let mut dialect = running();
    dialect.heard(Stream::Err, "\u{1b}[31mError\u{1b}[0m: no disk");
    let events = dialect.ended(Some(0));
    let [CoderEvent::Finished { end: CoderEnd::Failed { trouble: Trouble::Crashed, message } }] = &events[..] else {
        panic!("{events:?}");
    };
    assert!(message.ends_with("Error: no disk"), "{message}");
    assert!(open().ended(Some(1)).is_empty());
}

#[test]
fn its_settings_ask_for_everything_and_trust_nothing() {
    let start = Start {
        model: Some("a \"b\" \\ \n[x]".to_owned()),
        base_url: Some("http://127.0.0.1:1/v1".to_owned()),
        placeholder: Some(("KEY_NAME".to_owned(), "placeholder".to_owned())),
        ..Start::default()
    };
    let launch = Codex.launch(&start, None);
    let [seed] = &launch.seed[..] else { panic!("one file is written") };
    assert!(!seed.keep);
    assert!(!seed.content.contains("placeholder"), "the key is in the environment alone");
    assert_eq!(launch.env["KEY_NAME"], "placeholder");
    for line in [
        "model = \"a \\\"b\\\" \\\\ \\u000A[x]\"",
        "base_url = \"http://127.0.0.1:1/v1\"",
        "env_key = \"KEY_NAME\"",
        "trust_level = \"untrusted\"",
        "unified_exec_tty = false",
        "hooks = false",
        "web_search = \"disabled\"",
        "check_for_update_on_startup = false",
    ] {
        assert!(seed.content.lines().any(|found| found == line), "{line}");
    }
    let resume = Start { resume: Some("thread".to_owned()), ..start };
    assert_eq!(Codex.interactive(&resume).argv[1..3], ["resume", "thread"]);
    assert_eq!(Codex.interactive(&Start { fork: true, ..resume }).argv[1..3], ["fork", "thread"]);
}

proptest! {
    /// Nothing that it could say is too much.
    #[test]
    fn no_line_makes_it_fail(seed in any::<u64>(), lines in prop::collection::vec("[ -~]{0,60}", 0..20)) {
        let methods = ["turn/completed", "item/completed", "item/started", "error", "turn/started", "item/tool/call",
            "item/fileChange/requestApproval", "thread/tokenUsage/updated", "serverRequest/resolved"];
        let mut dialect = running();
        let mut state = seed;
        for line in lines {
            dialect.heard(Stream::Out, &line);
            dialect.heard(Stream::Err, &line);
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let method = methods[(state >> 33) as usize % methods.len()];
            let params = match state % 3 {
                0 => json!({"threadId": "thread", "item": line, "turn": [line], "requestId": line}),
                1 => json!(line),
                _ => json!({"threadId": "thread", "turn": {"id": "turn", "status": line}, "item": {"type": line, "id": 3}}),
            };
            hear(&mut *dialect, &json!({"method": method, "params": params}));
            hear(&mut *dialect, &json!({"method": method, "id": line, "params": params}));
        }
    }
}
