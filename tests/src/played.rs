//! What the scenes of the real coding agents are made of: a stage with what must hold after each, models, and words for what a
//! coding agent says.

use std::time::Duration;

use coders::{CoderEnd, CoderEvent};
use testkit::model::{Fault, Reply, SeenRequest};

use crate::{
    Repository, all_inside,
    coder::{Scene, play_daemon},
    coders::Vendor,
    online::vendor::{ADDRESSES, KEY},
    repository::{RIGHT, TEST_COMMAND, WRONG},
};

/// Plays a scene with a repository whose tests fail. `test` is the test's path.
pub fn play(
    vendor: Vendor,
    test: &'static str,
    brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static,
    act: impl FnOnce(&mut Scene),
) {
    all_inside(test, &ADDRESSES, || {
        if play_daemon(vendor) {
            return;
        }
        let mut scene = Scene::new(vendor, test, brain);
        Repository::with_failing_tests(&scene.tree());
        act(&mut scene);
        // The key reached the vendor in its header, and nobody else.
        let (requests, told) = (scene.model.requests(), scene.told());
        let sent = format!("{}{KEY}", vendor.header.1);
        assert!(requests.iter().all(|request| request.headers[vendor.header.0] == sent));
        assert!(requests.iter().all(|request| !request.contains(KEY)));
        assert!(told.iter().all(|event| !serde_json::to_string(event).unwrap().contains(KEY)));
        assert_eq!(scene.model.violations(), Vec::<String>::new());
        scene.end();
    });
}

/// Mends the repository: looks, tries what is wrong, tries again, commits.
pub fn mends(vendor: Vendor) -> impl Fn(&SeenRequest) -> Reply {
    const HALF: &str = "net * tax_percent / 1000";
    const BEFORE: &str = "    return net + ";
    move |request| match request.tool_result_count() {
        0 => vendor.says_and_runs("I run the tests.", TEST_COMMAND),
        1 => vendor.reads("billing.py"),
        2 => vendor.replaces("billing.py", BEFORE, WRONG, HALF),
        3 => vendor.runs(TEST_COMMAND),
        4 => vendor.replaces("billing.py", BEFORE, HALF, RIGHT),
        5 => vendor.runs(TEST_COMMAND),
        6 => vendor.runs("git add -A && git commit -qm 'the tax is a percentage' && git status --short"),
        _ => Reply::say("Mended and committed."),
    }
}

/// What must have come of a brain that mends the repository.
pub fn has_mended(scene: &Scene, said: &[CoderEvent]) {
    assert_eq!(*end(said), done("Mended and committed."), "{said:#?}");
    let ok = |event: &CoderEvent| if let CoderEvent::ToolFinished { ok, .. } = event { Some(*ok) } else { None };
    let tools: Vec<bool> = said.iter().filter_map(ok).collect();
    assert_eq!(tools, [false, true, true, false, true, true, true], "{said:#?}");
    let repository = Repository { path: scene.tree() };
    assert_eq!(repository.git(&["log", "--format=%s", "-1"]).trim(), "the tax is a percentage");
    assert!(std::fs::read_to_string(scene.tree().join("billing.py")).unwrap().contains(RIGHT));
}

/// How often it asked.
pub fn questions(said: &[CoderEvent]) -> usize {
    said.iter().filter(|event| is_question(event)).count()
}

/// The name of its conversation.
pub fn conversation(said: &[CoderEvent]) -> String {
    let started = said.iter().find_map(|event| match event {
        CoderEvent::Started { session, .. } => Some(session.clone()),
        _ => None,
    });
    started.expect("its conversation has a name")
}

/// A model that is in the middle of its work after its first step, until somebody has worked at its place.
pub fn gives_way(first: impl Fn() -> Reply) -> impl Fn(&SeenRequest) -> Reply {
    move |request| {
        let last = request.last_user_text();
        if last.contains("at your place and in the same files") {
            return Reply::say("So it is finished.");
        }
        if last.contains("which toy is it") {
            return Reply::say("It is the red toy.");
        }
        match request.tool_result_count() {
            0 => first(),
            _ => Reply::say("Too late.").after(Duration::from_secs(120)),
        }
    }
}

/// A story that takes some seconds to be told.
pub fn story() -> Reply {
    let every = Duration::from_millis(50);
    Reply::say("Once upon a time there was a number. ".repeat(150)).with_fault(Fault::SlowDrip { bytes: 1500, every })
}

pub fn is_end(event: &CoderEvent) -> bool {
    matches!(event, CoderEvent::Finished { .. })
}

pub fn is_question(event: &CoderEvent) -> bool {
    matches!(event, CoderEvent::PermissionAsked(_))
}

/// The name of the question that was said last.
pub fn question(said: &[CoderEvent]) -> String {
    match said.last() {
        Some(CoderEvent::PermissionAsked(asked)) => asked.id.clone(),
        other => panic!("it asked nothing: {other:?}"),
    }
}

/// How it ended, which was said last.
pub fn end(said: &[CoderEvent]) -> &CoderEnd {
    match said.last() {
        Some(CoderEvent::Finished { end }) => end,
        other => panic!("it has not ended: {other:?}"),
    }
}

pub fn done(text: &str) -> CoderEnd {
    CoderEnd::Done { text: text.to_owned() }
}
