//! STOP, wherever it falls.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio_util::sync::CancellationToken;
use types::{Event, ToolEnd, TurnEnd, TurnId};

use crate::{model::Reply, world::World};

/// Runs the turn and stops it as soon as an event fits; must end within two seconds.
async fn stopped_at(world: &World, turn: TurnId, fits: impl Fn(&Event) -> bool) -> TurnEnd {
    let mut events = world.deps.store.subscribe();
    let cancel = CancellationToken::new();
    let stop = async {
        World::wait_for(&mut events, fits).await;
        cancel.cancel();
        Instant::now()
    };
    let (end, since) = world.run_with(turn, cancel.clone(), stop).await;
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    assert_eq!(world.reserved(turn).0, 0);
    assert_eq!(world.deps.store.open_requests().unwrap().len(), 0);
    assert_eq!(world.deps.store.unfinished_turns().unwrap().len(), 0);
    end
}

#[tokio::test]
async fn in_the_models_answer() {
    let mut world = World::new(vec![Reply::Hang("I am thinking about"), Reply::Say("Fine.")]).await;
    let turn = world.begin("work").await;
    let end = stopped_at(&world, turn, |event| matches!(event, Event::TextDelta { .. })).await;
    assert_eq!(end, TurnEnd::Stopped);
    // What the call may have cost is not forgotten.
    assert!(world.spent(turn).settled.0 > 10_000, "{:?}", world.spent(turn));
    insta::assert_snapshot!(world.transcript());
    world.say("what was that?").await;
    insta::assert_snapshot!("the_request_after_a_stop", world.last_request());
}

#[tokio::test]
async fn with_a_provider_that_does_not_listen() {
    let mut world = World::new(vec![Reply::Deaf("Hm")]).await;
    let turn = world.begin("work").await;
    let end = stopped_at(&world, turn, |event| matches!(event, Event::TextDelta { .. })).await;
    assert_eq!(end, TurnEnd::Stopped);
}

#[tokio::test]
async fn in_a_tool() {
    let calls = vec![("a", "slow", json!({"text": "1"})), ("b", "write", json!({"text": "2"}))];
    let mut world = World::new(vec![Reply::Call(calls), Reply::Say("Fine.")]).await;
    let turn = world.begin("work").await;
    let end = stopped_at(&world, turn, |event| matches!(event, Event::ToolStarted { .. })).await;
    assert_eq!(end, TurnEnd::Stopped);
    assert_eq!(world.ends(turn), [("a".to_owned(), ToolEnd::Stopped), ("b".to_owned(), ToolEnd::Stopped)]);
    assert_eq!(world.runs(), ["slow 1"]);
    insta::assert_snapshot!(world.transcript());
    world.say("and now?").await;
    insta::assert_snapshot!("results_are_paired_after_a_stop", world.last_request());
}

#[tokio::test]
async fn in_a_tool_that_does_not_listen() {
    let mut world = World::new(vec![Reply::Call(vec![("a", "stuck", json!({"text": "1"}))])]).await;
    let turn = world.begin("work").await;
    let end = stopped_at(&world, turn, |event| matches!(event, Event::ToolStarted { .. })).await;
    assert_eq!(end, TurnEnd::Stopped);
    assert_eq!(world.ends(turn), [("a".to_owned(), ToolEnd::Stopped)]);
}

#[tokio::test]
async fn at_an_approval() {
    let mut world = World::new(vec![Reply::Call(vec![("a", "destroy", json!({"text": "1"}))])]).await;
    let turn = world.begin("work").await;
    let end = stopped_at(&world, turn, |event| matches!(event, Event::OwnerAsked { .. })).await;
    assert_eq!(end, TurnEnd::Stopped);
    assert_eq!(world.runs(), Vec::<String>::new());
    insta::assert_snapshot!(world.transcript());
}

#[tokio::test]
async fn before_the_first_step() {
    let mut world = World::new(vec![]).await;
    let turn = world.begin("work").await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    assert_eq!(agent::run_turn(&world.deps, turn, cancel).await, TurnEnd::Stopped);
    assert_eq!(world.text(turn), "Stopped, as you asked.\n\nNothing had been done yet.\n\nSay \"go on\" to continue.");
}
