//! A full disk: nothing is done that cannot be recorded, and nothing that was recorded is lost.

use std::fs;

use rustix::mount::{MountFlags, mount};
use sandbox::{Attached, SupervisorLimits, What};
use serde_json::Value;

use super::job::{bash, is_end, killed, out, start, until};
use crate::{
    inside,
    support::{Outcome, grant},
};

inside! {
    as_root {
        a_full_disk_ends_the_program_and_loses_no_record
        room_in_time_ends_nothing
    }
}

/// A supervisor whose directory is a disk of its own, so small that it is soon full, with something on it to remove.
async fn on_a_small_disk(outer: &std::path::Path) -> Result<Attached, Box<dyn std::error::Error>> {
    let directory = outer.join("job");
    fs::create_dir(&directory)?;
    mount("small", &directory, "tmpfs", MountFlags::empty(), Some(c"size=512k,mode=0700"))?;
    fs::write(directory.join("ballast"), vec![1; 200 * 1024])?;
    start(outer, SupervisorLimits::default()).await
}

/// Says a lot, and then nothing more.
const LOT: &str = "for i in $(seq 1 400); do echo \"$i $(printf '%01000d' 0)\"; done; echo done; sleep 4716";

fn lines(all: &[What]) -> usize {
    all.iter().filter(|what| matches!(what, What::Out { .. })).count()
}

async fn a_full_disk_ends_the_program_and_loses_no_record() -> Outcome {
    let outer = tempfile::tempdir()?;
    let Attached { supervised, .. } = on_a_small_disk(outer.path()).await?;
    supervised.run(&grant()?, bash(LOT), Value::Null).await?;
    let mut refused = None;
    for _ in 0..200 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        refused = supervised.write(Value::Null, vec!["x".repeat(900)]).await.err().map(|error| error.to_string());
        if refused.is_some() {
            break;
        }
    }
    let expected = "the job's supervisor: the disk is full, so nothing can be recorded; make room and try again";
    assert_eq!(refused.as_deref(), Some(expected));
    // Nobody makes room in time.
    tokio::time::sleep(std::time::Duration::from_millis(5_600)).await;
    assert_eq!(crate::support::processes_with("4716"), 0);
    let on_disk = fs::read_to_string(outer.path().join("job/records.jsonl"))?;
    assert!(on_disk.ends_with('\n') && !on_disk.contains("disk full"));
    fs::remove_file(outer.path().join("job/ballast"))?;
    let all = until(&mut supervised.records(), is_end).await?;
    assert_eq!(all.last(), Some(&killed("disk full")));
    assert!(lines(&all) < 400);
    // What it said is there up to where it was stopped, without a gap.
    let said: Vec<&str> = all
        .iter()
        .filter_map(|what| if let What::Out { line } = what { line.split(' ').next() } else { None })
        .collect();
    assert_eq!(said[..said.len() - 1], (1..said.len()).map(|number| number.to_string()).collect::<Vec<_>>());
    supervised.end().await;
    Ok(())
}

async fn room_in_time_ends_nothing() -> Outcome {
    let outer = tempfile::tempdir()?;
    let Attached { supervised, .. } = on_a_small_disk(outer.path()).await?;
    supervised.run(&grant()?, bash(LOT), Value::Null).await?;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let before = fs::read_to_string(outer.path().join("job/records.jsonl"))?.lines().count();
    assert!(before < 400, "the disk was large enough for {before}");
    fs::remove_file(outer.path().join("job/ballast"))?;
    let all = until(&mut supervised.records(), |what| *what == out("done")).await?;
    assert_eq!(lines(&all), 401);
    supervised.end().await;
    Ok(())
}
