//! Supervisors of another version: they cannot be spoken with, and are ended all the same.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use sandbox::{SandboxError, Supervised, SupervisorLimits};

use super::job::{Job, start};
use crate::{
    inside,
    support::{Outcome, soon},
};

inside! {
    as_root {
        one_of_another_language_is_killed
    }
    as_somebody {
        one_of_another_language_is_killed
        one_that_is_understood_is_ended_as_ever
        one_that_a_daemon_holds_is_left_alone
    }
}

/// Set for another run of this program, which plays a supervisor: its directory, and what it answers whatever it is asked.
const PLAYS: &str = "FACTOTUM_TEST_STRAY";
const ANSWERS: &str = "FACTOTUM_TEST_ANSWER";

/// What supervisors of other versions say to a greeting.
const STRANGE: [&str; 3] = [
    r#"{"tell":"answer","id":0,"answer":{"answer":"refused","refusal":"other","why":"it speaks language 7, not 1"}}"#,
    r#"{"tell":"answer","id":0,"answer":{"answer":"welcome","protocol":7,"workspace":"x","session":null,"written":{"seq":0,"bytes":0}}}"#,
    r#"{"hello":"who is there?"}"#,
];

fn play_supervisor(directory: &Path) -> std::io::Result<()> {
    let text = std::env::var(ANSWERS).unwrap_or_default();
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes();
    let frame = [&length[..], &[0; 5], text.as_bytes()].concat();
    for stream in UnixListener::bind(directory.join("socket"))?.incoming() {
        let mut stream = stream?;
        // A knock alone says nothing.
        if stream.read(&mut [0; 4096])? > 0 {
            stream.write_all(&frame)?;
        }
    }
    Ok(())
}

async fn one_of_another_language_is_killed() -> Outcome {
    if let Some(directory) = std::env::var_os(PLAYS).map(PathBuf::from) {
        return Ok(play_supervisor(&directory)?);
    }
    let account = if rustix::process::geteuid().is_root() { "root" } else { "somebody" };
    for answer in STRANGE {
        let outer = tempfile::tempdir()?;
        let directory = outer.path().join("job");
        fs::create_dir(&directory)?;
        fs::write(directory.join("records.jsonl"), "{\"seq\":1,\"at\":7,\"what\":\"note\",\"text\":\"x\"}\n")?;
        let mut stray = Command::new(std::env::current_exe()?)
            .args(["--exact", &format!("supervisor::strays::as_{account}::one_of_another_language_is_killed")])
            .args(["--nocapture", "--test-threads=1"])
            .env(PLAYS, &directory)
            .env(ANSWERS, answer)
            .stdout(Stdio::null())
            .spawn()?;
        assert!(soon(|| directory.join("socket").exists()).await);
        let refused = Supervised::attach(&directory).await;
        assert!(matches!(refused, Err(SandboxError::Foreign(_))), "{answer}");
        assert!(stray.try_wait()?.is_none(), "looking kills nobody");
        assert!(Supervised::put_down(&directory).await?, "{answer}");
        // It was buried where it was killed, or is to be buried here.
        let buried = stray.wait().map(|status| std::os::unix::process::ExitStatusExt::signal(&status));
        assert!(matches!(buried, Ok(Some(9)) | Err(_)), "{buried:?}");
        assert!(!directory.join("socket").exists() && directory.join("records.jsonl").exists());
        assert!(!Supervised::put_down(&directory).await?);
        // A new one goes on in its place.
        let next = start(outer.path(), SupervisorLimits::default()).await?;
        assert_eq!(next.supervised.written(), 1);
        next.supervised.end().await;
    }
    Ok(())
}

async fn one_that_is_understood_is_ended_as_ever() -> Outcome {
    let Job { supervised, directory, _outer } = Job::new().await?;
    drop(supervised);
    assert!(Supervised::put_down(&directory).await?);
    assert!(!directory.join("socket").exists());
    Ok(())
}

async fn one_that_a_daemon_holds_is_left_alone() -> Outcome {
    let job = Job::new().await?;
    assert!(Supervised::put_down(&job.directory).await.is_err());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(job.supervised.is_alive());
    job.supervised.end().await;
    Ok(())
}
