//! The Agent Client Protocol, by what `opencode acp` and others say.

use std::fmt::Write as _;

use coders::{Acp, Coder, CoderCommand, CoderEnd, CoderEvent, Dialect, Heard, Start, Stream, Trouble, Verdict};
use serde_json::{Value, json};

use crate::recording::{Step, load};

fn coder() -> Acp {
    Acp::new(vec!["opencode".to_owned(), "acp".to_owned()])
}

/// One conversation, with everything that was told and written.
struct Talk {
    dialect: Box<dyn Dialect>,
    told: String,
}

impl Talk {
    fn new(start: &Start) -> Self {
        let mut talk = Self { dialect: coder().dialect(start), told: String::new() };
        let lines = talk.dialect.open();
        talk.write(&Heard::wrote(lines));
        talk
    }

    fn write(&mut self, heard: &Heard) {
        for event in &heard.events {
            writeln!(self.told, "{}", serde_json::to_string(event).unwrap()).unwrap();
        }
        for line in &heard.lines {
            writeln!(self.told, "> {line}").unwrap();
        }
    }

    fn hear(&mut self, line: &Value) -> Heard {
        self.hear_line(&line.to_string())
    }

    fn hear_line(&mut self, line: &str) -> Heard {
        let heard = self.dialect.heard(Stream::Out, line);
        self.write(&heard);
        heard
    }

    fn tell(&mut self, command: &CoderCommand) -> Vec<String> {
        writeln!(self.told, "# {}", serde_json::to_string(command).unwrap()).unwrap();
        let lines = self.dialect.command(command).unwrap();
        self.write(&Heard::wrote(lines.clone()));
        lines
    }

    /// A conversation that has a prompt under way, with this number.
    fn prompted() -> (Self, u64) {
        let mut talk = Self::new(&Start::default());
        talk.hear(&json!({"jsonrpc": "2.0", "id": 1, "result": {"protocolVersion": 1}}));
        talk.hear(&json!({"jsonrpc": "2.0", "id": 2, "result": {"sessionId": "s"}}));
        let lines = talk.tell(&prompt("go"));
        let id = serde_json::from_str::<Value>(&lines[0]).unwrap()["id"].as_u64().unwrap();
        (talk, id)
    }
}

fn prompt(text: &str) -> CoderCommand {
    CoderCommand::Prompt { text: text.to_owned() }
}

fn end(heard: &Heard) -> Option<CoderEnd> {
    heard.events.iter().find_map(|event| match event {
        CoderEvent::Finished { end } => Some(end.clone()),
        _ => None,
    })
}

fn chunk(text: &str) -> Value {
    let update = json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}});
    json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": update}})
}

#[test]
fn opencode_over_the_protocol() {
    let mut talk = None;
    for step in load("acp", "opencode") {
        match step {
            Step::Start(start) => talk = Some(Talk::new(&start)),
            Step::Out(line) => drop(talk.as_mut().unwrap().hear_line(&line)),
            Step::Command(command) => drop(talk.as_mut().unwrap().tell(&command)),
            Step::Err(_) | Step::In(_) | Step::End(_) => {}
        }
    }
    let talk = talk.unwrap();
    assert!(!talk.dialect.is_busy());
    insta::assert_snapshot!(talk.told);
}

#[test]
fn each_way_to_stop_has_its_meaning() {
    let error = |code, message: &str, data: Value| json!({"code": code, "message": message, "data": data});
    let failed = |trouble| Some(trouble);
    for (case, answer, expected) in [
        ("done", json!({"result": {"stopReason": "end_turn"}}), None),
        ("output limit", json!({"result": {"stopReason": "max_tokens"}}), failed(Trouble::Other)),
        ("own limit", json!({"result": {"stopReason": "max_turn_requests"}}), failed(Trouble::OwnLimit)),
        ("refused", json!({"result": {"stopReason": "refusal"}}), failed(Trouble::Refused)),
        ("unknown", json!({"result": {"stopReason": "moonrise"}}), failed(Trouble::Other)),
        ("money", json!({"error": error(-32603, "x", json!({"errorKind": "billing_error"}))}), failed(Trouble::Quota)),
        (
            "Codex's",
            json!({"error": error(-32603, "x", json!({"codexErrorInfo": "contextWindowExceeded"}))}),
            failed(Trouble::Overflow),
        ),
        (
            "Codex's with more",
            json!({"error": error(-32603, "x", json!({"codexErrorInfo": {"httpConnectionFailed": {}}}))}),
            failed(Trouble::Network),
        ),
        ("login", json!({"error": error(-32000, "Authentication required", Value::Null)}), failed(Trouble::Auth)),
        ("words", json!({"error": error(-32603, "429 Too Many Requests", Value::Null)}), failed(Trouble::RateLimited)),
    ] {
        let (mut talk, id) = Talk::prompted();
        talk.hear(&chunk("It is done."));
        let mut answer = answer;
        answer["id"] = json!(id);
        let trouble = match end(&talk.hear(&answer)) {
            Some(CoderEnd::Done { text }) => {
                assert_eq!(text, "It is done.", "{case}");
                None
            }
            Some(CoderEnd::Failed { trouble, .. }) => Some(trouble),
            other => panic!("{case}: {other:?}"),
        };
        assert_eq!(trouble, expected, "{case}");
        assert!(!talk.dialect.is_busy(), "{case}");
    }
}

#[test]
fn words_meanwhile_are_answered_before_the_turn_is_over() {
    let (mut talk, id) = Talk::prompted();
    assert_eq!(talk.tell(&CoderCommand::Steer { text: "and this".to_owned() }), Vec::<String>::new());
    talk.hear(&chunk("First."));
    let heard = talk.hear(&json!({"id": id, "result": {"stopReason": "end_turn"}}));
    assert_eq!(end(&heard), None);
    assert!(heard.lines[0].contains("and this") && heard.lines[0].contains("session/prompt"), "{heard:?}");
    talk.hear(&chunk("Second."));
    let heard = talk.hear(&json!({"id": id + 1, "result": {"stopReason": "end_turn"}}));
    assert_eq!(end(&heard), Some(CoderEnd::Done { text: "Second.".to_owned() }));
}

#[test]
fn nothing_is_lifted_for_good_and_nothing_is_offered() {
    let (mut talk, _) = Talk::prompted();
    let ask = |id: Value, kinds: &[&str]| {
        let options: Vec<Value> = kinds.iter().map(|kind| json!({"optionId": kind, "kind": kind})).collect();
        let call = json!({"toolCallId": "t", "kind": "execute", "rawInput": {"command": ["rm", "-rf", "x"]}});
        let params = json!({"sessionId": "s", "toolCall": call, "options": options});
        json!({"id": id, "method": "session/request_permission", "params": params})
    };
    let allow = |permission: &str| CoderCommand::Answer { permission: permission.to_owned(), verdict: Verdict::Allow };
    talk.hear(&ask(json!("a"), &["allow_always", "allow_once", "reject_once"]));
    assert!(talk.tell(&allow("\"a\""))[0].contains("\"optionId\":\"allow_once\""), "{}", talk.told);
    talk.hear(&ask(json!(7), &["allow_always", "reject_always"]));
    assert!(talk.tell(&allow("7"))[0].contains("\"cancelled\""), "{}", talk.told);
    for method in ["fs/read_text_file", "fs/write_text_file", "terminal/create", "anything/else"] {
        let heard = talk.hear(&json!({"id": 9, "method": method, "params": {"path": "/etc/passwd"}}));
        assert!(heard.events.is_empty() && heard.lines[0].contains("-32601"), "{heard:?}");
    }
    // A turn that is interrupted answers what waits.
    talk.hear(&ask(json!(8), &["allow_once"]));
    let lines = talk.tell(&CoderCommand::Interrupt);
    assert!(lines[0].contains("session/cancel") && lines[1].contains("\"cancelled\""), "{lines:?}");
    let heard = talk.hear(&ask(json!(10), &["allow_once"]));
    assert!(heard.events.is_empty() && heard.lines[0].contains("\"cancelled\""), "{heard:?}");
}

#[test]
fn what_is_told_again_at_a_load_is_not_told_twice() {
    let start = Start { resume: Some("s".to_owned()), ..Start::default() };
    let mut talk = Talk::new(&start);
    talk.tell(&prompt("go on"));
    let heard = talk.hear(&json!({"id": 1, "result": {"agentCapabilities": {"loadSession": true}}}));
    assert!(heard.lines[0].contains("session/load"), "{heard:?}");
    assert_eq!(talk.hear(&chunk("Said long ago.")), Heard::default());
    let heard = talk.hear(&json!({"id": 2, "result": {}}));
    assert!(matches!(&heard.events[0], CoderEvent::Started { session, .. } if session == "s"), "{heard:?}");
    assert!(heard.lines[0].contains("go on"), "{heard:?}");
    // One that cannot resume says so at once.
    let mut talk = Talk::new(&start);
    talk.tell(&prompt("go on"));
    let heard = talk.hear(&json!({"id": 1, "result": {"agentCapabilities": {}}}));
    assert!(matches!(end(&heard), Some(CoderEnd::Failed { trouble: Trouble::Lost, .. })), "{heard:?}");
}

#[test]
fn a_login_by_key_is_tried_once() {
    let mut talk = Talk::new(&Start::default());
    talk.tell(&prompt("go"));
    let methods = json!([{"id": "oauth-personal"}, {"id": "gemini-api-key"}]);
    talk.hear(&json!({"id": 1, "result": {"authMethods": methods}}));
    let refused = |id| json!({"id": id, "error": {"code": -32000, "message": "Authentication required"}});
    let heard = talk.hear(&refused(2));
    assert!(heard.lines[0].contains("gemini-api-key"), "{heard:?}");
    let heard = talk.hear(&json!({"id": 3, "result": null}));
    assert!(heard.lines[0].contains("session/new"), "{heard:?}");
    let heard = talk.hear(&refused(4));
    assert!(matches!(end(&heard), Some(CoderEnd::Failed { trouble: Trouble::Auth, .. })), "{heard:?}");
}
