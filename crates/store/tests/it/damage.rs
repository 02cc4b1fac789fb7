//! Files that are damaged, foreign, missing, locked or full.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use rusqlite::Connection;
use store::{Store, StoreError};
use tempfile::TempDir;
use types::{Event, Level};

use crate::fixture::{TestClock, TestResult, new_message, new_session, store_in};

fn read_only(home: &TempDir) -> Result<Store, StoreError> {
    Store::open_read_only(home.path(), Arc::new(TestClock::new()))
}

async fn filled(home: &TempDir) -> Result<(), StoreError> {
    let store = store_in(home)?;
    store
        .transact(|tx| {
            let session = tx.create_session(new_session(Some("main")))?;
            for number in 0..50 {
                tx.append_message(new_message(session, &format!("message {number} {}", "x".repeat(500))))?;
            }
            tx.record(None, None, Event::Notice { level: Level::Info, text: "hello".to_owned() })
        })
        .await?;
    store.close().await;
    Ok(())
}

fn mode(path: &Path) -> std::io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

#[tokio::test]
async fn files_are_for_the_owner_alone() -> TestResult {
    let outer = tempfile::tempdir()?;
    let home = outer.path().join("home");
    let store = Store::open(&home, Arc::new(TestClock::new()))?;
    store.transact(|tx| tx.create_session(new_session(None))).await?;
    assert_eq!(mode(&home)?, 0o700);
    for file in ["factotum.db", "factotum.db-wal", "audit.log"] {
        assert_eq!(mode(&home.join(file))?, 0o600, "{file}");
    }
    Ok(())
}

#[tokio::test]
async fn a_damaged_database_is_refused_and_left_alone() -> TestResult {
    let garbage: Vec<u8> = b"this is not a database, and it is long enough to have a header".repeat(200);
    for truncated in [false, true] {
        let home = tempfile::tempdir()?;
        filled(&home).await?;
        let path = home.path().join("factotum.db");
        let damaged = if truncated { fs::read(&path)?[..5_000].to_vec() } else { garbage.clone() };
        fs::write(&path, &damaged)?;
        let opened = store_in(&home);
        match opened {
            Err(StoreError::Corrupt { path: found, .. }) => assert_eq!(found, path),
            // A file that was cut off may only be noticed when what is missing is read.
            Ok(store) if truncated => {
                let found = store.check();
                assert!(matches!(found, Err(StoreError::Corrupt { .. })), "{found:?}");
                continue;
            }
            other => return Err(format!("{other:?}").into()),
        }
        assert_eq!(fs::read(&path)?, damaged);
        let refused = read_only(&home).err().ok_or("it was opened")?;
        assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused:?}");
        assert!(refused.hint().contains("factotum.db"));
    }
    Ok(())
}

#[tokio::test]
async fn damage_inside_is_found_where_it_is_read() -> TestResult {
    let home = tempfile::tempdir()?;
    filled(&home).await?;
    let path = home.path().join("factotum.db");
    let mut bytes = fs::read(&path)?;
    let from = bytes.len() / 2;
    bytes[from..].fill(0x5a);
    fs::write(&path, &bytes)?;
    let found = store_in(&home).and_then(|store| store.check());
    assert!(matches!(&found, Err(StoreError::Corrupt { .. })), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn an_emptied_database_with_a_journal_is_refused() -> TestResult {
    let home = tempfile::tempdir()?;
    fs::write(home.path().join("factotum.db"), b"")?;
    fs::write(home.path().join("factotum.db-wal"), b"something")?;
    assert!(matches!(store_in(&home), Err(StoreError::Corrupt { .. })));
    assert_eq!(fs::read(home.path().join("factotum.db-wal"))?, b"something");
    Ok(())
}

#[tokio::test]
async fn a_later_schema_is_refused_and_left_alone() -> TestResult {
    let home = tempfile::tempdir()?;
    filled(&home).await?;
    let path = home.path().join("factotum.db");
    Connection::open(&path)?.pragma_update(None, "user_version", 99)?;
    let before = fs::read(&path)?;
    let refused = store_in(&home);
    assert!(matches!(refused, Err(StoreError::NewerSchema { found: 99, .. })), "{refused:?}");
    assert_eq!(fs::read(&path)?, before);
    Ok(())
}

#[tokio::test]
async fn reading_only_sees_everything_and_changes_nothing() -> TestResult {
    let home = tempfile::tempdir()?;
    assert!(matches!(read_only(&home), Err(StoreError::Missing { .. })));
    filled(&home).await?;
    let store = read_only(&home)?;
    let session = store.session_by_key("main")?.ok_or("it is gone")?;
    assert_eq!(store.context(session.id)?.len(), 50);
    let refused = store.transact(|tx| tx.create_session(new_session(None))).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly)), "{refused:?}");
    let writing = store_in(&home)?;
    writing.transact(move |tx| tx.append_message(new_message(session.id, "beside it"))).await?;
    assert_eq!(store.context(session.id)?.len(), 51);
    Ok(())
}
