//! Calls that the owner is asked about.

use std::{sync::Arc, time::Duration};

use policy::{Rules, ToolRule};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use types::{Answer, Event, Origin, RequestId, ToolEnd, TurnEnd, TurnId};

use crate::{model::Reply, world::World};

fn destroy() -> Vec<Reply> {
    vec![Reply::Call(vec![("a", "destroy", json!({"text": "all"}))]), Reply::Say("Done.")]
}

/// Answers the first request that is asked from now on.
fn answering(world: &World, answer: Answer) -> impl Future<Output = RequestId> {
    // Before the turn runs: it may come to its question without having to wait once.
    let mut events = world.deps.store.subscribe();
    async move {
        let asked = World::wait_for(&mut events, |event| matches!(event, Event::OwnerAsked { .. })).await;
        let Event::OwnerAsked { request } = asked else { unreachable!() };
        assert!(world.answer(request.id, answer).await);
        request.id
    }
}

#[tokio::test]
async fn an_approved_call_runs_once() {
    let mut world = World::new(destroy()).await;
    let turn = world.begin("clean up").await;
    let (end, _) = world.run_with(turn, CancellationToken::new(), answering(&world, Answer::ONCE)).await;
    assert_eq!(end, TurnEnd::Done);
    assert_eq!(world.runs(), ["destroy all"]);
    insta::assert_snapshot!(world.transcript());
}

#[tokio::test]
async fn a_refused_call_does_not_run() {
    let mut world = World::new(destroy()).await;
    let turn = world.begin("clean up").await;
    world.run_with(turn, CancellationToken::new(), answering(&world, Answer::Denied)).await;
    assert_eq!(world.ends(turn), [("a".to_owned(), ToolEnd::Denied)]);
    assert_eq!(world.runs(), Vec::<String>::new());
    insta::assert_snapshot!(world.transcript());
}

#[tokio::test]
async fn words_are_no_approval() {
    let mut world = World::new(destroy()).await;
    let turn = world.begin("clean up").await;
    let answer = Answer::Text { text: "yes".to_owned() };
    world.run_with(turn, CancellationToken::new(), answering(&world, answer)).await;
    assert_eq!(world.ends(turn), [("a".to_owned(), ToolEnd::Denied)]);
    assert_eq!(world.runs(), Vec::<String>::new());
}

#[tokio::test]
async fn a_question_that_nobody_answers_expires() {
    let mut world = World::new(destroy()).await;
    world.deps.settings.approval_timeout = Duration::from_millis(30);
    assert_eq!(world.say("clean up").await, TurnEnd::Done);
    assert_eq!(world.runs(), Vec::<String>::new());
    insta::assert_snapshot!(world.transcript());
}

#[tokio::test]
async fn nobody_present_means_no() {
    let mut world = World::new(destroy()).await;
    let turn = world.begin_as("clean up", Origin::Schedule).await;
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    assert_eq!(world.ends(turn), [("a".to_owned(), ToolEnd::Denied)]);
    assert_eq!(world.runs(), Vec::<String>::new());
    insta::assert_snapshot!(world.transcript());
}

#[tokio::test]
async fn the_owners_rules_hold() {
    let calls = vec![("a", "write", json!({"text": "1"})), ("b", "look", json!({"text": "2"}))];
    let mut world = World::new(vec![Reply::Call(calls), Reply::Say("Done.")]).await;
    let tools = [("write".to_owned(), ToolRule::Deny), ("look".to_owned(), ToolRule::Ask)].into();
    world.deps.rules = Arc::new(Rules { tools, version: 1 });
    let turn = world.begin("work").await;
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    // Asking is for calls that change something.
    assert_eq!(world.ends(turn), [("a".to_owned(), ToolEnd::Denied), ("b".to_owned(), ToolEnd::Ok)]);
}

/// A world that died while a call waited for the owner.
async fn dead_while_waiting() -> (World, TurnId) {
    let mut world = World::new(destroy()).await;
    let turn = world.begin("clean up").await;
    let mut events = world.deps.store.subscribe();
    tokio::select! {
        _ = world.run(turn) => panic!("it must wait"),
        _ = World::wait_for(&mut events, |event| matches!(event, Event::OwnerAsked { .. })) => {}
    }
    world.restart();
    (world, turn)
}

#[tokio::test]
async fn an_approval_does_not_hold_for_changed_rules() {
    let (mut world, turn) = dead_while_waiting().await;
    let open = world.deps.store.open_requests().unwrap();
    assert!(world.answer(open[0].id, Answer::ONCE).await);
    world.deps.rules = Arc::new(Rules { version: 2, ..Rules::default() });
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    assert_eq!(world.ends(turn), [("a".to_owned(), ToolEnd::Denied)]);
    assert_eq!(world.runs(), Vec::<String>::new());
}

#[tokio::test]
async fn an_approval_that_was_used_does_not_hold_again() {
    let (world, turn) = dead_while_waiting().await;
    let id = world.deps.store.open_requests().unwrap()[0].id;
    assert!(world.answer(id, Answer::ONCE).await);
    assert!(world.deps.store.transact(move |tx| tx.use_approval(id)).await.unwrap());
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    assert_eq!(world.ends(turn), [("a".to_owned(), ToolEnd::Denied)]);
    assert_eq!(world.runs(), Vec::<String>::new());
}

#[tokio::test]
async fn a_question_survives_a_restart_and_is_not_put_again() {
    let (mut world, turn) = dead_while_waiting().await;
    let open = world.deps.store.open_requests().unwrap();
    assert_eq!(open.len(), 1);
    // It waits again for the same request.
    let again = tokio::time::timeout(Duration::from_millis(100), world.run(turn)).await;
    assert!(again.is_err(), "it must wait");
    assert_eq!(world.deps.store.open_requests().unwrap(), open);
    world.restart();
    let later = async {
        tokio::task::yield_now().await;
        world.answer(open[0].id, Answer::ONCE).await
    };
    let (end, _) = world.run_with(turn, CancellationToken::new(), later).await;
    assert_eq!(end, TurnEnd::Done);
    assert_eq!(world.runs(), ["destroy all"]);
    let asked = world.events().iter().filter(|event| matches!(event, Event::OwnerAsked { .. })).count();
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn an_approval_does_not_outlive_its_time_over_a_restart() {
    let (world, turn) = dead_while_waiting().await;
    let id = world.deps.store.open_requests().unwrap()[0].id;
    assert!(world.answer(id, Answer::ONCE).await);
    world.clock.forward(Duration::from_secs(61));
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    assert_eq!(world.ends(turn), [("a".to_owned(), ToolEnd::Denied)]);
    assert_eq!(world.runs(), Vec::<String>::new());
}
