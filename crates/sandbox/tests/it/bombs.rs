//! Using up what is limited.

use std::{fs, process::Command as Host, time::Duration};

use sandbox::{Command, ExitStatus, QuotaKind, SandboxConfig};
use tokio_util::sync::CancellationToken;

use crate::{
    inside,
    support::{Outcome, Place, soon},
};

inside! {
    as_root {
        a_fork_bomb_stays_inside
        a_memory_bomb_is_named
        memory_in_files_counts
        a_disk_that_fills_is_noticed
        one_endless_file_is_cut_off
        what_a_command_leaves_running_cannot_fill_the_disk
    }
    as_somebody {
        a_fork_bomb_stays_inside
        a_memory_bomb_is_named
        open_files_are_limited
    }
    without_groups {
        a_fork_bomb_stays_inside
        one_process_cannot_take_all_memory
        what_a_command_leaves_running_cannot_fill_the_disk
    }
}

fn all_processes() -> usize {
    let Ok(entries) = fs::read_dir("/proc") else { return 0 };
    entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok())).count()
}

async fn a_fork_bomb_stays_inside() -> Outcome {
    let it = Place::with(SandboxConfig { pids: 48, ..SandboxConfig::default() }).await?;
    let bomb = Command::new("f() { f | f & }; f; sleep 60", Duration::from_millis(700));
    let never = CancellationToken::new();
    let watch = async {
        let mut most = 0;
        for _ in 0..60 {
            most = most.max(all_processes());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(most)
    };
    let ((exit, _), most) = tokio::try_join!(it.run(bomb, &never), watch)?;
    assert!(exit.elapsed < Duration::from_secs(3), "{exit:?}");
    assert!((20..=60).contains(&most), "{most} processes");
    if it.sandbox.quota_kind() == QuotaKind::RlimitsOnly {
        // Orphans of the bomb cannot be told from others; they end with the sandbox.
        it.sandbox.stop().await;
        return Ok(());
    }
    assert!(soon(|| all_processes() < 10).await, "{} left", all_processes());
    assert_eq!(it.good("echo still here").await?, "still here\n");
    Ok(())
}

async fn a_memory_bomb_is_named() -> Outcome {
    let it = Place::with(SandboxConfig { memory_mb: 64, ..SandboxConfig::default() }).await?;
    if it.sandbox.quota_kind() == QuotaKind::RlimitsOnly {
        eprintln!("skipped: no control groups");
        return Ok(());
    }
    let (exit, _) = it.sh("head -c 400M /dev/zero | tail -c 300M | wc -c; exit ${PIPESTATUS[1]}").await?;
    assert_eq!(exit.status, ExitStatus::OutOfMemory);
    // Several processes that are small each are one sandbox.
    let small = "(head -c 30M /dev/zero; sleep 2) | tail -c 30M > /dev/null &";
    let (exit, text) = it.sh(&format!("{small} {small} {small} wait; exit 9")).await?;
    assert_eq!(exit.status, ExitStatus::OutOfMemory, "{text}");
    assert_eq!(it.good("echo still here").await?, "still here\n");
    Ok(())
}

async fn memory_in_files_counts() -> Outcome {
    let config = SandboxConfig { memory_mb: 64, tmp_mb: 32, ..SandboxConfig::default() };
    let it = Place::with(config).await?;
    let (exit, text) = it.sh("head -c 40M /dev/zero > /tmp/big").await?;
    assert_eq!(exit.status, ExitStatus::Code(1), "{text}");
    assert!(text.contains("No space left"), "{text}");
    it.good("rm /tmp/big").await?;
    Ok(())
}

/// A workspace on a small disk of its own.
async fn on_a_small_disk(config: SandboxConfig) -> Result<Place, Box<dyn std::error::Error>> {
    let outer = tempfile::tempdir()?;
    let path = outer.path().join("workspace");
    fs::create_dir(&path)?;
    let mounted = Host::new("mount").args(["-t", "tmpfs", "-o", "size=300m", "none"]).arg(&path).status()?;
    assert!(mounted.success());
    Place::at(outer, &path, config).await
}

async fn a_disk_that_fills_is_noticed() -> Outcome {
    let it = on_a_small_disk(SandboxConfig { disk_mb: 40, ..SandboxConfig::default() }).await?;
    let script = "i=0; while true; do head -c 1M /dev/zero > f$i; i=$((i+1)); sleep 0.002; done";
    let (exit, _) = it.sh(script).await?;
    assert_eq!(exit.status, ExitStatus::DiskFull);
    assert!(exit.elapsed < Duration::from_secs(5), "{exit:?}");
    it.good("rm f*").await?;
    // Close to the end of the disk it is the floor that counts.
    let floor = on_a_small_disk(SandboxConfig { disk_mb: 1000, ..SandboxConfig::default() }).await?;
    let (exit, _) = floor.sh("head -c 290M /dev/zero > big; sleep 5").await?;
    assert_eq!(exit.status, ExitStatus::DiskFull);
    floor.good("rm big; echo x > small").await?;
    Ok(())
}

async fn what_a_command_leaves_running_cannot_fill_the_disk() -> Outcome {
    let config = SandboxConfig { disk_mb: 40, ..SandboxConfig::default() };
    // Mounting takes root; on a shared disk others may use up the quota sooner.
    let it =
        if rustix::process::geteuid().is_root() { on_a_small_disk(config).await? } else { Place::with(config).await? };
    let writer = "for i in $(seq 1 200); do head -c 1M /dev/zero > f$i; sleep 0.02; done; touch finished";
    it.good(&format!("(setsid sh -c '{writer}') > /dev/null 2>&1 < /dev/null & exit 0")).await?;
    tokio::time::sleep(Duration::from_secs(7)).await;
    let used = fs::read_dir(it.workspace.dir())?.count();
    assert!((1..150).contains(&used), "{used} MB were written");
    assert!(!it.workspace.dir().join("finished").exists());
    // Without groups nobody can tell what was left running, so the sandbox had to end.
    assert_eq!(it.sandbox.is_alive(), it.sandbox.quota_kind() != QuotaKind::RlimitsOnly);
    Ok(())
}

async fn one_endless_file_is_cut_off() -> Outcome {
    let it = on_a_small_disk(SandboxConfig { disk_mb: 20, ..SandboxConfig::default() }).await?;
    let (exit, _) = it.sh("exec dd if=/dev/zero of=big bs=64k count=1000").await?;
    assert!(matches!(exit.status, ExitStatus::Signal(25) | ExitStatus::DiskFull), "{exit:?}");
    assert!(fs::metadata(it.workspace.dir().join("big"))?.len() <= 20 * 1024 * 1024);
    Ok(())
}

async fn open_files_are_limited() -> Outcome {
    let it = Place::new().await?;
    assert_eq!(it.good("ulimit -Hn; ulimit -c 0; sh -c 'exit 0'").await?, "16384\n");
    Ok(())
}

async fn one_process_cannot_take_all_memory() -> Outcome {
    let it = Place::with(SandboxConfig { memory_mb: 64, ..SandboxConfig::default() }).await?;
    assert_eq!(it.sandbox.quota_kind(), QuotaKind::RlimitsOnly);
    let (exit, text) = it.sh("head -c 200M /dev/zero | tail -c 200M > /dev/null; exit ${PIPESTATUS[1]}").await?;
    assert_ne!(exit.status, ExitStatus::Code(0), "{text}");
    Ok(())
}
