//! One turn at a time, and how a running one is changed.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use daemon::SystemClock;
use store::{NewInbox, NewTurn, Store};
use types::{ChannelId, Origin, TurnEnd, WhenBusy};

use crate::scene::{FakeModel, OWNER, Scene};

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

#[tokio::test]
async fn what_is_said_after_a_stop_is_begun() {
    let scene = hanging().await;
    scene.channel.say("2", "/stop").await;
    // The model does not listen, so the turn takes a while to end.
    scene.model.hangs.store(false, Ordering::SeqCst);
    scene.channel.say("3", "/queue do this instead").await;
    scene.channel.wait_for("Stopped.").await;
    scene.channel.wait_for("do this instead").await;
    assert!(!scene.channel.texts().iter().any(|text| text.contains("before I began")), "{:?}", scene.channel.texts());
    scene.daemon.stop().await;
}

/// A turn in the main session that answers a message of the owner, as a worker that could not go on leaves it.
async fn left_behind(scene: &Scene, text: &'static str, end: Option<TurnEnd>) {
    let chat = (ChannelId::new("fake", "home"), Some(OWNER.to_owned()));
    left_behind_in(scene, chat, text, end).await;
}

async fn left_behind_in(
    scene: &Scene,
    (channel, reply_to): (ChannelId, Option<String>),
    text: &'static str,
    end: Option<TurnEnd>,
) {
    let store = Store::open(scene.home.path(), Arc::new(SystemClock::new())).unwrap();
    let session = store.session_by_key("main").unwrap().unwrap().id;
    let leave = move |tx: &mut store::Tx<'_>| {
        let inbox = tx.receive(NewInbox {
            channel: channel.clone(),
            remote_id: "left".to_owned(),
            session,
            text: text.to_owned(),
            reply_to: reply_to.clone(),
            when_busy: WhenBusy::Steer,
            origin: Origin::Owner,
        })?;
        let turn = tx.begin_turn(NewTurn {
            session,
            origin: Origin::Owner,
            model: "fake".to_owned(),
            inbox: vec![inbox.id],
            reply_channel: channel,
            reply_to,
        })?;
        match end {
            Some(end) => tx.finish_turn(turn, end, text.to_owned()).map(|_| ()),
            None => Ok(()),
        }
    };
    store.transact(leave).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn an_answer_that_could_not_be_handed_over_is_handed_over_with_the_next_message() {
    let scene = Scene::start().await;
    left_behind(&scene, "the answer that stayed behind", Some(TurnEnd::Done)).await;
    scene.channel.say("1", "hello").await;
    scene.channel.wait_for("the answer that stayed behind").await;
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_turn_that_was_given_up_goes_on_before_another_begins() {
    let scene = Scene::start().await;
    left_behind(&scene, "left", None).await;
    scene.channel.say("1", "/queue hello").await;
    scene.channel.wait_for("hello").await;
    assert_eq!(scene.model.asked().len(), 2, "{:?}", scene.model.asked());
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_message_that_steers_a_task_from_elsewhere_is_answered_where_it_came_from() {
    let scene = Scene::start().await;
    left_behind_in(&scene, (ChannelId::api(), None), "begun by a program", None).await;
    scene.channel.say("1", "steered from the chat").await;
    scene.channel.wait_for("steered from the chat").await;
    assert_eq!(scene.model.asked().len(), 1, "{:?}", scene.model.asked());
    scene.daemon.stop().await;
}
