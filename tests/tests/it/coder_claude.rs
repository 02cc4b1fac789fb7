//! The real Claude Code through our sandbox, supervisor and proxy, at a vendor that is played: a job in a git repository, and
//! all the ways in which it and the daemon can be disturbed.

use std::time::Duration;

use coders::{CoderCommand, CoderEnd, CoderEvent, Verdict};
use harness::{
    coder::Scene,
    coders::CLAUDE,
    played::{done, end, has_mended, is_end, mends, play},
};
use testkit::model::{Fault, Reply, SeenRequest};

#[test]
fn it_mends_a_repository() {
    play(CLAUDE, "coder_claude::it_mends_a_repository", mends(CLAUDE), |scene| {
        scene.start("make the tests pass", None);
        let said = scene.to_the_end();
        has_mended(scene, &said);
    });
}

/// The permission that it asks for next.
fn asked(scene: &mut Scene) -> String {
    match scene.until(|event| matches!(event, CoderEvent::PermissionAsked(_))).pop() {
        Some(CoderEvent::PermissionAsked(asked)) => asked.id,
        other => panic!("{other:?}"),
    }
}

/// How often a file has been added to.
fn lines(scene: &Scene, file: &str) -> usize {
    std::fs::read_to_string(scene.tree().join(file)).unwrap_or_default().lines().count()
}

/// Long enough for a tool to be in the middle of its work.
fn midst() {
    std::thread::sleep(Duration::from_millis(800));
}

#[test]
fn a_word_in_the_middle_reaches_its_model() {
    let brain = |request: &SeenRequest| match request.tool_result_count() {
        0 => CLAUDE.runs("echo one >> steps"),
        1 if request.contains("make it blue") => CLAUDE.runs("echo blue >> steps"),
        2 => Reply::say("Blue."),
        _ => Reply::say("Nobody told me."),
    };
    play(CLAUDE, "coder_claude::a_word_in_the_middle_reaches_its_model", brain, |scene| {
        scene.start("paint it", None);
        let permission = asked(scene);
        scene.tell(CoderCommand::Steer { text: "make it blue".to_owned() });
        scene.answer_permission(&permission, Verdict::Allow);
        assert_eq!(*end(&scene.to_the_end()), done("Blue."));
        assert_eq!(lines(scene, "steps"), 2);
    });
}

#[test]
fn what_is_denied_is_not_done() {
    let brain = |request: &SeenRequest| match request.last_tool_results().first() {
        None => CLAUDE.runs("echo one >> steps"),
        Some(result) if result.is_error && result.content.contains("not today") => Reply::say("Then not."),
        Some(result) => Reply::say(result.content.clone()),
    };
    play(CLAUDE, "coder_claude::what_is_denied_is_not_done", brain, |scene| {
        scene.start("take a step", None);
        let permission = asked(scene);
        scene.answer_permission(&permission, Verdict::Deny { why: "not today".to_owned() });
        assert_eq!(*end(&scene.to_the_end()), done("Then not."));
        assert_eq!(lines(scene, "steps"), 0);
    });
}

#[test]
fn an_interrupt_ends_the_tool_and_leaves_the_program() {
    let brain = |request: &SeenRequest| {
        if request.contains("go on") { Reply::say("Here I am.") } else { CLAUDE.runs("sleep 2; echo late >> late") }
    };
    play(CLAUDE, "coder_claude::an_interrupt_ends_the_tool_and_leaves_the_program", brain, |scene| {
        scene.start("sleep", None);
        let permission = asked(scene);
        scene.answer_permission(&permission, Verdict::Allow);
        midst();
        scene.tell(CoderCommand::Interrupt);
        assert_eq!(*end(&scene.to_the_end()), CoderEnd::Interrupted);
        scene.tell(CoderCommand::Prompt { text: "go on".to_owned() });
        assert_eq!(*end(&scene.to_the_end()), done("Here I am."));
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(lines(scene, "late"), 0, "the tool went on");
    });
}

#[test]
fn a_question_outlives_the_daemon() {
    let brain = |request: &SeenRequest| match request.tool_result_count() {
        0 => CLAUDE.runs("echo one >> steps"),
        _ => Reply::say("Done."),
    };
    play(CLAUDE, "coder_claude::a_question_outlives_the_daemon", brain, |scene| {
        scene.start("take a step", None);
        let permission = asked(scene);
        for _ in 0..2 {
            scene.kill();
            assert_eq!(scene.attach(), std::slice::from_ref(&permission));
        }
        scene.answer_permission(&permission, Verdict::Allow);
        assert_eq!(*end(&scene.to_the_end()), done("Done."));
        assert_eq!(lines(scene, "steps"), 1);
        assert_eq!(scene.told().iter().filter(|event| is_end(event)).count(), 1);
    });
}

#[test]
fn a_tool_outlives_the_daemon() {
    let brain = |request: &SeenRequest| match request.tool_result_count() {
        0 => CLAUDE.runs("sleep 2; echo one >> steps"),
        _ => Reply::say("Done."),
    };
    play(CLAUDE, "coder_claude::a_tool_outlives_the_daemon", brain, |scene| {
        scene.start("take a step", None);
        let permission = asked(scene);
        scene.answer_permission(&permission, Verdict::Allow);
        midst();
        scene.kill();
        // The tool ends while nobody listens, and its program waits for the way out.
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(lines(scene, "steps"), 1);
        assert_eq!(scene.attach(), Vec::<String>::new());
        assert_eq!(*end(&scene.to_the_end()), done("Done."));
        assert_eq!(lines(scene, "steps"), 1);
        let finished = scene.told().iter().filter(|event| matches!(event, CoderEvent::ToolFinished { .. })).count();
        assert_eq!(finished, 1, "{:#?}", scene.told());
    });
}

#[test]
fn an_answer_outlives_the_daemon() {
    let brain = |request: &SeenRequest| {
        let slow = Fault::SlowDrip { bytes: 60, every: Duration::from_millis(200) };
        if request.index == 0 { Reply::fault(slow) } else { Reply::say("The answer.") }
    };
    play(CLAUDE, "coder_claude::an_answer_outlives_the_daemon", brain, |scene| {
        scene.start("answer me", None);
        scene.until(|event| matches!(event, CoderEvent::Started { .. }));
        midst();
        scene.kill();
        midst();
        scene.attach();
        assert_eq!(*end(&scene.to_the_end()), done("The answer."));
        let said = |event: &&CoderEvent| matches!(event, CoderEvent::Text { text } if text == "The answer.");
        assert_eq!(scene.told().iter().filter(said).count(), 1);
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
        let session = said.iter().find_map(|event| match event {
            CoderEvent::Started { session, .. } => Some(session.clone()),
            _ => None,
        });
        let before = scene.spent();
        // It is killed, and has then forgotten what it had used.
        scene.end();
        scene.attach();
        scene.start("which word?", session.as_deref());
        let said = scene.to_the_end();
        assert_eq!(*end(&said), done("mango"));
        let after = scene.spent();
        assert!(after.usage.context() > before.usage.context() && after.cost > before.cost, "{before:?} {after:?}");
    });
}
