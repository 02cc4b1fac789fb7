//! `kill -9` at every commit of a job in which the owner is asked, right before and right after. Whenever it falls, the
//! question is put once, the answer counts whether it is given before or after the restart, and what was approved runs at
//! most once.
//!
//! The points are counted in a run without a crash, then enumerated.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use harness::{
    Factotum,
    home::OWNER,
    job::{Job, WAIT},
};
use serde_json::json;
use testkit::{model::Reply, telegram::Button};

const ASK: &str = "clean up";
/// Begins the answer of the scripted model, with what came of the call.
const ENDED: &str = "The call ended";
/// Leaves a mark each time it runs, and destroys, so that the owner is asked.
const COMMAND: &str = "echo ran >> .git/effects.log; rm -rf build";
/// What the model is told of a call that was running when the daemon died.
const LOST: &str = "NOT repeated";
/// The mark on a message that may stand in the chat twice.
const REPEAT_MARK: &str = "possibly sent twice";
/// How long after the question, or after the answer, a crash may still come.
const QUIET: Duration = Duration::from_millis(400);

fn scene() -> Job {
    Job::with_brain("anthropic", |request| match request.last_tool_results().pop() {
        Some(result) => Reply::say(format!("{ENDED}: {}", result.content)),
        None => Reply::call("exec", json!({ "command": COMMAND })),
    })
}

/// The messages of the bot that have buttons at present.
fn open_questions(job: &Job) -> Vec<(i64, Vec<Button>)> {
    let sent = job.chat.server.sent(OWNER).into_iter().filter(|message| !message.buttons().is_empty());
    sent.map(|message| (message.id, message.buttons().to_vec())).collect()
}

/// How many commits the whole job takes, from the start of the daemon to the record of the answer's delivery.
fn count_commits() -> usize {
    let job = scene();
    let counter = job.home.beside("commits");
    let _daemon = Factotum::up_with(&job.home, &[("FACTOTUM_CRASH_COUNT", counter.to_str().unwrap())]).unwrap();
    job.chat.say(ASK);
    let asked = job.chat.wait_for_buttons(WAIT);
    std::thread::sleep(QUIET);
    job.chat.press(&asked, "Approve");
    job.chat.wait_for_answer(ENDED, WAIT);
    std::thread::sleep(QUIET);
    std::fs::read_to_string(counter).unwrap().trim().parse().unwrap()
}

/// Waits until the daemon has died (true) or `seen` holds and has held for a while (false).
fn dies(daemon: &mut Factotum, point: &str, seen: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !seen() {
        if daemon.has_ended() {
            return true;
        }
        assert!(start.elapsed() < WAIT, "{point}: neither a crash nor what was to come");
        std::thread::sleep(Duration::from_millis(5));
    }
    daemon.wait_end(QUIET)
}

/// Runs the job with a crash at `point`; true when the crash came. Where it comes while the question is open, the owner
/// approves before the restart at one half of the points, and after it at the other.
fn crash_at(point: &str) -> bool {
    let job = scene();
    job.chat.say(ASK);
    let (mut crashed, mut pressed) = (true, false);
    if let Ok(mut first) = Factotum::up_with(&job.home, &[("FACTOTUM_CRASH_AT", point)]) {
        crashed = dies(&mut first, point, || !open_questions(&job).is_empty());
        let question = open_questions(&job).pop();
        if let Some(question) = question
            && (!crashed || point.starts_with("before"))
        {
            job.chat.press(&question, "Approve");
            pressed = true;
        }
        if !crashed {
            crashed = dies(&mut first, point, || job.chat.messages().iter().any(|text| text.contains(ENDED)));
        }
        first.kill();
    }
    finish(&job, point, pressed);
    crashed
}

/// Starts the daemon again and checks that the job ends once.
fn finish(job: &Job, point: &str, pressed: bool) {
    let daemon = Factotum::up(&job.home);
    if !pressed {
        let question = job.chat.wait_for_buttons(WAIT);
        job.chat.press(&question, "Approve");
    }
    let answer = job.chat.wait_for_answer(ENDED, WAIT);
    // Whatever would run or be delivered twice does so within this time.
    std::thread::sleep(QUIET);
    let ran = job.repository.effects();
    assert!(ran.len() <= 1, "{point}: it ran twice: {ran:?}");
    assert!(ran.len() == 1 || answer.contains(LOST), "{point}: approved, but it did not run: {answer}");
    assert!(!answer.contains("the owner said no") && !answer.contains("in time"), "{point}: {answer}");

    sent_once(job, point, "Approval 1 needed");
    sent_once(job, point, ENDED);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for message in sent(job) {
        *seen.entry(message).or_default() += 1;
    }
    assert!(seen.values().all(|count| *count == 1), "{point}: a message was sent twice and unmarked: {seen:?}");
    // A question that was sent twice closes in the other place once somebody presses there.
    for question in open_questions(job) {
        job.chat.press(&question, "Approve");
    }
    job.chat.wait_for_no_buttons(WAIT);
    assert_eq!(job.repository.effects(), ran, "{point}: a press on a settled question ran it");
    let open = daemon.verb(&["--json", "approvals"]);
    assert_eq!(open.stdout.trim(), "[]", "{point}: {open:?}");
    assert_eq!(job.model.violations(), Vec::<String>::new(), "{point}");
    let log = daemon.verb(&["log", "verify"]);
    assert_eq!(log.code, Some(0), "{point}: {log:?}");
}

/// Every message as it was sent. In the chat a question's text gives way to how it was settled.
fn sent(job: &Job) -> Vec<String> {
    job.chat.outgoing().into_iter().filter(|call| call.starts_with("sendMessage ")).collect()
}

/// A message with this part was sent once, or twice when the second says so.
fn sent_once(job: &Job, point: &str, part: &str) {
    let found: Vec<_> = sent(job).into_iter().filter(|text| text.contains(part)).collect();
    let marked = found.iter().filter(|text| text.contains(REPEAT_MARK)).count();
    assert!(found.len() == 1 || (found.len() == 2 && marked == 1), "{point}: {found:#?}");
}

crate::shares::in_four_shares!(count_commits, crash_at);
