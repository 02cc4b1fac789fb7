//! What cannot be built is refused, with what to do.

use std::{fs, path::Path, process::Command as Host};

use sandbox::{Sandbox, SandboxConfig, SandboxError, SandboxSpec, Workspace};

use crate::{
    inside,
    support::{Outcome, name, use_own_program},
};

inside! {
    as_root {
        without_user_namespaces_nothing_runs
    }
    as_somebody {
        a_workspace_that_was_replaced_is_refused
    }
}

/// Run by another run of this program, in a user namespace that may have none below it.
const NONE_LEFT: &str = "FACTOTUM_TEST_NONE_LEFT";

async fn without_user_namespaces_nothing_runs() -> Outcome {
    if std::env::var_os(NONE_LEFT).is_some() {
        use_own_program();
        let outer = tempfile::tempdir()?;
        let workspace = Workspace::open(name()?, outer.path())?;
        let refused = Sandbox::start(SandboxSpec::new(workspace, &SandboxConfig::default())?).await;
        let Err(error @ SandboxError::UserNamespaces { .. }) = refused else { return Err("it was not refused".into()) };
        let hint = error.hint().unwrap_or_default();
        assert!(hint.contains("user.max_user_namespaces=15000"), "{hint}");
        return Ok(());
    }
    let script = r#"echo 0 > /proc/sys/user/max_user_namespaces && exec "$@""#;
    let status = Host::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe()?)
        .args(["--exact", "refusals::as_root::without_user_namespaces_nothing_runs", "--nocapture", "--test-threads=1"])
        .env(NONE_LEFT, "1")
        .status()?;
    assert!(status.success());
    Ok(())
}

async fn a_workspace_that_was_replaced_is_refused() -> Outcome {
    use_own_program();
    let outer = tempfile::tempdir()?;
    let path = outer.path().join("workspace");
    fs::create_dir(&path)?;
    let workspace = Workspace::open(name()?, &path)?;
    fs::rename(&path, outer.path().join("moved"))?;
    std::os::unix::fs::symlink("/", &path)?;
    let refused = Sandbox::start(SandboxSpec::new(workspace, &SandboxConfig::default())?).await;
    assert!(matches!(refused, Err(SandboxError::Workspace { .. })), "{refused:?}");
    Ok(())
}

#[test]
fn directories_of_many_are_no_workspaces() -> Outcome {
    for bad in
        ["/", "/root", "/home", "/srv", "/etc", "/usr/share", "/proc", "/nowhere/at/all", "relative", "/etc/passwd"]
    {
        let refused = Workspace::open(name()?, Path::new(bad));
        assert!(matches!(refused, Err(SandboxError::Workspace { .. })), "{bad}");
    }
    Ok(())
}

#[test]
fn values_of_the_configuration_are_checked() {
    let wrong = [
        SandboxConfig { memory_mb: 1, ..SandboxConfig::default() },
        SandboxConfig { pids: 1, ..SandboxConfig::default() },
        SandboxConfig { read_only: vec!["/root".into()], ..SandboxConfig::default() },
        SandboxConfig { read_only: vec!["/run".into()], ..SandboxConfig::default() },
        SandboxConfig { env: [("A=B".to_owned(), String::new())].into(), ..SandboxConfig::default() },
    ];
    for config in wrong {
        assert!(config.check().is_err(), "{config:?}");
    }
    assert!(SandboxConfig::default().check().is_ok());
}
