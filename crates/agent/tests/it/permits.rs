//! What a coding agent asks to be allowed goes the way of our own calls.

use std::{sync::Arc, time::Duration};

use agent::{Permission, permit, withdraw};
use policy::{Rules, ToolRule};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use types::{Answer, Effect, Event, Origin, Sink, TurnId};

use crate::world::World;

fn asked(key: &str, sink: Sink) -> Permission {
    let effect = Effect {
        sink,
        read_only: false,
        destinations: Vec::new(),
        reversible: false,
        payload: None,
        summary: "exec: something".to_owned(),
        count: 1,
    };
    Permission {
        key: key.to_owned(),
        by: "claude".to_owned(),
        tool: "exec".to_owned(),
        input: json!({ "command": "something" }),
        effect,
        in_workspace: true,
        unasked: None,
    }
}

async fn ask(world: &World, turn: TurnId, asked: Permission) -> Result<(), String> {
    let turn = world.deps.store.turn(turn).unwrap().unwrap();
    permit(&world.deps, turn, CancellationToken::new(), asked).await.unwrap()
}

/// Asks while the owner answers in this way.
async fn ask_and_answer(world: &World, turn: TurnId, asked: Permission, answer: Answer) -> Result<(), String> {
    let mut events = world.deps.store.subscribe();
    let owner = async {
        let event = World::wait_for(&mut events, |event| matches!(event, Event::OwnerAsked { .. })).await;
        let Event::OwnerAsked { request } = event else { unreachable!() };
        assert!(world.answer(request.id, answer).await);
    };
    tokio::join!(ask(world, turn, asked), owner).0
}

/// Asks, and breaks off once the owner has the question, as a crash would.
async fn ask_and_crash(world: &World, turn: TurnId, asked: Permission) {
    let mut events = world.deps.store.subscribe();
    tokio::select! {
        early = ask(world, turn, asked) => panic!("it must wait: {early:?}"),
        _ = World::wait_for(&mut events, |event| matches!(event, Event::OwnerAsked { .. })) => {}
    }
}

fn questions(world: &World) -> usize {
    world.events().iter().filter(|event| matches!(event, Event::OwnerAsked { .. })).count()
}

/// The audit log's records about calls: their kind, their `by`, and what was decided or came of it.
fn log(world: &World) -> Vec<String> {
    let records = world.deps.store.audit().read(0, 1_000).unwrap();
    let word = |record: &serde_json::Value| {
        let detail = &record["detail"];
        let what = [&detail["decision"], &detail["end"]].into_iter().find_map(serde_json::Value::as_str);
        Some(format!("{} {} {}", record["kind"].as_str()?, detail["by"].as_str().unwrap_or("-"), what?))
    };
    records.iter().filter_map(word).filter(|line| line.starts_with("tool")).collect()
}

#[tokio::test]
async fn ordinary_work_in_the_tree_is_allowed_and_recorded() {
    let mut world = World::new(Vec::new()).await;
    let turn = world.begin("fix it").await;
    assert_eq!(ask(&world, turn, asked("1", Sink::WorkspaceWrite)).await, Ok(()));
    assert_eq!(questions(&world), 0);
    assert_eq!(log(&world), ["tool_intent claude allow", "tool_outcome claude allowed"]);
}

#[tokio::test]
async fn what_destroys_is_asked_about_and_a_yes_holds_once() {
    let mut world = World::new(Vec::new()).await;
    let turn = world.begin("fix it").await;
    let destroy = || asked("1", Sink::Destructive);
    assert_eq!(ask_and_answer(&world, turn, destroy(), Answer::ONCE).await, Ok(()));
    let other = ask_and_answer(&world, turn, asked("2", Sink::Destructive), Answer::Denied).await.unwrap_err();
    assert!(other.contains("the owner said no"), "{other}");
    assert_eq!(questions(&world), 2);
}

#[tokio::test]
async fn a_yes_that_was_used_and_not_given_is_given_after_a_restart_to_the_same_call_alone() {
    let mut world = World::new(Vec::new()).await;
    let turn = world.begin("fix it").await;
    assert_eq!(ask_and_answer(&world, turn, asked("1", Sink::Destructive), Answer::ONCE).await, Ok(()));
    world.restart();
    assert_eq!(ask(&world, turn, asked("1", Sink::Destructive)).await, Ok(()));
    assert_eq!(questions(&world), 1, "nobody was asked again");
    let mut changed = asked("1", Sink::Destructive);
    changed.input = json!({ "command": "something else" });
    let other = ask(&world, turn, changed).await.unwrap_err();
    assert!(other.contains("not allowed"), "{other}");
    world.clock.forward(Duration::from_secs(3_600));
    let late = ask(&world, turn, asked("1", Sink::Destructive)).await.unwrap_err();
    assert!(late.contains("time was over"), "{late}");
}

#[tokio::test]
async fn after_a_restart_the_same_question_is_waited_for() {
    let mut world = World::new(Vec::new()).await;
    let turn = world.begin("fix it").await;
    ask_and_crash(&world, turn, asked("1", Sink::Destructive)).await;
    let request = world.deps.store.open_requests().unwrap()[0].id;
    world.restart();
    assert!(world.answer(request, Answer::ONCE).await, "answered while nobody waited");
    assert_eq!(ask(&world, turn, asked("1", Sink::Destructive)).await, Ok(()));
    assert_eq!(questions(&world), 1);
}

#[tokio::test]
async fn nobody_answers_or_nobody_is_there() {
    let mut world = World::new(Vec::new()).await;
    let turn = world.begin("fix it").await;
    ask_and_crash(&world, turn, asked("1", Sink::Destructive)).await;
    world.clock.forward(Duration::from_secs(61));
    let late = ask(&world, turn, asked("1", Sink::Destructive)).await.unwrap_err();
    assert!(late.contains("nobody approved it in time"), "{late}");
    let mut alone = World::new(Vec::new()).await;
    let turn = alone.begin_as("fix it", Origin::Schedule).await;
    let refused = ask(&alone, turn, asked("1", Sink::Destructive)).await.unwrap_err();
    assert!(refused.contains("nobody is present"), "{refused}");
    assert_eq!(questions(&alone), 0);
    assert_eq!(log(&alone), ["tool_intent claude deny", "tool_outcome claude refused"]);
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_is_withdrawn() {
    let mut world = World::new(Vec::new()).await;
    let turn = world.begin("fix it").await;
    ask_and_crash(&world, turn, asked("1", Sink::Destructive)).await;
    withdraw(&world.deps, turn, "1").await.unwrap();
    assert!(world.deps.store.open_requests().unwrap().is_empty());
    withdraw(&world.deps, turn, "1").await.unwrap();
    withdraw(&world.deps, turn, "unknown").await.unwrap();
    let refused = ask(&world, turn, asked("1", Sink::Destructive)).await.unwrap_err();
    assert!(refused.contains("withdrawn"), "{refused}");
}

#[tokio::test]
async fn it_counts_as_foreign_with_private_words_whatever_the_session_has_read() {
    let mut world = World::new(Vec::new()).await;
    let turn = world.begin("look at https://docs.example.org/guide please").await;
    let fetch = |key: &str, url: &str| {
        let mut asked = asked(key, Sink::Fetch);
        asked.tool = "fetch".to_owned();
        asked.effect.read_only = true;
        asked.effect.destinations = vec![url.to_owned()];
        asked
    };
    assert_eq!(ask(&world, turn, fetch("1", "https://docs.example.org/guide")).await, Ok(()), "the owner wrote it");
    let other = ask_and_answer(&world, turn, fetch("2", "https://evil.example.net/?q=x"), Answer::Denied).await;
    assert!(other.is_err());
    assert_eq!(questions(&world), 1);
}

#[tokio::test]
async fn the_owners_rules_for_our_tools_hold_for_a_coding_agents_too() {
    let mut world = World::new(Vec::new()).await;
    let turn = world.begin("fix it").await;
    let tools = [("exec".to_owned(), ToolRule::Deny)].into();
    world.deps.rules.set(Rules { tools, version: 7 });
    let refused = ask(&world, turn, asked("1", Sink::WorkspaceWrite)).await.unwrap_err();
    assert!(refused.contains("switched `exec` off"), "{refused}");
    world.deps.rules.set(Rules::default());
    world.deps.ready = Arc::new(|| Err("the audit log is not shipped".to_owned()));
    let refused = ask(&world, turn, asked("2", Sink::WorkspaceWrite)).await.unwrap_err();
    assert!(refused.contains("not shipped"), "{refused}");
}

#[tokio::test]
async fn an_approval_depends_on_the_files_of_the_workspace_itself() {
    let mut world = World::new(Vec::new()).await;
    let turn = world.begin("fix it").await;
    for (key, in_workspace) in [("1", true), ("2", false)] {
        let destroy = || Permission { in_workspace, ..asked(key, Sink::Destructive) };
        ask_and_crash(&world, turn, destroy()).await;
        let request = world.deps.store.open_requests().unwrap()[0].id;
        assert!(world.answer(request, Answer::ONCE).await);
        let changed = format!("{} and changed", world.state.lock().unwrap());
        *world.state.lock().unwrap() = changed;
        let answer = ask(&world, turn, destroy()).await;
        assert_eq!(answer.is_err(), in_workspace, "{answer:?}");
    }
}

#[tokio::test]
async fn where_the_owner_cannot_be_asked_only_what_needs_them_is_refused() {
    let mut world = World::new(Vec::new()).await;
    let turn = world.begin("fix it").await;
    let unasked = |key: &str, sink| Permission { unasked: Some("8 questions wait".to_owned()), ..asked(key, sink) };
    ask(&world, turn, unasked("1", Sink::WorkspaceWrite)).await.unwrap();
    let why = ask(&world, turn, unasked("2", Sink::Destructive)).await.unwrap_err();
    assert!(why.contains("8 questions wait"), "{why}");
    assert!(world.deps.store.open_requests().unwrap().is_empty());
}
