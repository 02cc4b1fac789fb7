//! Running commands.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use sandbox::{Launcher, SandboxError};
use serde_json::json;
use types::Label;

use crate::bench::{Bench, workspace_name};

/// The program that becomes a sandbox, which is built with the workspace's other test programs.
fn launcher() -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    let program = here.parent()?.parent()?.join("sandbox-init");
    program.exists().then_some(program)
}

#[expect(clippy::print_stdout, reason = "a test that is skipped must say so")]
fn skip(why: &str) -> Option<Bench> {
    println!("skipped: {why}");
    None
}

/// A session whose sandbox works, or none with the reason printed.
async fn bench() -> Option<Bench> {
    let Some(program) = launcher() else {
        return skip("the program sandbox-init was not built");
    };
    Launcher::at(program).use_for_all();
    let bench = Bench::new().await;
    match bench.pool.get(bench.context.session, &bench.workspace).await {
        Ok(_) => Some(bench),
        // What the machine lacks; anything else is ours and must fail the test.
        Err(
            error @ (SandboxError::UserNamespaces { .. }
            | SandboxError::Landlock { .. }
            | SandboxError::IdMapping { .. }
            | SandboxError::Build { .. }),
        ) => skip(&error.to_string()),
        Err(error) => panic!("the sandbox did not start: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_works_in_the_workspace_and_its_output_is_shown() {
    let Some(mut bench) = bench().await else { return };
    bench.write("input", "from outside\n");
    let command = "pwd; cat input; echo to stderr >&2; echo made > made; mkdir -p a/b";
    let output = bench.call("exec", json!({"command": command})).await;
    let (text, status) = output.text.rsplit_once('\n').expect("the status is on its own line");
    assert_eq!(text, "/workspace\nfrom outside\nto stderr");
    assert!(status.starts_with("[exit 0 after "), "{status}");
    assert_eq!((output.is_error, output.label), (false, Label::OWNER));
    assert_eq!(bench.text("made"), "made\n");
    let mut seen = String::new();
    while let Ok(part) = bench.progress.try_recv() {
        seen.push_str(&part);
    }
    assert!(seen.contains("from outside\n"), "those who watch saw {seen:?}");
    bench.pool.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_in_words() {
    let Some(bench) = bench().await else { return };
    let failed = bench.call("exec", json!({"command": "echo before; exit 3"})).await;
    assert!(failed.is_error && failed.text.starts_with("before\n[exit 3 after "), "{}", failed.text);
    let missing = bench.call("exec", json!({"command": "no-such-program"})).await;
    assert!(missing.is_error && missing.text.contains("a command was not found]"), "{}", missing.text);
    let signal = bench.call("exec", json!({"command": "kill -SEGV $$"})).await;
    assert!(signal.text.contains("segmentation fault"), "{}", signal.text);
    let begun = Instant::now();
    let slow = bench.call("exec", json!({"command": "echo begun; sleep 60", "timeout_s": 1})).await;
    assert!(slow.is_error && slow.text.starts_with("begun\n[timed out"), "{}", slow.text);
    assert!(begun.elapsed() < Duration::from_secs(5));
    bench.pool.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_output_is_cut_in_the_middle() {
    let Some(bench) = bench().await else { return };
    let output = bench.call("exec", json!({"command": "seq 1 100000"})).await;
    assert!(output.text.starts_with("1\n2\n") && output.text.contains("\n100000\n[exit 0"), "both ends are shown");
    assert!(output.text.contains("bytes cut here") && output.text.len() < 33_000, "{}", output.text.len());
    bench.pool.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_a_command_within_two_seconds() {
    let Some(bench) = bench().await else { return };
    let begun = Instant::now();
    let (output, ()) = tokio::join!(bench.call("exec", json!({"command": "sleep 60 & sleep 60"})), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        bench.context.cancel.cancel();
    });
    assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
    assert!(output.is_error && output.text.contains("stopped"), "{}", output.text);
    bench.pool.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_job_outlives_its_call_and_is_killed() {
    let Some(bench) = bench().await else { return };
    let command = "echo started; touch running; sleep 60";
    let started = bench.call("exec", json!({"command": command, "background": true})).await;
    assert!(!started.is_error && started.text.starts_with("started job 1;"), "{}", started.text);
    let mut shown = String::new();
    for _ in 0..100 {
        shown = bench.call("exec", json!({"job": 1, "action": "output"})).await.text;
        if shown.contains("started") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(shown, "started\n[job 1 is running]");
    let other = bench.call("exec", json!({"command": "ls running"})).await;
    assert!(!other.is_error, "{}", other.text);
    let killed = bench.call("exec", json!({"job": 1, "action": "kill"})).await;
    assert_eq!((killed.is_error, killed.text.as_str()), (false, "job 1 is gone"));
    let after = bench.call("exec", json!({"job": 1})).await;
    assert!(!after.text.contains("is running"), "{}", after.text);
    let unknown = bench.call("exec", json!({"job": 7})).await;
    assert!(unknown.is_error && unknown.text.contains("no job 7"), "{}", unknown.text);
    bench.pool.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_passes_the_label_of_its_session_on() {
    let Some(mut bench) = bench().await else { return };
    bench.context.label = Label::UNKNOWN;
    let output = bench.call("exec", json!({"command": "true"})).await;
    assert_eq!(output.label, Label::UNKNOWN);
    assert_eq!(bench.store.workspace_label(&workspace_name()).expect("it can be read"), Label::UNKNOWN);
    bench.pool.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_and_commands_work_on_the_same_files() {
    let Some(bench) = bench().await else { return };
    let ok = |output: &types::ToolOutput| assert!(!output.is_error, "{}", output.text);
    ok(&bench.call("write", json!({"path": "new/run.sh", "content": "echo one\n"})).await);
    ok(&bench.call("exec", json!({"command": "chmod 750 new/run.sh && echo echo two >> new/run.sh"})).await);
    ok(&bench.call("edit", json!({"path": "new/run.sh", "old": "echo one\n", "new": "echo 1\n"})).await);
    let output = bench.call("exec", json!({"command": "./new/run.sh && rm -r new"})).await;
    ok(&output);
    assert!(output.text.starts_with("1\ntwo\n["), "{}", output.text);
    assert!(!bench.path("new").exists());
    bench.pool.stop_all().await;
}
