//! The process is killed before and after every commit of a small workload. Whatever it had confirmed is there, and
//! going on ends where an undisturbed run ends.

use std::{
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use store::{CallState, SpendScope, Store, TurnState, audit};
use tempfile::TempDir;
use types::{Event, Seq, SessionId, Timestamp, ToolEnd, TurnEnd};

use crate::fixture::{TestClock, TestResult};

fn run(home: &Path, crash: Option<&str>, count: Option<&Path>) -> std::io::Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_store-crash"));
    command.arg(home).env_remove("FACTOTUM_CRASH_AT").env_remove("FACTOTUM_CRASH_COUNT");
    if let Some(crash) = crash {
        command.env("FACTOTUM_CRASH_AT", crash);
    }
    if let Some(count) = count {
        command.env("FACTOTUM_CRASH_COUNT", count);
    }
    command.output()
}

/// What must have become of the workload in any case.
fn check_end(home: &TempDir, crash: &str, printed: &[String]) -> TestResult {
    let store = Store::open_read_only(home.path(), Arc::new(TestClock::new()))?;
    store.check()?;
    let said = |word: &str| printed.iter().filter(|line| *line == word).count();
    let sessions = store.sessions(9)?;
    assert_eq!(sessions.len(), 1, "{crash}");
    let turns = store.turns(SessionId(1), 9)?;
    assert_eq!(turns.len(), 1, "{crash}");
    assert_eq!(turns[0].state, TurnState::Ended(TurnEnd::Done), "{crash}");
    assert_eq!(store.waiting_inbox(SessionId(1))?, [], "{crash}");
    assert_eq!(store.context(SessionId(1))?.len(), 3, "{crash}");
    let events = store.events_after(Seq(0), None, 999)?;
    let count = |keep: fn(&Event) -> bool| events.iter().filter(|envelope| keep(&envelope.event)).count();
    for (what, found) in [
        ("received", count(|event| matches!(event, Event::MessageReceived { .. }))),
        ("begun", count(|event| matches!(event, Event::TurnStarted { .. }))),
        ("asked", count(|event| matches!(event, Event::OwnerAsked { .. }))),
        ("answered", count(|event| matches!(event, Event::OwnerAnswered { .. }))),
        ("started", count(|event| matches!(event, Event::ToolStarted { .. }))),
        ("finished the call", count(|event| matches!(event, Event::ToolFinished { .. }))),
        ("finished", count(|event| matches!(event, Event::TurnFinished { .. }))),
        ("delivered", count(|event| matches!(event, Event::Delivered { .. }))),
    ] {
        assert_eq!(found, 1, "{what}: {crash}");
    }
    let call = store.calls(turns[0].id)?.pop().ok_or("no call")?;
    let expected = if printed.iter().any(|line| line == "unknown") { ToolEnd::Unknown } else { ToolEnd::Ok };
    let allowed = [CallState::Finished(expected), CallState::Finished(ToolEnd::Unknown)];
    assert!(allowed.contains(&call.state), "{crash}: {:?}", call.state);
    assert!(said("use") <= 1, "{crash}: the approval was used twice");
    let repeats =
        events.iter().any(|envelope| matches!(envelope.event, Event::Delivered { possible_repeat: true, .. }));
    assert!(said("wire") == 1 || repeats, "{crash}: sent twice and not marked");
    let spent = store.spent(SpendScope::Turn(turns[0].id))?;
    assert!(spent.settled.0 == 70 && spent.reserved.0 == 0, "{crash}: {spent:?}");
    assert_eq!(store.due_outbox(Timestamp(i64::MAX), 9)?, [], "{crash}");
    let head = store.audit_head()?.ok_or("nothing is remembered")?;
    audit::verify_with_head(&home.path().join("audit.log"), &head)?;
    Ok(())
}

/// Everything that was confirmed before the crash is in the store that it left.
fn check_confirmed(home: &TempDir, crash: &str, printed: &[String]) -> TestResult {
    let store = match Store::open_read_only(home.path(), Arc::new(TestClock::new())) {
        Ok(store) => store,
        Err(error) if printed.is_empty() => return Err(format!("{crash}: {error}").into()),
        Err(error) => return Err(error.into()),
    };
    let said = |word: &str| printed.iter().any(|line| line == word);
    let turn = store.turns(SessionId(1), 1)?.pop();
    let facts = [
        ("session", store.session_by_key("main")?.is_some()),
        ("receive", store.is_received(&crate::fixture::telegram(), "update-1")?),
        ("begin", turn.is_some()),
        ("ask", store.request(types::RequestId(1))?.is_some()),
        ("answer", store.open_requests()?.is_empty()),
        ("finish", turn.as_ref().is_some_and(|turn| turn.state != TurnState::Running)),
        ("deliver", store.delivery(types::OutboxId(1))?.is_some()),
        ("sent", store.due_outbox(Timestamp(i64::MAX), 9)?.is_empty()),
    ];
    for (step, holds) in facts {
        assert!(!said(step) || holds, "{crash}: {step} was confirmed and is lost");
    }
    Ok(())
}

fn printed(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn crash_and_go_on(crash: &str) -> TestResult {
    let home = tempfile::tempdir()?;
    let killed = run(home.path(), Some(crash), None)?;
    assert_eq!(killed.status.signal(), Some(9), "{crash}: {killed:?}");
    let mut said = printed(&killed);
    check_confirmed(&home, crash, &said)?;
    let after = run(home.path(), None, None)?;
    assert!(after.status.success(), "{crash}: {after:?}");
    said.extend(printed(&after));
    check_end(&home, crash, &said)
}

#[test]
fn nothing_is_lost_and_nothing_repeated_at_any_commit() -> TestResult {
    let home = tempfile::tempdir()?;
    let count = home.path().join("count");
    let whole = run(home.path(), None, Some(&count))?;
    assert!(whole.status.success(), "{whole:?}");
    check_end(&home, "undisturbed", &printed(&whole))?;
    let commits: u64 = std::fs::read_to_string(&count)?.parse()?;
    assert!(commits >= 12, "only {commits} commits were counted");
    for number in 1..=commits {
        for side in ["before", "after"] {
            crash_and_go_on(&format!("{side}:{number}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_crash_between_sending_and_recording_is_told() -> TestResult {
    crash_and_go_on("point:sent:1")?;
    crash_and_go_on("point:audit:1")
}
