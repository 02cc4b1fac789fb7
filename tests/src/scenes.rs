//! Scenes that more than one of the real coding agents plays. `test` is the path of the test that plays one.

use std::ops::RangeInclusive;

use coders::{CoderCommand, CoderEnd, CoderEvent, Trouble, Verdict};
use testkit::model::{Reply, SeenRequest};

use crate::{
    coder::Scene,
    coders::Vendor,
    played::{conversation, done, end, has_mended, is_end, is_question, mends, play, question, questions, story},
};

/// It mends a repository. Gives `more` what it said, for what else must hold.
pub fn mends_a_repository(vendor: Vendor, test: &'static str, more: impl FnOnce(&[CoderEvent])) {
    play(vendor, test, mends(vendor), |scene| {
        scene.start("make the tests pass", None);
        let said = scene.to_the_end();
        has_mended(scene, &said);
        more(&said);
    });
}

/// A word in the middle reaches its model, what is denied is not done, and it can be interrupted while it speaks.
pub fn is_steered_denied_and_interrupted(vendor: Vendor, test: &'static str) {
    let brain = move |request: &SeenRequest| match request.last_user_text() {
        text if text.contains("story") => story(),
        _ if request.contains("wants to keep it") => Reply::say("Then not."),
        _ if request.contains("take the bill away") => vendor.runs("rm billing.py"),
        _ if request.contains("say it in French") => Reply::say("Voilà."),
        _ if request.step() == 0 => vendor.runs("echo one >> steps"),
        _ => Reply::say("Nobody told me."),
    };
    play(vendor, test, brain, |scene| {
        scene.start("take a step", None);
        let asked = question(&scene.until(is_question));
        scene.tell(CoderCommand::Steer { text: "say it in French".to_owned() });
        scene.answer_permission(&asked, Verdict::Allow);
        assert_eq!(*end(&scene.to_the_end()), done("Voilà."));
        assert_eq!(std::fs::read_to_string(scene.tree().join("steps")).unwrap(), "one\n");
        scene.tell(CoderCommand::Prompt { text: "take the bill away".to_owned() });
        let asked = question(&scene.until(is_question));
        scene.answer_permission(&asked, Verdict::Deny { why: "the owner wants to keep it".to_owned() });
        assert_eq!(*end(&scene.until(is_end)), done("Then not."));
        assert!(scene.tree().join("billing.py").exists());
        scene.tell(CoderCommand::Prompt { text: "tell a story".to_owned() });
        speaks(vendor, scene);
        scene.tell(CoderCommand::Interrupt);
        assert_eq!(*end(&scene.until(is_end)), CoderEnd::Interrupted);
    });
}

/// The daemon is killed while a question waits, while a tool runs and while the model speaks.
pub fn goes_on_when_the_daemon_is_killed(vendor: Vendor, test: &'static str) {
    let brain = move |request: &SeenRequest| match request.last_user_text() {
        text if text.contains("story") => story(),
        _ if request.step() == 0 => vendor.runs("echo begun >> log; sleep 2; echo ended >> log"),
        _ => Reply::say("Done."),
    };
    play(vendor, test, brain, |scene| {
        // With a question pending: the next daemon answers it.
        scene.start("write the log", None);
        let asked = question(&scene.until(is_question));
        for _ in 0..2 {
            scene.kill();
            assert_eq!(scene.attach(), [asked.as_str()]);
        }
        scene.answer_permission(&asked, Verdict::Allow);
        // While a tool runs: it ends while nobody listens, and its program waits for the way out.
        scene.wait_for_file("log", "begun\n");
        scene.kill();
        scene.wait_for_file("log", "begun\nended\n");
        assert_eq!(scene.attach(), Vec::<String>::new());
        assert_eq!(*end(&scene.to_the_end()), done("Done."));
        // While it speaks. The way out goes with the daemon, so the request is made again.
        scene.tell(CoderCommand::Prompt { text: "tell a story".to_owned() });
        speaks(vendor, scene);
        scene.kill();
        scene.attach();
        let said = scene.to_the_end();
        assert!(matches!(end(&said), CoderEnd::Done { text } if text.contains("Once")), "{said:#?}");
        assert_eq!(std::fs::read_to_string(scene.tree().join("log")).unwrap(), "begun\nended\n");
        // Each daemon told what the one before had not: nothing is there twice, nothing is missing.
        let told = scene.told();
        let finished = |event: &&CoderEvent| matches!(event, CoderEvent::ToolFinished { .. });
        assert_eq!(told.iter().filter(finished).count(), 1, "{told:#?}");
        assert_eq!(told.iter().filter(|event| is_end(event)).count(), 2);
        assert_eq!(questions(&told), 1);
    });
}

/// Waits until its model is in the middle of a story.
fn speaks(vendor: Vendor, scene: &mut Scene) {
    match vendor.coder {
        // It tells a text once it is whole.
        "claude" => scene.wait_for_request("tell a story"),
        _ => drop(scene.until(|event| matches!(event, CoderEvent::TextDelta { .. }))),
    }
}

/// A program that is killed in the middle of its work goes on in its conversation, under the same supervisor.
pub fn is_killed_and_goes_on(vendor: Vendor, test: &'static str) {
    let brain = move |request: &SeenRequest| match request.last_user_text() {
        text if text.contains("die") => vendor.runs(&format!("kill -9 $(pgrep -x {}); sleep 5", vendor.coder)),
        text if text.contains("again") => Reply::say(format!("I remember {} words.", request.user_texts().len() - 1)),
        _ => Reply::say("Done."),
    };
    play(vendor, test, brain, |scene| {
        scene.start("begin", None);
        let said = scene.to_the_end();
        assert_eq!(*end(&said), done("Done."));
        let session = conversation(&said);
        scene.tell(CoderCommand::Prompt { text: "die".to_owned() });
        let said = scene.to_the_end();
        let CoderEnd::Failed { trouble, .. } = end(&said) else { panic!("{said:#?}") };
        assert!(*trouble == Trouble::Crashed && trouble.may_pass(), "{said:#?}");
        scene.start("again", Some(&session));
        let said = scene.to_the_end();
        assert!(matches!(end(&said), CoderEnd::Done { text } if text.starts_with("I remember")), "{said:#?}");
        assert!(scene.model.requests().last().unwrap().user_texts().iter().any(|text| text.contains("begin")));
    });
}

/// Its vendor fails as `brain` lets it, and each prompt ends with the trouble beside it.
pub fn fails_as_the_vendor_fails(
    vendor: Vendor,
    test: &'static str,
    brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static,
    prompts: &[(&str, Option<Trouble>)],
) {
    play(vendor, test, brain, |scene| {
        for (at, (prompt, expected)) in prompts.iter().enumerate() {
            match at {
                0 => scene.start(prompt, None),
                _ => scene.tell(CoderCommand::Prompt { text: (*prompt).to_owned() }),
            }
            let said = scene.to_the_end();
            let trouble = match end(&said) {
                CoderEnd::Failed { trouble, .. } => Some(*trouble),
                CoderEnd::Done { .. } | CoderEnd::Interrupted => None,
            };
            assert_eq!(trouble, *expected, "{prompt}: {said:#?}");
        }
    });
}

/// A repository that tries to be more than text.
pub struct Planted<'a> {
    /// Its files, whose words for a model hold `PLANTED`.
    pub files: &'a [(&'a str, &'a str)],
    /// The files that would lie in the tree if one of them took effect.
    pub effects: &'a [&'a str],
    /// How often the coding agent asks, because nothing of the repository allows it anything.
    pub questions: RangeInclusive<usize>,
}

/// What a repository holds widens nothing that a coding agent may, and what the program writes into its own settings is gone with
/// its next start.
pub fn cannot_be_widened(
    vendor: Vendor,
    test: &'static str,
    planted: &Planted<'_>,
    brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static,
) {
    let works = |scene: &mut Scene, prompt: &str, resume: Option<&str>| {
        scene.start(prompt, resume);
        let said = scene.to_the_end();
        assert_eq!(*end(&said), done("Done."), "{said:#?}");
        said
    };
    play(vendor, test, brain, |scene| {
        for (path, content) in planted.files {
            let path = scene.tree().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let said = works(scene, "work", None);
        assert!(planted.questions.contains(&questions(&said)), "{said:#?}");
        for effect in planted.effects {
            assert!(!scene.tree().join(effect).exists(), "{effect}");
        }
        let requests = scene.model.requests();
        assert!(requests.iter().all(|request| !request.contains("PLANTED") && vendor.model.ends_with(&request.model)));
        scene.end();
        scene.attach();
        let said = works(scene, "more", Some(&conversation(&said)));
        assert!(said.iter().any(is_question), "{said:#?}");
    });
}
