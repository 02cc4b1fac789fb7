//! The audit log over several files, read as it grows, and compared with its copies.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use serde_json::json;
use store::{
    Store,
    audit::{
        AuditEntry, AuditKind, Follower, Head, Keeping, LogOptions, Parted, compare, read, verify, verify_with_head,
    },
};
use tempfile::TempDir;

use crate::fixture::{TestClock, TestResult};

/// Small enough that two records fill a file.
const SMALL: LogOptions = LogOptions { rotate_bytes: 500, append_only: false, group_reads: false };

fn entry(number: u64) -> AuditEntry {
    AuditEntry { session: None, turn: None, call: None, kind: AuditKind::Egress, detail: json!({ "number": number }) }
}

fn open(home: &TempDir) -> TestResult<Store> {
    Ok(Store::open_with(home.path(), Keeping::Own(SMALL), std::sync::Arc::new(TestClock::new()))?)
}

async fn fill(home: &TempDir, records: std::ops::RangeInclusive<u64>) -> TestResult<PathBuf> {
    let store = open(home)?;
    for number in records {
        assert_eq!(store.audit().append(entry(number)).await?, number);
    }
    store.close().await;
    Ok(home.path().join("audit.log"))
}

fn files(home: &Path) -> TestResult<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(home)?.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    found.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("audit.log")));
    found.sort();
    Ok(found)
}

/// All lines in one file, as a target that takes everything keeps them.
fn copy_of(path: &Path, to: &Path) -> TestResult {
    let mut follower = Follower::after(path, Head::start());
    let mut text = Vec::new();
    for line in follower.next(u64::MAX, 1_000, usize::MAX)?.lines {
        text.extend(line.bytes);
        text.push(b'\n');
    }
    Ok(fs::write(to, text)?)
}

#[tokio::test]
async fn the_chain_goes_on_from_file_to_file() -> TestResult {
    let home = tempfile::tempdir()?;
    fill(&home, 1..=7).await?;
    let path = fill(&home, 8..=11).await?;
    assert!(files(home.path())?.len() >= 4, "{:?}", files(home.path())?);
    assert_eq!(verify(&path)?.records, 11);
    let store = open(&home)?;
    let head = store.audit_head()?.ok_or("nothing is remembered")?;
    verify_with_head(&path, &head)?;
    for (after, limit) in [(0, 99), (3, 4), (10, 9), (11, 9)] {
        let seqs: Vec<u64> = read(&path, after, limit)?.iter().filter_map(|record| record["seq"].as_u64()).collect();
        assert_eq!(seqs, (after + 1..=11).take(limit).collect::<Vec<_>>());
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_or_changed_file_is_found() -> TestResult {
    let home = tempfile::tempdir()?;
    let path = fill(&home, 1..=7).await?;
    for file in files(home.path())? {
        let whole = fs::read(&file)?;
        fs::remove_file(&file)?;
        assert!(open(&home).is_ok_and(|store| store.audit_head().is_ok()));
        let head = Head { seq: 7, hash: verify_hash(&whole) };
        assert!(verify_with_head(&path, &head).is_err(), "{} is not missed", file.display());
        fs::write(&file, String::from_utf8(whole.clone())?.replacen("\"number\":", "\"number\":9", 1))?;
        if !whole.is_empty() {
            assert!(verify(&path).is_err(), "the change of {} is not seen", file.display());
        }
        fs::write(&file, whole)?;
    }
    Ok(())
}

/// A hash that no record has.
fn verify_hash(bytes: &[u8]) -> String {
    format!("{:064x}", bytes.len())
}

#[tokio::test]
async fn a_crash_between_two_files_loses_nothing() -> TestResult {
    let home = tempfile::tempdir()?;
    let path = fill(&home, 1..=4).await?;
    if path.exists() && fs::read(&path)?.is_empty() {
        fs::remove_file(&path)?;
    } else {
        fs::rename(&path, home.path().join("audit.log.000000000004"))?;
    }
    let store = open(&home)?;
    assert_eq!(store.audit().append(entry(5)).await?, 5);
    store.close().await;
    assert_eq!(verify(&path)?.records, 5);
    Ok(())
}

#[tokio::test]
async fn a_follower_gives_each_record_once_across_files() -> TestResult {
    let home = tempfile::tempdir()?;
    let store = open(&home)?;
    let path = home.path().join("audit.log");
    let mut follower = Follower::after(&path, Head::start());
    let mut seen = Vec::new();
    for number in 1..=20 {
        store.audit().append(entry(number)).await?;
        if number % 3 == 0 {
            // No further than what is known to be durable.
            let batch = follower.next(number - 1, 2, 10_000)?;
            assert!(batch.lines.len() <= 2 && batch.parted.is_none());
            seen.extend(batch.lines);
        }
    }
    loop {
        let batch = follower.next(20, 3, 1)?;
        assert!(batch.lines.len() <= 1, "more than the bytes allow");
        if batch.lines.is_empty() {
            break;
        }
        seen.extend(batch.lines);
    }
    assert_eq!(seen.iter().map(|line| line.head.seq).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    let mut later = Follower::after(&path, seen[12].head.clone());
    assert_eq!(later.next(20, 100, 100_000)?.lines, seen[13..]);
    let mut wrong = Follower::after(&path, Head { seq: 13, hash: "0".repeat(64) });
    assert_eq!(wrong.next(20, 100, 100_000)?.parted, Some(13));
    store.close().await;
    Ok(())
}

#[tokio::test]
async fn a_copy_is_compared_record_by_record() -> TestResult {
    let home = tempfile::tempdir()?;
    let path = fill(&home, 1..=9).await?;
    let copy = home.path().join("copy");
    copy_of(&path, &copy)?;
    let found = compare(&path, &copy, 9)?;
    assert_eq!((found.first, found.last, found.local), (1, 9, 9));
    let text = fs::read_to_string(&copy)?;
    let lines: Vec<&str> = text.lines().collect();
    let write = |lines: &[&str]| fs::write(&copy, lines.join("\n") + "\n");
    // Shipping again after a fault repeats records and may leave half a line.
    write(&[&lines[..5], &["{\"seq\":6,\"a"], &lines[3..]].concat())?;
    assert!(compare(&path, &copy, 9).is_ok());
    // A syslog server puts its header before each.
    let headed: Vec<String> = lines.iter().map(|line| format!("Nov 21 host factotum[7]: {line}")).collect();
    write(&headed.iter().map(String::as_str).collect::<Vec<_>>())?;
    assert!(compare(&path, &copy, 9).is_ok());
    write(&lines[2..])?;
    assert_eq!(compare(&path, &copy, 9)?.first, 3);
    write(&lines[..6])?;
    assert_eq!(compare(&path, &copy, 6)?.last, 6);
    assert!(matches!(compare(&path, &copy, 9), Err(Parted::CopyCut { copy: 6, shipped: 9 })));
    write(&[&lines[..3], &lines[4..]].concat())?;
    assert!(matches!(compare(&path, &copy, 9), Err(Parted::Copy(_))), "a removal");
    let edited = lines[3].replace("\"number\":4", "\"number\":5");
    write(&[&lines[..3], &[&edited], &lines[4..]].concat())?;
    assert!(matches!(compare(&path, &copy, 9), Err(Parted::Copy(_))), "an edit");
    Ok(())
}

#[tokio::test]
async fn a_rewritten_log_and_a_cut_log_are_told_apart_from_their_copy() -> TestResult {
    let home = tempfile::tempdir()?;
    let path = fill(&home, 1..=9).await?;
    let copy = home.path().join("copy");
    copy_of(&path, &copy)?;
    // The same program, made to write other records after the fourth.
    let forged = tempfile::tempdir()?;
    let lines: Vec<String> = fs::read_to_string(&copy)?.lines().take(4).map(|line| format!("{line}\n")).collect();
    fs::write(forged.path().join("audit.log"), lines.concat())?;
    let store = Store::open(forged.path(), std::sync::Arc::new(TestClock::new()))?;
    for number in 50..=56 {
        store.audit().append(entry(number)).await?;
    }
    store.close().await;
    let forged_log = forged.path().join("audit.log");
    verify(&forged_log)?;
    let found = compare(&forged_log, &copy, 9);
    assert!(matches!(&found, Err(Parted::Differs { seq: 5, .. })), "{found:?}");
    assert!(found.is_err_and(|parted| parted.to_string().contains("the log is longer")));
    fs::write(&forged_log, lines.concat())?;
    assert!(matches!(compare(&forged_log, &copy, 9), Err(Parted::LocalCut { local: 4, copy: 9 })));
    Ok(())
}

/// In a file that may only grow, a torn line is closed and noted. Without the kernel's help the same form is tried on a
/// line that was closed by hand.
#[tokio::test]
async fn a_closed_torn_line_is_in_order_only_with_its_note() -> TestResult {
    let home = tempfile::tempdir()?;
    let store = Store::open(home.path(), std::sync::Arc::new(TestClock::new()))?;
    for number in 1..=3 {
        store.audit().append(entry(number)).await?;
    }
    store.close().await;
    let path = home.path().join("audit.log");
    let mut bytes = fs::read(&path)?;
    bytes.extend_from_slice(b"{\"seq\":4,\"at\n");
    fs::write(&path, &bytes)?;
    assert_eq!(verify(&path).err().map(|broken| broken.line), Some(4));
    let store = Store::open(home.path(), std::sync::Arc::new(TestClock::new()))?;
    assert_eq!(store.audit().append(entry(5)).await?, 5);
    assert_eq!(store.audit().read(0, 99)?.len(), 5);
    store.close().await;
    assert_eq!(verify(&path)?.records, 5);
    let text = fs::read_to_string(&path)?;
    fs::write(&path, text.replace("{\"seq\":4,\"at\n", "{\"seq\":4,\"a!\n"))?;
    assert_eq!(verify(&path).err().map(|broken| broken.line), Some(4), "another line than the noted one passes");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever byte of a copy is changed, the comparison says so, unless the change only hides a repetition.
    #[test]
    fn no_changed_byte_of_a_copy_passes(at in 0usize..2_000, flip in 1u8..=255) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let home = tempfile::tempdir().expect("a directory");
        let path = runtime.block_on(fill(&home, 1..=6)).expect("it can be filled");
        let copy = home.path().join("copy");
        copy_of(&path, &copy).expect("it can be copied");
        let mut bytes = fs::read(&copy).expect("it can be read");
        let at = at % bytes.len();
        bytes[at] ^= flip;
        fs::write(&copy, &bytes).expect("it can be written");
        // The last line break may be missing: its record is whole.
        let last = at == bytes.len() - 1;
        prop_assert!(last || compare(&path, &copy, 6).is_err(), "byte {} of the copy", at);
    }
}
