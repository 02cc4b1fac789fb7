//! A crash at every await: the turn is dropped there and run again, as after `kill -9` and a restart.

use serde_json::json;
use store::CallState;
use types::{Answer, Event, MicroUsd, ModelRequest, ToolEnd, TurnEnd, TurnId};

use crate::{
    model::{Reply, Script},
    world::{World, dropped_after},
};

/// Looks twice, writes, destroys (which must be approved), writes, answers. It goes by what it is shown, as a model
/// does, so that it can be asked again.
fn brain(request: &ModelRequest) -> Reply {
    let text = crate::world::shown(&request.messages);
    let done = |call: &str| text.contains(&format!("\"call\":\"{call}\""));
    if !done("look-1") {
        let look = |id, text| (id, "look", json!({ "text": text }));
        return Reply::Call(vec![look("look-1", "1"), look("look-2", "2"), ("write-1", "write", json!({"text": "1"}))]);
    }
    if !done("destroy") {
        return Reply::Call(vec![
            ("destroy", "destroy", json!({"text": "all"})),
            ("write-2", "write", json!({"text": "2"})),
        ]);
    }
    Reply::Say("All done.")
}

/// Runs the turn with the owner approving whatever is asked, and drops it after it has waited `most` times.
async fn run_until(world: &World, turn: TurnId, most: u32) -> Option<TurnEnd> {
    let mut events = world.deps.store.subscribe();
    let approve = async {
        for request in world.deps.store.open_requests().unwrap() {
            world.answer(request.id, Answer::ONCE).await;
        }
        loop {
            let asked = World::wait_for(&mut events, |event| matches!(event, Event::OwnerAsked { .. })).await;
            let Event::OwnerAsked { request } = asked else { continue };
            world.answer(request.id, Answer::ONCE).await;
        }
    };
    let ended = tokio::select! {
        biased;
        ended = dropped_after(world.run(turn), most) => ended,
        () = approve => None,
    };
    // What was queued when it crashed is written or not; here it is.
    world.deps.store.transact(|_| Ok(())).await.unwrap();
    ended
}

fn check(world: &World, turn: TurnId, crash: &str) {
    let events = world.events();
    let count = |fits: fn(&Event) -> bool| events.iter().filter(|event| fits(event)).count();
    assert_eq!(count(|event| matches!(event, Event::TurnFinished { end: TurnEnd::Done, .. })), 1, "{crash}");
    assert_eq!(count(|event| matches!(event, Event::OwnerAsked { .. })), 1, "{crash}");
    assert_eq!(world.text(turn), "All done.", "{crash}");
    assert_eq!(world.reserved(turn), MicroUsd(0), "{crash}");
    assert_eq!(world.deps.store.waiting_inbox(world.session).unwrap().len(), 0, "{crash}");
    assert_eq!(world.deps.store.open_requests().unwrap().len(), 0, "{crash}");
    let calls = world.deps.store.calls(turn).unwrap();
    assert_eq!(calls.len(), 5, "{crash}");
    for record in calls {
        let CallState::Finished(end) = record.state else { panic!("{crash}: {record:?}") };
        let run = format!("{} {}", record.call.name, record.call.input["text"].as_str().unwrap());
        let times = world.runs().iter().filter(|other| **other == run).count();
        match (record.read_only, end) {
            (true, ToolEnd::Ok) => assert!(times >= 1, "{crash}: {run}"),
            (false, ToolEnd::Ok) => assert_eq!(times, 1, "{crash}: {run}"),
            (false, ToolEnd::Unknown) => {
                assert!(times <= 1, "{crash}: {run} {times}");
                let told =
                    events.iter().any(|event| matches!(event, Event::Notice { text, .. } if text.contains(&run[..4])));
                assert!(told, "{crash}: {run}");
            }
            other => panic!("{crash}: {run} {other:?}"),
        }
    }
    // The model has seen every result and the steering message once.
    let request = world.last_request();
    for call in ["look-1", "look-2", "write-1", "destroy", "write-2"] {
        assert_eq!(request.matches(&format!("\"call\":\"{call}\"")).count(), 1, "{crash}: {request}");
    }
    assert_eq!(request.matches("be quick").count(), 1, "{crash}: {request}");
}

async fn prepared() -> (World, TurnId) {
    let mut world = World::with(Script::brain(brain)).await;
    let turn = world.begin("do it all").await;
    world.receive("be quick").await;
    (world, turn)
}

#[tokio::test]
async fn a_crash_at_every_await_repeats_and_loses_nothing() {
    let mut unknown = 0;
    for most in 0.. {
        let (mut world, turn) = prepared().await;
        let ended = run_until(&world, turn, most).await;
        world.restart();
        if ended.is_none() {
            assert_eq!(run_until(&world, turn, u32::MAX).await, Some(TurnEnd::Done), "{most}");
        }
        check(&world, turn, &format!("dropped after {most} waits"));
        unknown += world.ends(turn).iter().filter(|(_, end)| *end == ToolEnd::Unknown).count();
        if ended.is_some() {
            assert!(most > 0, "it never waited");
            break;
        }
        assert!(most < 500);
    }
    // At least each of the three effects was interrupted once.
    assert!(unknown >= 3, "{unknown}");
}

#[tokio::test]
async fn crash_after_crash_ends_too() {
    for most in [1, 2, 3, 5, 7] {
        let (mut world, turn) = prepared().await;
        let mut crashes = 0;
        // A wait more each time, or a step that needs more than `most` waits would never be passed.
        while run_until(&world, turn, most + crashes).await.is_none() {
            world.restart();
            crashes += 1;
            assert!(crashes < 200, "{most}");
        }
        check(&world, turn, &format!("dropped every {most} waits, {crashes} times"));
    }
}

#[tokio::test]
async fn a_call_whose_outcome_is_unknown_is_told_and_not_repeated() {
    let script = vec![Reply::Call(vec![("a", "stuck", json!({"text": "1"}))]), Reply::Say("I looked: it was done.")];
    let mut world = World::new(script).await;
    let turn = world.begin("work").await;
    let mut events = world.deps.store.subscribe();
    let started = World::wait_for(&mut events, |event| matches!(event, Event::ToolStarted { .. }));
    tokio::select! {
        _ = world.run(turn) => panic!("it must hang"),
        _ = started => {}
    }
    world.restart();
    world.transcript();
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    insta::assert_snapshot!(world.transcript());
    insta::assert_snapshot!("what_the_model_is_told", world.last_request());
}

#[tokio::test]
async fn a_model_call_that_was_open_is_made_again_and_stays_paid() {
    let mut world = World::new(vec![Reply::Hang("Let me"), Reply::Say("Done.")]).await;
    let turn = world.begin("work").await;
    let asking = tokio::time::timeout(std::time::Duration::from_millis(50), world.run(turn)).await;
    assert!(asking.is_err(), "it must hang");
    world.restart();
    let reserved = world.reserved(turn);
    assert!(reserved > MicroUsd(0));
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    let spent = world.spent(turn);
    assert_eq!((spent.reserved, spent.settled), (MicroUsd(0), reserved.plus(MicroUsd(200))));
    insta::assert_snapshot!(world.transcript());
}
