//! Secrets where they must not be: in a message, in a file that a tool reads, in an answer.

use std::{path::Path, sync::Arc};

use egress::{SecretValue, Vault};
use serde_json::json;
use types::{Block, SecretName, Timestamp};

use crate::scene::{FakeModel, Scene};

const VALUE: &str = "canary-5f0c2e9a71d4";

fn name(text: &str) -> SecretName {
    SecretName::new(text).unwrap()
}

fn plant(home: &Path) -> Vault {
    let vault = Vault::open(home).unwrap();
    vault.set(&name("mail"), SecretValue::new(VALUE).unwrap(), Timestamp(0)).unwrap();
    vault
}

/// A token that no issuer ever made.
fn token() -> String {
    format!("ghp_{}", "q1W2e3R4t5Y6".repeat(3))
}

/// Reads a file once, then says what it heard.
fn reader(file: &'static str) -> Arc<FakeModel> {
    FakeModel::new(move |heard| {
        if heard.contains("look") {
            return vec![Block::ToolUse { id: "1".into(), name: "read".into(), input: json!({ "path": file }) }];
        }
        vec![Block::text(format!("heard: {heard}"))]
    })
}

fn found_on_disk(home: &Path, needle: &str) -> Vec<String> {
    let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    let files = std::fs::read_dir(home).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
    files.filter(|path| holds(&std::fs::read(path).unwrap())).map(|path| path.display().to_string()).collect()
}

#[tokio::test]
async fn a_known_secret_in_a_message_is_dead_and_the_owner_is_told() {
    let scene = Scene::start().await;
    let vault = plant(scene.home.path());
    scene.channel.say("1", &format!("log in with {VALUE}")).await;
    let notice = scene.channel.wait_for("is dead").await;
    assert!(notice.contains("`mail`") && notice.contains("a message on fake/home"), "{notice}");
    assert!(notice.contains("factotum secret rotate mail"), "{notice}");
    let dead = vault.list().unwrap()[0].dead.clone().unwrap();
    assert_eq!(dead.place, "a message on fake/home");
    // It is told once, however often it is seen.
    scene.channel.say("2", &format!("again {VALUE}")).await;
    scene.channel.wait_for("again [secret mail]").await;
    assert_eq!(scene.channel.texts().iter().filter(|text| text.contains("is dead")).count(), 1);
    let home = scene.home;
    scene.daemon.stop().await;
    assert_eq!(found_on_disk(home.path(), VALUE), Vec::<String>::new());
    let log = std::fs::read_to_string(home.path().join("audit.log")).unwrap();
    assert!(log.contains("\"dead\"") && log.contains("mail"), "{log}");
}

#[tokio::test]
async fn what_looks_like_a_key_in_a_message_is_masked_and_told() {
    let scene = Scene::start().await;
    scene.channel.say("1", &format!("use {} for it", token())).await;
    let answer = scene.channel.wait_for("heard: ").await;
    assert!(answer.contains("use [masked github-token] for it"), "{answer}");
    let notice = scene.channel.wait_for("looks like").await;
    assert!(
        notice.contains("https://github.com/settings/tokens") && notice.contains("factotum secret set"),
        "{notice}"
    );
    assert!(scene.model.asked().iter().all(|asked| !asked.contains(&token())));
    let home = scene.home;
    scene.daemon.stop().await;
    assert_eq!(found_on_disk(home.path(), &token()), Vec::<String>::new());
}

#[tokio::test]
async fn secrets_in_a_file_are_masked_and_the_known_one_dies() {
    let scene = Scene::with(reader("notes.txt")).await;
    let vault = plant(scene.home.path());
    let text = format!("user me\npass {VALUE}\ntoken {}\n", token());
    std::fs::write(scene.home.path().join("workspaces/main/notes.txt"), text).unwrap();
    scene.channel.say("1", "look").await;
    let heard = scene.channel.wait_for("heard: ").await;
    assert!(heard.contains("[secret mail]") && heard.contains("[masked github-token]"), "{heard}");
    let notice = scene.channel.wait_for("is dead").await;
    assert!(notice.contains("the output of the tool read"), "{notice}");
    scene.channel.wait_for("looks like a GitHub token").await;
    assert!(vault.list().unwrap()[0].dead.is_some());
    scene.daemon.stop().await;
}

#[tokio::test]
async fn an_answer_is_masked_but_kills_nothing() {
    let scene = Scene::with(FakeModel::new(|_| vec![Block::text(format!("it is {VALUE} and {}", token()))])).await;
    let vault = plant(scene.home.path());
    scene.channel.say("1", "tell me").await;
    let answer = scene.channel.wait_for("it is").await;
    assert_eq!(answer, "it is [secret mail] and [masked github-token]");
    assert!(vault.list().unwrap()[0].dead.is_none(), "a vendor that repeats its own key could take keys out of use");
    scene.daemon.stop().await;
}

#[tokio::test]
async fn an_answer_to_a_question_is_masked_as_a_message_is() {
    let scene = Scene::with(FakeModel::new(|heard| {
        if heard.contains("begin") {
            let input = json!({ "question": "Which password?" });
            return vec![Block::ToolUse { id: "1".into(), name: "ask".into(), input }];
        }
        vec![Block::text(format!("heard: {heard}"))]
    }))
    .await;
    let vault = plant(scene.home.path());
    scene.channel.say("1", "begin").await;
    scene.channel.wait_for("Which password?").await;
    let client = scene.client().await;
    let request = client.approvals().await.unwrap()[0].id;
    let answer = types::Answer::Text { text: format!("it is {VALUE}") };
    client.command(&types::Command::Answer { request, answer, code: None, confirm: None }).await.unwrap();
    scene.channel.wait_for("it is [secret mail]").await;
    assert_eq!(vault.list().unwrap()[0].dead.clone().unwrap().place, "an answer on api");
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_short_value_is_masked_and_stays_alive() {
    let scene = Scene::start().await;
    let vault = Vault::open(scene.home.path()).unwrap();
    vault.set(&name("pin"), SecretValue::new("hunter22").unwrap(), Timestamp(0)).unwrap();
    scene.channel.say("1", "the hunter22 band").await;
    scene.channel.wait_for("the [secret pin] band").await;
    assert!(vault.list().unwrap()[0].dead.is_none());
    scene.daemon.stop().await;
}

/// The command line changes the vault's file alone; the record of it is the daemon's.
#[tokio::test]
async fn changes_of_the_vault_are_recorded_by_the_daemon() {
    let scene = Scene::start().await;
    let vault = plant(scene.home.path());
    let log = scene.home.path().join("audit.log");
    let recorded = async |events: &[&str]| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while !events.iter().any(|event| std::fs::read_to_string(&log).unwrap_or_default().contains(event)) {
            assert!(std::time::Instant::now() < deadline, "{events:?} was not recorded");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    // It may have been there before the first look.
    recorded(&["\"set\"", "\"vault_opened\""]).await;
    vault.rotate(&name("mail"), SecretValue::new("another-0123456789").unwrap(), Timestamp(5)).unwrap();
    recorded(&["\"replaced\""]).await;
    vault.remove(&name("mail")).unwrap();
    recorded(&["\"removed\""]).await;
    let home = scene.home;
    scene.daemon.stop().await;
    assert_eq!(found_on_disk(home.path(), VALUE), Vec::<String>::new());
}

/// The switch of invariant 1 undoes the defence.
#[cfg(feature = "faults")]
#[tokio::test]
async fn without_the_defence_a_secret_reaches_the_model() {
    types::faults::set_broken("1");
    let scene = Scene::start().await;
    plant(scene.home.path());
    scene.channel.say("1", &format!("log in with {VALUE}")).await;
    scene.channel.wait_for(VALUE).await;
    assert!(scene.model.asked().iter().any(|asked| asked.contains(VALUE)));
    scene.daemon.stop().await;
}
