//! Running a script of ours in a sandbox of its own, with a door of its own, until it ends. For installing and trying
//! programs; nothing of a session is there.

use std::{fs, path::PathBuf, time::Duration};

use policy::{Act, decide_own};
use sandbox::{Command, ExitStatus, Sandbox, SandboxSpec, Workspace, remove_own};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::{Failure, WorkspaceName};

use crate::{core::Core, failure::internal, network::JobDoor};

/// The most bytes of output that are kept, from the end.
const MAX_OUTPUT: usize = 16 * 1024;

/// A directory that only one run uses, emptied before and after.
pub(super) struct Bench {
    /// What the sandbox shows as its workspace.
    pub workspace: Workspace,
}

/// How a script ended.
pub(super) struct Ran {
    /// By which code; none when it was ended from outside.
    pub status: ExitStatus,
    /// The end of what it said; foreign text.
    pub output: String,
}

impl Bench {
    /// Makes the directory `name` anew.
    pub fn new(core: &Core, name: &str) -> Result<Self, Failure> {
        let path = core.home.workspace(name);
        empty(&path)?;
        use std::os::unix::fs::DirBuilderExt;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| internal(format!("{} cannot be made: {error}", path.display())))?;
        let name = WorkspaceName::new(name).map_err(internal)?;
        let workspace = Workspace::open(name, &path).map_err(internal)?;
        Ok(Self { workspace })
    }

    /// The directory.
    pub fn path(&self) -> PathBuf {
        self.workspace.dir().to_owned()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Err(failure) = empty(self.workspace.dir()) {
            tracing::warn!(error = failure.error, "a directory for trying programs could not be removed");
        }
    }
}

fn empty(path: &std::path::Path) -> Result<(), Failure> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let grant = decide_own(Act::Coder, WorkspaceName::new(name).map_err(internal)?);
    remove_own(&grant, path).map_err(|error| internal(format!("{} cannot be removed: {error}", path.display())))
}

/// Runs the command in a sandbox with this door. `change` completes the specification.
pub(super) async fn run(
    core: &Core,
    bench: &Bench,
    door: &JobDoor,
    command: Command,
    change: impl FnOnce(&mut SandboxSpec),
) -> Result<Ran, Failure> {
    let mut spec = core.pool.specification(&bench.workspace).map_err(internal)?;
    spec.proxy = Some(door.trust.clone());
    spec.placeholder_env.clone_from(&door.env);
    change(&mut spec);
    core.pool.check(&spec).map_err(internal)?;
    let sandbox = Sandbox::start(spec).await.map_err(internal)?;
    let ending = CancellationToken::new();
    let socket = sandbox.proxy_listener().ok_or_else(|| internal("the sandbox has no door"))?;
    let grant = decide_own(Act::Coder, bench.workspace.name.clone());
    let (sender, mut chunks) = mpsc::channel::<Vec<u8>>(64);
    let mut output = Vec::new();
    let work = async {
        let exit = sandbox.exec(&grant, command, sender, &core.phases.stopping).await;
        ending.cancel();
        exit
    };
    let hear = async {
        while let Some(chunk) = chunks.recv().await {
            output.extend(chunk);
            let surplus = output.len().saturating_sub(MAX_OUTPUT);
            output.drain(..surplus);
        }
    };
    let (exit, (), ()) = tokio::join!(work, hear, door.serve(socket, ending.clone()));
    sandbox.stop().await;
    let status = exit.map_err(internal)?.status;
    Ok(Ran { status, output: String::from_utf8_lossy(&output).into_owned() })
}

/// Text of a program, fit to be shown in a sentence.
pub(super) fn quoted(text: &str, most: usize) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line: String = line.join(" ").chars().filter(|character| !character.is_control()).collect();
    let skipped = line.chars().count().saturating_sub(most);
    line.chars().skip(skipped).collect()
}

/// The default time for a script.
pub(super) const PATIENCE: Duration = Duration::from_secs(280);
