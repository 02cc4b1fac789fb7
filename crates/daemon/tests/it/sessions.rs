//! One turn at a time, and how a running one is changed.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crate::scene::{FakeModel, Scene};

async fn hanging() -> Scene {
    let model = FakeModel::echo();
    model.hangs.store(true, Ordering::SeqCst);
    let scene = Scene::with(model).await;
    scene.channel.say("1", "first").await;
    asked(&scene, 1).await;
    scene
}

async fn asked(scene: &Scene, times: usize) {
    let begun = Instant::now();
    while scene.model.asked().len() < times {
        assert!(begun.elapsed() < Duration::from_secs(5), "the model was asked {:?}", scene.model.asked());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn stop_ends_the_turn_and_what_waits_is_not_begun() {
    let scene = hanging().await;
    scene.channel.say("2", "/queue second").await;
    let begun = Instant::now();
    scene.channel.say("3", "/stop").await;
    scene.channel.wait_for("Stopped.").await;
    assert!(begun.elapsed() < Duration::from_secs(2));
    scene.channel.wait_for("before I began").await;
    assert_eq!(scene.model.asked().len(), 1);
    scene.model.hangs.store(false, Ordering::SeqCst);
    scene.channel.say("4", "third").await;
    scene.channel.wait_for("third").await;
    scene.daemon.stop().await;
}

#[tokio::test]
async fn an_interrupting_message_takes_the_turns_place() {
    let scene = hanging().await;
    scene.model.hangs.store(false, Ordering::SeqCst);
    scene.channel.say("2", "/interrupt second").await;
    scene.channel.wait_for("Stopped.").await;
    scene.channel.wait_for("second").await;
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_panic_is_told_and_the_daemon_lives_on() {
    let scene = Scene::start().await;
    scene.model.panics.store(true, Ordering::SeqCst);
    scene.channel.say("1", "panic please").await;
    scene.channel.wait_for("a fault in factotum itself").await;
    scene.channel.say("2", "are you there?").await;
    scene.channel.wait_for("are you there?").await;
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_guest_has_a_session_of_their_own() {
    let scene = Scene::start().await;
    scene.channel.say("1", "mine").await;
    scene.channel.wait_for("mine").await;
    assert!(scene.channel.receive(crate::scene::message("2", crate::scene::GUEST, "theirs")).await);
    // Nobody is present for a guest's task, and this sandbox has not proved itself.
    scene.channel.wait_for("did not pass its self-test").await;
    let sessions = scene.client().await.sessions().await.unwrap();
    let guest = sessions.iter().find(|session| session.key.as_deref() == Some("fake/home:7")).unwrap();
    assert_eq!(guest.label, types::Label::UNKNOWN);
    assert!(!guest.current);
    scene.daemon.stop().await;
}
