//! Recipes as the owner uses them: listed, looked at and started from a client and from a chat.

use std::fs;

use serde_json::json;
use types::{Command, CommandReply, JobEnd, JobId, Place, WorkspaceName};

use crate::{
    jobs::Bench,
    play::{Play, done, passed},
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
