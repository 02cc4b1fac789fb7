//! Limits: each ends the turn with a text, and none is exceeded.

use std::time::Duration;

use policy::budget::Limits;
use serde_json::json;
use types::{
    Block, MicroUsd, ModelEvent, ModelReply, Origin, ProviderError, ProviderErrorKind, StopReason, TurnEnd, Usage,
};

use crate::{
    model::{Reply, Script, USAGE},
    world::World,
};

fn call() -> Reply {
    Reply::Call(vec![("", "count", json!({"text": "1"}))])
}

async fn limited(change: impl FnOnce(&mut Limits)) -> World {
    let mut world = World::with(Script::brain(|_| call())).await;
    change(&mut world.deps.settings.limits);
    world
}

fn limit(end: &TurnEnd) -> &str {
    match end {
        TurnEnd::Limit { limit } => limit,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn steps() {
    let mut world = limited(|limits| limits.steps = 2).await;
    let end = world.say("count").await;
    assert_eq!(limit(&end), "the task has used all of its 2 steps");
    assert_eq!(world.requests.lock().unwrap().len(), 2);
    insta::assert_snapshot!(world.transcript());
}

#[tokio::test]
async fn tokens() {
    let mut world = limited(|limits| limits.tokens = Some(200)).await;
    let end = world.say("count").await;
    assert_eq!(limit(&end), "the task has used 220 tokens of its 200");
    // The second answer's call does not run any more.
    assert_eq!(world.runs().len(), 1);
    insta::assert_snapshot!(world.last_text());
}

#[tokio::test]
async fn wall_time_ends_a_call_too() {
    let mut world = World::new(vec![Reply::Call(vec![("a", "slow", json!({"text": "1"}))])]).await;
    world.deps.settings.limits.wall = Some(Duration::from_millis(60));
    let end = world.say("work").await;
    assert_eq!(limit(&end), "the task has run for its 0 seconds");
    assert_eq!(world.deps.store.unfinished_turns().unwrap().len(), 0);
}

#[tokio::test]
async fn wall_time_of_the_journal_counts_across_restarts() {
    let mut world = limited(|limits| limits.wall = Some(Duration::from_secs(60))).await;
    let turn = world.begin("count").await;
    world.restart();
    world.clock.forward(Duration::from_secs(61));
    let end = world.run(turn).await;
    assert_eq!(limit(&end), "the task has run for its 60 seconds");
    assert_eq!(world.requests.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn money_of_a_task_is_never_exceeded_and_the_last_answers_are_shorter() {
    let mut world = limited(|limits| limits.task = Some(MicroUsd(15_000))).await;
    world.deps.settings.limits.steps = 1_000;
    let end = world.say("count").await;
    assert!(limit(&end).contains("for one task"), "{end:?}");
    let turn = world.deps.store.turns(world.session, 1).unwrap()[0].id;
    let spent = world.spent(turn);
    assert!(spent.total() <= MicroUsd(15_000), "{spent:?}");
    let requests = world.requests.lock().unwrap();
    assert_eq!(spent.settled.0, requests.len() as u64 * (USAGE.input + 10 * USAGE.output));
    let outputs: Vec<u32> = requests.iter().map(|request| request.max_output_tokens).collect();
    assert_eq!(outputs[0], 1_000);
    assert!(outputs.iter().rev().take(1).all(|output| (256..1_000).contains(output)), "{outputs:?}");
}

#[tokio::test]
async fn money_of_the_day_is_shared_by_turns_and_comes_back_tomorrow() {
    let mut world = World::with(Script::brain(|_| Reply::Say("Hi."))).await;
    world.deps.settings.limits.day = Some(MicroUsd(6_000));
    let mut turns = 0;
    while world.say("hello").await == TurnEnd::Done {
        turns += 1;
    }
    assert!(turns > 1, "{turns}");
    assert!(world.last_text().contains("for one day"), "{}", world.last_text());
    world.clock.forward(Duration::from_secs(86_400));
    assert_eq!(world.say("hello").await, TurnEnd::Done);
}

#[tokio::test]
async fn a_model_without_a_price_does_not_run_unattended_under_a_budget_in_money() {
    let mut world = World::with(Script::brain(|_| Reply::Say("Hi."))).await;
    world.deps.settings.limits.day = Some(MicroUsd(6_000));
    world.change_model(|model| model.prices = None);
    let turn = world.begin_as("hello", Origin::Schedule).await;
    let end = world.run(turn).await;
    assert!(limit(&end).contains("nobody knows what the model `model-1` costs"), "{end:?}");
    assert_eq!(world.say("hello").await, TurnEnd::Done);
}

#[tokio::test]
async fn attempts_that_timed_out_count_in_full() {
    let timed_out = |attempt| ModelEvent::Restarted {
        attempt,
        wait: Duration::ZERO,
        error: ProviderError::new(ProviderErrorKind::Timeout, "no answer"),
        wasted: Usage::default(),
    };
    let reply = ModelReply { blocks: vec![Block::text("Hi.")], stop: StopReason::EndTurn, usage: USAGE };
    let mut world =
        World::new(vec![Reply::Events(vec![timed_out(2), timed_out(3), ModelEvent::Finished(reply)])]).await;
    let turn = world.begin("hello").await;
    let reserved = world.reserved(turn).0;
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    assert_eq!(world.spent(turn).settled.0, 2 * reserved + USAGE.input + 10 * USAGE.output);
}

#[tokio::test]
async fn a_failure_after_the_answer_had_begun_counts_in_full() {
    for begun in [
        ModelEvent::TextDelta("I was about to say".to_owned()),
        ModelEvent::ThinkingDelta("Let me see".to_owned()),
        ModelEvent::ToolUseStarted { name: "write".to_owned() },
    ] {
        let overloaded = ModelEvent::Failed(ProviderError::new(ProviderErrorKind::Overloaded, "busy"));
        let mut world = World::new(vec![Reply::Events(vec![begun.clone(), overloaded])]).await;
        let turn = world.begin("hello").await;
        let reserved = world.reserved(turn);
        assert!(matches!(world.run(turn).await, TurnEnd::Failed { .. }));
        assert_eq!(world.spent(turn).settled, reserved, "{begun:?}");
    }
}

#[tokio::test]
async fn a_summary_that_timed_out_counts_in_full() {
    let mut world = World::new(vec![
        Reply::Say("One."),
        Reply::Fail(ProviderErrorKind::ContextOverflow),
        Reply::Fail(ProviderErrorKind::Timeout),
    ])
    .await;
    world.say("first").await;
    let turn = world.begin("second").await;
    assert!(matches!(world.run(turn).await, TurnEnd::Failed { .. }));
    // 1,000 tokens of output at ten millionths of a dollar each, and some input.
    assert!(world.spent(turn).settled > MicroUsd(10_000), "{:?}", world.spent(turn));
}
