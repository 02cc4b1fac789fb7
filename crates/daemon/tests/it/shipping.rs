//! The audit log off the machine: everything arrives, whatever fails on the way, and nothing runs while it must not.

use std::{fs, path::Path, sync::Arc, time::Duration};

use daemon::{Config, Daemon, Options, offline};
use serde_json::json;
use testkit::logs::{LogServer, SyslogServer, WebFault, numbers};
use types::{Block, FailureKind};

use crate::scene::{FakeChannel, FakeModel, Scene, options};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waited).await.is_ok(), "{what}");
}

fn with(home: &Path, channel: &Arc<FakeChannel>, model: &Arc<FakeModel>, audit: &str) -> Options {
    let text = format!("[api]\nlisten = \"127.0.0.1:0\"\n{audit}");
    fs::write(home.join("config.toml"), &text).unwrap();
    let mut options = options(home, channel, model);
    options.config = Some(Config::parse(&text, Path::new("config.toml")).unwrap());
    options
}

/// A daemon whose audit log is shipped as configured.
async fn shipping(home: tempfile::TempDir, audit: &str, model: Arc<FakeModel>) -> Scene {
    let channel = FakeChannel::new();
    let daemon = Daemon::start(with(home.path(), &channel, &model, audit)).await.unwrap();
    Scene { home, channel, model, daemon }
}

/// A model that writes a file whenever it is told to.
fn writer() -> Arc<FakeModel> {
    FakeModel::new(|text| {
        if !text.starts_with("write") {
            return vec![Block::text(format!("result: {text}"))];
        }
        let input = json!({ "path": format!("{}.txt", text.lines().next().unwrap_or_default().replace(' ', "-")), "content": text });
        vec![Block::ToolUse { id: text.to_owned(), name: "write".to_owned(), input }]
    })
}

/// The numbers of all records of a home, and those of its last.
fn recorded(home: &Path) -> Vec<u64> {
    let records = offline::log_show(home, 0, 10_000).unwrap();
    records.iter().filter_map(|record| record["seq"].as_u64()).collect()
}

fn shipped_files(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).map(|dir| dir.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default();
    names.sort();
    let text: String = names.iter().map(|name: &std::path::PathBuf| fs::read_to_string(name).unwrap()).collect();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_directory_holds_every_record_once_and_is_compared_with_the_log() {
    let home = tempfile::tempdir().unwrap();
    let copy = home.path().join("elsewhere");
    let audit = format!("[audit.ship.disk]\nkind = \"directory\"\npath = \"{}\"\n", copy.display());
    let scene = shipping(home, &audit, writer()).await;
    for number in 1..=3 {
        scene.channel.say(&number.to_string(), &format!("write {number}")).await;
    }
    scene.channel.wait_for("result: ").await;
    until("all is shipped", || numbers(&shipped_files(&copy)) == recorded(scene.home.path())).await;
    let Scene { home, model, daemon, .. } = scene;
    daemon.stop().await;
    assert_eq!(numbers(&shipped_files(&copy)), recorded(home.path()), "what was recorded at the end is shipped too");
    let verified = offline::log_verify_copy(home.path(), &copy).unwrap();
    assert_eq!(verified.copy.last, verified.log.records);
    let before = shipped_files(&copy).len();
    let scene = shipping(home, &audit, model).await;
    until("it goes on after a restart", || shipped_files(&copy).len() > before).await;
    let Scene { home, daemon, .. } = scene;
    daemon.stop().await;
    assert_eq!(numbers(&shipped_files(&copy)), recorded(home.path()));
    // An edit on either side shows.
    let name = fs::read_dir(&copy).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&name).unwrap();
    fs::write(&name, text.replacen("tool_intent", "tool_outcome", 1)).unwrap();
    let failure = offline::log_verify_copy(home.path(), &copy).unwrap_err();
    assert!(failure.kind == FailureKind::Task && failure.error.contains("the copy was changed"), "{failure:?}");
    fs::write(&name, &text[..text.trim_end().rfind('\n').unwrap() + 1]).unwrap();
    let failure = offline::log_verify_copy(home.path(), &copy).unwrap_err();
    assert!(failure.error.contains("the end of the copy was cut off"), "{failure:?}");
    fs::write(&name, &text).unwrap();
    let log = home.path().join("audit.log");
    let local = fs::read_to_string(&log).unwrap();
    fs::write(&log, &local[..local.trim_end().rfind('\n').unwrap() + 1]).unwrap();
    let failure = offline::log_verify_copy(home.path(), &copy).unwrap_err();
    assert!(failure.error.contains("the end of the local log was cut off"), "{failure:?}");
}

#[tokio::test]
async fn a_syslog_server_that_loses_records_and_hangs_up_gets_them_all() {
    let server = SyslogServer::start(0).await;
    let audit =
        format!("[audit.ship.box]\nkind = \"syslog\"\nhost = \"127.0.0.1\"\nport = {}\ntls = false\n", server.port());
    server.lose(1);
    let scene = shipping(tempfile::tempdir().unwrap(), &audit, writer()).await;
    scene.channel.say("1", "write 1").await;
    scene.channel.wait_for("result: ").await;
    let arrived = || {
        let mut all = numbers(&server.texts());
        all.sort_unstable();
        all.dedup();
        all
    };
    until("what was lost comes again", || arrived() == recorded(scene.home.path())).await;
    server.hang_up();
    scene.channel.say("2", "write 2").await;
    until("it goes on after the connection broke", || arrived() == recorded(scene.home.path()) && arrived().len() > 4)
        .await;
    let message = server.messages()[0].clone();
    assert!(message.starts_with("<110>1 20") && message.contains(" factotum "), "{message}");
    let port = server.port();
    drop(server);
    scene.channel.say("3", "write 3").await;
    let client = scene.client().await;
    let mut failed = false;
    while !failed {
        failed = client.status().await.unwrap().shipping[0].error.is_some();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let server = SyslogServer::start(port).await;
    let last = recorded(scene.home.path()).last().copied();
    until("the rest comes after the outage", || numbers(&server.texts()).last().copied() >= last).await;
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_web_server_that_errs_gets_every_record_with_the_secret() {
    let server = LogServer::start().await;
    let home = tempfile::tempdir().unwrap();
    let name = types::SecretName::new("log-token").unwrap();
    offline::secret_set(home.path(), &name, b"tok-0123456789abcdef".to_vec()).unwrap();
    for fault in [WebFault::Status(500), WebFault::KeptButStatus(503), WebFault::Slow(Duration::from_millis(300))] {
        server.fail(fault);
    }
    let audit = format!("[audit.ship.web]\nkind = \"https\"\nurl = \"{}\"\nsecret = \"log-token\"\n", server.url());
    let scene = shipping(home, &audit, writer()).await;
    scene.channel.say("1", "write 1").await;
    scene.channel.wait_for("result: ").await;
    let arrived = || {
        let mut all = numbers(&server.lines());
        all.sort_unstable();
        all.dedup();
        all
    };
    until("everything arrives", || arrived() == recorded(scene.home.path()) && arrived().len() > 2).await;
    assert!(server.credentials().iter().all(|credential| credential.as_deref() == Some("Bearer tok-0123456789abcdef")));
    assert!(server.lines().iter().all(|line| !line.contains("tok-0123456789abcdef")));
    scene.daemon.stop().await;
}

#[tokio::test]
async fn no_shipping_no_exec_and_it_mends_itself() {
    let place = tempfile::tempdir().unwrap();
    let copy = place.path().join("mount").join("log");
    // Something stands where the directory should be.
    fs::write(place.path().join("mount"), "").unwrap();
    let audit = format!(
        "[audit]\nrequire_shipping = true\nmax_lag_s = 1\n[audit.ship.disk]\nkind = \"directory\"\npath = \"{}\"\n",
        copy.display()
    );
    let scene = shipping(tempfile::tempdir().unwrap(), &audit, writer()).await;
    let workspace = scene.home.path().join("workspaces/practice");
    let workspace = if workspace.is_dir() { workspace } else { scene.home.path().join("workspaces/main") };
    scene.channel.wait_for("the audit log is not shipped to disk").await;
    scene.channel.say("1", "write 1").await;
    let text = scene.channel.wait_for("result: ").await;
    assert!(text.contains("nothing was done: the audit log must be shipped"), "{text}");
    assert!(!workspace.join("write-1.txt").exists());
    fs::remove_file(place.path().join("mount")).unwrap();
    scene.channel.wait_for("is shipped to disk again").await;
    scene.channel.say("2", "write 2").await;
    until("it writes again", || workspace.join("write-2.txt").exists()).await;
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_log_that_was_cut_while_nobody_looked_is_told() {
    let home = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    let copy = place.path().join("log");
    let audit = format!("[audit.ship.disk]\nkind = \"directory\"\npath = \"{}\"\n", copy.display());
    let scene = shipping(home, &audit, writer()).await;
    scene.channel.say("1", "write 1").await;
    scene.channel.wait_for("result: ").await;
    let Scene { home, model, daemon, .. } = scene;
    daemon.stop().await;
    // The record that was shipped last is another one now.
    let log = home.path().join("audit.log");
    let text = fs::read_to_string(&log).unwrap();
    let kept = text.lines().count() - 2;
    let forged = tempfile::tempdir().unwrap();
    fs::write(
        forged.path().join("audit.log"),
        text.lines().take(kept).map(|line| format!("{line}\n")).collect::<String>(),
    )
    .unwrap();
    let store = store::Store::open(forged.path(), Arc::new(daemon::SystemClock::new())).unwrap();
    for number in 0..4 {
        let detail = json!({ "forged": number });
        let entry = store::audit::AuditEntry {
            session: None,
            turn: None,
            call: None,
            kind: store::audit::AuditKind::Daemon,
            detail,
        };
        store.audit().append(entry).await.unwrap();
    }
    store.close().await;
    fs::copy(forged.path().join("audit.log"), &log).unwrap();
    let scene = shipping(home, &audit, model).await;
    scene.channel.wait_for("does not fit what was shipped to disk").await;
    let Scene { home, daemon, .. } = scene;
    daemon.stop().await;
    let failure = offline::log_verify_copy(home.path(), &copy).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Task, "{failure:?}");
}
