//! Delivery obligations.

use store::{DeliveryBody, NewDelivery, OutboxState, Store, StoreError};
use types::{Event, OutboxId, Seq, Timestamp};

use crate::fixture::{NOON, TestResult, store, store_in, telegram};

fn new_delivery(key: &str) -> NewDelivery {
    NewDelivery {
        session: None,
        turn: None,
        channel: telegram(),
        target: "42".to_owned(),
        body: DeliveryBody::Text { markdown: format!("piece {key}") },
        key: key.to_owned(),
    }
}

async fn deliver(store: &Store, key: &'static str) -> Result<Option<OutboxId>, StoreError> {
    store.transact(move |tx| tx.deliver(new_delivery(key))).await
}

/// Whether the last delivery was told of as a possible repeat.
fn last_delivered(store: &Store) -> Result<Option<bool>, StoreError> {
    let last = store.events_after(Seq(0), None, 99)?.pop();
    Ok(last.and_then(|envelope| match envelope.event {
        Event::Delivered { possible_repeat, .. } => Some(possible_repeat),
        _ => None,
    }))
}

#[tokio::test]
async fn an_obligation_is_made_once_and_wakes_who_sends() -> TestResult {
    let (store, _) = store()?;
    let mut wake = store.outbox_wake();
    wake.mark_unchanged();
    let id = deliver(&store, "a").await?.ok_or("it was not made")?;
    assert!(wake.has_changed()?);
    wake.mark_unchanged();
    assert_eq!(deliver(&store, "a").await?, None);
    assert!(!wake.has_changed()?);
    let rows = store.due_outbox(Timestamp(NOON), 9)?;
    assert_eq!((rows.len(), rows[0].id, rows[0].state), (1, id, OutboxState::Pending));
    assert_eq!(rows[0].body, DeliveryBody::Text { markdown: "piece a".to_owned() });
    Ok(())
}

#[tokio::test]
async fn a_delivery_is_sent_once() -> TestResult {
    let (store, _) = store()?;
    let id = deliver(&store, "a").await?.ok_or("it was not made")?;
    store.transact(move |tx| tx.outbox_sending(id)).await?;
    for _ in 0..2 {
        store.transact(move |tx| tx.outbox_sent(id, "remote-9")).await?;
    }
    assert_eq!(last_delivered(&store)?, Some(false));
    assert_eq!(store.last_seq()?, Seq(1));
    assert_eq!((store.due_outbox(Timestamp(i64::MAX), 9)?, store.next_outbox_at()?), (vec![], None));
    assert_eq!(store.delivery(id)?.and_then(|row| row.remote_id).as_deref(), Some("remote-9"));
    let again = store.transact(move |tx| tx.outbox_sending(id)).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    Ok(())
}

#[tokio::test]
async fn a_failed_attempt_is_due_again_later() -> TestResult {
    let (store, _) = store()?;
    let id = deliver(&store, "a").await?.ok_or("it was not made")?;
    store.transact(move |tx| tx.outbox_sending(id)).await?;
    store.transact(move |tx| tx.outbox_retry(id, Timestamp(NOON + 500), "busy")).await?;
    assert_eq!(store.due_outbox(Timestamp(NOON + 499), 9)?, []);
    assert_eq!(store.next_outbox_at()?, Some(Timestamp(NOON + 500)));
    let row = store.due_outbox(Timestamp(NOON + 500), 9)?.pop().ok_or("it is not due")?;
    assert_eq!((row.attempts, row.error.as_deref(), row.possible_repeat), (1, Some("busy"), false));
    store.transact(move |tx| tx.outbox_sending(id)).await?;
    store.transact(move |tx| tx.outbox_failed(id, "the chat is gone")).await?;
    assert_eq!(store.next_outbox_at()?, None);
    assert_eq!(store.delivery(id)?.map(|row| row.state), Some(OutboxState::Failed));
    Ok(())
}

#[tokio::test]
async fn an_attempt_without_an_outcome_makes_the_next_a_possible_repeat() -> TestResult {
    let (store, _) = store()?;
    let id = deliver(&store, "a").await?.ok_or("it was not made")?;
    for _ in 0..2 {
        store.transact(move |tx| tx.outbox_sending(id)).await?;
    }
    store.transact(move |tx| tx.outbox_sent(id, "1")).await?;
    assert_eq!(last_delivered(&store)?, Some(true));
    Ok(())
}

#[tokio::test]
async fn what_was_being_sent_before_a_restart_is_a_possible_repeat() -> TestResult {
    let home = tempfile::tempdir()?;
    let store = store_in(&home)?;
    let begun = deliver(&store, "a").await?.ok_or("it was not made")?;
    deliver(&store, "b").await?;
    store.transact(move |tx| tx.outbox_sending(begun)).await?;
    store.close().await;
    let store = store_in(&home)?;
    let rows = store.due_outbox(Timestamp(i64::MAX), 9)?;
    let states: Vec<_> = rows.iter().map(|row| (row.state, row.possible_repeat)).collect();
    assert_eq!(states, [(OutboxState::Sending, true), (OutboxState::Pending, false)]);
    store.transact(move |tx| tx.outbox_sent(begun, "1")).await?;
    assert_eq!(last_delivered(&store)?, Some(true));
    Ok(())
}

#[tokio::test]
async fn a_backlog_in_one_chat_does_not_hide_another() -> TestResult {
    let (store, _) = store()?;
    let made = store.transact(|tx| {
        for number in 0..1_200 {
            tx.deliver(new_delivery(&number.to_string()))?;
        }
        tx.deliver(NewDelivery { target: "43".to_owned(), ..new_delivery("other") })
    });
    let other = made.await?.ok_or("it was not made")?;
    let first = store.first_of_each_chat(1_000)?;
    let places: Vec<OutboxId> = first.iter().map(|row| row.id).collect();
    assert_eq!(places, [OutboxId(1), other]);
    store.transact(|tx| tx.outbox_sent(OutboxId(1), "r")).await?;
    assert_eq!(store.first_of_each_chat(1)?[0].id, OutboxId(2));
    Ok(())
}
