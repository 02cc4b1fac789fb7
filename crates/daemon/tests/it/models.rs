//! Models over the API and in a chat: what there is, which one answers in a session, and whether it does.

use std::path::Path;

use daemon::{Config, Daemon};
use egress::SecretValue;
use testkit::model::{ModelServer, Reply};
use types::{Command, CommandReply, Failure, FailureKind, SecretName, Timestamp};

use crate::scene::{FakeChannel, FakeModel, Scene, options};

/// The test's own key.
const KEY: &str = "test-key-0123456789";

async fn scene(server: &ModelServer) -> Scene {
    let home = tempfile::tempdir().unwrap();
    let (channel, model) = (FakeChannel::new(), FakeModel::echo());
    let vault = egress::Vault::open(home.path()).unwrap();
    vault.set(&SecretName::new("lab-key").unwrap(), SecretValue::new(KEY).unwrap(), Timestamp(0)).unwrap();
    let text = format!(
        "[api]\nlisten = \"127.0.0.1:0\"\n[agent]\nmodel = \"lab/claude-opus-5-5\"\n[providers.lab]\nvendor = \"anthropic\"\n\
         base_url = \"{}\"\nkey = \"lab-key\"\nmodels = {{ \"mine\" = {{ context_tokens = 9000 }} }}\n",
        server.base_url()
    );
    let mut options = options(home.path(), &channel, &model);
    options.config = Some(Config::parse(&text, Path::new("config.toml")).unwrap());
    let daemon = Daemon::start(options).await.unwrap();
    Scene { home, channel, model, daemon }
}

/// How often the audit log says that a command about models was carried out.
fn recorded(scene: &Scene, command: &str) -> usize {
    let log = std::fs::read_to_string(scene.home.path().join("audit.log")).unwrap();
    log.matches(command).count()
}

async fn said(scene: &Scene, command: Command) -> Result<String, Failure> {
    match scene.client().await.command(&command).await? {
        CommandReply::Done { text } => Ok(text),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_there_is_can_be_listed_and_the_vendor_asked_for_more() {
    let server = ModelServer::start(|_| Reply::say("ok")).await;
    let scene = scene(&server).await;
    let client = scene.client().await;
    let known = client.models(false, None).await.unwrap();
    let find = |name: &str| known.models.iter().find(|model| model.name == name).cloned();
    let opus = find("lab/claude-opus-5-5").unwrap();
    assert!(
        opus.current && opus.prices.is_some() && opus.priced.is_some_and(|day| day.starts_with("20")),
        "the table's"
    );
    let mine = find("lab/mine").unwrap();
    assert_eq!((mine.context, mine.prices, mine.priced), (Some(9_000), None, None), "what nobody says is not nothing");
    assert!(find("lab/mock-large").is_none());
    let asked = client.models(true, Some("lab")).await.unwrap();
    assert_eq!(asked.problems, Vec::<String>::new());
    assert!(asked.models.iter().any(|model| model.name == "lab/mock-large"));
    assert_eq!(client.models(false, Some("nobody")).await.unwrap_err().kind, FailureKind::User);
    assert!(client.model_costs().await.unwrap().is_empty());
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_session_keeps_the_model_that_was_chosen_for_it() {
    let server = ModelServer::start(|_| Reply::say("ok")).await;
    let scene = scene(&server).await;
    scene.channel.say("1", "/model lab/mine").await;
    let text = scene.channel.wait_for("lab/mine answers in session 1").await;
    assert!(text.contains("nobody knows what it costs"), "{text}");
    scene.channel.say("2", "/model").await;
    scene.channel.wait_for("lab/mine answers in this session.").await;
    scene.channel.say("3", "/model lab/nonsense").await;
    let text = scene.channel.wait_for("there is no model `lab/nonsense`").await;
    assert!(text.contains("[providers.lab.models.\"nonsense\"]"), "{text}");
    let back = Command::UseModel { session: Some("1".to_owned()), model: None };
    assert!(said(&scene, back).await.unwrap().starts_with("lab/claude-opus-5-5 answers"));
    // A choice is written down; one that came to nothing changed nothing.
    assert_eq!(recorded(&scene, "use_model"), 2);
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_test_is_a_real_call_and_its_failure_is_explained() {
    let server = ModelServer::start(|seen| match seen.model.as_str() {
        "mine" => Reply::status(401),
        _ => Reply::say("ok"),
    })
    .await;
    let scene = scene(&server).await;
    let text = said(&scene, Command::TestModel { model: None }).await.unwrap();
    assert!(text.starts_with("lab/claude-opus-5-5 answers: \"ok\"") && text.contains("by the prices of 20"), "{text}");
    let failure = said(&scene, Command::TestModel { model: Some("lab/mine".to_owned()) }).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Network);
    assert!(failure.error.contains("refused the key") && !failure.error.contains(KEY), "{}", failure.error);
    assert!(failure.hint.as_ref().is_some_and(|hint| hint.contains("factotum secret set lab-key")), "{failure:?}");
    assert_eq!(server.request_count(), 2, "each once, without repeating");
    assert_eq!(recorded(&scene, "test_model"), 2, "no call without a record");
    let none = said(&scene, Command::TestModel { model: Some("nobody/x".to_owned()) }).await.unwrap_err();
    assert_eq!(none.kind, FailureKind::User);
    scene.daemon.stop().await;
}
