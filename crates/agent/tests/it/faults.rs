//! Promises that are broken on purpose: the attack that each of them holds off succeeds then. Each test needs a process of
//! its own, which nextest gives it.

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use types::{Event, TurnEnd, faults::set_broken};

use crate::{
    model::{Reply, Script},
    world::World,
};

fn endless() -> Script {
    let number = std::sync::atomic::AtomicU32::new(0);
    Script::brain(move |_| {
        // No two calls are the same, so that only the caps and STOP can end it.
        let text = number.fetch_add(1, std::sync::atomic::Ordering::SeqCst).to_string();
        Reply::Call(vec![("", "count", json!({ "text": text }))])
    })
}

/// How many model calls an endless task makes within this time, and whether STOP or a cap ended it.
async fn run_on(world: &mut World, stop_after: usize) -> (usize, Option<TurnEnd>) {
    let turn = world.begin("count").await;
    let cancel = CancellationToken::new();
    let mut events = world.deps.store.subscribe();
    let stop = async {
        for _ in 0..stop_after {
            World::wait_for(&mut events, |event| matches!(event, Event::ModelAnswered { .. })).await;
        }
        cancel.cancel();
        std::future::pending::<()>().await;
    };
    let run = agent::run_turn(&world.deps, turn, cancel.clone());
    let end = tokio::select! {
        end = run => Some(end),
        () = stop => None,
        () = tokio::time::sleep(Duration::from_millis(800)) => None,
    };
    (world.requests.lock().unwrap().len(), end)
}

#[tokio::test]
async fn a_cap_ends_an_endless_task_and_without_it_nothing_does() {
    let mut world = World::with(endless()).await;
    world.deps.settings.limits.steps = 5;
    assert_eq!(run_on(&mut world, 1_000).await.0, 5);
    let before = world.requests.lock().unwrap().len();
    set_broken("16");
    let (asked, end) = run_on(&mut world, 1_000).await;
    assert!(end.is_none() && asked - before > 5, "{asked} {end:?}");
}

#[tokio::test]
async fn stop_ends_an_endless_task_and_without_it_nothing_does() {
    let mut world = World::with(endless()).await;
    world.deps.settings.limits.steps = 1_000_000;
    assert_eq!(run_on(&mut world, 3).await.1, Some(TurnEnd::Stopped));
    set_broken("15");
    assert_eq!(run_on(&mut world, 3).await.1, None);
}
