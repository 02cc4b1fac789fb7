//! Recipes as the owner uses them: listed, looked at and started from a client and from a chat.

use std::fs;

use serde_json::json;
use types::{Command, CommandReply, JobEnd, JobId, JobState, Place, WorkspaceName};

use crate::{
    bench::Bench,
    play::{Play, done, failing, passed, tool},
};

fn bench_play() -> std::sync::Arc<Play> {
    Play::new(|_, _| vec![done("I am done")], |_| passed())
}

fn start(call: serde_json::Value) -> Command {
    serde_json::from_value(json!({ "command": "start_recipe", "call": call })).unwrap()
}

#[tokio::test]
async fn a_client_lists_looks_and_starts() {
    let bench = Bench::with(bench_play()).await;
    let client = bench.client().await;
    let own = bench.home.path().join("recipes");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("mine.toml"), "title = \"Mine\"\n[job]\nbrief = \"do it\"\n").unwrap();
    fs::write(own.join("bad.toml"), "title = \"Bad\"\n[job]\nbrief = 1\n").unwrap();
    let list = client.recipes().await.unwrap();
    assert_eq!(list.recipes.len(), 7);
    assert!(list.mistakes.len() == 1 && list.mistakes[0].starts_with("recipes/bad.toml:3: "), "{:?}", list.mistakes);
    let line = list.recipes.iter().find(|recipe| recipe.name == "fix-tests").unwrap().line();
    assert_eq!(line, "fix-tests: Fix failing tests until they pass ([branch] command [tests])");
    let name = WorkspaceName::new("fix-tests").unwrap();
    let plan = client.recipe(&name, &[]).await.unwrap().plan;
    assert!(plan.contains("exits with 0: <command>") && plan.contains("branch job/fix-tests"), "{plan}");
    let page = client.recipe(&name, &[("command", "make it's=1 && x".to_owned())]).await.unwrap().to_string();
    assert!(
        page.contains("exits with 0: make it's=1 && x") && page.contains("tests: the files of the tests"),
        "{page}"
    );

    for (call, part) in [
        (json!({ "recipe": "fix-tests" }), "it needs `command`"),
        (json!({ "recipe": "fix-tests", "set": { "command": "x", "typo": "y" } }), "no parameter `typo`"),
        (json!({ "recipe": "cook" }), "there is no recipe `cook`"),
        (json!({ "recipe": "bad" }), "recipes/bad.toml:3: "),
        (json!({ "recipe": "mine", "coder": "nobody" }), "there is no coding agent `nobody`"),
    ] {
        let refused = client.command(&start(call)).await.unwrap_err();
        assert!(refused.error.contains(part) && refused.hint.is_some(), "{part}: {refused:?}");
    }
    let set = json!({ "command": "cargo test", "tests": "tests/**" });
    let call = start(json!({ "recipe": "fix-tests", "set": set, "branch": "mended", "coder": "codex" }));
    let CommandReply::Job { job, .. } = client.command(&call).await.unwrap() else { panic!() };
    let (view, end) = bench.ended(job).await;
    assert_eq!(end, JobEnd::Done);
    assert_eq!((view.coder.as_str(), view.spec.recipe.as_deref()), ("codex", Some("fix-tests")));
    assert_eq!(view.spec.place, Place::Branch { branch: "mended".to_owned(), base: None });
    assert_eq!(view.spec.done.unwrap().pinned, ["tests/**"]);
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused() {
    let bench = Bench::with(bench_play()).await;
    let client = bench.client().await;
    let phase = json!({ "name": "a", "brief": "b", "commit": "c" });
    let branch = json!({ "place": "branch", "branch": "b" });
    for (more, part) in [
        (json!({ "phases": [phase], "then": "nothing" }), "each phase of a job is committed"),
        (json!({ "phases": vec![phase.clone(); 13] }), "at most 12 phases"),
        (json!({ "review": 3, "then": "nothing" }), "a review works on a branch of its own"),
        (json!({ "review": 3, "then": "push", "place": branch }), "a review works on a branch of its own"),
    ] {
        let mut spec = json!({ "brief": "x", "coder": "claude", "workspace": "main" });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let command = serde_json::from_value(json!({ "command": "start_job", "spec": spec })).unwrap();
        let refused = client.command(&command).await.unwrap_err();
        assert!(refused.error.contains(part), "{part}: {refused:?}");
    }
}

#[tokio::test]
async fn a_chat_lists_looks_and_starts() {
    let bench = Bench::with(bench_play()).await;
    bench.channel.say("1", "/job recipes").await;
    let list = bench.channel.wait_for("write-tests: Write tests for a module").await;
    assert!(list.contains("/job recipe NAME key=value"), "{list}");
    bench.channel.say("2", "/job recipes fix-tests command=\"cargo test\"").await;
    bench.channel.wait_for("exits with 0: cargo test").await;
    bench.channel.say("3", "/job recipe fix-tests branch=x").await;
    bench.channel.wait_for("it needs `command`").await;
    bench.channel.say("4", "/job recipe fix-tests command=\"cargo test\" coder=claude").await;
    bench.channel.wait_for("job 1 begins as soon as there is a place: claude in main").await;
    bench.channel.wait_for("is done.").await;
    let prompt = bench.play.prompts(JobId(1)).pop().unwrap();
    assert!(prompt.starts_with("Make the failing tests of this repository pass."), "{prompt}");
}

fn migration() -> Command {
    let set = json!({ "from": "unittest", "to": "pytest", "command": "pytest -q" });
    start(json!({ "recipe": "migrate-repository", "set": set, "coder": "claude" }))
}

async fn begin(bench: &Bench, command: &Command) -> JobId {
    match bench.client().await.command(command).await.unwrap() {
        CommandReply::Job { job, .. } => job,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn phases_follow_each_other_across_a_restart() {
    // The second phase is told once that it is not done yet; its first turn waits until the daemon was restarted.
    let brain = |number, _: &str| if number == 2 { tool(2).into() } else { vec![done(&format!("turn {number}"))] };
    let play = Play::new(brain, |number| if number == 2 { failing("test_a") } else { passed() });
    let bench = Bench::with(play).await;
    let job = begin(&bench, &migration()).await;
    bench.until(job, "it is not in its second phase", |view| view.phase == Some(2) && view.iterations == 1).await;
    let bench = bench.restart().await;
    bench.play.does(job, [done("turn 2")]);
    let (view, end) = bench.ended(job).await;
    assert_eq!((end, view.phase, view.rounds), (JobEnd::Done, Some(3), 4));
    assert_eq!(*bench.play.landings.lock().unwrap(), 3, "each phase is committed");
    let prompts = bench.play.prompts(job);
    assert_eq!(prompts.len(), 4, "{prompts:#?}");
    for (prompt, parts) in prompts.iter().zip([
        ["Migrate this repository from unittest to pytest", "Now phase 1 of 3 (inventory):", "0: test -s MIGRATION.md"],
        ["That is committed.", "Now phase 2 of 3 (change):", "exits with 0: pytest -q\n"],
        ["`pytest -q` does not exit with 0 yet", "test_a failed", "Go on until it does."],
        // In a new conversation, so it is told everything.
        ["Migrate this repository from unittest to pytest", "Now phase 3 of 3 (verify):", "! -e MIGRATION.md"],
    ]) {
        assert!(parts.iter().all(|part| prompt.contains(part)), "{parts:?}: {prompt}");
    }
    let report = view.report.unwrap();
    for part in
        ["phase 1 of 3 (inventory) is done: commit c0ffeec0ffee", "phase 2 of 3 (change) is done", "! -e MIGRATION.md"]
    {
        assert!(report.contains(part), "{part}: {report}");
    }
}

#[tokio::test]
async fn a_phase_that_fails_ends_the_job_and_can_be_resumed() {
    let play = Play::new(
        |_, _| vec![done("I am done")],
        |number| if (2..=4).contains(&number) { failing("test_a") } else { passed() },
    );
    let bench = Bench::with(play).await;
    let job = begin(&bench, &migration()).await;
    let (view, end) = bench.ended(job).await;
    assert_eq!((end, view.phase), (JobEnd::NoProgress { failure: "test_a".to_owned() }, Some(2)));
    assert_eq!(*bench.play.landings.lock().unwrap(), 1);
    assert_eq!(view.commit.as_deref(), Some("c0ffee".repeat(6).as_str()), "the earlier phase's stays");
    let report = view.report.unwrap();
    assert!(report.contains("It ended in phase 2 of 3 (change); what the phases before committed stays."), "{report}");
    let resume = Command::ResumeJob { job, coder: None, text: None };
    bench.client().await.command(&resume).await.unwrap();
    let view = bench.until(job, "it does not end", |view| view.state == JobState::Ended { end: JobEnd::Done }).await;
    assert_eq!((view.phase, *bench.play.landings.lock().unwrap()), (Some(3), 3));
}

#[tokio::test]
async fn limits_hold_for_all_phases_together() {
    let bench = Bench::with(bench_play()).await;
    let spec = json!({
        "brief": "x", "coder": "claude", "workspace": "main", "limits": { "rounds": 1 },
        "phases": [{ "name": "a", "brief": "b", "commit": "c" }, { "name": "d", "brief": "e", "commit": "f" }],
    });
    let command = serde_json::from_value(json!({ "command": "start_job", "spec": spec })).unwrap();
    let job = begin(&bench, &command).await;
    let (view, end) = bench.ended(job).await;
    assert!(matches!(end, JobEnd::Limit { .. }), "{end:?}");
    assert_eq!((view.phase, *bench.play.landings.lock().unwrap()), (Some(2), 1));
    // What is committed is not worked on once more.
    bench.client().await.command(&Command::ResumeJob { job, coder: None, text: None }).await.unwrap();
    let view = bench.until(job, "it does not end", |view| view.state == JobState::Ended { end: JobEnd::Done }).await;
    assert_eq!((view.phase, view.rounds, *bench.play.landings.lock().unwrap()), (Some(2), 2, 2));
    let prompts = bench.play.prompts(job);
    assert!(prompts.len() == 2 && prompts[1].contains("Now phase 2 of 2 (d):"), "{prompts:?}");
}
