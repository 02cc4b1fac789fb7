//! The owner at a terminal, played by a tmux of the test's own: keys are typed, and what is shown is read. Also over SSH, from a
//! server on loopback.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::process;

/// How often it is looked whether something is shown, and how long that may take in all.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: u32 = 3_000;
/// What is shown when the program has ended.
pub const AT_HOME: &str = "back at home";
/// Where the SSH server listens.
const PORT: &str = "2222";

/// A terminal in which one program runs.
pub struct Seat {
    socket: PathBuf,
}

impl Seat {
    /// Runs a line of the shell at a terminal of this size (columns, rows), and says so when it has ended.
    pub fn new(directory: &Path, name: &str, (columns, rows): (u16, u16), line: &str) -> Self {
        let seat = Self { socket: directory.join(name) };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let script = format!("{line}; echo {AT_HOME}; exec cat");
        let mut command = seat.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows]);
        assert!(command.args(["sh", "-c", &script, ";", "set-option", "status", "off"]).status().unwrap().success());
        seat
    }

    fn tmux(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(arguments).env("TERM", "xterm-256color").env_remove("TMUX");
        command
    }

    /// Types text, and Enter.
    pub fn types(&self, text: &str) {
        self.writes(text);
        self.key("Enter");
    }

    /// Types text.
    pub fn writes(&self, text: &str) {
        assert!(self.tmux(&["send-keys", "-l", text]).status().unwrap().success());
    }

    /// Presses a key by tmux's name of it.
    pub fn key(&self, key: &str) {
        assert!(self.tmux(&["send-keys", key]).status().unwrap().success());
    }

    /// What is shown now.
    pub fn shown(&self) -> String {
        let output = self.tmux(&["capture-pane", "-p", "-J"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until this is shown, and gives all that is.
    pub fn sees(&self, wanted: &str) -> String {
        let mut last = String::new();
        for _ in 0..LOOKS {
            last = self.shown();
            if last.contains(wanted) {
                return last;
            }
            std::thread::sleep(LOOK);
        }
        panic!("{wanted:?} is not seen, but:\n{last}");
    }

    /// Gives the terminal another size.
    pub fn resize(&self, (columns, rows): (u16, u16)) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        assert!(self.tmux(&["resize-window", "-x", &columns, "-y", &rows]).status().unwrap().success());
    }

    /// As when the connection is lost: whatever shows the terminal is gone at once.
    pub fn breaks_off(self) {
        assert!(self.tmux(&["kill-server"]).status().unwrap().success());
    }
}

/// A verb of the binary as a line of the shell.
pub fn verb(home: &Path, verb: &str) -> String {
    format!("{} --home {} {verb}", process::binary().display(), home.display())
}

/// Whether there is a tmux; says that a test is skipped where there is none.
pub fn has_tmux() -> bool {
    let is_there = Path::new("/usr/bin/tmux").exists();
    if !is_there {
        eprintln!("skipped: there is no tmux");
    }
    is_there
}

/// An OpenSSH server on loopback, for the user who runs this.
pub struct Ssh {
    directory: PathBuf,
    server: Child,
}

impl Ssh {
    /// Starts one whose files lie in `directory`. Only inside [`crate::all_inside`], since it gets a `/run` of its own. None where
    /// there is no OpenSSH, or not the rights to start it.
    pub fn start(directory: &Path) -> Option<Self> {
        if !Path::new("/usr/sbin/sshd").exists() || !is_machines_root() {
            eprintln!("without SSH: there is no sshd, or this is not root");
            return None;
        }
        let directory = directory.join("ssh");
        std::fs::create_dir(&directory).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]));
        std::fs::create_dir("/run/sshd").unwrap();
        for key in ["host", "own"] {
            run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(directory.join(key)));
        }
        let config = format!(
            "Port {PORT}\nListenAddress 127.0.0.1\nHostKey {d}/host\nPidFile none\nAuthorizedKeysFile {d}/own.pub\n\
             StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n",
            d = directory.display()
        );
        std::fs::File::create(directory.join("config")).unwrap().write_all(config.as_bytes()).unwrap();
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(directory.join("config")).stdin(Stdio::null()).stderr(Stdio::null());
        let ssh = Self { directory, server: command.spawn().unwrap() };
        for _ in 0..LOOKS {
            if std::net::TcpStream::connect(format!("127.0.0.1:{PORT}")).is_ok() {
                return Some(ssh);
            }
            std::thread::sleep(LOOK);
        }
        panic!("the SSH server does not listen");
    }

    /// A line of the shell as one that runs at the other end, with a terminal.
    pub fn line(&self, line: &str) -> String {
        let key = self.directory.join("own");
        format!(
            "ssh -tt -F none -p {PORT} -i {} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
             root@127.0.0.1 '{line}'",
            key.display()
        )
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Whether this is root, and not root of a user namespace alone.
fn is_machines_root() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    rustix::process::geteuid().is_root() && map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}
