//! Questions to the owner on a messenger: shown, answered by words or a button, and settled wherever they were shown.

use std::sync::Arc;

use channels::{Inbound, InboundKind};
use serde_json::json;
use types::{Answer, Block, Command};

use crate::scene::{FakeModel, OWNER, Scene, message};

/// A model that asks for a colour and tells what it was given.
fn curious() -> Arc<FakeModel> {
    FakeModel::new(|words| {
        if words.starts_with("paint") {
            let input = json!({ "question": "which colour?", "options": ["red", "blue"] });
            return vec![Block::ToolUse { id: "call-1".to_owned(), name: "ask".to_owned(), input }];
        }
        vec![Block::text(format!("painted: {words}"))]
    })
}

fn press(remote_id: &str, user: &str, data: &str) -> Inbound {
    let kind = InboundKind::Button { nonce: data.to_owned(), callback_id: "c".to_owned(), message: None };
    Inbound { kind, ..message(remote_id, user, "") }
}

#[tokio::test]
async fn a_question_is_answered_by_its_button_once_and_only_by_the_owner() {
    let scene = Scene::with(curious()).await;
    scene.channel.say("1", "paint").await;
    scene.channel.wait_for("> which colour?").await;
    let buttons = scene.channel.buttons();
    assert_eq!(buttons.iter().map(|button| button.label.as_str()).collect::<Vec<_>>(), ["red", "blue"]);
    let blue = &buttons[1].data;
    assert!(blue.len() <= 64);
    assert!(scene.channel.receive(press("2", "666", blue)).await);
    let group = Inbound { private: false, ..press("3", OWNER, blue) };
    assert!(scene.channel.receive(group).await);
    assert_eq!(scene.client().await.approvals().await.unwrap().len(), 1, "a stranger's press counted");
    assert!(scene.channel.receive(press("4", OWNER, blue)).await);
    let answer = scene.channel.wait_for("painted: ").await;
    assert!(answer.contains("blue"), "{answer}");
    let settled = scene.channel.wait_for("edit ").await;
    assert!(settled.contains("> blue"), "{settled}");
    assert!(scene.channel.receive(press("5", OWNER, blue)).await);
    scene.channel.wait_for("was settled before").await;
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_question_is_answered_in_words_or_over_the_api() {
    let scene = Scene::with(curious()).await;
    scene.channel.say("1", "paint").await;
    scene.channel.wait_for("> which colour?").await;
    scene.channel.say("2", "a warm green").await;
    let answer = scene.channel.wait_for("painted: ").await;
    assert!(answer.contains("a warm green"), "{answer}");
    scene.channel.say("3", "paint again").await;
    let client = scene.client().await;
    let open = loop {
        if let Some(request) = client.approvals().await.unwrap().pop() {
            break request;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let approve = Command::answer(open.id, Answer::ONCE);
    assert!(client.command(&approve).await.is_err(), "a question in words cannot be approved");
    let words = Command::answer(open.id, Answer::Text { text: "violet".to_owned() });
    client.command(&words).await.unwrap();
    scene.channel.wait_for("violet").await;
    scene.daemon.stop().await;
}

#[tokio::test]
async fn an_open_question_survives_a_restart_and_is_shown_once() {
    let scene = Scene::with(curious()).await;
    scene.channel.say("1", "paint").await;
    scene.channel.wait_for("> which colour?").await;
    let blue = scene.channel.buttons()[1].data.clone();
    // Until the delivery is recorded, a restart would rightly show it again.
    while scene.client().await.status().await.unwrap().undelivered > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let Scene { home, channel, model, daemon } = scene;
    daemon.stop().await;
    let scene = Scene::again(home, channel, model).await;
    assert!(scene.channel.receive(press("2", OWNER, &blue)).await);
    let answer = scene.channel.wait_for("painted: ").await;
    assert!(answer.contains("blue"), "{answer}");
    let shown = scene.channel.texts().iter().filter(|text| text.starts_with("**The agent asks**")).count();
    assert_eq!(shown, 1, "{:?}", scene.channel.texts());
    scene.daemon.stop().await;
}
