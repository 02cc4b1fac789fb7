//! The inbox, turns and their tool calls.

use store::{CallState, NewCall, StoreError, TurnState};
use types::{Event, Label, Origin, Seq, ToolCall, ToolEnd, ToolOutput, TurnEnd, Usage};

use crate::fixture::{TestResult, new_inbox, new_session, new_turn, running_turn, store, telegram};

#[tokio::test]
async fn a_message_is_received_once() -> TestResult {
    let (store, _) = store()?;
    let session = store.transact(|tx| tx.create_session(new_session(None))).await?;
    let first = store.transact(move |tx| tx.receive(new_inbox(session, "7", "hello"))).await?;
    let again = store.transact(move |tx| tx.receive(new_inbox(session, "7", "hello again"))).await?;
    assert_eq!((first.duplicate, again.duplicate, first.id), (false, true, again.id));
    assert_eq!(store.waiting_inbox(session)?.len(), 1);
    assert_eq!(store.sessions_with_waiting_inbox()?, [session]);
    assert_eq!(store.events_after(Seq(0), None, 99)?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_silenced_message_stays_silenced() -> TestResult {
    let (store, _) = store()?;
    let session = store.transact(|tx| tx.create_session(new_session(None))).await?;
    assert!(!store.is_received(&telegram(), "8")?);
    for _ in 0..2 {
        store.transact(|tx| tx.note_silenced(telegram(), "8")).await?;
    }
    assert!(store.is_received(&telegram(), "8")?);
    assert!(store.transact(move |tx| tx.receive(new_inbox(session, "8", "late"))).await?.duplicate);
    assert_eq!(store.waiting_inbox(session)?, []);
    assert_eq!(store.last_seq()?, Seq(0));
    Ok(())
}

#[tokio::test]
async fn silenced_messages_are_remembered_up_to_a_bound() -> TestResult {
    let (store, _) = store()?;
    store
        .transact(|tx| {
            for number in 0..12_000 {
                tx.note_silenced(telegram(), number.to_string())?;
            }
            Ok(())
        })
        .await?;
    assert!(!store.is_received(&telegram(), "1999")?);
    assert!(store.is_received(&telegram(), "2000")?);
    assert!(store.is_received(&telegram(), "11999")?);
    Ok(())
}

#[tokio::test]
async fn a_message_is_taken_by_one_turn_of_its_session() -> TestResult {
    let (store, _) = store()?;
    let (session, other) =
        store.transact(|tx| Ok((tx.create_session(new_session(None))?, tx.create_session(new_session(None))?))).await?;
    let first = store.transact(move |tx| tx.receive(new_inbox(session, "1", "a"))).await?.id;
    let second = store.transact(move |tx| tx.receive(new_inbox(session, "2", "b"))).await?.id;
    let stolen = store.transact(move |tx| tx.begin_turn(new_turn(other, vec![first]))).await;
    assert!(matches!(stolen, Err(StoreError::Conflict(_))), "{stolen:?}");
    assert_eq!(store.unfinished_turns()?, []);
    let turn = store.transact(move |tx| tx.begin_turn(new_turn(session, vec![first]))).await?;
    let twice = store.transact(move |tx| tx.take_inbox(turn, first)).await;
    assert!(matches!(twice, Err(StoreError::Conflict(_))), "{twice:?}");
    store.transact(move |tx| tx.take_inbox(turn, second)).await?;
    assert_eq!(store.waiting_inbox(session)?, []);
    assert_eq!(store.turn(turn)?.map(|turn| turn.inbox), Some(vec![first, second]));
    Ok(())
}

#[tokio::test]
async fn a_turn_ends_once_and_waits_for_delivery() -> TestResult {
    let (store, _) = store()?;
    let (session, turn) = running_turn(&store).await?;
    assert_eq!(store.unfinished_turns()?.len(), 1);
    store.transact(move |tx| tx.set_turn_step(turn, 3)).await?;
    store.transact(move |tx| tx.settle(turn, 3, Usage { input: 7, ..Usage::default() }, None)).await?;
    assert!(store.transact(move |tx| tx.finish_turn(turn, TurnEnd::Done, "done".to_owned())).await?);
    assert!(!store.transact(move |tx| tx.finish_turn(turn, TurnEnd::Stopped, String::new())).await?);
    let row = store.turn(turn)?.ok_or("it is gone")?;
    assert_eq!((row.state, row.text.as_str(), row.step), (TurnState::Ended(TurnEnd::Done), "done", 3));
    let last = store.events_after(Seq(0), Some(session), 99)?.pop().ok_or("no event")?;
    let Event::TurnFinished { steps, usage, .. } = last.event else { return Err("another event is last".into()) };
    assert_eq!((steps, usage.input, last.turn), (3, 7, Some(turn)));
    assert_eq!(store.undelivered_turns()?.len(), 1);
    store.transact(move |tx| tx.mark_turn_delivered(turn)).await?;
    assert_eq!((store.undelivered_turns()?, store.unfinished_turns()?), (vec![], vec![]));
    Ok(())
}

#[tokio::test]
async fn a_turn_without_a_chat_waits_for_nothing() -> TestResult {
    let (store, _) = store()?;
    let session = store.transact(|tx| tx.create_session(new_session(None))).await?;
    let mut api = new_turn(session, vec![]);
    api.reply_channel = types::ChannelId::api();
    let mut nowhere = new_turn(session, vec![]);
    (nowhere.reply_to, nowhere.origin) = (None, Origin::Schedule);
    for new in [api, nowhere] {
        let turn = store.transact(|tx| tx.begin_turn(new)).await?;
        store.transact(move |tx| tx.finish_turn(turn, TurnEnd::Done, String::new())).await?;
    }
    assert_eq!(store.undelivered_turns()?, []);
    Ok(())
}

fn call(id: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: "exec".to_owned(), input: serde_json::json!({"command": "true"}) }
}

#[tokio::test]
async fn a_call_goes_from_planned_to_finished() -> TestResult {
    let (store, _) = store()?;
    let (_, turn) = running_turn(&store).await?;
    let plan = |id: &'static str, step| store.transact(move |tx| tx.plan_call(NewCall { turn, step, call: call(id) }));
    plan("b", 1).await?;
    plan("a", 1).await?;
    assert!(matches!(plan("a", 1).await, Err(StoreError::Conflict(_))));
    store.transact(move |tx| tx.start_call(turn, "b", "exec: true", true)).await?;
    let output = ToolOutput::ok("y".repeat(600), Label::OWNER);
    let given = output.clone();
    store.transact(move |tx| tx.finish_call(turn, "b", ToolEnd::Ok, given)).await?;
    let calls = store.calls(turn)?;
    assert_eq!(calls.iter().map(|call| call.call.id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!((calls[0].state, calls[0].read_only), (CallState::Finished(ToolEnd::Ok), true));
    assert_eq!((&calls[0].output, calls[1].state), (&Some(output), CallState::Planned));
    let again = store.transact(move |tx| tx.start_call(turn, "b", "", true)).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    let events = store.events_after(Seq(0), None, 99)?;
    let Some(Event::ToolFinished { preview, .. }) = events.last().map(|envelope| &envelope.event) else {
        return Err("another event is last".into());
    };
    assert_eq!(preview.len(), 500);
    Ok(())
}

#[tokio::test]
async fn vendors_may_number_their_calls_anew_with_every_answer() -> TestResult {
    let (store, _) = store()?;
    let (_, turn) = running_turn(&store).await?;
    for step in [1, 2] {
        store.transact(move |tx| tx.plan_call(NewCall { turn, step, call: call("call_0") })).await?;
        store.transact(move |tx| tx.start_call(turn, "call_0", "exec", false)).await?;
        let output = ToolOutput::ok(step.to_string(), Label::CLEAN);
        store.transact(move |tx| tx.finish_call(turn, "call_0", ToolEnd::Ok, output)).await?;
    }
    let outputs: Vec<_> =
        store.calls(turn)?.into_iter().filter_map(|call| call.output).map(|output| output.text).collect();
    assert_eq!(outputs, ["1", "2"]);
    Ok(())
}
