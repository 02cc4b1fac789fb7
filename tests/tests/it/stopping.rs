//! STOP works within two seconds from everywhere, outside the model, and leaves no process behind.

use std::time::{Duration, Instant};

use harness::{Factotum, job::Job};
use serde_json::json;
use testkit::model::Reply;

/// A model that starts a command which would run for an hour, with children that try to get away.
fn endless() -> Job {
    Job::with_brain("anthropic", |request| {
        if request.tool_result_count() > 0 {
            return Reply::say("It ended.");
        }
        let command = "(setsid nohup sleep 3611 >/dev/null 2>&1 &) ; sleep 3611";
        Reply::call("exec", json!({ "command": command, "timeout_s": 3600 }))
    })
}

fn sleepers() -> usize {
    running("sleep 3611")
}

/// How many processes have this in their command line.
fn running(command: &str) -> usize {
    let output = std::process::Command::new("pgrep").args(["-fc", command]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(0)
}

fn check(stop: impl FnOnce(&Job, &Factotum)) {
    let job = endless();
    let daemon = Factotum::up(&job.home);
    job.chat.say("run it");
    let start = Instant::now();
    while sleepers() < 2 {
        assert!(start.elapsed() < Duration::from_secs(10), "the command did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let stopped = Instant::now();
    stop(&job, &daemon);
    while sleepers() > 0 {
        assert!(stopped.elapsed() < Duration::from_secs(2), "{} processes are left", sleepers());
        std::thread::sleep(Duration::from_millis(20));
    }
    job.chat.wait_for_answer("topped", Duration::from_secs(5));
}

// One test, so that the sleepers of one case are not counted in another.
#[test]
fn from_chat_command_line_and_signal() {
    check(|job, _| job.chat.say("/stop"));
    check(|_, daemon| assert_eq!(daemon.verb(&["stop"]).code, Some(0)));
    check(|_, daemon| {
        let pid = rustix::process::Pid::from_raw(i32::try_from(daemon.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    });
}

#[test]
fn work_goes_on_after_a_stop() {
    let job = Job::with_brain("anthropic", |request| match request.tool_result_count() {
        0 => Reply::call("exec", json!({ "command": "sleep 3612", "timeout_s": 3600 })),
        1 => Reply::call("exec", json!({ "command": "echo alive-$((40+2))" })),
        _ if request.body.to_string().contains("alive-42") => Reply::say("It is alive."),
        _ => Reply::say("Nothing ran."),
    });
    let daemon = Factotum::up(&job.home);
    job.chat.say("run it");
    let started = Instant::now();
    while running("sleep 3612") == 0 {
        assert!(started.elapsed() < Duration::from_secs(10), "the command did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(daemon.verb(&["stop"]).code, Some(0));
    job.chat.wait_for_answer("topped", Duration::from_secs(5));
    job.chat.say("again");
    job.chat.wait_for_answer("It is alive.", Duration::from_secs(10));
}
