//! Verbs that talk to a daemon. The practice model answers, so that no other double is needed.

use serde_json::Value;

use crate::program::Program;

#[test]
fn a_message_is_answered_on_standard_output_alone() {
    let program = Program::new();
    let up = program.up();
    assert!(up.ready.starts_with("factotum ready: http://127.0.0.1:"), "{}", up.ready);
    assert!(up.ready.contains(&format!("(home {})", program.home().display())), "{}", up.ready);
    let ended = program.run(&["send", "hello"], b"");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("practice model") && !ended.stdout.contains("steps"), "{ended:?}");
    assert!(ended.stderr.contains("steps"), "progress goes to standard error: {ended:?}");
    let quiet = program.run(&["send", "--quiet", "-"], b"hello");
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""), "{quiet:?}");
    assert_eq!(quiet.stdout, ended.stdout);
    let facts = program.facts(&["send", "hello"], b"");
    assert_eq!(facts["end"]["kind"], "done", "{facts}");
    assert_eq!(facts["cost_micro_usd"], 0, "{facts}");
    let command = program.run(&["send", "/cost"], b"");
    assert!(command.stdout.contains("today: $0"), "{command:?}");
}

#[test]
fn a_message_that_is_sent_twice_is_taken_once() {
    let program = Program::new();
    let _up = program.up();
    let send = ["send", "--id", "mine", "hello"];
    let (first, second) = (program.facts(&send, b""), program.facts(&send, b""));
    assert_eq!(first, second, "the second gets the answer to the first");
    let stored = program.facts(&["send", "--no-wait", "--session", "other", "hello"], b"");
    assert_eq!(stored["reply"], "accepted", "{stored}");
    let sessions = program.facts(&["sessions"], b"");
    let keys: Vec<&Value> = sessions.as_array().unwrap().iter().map(|session| &session["key"]).collect();
    assert!(keys.contains(&&Value::from("main")) && keys.contains(&&Value::from("other")), "{sessions}");
    let messages = program.facts(&["sessions", "show", "main"], b"");
    assert_eq!(messages.as_array().unwrap().len(), 2, "{messages}");
    assert_eq!(program.failure(&["sessions", "show", "nowhere"], b"").0, Some(2));
}

#[test]
fn a_request_is_answered_and_a_wait_ends_in_time() {
    let program = Program::new();
    let _up = program.up();
    let ended = program.run(&["send", "practice", "--id", "job", "--timeout", "3"], b"");
    assert_eq!(ended.code, Some(5), "it waits for an approval: {ended:?}");
    assert!(ended.stderr.contains("factotum stop"), "{ended:?}");
    let open = program.facts(&["approvals"], b"");
    let id = open[0]["id"].to_string();
    assert_eq!(open[0]["ask"]["tool"], "exec", "{open}");
    let shown = program.run(&["approvals"], b"").stdout;
    assert!(shown.contains("rm -r build"), "{shown}");
    assert_eq!(program.run(&["approve", "999"], b"").code, Some(2));
    assert_eq!(program.facts(&["approve", &id], b"")["reply"], "done");
    assert_ne!(program.run(&["deny", &id], b"").code, Some(0), "it was settled");
    let job = program.facts(&["send", "practice", "--id", "job"], b"");
    assert_eq!(job["end"]["kind"], "done", "the same message is waited for again: {job}");
    let chat = program.run(&["chat", "--session", "new"], b"hello\n/status\n");
    assert_eq!(chat.code, Some(0), "{chat:?}");
    let (answer, status) =
        (chat.stdout.find("practice model").unwrap(), chat.stdout.find("model: practice/scripted").unwrap());
    assert!(answer < status, "a script's lines are answered in order: {chat:?}");
    assert_eq!(program.facts(&["approvals"], b""), Value::Array(Vec::new()));
    let saved = program.facts(&["undo", "--list"], b"");
    assert_eq!(saved[0]["workspace"], "practice", "{saved}");
    assert_eq!(program.facts(&["undo"], b"")["reply"], "done");
    assert_eq!(program.facts(&["stop"], b"")["reply"], "done");
    assert!(program.facts(&["log", "verify"], b"")["records"].as_u64().unwrap() > 4);
}

#[test]
fn a_script_that_ends_at_a_request_leaves_and_says_how_to_answer() {
    let program = Program::new();
    let _up = program.up();
    let begun = std::time::Instant::now();
    let left = program.run(&["chat"], b"practice\n");
    assert_eq!(left.code, Some(5), "{left:?}");
    let id = program.facts(&["approvals"], b"")[0]["id"].to_string();
    assert!(left.stderr.contains(&format!("`factotum approve {id}`")), "{left:?}");
    let (code, failure) = {
        let ended = program.run(&["chat", "--session", "new", "--json"], b"practice\n");
        let last = ended.stderr.lines().last().unwrap_or_default().to_owned();
        (ended.code, last)
    };
    assert!(code == Some(5) && failure.contains("factotum approve"), "{code:?} {failure}");
    let answered = program.run(&["chat", "--session", "new"], b"practice\ny\n");
    assert_eq!(answered.code, Some(0), "{answered:?}");
    assert!(answered.stdout.contains("done ("), "{answered:?}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "it waited: {:?}", begun.elapsed());
}
