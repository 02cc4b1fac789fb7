//! Models that do not answer, and those that go on in their place.

use std::{sync::Arc, time::Duration};

use agent::{Model, Models};
use types::{
    Block, Event, MicroUsd, ModelEvent, ModelReply, Prices, ProviderError, ProviderErrorKind as Kind, StopReason,
    TurnEnd, Usage,
};

use crate::{
    model::{Reply, Script, USAGE},
    world::{World, model},
};

fn named(name: &str, replies: Vec<Reply>) -> Model {
    let id = name.rsplit('/').next().unwrap().to_owned();
    Model { name: name.to_owned(), id, ..model(Script::list(replies)) }
}

async fn world(models: Vec<Model>) -> World {
    let mut world = World::new(Vec::new()).await;
    world.deps.models = Models::new(models);
    world
}

/// The switches so far, and the models that turns began with.
fn seen(world: &World) -> Vec<String> {
    let events = world.events().into_iter().filter_map(|event| match event {
        Event::TurnStarted { model, .. } => Some(format!("begins with {model}")),
        Event::ModelSwitched { from, to, why } => Some(format!("{from} to {to}: {why}")),
        _ => None,
    });
    events.collect()
}

#[tokio::test]
async fn the_next_model_goes_on_and_the_first_is_asked_again_in_the_next_turn() {
    let first = named("a/1", vec![Reply::Fail(Kind::Overloaded), Reply::Say("Back.")]);
    let prices = Some(Prices::new(2.0, 20.0));
    let second = Model { prices, ..named("b/2", vec![Reply::Say("Hi.")]) };
    let mut world = world(vec![first, second]).await;
    let turn = world.begin("hello").await;
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    assert_eq!(world.text(turn), "Hi.");
    // Each call at its own model's price.
    assert_eq!(world.spent(turn).settled.0, 2 * USAGE.input + 20 * USAGE.output);
    assert_eq!(world.say("again").await, TurnEnd::Done);
    assert_eq!(world.last_text(), "Back.");
    let expected = [
        "begins with a/1",
        "a/1 to b/2: the provider is overloaded: scripted; it was tried several times; try again later, or use another model",
        "begins with a/1",
    ];
    assert_eq!(seen(&world), expected);
}

#[tokio::test]
async fn a_provider_that_is_out_of_order_is_left_alone_for_a_while() {
    let first = named("a/1", vec![Reply::Fail(Kind::Quota), Reply::Say("Back.")]);
    let second = named("b/2", vec![Reply::Say("One."), Reply::Say("Two.")]);
    let mut world = world(vec![first, second]).await;
    for text in ["One.", "Two."] {
        assert_eq!(world.say("hello").await, TurnEnd::Done);
        assert_eq!(world.last_text(), text);
    }
    world.clock.forward(Duration::from_secs(61));
    assert_eq!(world.say("hello").await, TurnEnd::Done);
    assert_eq!(world.last_text(), "Back.");
    let begins: Vec<String> = seen(&world).into_iter().filter(|line| line.starts_with("begins")).collect();
    assert_eq!(begins, ["begins with a/1", "begins with b/2", "begins with a/1"]);
}

#[tokio::test]
async fn when_all_fail_the_turn_says_why() {
    let models = vec![named("a/1", vec![Reply::Fail(Kind::Network)]), named("b/2", vec![Reply::Fail(Kind::Auth)])];
    let mut world = world(models).await;
    let TurnEnd::Failed { error } = world.say("hello").await else { panic!("it answered") };
    assert!(error.starts_with("the provider refused the key"), "{error}");
    assert_eq!(seen(&world).len(), 2);
}

#[tokio::test]
async fn a_request_that_is_wrong_is_wrong_everywhere() {
    for kind in [Kind::BadRequest, Kind::TooLarge] {
        let models =
            vec![named("a/1", vec![Reply::Fail(kind), Reply::Fail(kind)]), named("b/2", vec![Reply::Say("Hi.")])];
        let mut world = world(models).await;
        let end = world.say("hello").await;
        assert!(matches!(end, TurnEnd::Failed { .. }), "{kind:?} {end:?}");
        assert_eq!(seen(&world), ["begins with a/1"], "{kind:?}");
    }
}

#[tokio::test]
async fn a_weaker_model_never_goes_on() {
    let weak = Model { is_weak: true, ..named("b/mini", vec![Reply::Say("Hi.")]) };
    let mut world = world(vec![named("a/1", vec![Reply::Fail(Kind::Server)]), weak]).await;
    let end = world.say("hello").await;
    assert!(matches!(end, TurnEnd::Failed { .. }), "{end:?}");
}

#[tokio::test]
async fn a_session_has_the_model_that_was_chosen_for_it() {
    let models = vec![named("a/1", vec![Reply::Say("One.")]), named("b/2", vec![Reply::Say("Two.")])];
    let mut world = world(models).await;
    let session = world.session;
    for (chosen, text) in [(Some("b/2"), "Two."), (None, "One.")] {
        world.deps.store.transact(move |tx| agent::choose(tx, session, chosen)).await.unwrap();
        assert_eq!(agent::chosen(&world.deps.store, session).unwrap().as_deref(), chosen);
        assert_eq!(world.say("hello").await, TurnEnd::Done);
        assert_eq!(world.last_text(), text);
    }
}

#[tokio::test]
async fn an_attempt_that_may_be_billed_is_repeated_only_within_the_budget() {
    let timed_out = |attempt| ModelEvent::Restarted {
        attempt,
        wait: Duration::ZERO,
        error: ProviderError::new(Kind::Timeout, "no answer"),
        wasted: Usage::default(),
    };
    let reply = ModelReply { blocks: vec![Block::text("Hi.")], stop: StopReason::EndTurn, usage: USAGE };
    let events = vec![timed_out(2), timed_out(3), timed_out(4), ModelEvent::Finished(reply)];
    let mut world = World::new(Vec::new()).await;
    world.change_model(|model| model.provider = Arc::new(Script::list(vec![Reply::Events(events)])));
    let turn = world.begin("hello").await;
    let reserved = world.reserved(turn).0;
    // Room for three attempts, and not for a fourth.
    world.deps.settings.limits.task = Some(MicroUsd(3 * reserved + reserved / 2));
    let end = world.run(turn).await;
    assert!(matches!(end, TurnEnd::Limit { .. }), "{end:?}");
    let spent = world.spent(turn);
    assert_eq!((spent.settled.0, spent.reserved.0), (3 * reserved, 0));
}

#[tokio::test]
async fn an_answer_that_nobody_counted_costs_what_was_set_aside() {
    let reply = ModelReply { blocks: vec![Block::text("Hi.")], stop: StopReason::EndTurn, usage: Usage::default() };
    let mut world = World::new(vec![Reply::Events(vec![ModelEvent::Finished(reply)])]).await;
    let turn = world.begin("hello").await;
    let reserved = world.reserved(turn);
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    assert_eq!((world.spent(turn).settled, world.spent(turn).reserved), (reserved, MicroUsd(0)));
}

#[tokio::test]
async fn an_attempt_that_broke_off_in_its_answer_costs_at_least_what_was_set_aside() {
    let broken = ModelEvent::Restarted {
        attempt: 2,
        wait: Duration::ZERO,
        error: ProviderError::new(Kind::Truncated, "cut"),
        wasted: Usage { output: 1, ..USAGE },
    };
    let reply = ModelReply { blocks: vec![Block::text("Hi.")], stop: StopReason::EndTurn, usage: USAGE };
    let events = vec![ModelEvent::TextDelta("H".to_owned()), broken, ModelEvent::Finished(reply)];
    let mut world = World::new(vec![Reply::Events(events)]).await;
    let turn = world.begin("hello").await;
    let reserved = world.reserved(turn).0;
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    assert_eq!(world.spent(turn).settled.0, reserved + USAGE.input + 10 * USAGE.output);
}

#[tokio::test]
async fn calls_of_an_answer_that_ended_for_an_unknown_reason_do_not_run() {
    let call = Block::ToolUse { id: "a".to_owned(), name: "write".to_owned(), input: serde_json::json!({"text": "1"}) };
    let stop = StopReason::Other("insufficient_system_resource".to_owned());
    let cut = ModelReply { blocks: vec![Block::text("So"), call], stop, usage: USAGE };
    let mut world = World::new(vec![Reply::Events(vec![ModelEvent::Finished(cut)]), Reply::Say(" be it.")]).await;
    assert_eq!(world.say("write").await, TurnEnd::Done);
    assert_eq!((world.runs(), world.last_text()), (Vec::new(), "So be it.".to_owned()));
}
