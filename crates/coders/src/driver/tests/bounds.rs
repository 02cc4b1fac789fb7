//! Whatever a program says, in whichever language: no panic, events with bounds, and no more memory after a hundred thousand
//! lines than after a thousand. What real programs said is bent for it.

use std::{fs, path::Path, sync::Arc};

use proptest::prelude::*;
use sandbox::{Record, What};
use serde_json::{Value, json};

use crate::{
    Acp, Coder, CoderCommand, CoderEnd, CoderEvent, OneShot, Registry, Start, Trouble, border,
    driver::{
        cause::{Cause, RunNote},
        talk::Talk,
    },
};

/// The languages, with the folder of their recordings.
pub(super) const CODERS: [(&str, &str); 5] =
    [("claude", "claude"), ("codex", "codex"), ("opencode", "opencode"), ("acp", "acp"), ("forge", "")];
/// How many lines a program says.
const LINES: usize = 100_000;
/// How much memory may be taken meanwhile, in bytes: what is gathered at once, and what the allocator keeps.
const MEMORY: usize = 96 * 1024 * 1024;

fn registry() -> Registry {
    let acp: Arc<dyn Coder> = Arc::new(Acp::new(vec!["acp".to_owned()]));
    let shot: Arc<dyn Coder> = Arc::new(OneShot::new(vec!["shot".to_owned()], Some("DONE".to_owned())));
    Registry::new([("acp".to_owned(), acp), ("oneshot".to_owned(), shot)])
}

/// A job's records as they come, and what they amount to.
pub(super) struct Job {
    coder: &'static str,
    pub talk: Talk,
    seq: u64,
    /// Bytes of the events of the turn.
    told: usize,
    starts: usize,
}

impl Job {
    pub fn new(coder: &'static str) -> Self {
        let mut job = Self { coder, talk: Talk::new(registry()), seq: 0, told: 0, starts: 0 };
        job.start();
        job
    }

    /// Starts the program and tells it something.
    fn start(&mut self) {
        self.starts += 1;
        let start = Start { fresh: "5b2c1d7e-0a4f-4c3b-9d6e-000000000001".to_owned(), ..Start::default() };
        let note = RunNote { coder: self.coder.to_owned(), start, prompt: Some("go".to_owned()) };
        self.take(What::Started { run: 1, argv: Vec::new(), note: serde_json::to_value(note).unwrap() });
    }

    pub fn take(&mut self, what: What) -> Vec<CoderEvent> {
        self.seq += 1;
        let events = self.talk.take(&Record { seq: self.seq, at: 0, what }).events;
        assert!(events.len() <= 2 * border::MAX_EVENTS, "{} events", events.len());
        for event in &events {
            let length = serde_json::to_string(event).unwrap().len();
            // Escaped text is longer than it is.
            assert!(length <= 6 * border::MAX_STEPS * border::MAX_LINE, "{length} bytes");
            self.told += length;
            if matches!(event, CoderEvent::Finished { .. }) {
                assert!(self.told < 24 * 1024 * 1024, "{} bytes in one turn", self.told);
                self.told = 0;
            }
        }
        events
    }

    /// The program says a line, whatever it wanted written is written, and it is told to go on where it rests.
    fn hear(&mut self, line: &str) {
        self.take(What::Out { line: line.to_owned() });
        let lines: Vec<String> = self.talk.owed().cloned().collect();
        if !lines.is_empty() {
            self.take(What::In { cause: Value::Null, lines });
        }
        if self.talk.must_die() {
            self.take(What::Ended { code: None, signal: Some(9), why: None });
            self.start();
        } else if !self.talk.is_busy() {
            let command = CoderCommand::Prompt { text: "go on".to_owned() };
            let cause = Cause::Command { id: self.seq, command }.to_value();
            self.take(What::In { cause, lines: Vec::new() });
        }
        assert!(self.talk.permissions().count() <= 64);
    }
}

/// What real programs said in this language.
fn corpus(folder: &str) -> Vec<Value> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let files = fs::read_dir(place).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|kind| kind == "txt")).collect();
    files.sort();
    let texts: Vec<String> = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let lines = texts.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("< "));
    // Long ones take long, and say nothing else.
    let lines = lines.filter(|line| line.len() < 1_500);
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Numbers that look as if by chance, the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    /// Bends a line: each text of it may become another, and parts of it something else.
    fn bend(&mut self, value: &mut Value) {
        match value {
            Value::Object(map) => map.values_mut().for_each(|value| self.bend(value)),
            Value::Array(list) => {
                if !list.is_empty() && self.below(4_000) == 0 {
                    *list = vec![list[0].clone(); 1 + self.below(3_000)];
                }
                list.iter_mut().for_each(|value| self.bend(value));
            }
            Value::String(text) if self.below(6) == 0 => *text = self.text(),
            _ => {}
        }
        if self.below(300) == 0 {
            *value = match self.below(5) {
                0 => Value::Null,
                1 => json!({}),
                2 => json!([self.text()]),
                3 => json!(self.0),
                _ => Value::String(self.text()),
            };
        }
    }

    fn text(&mut self) -> String {
        match self.below(4_000) {
            0 => " ".repeat(self.below(20_000)),
            1 => "x\u{0}\n".repeat(self.below(20_000)),
            2 => "y".repeat(self.below(200_000)),
            3..=40 => "z".repeat(self.below(600)),
            _ => format!("n{}", self.0),
        }
    }
}

/// What this process takes, in bytes.
fn memory() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn says_a_lot(coder: &'static str, folder: &str) {
    let lines = if folder.is_empty() { vec![json!("● [12:00] x"), json!("y")] } else { corpus(folder) };
    let mut chance = Chance(1);
    let mut job = Job::new(coder);
    let mut after_some = 0;
    for number in 0..LINES {
        if number == 1_000 {
            after_some = memory();
        }
        let mut line = lines[if number < lines.len() { number } else { chance.below(lines.len()) }].clone();
        if number >= 20 {
            chance.bend(&mut line);
        }
        let line = line.as_str().map_or_else(|| line.to_string(), str::to_owned);
        job.hear(&line);
    }
    let taken = memory().saturating_sub(after_some);
    assert!(taken < MEMORY, "{coder} takes {taken} bytes more");
    assert!(job.starts < LINES / 4, "most of what was said was not heard: {} starts", job.starts);
}

#[test]
fn claude_may_say_what_it_likes() {
    says_a_lot(CODERS[0].0, CODERS[0].1);
}

#[test]
fn codex_may_say_what_it_likes() {
    says_a_lot(CODERS[1].0, CODERS[1].1);
}

#[test]
fn opencode_may_say_what_it_likes() {
    says_a_lot(CODERS[2].0, CODERS[2].1);
}

#[test]
fn an_agent_of_the_protocol_may_say_what_it_likes() {
    says_a_lot(CODERS[3].0, CODERS[3].1);
}

#[test]
fn forge_may_say_what_it_likes() {
    says_a_lot(CODERS[4].0, CODERS[4].1);
}

/// A line of each language with a name in it, and one of the same kind that begins the conversation.
pub(super) fn named(coder: &str, name: &str) -> Vec<Value> {
    match coder {
        "claude" => vec![json!({"type": "system", "subtype": "init", "session_id": name})],
        "codex" => {
            let thread = json!({"id": name, "cliVersion": "1"});
            let result = json!({"thread": thread, "approvalPolicy": "untrusted", "approvalsReviewer": "user"});
            vec![json!({"id": 1, "result": {}}), json!({"id": 2, "result": result})]
        }
        "opencode" => vec![
            json!({"id": "1", "status": 200, "body": {}}),
            json!({"id": "2", "event": {"type": "server.connected", "properties": {}}}),
            json!({"id": "3", "status": 200, "body": {"id": name}}),
        ],
        _ => vec![json!({"jsonrpc": "2.0", "id": 1, "result": {}}), json!({"id": 2, "result": {"sessionId": name}})],
    }
}

#[test]
fn a_name_beyond_bounds_ends_the_program_with_words() {
    for (coder, _) in &CODERS[..4] {
        for (name, fits) in [("s".repeat(256), true), ("s".repeat(257), false), ("a\u{7}b".to_owned(), false)] {
            let mut job = Job::new(coder);
            let mut events = Vec::new();
            for line in named(coder, &name) {
                events.extend(job.take(What::Out { line: line.to_string() }));
            }
            assert_eq!(job.talk.must_die(), !fits, "{coder}");
            assert_eq!(job.talk.session(), fits.then_some(name.as_str()), "{coder}");
            if !fits {
                // What it says meanwhile counts for nothing.
                assert!(job.take(What::Out { line: named(coder, "other")[0].to_string() }).is_empty());
                events = job.take(What::Ended { code: None, signal: Some(9), why: Some("killed".to_owned()) });
                let [CoderEvent::Finished { end: CoderEnd::Failed { trouble: Trouble::Garbled, message } }] =
                    &events[..]
                else {
                    panic!("{coder}: {events:?}");
                };
                assert!(message.starts_with("it gave a name"), "{message}");
                assert!(!Trouble::Garbled.may_pass());
            }
        }
    }
}

/// What each language asks a permission with, for a script.
fn asks(coder: &str, number: usize, script: &str) -> Value {
    match coder {
        "claude" => json!({"type": "control_request", "request_id": format!("q{number}"),
            "request": {"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": script}}}),
        "codex" => json!({"id": number, "method": "item/commandExecution/requestApproval",
            "params": {"threadId": "s", "turnId": "t", "itemId": "i", "command": script}}),
        "opencode" => json!({"id": "2", "event": {"type": "permission.asked", "properties":
            {"id": format!("per{number}"), "sessionID": "s", "permission": "bash", "metadata": {"command": script}}}}),
        _ => json!({"id": number + 1_000, "method": "session/request_permission", "params": {"sessionId": "s",
            "toolCall": {"toolCallId": "t", "kind": "execute", "rawInput": {"command": script}},
            "options": [{"optionId": "y", "kind": "allow_once"}, {"optionId": "n", "kind": "reject_once"}]}}),
    }
}

#[test]
fn questions_that_are_too_long_or_too_many_are_refused_without_asking() {
    for (coder, _) in &CODERS[..4] {
        let mut job = Job::new(coder);
        for line in named(coder, "s") {
            job.take(What::Out { line: line.to_string() });
        }
        if *coder == "codex" {
            job.take(What::Out { line: json!({"id": 3, "result": {"turn": {"id": "t"}}}).to_string() });
        }
        let written: Vec<String> = job.talk.owed().cloned().collect();
        job.take(What::In { cause: Value::Null, lines: written });
        let long = "x".repeat(border::MAX_ASKED + 1);
        let events = job.take(What::Out { line: asks(coder, 0, &long).to_string() });
        assert!(matches!(&events[..], [CoderEvent::Note { text }] if text.contains("too long")), "{coder}: {events:?}");
        assert!(job.talk.owed().count() >= 1, "{coder} is answered");
        let asked = (1..200).filter(|number| {
            let events = job.take(What::Out { line: asks(coder, *number, "make").to_string() });
            matches!(&events[..], [CoderEvent::PermissionAsked(_)])
        });
        assert_eq!(asked.count(), 64, "{coder}");
        assert!(!job.talk.must_die());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_do_no_harm(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..30)) {
        for coder in ["claude", "codex", "opencode", "acp", "forge", "oneshot"] {
            let mut job = Job::new(coder);
            for line in &lines {
                let line = String::from_utf8_lossy(line).replace('\n', " ");
                job.take(What::Err { line: line.clone() });
                job.hear(&line);
            }
            job.take(What::Ended { code: Some(0), signal: None, why: None });
        }
    }
}
