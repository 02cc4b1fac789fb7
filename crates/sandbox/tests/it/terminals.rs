//! Programs at terminals of their own, and connections to ports inside.

use std::{collections::BTreeMap, os::fd::OwnedFd, time::Duration};

use sandbox::{ExitStatus, Profile, SandboxConfig, SandboxError, Terminal, TerminalProgram, TerminalSize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{timeout, timeout_at},
};

use crate::{
    inside,
    support::{Outcome, Place, grant, processes_with, soon},
};

inside! {
    as_root {
        a_program_gets_a_terminal_of_its_own
        a_shell_has_job_control_and_hears_of_sizes
        a_port_inside_is_reached
    }
    as_somebody {
        a_program_gets_a_terminal_of_its_own
        a_shell_has_job_control_and_hears_of_sizes
        terminals_cannot_be_typed_into_from_inside
        hanging_up_ends_the_program
        what_a_terminal_program_leaves_behind_ends_with_it
        a_terminal_with_much_output_waits_for_its_reader
        a_port_inside_is_reached
        only_the_loopback_s_other_ports_are_reached
    }
    without_groups {
        what_a_terminal_program_leaves_behind_ends_with_it
    }
}

const SIZE: TerminalSize = TerminalSize { rows: 30, columns: 100 };
const PATIENCE: Duration = Duration::from_secs(15);

async fn open(it: &Place, argv: &[&str]) -> Result<Terminal, Box<dyn std::error::Error>> {
    let argv = argv.iter().map(|argument| (*argument).to_owned()).collect();
    let program = TerminalProgram { argv, env: BTreeMap::new(), directory: None, size: SIZE };
    Ok(it.sandbox.terminal(&grant()?, program).await?)
}

/// Reads until `wanted` was shown, or to the end, and gives all of it.
async fn shown(terminal: &Terminal, wanted: Option<&str>) -> Result<String, Box<dyn std::error::Error>> {
    let (mut all, mut chunk) = (Vec::new(), [0; 4096]);
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if wanted.is_some_and(|wanted| text.contains(wanted)) {
            return Ok(text);
        }
        match timeout_at(until, terminal.read(&mut chunk)).await {
            Err(_) => return Err(format!("{wanted:?} was not shown, but {text:?}").into()),
            Ok(Ok(0)) if wanted.is_none() => return Ok(text),
            Ok(Ok(0)) => return Err(format!("it ended before {wanted:?} was shown, with {text:?}").into()),
            Ok(Ok(length)) => all.extend(chunk.get(..length).unwrap_or_default()),
            Ok(Err(error)) => return Err(error.into()),
        }
    }
}

async fn a_program_gets_a_terminal_of_its_own() -> Outcome {
    let it = Place::new().await?;
    let script = "tty; stty size; echo $TERM; test -t 0 && test -t 1 && test -t 2 && ps -o tty= -p $$; \
                  ls -A /dev/pts; ls -l /proc/self/fd | grep -c ptmx; echo to the terminal > /dev/tty; exit 3";
    let mut terminal = open(&it, &["sh", "-c", script]).await?;
    let text = shown(&terminal, None).await?;
    assert_eq!(terminal.ended().await, ExitStatus::Code(3), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        ["/dev/pts/0", "30 100", "xterm-256color", "pts/0", "0  ptmx", "0", "to the terminal"],
        "{text:?}"
    );
    let missing = open(&it, &["no-such-program"]).await;
    assert!(missing.is_err());
    Ok(())
}

async fn a_shell_has_job_control_and_hears_of_sizes() -> Outcome {
    let it = Place::new().await?;
    let mut terminal = open(&it, &["bash", "--norc", "--noprofile", "-i"]).await?;
    terminal.write(b"PS1='ready> '; echo no job control: $(set -o | grep -c 'monitor.*off')\n").await?;
    shown(&terminal, Some("no job control: 0")).await?;
    terminal.write(b"sleep 60\n").await?;
    let is_asleep = || processes_with("60") == 1;
    assert!(soon(is_asleep).await);
    terminal.write(b"\x1a").await?;
    shown(&terminal, Some("Stopped")).await?;
    terminal.write(b"fg\n").await?;
    // It goes on in the foreground.
    assert!(soon(|| is_foreground("60")).await);
    terminal.write(b"\x03").await?;
    shown(&terminal, Some("ready> ")).await?;
    terminal.write(b"echo last status: $?\n").await?;
    shown(&terminal, Some("last status: 130")).await?;
    terminal.write(b"exit 7\n").await?;
    assert_eq!(timeout(PATIENCE, terminal.ended()).await?, ExitStatus::Code(7));
    let script = "trap 'stty size; exit' WINCH; echo trap is set; while sleep 0.05; do :; done";
    let terminal = open(&it, &["sh", "-c", script]).await?;
    shown(&terminal, Some("trap is set")).await?;
    terminal.resize(TerminalSize { rows: 11, columns: 77 })?;
    assert!(shown(&terminal, None).await?.ends_with("11 77\r\n"));
    Ok(())
}

async fn terminals_cannot_be_typed_into_from_inside() -> Outcome {
    let it = Place::new().await?;
    let script = "import fcntl, errno\nfor n in (0x5412, 0x541c, 0x5423):\n try:\n  fcntl.ioctl(0, n, b'x' * 8)\n  print('done')\n \
                  except OSError as e: print(errno.errorcode[e.errno])";
    if it.good("test -x /usr/bin/python3").await.is_err() {
        eprintln!("skipped: there is no Python");
        return Ok(());
    }
    let terminal = open(&it, &["/usr/bin/python3", "-c", script]).await?;
    assert_eq!(shown(&terminal, None).await?, "EPERM\r\nEPERM\r\nEPERM\r\n");
    Ok(())
}

async fn hanging_up_ends_the_program() -> Outcome {
    let it = Place::new().await?;
    let terminal = open(&it, &["sleep", "61"]).await?;
    assert!(soon(|| processes_with("61") == 1).await);
    drop(terminal);
    assert!(soon(|| processes_with("61") == 0).await);
    // One that does not care is killed.
    let mut terminal = open(&it, &["sh", "-c", "trap '' HUP TERM INT; sleep 62; sleep 62"]).await?;
    assert!(soon(|| processes_with("62") == 1).await);
    assert_eq!(terminal.end().await, ExitStatus::Signal(9));
    assert!(soon(|| processes_with("62") == 0).await);
    Ok(())
}

async fn what_a_terminal_program_leaves_behind_ends_with_it() -> Outcome {
    let it = Place::new().await?;
    let mut terminal = open(&it, &["sh", "-c", "setsid nohup sleep 63 >/dev/null 2>&1 & sleep 0.2"]).await?;
    assert!(soon(|| processes_with("63") >= 1).await);
    assert_eq!(timeout(PATIENCE, terminal.ended()).await?, ExitStatus::Code(0));
    assert!(soon(|| processes_with("63") == 0).await);
    assert_eq!(it.good("echo still here").await?, "still here\n");
    Ok(())
}

async fn a_terminal_with_much_output_waits_for_its_reader() -> Outcome {
    let it = Place::new().await?;
    let mut terminal = open(&it, &["sh", "-c", "seq 1 200000; echo all"]).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let text = shown(&terminal, None).await?;
    assert_eq!(text.lines().count(), 200_001);
    assert_eq!(terminal.ended().await, ExitStatus::Code(0));
    Ok(())
}

/// Whether a process with this argument runs in the foreground of its terminal, and is not stopped.
fn is_foreground(word: &str) -> bool {
    let Ok(entries) = std::fs::read_dir("/proc") else { return false };
    entries.flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // After the name: state, parent, group, session, terminal, foreground group.
        let is_front = fields.first() == Some(&"S") && fields.get(2) == fields.get(5);
        is_front && line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
    })
}

const SERVER: &str = "import socket\ns = socket.create_server(('127.0.0.1', 4096))\nopen('ready', 'w')\nc = s.accept()[0]\n\
                      c.sendall(c.recv(99).upper())";

async fn a_port_inside_is_reached() -> Outcome {
    let it = Place::new().await?;
    if it.good("test -x /usr/bin/python3").await.is_err() {
        eprintln!("skipped: there is no Python");
        return Ok(());
    }
    let _server = open(&it, &["/usr/bin/python3", "-c", SERVER]).await?;
    assert!(soon(|| it.workspace.dir().join("ready").exists()).await);
    let connection: OwnedFd = it.sandbox.connect(&grant()?, 4096).await?;
    let mut stream = tokio::net::TcpStream::from_std(connection.into())?;
    stream.write_all(b"from outside").await?;
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text)).await??;
    assert_eq!(text, "FROM OUTSIDE");
    Ok(())
}

async fn only_the_loopback_s_other_ports_are_reached() -> Outcome {
    let it = Place::new().await?;
    // Nobody listens inside, though somebody does outside.
    let outside = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let refused = it.sandbox.connect(&grant()?, outside.local_addr()?.port()).await;
    assert!(matches!(&refused, Err(SandboxError::Command(why)) if why.contains("refused")), "{refused:?}");
    let refused = it.sandbox.connect(&grant()?, 3128).await;
    assert!(matches!(&refused, Err(SandboxError::Command(why)) if why.contains("way out")), "{refused:?}");
    let strict = Place::with(SandboxConfig { profile: Profile::Strict, ..SandboxConfig::default() }).await?;
    assert!(strict.sandbox.connect(&grant()?, 4096).await.is_err());
    assert_eq!(strict.good("echo still here").await?, "still here\n");
    Ok(())
}
