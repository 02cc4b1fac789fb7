//! A program and what is recorded of it.

use std::collections::BTreeMap;

use sandbox::{Program, SandboxError, SupervisorLimits, Transport, What};
use serde_json::{Value, json};

use super::job::{Job, ended, is_end, killed, out, until};
use crate::{
    inside,
    support::{Outcome, grant, processes_with, soon},
};

inside! {
    as_root {
        a_program_is_talked_with
        nothing_that_it_started_outlives_a_program
    }
    as_somebody {
        a_program_is_talked_with
        programs_are_found_as_a_shell_would
        nothing_that_it_started_outlives_a_program
        a_program_can_be_interrupted
        what_cannot_be_done_is_refused
        long_records_lose_what_is_fleeting_and_then_end_the_program
    }
    without_groups {
        nothing_that_it_started_outlives_a_program
    }
}

/// Answers each line, on both of its outputs.
const ECHO: &str = "while read -r line; do echo \"out $line\"; echo \"err $line\" >&2; done; printf 'no end'; exit 3";

async fn a_program_is_talked_with() -> Outcome {
    let job = Job::new().await?;
    let note = json!({"coder": "test"});
    let program = super::job::shell(ECHO);
    assert_eq!(job.supervised.run(&grant()?, program, note.clone()).await?, 1);
    job.supervised.write(json!({"command": "prompt"}), vec!["one".to_owned(), "two".to_owned()]).await?;
    let all = job.until(|what| *what == out("out two")).await?;
    assert!(matches!(&all[0], What::Started { run: 1, argv, note: noted } if argv[2] == ECHO && *noted == note));
    assert_eq!(
        all[1],
        What::In { cause: json!({"command": "prompt"}), lines: vec!["one".to_owned(), "two".to_owned()] }
    );
    assert!(all.contains(&out("out one")), "{all:?}");
    job.supervised.write(Value::Null, vec![]).await?;
    job.supervised.end_program().await?;
    let all = job.until(is_end).await?;
    assert!(all.contains(&What::Err { line: "err two".to_owned() }), "{all:?}");
    assert!(all.contains(&What::In { cause: Value::Null, lines: vec![] }), "{all:?}");
    assert_eq!(all.last(), Some(&killed("killed")));
    // The next run is in the same file.
    assert_eq!(job.sh("echo hello; printf 'no end'; exit 3").await?, 2);
    let mut records = job.supervised.records();
    until(&mut records, is_end).await?;
    let all = until(&mut records, is_end).await?;
    assert_eq!(all[1..], [out("hello"), out("no end"), ended(3)]);
    assert_eq!(job.supervised.written(), records_in(&job));
    job.supervised.end().await;
    assert!(!job.supervised.is_alive());
    assert_eq!(processes_with("sandbox-supervisor-stays") + processes_with("sandbox-init"), 0);
    let left: Vec<_> = std::fs::read_dir(&job.directory)?.flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["records.jsonl"]);
    assert!(records.next().await.is_none(), "nothing comes after the end");
    Ok(())
}

fn records_in(job: &Job) -> u64 {
    let text = std::fs::read_to_string(job.directory.join("records.jsonl")).unwrap_or_default();
    text.lines().count() as u64
}

async fn programs_are_found_as_a_shell_would() -> Outcome {
    let job = Job::new().await?;
    let found = |argv: &[&str], path: &str| Program {
        argv: argv.iter().map(|part| (*part).to_owned()).collect(),
        env: BTreeMap::from([("PATH".to_owned(), path.to_owned()), ("ONE".to_owned(), "1".to_owned())]),
        directory: None,
        transport: Transport::Silent,
        fleeting: vec![],
    };
    let usual = "/nowhere:/workspace/bin:/usr/bin:/bin";
    let cases: [(&[&str], &str, &str); 4] = [
        (&["nosuchprogram"], usual, "nosuchprogram: No such file or directory (os error 2)"),
        (&["sh"], "/nowhere", "sh: No such file or directory (os error 2)"),
        (&["/etc/passwd"], usual, "/etc/passwd: Permission denied (os error 13)"),
        (&[], usual, "it has no name"),
    ];
    for (argv, path, expected) in cases {
        let error = job.supervised.run(&grant()?, found(argv, path), Value::Null).await.err().ok_or("it ran")?;
        assert_eq!(error.to_string(), format!("the job's supervisor: the program could not be started: {expected}"));
    }
    let program = found(&["env"], usual);
    assert_eq!(job.supervised.run(&grant()?, program, Value::Null).await?, 1, "what was not started has no number");
    let all = job.until(is_end).await?;
    let text = format!("{all:?}");
    for expected in ["PATH=/nowhere:", "ONE=1", "HOME=/home/agent"] {
        assert!(text.contains(expected), "{text}");
    }
    for foreign in ["CARGO", "FACTOTUM", "NEXTEST", "XDG"] {
        assert!(!text.contains(foreign), "{text}");
    }
    Ok(())
}

async fn nothing_that_it_started_outlives_a_program() -> Outcome {
    let job = Job::new().await?;
    let orphan = "(setsid sh -c 'trap \"\" TERM HUP INT; sleep 4714 & wait' >/dev/null 2>&1 &) ; sleep 0.2; ";
    let count = || processes_with("4714");
    job.sh(&format!("{orphan} echo ready; sleep 60")).await?;
    job.until(|what| *what == out("ready")).await?;
    assert_eq!(count(), 1);
    let begun = std::time::Instant::now();
    job.supervised.end_program().await?;
    assert!(begun.elapsed() < std::time::Duration::from_secs(2));
    assert_eq!(job.until(is_end).await?.last(), Some(&killed("killed")));
    assert!(soon(|| count() == 0).await);
    // An end of its own takes them along as well.
    job.sh(&format!("{orphan} echo ready")).await?;
    let mut records = job.supervised.records();
    until(&mut records, is_end).await?;
    assert_eq!(until(&mut records, is_end).await?.last(), Some(&ended(0)));
    assert!(soon(|| count() == 0).await);
    Ok(())
}

async fn a_program_can_be_interrupted() -> Outcome {
    let job = Job::new().await?;
    assert!(job.supervised.interrupt().await.is_err(), "nothing runs");
    job.sh("trap 'echo caught; exit 7' INT; echo ready; sleep 60 & wait").await?;
    job.until(|what| *what == out("ready")).await?;
    job.supervised.interrupt().await?;
    let all = job.until(is_end).await?;
    assert_eq!(all[all.len() - 2..], [out("caught"), ended(7)]);
    Ok(())
}

async fn what_cannot_be_done_is_refused() -> Outcome {
    let job = Job::new().await?;
    let said = |result: Result<(), SandboxError>| result.err().map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(said(job.write("x").await), "the job's supervisor: no program runs");
    assert!(said(job.write("a\nb").await).contains("end of line"));
    assert!(said(job.write(&"x".repeat(9 * 1024 * 1024)).await).contains("at most"));
    job.supervised.end_program().await?;
    job.sh("exec <&-; echo ready; sleep 60").await?;
    job.until(|what| *what == out("ready")).await?;
    // The pipe has nobody who reads; what was recorded before that is noticed stays recorded.
    job.write("into the void").await?;
    let mut refused = String::new();
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        refused = said(job.write("again").await);
        if !refused.is_empty() {
            break;
        }
    }
    assert_eq!(refused, "the job's supervisor: the program reads nothing, or not any more");
    let twice = job.sh("true").await.map(drop);
    assert_eq!(said(twice), "the job's supervisor: a program runs already; end it first");
    let elsewhere = policy::decide_own(policy::Act::OwnerCommand, types::WorkspaceName::new("other")?);
    let other = job.supervised.run(&elsewhere, super::job::shell("true"), Value::Null).await.map(drop);
    assert_eq!(said(other), "the grant does not allow this: it is for another workspace");
    let reading = policy::decide_own(policy::Act::Scan, crate::support::name()?);
    let other = job.supervised.run(&reading, super::job::shell("true"), Value::Null).await.map(drop);
    assert_eq!(said(other), "the grant does not allow this: it is for reading only");
    Ok(())
}

async fn long_records_lose_what_is_fleeting_and_then_end_the_program() -> Outcome {
    let job = Job::with(SupervisorLimits { log_bytes: 60_000, ..SupervisorLimits::default() }).await?;
    let script = "i=0; while :; do i=$((i+1)); echo \"delta $i 0123456789012345678901234567890123456789\"; \
                  echo noise >&2; [ $((i % 20)) = 0 ] && echo \"whole $i\"; done";
    let program = Program { fleeting: vec!["delta ".to_owned()], ..super::job::shell(script) };
    job.supervised.run(&grant()?, program, Value::Null).await?;
    let all = job.until(is_end).await?;
    assert_eq!(all.last(), Some(&killed("too many records")));
    let note = all.iter().position(|what| matches!(what, What::Note { .. })).ok_or("no remark")?;
    let is_fleeting = |what: &What| {
        matches!(what, What::Err { .. }) || matches!(what, What::Out { line } if line.starts_with("delta"))
    };
    assert!(all[..note].iter().any(is_fleeting) && !all[note..].iter().any(is_fleeting));
    assert_eq!(all.iter().filter(|what| matches!(what, What::Note { .. })).count(), 1);
    // No whole line is missing.
    let whole = all.iter().filter(|what| matches!(what, What::Out { line } if line.starts_with("whole")));
    let numbers: Vec<String> = whole.map(|what| format!("{what:?}")).collect();
    for (line, number) in numbers.iter().zip(1..) {
        assert_eq!(*line, format!("{:?}", out(&format!("whole {}", number * 20))));
    }
    assert!(numbers.len() > 500);
    Ok(())
}
