//! The audit log: what is appended is there, and what was tampered with is found.

use std::{fs, path::PathBuf, sync::Arc};

use serde_json::json;
use store::{
    Store,
    audit::{AuditEntry, AuditError, AuditKind, Broken, verify, verify_with_head},
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::fixture::{TestClock, TestResult, store, store_in};

fn entry(number: u64) -> AuditEntry {
    AuditEntry {
        session: Some(types::SessionId(1)),
        turn: None,
        call: Some("call-1".to_owned()),
        kind: AuditKind::ToolIntent,
        detail: json!({"number": number, "text": "quote \" and\nline"}),
    }
}

/// A log of five records that the database remembers.
async fn logged() -> Result<(TempDir, PathBuf), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let store = store_in(&home)?;
    for number in 1..=5 {
        assert_eq!(store.audit().append(entry(number)).await?, number);
    }
    store.close().await;
    let path = home.path().join("audit.log");
    Ok((home, path))
}

fn lines(path: &PathBuf) -> std::io::Result<Vec<String>> {
    Ok(fs::read_to_string(path)?.lines().map(str::to_owned).collect())
}

fn write(path: &PathBuf, lines: &[String]) -> std::io::Result<()> {
    fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

#[tokio::test]
async fn a_whole_log_is_verified_and_read() -> TestResult {
    let (home, path) = logged().await?;
    let store = store_in(&home)?;
    let head = store.audit_head()?.ok_or("nothing is remembered")?;
    assert_eq!((head.seq, store.audit().head()), (5, head.clone()));
    let verified = verify_with_head(&path, &head)?;
    assert_eq!((verified.records, &verified.last_hash), (5, &head.hash));
    let records = store.audit().read(3, 9)?;
    assert_eq!(records.iter().map(|record| record["seq"].clone()).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(records[0]["detail"], entry(4).detail);
    assert_eq!(records[0]["kind"], "tool_intent");
    assert_eq!(store.audit().append(entry(6)).await?, 6);
    assert_eq!(verify_with_head(&path, &head)?.records, 6);
    Ok(())
}

#[tokio::test]
async fn many_at_once_make_one_chain() -> TestResult {
    let home = tempfile::tempdir()?;
    let store = store_in(&home)?;
    let mut tasks = JoinSet::new();
    for number in 0..200 {
        let audit = store.audit().clone();
        tasks.spawn(async move { audit.append(entry(number)).await });
    }
    let mut seqs: Vec<u64> = tasks.join_all().await.into_iter().collect::<Result<_, AuditError>>()?;
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=200).collect::<Vec<_>>());
    store.close().await;
    assert_eq!(verify(&home.path().join("audit.log"))?.records, 200);
    assert!(matches!(store.audit().append(entry(1)).await, Err(AuditError::Closed)));
    Ok(())
}

type Tamper = fn(&mut Vec<String>);

#[tokio::test]
async fn every_change_is_found_and_its_line_named() -> TestResult {
    let (home, path) = logged().await?;
    let head = store_in(&home)?.audit_head()?.ok_or("nothing is remembered")?;
    let whole = lines(&path)?;
    let cases: [(&str, u64, Tamper); 9] = [
        ("an edit", 3, |lines| lines[2] = lines[2].replace("\"number\":3", "\"number\":4")),
        ("an edited time", 2, |lines| lines[1] = lines[1].replacen("\"at\":1", "\"at\":2", 1)),
        ("an edited hash", 4, |lines| lines[3] = lines[3].replace("\"}", "0\"}")),
        ("a removal", 3, |lines| drop(lines.remove(2))),
        ("a removal of the first", 1, |lines| drop(lines.remove(0))),
        ("two in another order", 2, |lines| lines.swap(1, 2)),
        ("a repetition", 4, |lines| lines.insert(3, lines[2].clone())),
        ("a line of something else", 2, |lines| lines.insert(1, "{}".to_owned())),
        ("a cut at the end", 4, |lines| lines.truncate(3)),
    ];
    for (what, line, tamper) in cases {
        let mut changed = whole.clone();
        tamper(&mut changed);
        write(&path, &changed)?;
        let found = verify_with_head(&path, &head).err().map(|broken| broken.line);
        assert_eq!(found, Some(line), "{what}");
    }
    write(&path, &whole)?;
    verify_with_head(&path, &head)?;
    write(&path, &whole[..3])?;
    assert_eq!(verify(&path)?.records, 3);
    Ok(())
}

#[tokio::test]
async fn an_end_that_was_rewritten_is_found() -> TestResult {
    let (home, path) = logged().await?;
    let head = store_in(&home)?.audit_head()?.ok_or("nothing is remembered")?;
    // Somebody who can compute hashes: the same program, made to write other records after the third.
    let forged = tempfile::tempdir()?;
    fs::write(
        forged.path().join("audit.log"),
        lines(&path)?[..3].iter().map(|line| format!("{line}\n")).collect::<String>(),
    )?;
    let store = store_in(&forged)?;
    for number in [40, 50, 60] {
        store.audit().append(entry(number)).await?;
    }
    store.close().await;
    fs::copy(forged.path().join("audit.log"), &path)?;
    assert_eq!(verify(&path)?.records, 6);
    let found = verify_with_head(&path, &head);
    assert!(matches!(&found, Err(Broken { line: 5, .. })), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn a_missing_end_stays_visible_after_a_restart() -> TestResult {
    let (home, path) = logged().await?;
    let whole = lines(&path)?;
    write(&path, &whole[..3])?;
    let store = store_in(&home)?;
    assert_eq!(store.audit().append(entry(7)).await?, 7);
    store.close().await;
    let found = verify(&path).err().ok_or("it passes")?;
    assert_eq!(found.line, 4, "{found}");
    let records = store.audit().read(0, 9)?;
    assert_eq!(records[3]["detail"], json!({"event": "records_missing", "expected": 5, "found": 3}));
    Ok(())
}

#[tokio::test]
async fn a_torn_line_is_moved_aside_and_recorded() -> TestResult {
    let (home, path) = logged().await?;
    let whole = fs::read(&path)?;
    let torn = b"{\"seq\":6,\"at\":17";
    fs::write(&path, [whole.as_slice(), torn].concat())?;
    assert_eq!(verify(&path).err().map(|broken| broken.line), Some(6));
    let store = store_in(&home)?;
    assert_eq!(store.audit().append(entry(1)).await?, 7);
    store.close().await;
    assert_eq!(verify(&path)?.records, 7);
    let record = store.audit().read(5, 1)?.pop().ok_or("no record")?;
    assert_eq!((&record["detail"]["event"], &record["detail"]["bytes"]), (&json!("torn_line"), &json!(torn.len())));
    let aside = record["detail"]["moved_to"].as_str().ok_or("no name")?;
    assert_eq!(fs::read(home.path().join(aside))?, torn);
    assert!(fs::read(&path)?.starts_with(&whole));
    Ok(())
}

#[tokio::test]
async fn every_way_to_tear_the_last_line_is_mended() -> TestResult {
    let (_home, path) = logged().await?;
    let whole = fs::read(&path)?;
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').ok_or("one line")? + 1;
    for cut in (last..whole.len()).step_by(61) {
        let other = tempfile::tempdir()?;
        let path = other.path().join("audit.log");
        fs::write(&path, &whole[..cut])?;
        let store = store_in(&other)?;
        store.audit().append(entry(5)).await?;
        store.close().await;
        verify(&path).map_err(|broken| format!("cut at {cut}: {broken}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused() -> TestResult {
    let (store, _) = store()?;
    let huge = AuditEntry { detail: json!("x".repeat(300 << 10)), ..entry(1) };
    assert!(matches!(store.audit().append(huge).await, Err(AuditError::TooLarge { .. })));
    assert_eq!(store.audit().append(entry(1)).await?, 1);
    assert_eq!(store.audit().read(0, 9)?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn the_log_of_a_read_only_store_is_only_read() -> TestResult {
    let (home, _) = logged().await?;
    let store = Store::open_read_only(home.path(), Arc::new(TestClock::new()))?;
    assert!(matches!(store.audit().append(entry(1)).await, Err(AuditError::ReadOnly)));
    assert_eq!(store.audit().read(0, 99)?.len(), 5);
    assert_eq!(store.audit_head()?.map(|head| head.seq), Some(5));
    Ok(())
}

#[tokio::test]
async fn the_database_remembers_the_end_with_the_next_commit() -> TestResult {
    let home = tempfile::tempdir()?;
    let store = store_in(&home)?;
    store.audit().append(entry(1)).await?;
    assert_eq!(store.audit_head()?, None);
    store.transact(|tx| tx.set_cursor("any", "thing")).await?;
    assert_eq!(store.audit_head()?.map(|head| head.seq), Some(1));
    Ok(())
}

#[tokio::test]
async fn a_full_disk_refuses_the_record_and_keeps_the_chain() -> TestResult {
    let home = tempfile::tempdir()?;
    std::os::unix::fs::symlink("/dev/full", home.path().join("audit.log"))?;
    let store = store_in(&home)?;
    for _ in 0..2 {
        let refused = store.audit().append(entry(1)).await;
        assert!(matches!(refused, Err(AuditError::DiskFull | AuditError::Io { .. })), "{refused:?}");
    }
    Ok(())
}
