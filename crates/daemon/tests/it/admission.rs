//! Who is heard, and that everybody else meets silence.

use std::time::Duration;

use channels::{Inbound, InboundKind};

use crate::scene::{GUEST, OWNER, Scene, message};

fn silenced() -> Vec<(&'static str, Inbound)> {
    let with = |id: &str, user: &str, change: fn(&mut Inbound)| {
        let mut item = message(id, user, "fix it");
        change(&mut item);
        item
    };
    let press = |item: &mut Inbound| {
        let nonce = "y0123456789abcdef0123456789abcdef".to_owned();
        item.kind = InboundKind::Button { nonce, callback_id: "1".to_owned(), message: None };
    };
    vec![
        ("a stranger", with("s1", "666", |_| {})),
        ("a stranger's command", message("s2", "666", "/help")),
        ("an id that merely looks alike", with("s3", "042", |_| {})),
        ("the owner in a group", with("s4", OWNER, |item| item.private = false)),
        ("a bot", with("s5", OWNER, |item| item.from_bot = true)),
        ("a forwarded message", with("s6", OWNER, |item| item.forwarded = true)),
        ("an edited message", with("s7", OWNER, |item| item.edited = true)),
        ("a stranger's press", with("s8", "666", press)),
        ("a guest's press", with("s9", GUEST, press)),
        ("a press of a button that we never made", with("s10", OWNER, press)),
        (
            "a guest's photo",
            with("s11", GUEST, |item| {
                item.kind = InboundKind::Other { what: "a photo".to_owned(), caption: None };
            }),
        ),
        ("a guest's command", message("s12", GUEST, "/stop")),
    ]
}

#[tokio::test]
async fn everybody_else_meets_silence() {
    let scene = Scene::start().await;
    for (what, item) in silenced() {
        assert!(scene.channel.receive(item).await, "{what}: it was not confirmed");
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(scene.channel.texts(), Vec::<String>::new());
    assert_eq!(scene.model.asked(), Vec::<String>::new());
    scene.channel.say("1", "hello").await;
    scene.channel.wait_for("heard: ").await;
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_message_that_comes_twice_is_answered_once() {
    let scene = Scene::start().await;
    assert!(scene.channel.say("1", "hello").await);
    scene.channel.wait_for("hello").await;
    assert!(scene.channel.say("1", "hello").await);
    assert!(scene.channel.say("2", "good bye").await);
    scene.channel.wait_for("good bye").await;
    assert_eq!(scene.model.asked().len(), 2);
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_photo_is_not_opened_and_its_words_are_heard() {
    let scene = Scene::start().await;
    let photo = |id: &str, caption: Option<&str>| {
        let caption = caption.map(str::to_owned);
        Inbound { kind: InboundKind::Other { what: "a photo".to_owned(), caption }, ..message(id, OWNER, "") }
    };
    assert!(scene.channel.receive(photo("1", None)).await);
    scene.channel.wait_for("do not open attachments").await;
    assert!(scene.channel.receive(photo("2", Some("what is this?"))).await);
    let answer = scene.channel.wait_for("what is this?").await;
    assert!(answer.contains("a photo"), "{answer}");
    scene.daemon.stop().await;
}
