//! What the tests share: a workspace, a sandbox in it, and commands whose output is read as text.

use std::{error::Error, time::Duration};

use policy::{Act, Grant, decide_own};
use sandbox::{Command, Exit, Launcher, Sandbox, SandboxConfig, SandboxError, SandboxSpec, Workspace};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::WorkspaceName;

pub type Outcome = Result<(), Box<dyn Error>>;

/// A directory with a sandbox for it.
pub struct Box_ {
    pub outer: TempDir,
    pub workspace: Workspace,
    pub sandbox: Sandbox,
}

/// The name of the only workspace.
pub fn name() -> Result<WorkspaceName, Box<dyn Error>> {
    Ok(WorkspaceName::new("tested")?)
}

/// The right to run commands in it.
pub fn grant() -> Result<Grant, Box<dyn Error>> {
    Ok(decide_own(Act::OwnerCommand, name()?))
}

impl Box_ {
    pub async fn start(config: SandboxConfig) -> Result<Self, Box<dyn Error>> {
        Launcher::at(env!("CARGO_BIN_EXE_sandbox-init")).use_for_all();
        let outer = tempfile::tempdir()?;
        let path = outer.path().join("workspace");
        std::fs::create_dir(&path)?;
        let workspace = Workspace::open(name()?, &path)?;
        let sandbox = Sandbox::start(SandboxSpec::new(workspace.clone(), &config)?).await?;
        Ok(Self { outer, workspace, sandbox })
    }

    /// Runs a script and gives its end and its output.
    pub async fn sh(&self, script: &str) -> Result<(Exit, String), Box<dyn Error>> {
        Ok(self.run(Command::new(script, Duration::from_secs(20)), &CancellationToken::new()).await?)
    }

    pub async fn run(&self, command: Command, cancel: &CancellationToken) -> Result<(Exit, String), SandboxError> {
        let grant = grant().map_err(|error| SandboxError::Canary(error.to_string()))?;
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
