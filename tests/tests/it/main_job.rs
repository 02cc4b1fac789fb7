//! The main job: failing tests are found, mended and committed, asked for from a messenger and from the command line.

use std::time::Duration;

use harness::{
    Factotum, Repository,
    job::{Job, WAIT},
};

const ASK: &str = "fix the failing tests";

fn check_repository(repository: &Repository) {
    assert_eq!(repository.commits(), 2, "exactly one commit was made");
    assert!(repository.tests_pass());
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
    let effects = repository.effects();
    let mut unique = effects.clone();
    unique.dedup();
    assert_eq!(effects, unique, "an effect was repeated");
}

#[test]
fn from_telegram() {
    for dialect in ["anthropic", "openai-chat"] {
        let job = Job::new(dialect);
        let _daemon = Factotum::up(&job.home);
        job.chat.say(ASK);
        let answer = job.chat.wait_for_answer("All tests pass", WAIT);
        check_repository(&job.repository);
        assert!(answer.contains("billing.py"), "{answer}");
        assert!(answer.contains("1 file changed"), "the diff stat is missing: {answer}");
        assert!(job.chat.saw_progress("exec"), "no progress was seen: {:?}", job.chat.outgoing());
        assert_eq!(job.model.violations(), Vec::<String>::new());
    }
}

#[test]
fn from_the_command_line() {
    let job = Job::new("anthropic");
    let daemon = Factotum::up(&job.home);
    let finished = daemon.verb(&["send", ASK]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stdout.contains("All tests pass"), "{finished:?}");
    assert!(finished.stdout.contains("1 file changed"), "{finished:?}");
    assert!(finished.stderr.contains("exec"), "progress goes to standard error: {finished:?}");
    check_repository(&job.repository);
    let verified = daemon.verb(&["log", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn over_every_interface() {
    // The others are asked from the messenger.
    for dialect in ["openai-responses", "gemini", "ollama"] {
        let job = Job::new(dialect);
        let daemon = Factotum::up(&job.home);
        let finished = daemon.verb(&["send", ASK]);
        assert_eq!(finished.code, Some(0), "{dialect}: {finished:?}");
        assert!(finished.stdout.contains("All tests pass"), "{dialect}: {finished:?}");
        check_repository(&job.repository);
        // Five turns with tools, each by the vendor's published rules.
        assert_eq!(job.model.request_count(), 6, "{dialect}");
        assert_eq!(job.model.violations(), Vec::<String>::new(), "{dialect}");
    }
}

#[test]
fn undo_puts_the_workspace_back() {
    let job = Job::new("anthropic");
    let daemon = Factotum::up(&job.home);
    assert_eq!(daemon.verb(&["send", ASK]).code, Some(0));
    assert_eq!(job.repository.commits(), 2);
    let undone = daemon.verb(&["undo", "--workspace", "billing"]);
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert_eq!(job.repository.commits(), 1);
    assert!(!job.repository.tests_pass());
    assert_eq!(job.repository.effects(), Vec::<String>::new());
}

#[test]
fn a_conversation_goes_on_from_another_channel() {
    let job = Job::new("anthropic");
    let daemon = Factotum::up(&job.home);
    job.chat.say(ASK);
    job.chat.wait_for_answer("All tests pass", WAIT);
    assert_eq!(daemon.verb(&["send", "thanks"]).code, Some(0));
    let last = job.model.requests().pop().unwrap();
    assert!(last.contains(ASK), "the same conversation went on");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(job.chat.messages().iter().filter(|text| text.contains("All tests pass")).count(), 1);
}
