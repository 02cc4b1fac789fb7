//! Daemons come and go; the program, its records and what is kept for the next one stay.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Signal, WaitOptions, kill_process, wait};
use sandbox::{Attached, Supervised, SupervisorLimits, What};
use serde_json::{Value, json};

use super::job::{CUSTODY, Job, bash, out, start, supervisors, until};
use crate::{
    inside,
    support::{Outcome, grant, soon},
};

inside! {
    as_root {
        a_killed_daemon_changes_nothing
    }
    as_somebody {
        a_killed_daemon_changes_nothing
        whatever_was_being_said_is_said_once_or_not_at_all
        what_was_ordered_before_counts_before_the_next_daemon_is_let_in
        two_daemons_are_one_too_many
        onlookers_order_nothing
    }
}

/// Says a number each 50 ms and answers what it is told.
const TICKS: &str =
    "i=0; while :; do i=$((i+1)); echo tick $i; if read -t 0.05 -r line; then echo \"heard $line\"; fi; done";

/// Set for another run of this program, which plays a daemon that is killed: the directory it works in.
const DAEMON: &str = "FACTOTUM_TEST_DAEMON";

fn played() -> Option<PathBuf> {
    std::env::var_os(DAEMON).map(PathBuf::from)
}

/// Another run of this program, only with this test.
fn play(name: &str, outer: &Path) -> std::io::Result<Child> {
    let account = if rustix::process::geteuid().is_root() { "root" } else { "somebody" };
    Command::new(std::env::current_exe()?)
        .args(["--exact", &format!("supervisor::daemons::as_{account}::{name}"), "--nocapture", "--test-threads=1"])
        .env(DAEMON, outer)
        .stdout(Stdio::null())
        .spawn()
}

/// The first process of the outer namespaces is this one, so it must bury orphans.
fn bury_orphans() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}

fn recorded(outer: &Path, what: &str) -> bool {
    fs::read_to_string(outer.join("job/records.jsonl")).is_ok_and(|text| text.contains(what))
}

async fn a_killed_daemon_changes_nothing() -> Outcome {
    if let Some(outer) = played() {
        let Attached { supervised, .. } = start(&outer, SupervisorLimits::default()).await?;
        supervised.run(&grant()?, bash(TICKS), json!({"note": 1})).await?;
        supervised.write(json!("first"), vec!["first".to_owned()]).await?;
        tokio::time::sleep(Duration::from_secs(600)).await;
        return Err("it was not killed".into());
    }
    let outer = tempfile::tempdir()?;
    let mut daemon = play("a_killed_daemon_changes_nothing", outer.path())?;
    assert!(soon(|| recorded(outer.path(), "heard first")).await);
    daemon.kill()?;
    daemon.wait()?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    let attached = Supervised::attach(&outer.path().join("job")).await?.ok_or("nobody lives there")?;
    assert!(begun.elapsed() < Duration::from_secs(1));
    let Attached { supervised, door, custody } = attached;
    assert_eq!(custody, CUSTODY);
    assert!(rustix::net::sockopt::socket_acceptconn(&door)?, "the door is no listening socket");
    supervised.write(json!("second"), vec!["second".to_owned()]).await?;
    let mut records = supervised.records();
    let all = until(&mut records, |what| *what == out("heard second")).await?;
    let mut ticks = 0;
    for what in &all {
        if let What::Out { line } = what
            && let Some(tick) = line.strip_prefix("tick ")
        {
            ticks += 1;
            assert_eq!(tick.parse::<u32>()?, ticks, "lost or twice");
        }
    }
    assert!(ticks > 6, "{ticks}");
    assert_eq!(all.iter().filter(|what| **what == out("heard first")).count(), 1);
    let caused: Vec<_> =
        all.iter().filter_map(|what| if let What::In { cause, .. } = what { Some(cause) } else { None }).collect();
    assert_eq!(caused, [&json!("first"), &json!("second")]);
    supervised.end().await;
    bury_orphans();
    assert_eq!(supervisors().len(), 0);
    Ok(())
}

/// Says how long each line was that it was told, in the order in which they came.
const MEASURE: &str = "while IFS= read -r line; do echo \"${line%% *} ${#line}\"; done";

/// Lines of very different lengths, so that the daemon dies in the middle of some.
fn long(number: usize) -> String {
    format!("{number} {}", "x".repeat([10, 60_000, 1, 20_000, 5_000][number % 5]))
}

async fn whatever_was_being_said_is_said_once_or_not_at_all() -> Outcome {
    if let Some(outer) = played() {
        let supervised = match Supervised::attach(&outer.join("job")).await? {
            Some(attached) => attached.supervised,
            None => start(&outer, SupervisorLimits::default()).await?.supervised,
        };
        if supervised.written() == 0 {
            supervised.run(&grant()?, bash(MEASURE), Value::Null).await?;
        }
        // It does what a daemon does: what stands in the records was said.
        let mut records = supervised.records();
        let mut said = 0;
        while let Some(record) = records.next().await {
            said += usize::from(matches!(record.what, What::In { .. }));
            if record.seq >= supervised.written() {
                break;
            }
        }
        fs::write(outer.join("ready"), "")?;
        for number in said.. {
            supervised.write(json!(number), vec![long(number)]).await?;
        }
    }
    let outer = tempfile::tempdir()?;
    for delay in 0..12 {
        _ = fs::remove_file(outer.path().join("ready"));
        let mut daemon = play("whatever_was_being_said_is_said_once_or_not_at_all", outer.path())?;
        assert!(soon(|| outer.path().join("ready").exists()).await);
        tokio::time::sleep(Duration::from_micros(3_700 * delay)).await;
        daemon.kill()?;
        daemon.wait()?;
    }
    let supervised = Supervised::attach(&outer.path().join("job")).await?.ok_or("nobody lives there")?.supervised;
    supervised.write(json!("last"), vec!["last".to_owned()]).await?;
    let all = until(&mut supervised.records(), |what| *what == out("last 4")).await?;
    let caused: Vec<Value> = all
        .iter()
        .filter_map(|what| if let What::In { cause, .. } = what { Some(cause.clone()) } else { None })
        .collect();
    let count = caused.len() - 1;
    assert!(count > 5, "{count}");
    assert_eq!(caused[..count], (0..count).map(|number| json!(number)).collect::<Vec<_>>());
    let heard: Vec<_> = all.iter().filter(|what| matches!(what, What::Out { .. })).cloned().collect();
    let expected = (0..count).map(|number| out(&format!("{number} {}", long(number).len())));
    assert_eq!(heard[..count], expected.collect::<Vec<_>>());
    supervised.end().await;
    bury_orphans();
    assert_eq!(supervisors().len(), 0);
    Ok(())
}

async fn what_was_ordered_before_counts_before_the_next_daemon_is_let_in() -> Outcome {
    let Job { supervised, directory, _outer } = Job::new().await?;
    supervised.run(&grant()?, bash(MEASURE), Value::Null).await?;
    let process = *supervisors().first().ok_or("there is none")?;
    kill_process(process, Signal::STOP)?;
    // The order is sent, and whoever sent it is gone before it is read.
    let order = supervised.write(json!("late"), vec!["late".to_owned()]);
    assert!(tokio::time::timeout(Duration::from_millis(100), order).await.is_err());
    drop(supervised);
    let next = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        kill_process(process, Signal::CONT)
    };
    let (attached, continued) = tokio::join!(Supervised::attach(&directory), next);
    continued?;
    let supervised = attached?.ok_or("nobody lives there")?.supervised;
    let known = supervised.written();
    let all = until(&mut supervised.records(), |what| matches!(what, What::In { .. })).await?;
    assert!(all.len() as u64 <= known, "the record came after the next daemon");
    Ok(())
}

async fn two_daemons_are_one_too_many() -> Outcome {
    let job = Job::new().await?;
    let error = Supervised::attach(&job.directory).await.err().ok_or("two were let in")?;
    assert_eq!(error.to_string(), "the job's supervisor: another daemon is attached; only one can be");
    let again =
        super::job::start(job._outer.path(), SupervisorLimits::default()).await.err().ok_or("two were started")?;
    assert_eq!(
        again.to_string(),
        "the job's supervisor: its records cannot be opened: a supervisor lives in this directory already"
    );
    // The first one was not harmed.
    job.sh("echo fine").await?;
    job.until(|what| *what == out("fine")).await?;
    // One that waits is let in when the first one leaves in time.
    let Job { supervised, directory, _outer } = job;
    let leave = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(supervised);
    };
    let (attached, ()) = tokio::join!(Supervised::attach(&directory), leave);
    assert_eq!(attached?.ok_or("nobody lives there")?.custody, CUSTODY);
    Ok(())
}

async fn onlookers_order_nothing() -> Outcome {
    let job = Job::new().await?;
    let onlooker = Supervised::look(&job.directory).await?.ok_or("nobody lives there")?;
    job.sh("read -r line; echo \"heard $line\"").await?;
    for refused in [
        onlooker.write(Value::Null, vec!["x".to_owned()]).await,
        onlooker.end_program().await,
        onlooker.interrupt().await,
        onlooker.run(&grant()?, bash("true"), Value::Null).await.map(drop),
    ] {
        let error = refused.err().ok_or("it was allowed")?;
        assert_eq!(error.to_string(), "the job's supervisor: only the daemon may order");
    }
    job.write("us").await?;
    until(&mut onlooker.records(), |what| *what == out("heard us")).await?;
    assert!(job.supervised.is_alive());
    Ok(())
}
