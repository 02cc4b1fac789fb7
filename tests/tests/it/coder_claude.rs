//! The real Claude Code through our sandbox, supervisor and proxy, at a vendor that is played: a job in a git repository, and
//! all the ways in which it and the daemon can be disturbed.

use coders::{CoderCommand, CoderEnd, Verdict};
use harness::{
    census::wait_until_gone,
    coders::CLAUDE,
    played::{conversation, done, end, is_question, play, question},
    scenes::{goes_on_when_the_daemon_is_killed, is_steered_denied_and_interrupted, mends_a_repository},
};
use testkit::model::{Reply, SeenRequest};

#[test]
fn it_mends_a_repository() {
    mends_a_repository(CLAUDE, "coder_claude::it_mends_a_repository", |_| ());
}

#[test]
fn it_can_be_steered_denied_and_interrupted() {
    is_steered_denied_and_interrupted(CLAUDE, "coder_claude::it_can_be_steered_denied_and_interrupted");
}

#[test]
fn it_goes_on_when_the_daemon_is_killed() {
    goes_on_when_the_daemon_is_killed(CLAUDE, "coder_claude::it_goes_on_when_the_daemon_is_killed");
}

#[test]
fn an_interrupt_ends_the_tool_and_leaves_the_program() {
    let brain = |request: &SeenRequest| {
        if request.contains("go on") { Reply::say("Here I am.") } else { CLAUDE.runs("echo begun > log; sleep 600") }
    };
    play(CLAUDE, "coder_claude::an_interrupt_ends_the_tool_and_leaves_the_program", brain, |scene| {
        scene.start("sleep", None);
        let asked = question(&scene.until(is_question));
        scene.answer_permission(&asked, Verdict::Allow);
        scene.wait_for_file("log", "begun\n");
        scene.tell(CoderCommand::Interrupt);
        assert_eq!(*end(&scene.to_the_end()), CoderEnd::Interrupted);
        scene.tell(CoderCommand::Prompt { text: "go on".to_owned() });
        assert_eq!(*end(&scene.to_the_end()), done("Here I am."));
        wait_until_gone(&["sleep 600"]);
    });
}

#[test]
fn a_conversation_is_resumed_in_another_sandbox() {
    let brain = |request: &SeenRequest| {
        let knows = request.contains("the word is mango");
        if request.contains("which word") && knows { Reply::say("mango") } else { Reply::say("I keep it in mind.") }
    };
    play(CLAUDE, "coder_claude::a_conversation_is_resumed_in_another_sandbox", brain, |scene| {
        scene.start("the word is mango", None);
        let said = scene.to_the_end();
        let session = conversation(&said);
        let before = scene.spent();
        // It is killed, and has then forgotten what it had used.
        scene.end();
        scene.attach();
        scene.start("which word?", Some(&session));
        let said = scene.to_the_end();
        assert_eq!(*end(&said), done("mango"));
        let after = scene.spent();
        assert!(after.usage.context() > before.usage.context() && after.cost > before.cost, "{before:?} {after:?}");
    });
}
