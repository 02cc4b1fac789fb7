//! The audit log behind a writer: nothing is lost and nothing is there twice, whatever happens to the connection.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::json;
use store::{
    Store,
    audit::{AuditEntry, AuditError, AuditKind, AuditServer, Connect, Keeping, LogOptions, read, verify},
};
use tempfile::TempDir;

use crate::fixture::{TestClock, TestResult};

fn entry(number: u64) -> AuditEntry {
    AuditEntry {
        session: None,
        turn: None,
        call: None,
        kind: AuditKind::ToolIntent,
        detail: json!({ "number": number }),
    }
}

/// A writer for this user, or for another one, that listens beside its log.
fn writer(place: &Path, user: u32) -> TestResult<PathBuf> {
    let options = LogOptions { rotate_bytes: 2_000, ..LogOptions::default() };
    let server = AuditServer::open(&place.join("audit.log"), options, Arc::new(TestClock::new()))?;
    let socket = place.join("socket");
    let listener = UnixListener::bind(&socket)?;
    std::thread::spawn(move || server.serve(&listener, user));
    Ok(socket)
}

fn us() -> u32 {
    rustix::process::getuid().as_raw()
}

fn store(home: &TempDir, log: &Path, connect: Connect) -> TestResult<Store> {
    let log = Keeping::Other { path: log.join("audit.log"), connect };
    Ok(Store::open_with(home.path(), log, Arc::new(TestClock::new()))?)
}

fn direct(socket: PathBuf) -> Connect {
    Arc::new(move || UnixStream::connect(&socket))
}

fn numbers(log: &Path) -> TestResult<Vec<u64>> {
    let records = read(&log.join("audit.log"), 0, 10_000)?;
    Ok(records.iter().filter_map(|record| record["detail"]["number"].as_u64()).collect())
}

#[tokio::test]
async fn the_writer_keeps_the_chain_and_the_daemon_reads_it() -> TestResult {
    let (home, place) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let socket = writer(place.path(), us())?;
    let log = store(&home, place.path(), direct(socket.clone()))?;
    for number in 1..=20 {
        assert_eq!(log.audit().append(entry(number)).await?, number);
    }
    assert_eq!((log.audit().head().seq, log.audit().read(18, 9)?.len()), (20, 2));
    log.close().await;
    let log = store(&home, place.path(), direct(socket))?;
    assert_eq!(log.audit_head()?.map(|head| head.seq), Some(20));
    assert_eq!(log.audit().append(entry(21)).await?, 21);
    log.close().await;
    assert_eq!(verify(&place.path().join("audit.log"))?.records, 21);
    assert!(!home.path().join("audit.log").exists());
    Ok(())
}

#[tokio::test]
async fn another_user_is_turned_away_and_a_missing_writer_refuses() -> TestResult {
    let (home, place) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let socket = writer(place.path(), us() + 1)?;
    let log = store(&home, place.path(), direct(socket))?;
    assert!(matches!(log.audit().append(entry(1)).await, Err(AuditError::WriterGone { .. })));
    log.close().await;
    assert_eq!(verify(&place.path().join("audit.log"))?.records, 0);
    let log = store(&home, place.path(), direct(place.path().join("nobody")))?;
    let refused = log.audit().append(entry(1)).await.err().ok_or("it was recorded")?;
    assert!(refused.to_string().contains("factotum-audit"), "{refused}");
    Ok(())
}

/// Passes messages on, and breaks off at every third one: before the question, or before its answer.
fn breaking(socket: PathBuf) -> Connect {
    let count = Arc::new(AtomicU32::new(0));
    Arc::new(move || {
        let (ours, theirs) = UnixStream::pair()?;
        let (socket, count) = (socket.clone(), count.clone());
        std::thread::spawn(move || -> std::io::Result<()> {
            let writer = UnixStream::connect(socket)?;
            let (mut asks, mut answers) = (BufReader::new(theirs.try_clone()?), BufReader::new(writer.try_clone()?));
            let (mut theirs, mut writer) = (theirs, writer);
            loop {
                let mut text = Vec::new();
                if asks.read_until(b'\n', &mut text)? == 0 {
                    return Ok(());
                }
                let number = count.fetch_add(1, Ordering::SeqCst);
                if number % 7 == 3 {
                    return Ok(());
                }
                writer.write_all(&text)?;
                let mut answer = Vec::new();
                answers.read_until(b'\n', &mut answer)?;
                if number % 3 == 2 {
                    return Ok(());
                }
                theirs.write_all(&answer)?;
            }
        });
        Ok(ours)
    })
}

#[tokio::test]
async fn a_connection_that_breaks_loses_and_doubles_nothing() -> TestResult {
    let (home, place) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let socket = writer(place.path(), us())?;
    let log = store(&home, place.path(), breaking(socket))?;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..60 {
        let audit = log.audit().clone();
        tasks.spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(number * 7 % 90)).await;
            audit.append(entry(number)).await.map(|seq| (seq, number))
        });
    }
    let mut told: Vec<(u64, u64)> = tasks.join_all().await.into_iter().collect::<Result<_, AuditError>>()?;
    told.sort_unstable();
    log.close().await;
    let mut found = numbers(place.path())?;
    assert_eq!(found, told.iter().map(|(_, number)| *number).collect::<Vec<_>>(), "the numbers told are not the log's");
    found.sort_unstable();
    assert_eq!(found, (0..60).collect::<Vec<_>>());
    assert_eq!(verify(&place.path().join("audit.log"))?.records, 60);
    Ok(())
}

#[tokio::test]
async fn a_log_that_is_another_one_is_recorded_at_the_start_and_refused_later() -> TestResult {
    let (home, place, other) = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
    let socket = writer(place.path(), us())?;
    let replaced = writer(other.path(), us())?;
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    // The first connection breaks when the test says so; all later ones lead to the other log.
    let (first, second) = (socket, replaced.clone());
    let connect: Connect = Arc::new(move || {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        UnixStream::connect(if number == 0 { &first } else { &second }).inspect(|stream| {
            if number == 0 {
                let shut = stream.try_clone();
                std::thread::spawn(move || {
                    std::thread::sleep(std::time::Duration::from_millis(300));
                    shut.map(|stream| stream.shutdown(std::net::Shutdown::Both))
                });
            }
        })
    });
    let log = store(&home, place.path(), connect)?;
    log.audit().append(entry(1)).await?;
    log.transact(|tx| tx.set_cursor("any", "thing")).await?;
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    let refused = log.audit().append(entry(2)).await.err().ok_or("it was recorded")?;
    assert!(refused.to_string().contains("not the one that it was"), "{refused}");
    log.close().await;
    let log = store(&home, other.path(), direct(replaced))?;
    log.audit().append(entry(3)).await?;
    let records = log.audit().read(0, 9)?;
    assert_eq!(records[0]["detail"], json!({ "event": "records_missing", "expected": 1, "found": 0 }));
    log.close().await;
    Ok(())
}
