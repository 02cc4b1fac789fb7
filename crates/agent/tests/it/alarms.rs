//! A task that is out of the ordinary is paused: no model is asked until the owner has answered.

use std::time::Duration;

use policy::alarm::{Rule, Rules, Used};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use types::{Answer, Event, MicroUsd, Origin, OwnerRequest, TurnEnd};

use crate::{
    model::{Reply, Script},
    world::{World, dropped_after},
};

/// A model that never ends, under rules that pause a task after three model calls.
async fn endless() -> World {
    let mut world = World::with(Script::brain(|_| Reply::Call(vec![("", "count", json!({"text": "1"}))]))).await;
    let fixed = Used { steps: 3, ..Used::ZERO };
    world.deps.settings.alarms =
        Rules { task: Rule { fixed, ..Rule::default() }, patience: Duration::from_secs(60), ..Rules::OFF };
    world
}

fn asked(world: &World) -> usize {
    world.requests.lock().unwrap().len()
}

fn words(text: &str) -> Answer {
    Answer::Text { text: text.to_owned() }
}

/// Answers the next questions in turn; gives what was asked, and how many model calls there had been.
async fn answers(world: &World, all: &[&str]) -> Vec<(OwnerRequest, usize)> {
    let mut events = world.deps.store.subscribe();
    let mut seen = Vec::new();
    for answer in all {
        let event = World::wait_for(&mut events, |event| matches!(event, Event::OwnerAsked { .. })).await;
        let Event::OwnerAsked { request } = event else { unreachable!() };
        let before = asked(world);
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(asked(world), before, "a model was asked while the task was paused");
        assert!(world.answer(request.id, words(answer)).await);
        seen.push((*request, before));
    }
    seen
}

#[tokio::test]
async fn it_is_paused_goes_on_and_is_paused_again_at_twice_as_much() {
    let mut world = endless().await;
    let turn = world.begin("count").await;
    let meanwhile = answers(&world, &["continue", "what is this?", "Stop, please"]);
    let (end, seen) = world.run_with(turn, CancellationToken::new(), meanwhile).await;
    assert_eq!(end, TurnEnd::Stopped);
    assert_eq!(seen.iter().map(|(_, asked)| *asked).collect::<Vec<_>>(), [4, 9, 9]);
    let types::Ask::Question { text, options } = &seen[0].0.ask else { panic!("{:?}", seen[0]) };
    assert!(text.contains("4 model calls, over the bound of 3 model calls"), "{text}");
    assert_eq!(options, &["continue", "stop"]);
    let alarms = world.deps.store.audit().read(0, 100).unwrap();
    assert_eq!(alarms.iter().filter(|record| record["kind"] == "alarm").count(), 3);
}

#[tokio::test]
async fn nobody_answering_means_stop() {
    let mut world = endless().await;
    world.deps.settings.alarms.patience = Duration::from_millis(50);
    for origin in [Origin::Owner, Origin::Schedule] {
        let turn = world.begin_as("count", origin).await;
        let before = asked(&world);
        let end = world.run(turn).await;
        assert!(matches!(&end, TurnEnd::Limit { limit } if limit.contains("nobody answered")), "{end:?}");
        assert_eq!(asked(&world) - before, 4);
    }
    assert!(world.deps.store.open_requests().unwrap().is_empty());
}

#[tokio::test]
async fn a_pause_survives_a_restart_and_is_asked_once() {
    for crash in 0..400 {
        let mut world = endless().await;
        let turn = world.begin("count").await;
        // Once it has come to the pause it waits for good, which ends the series.
        let early = tokio::time::timeout(Duration::from_millis(200), dropped_after(world.run(turn), crash)).await;
        let is_paused = early.is_err();
        assert!(early.is_err() || early.is_ok_and(|ended| ended.is_none()), "it ended");
        world.restart();
        let paused = async {
            while world.deps.store.open_requests().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let open = world.deps.store.open_requests().unwrap();
            // A step that a crash interrupted counts, whether its model call had been made or not.
            assert!(open.len() == 1 && (3..=5).contains(&asked(&world)), "after {crash} waits: {}", asked(&world));
            assert!(world.answer(open[0].id, words("stop")).await);
        };
        let (end, ()) = world.run_with(turn, CancellationToken::new(), paused).await;
        assert_eq!(end, TurnEnd::Stopped, "after {crash} waits");
        let pauses = world.events().iter().filter(|event| matches!(event, Event::OwnerAsked { .. })).count();
        assert_eq!(pauses, 1, "after {crash} waits");
        if is_paused {
            assert!(crash > 5, "too few waits were tried");
            return;
        }
    }
    panic!("it never came to the pause");
}

#[tokio::test]
async fn stop_reaches_a_paused_task() {
    let mut world = endless().await;
    let turn = world.begin("count").await;
    let mut events = world.deps.store.subscribe();
    let cancel = CancellationToken::new();
    let stop = async {
        World::wait_for(&mut events, |event| matches!(event, Event::OwnerAsked { .. })).await;
        cancel.cancel();
    };
    let (end, ()) = world.run_with(turn, cancel.clone(), stop).await;
    assert_eq!(end, TurnEnd::Stopped);
    assert!(world.deps.store.open_requests().unwrap().is_empty());
}

#[tokio::test]
async fn a_task_is_compared_with_those_before_it() {
    let mut world = World::with(Script::brain(|request| {
        let text = serde_json::to_string(&request.messages.last().unwrap().blocks).unwrap();
        match text.contains("loop") || text.contains("tool_result") {
            true => Reply::Call(vec![("", "count", json!({"text": "1"}))]),
            false => Reply::Say("Hello."),
        }
    }))
    .await;
    let floor = Used { money: MicroUsd(1), ..Used::ZERO };
    let task = Rule { multiple: Some(3.0), floor, fixed: Used::ZERO };
    world.deps.settings.alarms = Rules { task, patience: Duration::from_millis(50), ..Rules::OFF };
    for _ in 0..5 {
        assert_eq!(world.say("hello").await, TurnEnd::Done);
    }
    let before = asked(&world);
    let end = world.say("loop").await;
    assert!(matches!(&end, TurnEnd::Limit { limit } if limit.contains("(usual are $")), "{end:?}");
    assert_eq!(asked(&world) - before, 4, "three times what is usual is let pass");
}

#[tokio::test]
async fn an_hour_is_compared_with_a_fixed_sum() {
    let mut world = endless().await;
    let fixed = Used { tokens: 700, ..Used::ZERO };
    world.deps.settings.alarms =
        Rules { hour: Rule { fixed, ..Rule::default() }, patience: Duration::from_millis(50), ..Rules::OFF };
    let end = world.say("count").await;
    assert!(matches!(&end, TurnEnd::Limit { limit } if limit.starts_with("this hour has used")), "{end:?}");
    world.clock.forward(Duration::from_secs(3_600));
    let before = asked(&world);
    world.say("count").await;
    assert!(asked(&world) - before > 1, "another hour begins from nothing");
    let before = asked(&world);
    world.say("count").await;
    assert_eq!(asked(&world) - before, 1, "the same hour counts all tasks");
}

#[tokio::test]
async fn bytes_that_go_out_and_refusals_in_a_row_pause_as_well() {
    let mut world = endless().await;
    let fixed = Used { bytes_up: 1_000, ..Used::ZERO };
    world.deps.settings.alarms.task.fixed = fixed;
    world.deps.settings.alarms.patience = Duration::from_millis(50);
    world.deps.sent = std::sync::Arc::new(|_| 1_001);
    let end = world.say("count").await;
    assert!(matches!(&end, TurnEnd::Limit { limit } if limit.contains("1001 bytes sent out")), "{end:?}");
    let fixed = Used { denied: 2, ..Used::ZERO };
    world.deps.settings.alarms.task.fixed = fixed;
    world
        .deps
        .rules
        .set(policy::Rules { tools: [("count".to_owned(), policy::ToolRule::Deny)].into_iter().collect(), version: 1 });
    let end = world.say("count").await;
    assert!(matches!(&end, TurnEnd::Limit { limit } if limit.contains("3 calls in a row")), "{end:?}");
}
