//! The program under test, with a home of its own.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A home that nobody else uses.
pub struct Program {
    directory: TempDir,
}

/// What a verb left.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A running daemon. Dropping it kills it.
pub struct Up {
    child: Child,
    pub ready: String,
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    pub fn new() -> Self {
        Self { directory: tempfile::Builder::new().prefix("factotum-cli-").tempdir().unwrap() }
    }

    pub fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// A directory that exists, beside the home.
    pub fn beside(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Starts the daemon on a free port and waits for its readiness line.
    pub fn up(&self) -> Up {
        std::fs::create_dir_all(self.home()).unwrap();
        std::fs::write(self.home().join("config.toml"), "[api]\nlisten = \"127.0.0.1:0\"\n").unwrap();
        let mut child = self.command(&["up"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        Up { child, ready }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_factotum"));
        command.args(arguments).env("FACTOTUM_HOME", self.home()).env_remove("FACTOTUM_LOG").stderr(Stdio::piped());
        command
    }

    /// Runs a verb with `input` on its standard input.
    pub fn run(&self, arguments: &[&str], input: &[u8]) -> Ended {
        let mut child = self.command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // A verb that does not read its input closes the pipe early, which is no fault.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a verb that must succeed, and reads its JSON.
    pub fn facts(&self, arguments: &[&str], input: &[u8]) -> Value {
        let ended = self.run(&[arguments, &["--json"]].concat(), input);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// Runs a verb that must fail, and reads its failure.
    pub fn failure(&self, arguments: &[&str], input: &[u8]) -> (Option<i32>, Value) {
        let ended = self.run(&[arguments, &["--json"]].concat(), input);
        assert_eq!(ended.stdout, "", "{arguments:?} printed facts: {ended:?}");
        (ended.code, serde_json::from_str(&ended.stderr).unwrap())
    }
}
