//! Where the commands run that are ours and not a coding agent's: each in a fresh sandbox over one directory that may be
//! written and, at most, one that is only read. Each is written to the audit log before it runs. Must not decide what runs.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use policy::{Act, decide_own};
use sandbox::{Apart, Command, ExitStatus, Fixed, Pool, Sandbox, SandboxError, WayOut, Workspace};
use serde_json::json;
use store::{
    Store,
    audit::{AuditEntry, AuditError, AuditKind},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::{JobId, Place, SessionId, TurnId};

use super::git;

/// The most bytes of one command's output that are kept, unless it says otherwise.
const MAX_OUTPUT: usize = 4 << 20;
/// The most bytes of what a command said about its failure.
const MAX_SAID: usize = 2_000;
/// How much of a script stands in the audit log, in characters.
const AUDITED: usize = 2_000;
/// Pieces of output that wait to be taken.
const QUEUE: usize = 16;

/// One job's places and the account on which its commands run.
#[derive(Clone, Debug)]
pub struct Site {
    /// The job.
    pub job: JobId,
    /// Its session.
    pub session: SessionId,
    /// The turn that stands for it.
    pub turn: TurnId,
    /// Where it works.
    pub place: Place,
    /// The owner's workspace.
    pub workspace: Workspace,
    /// The job's own directory in the agent's home: `jobs/<id>`.
    pub directory: PathBuf,
    /// Starts sandboxes.
    pub pool: Arc<Pool>,
    /// Where commands are recorded.
    pub store: Store,
}

/// Why a command of ours did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// No sandbox, so nothing ran.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// It could not be recorded, so nothing ran.
    #[error("nothing was done, because the audit log cannot be written: {0}")]
    Unrecorded(#[from] AuditError),
    /// The job's own directory cannot be used.
    #[error("{}: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The command failed.
    #[error("could not {what}: {why}")]
    Failed {
        /// What was to be done.
        what: &'static str,
        /// Why not, in the words of the program or in ours. Foreign text.
        why: String,
    },
    /// It cannot be done here, and what to do instead.
    #[error("{0}")]
    Unfit(String),
}

impl SiteError {
    /// Whether another attempt may do better.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Sandbox(error) => matches!(
                error,
                SandboxError::Slow(_) | SandboxError::Gone | SandboxError::Process { .. } | SandboxError::Build { .. }
            ),
            Self::Unrecorded(_) | Self::Directory { .. } => true,
            Self::Failed { .. } | Self::Unfit(_) => false,
        }
    }
}

/// One of a job's directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    /// The owner's workspace.
    Workspace,
    /// Where the job works: a clone, or the workspace itself.
    Tree,
    /// What is brought from the one to the other passes through here. No coding agent sees it.
    Land,
}

/// What a room is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose {
    pub act: Act,
    pub writes: Spot,
    pub reads: Option<Spot>,
    /// Whether commands reach the network by the workspace's rules, and for what.
    pub way_out: Option<WayOut>,
}

/// A sandbox for some commands of ours. Dropping it ends everything in it.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    site: &'a Site,
    sandbox: Sandbox,
    act: Act,
}

/// One command of ours.
#[derive(Clone, Debug)]
pub(crate) struct Errand<'a> {
    /// What it does, as it stands behind `could not`.
    pub what: &'static str,
    /// The script.
    pub script: &'a str,
    /// Its variables. Whatever comes from outside stands here and never in the script.
    pub env: Vec<(&'static str, String)>,
    pub input: Option<Vec<u8>>,
    pub timeout: Duration,
    /// The most bytes of output that are kept.
    pub keep: usize,
}

impl<'a> Errand<'a> {
    pub fn new(what: &'static str, script: &'a str) -> Self {
        let timeout = Duration::from_secs(300);
        Self { what, script, env: Vec::new(), input: None, timeout, keep: MAX_OUTPUT }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    pub fn input(mut self, bytes: Vec<u8>) -> Self {
        self.input = Some(bytes);
        self
    }

    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// How a command ended that was allowed to fail.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub status: ExitStatus,
    /// What it wrote, both streams where they were not kept apart.
    pub output: Vec<u8>,
    /// Whether something was left out of the output.
    pub is_cut: bool,
}

/// Which end of an output that is too long is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Beginning,
    End,
}

impl Site {
    /// The directory in which the job works.
    pub fn tree(&self) -> PathBuf {
        match self.place {
            Place::Workspace => self.workspace.dir().to_owned(),
            Place::Branch { .. } => self.directory.join("tree"),
        }
    }

    /// Where its work passes through on its way to the workspace.
    pub(crate) fn land(&self) -> PathBuf {
        self.directory.join("land")
    }

    /// One of its directories as commands see it: under the name of the workspace, whose rules count for all.
    pub(crate) fn spot(&self, spot: Spot) -> Result<Workspace, SiteError> {
        let path = match spot {
            Spot::Workspace => return Ok(self.workspace.clone()),
            Spot::Tree => self.tree(),
            Spot::Land => self.land(),
        };
        if spot == Spot::Land {
            make_private(&path)?;
        }
        Ok(Workspace::open(self.workspace.name.clone(), &path)?)
    }

    /// Starts a sandbox.
    pub(crate) async fn room(&self, purpose: Purpose) -> Result<Room<'_>, SiteError> {
        self.room_with(purpose, &[]).await
    }

    /// Starts a sandbox in which this of what may be written cannot be replaced.
    pub(crate) async fn room_with(&self, purpose: Purpose, fixed: &[Fixed]) -> Result<Room<'_>, SiteError> {
        let workspace = self.spot(purpose.writes)?;
        let source = purpose.reads.map(|spot| self.spot(spot)).transpose()?;
        let apart = Apart { workspace: &workspace, source: source.as_ref(), fixed, way_out: purpose.way_out };
        let sandbox = self.pool.apart(self.session, apart).await?;
        Ok(Room { site: self, sandbox, act: purpose.act })
    }

    /// Writes a record about this job. Without it nothing may happen.
    pub(crate) async fn audit(&self, kind: AuditKind, mut detail: serde_json::Value) -> Result<(), SiteError> {
        detail["job"] = json!(self.job);
        let entry = AuditEntry { session: Some(self.session), turn: Some(self.turn), call: None, kind, detail };
        self.store.audit().append(entry).await?;
        Ok(())
    }
}

impl Room<'_> {
    /// Runs a script of ours that uses git, and gives what it wrote to standard output. What it writes to standard error is told
    /// when it fails.
    pub async fn git(&self, errand: Errand<'_>) -> Result<Vec<u8>, SiteError> {
        let what = errand.what;
        let script = format!("exec 2>/tmp/said\nset -eu\numask 022\n{}", errand.script);
        let mut env = git::environment();
        env.extend(errand.env.iter().cloned().map(|(name, value)| (name.to_owned(), value)));
        let ran = self
            .run(
                Command { script, directory: None, env, timeout: errand.timeout, stdin: errand.input.clone() },
                what,
                errand.script,
                (Keep::Beginning, errand.keep),
            )
            .await?;
        match ran.status {
            ExitStatus::Code(0) if ran.is_cut => {
                Err(SiteError::Failed { what, why: format!("git wrote more than {} MiB", errand.keep >> 20) })
            }
            ExitStatus::Code(0) => Ok(ran.output),
            status => {
                let said = self.said().await;
                let why = in_words(status, errand.timeout);
                Err(SiteError::Failed { what, why: if said.is_empty() { why } else { said } })
            }
        }
    }

    /// Ends everything in it, and waits for that.
    pub async fn close(self) {
        self.sandbox.stop().await;
    }

    /// The end of what the last script wrote to standard error.
    async fn said(&self) -> String {
        let script = format!("tail -c {MAX_SAID} /tmp/said");
        let command = Command::new(script, Duration::from_secs(10));
        let grant = decide_own(self.act, self.site.workspace.name.clone());
        let collected = self.collect(&grant, command, (Keep::End, MAX_SAID)).await;
        collected.map(|ran| String::from_utf8_lossy(&ran.output).trim().to_owned()).unwrap_or_default()
    }

    /// Runs a command to its end, whatever that is, with both streams as one.
    pub async fn run(
        &self,
        command: Command,
        what: &'static str,
        shown: &str,
        keep: (Keep, usize),
    ) -> Result<Ran, SiteError> {
        let script: String = shown.chars().take(AUDITED).collect();
        let intent = json!({ "tool": "job", "does": what, "command": script, "decision": "allow" });
        self.site.audit(AuditKind::ToolIntent, intent).await?;
        let grant = decide_own(self.act, self.site.workspace.name.clone());
        let ran = self.collect(&grant, command, keep).await;
        let end = ran.as_ref().map_or_else(ToString::to_string, |ran| format!("{:?}", ran.status));
        let outcome = json!({ "tool": "job", "does": what, "end": end });
        if let Err(error) = self.site.audit(AuditKind::ToolOutcome, outcome).await {
            // It has happened; the next intent will be refused.
            tracing::error!(%error, job = %self.site.job, "the outcome of a job's command could not be recorded");
        }
        ran
    }

    async fn collect(
        &self,
        grant: &policy::Grant,
        command: Command,
        (keep, most): (Keep, usize),
    ) -> Result<Ran, SiteError> {
        let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(QUEUE);
        let never = CancellationToken::new();
        let running = self.sandbox.exec(grant, command, sender, &never);
        let taking = async {
            let (mut output, mut is_cut) = (Vec::new(), false);
            while let Some(piece) = receiver.recv().await {
                is_cut |= take(&mut output, &piece, keep, most);
            }
            (output, is_cut)
        };
        let (exit, (mut output, mut is_cut)) = tokio::join!(running, taking);
        let exit = exit?;
        if output.len() > most {
            output.drain(..output.len() - most);
            is_cut = true;
        }
        Ok(Ran { status: exit.status, output, is_cut })
    }
}

/// Adds a piece and keeps the memory bounded; an end may be twice as long as wanted until everything has come.
fn take(output: &mut Vec<u8>, piece: &[u8], keep: Keep, most: usize) -> bool {
    match keep {
        Keep::Beginning => {
            let room = most.saturating_sub(output.len());
            output.extend_from_slice(&piece[..piece.len().min(room)]);
            piece.len() > room
        }
        Keep::End => {
            output.extend_from_slice(piece);
            let is_long = output.len() > most.saturating_mul(2).max(piece.len());
            if is_long {
                output.drain(..output.len() - most);
            }
            is_long
        }
    }
}

/// How a command ended that failed.
pub(crate) fn in_words(status: ExitStatus, timeout: Duration) -> String {
    match status {
        ExitStatus::Code(code) => format!("it ended with code {code}"),
        ExitStatus::Signal(signal) => format!("it was killed by signal {signal}"),
        ExitStatus::TimedOut => format!("it took longer than {} seconds", timeout.as_secs()),
        ExitStatus::Cancelled => "it was stopped".to_owned(),
        ExitStatus::OutOfMemory => "it needed more memory than `sandbox.memory_mb` allows".to_owned(),
        ExitStatus::DiskFull => {
            "it needed more of the disk than `sandbox.disk_mb` and `sandbox.disk_floor_mb` allow".to_owned()
        }
    }
}

/// Makes a directory that only we may look into.
pub(crate) fn make_private(path: &Path) -> Result<(), SiteError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| SiteError::Directory { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_end_of_an_output_is_bounded() {
        let (mut beginning, mut end) = (Vec::new(), Vec::new());
        let mut cut = (false, false);
        for number in 0..100_u8 {
            cut.0 |= take(&mut beginning, &[number; 7], Keep::Beginning, 20);
            cut.1 |= take(&mut end, &[number; 7], Keep::End, 20);
            assert!(beginning.len() <= 20 && end.len() <= 47);
        }
        assert_eq!((beginning.len(), cut), (20, (true, true)));
        assert!(end.ends_with(&[99; 7]) && end.len() >= 20);
        assert!(!take(&mut Vec::new(), &[1; 20], Keep::Beginning, 20));
    }
}
