//! A home that stays: a directory of the host that commands see as their home.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    time::Duration,
};

use policy::{Act, decide_own};
use sandbox::{Command, ExitStatus, Sandbox, SandboxConfig, SandboxError, SandboxSpec, Workspace, remove_own};
use tokio_util::sync::CancellationToken;

use crate::{
    inside,
    support::{Outcome, Place, name, use_own_program},
};

inside! {
    as_root {
        a_home_stays_and_belongs_to_the_caller
        a_home_of_another_owner_than_the_workspace_works
        links_in_a_home_gain_nothing
    }
    as_somebody {
        a_home_stays_and_belongs_to_the_caller
        links_in_a_home_gain_nothing
        a_home_counts_for_the_guard_of_the_disk
        homes_that_are_not_ours_are_refused
        what_commands_have_closed_is_removed_in_the_usual_home
    }
}

/// A sandbox with a home in the same outer directory, which the caller keeps.
async fn place(outer: &Path, config: &SandboxConfig) -> Result<Place, Box<dyn std::error::Error>> {
    use_own_program();
    for directory in ["home", "workspace"] {
        fs::create_dir_all(outer.join(directory))?;
    }
    let workspace = Workspace::open(name()?, &outer.join("workspace"))?;
    let mut spec = SandboxSpec::new(workspace, config)?;
    spec.home = Some(outer.join("home"));
    Ok(Place::of(tempfile::tempdir()?, spec).await?)
}

async fn a_home_stays_and_belongs_to_the_caller() -> Outcome {
    let outer = tempfile::tempdir()?;
    let it = place(outer.path(), &SandboxConfig::default()).await?;
    let script = "cd && test \"$PWD\" = /home/agent && test \"$HOME\" = /home/agent && mkdir -p .config/x && \
                  echo kept > .config/x/y && cp /bin/true t && ./t && stat -c %u .config/x/y";
    assert_eq!(it.good(script).await?, "1000\n");
    it.sandbox.stop().await;
    drop(it);
    let file = outer.path().join("home/.config/x/y");
    assert_eq!(fs::read_to_string(&file)?, "kept\n");
    assert_eq!(fs::metadata(&file)?.uid(), rustix::process::geteuid().as_raw());
    let again = place(outer.path(), &SandboxConfig::default()).await?;
    assert_eq!(
        again.good("cat ~/.config/x/y && echo more >> ~/.config/x/y && wc -l < ~/.config/x/y").await?,
        "kept\n2\n"
    );
    // No file in it gives rights, and what `/tmp` held is gone with the first sandbox.
    assert_eq!(
        again.good("chmod 4755 ~/t 2>/dev/null; stat -c %a ~/t; mknod ~/d c 1 3 2>/dev/null; ls ~").await?,
        "755\nt\n"
    );
    Ok(())
}

async fn a_home_of_another_owner_than_the_workspace_works() -> Outcome {
    let outer = tempfile::tempdir()?;
    fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o755))?;
    fs::create_dir(outer.path().join("workspace"))?;
    std::os::unix::fs::chown(outer.path().join("workspace"), Some(1234), Some(1234))?;
    let it = place(outer.path(), &SandboxConfig::default()).await?;
    it.good("echo a > ~/a && echo b > /workspace/b").await?;
    assert_eq!(fs::metadata(outer.path().join("home/a"))?.uid(), 0);
    assert_eq!(fs::metadata(outer.path().join("workspace/b"))?.uid(), 1234);
    Ok(())
}

async fn links_in_a_home_gain_nothing() -> Outcome {
    let outer = tempfile::tempdir()?;
    fs::create_dir(outer.path().join("home"))?;
    fs::write(outer.path().join("secret"), "secret")?;
    symlink(outer.path().join("secret"), outer.path().join("home/absolute"))?;
    symlink("../secret", outer.path().join("home/relative"))?;
    symlink(outer.path(), outer.path().join("home/outer"))?;
    let it = place(outer.path(), &SandboxConfig::default()).await?;
    let (_, text) = it.sh("cat ~/absolute ~/relative ~/outer/secret; echo x > ~/outer/new; ls ~/../..").await?;
    assert!(!text.contains("secret\n") && text.contains("workspace"), "{text}");
    assert_eq!(text.matches("No such file").count(), 4, "{text}");
    assert!(!outer.path().join("new").exists());
    it.sandbox.stop().await;
    drop(it);
    // A home that became a link is refused as it stands.
    fs::rename(outer.path().join("home"), outer.path().join("moved"))?;
    symlink(outer.path().join("moved"), outer.path().join("home"))?;
    assert!(place(outer.path(), &SandboxConfig::default()).await.is_err());
    Ok(())
}

async fn a_home_counts_for_the_guard_of_the_disk() -> Outcome {
    let outer = tempfile::tempdir()?;
    let config = SandboxConfig { disk_mb: 8, disk_floor_mb: 0, ..SandboxConfig::default() };
    let it = place(outer.path(), &config).await?;
    let script =
        "for n in 1 2 3 4 5 6; do head -c 6000000 /dev/urandom > ~/f$n; sync -f ~/f$n; sleep 0.3; done; echo all";
    let command = Command::new(script, Duration::from_secs(20));
    let (exit, text) = it.run(command, &CancellationToken::new()).await?;
    assert_eq!((exit.status, text.as_str()), (ExitStatus::DiskFull, ""));
    Ok(())
}

async fn homes_that_are_not_ours_are_refused() -> Outcome {
    let outer = tempfile::tempdir()?;
    fs::create_dir_all(outer.path().join("workspace/inner/.ssh"))?;
    use_own_program();
    let workspace = Workspace::open(name()?, &outer.path().join("workspace"))?;
    let inner = outer.path().join("workspace/inner");
    for bad in [Path::new("/"), Path::new("/root"), outer.path(), &inner, &inner.join(".ssh"), Path::new("relative")] {
        let mut spec = SandboxSpec::new(workspace.clone(), &SandboxConfig::default())?;
        spec.home = Some(bad.to_owned());
        assert!(matches!(Sandbox::start(spec).await, Err(SandboxError::Home { .. })), "{}", bad.display());
    }
    Ok(())
}

async fn what_commands_have_closed_is_removed_in_the_usual_home() -> Outcome {
    let outer = tempfile::tempdir()?;
    let job = outer.path().join(".factotum/jobs/7");
    for directory in ["home", "workspace"] {
        fs::create_dir_all(job.join(directory).join("a/b"))?;
    }
    fs::write(outer.path().join("kept"), "")?;
    symlink(outer.path().join("kept"), job.join("home/a/link"))?;
    fs::set_permissions(job.join("home/a/b"), fs::Permissions::from_mode(0o000))?;
    fs::set_permissions(job.join("home/a"), fs::Permissions::from_mode(0o500))?;
    remove_own(&decide_own(Act::JobTree, name()?), &job)?;
    assert!(!job.exists() && outer.path().join("kept").exists());
    remove_own(&decide_own(Act::JobTree, name()?), &job)?;
    assert!(remove_own(&decide_own(Act::Scan, name()?), outer.path()).is_err());
    Ok(())
}
