//! `kill -9` at every commit of the main job's journal, right before and right after, and between a messenger's
//! acceptance and our record of it. After a restart the job ends as if nothing had happened.
//!
//! The points are counted in a run without a crash, then enumerated.

use std::{collections::BTreeMap, time::Duration};

use harness::{
    Factotum, home,
    job::{Job, WAIT},
};

const ASK: &str = "fix the failing tests";
/// The mark on a message that may stand in the chat twice.
const REPEAT_MARK: &str = "possibly sent twice";

/// How many commits the whole job takes, from the start of the daemon to the answer in the chat.
fn count_commits() -> usize {
    let job = Job::new("anthropic");
    let counter = job.home.beside("commits");
    let _daemon = Factotum::up_with(&job.home, &[("FACTOTUM_CRASH_COUNT", counter.to_str().unwrap())]).unwrap();
    job.chat.say(ASK);
    job.chat.wait_for_answer("All tests pass", WAIT);
    // What follows the answer is the record of its delivery.
    std::thread::sleep(Duration::from_millis(500));
    std::fs::read_to_string(counter).unwrap().trim().parse().unwrap()
}

/// Runs the job with a crash at `point`; true when the crash came.
fn crash_at(point: &str) -> bool {
    let job = Job::new("anthropic");
    let Ok(mut first) = Factotum::up_with(&job.home, &[("FACTOTUM_CRASH_AT", point)]) else {
        // It died before it was ready; the message finds the next one.
        job.chat.say(ASK);
        finish(&job, point);
        return true;
    };
    job.chat.say(ASK);
    let crashed = first.wait_end(Duration::from_secs(if point.starts_with("point") { 8 } else { 15 }));
    first.kill();
    finish(&job, point);
    crashed
}

/// Starts the daemon again and checks that the job ends once.
fn finish(job: &Job, point: &str) {
    let daemon = Factotum::up(&job.home);
    let answer = job.chat.wait_for_answer("All tests pass", WAIT);
    // Whatever would be delivered twice arrives within this time.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(job.repository.commits(), 2, "{point}: one commit");
    assert!(job.repository.tests_pass(), "{point}");
    assert_eq!(job.repository.git(&["status", "--porcelain"]), "", "{point}");
    let mut marks: BTreeMap<String, usize> = BTreeMap::new();
    for effect in job.repository.effects() {
        *marks.entry(effect).or_default() += 1;
    }
    assert!(marks.values().all(|count| *count == 1), "{point}: an effect was repeated: {marks:?}");
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for message in job.chat.messages() {
        *seen.entry(message).or_default() += 1;
    }
    let repeated: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    assert!(repeated.is_empty(), "{point}: a message stands twice and unmarked: {repeated:?}");
    let answers = job.chat.messages().into_iter().filter(|text| text.contains("All tests pass")).count();
    let marked = job.chat.messages().into_iter().filter(|text| text.contains(REPEAT_MARK)).count();
    assert!(answers == 1 || (answers == 2 && marked == 1), "{point}: {answers} answers, {marked} marked: {answer}");
    assert_eq!(job.model.violations(), Vec::<String>::new(), "{point}");
    let log = daemon.verb(&["log", "verify"]);
    assert_eq!(log.code, Some(0), "{point}: {log:?}");
}

crate::shares::in_four_shares!(count_commits, crash_at);

#[test]
fn between_the_messengers_acceptance_and_our_record() {
    assert!(crash_at("point:outbox-sent:1"), "the point was reached");
}

#[test]
fn restarts_do_not_forget_what_was_spent() {
    let job = Job::new("anthropic");
    let mut first = Factotum::up_with(&job.home, &[("FACTOTUM_CRASH_AT", "after:8")]).unwrap();
    job.chat.say(ASK);
    assert!(first.wait_end(Duration::from_secs(15)));
    let _second = Factotum::up(&job.home);
    job.chat.wait_for_answer("All tests pass", WAIT);
    let cost = harness::process::run(&job.home.path(), &["send", "/cost"], "");
    assert!(cost.stdout.contains('$') && !cost.stdout.contains("$0.0000"), "{cost:?}");
    assert!(!format!("{cost:?}").contains(home::KEY));
}
