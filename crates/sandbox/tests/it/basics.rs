//! Running commands.

use sandbox::{ExitStatus, SandboxConfig};

use crate::support::{Box_, Outcome};

#[tokio::test]
async fn a_command_runs_and_writes_only_the_workspace() -> Outcome {
    let it = Box_::start(SandboxConfig::default()).await?;
    let (exit, text) = it.sh("id; pwd; echo hello > made; ls -la /; cat /proc/self/status | grep -E 'Cap|Sec|NoNew'; ps ax; mount; cat /proc/self/cgroup; exit 3").await?;
    println!("{text} {exit:?} {:?}", it.sandbox.quota_kind());
    assert_eq!(exit.status, ExitStatus::Code(3));
    assert_eq!(std::fs::read_to_string(it.workspace.dir().join("made"))?, "hello\n");
    it.sandbox.stop().await;
    Ok(())
}

#[tokio::test]
async fn canary() -> Outcome {
    sandbox::Launcher::at(env!("CARGO_BIN_EXE_sandbox-init")).use_for_all();
    let t = std::time::Instant::now();
    let report = sandbox::canary(&SandboxConfig::default()).await?;
    println!("{:?} {} rows", t.elapsed(), report.rows.len());
    for row in &report.rows {
        if row.outcome != sandbox::Outcome::Held {
            println!("{row:?}");
        }
    }
    Ok(())
}
