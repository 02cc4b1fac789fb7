//! The outside of one sandbox: building it, running commands in it, ending it. Must not run anything on the host but the
//! program that becomes the sandbox.

mod disk;
mod exec;
mod jobs;
mod launch;
mod link;
mod output;
mod piped;
mod process;
mod ring;
mod terminal;
mod watched;

use std::{
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use policy::Grant;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use types::{SessionId, Sink, WorkspaceName};

use crate::{
    Command, Door, Exit, JobId, JobInfo, JobOutput, QuotaKind, SandboxError, SandboxSpec, cgroup::Groups, spec::Quota,
    wire::Program,
};

use exec::{Task, Work};
use jobs::Jobs;
use link::Link;
use output::Output;
use process::FirstProcess;

pub(crate) use piped::{Ending, Piped, PipedProgram, Pipes};
pub use terminal::{Terminal, TerminalProgram};
pub(crate) use watched::watch;

/// Commands and jobs at once.
const MAX_COMMANDS: usize = 64;
/// How long the tasks of a sandbox may take to end with it.
const TASKS_END: Duration = Duration::from_secs(2);

/// A running sandbox. Stopping or dropping it kills everything inside.
#[derive(Debug)]
pub struct Sandbox {
    inner: Arc<Inner>,
    proxy: Mutex<Option<OwnedFd>>,
}

/// What the sandbox's tasks share.
#[derive(Debug)]
struct Inner {
    workspace: WorkspaceName,
    /// What commands may write on the host's disks.
    writable: Vec<PathBuf>,
    /// The only session whose grants are taken; any when none.
    session: Option<SessionId>,
    quota: Quota,
    link: Link,
    groups: Groups,
    process: FirstProcess,
    jobs: Jobs,
    places: Arc<Semaphore>,
    next: AtomicU64,
    tasks: TaskTracker,
    ending: CancellationToken,
}

impl Sandbox {
    /// Builds a sandbox and waits until it takes commands.
    pub async fn start(spec: SandboxSpec) -> Result<Self, SandboxError> {
        Self::start_for(None, spec, None).await
    }

    /// The same, for one session only and with a door that is served as long as it stands.
    pub(crate) async fn start_for(
        session: Option<SessionId>,
        mut spec: SandboxSpec,
        door: Option<Door>,
    ) -> Result<Self, SandboxError> {
        let serve = door.map(|door| {
            spec.proxy = Some(door.trust);
            spec.placeholder_env = door.env;
            door.serve
        });
        let workspace = spec.workspace.name.clone();
        let writable = [spec.workspace.dir().to_owned()].into_iter().chain(spec.home.clone()).collect();
        let quota = spec.quota;
        let launched = launch::launch(spec).await?;
        let (tasks, ending) = (TaskTracker::new(), CancellationToken::new());
        let inner = Arc::new(Inner {
            workspace,
            writable,
            session,
            quota,
            link: Link::new(launched.socket),
            groups: launched.groups,
            process: launched.process,
            jobs: Jobs::default(),
            places: Arc::new(Semaphore::new(MAX_COMMANDS)),
            next: AtomicU64::new(1),
            tasks,
            ending,
        });
        let reader = inner.clone();
        inner.tasks.spawn(async move {
            reader.link.listen(&reader.ending).await;
            reader.tell_end().await;
        });
        let proxy = match serve {
            Some(serve) => {
                inner.tasks.spawn(serve(launched.proxy, inner.ending.clone()));
                None
            }
            None => Some(launched.proxy),
        };
        Ok(Self { inner, proxy: Mutex::new(proxy) })
    }

    /// Runs a command to its end. Output goes to `output` as it comes, both streams in the order of writing; the command
    /// waits while that channel is full. Cancelling kills everything that the command started.
    pub async fn exec(
        &self,
        grant: &Grant,
        command: Command,
        output: mpsc::Sender<Vec<u8>>,
        cancel: &CancellationToken,
    ) -> Result<Exit, SandboxError> {
        self.inner.require(grant)?;
        self.inner.run(Task::of(command), Output::Channel(output), cancel).await
    }

    /// Starts a background job, which lives until it ends, is killed, or the sandbox ends.
    pub async fn spawn(&self, grant: &Grant, command: Command) -> Result<JobId, SandboxError> {
        self.inner.require(grant)?;
        Inner::spawn(&self.inner, command)
    }

    /// The background jobs, oldest first.
    pub fn jobs(&self) -> Vec<JobInfo> {
        self.inner.jobs.list()
    }

    /// The output of a job from a position on.
    pub fn job_output(&self, job: JobId, from: u64) -> Result<JobOutput, SandboxError> {
        self.inner.jobs.output(job, from)
    }

    /// Kills a job with everything that it started and waits until it is gone.
    pub async fn kill_job(&self, job: JobId) -> Result<(), SandboxError> {
        self.inner.jobs.kill(job).await
    }

    /// The socket that listens on the proxy's port inside the sandbox, once: its only door to the outside. None where a
    /// [`Door`] is served already.
    pub fn proxy_listener(&self) -> Option<OwnedFd> {
        self.proxy.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How quotas are enforced.
    pub fn quota_kind(&self) -> QuotaKind {
        self.inner.groups.kind()
    }

    /// False once the sandbox has ended by itself.
    pub fn is_alive(&self) -> bool {
        !self.inner.ending.is_cancelled() && self.inner.link.is_open()
    }

    /// Waits until the sandbox has ended.
    pub(crate) async fn ended(&self) {
        self.inner.process.ended().await;
    }

    /// Whether commands or jobs are running.
    pub(crate) fn is_busy(&self) -> bool {
        self.inner.places.available_permits() < MAX_COMMANDS
    }

    /// Ends the sandbox and waits until nothing of it is left.
    pub async fn stop(&self) {
        self.inner.ending.cancel();
        self.inner.tasks.close();
        self.inner.groups.kill();
        self.inner.process.end().await;
        self.inner.groups.remove().await;
        if tokio::time::timeout(TASKS_END, self.inner.tasks.wait()).await.is_err() {
            tracing::error!("the tasks of a sandbox did not end with it");
        }
    }

    /// Runs a program of ours inside: the self-test.
    pub(crate) async fn run_own(
        &self,
        grant: &Grant,
        program: OwnedFd,
        arguments: Vec<String>,
        timeout: Duration,
        output: mpsc::Sender<Vec<u8>>,
    ) -> Result<Exit, SandboxError> {
        self.inner.require(grant)?;
        let work = Work::Own { program, arguments };
        let task = Task { work, directory: None, env: Default::default(), timeout, stdin: None };
        self.inner.run(task, Output::Channel(output), &CancellationToken::new()).await
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.inner.ending.cancel();
        self.inner.tasks.close();
        self.inner.groups.kill();
        self.inner.process.end_now();
        self.inner.groups.remove_now();
    }
}

impl Inner {
    /// Checks that the grant is for running something in this sandbox.
    fn require(&self, grant: &Grant) -> Result<(), SandboxError> {
        require(grant, &self.workspace, self.session)
    }

    /// Says how the sandbox ended, where nobody ended it.
    async fn tell_end(&self) {
        if self.ending.is_cancelled() {
            return;
        }
        let killed_for_memory = self.groups.killed_for_memory();
        let how = self.process.how_it_ended().await;
        if !self.ending.is_cancelled() {
            tracing::error!(how, killed_for_memory, "a sandbox ended by itself");
        }
    }

    fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// Checks that the grant is for running something in the sandbox of a workspace and a session; any session when none.
pub(crate) fn require(
    grant: &Grant,
    workspace: &WorkspaceName,
    session: Option<SessionId>,
) -> Result<(), SandboxError> {
    if grant.workspace() != workspace {
        return Err(SandboxError::NotGranted("it is for another workspace"));
    }
    if grant.is_read_only() {
        return Err(SandboxError::NotGranted("it is for reading only"));
    }
    if let (Some(granted), Some(own)) = (grant.session(), session)
        && granted != own
    {
        return Err(SandboxError::NotGranted("it is for another session"));
    }
    match grant.sink() {
        Sink::Compute | Sink::WorkspaceWrite | Sink::Destructive => Ok(()),
        Sink::Fetch | Sink::Send | Sink::Reply | Sink::Persist | Sink::Credential => {
            Err(SandboxError::NotGranted("it is not for running commands"))
        }
    }
}

impl Work {
    fn program(&self) -> Program {
        match self {
            Self::Script(script) => Program::Shell(script.clone()),
            Self::Own { arguments, .. } => Program::Given(arguments.clone()),
        }
    }
}
