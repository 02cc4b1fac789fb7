//! The list of escapes.

use std::{collections::BTreeSet, fs, process::Command as Host};

use sandbox::{Profile, QuotaKind, SandboxConfig};

use crate::{
    inside,
    support::{Outcome, use_own_program},
};

inside! {
    as_root {
        all_are_held
        all_are_held_in_the_strict_profile
        mounts_within_mounts_are_bound_as_well
    }
    as_somebody {
        all_are_held
        all_are_held_in_the_strict_profile
        all_are_held_beside_an_extra_mount
        the_list_notices_a_missing_sandbox
    }
}

async fn check(config: SandboxConfig) -> Outcome {
    use_own_program();
    let report = sandbox::canary(&config).await?;
    let got_out: Vec<&sandbox::Row> =
        report.rows.iter().filter(|row| row.outcome == sandbox::Outcome::Escaped).collect();
    assert!(got_out.is_empty(), "{got_out:#?}");
    assert!(report.rows.len() >= 80, "{}", report.rows.len());
    assert_ne!((report.quota, has_groups()), (QuotaKind::RlimitsOnly, true));
    Ok(())
}

/// Whether the tests could hand control groups over.
fn has_groups() -> bool {
    fs::read_to_string("/proc/self/cgroup").is_ok_and(|text| text.contains("factotum.test"))
}

async fn all_are_held() -> Outcome {
    check(SandboxConfig::default()).await
}

async fn all_are_held_in_the_strict_profile() -> Outcome {
    check(SandboxConfig { profile: Profile::Strict, ..SandboxConfig::default() }).await
}

async fn all_are_held_beside_an_extra_mount() -> Outcome {
    let outer = tempfile::tempdir()?;
    let tools = outer.path().join("tools");
    fs::create_dir_all(tools.join("bin"))?;
    fs::write(tools.join("bin/tool"), "#!/bin/sh\necho a tool\n")?;
    Host::new("chmod").arg("0755").arg(tools.join("bin/tool")).status()?;
    let config = SandboxConfig { read_only: vec![tools.clone()], ..SandboxConfig::default() };
    let it = crate::support::Place::with(config.clone()).await?;
    let tool = tools.join("bin/tool");
    let text = it.good(&format!("{0}; echo x >> {0} || rm -f {0} || echo refused", tool.display())).await?;
    assert!(text.starts_with("a tool\n") && text.ends_with("refused\n"), "{text}");
    check(config).await
}

/// Without a sandbox around it, as an ordinary user, the list must report what anybody can do.
async fn the_list_notices_a_missing_sandbox() -> Outcome {
    let outer = tempfile::tempdir()?;
    let bait = outer.path().join("bait");
    fs::write(&bait, "the bait")?;
    let socket = outer.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket)?;
    let home = outer.path().join("home");
    fs::create_dir_all(home.join(".ssh"))?;
    let baits = serde_json::json!({
        "file": bait, "content": "the bait", "socket": socket, "abstract_name": "none", "port": 1, "homes": [home],
        "mounts": [], "profile": "strict",
    });
    let output = Host::new(env!("CARGO_BIN_EXE_sandbox-init")).arg("sandbox-probe").arg(baits.to_string()).output()?;
    let text = String::from_utf8(output.stdout)?;
    let lines = text.lines().map(serde_json::from_str::<serde_json::Value>).collect::<Result<Vec<_>, _>>()?;
    let noticed: BTreeSet<&str> =
        lines.iter().filter(|line| line["verdict"] == "Escaped").filter_map(|line| line["id"].as_str()).collect();
    let expected = [
        "ssh-keys",
        "other-homes",
        "outside-file",
        "outside-socket",
        "mounts",
        "sys",
        "user-namespace",
        "clone-namespace",
        "clone3",
        "ptrace",
        "process-memory",
        "io-uring",
        "keyrings",
        "udp",
        "netlink",
        "filter",
        "new-privileges",
        "strict-sockets",
        "hidden-open",
        "other-families",
        "bpf",
        "personality",
        "terminal-input",
        "unknown-calls",
    ];
    let missed: Vec<&&str> = expected.iter().filter(|id| !noticed.contains(**id)).collect();
    // A kernel may lack what some rows need.
    assert!(missed.len() <= 3, "not noticed: {missed:?}; noticed: {noticed:?}");
    Ok(())
}

/// What is mounted below a directory comes along, and is under the same rules.
async fn mounts_within_mounts_are_bound_as_well() -> Outcome {
    let outer = tempfile::tempdir()?;
    let (tools, workspace) = (outer.path().join("tools"), outer.path().join("workspace"));
    for path in [tools.join("inner"), workspace.join("inner")] {
        fs::create_dir_all(&path)?;
        let mounted = Host::new("mount").args(["-t", "tmpfs", "-o", "mode=0777", "none"]).arg(&path).status()?;
        assert!(mounted.success());
        fs::copy("/usr/bin/id", path.join("id"))?;
        Host::new("chmod").arg("4755").arg(path.join("id")).status()?;
        Host::new("mknod").arg("-m").arg("0666").arg(path.join("zero")).args(["c", "1", "5"]).status()?;
    }
    Host::new("chmod").arg("0755").arg(outer.path()).status()?;
    let config = SandboxConfig { read_only: vec![tools.clone()], ..SandboxConfig::default() };
    let it = crate::support::Place::at(outer, &workspace, config).await?;
    let script = format!(
        "for d in {}/inner inner; do $d/id -u; head -c 1 $d/zero >/dev/null || echo no device; echo x > $d/new || echo no; done",
        tools.display()
    );
    let text = it.good(&format!("exec 2>/dev/null; {script}")).await?;
    assert_eq!(text, "1000\nno device\nno\n1000\nno device\n");
    Ok(())
}
