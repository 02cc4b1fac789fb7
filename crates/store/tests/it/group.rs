//! Group commit, panics, closing, and events.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use store::{Store, StoreError};
use tokio::task::JoinSet;
use types::{Event, Level, Seq};

use crate::fixture::{TestResult, new_session, store, store_in};

fn notice(text: impl Into<String>) -> Event {
    Event::Notice { level: Level::Info, text: text.into() }
}

/// Keeps the writer busy until the returned sender is dropped, so that what follows has to wait together.
fn hold(store: &Store, tasks: &mut JoinSet<Result<Seq, StoreError>>) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let store = store.clone();
    tasks.spawn(async move {
        store
            .transact(move |tx| {
                // It ends when the sender is dropped.
                let _ = held.recv();
                tx.record(None, None, notice("first"))
            })
            .await
    });
    release
}

#[tokio::test]
async fn transactions_that_wait_share_a_commit() -> TestResult {
    let home = tempfile::tempdir()?;
    let store = store_in(&home)?;
    let mut events = store.subscribe();
    let mut tasks = JoinSet::new();
    let release = hold(&store, &mut tasks);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let journal = home.path().join("factotum.db-wal");
    let before = std::fs::metadata(&journal)?.len();
    for number in 0..64 {
        let store = store.clone();
        tasks.spawn(async move { store.transact(move |tx| tx.record(None, None, notice(number.to_string()))).await });
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(release);
    for done in tasks.join_all().await {
        done?;
    }
    let mut seen = Vec::new();
    while let Ok(envelope) = events.try_recv() {
        seen.push(envelope.seq.map(|seq| seq.0));
    }
    assert_eq!(seen, (1..=65).map(Some).collect::<Vec<_>>());
    // Each commit writes at least the page of the events and that of their numbers. One commit writes each page once.
    let pages = (std::fs::metadata(&journal)?.len() - before) / 4_120;
    assert!(pages < 20, "{pages} pages were written, so that the commits cannot have been shared");
    Ok(())
}

#[tokio::test]
async fn one_that_fails_does_not_spoil_its_group() -> TestResult {
    let (store, _) = store()?;
    let mut events = store.subscribe();
    let mut tasks = JoinSet::new();
    let release = hold(&store, &mut tasks);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (failing, panicking, good) = (store.clone(), store.clone(), store.clone());
    let failed = tokio::spawn(async move {
        failing
            .transact(|tx| {
                tx.record(None, None, notice("of one that fails"))?;
                tx.create_session(new_session(Some("half")))?;
                Err::<(), _>(StoreError::Conflict("on purpose".to_owned()))
            })
            .await
    });
    let panicked = tokio::spawn(async move {
        panicking
            .transact(|tx| {
                tx.record(None, None, notice("of one that panics"))?;
                tx.create_session(new_session(Some("worse")))?;
                assert_eq!(tx.now().0, 0, "on purpose");
                Ok(())
            })
            .await
    });
    let succeeded = tokio::spawn(async move { good.transact(|tx| tx.record(None, None, notice("good"))).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(release);
    assert!(matches!(failed.await?, Err(StoreError::Conflict(_))));
    let panic = panicked.await?;
    assert!(matches!(&panic, Err(StoreError::Panicked(words)) if words.contains("on purpose")), "{panic:?}");
    assert_eq!(succeeded.await??, Seq(2));
    assert_eq!(store.session_by_key("half")?.or(store.session_by_key("worse")?), None);
    let mut seen = Vec::new();
    while let Ok(envelope) = events.try_recv() {
        seen.push(envelope.event);
    }
    assert_eq!(seen, [notice("first"), notice("good")]);
    assert_eq!(store.transact(|tx| tx.record(None, None, notice("goes on"))).await?, Seq(3));
    Ok(())
}

#[tokio::test]
async fn closing_runs_what_waits_and_refuses_the_rest() -> TestResult {
    let home = tempfile::tempdir()?;
    let store = store_in(&home)?;
    let done = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..32 {
        let (store, done) = (store.clone(), done.clone());
        tasks.spawn(async move {
            store.transact(|tx| tx.record(None, None, notice("x"))).await?;
            done.fetch_add(1, Ordering::SeqCst);
            Ok::<_, StoreError>(())
        });
    }
    tokio::task::yield_now().await;
    store.close().await;
    for outcome in tasks.join_all().await {
        outcome?;
    }
    assert_eq!(done.load(Ordering::SeqCst), 32);
    let refused = store.transact(|tx| tx.record(None, None, notice("late"))).await;
    assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
    assert_eq!(store.last_seq()?, Seq(32));
    store.close().await;
    assert!(!home.path().join("factotum.db-wal").exists() || store.last_seq()? == Seq(32));
    Ok(())
}

#[tokio::test]
async fn a_transaction_may_hold_the_last_handle() -> TestResult {
    let home = tempfile::tempdir()?;
    let store = store_in(&home)?;
    let held = store.clone();
    let running = tokio::spawn(async move {
        let inner = held.clone();
        held.transact(move |tx| {
            drop(inner);
            tx.record(None, None, notice("x"))
        })
        .await
    });
    drop(store);
    assert_eq!(running.await??, Seq(1));
    Ok(())
}

#[tokio::test]
async fn events_are_read_again_by_number_and_session() -> TestResult {
    let (store, _) = store()?;
    let (first, second) =
        store.transact(|tx| Ok((tx.create_session(new_session(None))?, tx.create_session(new_session(None))?))).await?;
    for (session, text) in [(first, "a"), (second, "b"), (first, "c"), (second, "d")] {
        store.transact(move |tx| tx.record(Some(session), None, notice(text))).await?;
    }
    let seqs = |after, session, limit| -> Result<Vec<i64>, StoreError> {
        let events = store.events_after(Seq(after), session, limit)?;
        Ok(events.into_iter().filter_map(|envelope| envelope.seq).map(|seq| seq.0).collect())
    };
    assert_eq!(seqs(0, None, 99)?, [1, 2, 3, 4]);
    assert_eq!(seqs(1, Some(first), 99)?, [3]);
    assert_eq!(seqs(1, None, 2)?, [2, 3]);
    assert_eq!(store.last_seq()?, Seq(4));
    Ok(())
}

#[tokio::test]
async fn ephemeral_events_are_published_and_not_recorded() -> TestResult {
    let (store, _) = store()?;
    let mut events = store.subscribe();
    let delta = Event::TextDelta { text: "h".to_owned() };
    store.publish(None, None, delta.clone());
    let envelope = events.recv().await?;
    assert_eq!((envelope.seq, &envelope.event), (None, &delta));
    assert!(matches!(store.transact(|tx| tx.record(None, None, delta)).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.last_seq()?, Seq(0));
    Ok(())
}
