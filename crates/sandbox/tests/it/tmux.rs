//! Windows of a real tmux, in process namespaces of the test's own.

use std::{fs, path::Path, time::Duration};

use sandbox::{Tmux, TmuxError};

use crate::{
    inside,
    support::{Outcome, soon},
};

inside! {
    as_root {
        windows_come_and_go
    }
    as_somebody {
        windows_come_and_go
        what_is_shown_changes_nothing_outside_the_window
        long_homes_and_odd_arguments_work
    }
}

fn has_tmux() -> bool {
    let found = Path::new("/usr/bin/tmux").exists();
    if !found {
        eprintln!("skipped: there is no tmux");
    }
    found
}

/// Everything that runs here but this test.
fn processes() -> usize {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.starts_with(b"tmux") || line.starts_with(b"/bin/sh")).count()
}

/// What a window shows once it shows this.
async fn showing(tmux: &Tmux, window: &str, wanted: &str) -> Result<String, Box<dyn std::error::Error>> {
    let mut last = String::new();
    for _ in 0..200 {
        last = tmux.capture(window, false).await?;
        if last.contains(wanted) {
            return Ok(last);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(format!("{wanted:?} is not shown, but {last:?}").into())
}

async fn windows_come_and_go() -> Outcome {
    if !has_tmux() {
        return Ok(());
    }
    let home = tempfile::tempdir()?;
    let tmux = Tmux::with_program(home.path(), Path::new("/bin/sh"));
    assert_eq!(tmux.list().await?, []);
    tmux.close("job-1").await?;
    let before = processes();
    tmux.open("job-1", &["-c", "echo one of $#: $0; read x", "zero; exit"]).await?;
    tmux.open("job-2", &["-c", "seq 1 100; sleep 0.2; exit 3"]).await?;
    assert!(showing(&tmux, "job-1", "one of").await?.starts_with("one of 0: zero; exit\n"));
    showing(&tmux, "job-2", "100").await?;
    assert!(tmux.capture("job-2", true).await?.starts_with("1\n2\n3\n"));
    let mut windows = tmux.list().await?;
    // tmux itself does not always notice the end of a program, so another one gets a chance.
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        windows = tmux.list().await?;
        if windows.last().is_some_and(|window| window.is_dead) {
            break;
        }
        tmux.close("job-2").await?;
        tmux.open("job-2", &["-c", "sleep 0.2; exit 3"]).await?;
    }
    let seen: Vec<_> = windows.iter().map(|window| (window.name.as_str(), window.is_dead)).collect();
    assert_eq!(seen, [("job-1", false), ("job-2", true)]);
    // One that is there stays as it is; a dead one is made anew.
    tmux.open("job-1", &["-c", "echo another"]).await?;
    assert_eq!(tmux.list().await?.first().map(|window| window.pid), windows.first().map(|window| window.pid));
    tmux.open("job-2", &["-c", "echo anew; read x"]).await?;
    showing(&tmux, "job-2", "anew").await?;
    assert!(matches!(tmux.capture("job-3", false).await, Err(TmuxError::NoWindow(_))));
    // A name is the whole name.
    tmux.close("job").await?;
    assert_eq!(tmux.list().await?.len(), 2);
    tmux.close("job-1").await?;
    tmux.close("job-2").await?;
    assert_eq!(tmux.list().await?, []);
    assert!(soon(|| processes() == before).await, "the server ends with its last window");
    Ok(())
}

async fn what_is_shown_changes_nothing_outside_the_window() -> Outcome {
    if !has_tmux() {
        return Ok(());
    }
    let home = tempfile::tempdir()?;
    let tmux = Tmux::with_program(home.path(), Path::new("/bin/sh"));
    let script = "printf '\\033]0;title\\007\\033k renamed\\033\\\\\\033]52;c;aGVsbG8=\\007\\033Ptmux;\\033\\033]0;x\\007\\033\\\\'; echo shown; read x";
    tmux.open("job-1", &["-c", script]).await?;
    showing(&tmux, "job-1", "shown").await?;
    assert_eq!(tmux.list().await?.first().map(|window| window.name.clone()).as_deref(), Some("job-1"));
    let ask = async |arguments: &[&str]| -> Result<String, Box<dyn std::error::Error>> {
        let output = std::process::Command::new("tmux")
            .args(["-S", "tmux.sock"])
            .args(arguments)
            .current_dir(home.path())
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(ask(&["list-buffers"]).await?, "");
    // No key starts a program on the host.
    let keys = ask(&["list-keys"]).await?;
    let bound: Vec<&str> = keys.lines().filter(|line| line.contains("-T prefix") || line.contains("-T root")).collect();
    assert_eq!(bound.len(), 7, "{bound:#?}");
    for word in ["new-window", "split-window", "respawn", "run-shell", "command-prompt", "display-menu"] {
        assert!(!bound.iter().any(|line| line.contains(word)), "{word}");
    }
    tmux.close("job-1").await?;
    Ok(())
}

async fn long_homes_and_odd_arguments_work() -> Outcome {
    if !has_tmux() {
        return Ok(());
    }
    let outer = tempfile::tempdir()?;
    let home = outer.path().join("a".repeat(120));
    fs::create_dir(&home)?;
    let tmux = Tmux::with_program(&home, Path::new("/bin/sh"));
    tmux.open("job-1", &["-c", "printf '<%s>\\n' \"$@\"; read x", "sh", "a b", "$(id)", "`id`", "x;y", "#{pid}", "ü"])
        .await?;
    let text = showing(&tmux, "job-1", "<ü>").await?;
    assert!(text.starts_with("<a b>\n<$(id)>\n<`id`>\n<x;y>\n<#{pid}>\n<ü>\n"), "{text}");
    tmux.close("job-1").await?;
    Ok(())
}
