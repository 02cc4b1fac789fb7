//! The outbox: nothing lost, order kept, repeats marked.

use channels::{ChannelError, ChannelErrorKind};
use types::{Event, Seq};

use crate::scene::{FakeModel, Scene, transient};

#[tokio::test]
async fn a_failure_is_retried_and_order_is_kept() {
    let scene = Scene::start().await;
    scene.channel.fail(transient());
    scene.channel.say("1", "first").await;
    scene.channel.say("2", "/help").await;
    scene.channel.wait_for("heard: ").await;
    scene.channel.wait_for("/resume N").await;
    // Which of the two was owed first depends on timing, but nothing may be missing or there twice.
    let texts = scene.channel.texts();
    for part in ["heard: first", "/resume N"] {
        assert_eq!(texts.iter().filter(|text| text.contains(part)).count(), 1, "{texts:?}");
    }
    scene.daemon.stop().await;
}

#[tokio::test]
async fn pieces_of_one_answer_stay_in_order_over_failures() {
    let long: Vec<String> = (0..400).map(|number| format!("line {number}")).collect();
    let long = long.join("\n");
    let scene = Scene::with(FakeModel::new(move |_| vec![types::Block::text(long.clone())])).await;
    scene.channel.say("0", "/help").await;
    scene.channel.wait_for("/resume N").await;
    scene.channel.fail(transient());
    scene.channel.say("1", "tell me").await;
    scene.channel.wait_for("line 399").await;
    let numbers: Vec<u32> = scene
        .channel
        .texts()
        .join("\n")
        .lines()
        .filter_map(|line| line.strip_prefix("line ").and_then(|number| number.trim().parse().ok()))
        .collect();
    assert_eq!(numbers, (0..400).collect::<Vec<u32>>());
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_message_that_may_be_there_is_marked_when_it_is_sent_again() {
    let scene = Scene::start().await;
    scene.channel.fail(transient().maybe_sent());
    scene.channel.say("1", "hello").await;
    let answer = scene.channel.wait_for("heard: ").await;
    assert!(answer.starts_with("(possibly sent twice after a restart)"), "{answer}");
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_refusal_is_final_and_told() {
    let scene = Scene::start().await;
    scene.channel.fail(ChannelError::new(ChannelErrorKind::Permanent, "the chat is gone"));
    scene.channel.say("1", "hello").await;
    let client = scene.client().await;
    let mut events = client.events(Seq(0), None).await.unwrap();
    loop {
        let envelope = events.next().await.unwrap().unwrap();
        if let Event::DeliveryFailed { error, .. } = envelope.event {
            assert!(error.contains("the chat is gone"), "{error}");
            break;
        }
    }
    assert_eq!(scene.channel.texts(), Vec::<String>::new());
    scene.channel.say("2", "again").await;
    scene.channel.wait_for("again").await;
    scene.daemon.stop().await;
}
