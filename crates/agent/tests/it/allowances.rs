//! Rules that an approval left behind: what they let through, and what still asks.

use policy::{Rules, ToolRule};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use types::{Allowance, AllowanceScope, Answer, Ask, Event, Label, Origin, Scope, ToolEnd, TurnEnd};

use crate::{model::Reply, world::World};

fn write(id: &'static str, text: &str) -> Reply {
    Reply::Call(vec![(id, "write", json!({ "text": text }))])
}

/// A world in which every call of `write` is asked about.
async fn asking(script: Vec<Reply>) -> World {
    let world = World::new(script).await;
    world.deps.rules.set(Rules { tools: [("write".to_owned(), ToolRule::Ask)].into(), version: 1 });
    world
}

/// Says yes to the first request and leaves its rule behind, as the daemon does.
fn approve(world: &World, scope: Scope) -> impl Future<Output = Allowance> {
    // Before the turn runs: it may come to its question without having to wait once.
    let mut events = world.deps.store.subscribe();
    async move {
        let asked = World::wait_for(&mut events, |event| matches!(event, Event::OwnerAsked { .. })).await;
        let Event::OwnerAsked { request } = asked else { unreachable!() };
        let Ask::Approval(question) = &request.ask else { panic!("{request:?}") };
        let offer = question.offer.clone().unwrap();
        let holds = match scope {
            Scope::Task => AllowanceScope::Task { session: request.session, turn: request.turn },
            Scope::Once | Scope::Always => AllowanceScope::Always,
        };
        let id = request.id;
        let saved = world.deps.store.transact(move |tx| {
            tx.answer(id, Answer::Approved { scope }, None)?;
            tx.add_allowance(id, &offer, holds)
        });
        saved.await.unwrap()
    }
}

fn asked(world: &World) -> usize {
    world.events().iter().filter(|event| matches!(event, Event::OwnerAsked { .. })).count()
}

#[tokio::test]
async fn a_rule_for_the_task_lets_the_same_call_through_until_the_task_ends() {
    let script = vec![write("a", "x"), write("b", "x"), Reply::Say("Done."), write("c", "x"), Reply::Say("Done.")];
    let mut world = asking(script).await;
    let turn = world.begin("work").await;
    let (end, allowance) = world.run_with(turn, CancellationToken::new(), approve(&world, Scope::Task)).await;
    assert_eq!(end, TurnEnd::Done);
    assert_eq!(world.runs(), ["write x", "write x"]);
    assert_eq!(asked(&world), 1);
    assert_eq!(world.deps.store.allowance(allowance.id).unwrap().unwrap().uses, 1);
    // The next task asks again.
    world.deps.settings.approval_timeout = std::time::Duration::from_millis(30);
    assert_eq!(world.say("again").await, TurnEnd::Done);
    assert_eq!(asked(&world), 2);
    assert_eq!(world.runs(), ["write x", "write x"]);
}

#[tokio::test]
async fn a_lasting_rule_holds_for_the_next_task_and_not_for_another_call() {
    let script = vec![
        write("a", "x"),
        Reply::Say("Done."),
        write("b", "x"),
        Reply::Say("Done."),
        write("c", "y"),
        Reply::Say("Done."),
    ];
    let mut world = asking(script).await;
    let turn = world.begin("work").await;
    world.run_with(turn, CancellationToken::new(), approve(&world, Scope::Always)).await;
    assert_eq!(world.say("again").await, TurnEnd::Done);
    assert_eq!((world.runs(), asked(&world)), (vec!["write x".to_owned(), "write x".to_owned()], 1));
    world.deps.settings.approval_timeout = std::time::Duration::from_millis(30);
    assert_eq!(world.say("another").await, TurnEnd::Done);
    assert_eq!((world.runs().len(), asked(&world)), (2, 2));
}

#[tokio::test]
async fn a_rule_that_was_taken_back_or_has_a_lower_label_lets_nothing_through() {
    for revoke in [true, false] {
        let script = vec![write("a", "x"), Reply::Say("Done."), write("b", "x"), Reply::Say("Done.")];
        let mut world = asking(script).await;
        let turn = world.begin("work").await;
        let (_, allowance) = world.run_with(turn, CancellationToken::new(), approve(&world, Scope::Always)).await;
        let (id, session) = (allowance.id, world.session);
        if revoke {
            world.deps.store.transact(move |tx| tx.revoke_allowance(id)).await.unwrap();
        } else {
            world.deps.store.transact(move |tx| tx.raise_label(session, Label::UNKNOWN, "a page")).await.unwrap();
        }
        world.deps.settings.approval_timeout = std::time::Duration::from_millis(30);
        assert_eq!(world.say("again").await, TurnEnd::Done);
        assert_eq!((world.runs().len(), asked(&world)), (1, 2), "revoked: {revoke}");
    }
}

#[tokio::test]
async fn a_rule_lifts_nothing_where_nobody_is_present_or_the_tool_is_off() {
    let script = vec![
        write("a", "x"),
        Reply::Say("Done."),
        write("b", "x"),
        Reply::Say("Done."),
        write("c", "x"),
        Reply::Say("Done."),
    ];
    let mut world = asking(script).await;
    let turn = world.begin("work").await;
    world.run_with(turn, CancellationToken::new(), approve(&world, Scope::Always)).await;
    let turn = world.begin_as("work", Origin::Schedule).await;
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    assert_eq!(world.ends(turn), [("b".to_owned(), ToolEnd::Denied)]);
    world.deps.rules.set(Rules { tools: [("write".to_owned(), ToolRule::Deny)].into(), version: 2 });
    let turn = world.begin("work").await;
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    assert_eq!(world.ends(turn), [("c".to_owned(), ToolEnd::Denied)]);
    assert_eq!(world.runs(), ["write x"]);
}

#[tokio::test]
async fn each_use_is_in_the_audit_log_with_the_rules_number() {
    let script = vec![write("a", "x"), write("b", "x"), Reply::Say("Done.")];
    let mut world = asking(script).await;
    let turn = world.begin("work").await;
    let (_, allowance) = world.run_with(turn, CancellationToken::new(), approve(&world, Scope::Task)).await;
    let log = world.deps.store.audit().read(0, 100).unwrap();
    let is_use = |record: &&serde_json::Value| record["detail"]["allowance"] == json!(allowance.id);
    let used: Vec<_> = log.iter().filter(is_use).collect();
    assert_eq!(used.len(), 1, "{log:?}");
    assert_eq!(used[0]["detail"]["decision"], "allow");
}
