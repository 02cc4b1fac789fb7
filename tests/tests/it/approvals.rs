//! Approvals on the messenger, end to end: what is asked, who may answer, how often, and what becomes of the buttons.

use std::time::Duration;

use harness::{
    Factotum,
    home::OWNER,
    job::{Job, WAIT},
};
use serde_json::{Value, json};
use testkit::{
    model::{Reply, SeenRequest},
    telegram::Settings,
};

const STRANGER: i64 = 666;
/// Long enough for anything that is not meant to happen.
const QUIET: Duration = Duration::from_millis(700);
/// Leaves a mark each time it runs, and destroys, so that the owner is asked.
const COMMAND: &str = "echo ran >> .git/effects.log; rm -rf build";

/// Wants to run the command once for each message, and repeats what came of it.
fn brain(request: &SeenRequest) -> Reply {
    match request.last_tool_results().pop() {
        Some(result) => Reply::say(format!("The call ended: {}", result.content)),
        None => Reply::call("exec", json!({ "command": COMMAND })),
    }
}

fn scene() -> Job {
    Job::with_brain("anthropic", brain)
}

/// The texts of the answers to pressed buttons, in order.
fn answered(job: &Job) -> Vec<String> {
    let calls = job.chat.server.calls().into_iter().filter(|call| call.method == "answerCallbackQuery");
    calls.map(|call| call.body["text"].as_str().unwrap_or_default().to_owned()).collect()
}

fn press_is_answered(job: &Job, press: &str) {
    job.chat.wait("the answer to a press", WAIT, |state| state.is_answered(press));
}

fn open_approvals(daemon: &Factotum) -> Vec<Value> {
    let listed = daemon.verb(&["--json", "approvals"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    serde_json::from_str(&listed.stdout).unwrap()
}

#[test]
fn a_press_approves_once_and_the_buttons_go() {
    let job = scene();
    let daemon = Factotum::up(&job.home);
    job.chat.say("clean up");
    let asked = job.chat.wait_for_buttons(WAIT);
    let question = job.chat.messages().into_iter().find(|text| text.contains("Approval")).unwrap();
    assert!(question.contains("rm -rf build"), "the call is not shown: {question}");
    assert!(question.contains("billing"), "the workspace is not shown: {question}");
    assert_eq!(job.repository.effects(), Vec::<String>::new(), "it ran before anybody approved it");
    let press = job.chat.press(&asked, "Approve");
    job.chat.wait_for_answer("The call ended", WAIT);
    press_is_answered(&job, &press);
    job.chat.wait_for_no_buttons(WAIT);
    assert_eq!(job.repository.effects(), ["ran"]);

    let settled = job.chat.server.sent(OWNER).into_iter().find(|message| message.id == asked.0).unwrap();
    assert!(settled.text().contains("approved"), "{settled:?}");
    let again = job.chat.press(&asked, "Approve");
    press_is_answered(&job, &again);
    let denied = job.chat.press(&asked, "Deny");
    press_is_answered(&job, &denied);
    assert!(answered(&job)[1..].iter().all(|text| text.contains("settled before")), "{:?}", answered(&job));
    std::thread::sleep(QUIET);
    assert_eq!(job.repository.effects(), ["ran"], "a second press ran it again");
    assert_eq!(open_approvals(&daemon), Vec::<Value>::new());
    let last = job.chat.messages().pop().unwrap();
    assert!(last.contains("The call ended"), "the answer is the last message: {:?}", job.chat.messages());
    assert_eq!(daemon.verb(&["log", "verify"]).code, Some(0));
}

#[test]
fn a_denied_call_does_not_run_and_the_model_is_told() {
    let job = scene();
    let _daemon = Factotum::up(&job.home);
    job.chat.say("clean up");
    let asked = job.chat.wait_for_buttons(WAIT);
    let press = job.chat.press(&asked, "Deny");
    let answer = job.chat.wait_for_answer("The call ended", WAIT);
    assert!(answer.contains("the owner said no"), "{answer}");
    press_is_answered(&job, &press);
    job.chat.wait_for_no_buttons(WAIT);
    job.chat.wait_for_answer("denied", WAIT);
    assert_eq!(job.repository.effects(), Vec::<String>::new());
}

#[test]
fn an_old_button_does_not_approve_a_new_call() {
    let job = scene();
    let daemon = Factotum::up(&job.home);
    job.chat.say("clean up");
    let first = job.chat.wait_for_buttons(WAIT);
    job.chat.press(&first, "Approve");
    job.chat.wait_for_answer("The call ended", WAIT);
    job.chat.wait_for_no_buttons(WAIT);
    job.chat.say("and again");
    let second = job.chat.wait_for_buttons(WAIT);
    assert_ne!(first.1, second.1, "a nonce was used twice");
    let replayed = job.chat.press(&first, "Approve");
    press_is_answered(&job, &replayed);
    std::thread::sleep(QUIET);
    assert_eq!(job.repository.effects(), ["ran"], "an old approval lifted a new call");
    assert_eq!(open_approvals(&daemon).len(), 1);
}

#[test]
fn nobody_answers_and_it_expires() {
    let short = |config: String| config.replace("[agent]\n", "[agent]\napproval_timeout_s = 2\n");
    let job = Job::with("anthropic", Settings::default(), short, brain);
    let daemon = Factotum::up(&job.home);
    job.chat.say("clean up");
    let asked = job.chat.wait_for_buttons(WAIT);
    let answer = job.chat.wait_for_answer("The call ended", WAIT);
    assert!(answer.contains("in time"), "{answer}");
    job.chat.wait_for_no_buttons(WAIT);
    let late = job.chat.press(&asked, "Approve");
    press_is_answered(&job, &late);
    std::thread::sleep(QUIET);
    assert_eq!(job.repository.effects(), Vec::<String>::new());
    assert_eq!(open_approvals(&daemon), Vec::<Value>::new());
}

#[test]
fn a_strangers_press_is_met_with_silence() {
    let job = scene();
    let daemon = Factotum::up(&job.home);
    job.chat.say("clean up");
    let asked = job.chat.wait_for_buttons(WAIT);
    std::thread::sleep(QUIET);
    let before = job.chat.outgoing();
    let data = &asked.1.iter().find(|button| button.text == "Approve").unwrap().data;
    // From the stranger's own chat, from the owner's chat, and by the owner in a group.
    job.chat.server.push_callback(STRANGER, asked.0, data);
    job.chat.server.push_callback_in(STRANGER, OWNER, asked.0, data);
    job.chat.server.push_group(STRANGER, -100, "supergroup", "press it");
    job.chat.server.push_callback_in(OWNER, -100, asked.0, data);
    job.chat.wait("reading it all", WAIT, |state| state.pending().is_empty());
    std::thread::sleep(QUIET);
    let since = job.chat.outgoing().split_off(before.len());
    assert!(since.iter().all(|call| call.starts_with("sendChatAction")), "something was said: {since:?}");
    assert_eq!(job.repository.effects(), Vec::<String>::new());
    assert_eq!(open_approvals(&daemon).len(), 1, "a stranger's press settled it");
    job.chat.press(&asked, "Approve");
    job.chat.wait_for_answer("The call ended", WAIT);
    assert_eq!(job.repository.effects(), ["ran"]);
}

#[test]
fn an_answer_from_the_command_line_takes_the_buttons_away() {
    for (verb, effects) in [("approve", &["ran"][..]), ("deny", &[])] {
        let job = scene();
        let daemon = Factotum::up(&job.home);
        job.chat.say("clean up");
        job.chat.wait_for_buttons(WAIT);
        let id = open_approvals(&daemon)[0]["id"].to_string();
        let answered = daemon.verb(&[verb, &id]);
        assert_eq!(answered.code, Some(0), "{answered:?}");
        job.chat.wait_for_no_buttons(WAIT);
        job.chat.wait_for_answer("The call ended", WAIT);
        assert_eq!(job.repository.effects(), effects);
        let twice = daemon.verb(&["approve", &id]);
        assert_eq!(twice.code, Some(2), "{twice:?}");
        assert!(twice.stderr.contains("settled before"), "{twice:?}");
    }
}

#[test]
fn a_stopped_task_takes_its_question_back() {
    let job = scene();
    let _daemon = Factotum::up(&job.home);
    job.chat.say("clean up");
    let asked = job.chat.wait_for_buttons(WAIT);
    job.chat.say("/stop");
    job.chat.wait_for_no_buttons(WAIT);
    let late = job.chat.press(&asked, "Approve");
    press_is_answered(&job, &late);
    std::thread::sleep(QUIET);
    assert_eq!(job.repository.effects(), Vec::<String>::new());
}

/// The daemon ends while the question is open and comes back.
fn restarted(end: impl Fn(Factotum)) {
    let job = scene();
    let daemon = Factotum::up(&job.home);
    job.chat.say("clean up");
    let asked = job.chat.wait_for_buttons(WAIT);
    std::thread::sleep(Duration::from_millis(300));
    end(daemon);
    let daemon = Factotum::up(&job.home);
    assert_eq!(open_approvals(&daemon).len(), 1, "the question was lost");
    let press = job.chat.press(&asked, "Approve");
    job.chat.wait_for_answer("The call ended", WAIT);
    press_is_answered(&job, &press);
    job.chat.wait_for_no_buttons(WAIT);
    assert_eq!(job.repository.effects(), ["ran"]);
    let questions = job.chat.messages().iter().filter(|text| text.starts_with("Approval")).count();
    assert_eq!(questions, 1, "it was asked twice: {:?}", job.chat.messages());
    let answers = job.chat.messages().iter().filter(|text| text.contains("The call ended")).count();
    assert_eq!(answers, 1, "{:?}", job.chat.messages());
}

#[test]
fn an_open_question_survives_a_kill() {
    restarted(|mut daemon| daemon.kill());
}

#[test]
fn an_open_question_survives_an_orderly_restart() {
    restarted(|daemon| drop(daemon.stop()));
}

#[test]
fn a_press_that_falls_between_two_runs_counts() {
    let job = scene();
    let mut daemon = Factotum::up(&job.home);
    job.chat.say("clean up");
    let asked = job.chat.wait_for_buttons(WAIT);
    std::thread::sleep(Duration::from_millis(300));
    daemon.kill();
    job.chat.press(&asked, "Approve");
    let _daemon = Factotum::up(&job.home);
    job.chat.wait_for_answer("The call ended", WAIT);
    job.chat.wait_for_no_buttons(WAIT);
    assert_eq!(job.repository.effects(), ["ran"]);
}

/// Changes the database from outside, as a full disk would: nothing can be owed to a messenger while it is so.
fn disturb(job: &Job, sql: &str) {
    let script = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=10).executescript(sys.argv[2])";
    let database = job.home.path().join("factotum.db");
    let ended = std::process::Command::new("python3").args(["-c", script]).arg(database).arg(sql).status().unwrap();
    assert!(ended.success());
}

#[test]
fn a_question_that_could_not_be_put_is_put_later() {
    let job = scene();
    let daemon = Factotum::up(&job.home);
    job.chat.wait_until_polling();
    disturb(&job, "CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'full'); END");
    job.chat.say("clean up");
    let start = std::time::Instant::now();
    while open_approvals(&daemon).is_empty() {
        assert!(start.elapsed() < WAIT, "nothing was asked");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(QUIET);
    assert_eq!(job.chat.messages(), Vec::<String>::new());
    disturb(&job, "DROP TRIGGER full");
    let asked = job.chat.wait_for_buttons(Duration::from_secs(10));
    job.chat.press(&asked, "Approve");
    job.chat.wait_for_answer("The call ended", WAIT);
    assert_eq!(job.repository.effects(), ["ran"]);
}

#[test]
fn a_question_that_was_sent_twice_closes_in_both_places() {
    let job = scene();
    let mut daemon = Factotum::up_with(&job.home, &[("FACTOTUM_CRASH_AT", "point:outbox-sent:1")]).unwrap();
    job.chat.say("clean up");
    let first = job.chat.wait_for_buttons(WAIT);
    assert!(daemon.wait_end(WAIT), "the crash did not come");
    let _daemon = Factotum::up(&job.home);
    job.chat.wait_for_answer("possibly sent twice", WAIT);
    let second = job.chat.wait_for_buttons(WAIT);
    assert_ne!(first.0, second.0);
    job.chat.press(&second, "Approve");
    job.chat.wait_for_answer("The call ended", WAIT);
    job.chat.press(&first, "Approve");
    job.chat.wait_for_no_buttons(WAIT);
    assert_eq!(job.repository.effects(), ["ran"]);
}

#[test]
fn an_answer_in_words_counts_once_even_if_it_comes_again() {
    let job = Job::with_brain("anthropic", |request| match request.last_tool_results().pop() {
        Some(result) => Reply::say(format!("I was told: {}", result.content)),
        None if request.last_user_text().starts_with("paint") => {
            Reply::call("ask", json!({ "question": "which colour?" }))
        }
        None => Reply::say(format!("A new message: {}", request.last_user_text())),
    });
    let _daemon = Factotum::up(&job.home);
    job.chat.say("paint");
    job.chat.wait_for_answer("which colour?", WAIT);
    std::thread::sleep(QUIET);
    // The answer can be stored, but not that we owe a word for it: Telegram gives the message again.
    disturb(&job, "CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'full'); END");
    job.chat.say("violet");
    std::thread::sleep(Duration::from_secs(3));
    disturb(&job, "DROP TRIGGER full");
    job.chat.wait_for_answer("I was told:", WAIT);
    job.chat.wait("reading it", WAIT, |state| state.pending().is_empty());
    std::thread::sleep(QUIET);
    let new = job.chat.messages().into_iter().filter(|text| text.contains("A new message")).collect::<Vec<_>>();
    assert_eq!(new, Vec::<String>::new(), "the answer was taken for a message as well");
    let last = job.model.requests().pop().unwrap();
    assert!(!last.user_texts().iter().any(|text| text.contains("violet")), "{:?}", last.user_texts());
}
