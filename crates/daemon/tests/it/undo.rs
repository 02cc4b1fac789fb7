//! An undo and tasks that want the same workspace.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use types::{Block, Command, Event, Seq};

use crate::scene::{FakeModel, Scene};

/// So many files that an undo takes long enough for a task to come in between.
const FILES: usize = 500;

/// A model that writes the file it is told.
fn writer() -> Arc<FakeModel> {
    FakeModel::new(|words| match words.strip_prefix("make ").and_then(|rest| rest.split_whitespace().next()) {
        Some(path) => {
            let input = json!({ "path": path, "content": "made by a task" });
            vec![Block::ToolUse { id: format!("call-{path}"), name: "write".to_owned(), input }]
        }
        None => vec![Block::text(format!("done: {words}"))],
    })
}

fn workspace(scene: &Scene) -> PathBuf {
    scene.home.path().join("workspaces/main")
}

/// Asks for an undo and waits until it has begun.
#[expect(clippy::disallowed_methods, reason = "each test awaits what this returns")]
async fn undo_begins(scene: &Scene) -> tokio::task::JoinHandle<Result<types::CommandReply, types::Failure>> {
    let client = scene.client().await;
    let asked = tokio::spawn(async move { client.command(&Command::Undo { workspace: None, snapshot: None }).await });
    let watcher = scene.client().await;
    let begun = Instant::now();
    while !watcher.log(0).await.unwrap().iter().any(|entry| entry.to_string().contains("\"undo\"")) {
        assert!(begun.elapsed() < Duration::from_secs(5), "no undo began");
        assert!(!asked.is_finished(), "the undo was refused: {asked:?}");
    }
    asked
}

/// When the model had answered and when the workspace was put back, in the order of the journal.
async fn order(scene: &Scene) -> Vec<&'static str> {
    let mut events = scene.client().await.events(Seq(0), None).await.unwrap();
    let mut order = Vec::new();
    let mut ended = 0;
    while ended < 2 {
        match events.next().await.unwrap().unwrap().event {
            Event::ModelAnswered { .. } => order.push("asked"),
            Event::SnapshotRestored { .. } => order.push("restored"),
            Event::TurnFinished { .. } => ended += 1,
            _ => {}
        }
    }
    order
}

async fn after_a_task() -> Scene {
    let scene = Scene::with(writer()).await;
    scene.channel.say("1", "make first").await;
    scene.channel.wait_for("done:").await;
    assert!(workspace(&scene).join("first").exists(), "{:?}", scene.channel.texts());
    for number in 0..FILES {
        fs::write(workspace(&scene).join(format!("file-{number}")), number.to_string()).unwrap();
    }
    scene
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_begins_during_an_undo_writes_after_it() {
    let scene = after_a_task().await;
    let undo = undo_begins(&scene).await;
    assert!(scene.channel.say("2", "make second").await);
    let twice = scene.client().await.command(&Command::Undo { workspace: None, snapshot: None }).await.unwrap_err();
    assert!(twice.error.contains("is running") || twice.error.contains("another undo"), "{twice:?}");
    undo.await.unwrap().unwrap();
    let begun = Instant::now();
    while scene.channel.texts().iter().filter(|text| text.contains("done:")).count() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", scene.channel.texts());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let order = order(&scene).await;
    assert_eq!(order, ["asked", "asked", "restored", "asked", "asked"], "the task went on during the undo");
    let names: Vec<_> = fs::read_dir(workspace(&scene)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["second"], "{} files", names.len());
    let snapshots = scene.client().await.snapshots(None).await.unwrap();
    assert_eq!(snapshots.len(), 3, "before each task and before the undo: {snapshots:?}");
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_ends_and_is_recorded_although_whoever_asked_hangs_up() {
    let scene = after_a_task().await;
    undo_begins(&scene).await.abort();
    let client = scene.client().await;
    let begun = Instant::now();
    while client.snapshots(None).await.unwrap().len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the undo is not recorded");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(fs::read_dir(workspace(&scene)).unwrap().count(), 0);
    scene.daemon.stop().await;
}

#[tokio::test]
async fn two_names_of_one_directory_keep_a_task_and_an_undo_apart() {
    let (home, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let real = place.path().join("real");
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, place.path().join("link")).unwrap();
    let text = format!(
        "[api]\nlisten = \"127.0.0.1:0\"\n[agent]\nworkspace = \"a\"\n[workspaces.a]\npath = \"{0}/real\"\n\
         [workspaces.b]\npath = \"{0}/link\"\n",
        place.path().display()
    );
    let (channel, model) = (crate::scene::FakeChannel::new(), writer());
    let mut options = crate::scene::options(home.path(), &channel, &model);
    options.config = Some(daemon::Config::parse(&text, std::path::Path::new("config.toml")).unwrap());
    let daemon = daemon::Daemon::start(options).await.unwrap();
    let scene = Scene { home, channel, model, daemon };
    let client = scene.client().await;
    let b = types::WorkspaceName::new("b").unwrap();
    let send = Command::Send {
        text: "make second".to_owned(),
        session: Some("new".to_owned()),
        workspace: Some(b.clone()),
        when_busy: types::WhenBusy::default(),
        id: None,
    };
    client.command(&send).await.unwrap();
    let begun = Instant::now();
    while !real.join("second").exists() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the other name does not work");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    scene.model.hangs.store(true, std::sync::atomic::Ordering::SeqCst);
    scene.channel.say("1", "think").await;
    while !scene.model.asked().iter().any(|asked| asked.starts_with("think")) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let refused = client.command(&Command::Undo { workspace: Some(b), snapshot: None }).await.unwrap_err();
    assert!(refused.error.contains("is running in workspace"), "{refused:?}");
    scene.daemon.stop().await;
}
