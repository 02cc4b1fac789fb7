//! Running commands: their input, output, environment and end.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt, time::Duration};

use policy::{Act, decide_own};
use sandbox::{Command, ExitStatus, JobState, SandboxConfig, SandboxError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::WorkspaceName;

use crate::{
    inside,
    support::{Outcome, Place, grant, soon},
};

inside! {
    as_root {
        a_command_writes_only_the_workspace
        the_environment_is_built_from_nothing
        endings_are_told_apart
        jobs_run_on_between_commands
        files_belong_to_the_owner_of_the_workspace
        commands_run_side_by_side
        a_command_costs_little
    }
    as_somebody {
        a_command_writes_only_the_workspace
        input_and_directory_are_given
        endings_are_told_apart
        much_output_arrives_whole
        a_listener_that_leaves_stops_nothing
        jobs_run_on_between_commands
        what_a_command_left_running_goes_on
        only_fitting_grants_are_taken
        the_proxys_socket_is_the_only_door
    }
    without_groups {
        a_timeout_kills_what_can_be_found
    }
}

async fn a_command_writes_only_the_workspace() -> Outcome {
    let it = Place::new().await?;
    let (exit, text) = it.sh("pwd; id -u; echo hello > made; exit 3").await?;
    assert_eq!((exit.status, text.as_str()), (ExitStatus::Code(3), "/workspace\n1000\n"));
    assert_eq!(fs::read_to_string(it.workspace.dir().join("made"))?, "hello\n");
    let found = fs::metadata(it.workspace.dir().join("made"))?;
    assert_eq!(found.uid(), fs::metadata(it.workspace.dir())?.uid());
    // The home is kept from one command to the next, and is not the host's.
    it.good("echo kept > ~/x; echo kept > /tmp/x").await?;
    assert_eq!(it.good("cat ~/x /tmp/x; pwd -P; ls /home").await?, "kept\nkept\n/workspace\nagent\n");
    it.sandbox.stop().await;
    assert!(matches!(it.sh("true").await, Err(SandboxError::Gone)));
    Ok(())
}

async fn the_environment_is_built_from_nothing() -> Outcome {
    let env = BTreeMap::from([("OWNERS".to_owned(), "1".to_owned()), ("LANG".to_owned(), "C".to_owned())]);
    let it = Place::with(SandboxConfig { env, ..SandboxConfig::default() }).await?;
    let command = Command {
        env: BTreeMap::from([("CALLS".to_owned(), "2 3".to_owned())]),
        ..Command::new("exec env -u SHLVL -u _ -u OLDPWD", Duration::from_secs(5))
    };
    let (_, text) = it.run(command, &CancellationToken::new()).await?;
    let mut names: Vec<&str> = text.lines().collect();
    names.sort_unstable();
    let expected = [
        "CALLS=2 3",
        "GIT_CONFIG_SYSTEM=/etc/gitconfig",
        "HOME=/home/agent",
        "LANG=C",
        "LOGNAME=agent",
        "OWNERS=1",
        "PAGER=cat",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PWD=/workspace",
        "SHELL=/bin/sh",
        "TERM=dumb",
        "TMPDIR=/tmp",
        "USER=agent",
    ];
    assert_eq!(names, expected);
    Ok(())
}

async fn input_and_directory_are_given() -> Outcome {
    let it = Place::new().await?;
    it.good("mkdir -p a/b").await?;
    let command = Command {
        stdin: Some(b"given\n".repeat(50_000)),
        directory: Some("a/b".to_owned()),
        ..Command::new("pwd; wc -l", Duration::from_secs(5))
    };
    let (_, text) = it.run(command, &CancellationToken::new()).await?;
    assert_eq!(text, "/workspace/a/b\n50000\n");
    assert_eq!(it.good("cat; readlink /proc/self/fd/0").await?, "/dev/null\n");
    let nowhere = Command { directory: Some("missing".to_owned()), ..Command::new("true", Duration::from_secs(5)) };
    assert!(matches!(it.run(nowhere, &CancellationToken::new()).await, Err(SandboxError::Command(_))));
    let long = Command::new("x".repeat(500_000), Duration::from_secs(5));
    assert!(matches!(it.run(long, &CancellationToken::new()).await, Err(SandboxError::Command(_))));
    assert_eq!(it.good("echo still here").await?, "still here\n");
    Ok(())
}

async fn endings_are_told_apart() -> Outcome {
    let it = Place::new().await?;
    assert_eq!(it.sh("exit 7").await?.0.status, ExitStatus::Code(7));
    assert_eq!(it.sh("kill -9 $$").await?.0.status, ExitStatus::Signal(9));
    assert_eq!(it.sh("no-such-command").await?.0.status, ExitStatus::Code(127));
    // Children that leave the session and ignore signals are killed with the command all the same.
    let stubborn = "trap '' TERM HUP INT; setsid sh -c 'sleep 4711 & wait' & sleep 4711";
    let late = Command::new(stubborn, Duration::from_millis(300));
    let (exit, _) = it.run(late, &CancellationToken::new()).await?;
    assert_eq!(exit.status, ExitStatus::TimedOut);
    assert!(exit.elapsed < Duration::from_secs(2), "{exit:?}");
    assert!(soon(|| crate::support::processes_with("4711") == 0).await);
    let cancel = CancellationToken::new();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cancel.cancel();
    };
    let ((exit, _), ()) =
        tokio::try_join!(async { it.run(Command::new(stubborn, Duration::from_secs(60)), &cancel).await }, async {
            stop.await;
            Ok(())
        })?;
    assert_eq!(exit.status, ExitStatus::Cancelled);
    assert!(exit.elapsed < Duration::from_secs(2), "{exit:?}");
    assert_eq!(it.good("echo still here").await?, "still here\n");
    Ok(())
}

async fn much_output_arrives_whole() -> Outcome {
    let it = Place::new().await?;
    let (exit, text) = it.sh("seq 1 300000; echo end >&2").await?;
    assert_eq!(exit.output_bytes, text.len() as u64);
    assert!(text.starts_with("1\n2\n") && text.ends_with("\n300000\nend\n"), "{} bytes", text.len());
    assert_eq!(text.lines().count(), 300_001);
    assert!(!exit.left_running);
    Ok(())
}

async fn a_listener_that_leaves_stops_nothing() -> Outcome {
    let it = Place::new().await?;
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let command = Command::new("seq 1 100000; exit 5", Duration::from_secs(10));
    let exit = it.sandbox.exec(&grant()?, command, sender, &CancellationToken::new()).await?;
    assert_eq!(exit.status, ExitStatus::Code(5));
    assert_eq!(exit.output_bytes, 588_895);
    Ok(())
}

async fn jobs_run_on_between_commands() -> Outcome {
    let it = Place::new().await?;
    let grant = grant()?;
    let script = "echo begun; while ! test -e go; do sleep 0.02; done; echo gone; exit 4";
    let job = it.sandbox.spawn(&grant, Command::new(script, Duration::from_secs(60))).await?;
    assert!(soon(|| it.sandbox.job_output(job, 0).is_ok_and(|output| output.bytes == b"begun\n")).await);
    let first = it.sandbox.job_output(job, 0)?;
    assert_eq!((first.state, first.next), (JobState::Running, 6));
    it.good("touch go").await?;
    assert!(soon(|| it.sandbox.job_output(job, 6).is_ok_and(|output| output.state != JobState::Running)).await);
    let rest = it.sandbox.job_output(job, 6)?;
    assert_eq!((rest.bytes.as_slice(), rest.start, rest.next), (b"gone\n".as_slice(), 6, 11));
    assert!(matches!(rest.state, JobState::Ended(exit) if exit.status == ExitStatus::Code(4)));
    let endless = Command::new("setsid sleep 4712 & sleep 4712", Duration::from_secs(60));
    let second = it.sandbox.spawn(&grant, endless).await?;
    assert!(soon(|| crate::support::processes_with("4712") == 2).await);
    it.sandbox.kill_job(second).await?;
    assert!(soon(|| crate::support::processes_with("4712") == 0).await);
    assert_eq!(it.sandbox.jobs().len(), 2);
    assert!(matches!(it.sandbox.kill_job(sandbox::JobId(9)).await, Err(SandboxError::NoSuchJob(_))));
    for _ in 0..16 {
        it.sandbox.spawn(&grant, Command::new("sleep 60", Duration::from_secs(60))).await?;
    }
    let refused = it.sandbox.spawn(&grant, Command::new("true", Duration::from_secs(60))).await;
    assert!(matches!(refused, Err(SandboxError::TooManyJobs(16))));
    Ok(())
}

async fn what_a_command_left_running_goes_on() -> Outcome {
    let it = Place::new().await?;
    let (exit, text) = it.sh("(sleep 0.3; echo from behind; echo late > late) & echo in front").await?;
    assert_eq!((exit.status, exit.left_running, text.as_str()), (ExitStatus::Code(0), true, "in front\n"));
    assert!(exit.elapsed < Duration::from_millis(280), "{exit:?}");
    assert!(soon(|| it.workspace.dir().join("late").exists()).await);
    Ok(())
}

async fn only_fitting_grants_are_taken() -> Outcome {
    let it = Place::new().await?;
    let reading = decide_own(Act::Snapshot, crate::support::name()?);
    let elsewhere = decide_own(Act::OwnerCommand, WorkspaceName::new("other")?);
    for wrong in [reading, elsewhere] {
        let (sender, _receiver) = mpsc::channel(1);
        let command = Command::new("true", Duration::from_secs(1));
        let refused = it.sandbox.exec(&wrong, command.clone(), sender, &CancellationToken::new()).await;
        assert!(matches!(refused, Err(SandboxError::NotGranted(_))));
        assert!(matches!(it.sandbox.spawn(&wrong, command).await, Err(SandboxError::NotGranted(_))));
    }
    Ok(())
}

async fn the_proxys_socket_is_the_only_door() -> Outcome {
    let it = Place::new().await?;
    let listener = std::net::TcpListener::from(it.sandbox.proxy_listener().ok_or("no socket")?);
    assert!(it.sandbox.proxy_listener().is_none());
    let accepted = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = listener.accept()?;
        std::io::Write::write_all(&mut stream, b"from outside\n")
    });
    let text = it.good("exec 3<>/dev/tcp/127.0.0.1/3128; cat <&3").await?;
    accepted.await??;
    assert_eq!(text, "from outside\n");
    Ok(())
}

async fn files_belong_to_the_owner_of_the_workspace() -> Outcome {
    let outer = tempfile::tempdir()?;
    let path = outer.path().join("workspace");
    fs::create_dir(&path)?;
    fs::write(path.join("theirs"), "x")?;
    for path in [path.clone(), path.join("theirs")] {
        std::os::unix::fs::chown(path, Some(1234), Some(4321))?;
    }
    fs::write(path.join("roots"), "x")?;
    let it = Place::at(outer, &path, SandboxConfig::default()).await?;
    let text = it
        .good("stat -c '%u %g' theirs; echo y >> theirs; mkdir d; echo z > d/made; echo no > roots || echo refused")
        .await?;
    assert!(text.starts_with("1000 1000\n") && text.ends_with("refused\n"), "{text}");
    for made in ["theirs", "d", "d/made"] {
        let found = fs::metadata(path.join(made))?;
        assert_eq!((found.uid(), found.gid()), (1234, 4321), "{made}");
    }
    assert_eq!(fs::read_to_string(path.join("roots"))?, "x");
    Ok(())
}

async fn a_command_costs_little() -> Outcome {
    let it = Place::new().await?;
    let mut times = Vec::new();
    for _ in 0..20 {
        let (exit, _) = it.sh("true").await?;
        times.push(exit.elapsed);
    }
    times.sort_unstable();
    eprintln!("command: {times:?}");
    assert!(times.first().is_some_and(|least| *least < Duration::from_millis(100)), "{times:?}");
    Ok(())
}

async fn commands_run_side_by_side() -> Outcome {
    let it = Place::new().await?;
    let begun = std::time::Instant::now();
    let one = || it.sh("sleep 0.5; echo $$");
    let all = tokio::try_join!(one(), one(), one(), one())?;
    assert!(begun.elapsed() < Duration::from_millis(1500));
    let mut pids = vec![all.0.1, all.1.1, all.2.1, all.3.1];
    pids.dedup();
    assert_eq!(pids.len(), 4);
    Ok(())
}

async fn a_timeout_kills_what_can_be_found() -> Outcome {
    let it = Place::new().await?;
    let stubborn =
        Command::new("trap '' TERM HUP INT; setsid sh -c 'sleep 4714 & wait' & sleep 4714", Duration::from_millis(300));
    let (exit, _) = it.run(stubborn, &CancellationToken::new()).await?;
    assert_eq!(exit.status, ExitStatus::TimedOut);
    assert!(exit.elapsed < Duration::from_secs(2), "{exit:?}");
    assert!(soon(|| crate::support::processes_with("4714") == 0).await);
    Ok(())
}
