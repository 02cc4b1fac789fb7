//! What is run in a sandbox and how it ends.

use std::{collections::BTreeMap, time::Duration};

/// A command for the shell inside a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The script, run by bash where there is one and by sh else.
    pub script: String,
    /// Where it starts, relative to the workspace; the workspace itself when none.
    pub directory: Option<String>,
    /// More environment variables.
    pub env: BTreeMap<String, String>,
    /// When it is killed, with everything that it started.
    pub timeout: Duration,
    /// What it reads; nothing when none.
    pub stdin: Option<Vec<u8>>,
}

impl Command {
    /// A script in the workspace, without input.
    pub fn new(script: impl Into<String>, timeout: Duration) -> Self {
        Self { script: script.into(), directory: None, env: BTreeMap::new(), timeout, stdin: None }
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It took longer than allowed and was killed.
    TimedOut,
    /// It was stopped from outside.
    Cancelled,
    /// It needed more memory than the sandbox has and was killed.
    OutOfMemory,
    /// It used more of the disk than allowed and was killed.
    DiskFull,
}

/// The end of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// How it ended.
    pub status: ExitStatus,
    /// How long it ran.
    pub elapsed: Duration,
    /// How many bytes it wrote to standard output and error together.
    pub output_bytes: u64,
    /// True when something that it started still holds its output open and goes on running in the sandbox.
    pub left_running: bool,
}

/// The number of a background job, counted from 1 in each sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// How a background job is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It runs.
    Running,
    /// It has ended.
    Ended(Exit),
    /// It could not be run to its end, and why.
    Failed(String),
}

/// A background job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobInfo {
    /// Its number.
    pub id: JobId,
    /// Its script.
    pub script: String,
    /// How it is doing.
    pub state: JobState,
    /// How long ago it was started.
    pub age: Duration,
}

/// A piece of a job's output. Only the last mebibyte is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobOutput {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The position of the first byte; larger than what was asked for when the part before it is gone.
    pub start: u64,
    /// The position to ask from next time.
    pub next: u64,
    /// How the job is doing.
    pub state: JobState,
}
