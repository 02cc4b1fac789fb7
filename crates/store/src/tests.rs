//! What can only be seen from inside: a database that may not grow, and one that rolls back a whole group.
#![expect(clippy::disallowed_methods, reason = "tests start tasks and await them")]

use std::{sync::Arc, time::Duration};

use types::{Block, Clock, Event, Label, Level, Role, SessionId, Timestamp, WorkspaceName};

use crate::{Author, MessageKind, NewMessage, NewSession, Store, StoreError, codec};

type TestResult = Result<(), Box<dyn std::error::Error>>;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(1_795_262_400_000)
    }
}

fn message(session: SessionId, bytes: usize) -> NewMessage {
    NewMessage {
        session,
        turn: None,
        role: Role::User,
        blocks: vec![Block::text("y".repeat(bytes))],
        author: Author::Owner,
        label: Label::CLEAN,
        kind: MessageKind::Normal,
    }
}

async fn session(store: &Store) -> Result<SessionId, Box<dyn std::error::Error>> {
    let new = NewSession { key: None, title: String::new(), workspace: WorkspaceName::new("toys")? };
    Ok(store.transact(|tx| tx.create_session(new)).await?)
}

/// Lets the database grow by no more than so many pages; none lifts the limit.
async fn limit_growth(store: &Store, pages: Option<i64>) -> Result<(), StoreError> {
    store
        .transact(move |tx| {
            let present: i64 = codec::value(tx.connection(), "PRAGMA page_count", [])?.unwrap_or(0);
            let limit = pages.map_or(1 << 30, |pages| present + pages);
            let set = format!("PRAGMA max_page_count = {limit}");
            codec::value::<i64>(tx.connection(), &set, []).map(|_| ())
        })
        .await
}

#[tokio::test]
async fn a_full_disk_refuses_the_write_and_nothing_else() -> TestResult {
    let home = tempfile::tempdir()?;
    let store = Store::open(home.path(), Arc::new(Noon))?;
    let session = session(&store).await?;
    limit_growth(&store, Some(4)).await?;
    let refused = store.transact(move |tx| tx.append_message(message(session, 500_000))).await;
    assert!(matches!(refused, Err(StoreError::DiskFull)), "{refused:?}");
    assert_eq!(store.context(session)?, []);
    store.transact(move |tx| tx.append_message(message(session, 10))).await?;
    limit_growth(&store, None).await?;
    store.transact(move |tx| tx.append_message(message(session, 500_000))).await?;
    assert_eq!(store.context(session)?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_group_that_the_database_rolled_back_fails_as_a_whole() -> TestResult {
    let home = tempfile::tempdir()?;
    let store = Store::open(home.path(), Arc::new(Noon))?;
    let mut events = store.subscribe();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let notice = || Event::Notice { level: Level::Info, text: "lost".to_owned() };
    let (first, second) = (store.clone(), store.clone());
    let first = tokio::spawn(async move {
        first
            .transact(move |tx| {
                // It ends when the sender is dropped, and by then the next one waits.
                let _ = held.recv();
                tx.record(None, None, notice())
            })
            .await
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    // What SQLite does by itself when the disk is full at the wrong moment.
    let second = tokio::spawn(async move {
        second
            .transact(|tx| {
                tx.connection().execute_batch("ROLLBACK")?;
                Err::<(), _>(StoreError::DiskFull)
            })
            .await
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(release);
    assert!(matches!(first.await?, Err(StoreError::DiskFull)));
    assert!(matches!(second.await?, Err(StoreError::DiskFull)));
    assert_eq!(store.last_seq()?.0, 0);
    assert!(events.try_recv().is_err());
    assert_eq!(store.transact(move |tx| tx.record(None, None, notice())).await?.0, 1);
    Ok(())
}
