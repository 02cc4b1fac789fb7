//! What the tests share: a workspace, a sandbox in it, and commands whose output is read as text.

use std::{error::Error, fs, path::Path, sync::Arc, time::Duration};

use policy::{Act, Grant, decide_own};
use sandbox::{Command, Exit, Launcher, Sandbox, SandboxConfig, SandboxError, SandboxSpec, Workspace};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::WorkspaceName;

/// What a test gives.
pub type Outcome = Result<(), Box<dyn Error>>;

/// A directory with a sandbox for it.
pub struct Place {
    pub sandbox: Arc<Sandbox>,
    pub workspace: Workspace,
    _outer: TempDir,
}

/// The name of the only workspace.
pub fn name() -> Result<WorkspaceName, SandboxError> {
    WorkspaceName::new("tested").map_err(|error| SandboxError::Canary(error.to_string()))
}

/// The right to run commands in it.
pub fn grant() -> Result<Grant, SandboxError> {
    Ok(decide_own(Act::OwnerCommand, name()?))
}

/// Makes the program of this crate the first process of all sandboxes.
pub fn use_own_program() {
    Launcher::at(env!("CARGO_BIN_EXE_sandbox-init")).use_for_all();
}

impl Place {
    pub async fn new() -> Result<Self, Box<dyn Error>> {
        Self::with(SandboxConfig::default()).await
    }

    pub async fn with(config: SandboxConfig) -> Result<Self, Box<dyn Error>> {
        let outer = tempfile::tempdir()?;
        let path = outer.path().join("workspace");
        fs::create_dir(&path)?;
        Self::at(outer, &path, config).await
    }

    pub async fn at(outer: TempDir, path: &Path, config: SandboxConfig) -> Result<Self, Box<dyn Error>> {
        use_own_program();
        let workspace = Workspace::open(name()?, path)?;
        Ok(Self::of(outer, SandboxSpec::new(workspace, &config)?).await?)
    }

    pub async fn of(outer: TempDir, spec: SandboxSpec) -> Result<Self, SandboxError> {
        let workspace = spec.workspace.clone();
        let sandbox = Arc::new(Sandbox::start(spec).await?);
        Ok(Self { sandbox, workspace, _outer: outer })
    }

    /// Runs a script and gives its end and its output.
    pub async fn sh(&self, script: &str) -> Result<(Exit, String), SandboxError> {
        self.run(Command::new(script, Duration::from_secs(20)), &CancellationToken::new()).await
    }

    /// Runs a script that must end well, and gives its output.
    pub async fn good(&self, script: &str) -> Result<String, Box<dyn Error>> {
        let (exit, text) = self.sh(script).await?;
        if exit.status == sandbox::ExitStatus::Code(0) { Ok(text) } else { Err(format!("{exit:?}: {text}").into()) }
    }

    pub async fn run(&self, command: Command, cancel: &CancellationToken) -> Result<(Exit, String), SandboxError> {
        let grant = grant()?;
        let (sender, mut chunks) = mpsc::channel(16);
        let collect = async {
            let mut all = Vec::new();
            while let Some(chunk) = chunks.recv().await {
                all.extend(chunk);
            }
            String::from_utf8_lossy(&all).into_owned()
        };
        let (exit, text) = tokio::join!(self.sandbox.exec(&grant, command, sender, cancel), collect);
        Ok((exit?, text))
    }
}

/// How many processes that can be seen from here have `word` as an argument.
pub fn processes_with(word: &str) -> usize {
    let Ok(entries) = fs::read_dir("/proc") else { return 0 };
    let lines = entries.flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())).count()
}

/// Waits until something holds; gives false when it does not within two seconds.
pub async fn soon(mut holds: impl FnMut() -> bool) -> bool {
    for _ in 0..200 {
        if holds() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}
