//! A program that dies or is of no more use, in each language: one end of its turn, of a kind that says whether to try again,
//! and the name of the conversation to go on with.

use sandbox::What;
use serde_json::{Value, json};

use super::bounds::{CODERS, Job, named};
use crate::{CoderEnd, CoderEvent, Trouble};

/// A program in the middle of a turn of the conversation `s`.
fn working(coder: &'static str) -> Job {
    let mut job = Job::new(coder);
    for line in named(coder, "s") {
        out(&mut job, &line.to_string());
    }
    if coder == "codex" {
        out(&mut job, &json!({"id": 3, "result": {"turn": {"id": "t"}}}).to_string());
    }
    assert!(job.talk.is_busy(), "{coder}");
    job
}

fn out(job: &mut Job, line: &str) -> Vec<CoderEvent> {
    let events = job.take(What::Out { line: line.to_owned() });
    let lines: Vec<String> = job.talk.owed().cloned().collect();
    job.take(What::In { cause: Value::Null, lines });
    events
}

fn dies(job: &mut Job, code: Option<i32>) -> Vec<CoderEvent> {
    job.take(What::Ended { code, signal: code.is_none().then_some(9), why: None })
}

fn ends(events: &[CoderEvent]) -> Vec<Trouble> {
    let trouble = |event: &CoderEvent| match event {
        CoderEvent::Finished { end: CoderEnd::Failed { trouble, .. } } => Some(*trouble),
        CoderEvent::Finished { end } => panic!("{end:?}"),
        _ => None,
    };
    events.iter().filter_map(trouble).collect()
}

#[test]
fn a_program_that_dies_has_crashed_and_its_conversation_is_known() {
    let half = "{\"jsonrpc\": \"2.0\", \"method\": \"session/upd";
    for (coder, _) in CODERS {
        for (line, code) in
            [(None, Some(0)), (None, Some(1)), (None, None), (Some(half), Some(1)), (Some("\u{0}\u{1b}["), None)]
        {
            let mut job = working(coder);
            let mut events = line.map(|line| out(&mut job, line)).unwrap_or_default();
            events.extend(dies(&mut job, code));
            let said = ends(&events);
            assert!(
                matches!(said[..], [trouble] if trouble.may_pass()) || coder == "forge",
                "{coder} {code:?}: {said:?}"
            );
            assert_eq!(said.len(), 1, "{coder}");
            assert!(!job.talk.is_running() && !job.talk.is_busy());
            let conversation = job.talk.session();
            // forge is told the name of its conversation beforehand.
            assert!(conversation == Some("s") || coder == "forge", "{coder}: {conversation:?}");
        }
    }
}

#[test]
fn a_program_that_dies_before_it_speaks_has_crashed_too() {
    for (coder, _) in CODERS {
        let mut job = Job::new(coder);
        let events = dies(&mut job, None);
        assert_eq!(ends(&events), [Trouble::Crashed], "{coder}");
    }
}

#[test]
fn a_server_that_is_gone_is_killed() {
    let mut job = working("opencode");
    let mut events = Vec::new();
    // The number of the request for events goes up with each that was lost.
    for number in 2..200 {
        events.extend(out(&mut job, &json!({"id": number.to_string(), "closed": "connection refused"}).to_string()));
        if job.talk.must_die() {
            break;
        }
    }
    assert!(job.talk.must_die());
    assert_eq!(ends(&events), [Trouble::Crashed]);
    assert_eq!(ends(&dies(&mut job, None)), [], "it is told once");
    assert_eq!(job.talk.session(), Some("s"));
}

#[test]
fn one_that_will_have_no_conversation_is_killed() {
    let error = json!({"code": -32600, "message": "no rollout found"});
    let codex = vec![json!({"id": 1, "result": {}}), json!({"id": 2, "error": error})];
    let acp = vec![json!({"id": 1, "result": {}}), json!({"id": 2, "error": error})];
    let opencode = vec![
        json!({"id": "1", "status": 200, "body": {}}),
        json!({"id": "2", "event": {"type": "server.connected", "properties": {}}}),
        json!({"id": "3", "status": 404, "body": {"name": "NotFoundError"}}),
    ];
    for (coder, lines) in [("codex", codex), ("acp", acp), ("opencode", opencode)] {
        let mut job = Job::new(coder);
        let events: Vec<CoderEvent> = lines.iter().flat_map(|line| out(&mut job, &line.to_string())).collect();
        assert_eq!(ends(&events).len(), 1, "{coder}: {events:?}");
        assert!(job.talk.must_die() && !job.talk.is_busy(), "{coder}");
        assert_eq!(ends(&dies(&mut job, None)), [], "{coder}");
    }
}
