//! What these tests share: a job with its supervisor, and its records.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Pid;
use sandbox::{
    Attached, Program, Record, Records, SandboxConfig, SandboxError, SandboxSpec, Supervised, SupervisedSpec,
    SupervisorLimits, Transport, What, Workspace,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::support::{grant, name, use_own_program};

/// What is given into custody.
pub const CUSTODY: &[u8] = b"the-key-that-nobody-sees";

/// A directory with a workspace and a supervisor in it.
pub struct Job {
    pub supervised: Supervised,
    pub directory: PathBuf,
    pub _outer: TempDir,
}

/// A supervisor's specification in a directory that has or gets a workspace.
pub fn spec(outer: &Path, limits: SupervisorLimits) -> Result<SupervisedSpec, Box<dyn Error>> {
    use_own_program();
    let workspace = outer.join("workspace");
    fs::create_dir_all(&workspace)?;
    let workspace = Workspace::open(name()?, &workspace)?;
    Ok(SupervisedSpec {
        sandbox: SandboxSpec::new(workspace, &SandboxConfig::default())?,
        directory: outer.join("job"),
        custody: CUSTODY.to_vec(),
        limits,
    })
}

/// The same for an engine that has none of its own yet.
pub async fn start(outer: &Path, limits: SupervisorLimits) -> Result<Attached, Box<dyn Error>> {
    Ok(Supervised::start(&grant()?, spec(outer, limits)?).await?)
}

impl Job {
    pub async fn new() -> Result<Self, Box<dyn Error>> {
        Self::with(SupervisorLimits::default()).await
    }

    pub async fn with(limits: SupervisorLimits) -> Result<Self, Box<dyn Error>> {
        let outer = tempfile::tempdir()?;
        let Attached { supervised, custody, .. } = start(outer.path(), limits).await?;
        assert_eq!(custody, CUSTODY);
        Ok(Self { supervised, directory: outer.path().join("job"), _outer: outer })
    }

    /// Runs a script that is spoken to by lines.
    pub async fn sh(&self, script: &str) -> Result<u64, SandboxError> {
        self.supervised.run(&grant()?, shell(script), Value::Null).await
    }

    pub async fn write(&self, line: &str) -> Result<(), SandboxError> {
        self.supervised.write(Value::Null, vec![line.to_owned()]).await
    }

    /// All records up to the first that `is_last`.
    pub async fn until(&self, is_last: impl Fn(&What) -> bool) -> Result<Vec<What>, Box<dyn Error>> {
        until(&mut self.supervised.records(), is_last).await
    }
}

/// A script as a program.
pub fn shell(script: &str) -> Program {
    let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    Program { argv, transport: Transport::Lines, ..Program::default() }
}

/// The same for a bash.
pub fn bash(script: &str) -> Program {
    let argv = ["bash", "-c", script].map(str::to_owned).to_vec();
    Program { argv, ..shell(script) }
}

/// The supervisors of these outer namespaces.
pub fn supervisors() -> Vec<Pid> {
    processes("sandbox-supervisor-stays")
}

/// The processes that have `word` as an argument.
pub fn processes(word: &str) -> Vec<Pid> {
    let has = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(has).filter_map(Pid::from_raw).collect()
}

/// All records up to the first that `is_last`; they must be numbered without a gap.
pub async fn until(records: &mut Records, is_last: impl Fn(&What) -> bool) -> Result<Vec<What>, Box<dyn Error>> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let next = timeout(Duration::from_secs(20), records.next()).await;
        let next = next.map_err(|_| format!("no more came after {all:?}"))?;
        let Record { seq, at, what } = next.ok_or_else(|| format!("they ended after {all:?}"))?;
        assert!(before.is_none_or(|before| before + 1 == seq) && at > 0, "{before:?} {seq} {at}");
        before = Some(seq);
        let is_last = is_last(&what);
        all.push(what);
        if is_last {
            return Ok(all);
        }
    }
}

pub fn is_end(what: &What) -> bool {
    matches!(what, What::Ended { .. })
}

pub fn out(line: &str) -> What {
    What::Out { line: line.to_owned() }
}

pub fn ended(code: i32) -> What {
    What::Ended { code: Some(code), signal: None, why: None }
}

pub fn killed(why: &str) -> What {
    What::Ended { code: None, signal: Some(9), why: Some(why.to_owned()) }
}
