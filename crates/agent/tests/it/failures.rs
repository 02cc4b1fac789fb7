//! Providers that fail, and answers that are not whole.

use types::{ModelEvent, ProviderError, ProviderErrorKind, StopReason, TurnEnd};

use crate::{model::Reply, world::World};

async fn failure(script: Vec<Reply>) -> (World, String) {
    let mut world = World::new(script).await;
    let end = world.say("work").await;
    match end {
        TurnEnd::Failed { error } => (world, error),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_provider_failure_ends_the_turn_with_what_to_do() {
    let (mut world, error) = failure(vec![Reply::Fail(ProviderErrorKind::Quota)]).await;
    assert_eq!(
        error,
        "the account's quota is used up: scripted; add money or quota to the provider's account, or use another model"
    );
    insta::assert_snapshot!(world.transcript());
}

#[tokio::test]
async fn a_stream_without_an_end_is_a_failure() {
    let (world, error) = failure(vec![Reply::Events(vec![ModelEvent::TextDelta("half".to_owned())])]).await;
    assert!(error.starts_with("the answer was cut off"), "{error}");
    let turn = world.deps.store.turns(world.session, 1).unwrap()[0].id;
    // The vendor may bill it.
    assert!(world.spent(turn).settled.0 > 0);
}

#[tokio::test]
async fn a_cut_answer_is_continued_and_is_one_text() {
    let script = vec![
        Reply::Stop(StopReason::MaxTokens, "One, "),
        Reply::Stop(StopReason::MaxTokens, "two, "),
        Reply::Say("three."),
    ];
    let mut world = World::new(script).await;
    assert_eq!(world.say("count").await, TurnEnd::Done);
    assert_eq!(world.last_text(), "One, two, three.");
    insta::assert_snapshot!(world.last_request());
}

#[tokio::test]
async fn an_answer_that_is_cut_again_and_again_fails() {
    let (world, error) = failure(vec![Reply::Stop(StopReason::MaxTokens, "more "); 4]).await;
    assert!(error.contains("max_output_tokens"), "{error}");
    assert_eq!(world.requests.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a_paused_answer_is_sent_again_as_it_is() {
    let script = vec![Reply::Stop(StopReason::PauseTurn, "Searching. "), Reply::Say("Found.")];
    let mut world = World::new(script).await;
    assert_eq!(world.say("search").await, TurnEnd::Done);
    assert_eq!(world.last_text(), "Searching. Found.");
    assert!(world.last_request().ends_with(r#"Assistant {"type":"text","text":"Searching. "}"#));
}

#[tokio::test]
async fn pauses_are_bounded() {
    let (world, _) = failure(vec![Reply::Stop(StopReason::PauseTurn, "x"); 6]).await;
    assert_eq!(world.requests.lock().unwrap().len(), 6);
}

#[tokio::test]
async fn an_empty_answer_is_asked_for_once_more() {
    let mut world = World::new(vec![Reply::Stop(StopReason::EndTurn, ""), Reply::Say("Here.")]).await;
    assert_eq!(world.say("work").await, TurnEnd::Done);
    assert_eq!(world.last_text(), "Here.");
    let (_, error) = failure(vec![Reply::Stop(StopReason::EndTurn, ""); 2]).await;
    assert!(error.contains("empty answer twice"), "{error}");
}

#[tokio::test]
async fn a_refusal_ends_the_turn() {
    let mut world = World::new(vec![Reply::Stop(StopReason::Refusal, "I will not.")]).await;
    assert_eq!(world.say("work").await, TurnEnd::Refused);
    assert_eq!(world.last_text(), "I will not.");
    let mut world = World::new(vec![Reply::Stop(StopReason::Refusal, "")]).await;
    world.say("work").await;
    assert!(world.last_text().starts_with("The model refused"), "{}", world.last_text());
}

#[tokio::test]
async fn an_error_text_with_a_secret_is_masked() {
    let error = ProviderError::new(ProviderErrorKind::Auth, "bad key hunter22");
    let (_, error) = failure(vec![Reply::Events(vec![ModelEvent::Failed(error)])]).await;
    assert!(error.contains("bad key [secret pass]"), "{error}");
}

#[tokio::test]
async fn a_turn_that_has_ended_is_not_run_again() {
    let mut world = World::new(vec![Reply::Say("Done.")]).await;
    let turn = world.begin("work").await;
    world.run(turn).await;
    let events = world.events().len();
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    assert_eq!(world.events().len(), events);
}
