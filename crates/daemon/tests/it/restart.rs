//! What a restart must not lose.

use std::{sync::atomic::Ordering, time::Duration};

use crate::scene::{FakeChannel, FakeModel, Scene, transient};

#[tokio::test]
async fn a_turn_that_a_stop_of_the_daemon_interrupts_goes_on() {
    let model = FakeModel::echo();
    model.hangs.store(true, Ordering::SeqCst);
    let scene = Scene::with(model).await;
    scene.channel.say("1", "hello").await;
    while scene.model.asked().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let Scene { home, channel, model, daemon } = scene;
    daemon.stop().await;
    assert_eq!(channel.texts(), Vec::<String>::new(), "a stop of the daemon is not the end of the task");
    model.hangs.store(false, Ordering::SeqCst);
    let scene = Scene::again(home, channel, model).await;
    scene.channel.wait_for("heard: ").await;
    scene.daemon.stop().await;
}

#[tokio::test]
async fn an_answer_that_could_not_be_sent_is_sent_after_a_restart() {
    let scene = Scene::start().await;
    for _ in 0..20 {
        scene.channel.fail(transient());
    }
    scene.channel.say("1", "hello").await;
    let client = scene.client().await;
    while client.status().await.unwrap().undelivered == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let Scene { home, channel: _broken, model, daemon } = scene;
    daemon.stop().await;
    let scene = Scene::again(home, FakeChannel::new(), model).await;
    scene.channel.wait_for("heard: ").await;
    assert_eq!(scene.model.asked().len(), 1, "the model was not asked again");
    scene.daemon.stop().await;
}

/// A turn that hangs, told `text`, and then a restart before it could end: its model does not listen.
async fn restarted_while_ending(text: &str) -> Scene {
    let model = FakeModel::echo();
    model.hangs.store(true, Ordering::SeqCst);
    let scene = Scene::with(model).await;
    scene.channel.say("1", "first").await;
    while scene.model.asked().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(scene.channel.say("2", text).await);
    let Scene { home, channel, model, daemon } = scene;
    daemon.stop().await;
    assert!(!channel.texts().iter().any(|text| text.contains("go on from here")), "{:?}", channel.texts());
    model.hangs.store(false, Ordering::SeqCst);
    Scene::again(home, channel, model).await
}

#[tokio::test]
async fn a_stop_holds_over_a_restart() {
    let scene = restarted_while_ending("/stop").await;
    scene.channel.wait_for("go on from here").await;
    assert_eq!(scene.model.asked().len(), 1, "{:?}", scene.model.asked());
    scene.channel.say("3", "and now?").await;
    scene.channel.wait_for("and now?").await;
    scene.daemon.stop().await;
}

#[tokio::test]
async fn an_interrupting_message_holds_over_a_restart() {
    let scene = restarted_while_ending("/interrupt second").await;
    scene.channel.wait_for("second").await;
    assert_eq!(scene.model.asked().len(), 2, "{:?}", scene.model.asked());
    scene.daemon.stop().await;
}
