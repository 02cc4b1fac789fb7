//! The self-test: every escape on the list is tried inside a real sandbox, against baits that lie outside for it. The
//! attempts themselves are in `probe`.

use std::{
    fs, io,
    io::Write,
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::{
            fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink},
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

use policy::{Act, decide_own};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use tokio::sync::mpsc;
use types::WorkspaceName;

use crate::{
    Command, ExitStatus, Launcher, Sandbox, SandboxConfig, SandboxError, SandboxSpec, Workspace,
    probe::{Baits, Line, PROBE, Verdict, attempts},
};

/// How long the whole list may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// More output than the list can make.
const MAX_OUTPUT: usize = 1024 * 1024;

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was stopped.
    Held,
    /// It got out. Unattended work must be refused.
    Escaped,
    /// It does not exist on this system, and why.
    NotApplicable(String),
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// A short stable name.
    pub id: String,
    /// What was tried.
    pub what: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// How quotas are enforced here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum QuotaKind {
    /// By cgroups, version 2.
    V2,
    /// By cgroups, version 1.
    V1,
    /// By limits of each process only: memory is not capped for the sandbox as a whole.
    RlimitsOnly,
}

/// What came of all attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryReport {
    /// The attempts.
    pub rows: Vec<Row>,
    /// How quotas are enforced.
    pub quota: QuotaKind,
}

/// Builds a sandbox with a scratch workspace and tries every escape on the list inside. An error counts as failed: nothing
/// was proved.
pub async fn canary(config: &SandboxConfig) -> Result<CanaryReport, SandboxError> {
    let name = WorkspaceName::new("canary").map_err(|error| SandboxError::Canary(error.to_string()))?;
    let grant = decide_own(Act::Canary, name.clone());
    let scratch = Scratch::lay().map_err(|error| SandboxError::Canary(format!("no baits could be laid: {error}")))?;
    let workspace = Workspace::open(name, &scratch.directory.join("workspace"))?;
    let sandbox = Sandbox::start(SandboxSpec::new(workspace, config)?).await?;
    let result = try_all(&sandbox, &grant, &scratch, config).await;
    let quota = sandbox.quota_kind();
    sandbox.stop().await;
    Ok(CanaryReport { rows: result?, quota })
}

async fn try_all(
    sandbox: &Sandbox,
    grant: &policy::Grant,
    scratch: &Scratch,
    config: &SandboxConfig,
) -> Result<Vec<Row>, SandboxError> {
    // A sandbox in which nothing works would hold everything.
    let script = "echo it works > works && cat works && true | cat && echo > ~/x && echo > /tmp/x && rm works";
    let (sender, receiver) = mpsc::channel(16);
    let command = Command::new(script, PATIENCE);
    let never = tokio_util::sync::CancellationToken::new();
    let (works, said) = tokio::join!(sandbox.exec(grant, command, sender, &never), collect(receiver));
    if works?.status != ExitStatus::Code(0) || said != b"it works\n" {
        let said = String::from_utf8_lossy(&said).into_owned();
        return Err(SandboxError::Canary(format!("an ordinary command does not work inside: {said}")));
    }
    let failed = |error: io::Error| SandboxError::Canary(error.to_string());
    let baits = serde_json::to_string(&scratch.baits(config)).map_err(|error| failed(error.into()))?;
    let program = tokio::task::spawn_blocking(copy_of_program).await;
    let program = program.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)?;
    let arguments = vec!["factotum-probe".to_owned(), PROBE.to_owned(), baits];
    let (sender, receiver) = mpsc::channel(16);
    let running = sandbox.run_own(grant, program, arguments, PATIENCE, sender);
    let (exit, said) = tokio::join!(running, collect(receiver));
    let exit = exit?;
    if exit.status != ExitStatus::Code(0) {
        return Err(SandboxError::Canary(format!("the attempts were cut short: {:?}", exit.status)));
    }
    let mut rows = rows(&String::from_utf8_lossy(&said));
    if scratch.was_touched() {
        // Whatever the attempts say of themselves.
        rows.push(Row {
            id: "bait-changed".to_owned(),
            what: "changing a file outside of the workspace".to_owned(),
            outcome: Outcome::Escaped,
        });
    }
    Ok(rows)
}

async fn collect(mut chunks: mpsc::Receiver<Vec<u8>>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(chunk) = chunks.recv().await {
        if all.len() < MAX_OUTPUT {
            all.extend(chunk);
        }
    }
    all
}

/// A row for each attempt on the list; one that gave no answer counts as an escape.
fn rows(said: &str) -> Vec<Row> {
    let lines: Vec<Line> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let row = |attempt: &crate::probe::Attempt| {
        let verdict = lines.iter().find(|line| line.id == attempt.id).map(|line| line.verdict.clone());
        let outcome = match verdict {
            Some(Verdict::Held) => Outcome::Held,
            Some(Verdict::NotApplicable(why)) => Outcome::NotApplicable(why),
            Some(Verdict::Escaped) | None => Outcome::Escaped,
        };
        Row { id: attempt.id.to_owned(), what: attempt.what.to_owned(), outcome }
    };
    attempts().map(row).collect()
}

/// This program in memory, so that its file need not be shown inside.
fn copy_of_program() -> io::Result<OwnedFd> {
    let mut program = fs::File::open(Launcher::chosen().path())?;
    let mut copy = fs::File::from(memfd_create("probe", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    io::copy(&mut program, &mut copy)?;
    fcntl_add_seals(copy.as_fd(), SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(copy.into())
}

/// A directory with a workspace and, beside it, what must not be reached. It goes when dropped.
struct Scratch {
    directory: PathBuf,
    content: String,
    abstract_name: String,
    tcp: TcpListener,
    _socket: UnixListener,
    _abstract_socket: UnixListener,
}

impl Scratch {
    fn lay() -> io::Result<Self> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let content = hex::encode(random);
        let directory = Path::new("/tmp").join(format!("factotum-canary-{content}"));
        fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let laid = Self::fill(directory.clone(), content);
        if laid.is_err() {
            remove(&directory);
        }
        laid
    }

    fn fill(directory: PathBuf, content: String) -> io::Result<Self> {
        fs::create_dir(directory.join("workspace"))?;
        let bait = directory.join("bait");
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&bait)?;
        file.write_all(content.as_bytes())?;
        symlink(&bait, directory.join("workspace/planted"))?;
        let abstract_name = format!("factotum-canary-{content}");
        let address = SocketAddr::from_abstract_name(abstract_name.as_bytes())?;
        Ok(Self {
            _socket: UnixListener::bind(directory.join("socket"))?,
            _abstract_socket: UnixListener::bind_addr(&address)?,
            tcp: TcpListener::bind(("127.0.0.1", 0))?,
            directory,
            content,
            abstract_name,
        })
    }

    fn baits(&self, config: &SandboxConfig) -> Baits {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        Baits {
            file: text(self.directory.join("bait")),
            content: self.content.clone(),
            socket: text(self.directory.join("socket")),
            abstract_name: self.abstract_name.clone(),
            port: self.tcp.local_addr().map_or(0, |address| address.port()),
            homes: homes(),
            mounts: config.read_only.iter().map(|path| text(path.canonicalize().unwrap_or(path.clone()))).collect(),
            profile: config.profile,
        }
    }

    /// Whether anything beside the workspace is not as it was laid.
    fn was_touched(&self) -> bool {
        let bait = self.directory.join("bait");
        let is_intact = fs::read_to_string(&bait).is_ok_and(|text| text == self.content)
            && fs::metadata(&bait).is_ok_and(|found| found.nlink() == 1);
        let beside = fs::read_dir(&self.directory).map_or(0, Iterator::count);
        !is_intact || beside != 3
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.directory);
    }
}

#[expect(clippy::disallowed_methods, reason = "a directory of our own making, in which nothing runs any more")]
fn remove(directory: &Path) {
    // What remains of it is harmless.
    _ = fs::remove_dir_all(directory);
}

/// The homes of the host's people that exist.
fn homes() -> Vec<String> {
    let Ok(table) = fs::read_to_string("/etc/passwd") else { return vec!["/root".to_owned()] };
    let people = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let uid: u32 = fields.get(2)?.parse().ok()?;
        let home = fields.get(5).filter(|_| uid == 0 || (1000..60_000).contains(&uid))?;
        Path::new(home).is_dir().then(|| (*home).to_owned())
    });
    people.filter(|home| home != "/").take(200).collect()
}
