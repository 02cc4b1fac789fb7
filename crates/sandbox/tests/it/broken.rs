//! Each promise of this crate, switched off: what the other tests see held must then be seen to give way.

use std::{fs, os::unix::fs::symlink, path::Path};

use policy::{Act, decide_own};
use sandbox::{Files, Outcome as Row, Pool, SandboxConfig, Workspace};
use types::{Invariant, SessionId, faults::set_broken};

use crate::{
    inside,
    support::{Outcome, Place, name, use_own_program},
};

inside! {
    as_root {
        without_its_own_network_the_hosts_is_reached
        without_a_closed_tree_control_files_are_open
        without_quotas_nothing_is_bounded
        a_sandbox_that_cannot_be_built_as_ordered_runs
        a_link_leads_file_tools_out
    }
    as_somebody {
        without_a_closed_tree_control_files_are_open
    }
}

fn without(invariant: Invariant) {
    set_broken(&(invariant as u8).to_string());
}

/// The attempts of the list that succeed.
async fn escapes() -> Result<Vec<String>, Box<dyn std::error::Error>> {
    use_own_program();
    let report = sandbox::canary(&SandboxConfig::default()).await;
    match report {
        Ok(report) => Ok(report.rows.into_iter().filter(|row| row.outcome == Row::Escaped).map(|row| row.id).collect()),
        // Whatever was changed outside of the workspace was an escape, too.
        Err(error) if error.to_string().contains("outside of the workspace was changed") => {
            Ok(vec!["outside-file".to_owned()])
        }
        Err(error) => Err(error.into()),
    }
}

async fn without_its_own_network_the_hosts_is_reached() -> Outcome {
    without(Invariant::OnlyProxyOut);
    let found = escapes().await?;
    assert!(found.iter().any(|id| id == "host-loopback"), "{found:?}");
    Ok(())
}

async fn without_a_closed_tree_control_files_are_open() -> Outcome {
    without(Invariant::ControlFilesClosed);
    let found = escapes().await?;
    assert!(found.iter().any(|id| id == "outside-file"), "{found:?}");
    let outer = tempfile::tempdir()?;
    let pool = Pool::new(SandboxConfig::default(), outer.path());
    assert!(pool.get(SessionId(1), &Workspace::open(name()?, outer.path())?).await.is_ok());
    pool.stop_all().await;
    Ok(())
}

async fn without_quotas_nothing_is_bounded() -> Outcome {
    without(Invariant::QuotasHold);
    let it = Place::with(SandboxConfig { pids: 16, memory_mb: 32, disk_mb: 4, ..SandboxConfig::default() }).await?;
    let crowd = "for i in $(seq 40); do sleep 1 & done; ls -d /proc/[0-9]* | wc -l; wait";
    assert!(it.good(crowd).await?.trim().parse::<u32>()? >= 40);
    assert_eq!(it.good("head -c 80m /dev/zero | tail -c 80m | wc -c").await?.trim(), "83886080");
    assert_eq!(it.good("head -c 8m /dev/zero > f; wc -c < f; rm f").await?.trim(), "8388608");
    Ok(())
}

async fn a_sandbox_that_cannot_be_built_as_ordered_runs() -> Outcome {
    without(Invariant::SandboxOrNothing);
    let config = SandboxConfig { read_only: vec!["/nowhere/at/all".into()], ..SandboxConfig::default() };
    assert_eq!(Place::with(config).await?.good("echo ran").await?, "ran\n");
    Ok(())
}

async fn a_link_leads_file_tools_out() -> Outcome {
    let outer = tempfile::tempdir()?;
    let path = outer.path().join("workspace");
    fs::create_dir(&path)?;
    fs::write(outer.path().join("bait"), "the bait")?;
    symlink(outer.path().join("bait"), path.join("link"))?;
    let workspace = Workspace::open(name()?, &path)?;
    let read = || -> Result<_, Box<dyn std::error::Error>> {
        let grant = decide_own(Act::Snapshot, name()?);
        Ok(Files::new(&workspace)?.read(&grant, Path::new("link"), 100))
    };
    assert!(read()?.is_err());
    without(Invariant::FilesBeneath);
    assert!(read()?.is_ok());
    Ok(())
}
