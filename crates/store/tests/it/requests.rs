//! Questions and approvals.

use std::{sync::Arc, time::Duration};

use store::{NewCall, NewRequest, Store, StoreError};
use types::{Answer, Ask, ChannelId, Event, OwnerRequest, RequestId, Seq, SessionId, Timestamp, ToolCall, TurnId};

use crate::fixture::{NOON, TestResult, running_turn, store};

fn new_request(session: SessionId, turn: TurnId, call: &str) -> NewRequest {
    let ask = Ask::Question { text: "Which one?".to_owned(), options: vec!["this".to_owned()] };
    NewRequest { session, turn, call: call.to_owned(), ask, expires_at: Timestamp(NOON + 1_000) }
}

async fn asked(store: &Store) -> Result<OwnerRequest, StoreError> {
    let (session, turn) = running_turn(store).await?;
    store.transact(move |tx| tx.ask_owner(new_request(session, turn, "c"))).await
}

async fn answer(store: &Store, id: RequestId, answer: Answer) -> Result<bool, StoreError> {
    store.transact(move |tx| tx.answer(id, answer, Some(ChannelId::api()))).await
}

#[tokio::test]
async fn a_request_has_one_winner() -> TestResult {
    let (store, _) = store()?;
    let request = asked(&store).await?;
    assert_eq!(store.open_requests()?, std::slice::from_ref(&request));
    assert!(answer(&store, request.id, Answer::Denied).await?);
    assert!(!answer(&store, request.id, Answer::ONCE).await?);
    assert_eq!(store.request(request.id)?.and_then(|request| request.answer), Some(Answer::Denied));
    assert_eq!(store.open_requests()?, []);
    let settled = store.events_after(Seq(0), None, 99)?;
    let count = settled.iter().filter(|envelope| matches!(envelope.event, Event::OwnerAnswered { .. })).count();
    assert_eq!(count, 1);
    Ok(())
}

#[tokio::test]
async fn many_answers_at_once_have_one_winner() -> TestResult {
    let (store, _) = store()?;
    let id = asked(&store).await?.id;
    let mut answers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        answers.spawn(async move { answer(&store, id, Answer::ONCE).await });
    }
    let won: Result<Vec<bool>, StoreError> = answers.join_all().await.into_iter().collect();
    assert_eq!(won?.into_iter().filter(|won| *won).count(), 1);
    Ok(())
}

#[tokio::test]
async fn an_approval_is_used_once() -> TestResult {
    let (store, _) = store()?;
    let id = asked(&store).await?.id;
    let take = || store.transact(move |tx| tx.use_approval(id));
    assert!(!take().await?);
    answer(&store, id, Answer::ONCE).await?;
    assert!(take().await?);
    assert!(!take().await?);
    let denied = asked(&store).await?.id;
    answer(&store, denied, Answer::Denied).await?;
    assert!(!store.transact(move |tx| tx.use_approval(denied)).await?);
    Ok(())
}

#[tokio::test]
async fn a_late_answer_is_no_answer() -> TestResult {
    let (store, clock) = store()?;
    let id = asked(&store).await?.id;
    clock.set(NOON + 1_000);
    assert!(!answer(&store, id, Answer::ONCE).await?);
    assert_eq!(store.request(id)?.and_then(|request| request.answer), Some(Answer::Expired));
    assert!(!store.transact(move |tx| tx.use_approval(id)).await?);
    Ok(())
}

/// No two of many threads that redeem one approval at the same moment get through, however often it is tried.
#[test]
fn of_threads_that_race_for_one_approval_one_gets_through() -> TestResult {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    let (store, _) = store()?;
    for _ in 0..50 {
        let id = runtime.block_on(async {
            let id = asked(&store).await?.id;
            answer(&store, id, Answer::ONCE).await.map(|_| id)
        })?;
        let start = Arc::new(std::sync::Barrier::new(8));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (store, start, runtime) = (store.clone(), start.clone(), runtime.handle().clone());
                std::thread::spawn(move || {
                    start.wait();
                    runtime.block_on(store.transact(move |tx| tx.use_approval(id)))
                })
            })
            .collect();
        let mut won = 0;
        for thread in threads {
            won += usize::from(thread.join().map_err(|_| "a thread panicked")??);
        }
        assert_eq!(won, 1);
    }
    Ok(())
}

#[tokio::test]
async fn an_approval_does_not_outlive_its_time() -> TestResult {
    let (store, clock) = store()?;
    let id = asked(&store).await?.id;
    answer(&store, id, Answer::ONCE).await?;
    clock.set(NOON + 1_000);
    assert!(!store.transact(move |tx| tx.use_approval(id)).await?);
    Ok(())
}

/// Without the defence an approval is used twice and out of time: the tests above would fail.
#[cfg(feature = "faults")]
#[tokio::test]
async fn the_fault_switch_lets_an_approval_be_used_again() -> TestResult {
    let (store, clock) = store()?;
    let id = asked(&store).await?.id;
    answer(&store, id, Answer::ONCE).await?;
    assert!(store.transact(move |tx| tx.use_approval(id)).await?);
    clock.set(NOON + 1_000);
    types::faults::set_broken("7");
    assert!(store.transact(move |tx| tx.use_approval(id)).await?);
    Ok(())
}

#[tokio::test]
async fn nonces_are_long_random_and_found() -> TestResult {
    let (store, _) = store()?;
    let (first, second) = (asked(&store).await?, asked(&store).await?);
    let nonce = store.request_nonce(first.id)?.ok_or("no nonce")?;
    assert_eq!(nonce.len(), 32);
    assert_ne!(Some(&nonce), store.request_nonce(second.id)?.as_ref());
    assert_eq!(store.request_by_nonce(&nonce)?, Some(first));
    assert_eq!(store.request_by_nonce("guess")?, None);
    Ok(())
}

#[tokio::test]
async fn waiting_ends_with_the_answer() -> TestResult {
    let (store, _) = store()?;
    let id = asked(&store).await?.id;
    let early = tokio::time::timeout(Duration::from_millis(20), store.wait_request(id)).await;
    assert!(early.is_err());
    let (settled, won) =
        tokio::join!(store.wait_request(id), answer(&store, id, Answer::Text { text: "this".to_owned() }));
    assert!(won?);
    assert_eq!(settled?.answer, Some(Answer::Text { text: "this".to_owned() }));
    assert!(matches!(store.wait_request(RequestId(99)).await, Err(StoreError::NotFound { .. })));
    let open = asked(&store).await?.id;
    let (waited, ()) = tokio::join!(store.wait_request(open), store.close());
    assert!(matches!(waited, Err(StoreError::Closed)), "{waited:?}");
    Ok(())
}

#[tokio::test]
async fn the_requests_of_a_turn_are_withdrawn_together() -> TestResult {
    let (store, _) = store()?;
    let store = Arc::new(store);
    let (session, turn) = running_turn(&store).await?;
    for call in ["a", "b"] {
        store.transact(move |tx| tx.ask_owner(new_request(session, turn, call))).await?;
    }
    let other = asked(&store).await?;
    store.transact(move |tx| tx.withdraw_requests(turn)).await?;
    assert_eq!(store.open_requests()?, [other]);
    let answer = store.request_for_call(turn, "a")?.and_then(|request| request.answer);
    assert_eq!(answer, Some(Answer::Withdrawn));
    Ok(())
}

#[tokio::test]
async fn a_request_belongs_to_the_call_of_its_step() -> TestResult {
    let (store, _) = store()?;
    let (session, turn) = running_turn(&store).await?;
    let call = || ToolCall { id: "call_0".to_owned(), name: "ask".to_owned(), input: serde_json::Value::Null };
    store.transact(move |tx| tx.plan_call(NewCall { turn, step: 1, call: call() })).await?;
    assert_eq!(store.request_for_call(turn, "call_0")?, None);
    let first = store.transact(move |tx| tx.ask_owner(new_request(session, turn, "call_0"))).await?;
    assert_eq!(store.request_for_call(turn, "call_0")?, Some(first));
    store.transact(move |tx| tx.plan_call(NewCall { turn, step: 2, call: call() })).await?;
    assert_eq!(store.request_for_call(turn, "call_0")?, None);
    Ok(())
}
