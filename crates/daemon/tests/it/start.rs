//! Starting: the practice model for newcomers, and clear refusals.

use std::path::Path;

use daemon::{Config, Daemon, Options, SelfTest, StartError, offline};
use types::{FailureKind, SecretName};

fn with(home: &Path, text: &str) -> Options {
    let mut options = Options::new(home);
    options.self_test = SelfTest::Off;
    let text = format!("[api]\nlisten = \"127.0.0.1:0\"\n{text}");
    options.config = Some(Config::parse(&text, Path::new("config.toml")).unwrap());
    options
}

const LAB: &str = "[agent]\nmodel = \"lab/m\"\n[providers.lab]\napi = \"anthropic\"\nbase_url = \"http://127.0.0.1:9\"\n\
                   key = \"lab-key\"\n";

#[tokio::test]
async fn a_newcomer_gets_a_practice_project_that_is_plainly_a_script() {
    let home = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(with(home.path(), "")).await.unwrap();
    let notes = daemon.notes().join("\n");
    assert!(notes.contains("script") && notes.contains("factotum setup"), "{notes}");
    let project = home.path().join("workspaces/practice");
    for (path, content, _) in providers::practice::TOY_FILES {
        assert_eq!(std::fs::read_to_string(project.join(path)).unwrap(), *content, "{path}");
    }
    let client = daemon::client::Client::connect(home.path()).await.unwrap();
    assert_eq!(client.status().await.unwrap().model, "practice/scripted");
    assert_eq!(client.sessions().await.unwrap()[0].workspace.as_str(), "practice");
    daemon.stop().await;
    // What the newcomer did with it stays, even after a restart.
    let (first, ..) = providers::practice::TOY_FILES[0];
    std::fs::write(project.join(first), "mine").unwrap();
    Daemon::start(with(home.path(), "")).await.unwrap().stop().await;
    assert_eq!(std::fs::read_to_string(project.join(first)).unwrap(), "mine");
}

#[tokio::test]
async fn a_missing_secret_is_named_with_the_remedy() {
    let home = tempfile::tempdir().unwrap();
    let refused = Daemon::start(with(home.path(), LAB)).await.err().unwrap();
    assert!(matches!(refused, StartError::Wiring(_)));
    let failure = refused.failure();
    assert_eq!(failure.kind, FailureKind::Config);
    assert!(failure.error.contains("`lab-key`") && failure.error.contains("[providers.lab]"), "{failure:?}");
    assert!(failure.hint.unwrap().contains("factotum secret set lab-key"));
    let name = SecretName::new("lab-key").unwrap();
    offline::secret_set(home.path(), &name, b"sk-test-0123456789\n".to_vec()).unwrap();
    assert_eq!(offline::secret_list(home.path()).unwrap().names(), [name.as_str()]);
    let daemon = Daemon::start(with(home.path(), LAB)).await.unwrap();
    assert!(daemon.notes().is_empty());
    daemon.stop().await;
    assert!(offline::secret_remove(home.path(), &name).unwrap());
    assert!(!offline::secret_remove(home.path(), &name).unwrap());
}

#[tokio::test]
async fn a_workspace_that_is_not_there_is_named() {
    let home = tempfile::tempdir().unwrap();
    let text = "[workspaces.billing]\npath = \"/nowhere/at/all\"\n";
    let failure = Daemon::start(with(home.path(), text)).await.err().unwrap().failure();
    assert!(failure.error.contains("workspaces.billing.path"), "{failure:?}");
    assert!(failure.hint.unwrap().contains("make the directory"));
}

#[tokio::test]
async fn the_log_can_be_read_and_verified() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(offline::log_verify(home.path()).unwrap().records, 0);
    let daemon = Daemon::start(with(home.path(), "")).await.unwrap();
    let client = daemon::client::Client::connect(home.path()).await.unwrap();
    while client.log(0).await.unwrap().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    daemon.stop().await;
    assert!(offline::log_verify(home.path()).unwrap().records >= 1);
    let path = home.path().join("audit.log");
    let text = std::fs::read_to_string(&path).unwrap().replacen("started", "stopped", 1);
    std::fs::write(&path, text).unwrap();
    assert_eq!(offline::log_verify(home.path()).unwrap_err().kind, FailureKind::Task);
}
