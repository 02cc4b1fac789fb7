//! Slash commands and refusals in a chat.

use crate::scene::{GUEST, OWNER, Scene, message};

#[tokio::test]
async fn commands_are_answered_and_carried_out_once() {
    let scene = Scene::start().await;
    scene.channel.say("1", "/new building").await;
    scene.channel.wait_for("session 2 begins").await;
    // Its confirmation was lost, so it comes again: no third session.
    assert!(scene.channel.say("1", "/new building").await);
    scene.channel.say("2", "/sessions").await;
    let list = scene.channel.wait_for("/resume N goes to one").await;
    assert!(list.contains("* 2 building"), "{list}");
    assert!(list.contains("1 (main) main"), "{list}");
    assert!(!list.contains("3 "), "{list}");
    scene.channel.say("3", "/resume 1").await;
    scene.channel.wait_for("session 1 goes on").await;
    for (id, command, part) in [
        ("4", "/help", "/interrupt TEXT"),
        ("5", "/status", "nothing is running"),
        ("6", "/cost", "this session: $0.0000"),
        ("7", "/model", "practice/scripted answers"),
        ("8", "/undo", "nothing is saved to go back to"),
        ("9", "/approve 5", "there is no request 5"),
        ("10", "/nope", "there is no command /nope"),
        ("11", "/stop", "nothing was running"),
        ("12", "/workspace nowhere", "there is no workspace `nowhere`"),
        ("13", "/resume 99", "there is no session `99`"),
    ] {
        assert!(scene.channel.say(id, command).await);
        scene.channel.wait_for(part).await;
    }
    assert_eq!(scene.model.asked(), Vec::<String>::new());
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_new_session_is_made_once_even_if_its_answer_cannot_be_kept() {
    let scene = Scene::start().await;
    let mut item = message("1", OWNER, "/new building");
    // An address that the outbox refuses stands for a crash or a full disk between the two writes.
    item.chat = "x".repeat(1 << 20);
    assert!(!scene.channel.receive(item.clone()).await, "it was confirmed though its answer is not kept");
    assert!(scene.channel.receive(item).await, "it comes again for ever");
    let client = scene.client().await;
    assert_eq!(client.sessions().await.unwrap().len(), 2);
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused_politely_and_only_to_the_owner() {
    let scene = Scene::start().await;
    let long = "x".repeat((64 << 10) + 1);
    assert!(scene.channel.receive(message("1", GUEST, &long)).await);
    assert!(scene.channel.say("2", &long).await);
    scene.channel.wait_for("the most is 64 KiB").await;
    assert_eq!(scene.channel.texts().len(), 1);
    assert_eq!(scene.model.asked(), Vec::<String>::new());
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_known_secret_in_a_message_is_masked_before_it_is_kept() {
    let scene = Scene::start().await;
    let vault = egress::Vault::open(scene.home.path()).unwrap();
    let name = types::SecretName::new("mail").unwrap();
    vault.set(&name, egress::SecretValue::new("correct-horse-battery").unwrap(), types::Timestamp(0)).unwrap();
    scene.channel.say("1", "/new with correct-horse-battery").await;
    scene.channel.say("2", "log in with correct-horse-battery please").await;
    let answer = scene.channel.wait_for("log in with").await;
    assert!(answer.contains("[secret mail]"), "{answer}");
    let client = scene.client().await;
    let sessions = format!("{:?}", client.sessions().await.unwrap());
    assert!(sessions.contains("[secret mail]"), "{sessions}");
    let home = scene.home;
    scene.daemon.stop().await;
    for name in ["factotum.db", "audit.log"] {
        let bytes = std::fs::read(home.path().join(name)).unwrap();
        assert!(!bytes.windows(21).any(|window| window == b"correct-horse-battery"), "{name}");
    }
}
