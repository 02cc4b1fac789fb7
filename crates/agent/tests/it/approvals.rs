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
    world.deps.rules.set(Rules { tools, version: 1 });
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
    let (world, turn) = dead_while_waiting().await;
    let open = world.deps.store.open_requests().unwrap();
    assert!(world.answer(open[0].id, Answer::ONCE).await);
    world.deps.rules.set(Rules { version: 2, ..Rules::default() });
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

#[tokio::test]
async fn an_approval_does_not_hold_for_changed_files() {
    let (world, turn) = dead_while_waiting().await;
    let open = world.deps.store.open_requests().unwrap();
    let types::Ask::Approval(question) = &open[0].ask else { panic!("{open:?}") };
    assert_eq!(question.workspace_state.as_deref(), Some("state 1"));
    assert!(world.answer(open[0].id, Answer::ONCE).await);
    "state 2".clone_into(&mut world.state.lock().unwrap());
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    assert_eq!(world.ends(turn), [("a".to_owned(), ToolEnd::Denied)]);
    assert_eq!(world.runs(), Vec::<String>::new());
}

/// A file that changes after the answer and before the call, while the task runs on.
#[tokio::test]
async fn a_file_that_changes_right_after_the_answer_is_noticed() {
    let mut world = World::new(destroy()).await;
    let turn = world.begin("clean up").await;
    let state = world.state.clone();
    let mut events = world.deps.store.subscribe();
    let answer = async {
        let asked = World::wait_for(&mut events, |event| matches!(event, Event::OwnerAsked { .. })).await;
        let Event::OwnerAsked { request } = asked else { unreachable!() };
        "swapped".clone_into(&mut state.lock().unwrap());
        assert!(world.answer(request.id, Answer::ONCE).await);
    };
    world.run_with(turn, CancellationToken::new(), answer).await;
    assert_eq!(world.ends(turn), [("a".to_owned(), ToolEnd::Denied)]);
    assert_eq!(world.runs(), Vec::<String>::new());
}

/// Without the defence, what changed after it was shown runs: the tests above would fail.
#[cfg(feature = "faults")]
#[tokio::test]
async fn the_fault_switch_lets_a_changed_call_run() {
    let (world, turn) = dead_while_waiting().await;
    let id = world.deps.store.open_requests().unwrap()[0].id;
    assert!(world.answer(id, Answer::ONCE).await);
    "state 2".clone_into(&mut world.state.lock().unwrap());
    types::faults::set_broken("7");
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    assert_eq!(world.runs(), ["destroy all"]);
}

/// Without the defence, nobody's absence stops a call: `nobody_present_means_no` would fail.
#[cfg(feature = "faults")]
#[tokio::test]
async fn the_fault_switch_lets_unattended_calls_run() {
    let mut world = World::new(destroy()).await;
    types::faults::set_broken("8");
    let turn = world.begin_as("clean up", Origin::Schedule).await;
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    assert_eq!(world.runs(), ["destroy all"]);
}

#[tokio::test]
async fn an_approval_of_one_session_does_not_lift_a_call_of_another() {
    let (mut world, first) = dead_while_waiting().await;
    let id = world.deps.store.open_requests().unwrap()[0].id;
    assert!(world.answer(id, Answer::ONCE).await);
    // The same call with the same id in another session asks anew.
    let other = world
        .deps
        .store
        .transact(|tx| {
            let workspace = types::WorkspaceName::new("work").unwrap();
            tx.create_session(store::NewSession { key: None, title: "other".to_owned(), workspace })
        })
        .await
        .unwrap();
    world.session = other;
    world.change_model(|model| model.provider = Arc::new(crate::model::Script::list(destroy())));
    let turn = world.begin("clean up").await;
    let waited = tokio::time::timeout(Duration::from_millis(100), world.run(turn)).await;
    assert!(waited.is_err(), "it must ask");
    assert_ne!(first, turn);
    assert_eq!(world.deps.store.open_requests().unwrap().len(), 1);
    assert_eq!(world.runs(), Vec::<String>::new());
}

#[tokio::test]
async fn nobody_present_is_told_to_the_owner_once() {
    let calls = |id: &'static str| Reply::Call(vec![(id, "destroy", json!({"text": "all"}))]);
    let mut world = World::new(vec![calls("a"), calls("b"), Reply::Say("Done.")]).await;
    let turn = world.begin_as("clean up", Origin::Program).await;
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    let envelopes = world.deps.store.events_after(types::Seq(0), None, 1_000).unwrap();
    let notices: Vec<_> =
        envelopes.into_iter().filter(|envelope| matches!(envelope.event, Event::Notice { .. })).collect();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_eq!(notices[0].turn, None, "it must go to the owner, not to whoever set the task off");
    assert!(format!("{:?}", notices[0].event).contains("destroy: all"), "{notices:?}");
}
