//! The ends of a supervisor, and what is left then: the records.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use sandbox::{Attached, Supervised, SupervisorLimits, What};

use super::job::{CUSTODY, Job, bash, is_end, out, start, supervisors, until};
use crate::{
    inside,
    support::{Outcome, grant, processes_with, soon},
};

inside! {
    as_root {
        a_killed_supervisor_takes_its_sandbox_along
        fifty_jobs_leave_nothing_behind
        the_end_of_the_sandbox_is_the_end
    }
    as_somebody {
        a_killed_supervisor_takes_its_sandbox_along
        it_ends_when_it_is_alone_for_too_long
        it_ends_when_its_time_is_over
        it_ends_politely_when_the_system_does
        all_can_be_ended_at_once
        custody_is_nowhere_to_be_read
        fifty_jobs_leave_nothing_behind
    }
    without_groups {
        fifty_jobs_leave_nothing_behind
    }
}

/// Something that only a sandbox's end ends.
const STAYS: &str =
    "(setsid sh -c 'trap \"\" TERM HUP INT; sleep 4715 & wait' >/dev/null 2>&1 &) ; echo ready; sleep 4715";

/// Why a program was ended. A shell whose child is killed a moment before it may still end with a code of its own.
fn why(records: &[What]) -> Option<&str> {
    match records.last() {
        Some(What::Ended { why, .. }) => why.as_deref(),
        _ => None,
    }
}

fn nothing_runs() -> bool {
    // The first process of the outer namespaces is this one, so it must bury orphans.
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    supervisors().is_empty() && processes_with("4715") + processes_with("sandbox-init") == 0
}

async fn a_killed_supervisor_takes_its_sandbox_along() -> Outcome {
    let before = groups();
    let Job { supervised, directory, _outer } = Job::new().await?;
    supervised.run(&grant()?, bash(STAYS), serde_json::Value::Null).await?;
    let mut records = supervised.records();
    until(&mut records, |what| *what == out("ready")).await?;
    assert!(soon(|| processes_with("4715") == 2).await);
    kill_process(*supervisors().first().ok_or("there is none")?, Signal::KILL)?;
    assert!(soon(nothing_runs).await);
    assert!(records.next().await.is_none());
    assert!(soon(|| !supervised.is_alive()).await);
    assert!(directory.join("socket").exists());
    // As if it had died in the middle of a record.
    let mut text = fs::read(directory.join("records.jsonl"))?;
    text.extend(b"{\"seq\":9,\"a");
    fs::write(directory.join("records.jsonl"), text)?;
    assert!(Supervised::attach(&directory).await?.is_none());
    assert!(!directory.join("socket").exists());
    assert!(fs::read(directory.join("records.jsonl"))?.ends_with(b"}\n"));
    assert_eq!(groups(), before);
    // Another one goes on in the same file.
    let Attached { supervised, .. } = start(_outer.path(), SupervisorLimits::default()).await?;
    assert_eq!(supervised.run(&grant()?, bash("echo again"), serde_json::Value::Null).await?, 2);
    let all = until(&mut supervised.records(), |what| *what == out("again")).await?;
    let died = What::Ended { code: None, signal: None, why: Some("the supervisor died".to_owned()) };
    assert!(
        matches!(&all[..], [What::Started { run: 1, .. }, _, end, What::Started { run: 2, .. }, _] if *end == died),
        "{all:?}"
    );
    Ok(())
}

async fn the_end_of_the_sandbox_is_the_end() -> Outcome {
    let job = Job::new().await?;
    job.sh(STAYS).await?;
    job.until(|what| *what == out("ready")).await?;
    let first = processes("sandbox-init").first().copied().ok_or("there is none")?;
    kill_process(first, Signal::KILL)?;
    let mut records = job.supervised.records();
    let all = until(&mut records, is_end).await?;
    let expected = What::Ended { code: None, signal: None, why: Some("the sandbox ended".to_owned()) };
    assert_eq!(all.last(), Some(&expected));
    assert!(records.next().await.is_none());
    assert!(soon(nothing_runs).await);
    assert!(!job.directory.join("socket").exists());
    Ok(())
}

async fn it_ends_when_it_is_alone_for_too_long() -> Outcome {
    let limits = SupervisorLimits { alone: Duration::from_millis(600), ..SupervisorLimits::default() };
    let Job { supervised, directory, _outer } = Job::with(limits).await?;
    supervised.run(&grant()?, bash(STAYS), serde_json::Value::Null).await?;
    // It is not alone, however long that lasts.
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(supervised.is_alive());
    drop(supervised);
    // Nor when somebody comes in time.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let Attached { supervised, .. } = Supervised::attach(&directory).await?.ok_or("nobody lives there")?;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let mut records = supervised.records();
    until(&mut records, |what| *what == out("ready")).await?;
    drop((supervised, records));
    // An onlooker is no company.
    let onlooker = Supervised::look(&directory).await?.ok_or("nobody lives there")?;
    let mut records = onlooker.records();
    assert_eq!(why(&until(&mut records, is_end).await?), Some("no daemon came"));
    assert!(soon(nothing_runs).await);
    assert!(!directory.join("socket").exists());
    Ok(())
}

async fn it_ends_when_its_time_is_over() -> Outcome {
    let job = Job::with(SupervisorLimits { total: Duration::from_millis(500), ..SupervisorLimits::default() }).await?;
    job.sh(STAYS).await?;
    assert_eq!(why(&job.until(is_end).await?), Some("too late"));
    assert!(soon(nothing_runs).await);
    Ok(())
}

async fn it_ends_politely_when_the_system_does() -> Outcome {
    let job = Job::new().await?;
    job.sh(STAYS).await?;
    job.until(|what| *what == out("ready")).await?;
    kill_process(*supervisors().first().ok_or("there is none")?, Signal::TERM)?;
    assert_eq!(why(&job.until(is_end).await?), Some("the supervisor was ended"));
    assert!(soon(nothing_runs).await);
    Ok(())
}

async fn all_can_be_ended_at_once() -> Outcome {
    let outer = tempfile::tempdir()?;
    let mut all = Vec::new();
    for number in 0..3 {
        let place = outer.path().join("jobs").join(number.to_string());
        fs::create_dir_all(&place)?;
        let mut spec = super::job::spec(&place, SupervisorLimits::default())?;
        spec.directory = outer.path().join("jobs").join(format!("job-{number}"));
        let Attached { supervised, .. } = Supervised::start(&grant()?, spec).await?;
        supervised.run(&grant()?, bash(STAYS), serde_json::Value::Null).await?;
        all.push(supervised.records());
    }
    // One that has died, and one directory without any.
    kill_process(*supervisors().first().ok_or("there is none")?, Signal::KILL)?;
    assert!(soon(|| supervisors().len() == 2).await);
    assert!(Supervised::end_all(&outer.path().join("jobs")).await.is_err(), "their daemon is this one");
    drop(all);
    assert_eq!(Supervised::end_all(&outer.path().join("jobs")).await?, 2);
    assert!(soon(nothing_runs).await);
    assert_eq!(Supervised::end_all(&outer.path().join("jobs")).await?, 0);
    assert_eq!(Supervised::end_all(&outer.path().join("nowhere")).await?, 0);
    Ok(())
}

async fn custody_is_nowhere_to_be_read() -> Outcome {
    let job = Job::new().await?;
    job.sh("cat /proc/*/cmdline /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; find / -xdev -type f -size -1000k -newer /proc/1 2>/dev/null | head -1000 | xargs cat 2>/dev/null; exit 0").await?;
    let inside = format!("{:?}", job.until(is_end).await?);
    let custody = String::from_utf8_lossy(CUSTODY).into_owned();
    assert!(inside.contains("PATH=") && !inside.contains(&custody));
    let process = supervisors().first().ok_or("there is none")?.as_raw_nonzero();
    let of = |file: &str| fs::read(format!("/proc/{process}/{file}"));
    assert!(!String::from_utf8_lossy(&of("cmdline")?).contains(&custody));
    for file in ["environ", "mem", "maps", "auxv"] {
        assert_eq!(of(file).err().map(|error| error.kind()), Some(std::io::ErrorKind::PermissionDenied), "{file}");
    }
    for entry in fs::read_dir(&job.directory)?.flatten().filter(|entry| entry.path().is_file()) {
        assert!(!String::from_utf8_lossy(&fs::read(entry.path())?).contains(&custody), "{entry:?}");
    }
    let mode = |name: &str| fs::metadata(job.directory.join(name)).map(|found| found.permissions().mode() & 0o777);
    assert_eq!((mode("socket")?, mode("records.jsonl")?, mode(".")?), (0o600, 0o600, 0o700));
    Ok(())
}

async fn fifty_jobs_leave_nothing_behind() -> Outcome {
    // What a first job leaves for good, such as the runtime's own descriptors.
    one_job().await?;
    let before = (descriptors(), groups());
    for _ in 0..10 {
        let jobs = (0..5).map(|_| one_job());
        futures_join(jobs).await?;
    }
    assert!(soon(nothing_runs).await);
    assert_eq!((descriptors(), groups()), before);
    assert!(wait(WaitOptions::NOHANG).is_err(), "no child is left, dead or alive");
    Ok(())
}

async fn futures_join(jobs: impl Iterator<Item = impl Future<Output = Outcome>>) -> Outcome {
    let [one, two, three, four, five] = jobs.collect::<Vec<_>>().try_into().map_err(|_| "there are five")?;
    let (one, two, three, four, five) = tokio::join!(one, two, three, four, five);
    one.and(two).and(three).and(four).and(five)
}

async fn one_job() -> Outcome {
    let job = Job::new().await?;
    job.sh(STAYS).await?;
    job.until(|what| *what == out("ready")).await?;
    job.supervised.end().await;
    assert!(!job.directory.join("socket").exists());
    Ok(())
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn processes(word: &str) -> Vec<Pid> {
    super::job::processes(word)
}

/// The groups of all sandboxes of these outer namespaces, and what is left of older ones that had the same number.
fn groups() -> usize {
    let space = fs::metadata("/proc/self/ns/pid").map_or(0, |found| found.ino());
    let prefix = format!("factotum-{space}-");
    let mut waiting: Vec<std::path::PathBuf> =
        ["memory", "pids", "cpu"].iter().map(|name| format!("/sys/fs/cgroup/{name}").into()).collect();
    let mut count = 0;
    while let Some(place) = waiting.pop() {
        for entry in fs::read_dir(place).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
            count += usize::from(entry.file_name().to_string_lossy().starts_with(&prefix));
            waiting.push(entry.path());
        }
    }
    count
}
