//! The real binary as a child process.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use crate::Home;

/// Where the binary under test stands: beside this test's own directory, or where `FACTOTUM_BIN` says.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("FACTOTUM_BIN") {
        return path.into();
    }
    let here = std::env::current_exe().unwrap();
    // A benchmark stands beside it, a test one directory below.
    let beside = here.with_file_name("factotum");
    if beside.exists() {
        return beside;
    }
    let path = here.parent().unwrap().parent().unwrap().join("factotum");
    assert!(path.exists(), "{} is missing: run `cargo build -p factotum --features faults` first", path.display());
    path
}

/// A command of the binary with this home, and nothing of the test's own settings.
pub fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("--home").arg(home).args(arguments).env_remove("FACTOTUM_HOME").env("RUST_BACKTRACE", "1");
    command
}

/// What a finished verb left.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a verb to its end, with `input` on its standard input.
pub fn run(home: &Path, arguments: &[&str], input: &str) -> Finished {
    let mut child =
        command(home, arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A verb that does not read its input closes the pipe early, which is no fault.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A running `factotum up`. Dropping it kills it.
pub struct Factotum {
    child: Child,
    pub home: PathBuf,
    pub ready: String,
    errors: mpsc::Receiver<String>,
}

impl Factotum {
    /// Starts the daemon and waits for its readiness line.
    pub fn up(home: &Home) -> Self {
        Self::up_with(home, &[]).unwrap_or_else(|finished| panic!("the daemon did not start: {finished:?}"))
    }

    /// Starts the daemon with extra environment. The error is what a daemon left that ended before it was ready.
    pub fn up_with(home: &Home, environment: &[(&str, &str)]) -> Result<Self, Finished> {
        let mut command = command(&home.path(), &["up"]);
        for (name, value) in environment {
            command.env(name, value);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (send, errors) = mpsc::channel();
        let stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let Ok(line) = line else { break };
                if std::env::var_os("FACTOTUM_TEST_VERBOSE").is_some() {
                    eprintln!("daemon: {line}");
                }
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        while !ready.contains("ready") {
            ready.clear();
            if lines.read_line(&mut ready).unwrap_or(0) == 0 {
                let status = child.wait().unwrap();
                let stderr = errors.iter().collect::<Vec<_>>().join("\n");
                return Err(Finished { code: status.code(), stdout: ready, stderr });
            }
        }
        // The pipe must stay open and read, or the daemon's later lines would fail.
        std::thread::spawn(move || {
            let mut rest = Vec::new();
            let _ = lines.read_to_end(&mut rest);
        });
        Ok(Self { child, home: home.path(), ready, errors })
    }

    /// The daemon's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs a verb against this daemon.
    pub fn verb(&self, arguments: &[&str]) -> Finished {
        run(&self.home, arguments, "")
    }

    /// What the daemon has written to its standard error so far.
    pub fn errors(&self) -> Vec<String> {
        self.errors.try_iter().collect()
    }

    /// Whether it has ended, without waiting.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it has ended by itself; false when it has not by `timeout`.
    pub fn wait_end(&mut self, timeout: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < timeout {
            if self.has_ended() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A polite end; panics when it takes longer than ten seconds.
    pub fn stop(mut self) -> Vec<String> {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.wait_end(Duration::from_secs(10)), "the daemon ignored SIGTERM");
        self.errors()
    }
}

impl Drop for Factotum {
    fn drop(&mut self) {
        self.kill();
    }
}
