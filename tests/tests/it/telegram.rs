//! Telegram at its worst, end to end: conflicts, storms of refusals, servers without drafts, answers longer than a
//! message, and what becomes of messages that come while the agent works.

use std::time::{Duration, Instant};

use harness::{
    Factotum,
    home::OWNER,
    job::{Job, WAIT},
};
use serde_json::json;
use testkit::{
    model::{Reply, SeenRequest},
    telegram::{Fault, Settings},
};

/// The longest text of a message, in UTF-16 units.
const MAX_TEXT: usize = 4096;

fn echo(request: &SeenRequest) -> Reply {
    Reply::say(format!("You said: {}", request.last_user_text()))
}

fn count(job: &Job, part: &str) -> usize {
    job.chat.messages().iter().filter(|text| text.contains(part)).count()
}

#[test]
fn a_conflict_is_never_fatal() {
    let job = Job::with_brain("anthropic", echo);
    for _ in 0..2 {
        let words = "Conflict: terminated by other getUpdates request";
        job.chat.server.fault("getUpdates", Fault::status(409, words));
    }
    let daemon = Factotum::up(&job.home);
    job.chat.say("first");
    job.chat.wait("a conflict", WAIT, |state| state.faults_left() < 2);
    let doctor = daemon.verb(&["--json", "doctor"]);
    assert!(doctor.stdout.contains("stop the other program"), "{doctor:?}");
    job.chat.wait_for_answer("You said: first", WAIT);
    assert_eq!(count(&job, "You said: first"), 1);
}

#[test]
fn a_webhook_of_an_earlier_program_is_taken_away() {
    let job = Job::with_brain("anthropic", echo);
    job.chat.server.set_webhook("https://earlier.example.test/hook");
    let _daemon = Factotum::up(&job.home);
    job.chat.say("first");
    job.chat.wait_for_answer("You said: first", WAIT);
}

#[test]
fn storms_of_refusals_lose_and_repeat_nothing() {
    let job = Job::with_brain("anthropic", echo);
    let (busy, broken) = (Fault::too_many_requests(1), Fault::status(500, "Internal Server Error"));
    for (method, faults) in [
        ("getMe", vec![busy.clone(), Fault::CloseBefore]),
        ("getUpdates", vec![busy.clone(), broken.clone(), Fault::BadGateway]),
        ("sendMessage", vec![busy, broken, Fault::CloseBefore]),
    ] {
        for fault in faults {
            job.chat.server.fault(method, fault);
        }
    }
    let daemon = Factotum::up(&job.home);
    job.chat.say("first");
    job.chat.wait_for_answer("You said: first", WAIT);
    job.chat.say("second");
    job.chat.wait_for_answer("You said: second", WAIT);
    assert_eq!(count(&job, "You said: first"), 1, "{:?}", job.chat.messages());
    assert_eq!(count(&job, "You said: second"), 1, "{:?}", job.chat.messages());
    assert_eq!(job.chat.server.state().faults_left(), 0);
    assert_eq!(job.model.request_count(), 2);
    drop(daemon.stop());
}

#[test]
fn an_answer_whose_receipt_was_lost_is_marked() {
    let job = Job::with_brain("anthropic", echo);
    job.chat.server.fault("sendMessage", Fault::CloseAfter);
    let _daemon = Factotum::up(&job.home);
    job.chat.say("first");
    let marked = job.chat.wait_for_answer("possibly sent twice", WAIT);
    assert!(marked.contains("You said: first"), "{marked}");
    assert_eq!(count(&job, "You said: first"), 2, "{:?}", job.chat.messages());
}

#[test]
fn a_token_that_is_not_accepted_is_told_and_the_rest_works() {
    let job = Job::with_brain("anthropic", echo);
    let finished = harness::process::run(
        &job.home.path(),
        &["secret", "set", "telegram-token"],
        "424242:a-token-that-was-revoked",
    );
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let daemon = Factotum::up_with(&job.home, &[("FACTOTUM_LOG", "trace")]).unwrap();
    let start = Instant::now();
    loop {
        let doctor = daemon.verb(&["--json", "doctor"]);
        if doctor.stdout.contains("does not accept the bot's token") {
            assert_eq!(doctor.code, Some(5), "{doctor:?}");
            break;
        }
        assert!(start.elapsed() < WAIT, "{doctor:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(daemon.verb(&["send", "hello"]).code, Some(0), "the command line works without Telegram");
    let errors = daemon.stop().join("\n");
    assert!(errors.contains("does not accept the bot's token"), "{errors}");
    assert!(!errors.contains("a-token-that-was-revoked"), "the token is in the log");
}

#[test]
fn the_token_is_in_no_log_however_much_is_logged() {
    let job = Job::with_brain("anthropic", echo);
    for fault in [Fault::CloseBefore, Fault::MalformedJson, Fault::BadGateway, Fault::status(404, "Not Found")] {
        job.chat.server.fault("sendMessageDraft", fault.clone());
        job.chat.server.fault("getUpdates", if fault == Fault::CloseBefore { fault } else { Fault::BadGateway });
    }
    let daemon = Factotum::up_with(&job.home, &[("FACTOTUM_LOG", "trace")]).unwrap();
    job.chat.say("first");
    job.chat.wait_for_answer("You said: first", WAIT);
    let mut told = daemon.verb(&["--json", "doctor"]).stdout;
    told.push_str(&daemon.verb(&["--json", "log", "show"]).stdout);
    told.push_str(&daemon.stop().join("\n"));
    assert!(told.contains("getUpdates") || told.contains("receiving"), "nothing was logged: {told}");
    for secret in job.secrets() {
        assert!(!told.contains(&secret), "a secret is shown");
        let half = secret.split(':').next_back().unwrap();
        assert!(!told.contains(half), "a part of a secret is shown");
    }
}

#[test]
fn without_drafts_one_message_is_edited_and_the_answer_comes_last() {
    let settings = Settings { drafts: false, ..Settings::default() };
    let job = Job::with(
        "anthropic",
        settings,
        |config| config,
        |request| match request.tool_result_count() {
            0 => Reply::call("exec", json!({ "command": "sleep 1; echo one" })),
            1 => Reply::call("exec", json!({ "command": "sleep 4; echo two" })),
            _ => Reply::say("All is done."),
        },
    );
    let _daemon = Factotum::up(&job.home);
    job.chat.say("work");
    job.chat.wait_for_answer("All is done.", WAIT);
    job.chat.wait("the progress message's last state", WAIT, |state| {
        state.sent(OWNER).iter().any(|message| message.text().contains("done in 3 steps"))
    });
    let sent = job.chat.server.sent(OWNER);
    assert_eq!(sent.len(), 2, "one message of progress and the answer: {sent:#?}");
    assert!(sent[0].earlier.iter().any(|state| state.text.contains("exec")), "{sent:#?}");
    assert!(sent[1].text().contains("All is done."), "the answer is not the last message: {sent:#?}");
    let refused = job.chat.server.calls().iter().filter(|call| call.method == "sendMessageDraft").count();
    assert_eq!(refused, 1, "a method that is missing was called again and again");
}

/// A text of several messages with code in it, in characters of two UTF-16 units each.
fn long_answer() -> String {
    let mut text = "Here it is:\n\n```python\n".to_owned();
    for line in 0..300 {
        text.push_str(&format!("print('{line} 🦀🦀🦀🦀🦀🦀🦀🦀')\n"));
    }
    text.push_str("```\n\nThat was all of it.");
    text
}

#[test]
fn a_long_answer_is_split_and_every_piece_of_code_stays_code() {
    let job = Job::with_brain("anthropic", |_| Reply::say(long_answer()));
    let _daemon = Factotum::up(&job.home);
    job.chat.say("show me");
    job.chat.wait_for_answer("That was all of it.", WAIT);
    let sent = job.chat.server.sent(OWNER);
    assert!(sent.len() >= 2, "{} messages", sent.len());
    let mut next = 0;
    for message in &sent {
        assert!(message.text().encode_utf16().count() <= MAX_TEXT);
        assert!(!message.text().contains("```"), "a fence is shown as text: {}", message.text());
        let code = message.now.entities.iter().filter(|entity| entity["type"] == "pre").count();
        assert_eq!(code, 1, "the code of this piece is not marked as code: {message:#?}");
        while message.text().contains(&format!("print('{next} ")) {
            next += 1;
        }
    }
    assert_eq!(next, 300, "lines are missing or out of order");
    let plain: Vec<_> = job.chat.server.calls().into_iter().filter(|call| call.status == Some(400)).collect();
    assert!(plain.is_empty(), "Telegram refused something: {plain:?}");
}

/// Works for a while in its first step, and then tells all that it was asked.
fn busy() -> Job {
    Job::with_brain("anthropic", |request| {
        let asked = request.user_texts().join(" / ");
        if request.last_user_text().contains("begin") && request.step() == 0 {
            return Reply::call("exec", json!({ "command": "echo started >> .git/effects.log; sleep 3" }));
        }
        Reply::say(format!("Heard [{asked}]"))
    })
}

fn wait_until_busy(job: &Job) {
    let start = Instant::now();
    while job.repository.effects().is_empty() {
        assert!(start.elapsed() < WAIT, "it did not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_message_steers_the_running_task() {
    let job = busy();
    let _daemon = Factotum::up(&job.home);
    job.chat.say("begin");
    wait_until_busy(&job);
    job.chat.say("in blue");
    let answer = job.chat.wait_for_answer("Heard", WAIT);
    assert!(answer.contains("begin") && answer.contains("in blue"), "{answer}");
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(count(&job, "Heard"), 1, "{:?}", job.chat.messages());
    assert_eq!(job.repository.effects(), ["started"]);
}

#[test]
fn a_queued_message_waits_for_the_end_of_the_task() {
    let job = busy();
    let _daemon = Factotum::up(&job.home);
    job.chat.say("begin");
    wait_until_busy(&job);
    job.chat.say("/queue in green");
    job.chat.wait("two answers", WAIT, |state| {
        state.sent(OWNER).iter().filter(|message| message.text().contains("Heard")).count() == 2
    });
    let heard: Vec<String> = job.chat.messages().into_iter().filter(|text| text.contains("Heard")).collect();
    assert!(!heard[0].contains("in green"), "{heard:?}");
    assert!(heard[1].contains("in green") && !heard[1].contains("/queue"), "{heard:?}");
}

#[test]
fn an_interrupting_message_replaces_the_task() {
    let job = Job::with_brain("anthropic", |request| {
        if request.last_user_text().contains("begin") && request.step() == 0 {
            return Reply::call(
                "exec",
                json!({ "command": "echo started >> .git/effects.log; sleep 30; echo late >> .git/effects.log" }),
            );
        }
        Reply::say(format!("Heard [{}]", request.last_user_text()))
    });
    let _daemon = Factotum::up(&job.home);
    job.chat.say("begin");
    wait_until_busy(&job);
    let start = Instant::now();
    job.chat.say("/interrupt something else");
    job.chat.wait_for_answer("Heard [", WAIT);
    assert!(start.elapsed() < Duration::from_secs(8), "it took {:?}", start.elapsed());
    let heard = job.chat.wait_for_answer("something else", WAIT);
    assert!(!heard.contains("/interrupt"), "{heard}");
    assert_eq!(job.repository.effects(), ["started"]);
}

#[test]
fn an_update_that_comes_twice_is_taken_once() {
    let job = Job::with_brain("anthropic", echo);
    job.chat.server.fault("getUpdates", Fault::DuplicateUpdates);
    job.chat.server.fault("getUpdates", Fault::CloseAfter);
    job.chat.say("first");
    let _daemon = Factotum::up(&job.home);
    job.chat.wait_for_answer("You said: first", WAIT);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(count(&job, "You said: first"), 1, "{:?}", job.chat.messages());
    assert_eq!(job.model.request_count(), 1);
}

#[test]
fn whoever_is_taken_off_the_list_meets_silence_at_once() {
    let job = Job::with_brain("anthropic", echo);
    let daemon = Factotum::up(&job.home);
    job.chat.say("first");
    job.chat.wait_for_answer("You said: first", WAIT);
    let path = job.home.path().join("config.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replace(&format!("allow = [{OWNER}]"), "allow = [777]")).unwrap();
    let other = job.home.beside("other");
    std::fs::create_dir_all(&other).unwrap();
    // Changing the workspaces makes the daemon read its configuration again.
    let added = daemon.verb(&["workspace", "add", "other", &other.display().to_string()]);
    assert_eq!(added.code, Some(0), "{added:?}");
    let before = job.chat.outgoing().len();
    job.chat.say("second");
    job.chat.wait("reading it", WAIT, |state| state.pending().is_empty());
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(job.chat.outgoing().len(), before, "{:?}", job.chat.outgoing());
    assert_eq!(job.model.request_count(), 1);
}
