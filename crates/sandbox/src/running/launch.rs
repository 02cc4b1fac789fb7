//! Starting the program that becomes a sandbox, and waiting until it is one.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    Fixed, Launcher, MAX_FIXED, QuotaKind, SandboxError, SandboxSpec,
    cgroup::Groups,
    launcher::INIT,
    mounts,
    spec::check_env,
    trust,
    wire::{Failure, FailureKind, HostDirectory, MAX_PACKET, News, Order, Setup, encode},
};

use super::{
    link::{next, post},
    process::FirstProcess,
    watched::watch,
};

/// How long building may take. It takes milliseconds; this is for a machine that swaps.
const PATIENCE: Duration = Duration::from_secs(20);

/// A sandbox that takes commands.
pub(super) struct Launched {
    pub socket: AsyncFd<OwnedFd>,
    pub process: FirstProcess,
    pub groups: Groups,
    pub proxy: OwnedFd,
}

/// A program that was started and is not a sandbox yet. Dropping it ends it.
struct Starting {
    /// The program that was started, until it has made the first process.
    child: Option<Child>,
    process: Option<FirstProcess>,
    /// What the first process told last: the proxy's socket, or why it failed. It may be heard before it is known who told it.
    built: Option<Result<OwnedFd, Failure>>,
    groups: Option<Groups>,
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It ends by itself in no time, whatever happens; killing only makes sure.
            _ = child.kill();
            _ = child.wait();
        }
        if let Some(process) = &self.process {
            process.end_now();
        }
        if let Some(groups) = &self.groups {
            groups.kill();
            groups.remove_now();
        }
    }
}

pub(super) async fn launch(spec: SandboxSpec) -> Result<Launched, SandboxError> {
    let prepared = tokio::task::spawn_blocking(move || prepare(spec)).await;
    let prepared = prepared.map_err(|error| SandboxError::process("started")(io::Error::other(error)))?;
    let (mut starting, socket, setup, lists) = prepared?;
    let socket = watch(socket, Interest::READABLE | Interest::WRITABLE).map_err(SandboxError::process("spoken to"))?;
    let talk = talk(&mut starting, &socket, &setup, lists);
    let (process, proxy) =
        tokio::time::timeout(PATIENCE, talk).await.map_err(|_| SandboxError::Slow(PATIENCE.as_secs()))??;
    let groups = starting.groups.take().ok_or_else(out_of_step)?;
    Ok(Launched { socket, process, groups, proxy })
}

type Prepared = (Starting, OwnedFd, Vec<u8>, Vec<OwnedFd>);

/// Everything that may block: looking at directories, making groups, starting the program.
fn prepare(spec: SandboxSpec) -> Result<Prepared, SandboxError> {
    let workspace = spec.workspace.dir();
    let found = HostDirectory::look(workspace)
        .map_err(|why| SandboxError::Workspace { path: workspace.to_owned(), why: why.to_string() })?;
    let extra = |path: PathBuf| {
        HostDirectory::look(&path).map_err(|why| SandboxError::ReadOnly { path: path.clone(), why: why.to_string() })
    };
    let read_only = mounts::check_all(&spec.read_only)?.into_iter().map(extra).collect::<Result<_, _>>()?;
    let source = spec.source.as_ref().map(|source| look_at_source(source.dir(), workspace)).transpose()?;
    let home = spec.home.as_deref().map(|home| look_at_home(home, workspace)).transpose()?;
    let groups = Groups::create(&spec.quota);
    let lists = groups.lists().map_err(SandboxError::process("put into its groups"))?;
    let setup = Setup {
        workspace: found,
        home,
        source,
        fixed: outer_first(spec.fixed.clone()),
        read_only,
        profile: spec.profile,
        quota: spec.quota,
        cap_each_process: groups.kind() == QuotaKind::RlimitsOnly,
        env: environment(&spec)?,
        proxy: spec.proxy,
        #[cfg(feature = "faults")]
        broken: types::faults::broken(),
    };
    let mut starting = Starting::with(groups);
    let setup = encode(&Order::Setup(Box::new(setup))).map_err(SandboxError::process("given its specification"))?;
    let (child, socket) = start_program().map_err(SandboxError::process("started"))?;
    starting.child = Some(child);
    Ok((starting, socket, setup, lists))
}

/// What is fixed, in the order in which it must be, and no more of it than there is room for: what was named first stays. Where
/// a path was named twice, it can only be read.
fn outer_first(fixed: Vec<Fixed>) -> Vec<Fixed> {
    let mut kept: BTreeMap<PathBuf, Fixed> = BTreeMap::new();
    for one in fixed {
        let has_room = kept.len() < MAX_FIXED;
        match kept.entry(one.path().to_owned()) {
            Entry::Occupied(mut known) if one < *known.get() => drop(known.insert(one)),
            Entry::Vacant(place) if has_room => {
                place.insert(one);
            }
            Entry::Occupied(_) | Entry::Vacant(_) => {}
        }
    }
    kept.into_values().collect()
}

/// Checks the directory that is only to be read. One that holds the workspace, or lies in it, could be written after all.
fn look_at_source(dir: &Path, workspace: &Path) -> Result<HostDirectory, SandboxError> {
    let refuse = |why: String| SandboxError::Workspace { path: dir.to_owned(), why };
    if dir.starts_with(workspace) || workspace.starts_with(dir) {
        return Err(refuse("it and the workspace hold one another".to_owned()));
    }
    HostDirectory::look(dir).map_err(|why| refuse(why.to_string()))
}

/// Checks the directory that is to be the home. It and the workspace may not hold each other: what lies in one would be seen
/// under two names.
fn look_at_home(home: &Path, workspace: &Path) -> Result<HostDirectory, SandboxError> {
    let refuse = |why: String| SandboxError::Home { path: home.to_owned(), why };
    let dir = mounts::check_home(home).map_err(refuse)?;
    if dir.starts_with(workspace) || workspace.starts_with(&dir) {
        return Err(refuse("it and the workspace hold one another".to_owned()));
    }
    HostDirectory::look(&dir).map_err(|why| refuse(why.to_string()))
}

/// What every command finds beside the fixed part. The owner's variables win over the proxy's, and placeholders over both.
fn environment(spec: &SandboxSpec) -> Result<BTreeMap<String, String>, SandboxError> {
    let mut env = BTreeMap::new();
    if let Some(proxy) = &spec.proxy {
        proxy.check()?;
        env = trust::environment();
    }
    env.extend(spec.env.clone());
    env.extend(spec.placeholder_env.clone());
    check_env(&env)?;
    Ok(env)
}

/// Starts the program with one end of a socket pair as its standard input, and gives the other end.
#[expect(clippy::disallowed_methods, reason = "the one process that is started on the host: this program")]
fn start_program() -> io::Result<(Child, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    let child = std::process::Command::new(Launcher::chosen().path())
        .arg0("factotum-sandbox")
        .arg(INIT)
        .env_clear()
        .current_dir("/")
        .stdin(theirs)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok((child, ours))
}

/// Gives the specification and follows the building until the sandbox is ready. Gives its first process and the proxy's
/// socket.
async fn talk(
    starting: &mut Starting,
    socket: &AsyncFd<OwnedFd>,
    setup: &[u8],
    lists: Vec<OwnedFd>,
) -> Result<(FirstProcess, OwnedFd), SandboxError> {
    let borrowed: Vec<BorrowedFd<'_>> = lists.iter().map(AsFd::as_fd).collect();
    match post(socket, setup, &borrowed).await {
        // Nobody reads any more. What was told before that is heard below.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        given => given.map_err(SandboxError::process("given its specification"))?,
    }
    drop(lists);
    let mut buffer = vec![0; MAX_PACKET];
    loop {
        let received = next(socket, &mut buffer).await.map_err(SandboxError::process("heard"))?;
        let Some(news) = received else { return Err(starting.ended().await) };
        starting.hear(news)?;
        if let Some(result) = starting.result() {
            return result;
        }
    }
}

impl Starting {
    fn with(groups: Groups) -> Self {
        Self { child: None, process: None, built: None, groups: Some(groups) }
    }

    /// Takes in one piece of news. The first process and the one that made it both tell, each when its turn on a processor
    /// comes: that it is ready may be heard before that it exists.
    fn hear(&mut self, (news, fds): (News, Vec<OwnedFd>)) -> Result<(), SandboxError> {
        let descriptor = fds.into_iter().next();
        match news {
            News::Born => {
                let process = FirstProcess::new(descriptor.ok_or_else(out_of_step)?);
                self.process = Some(process.map_err(SandboxError::process("watched"))?);
                // The program that was started has done its part and ends at once.
                if let Some(mut child) = self.child.take() {
                    child.wait().map_err(SandboxError::process("watched"))?;
                }
            }
            News::Ready => self.built = Some(Ok(descriptor.ok_or_else(out_of_step)?)),
            News::Failed(failure) => self.built = Some(Err(failure)),
            News::Started { .. } | News::Ended { .. } | News::NotStarted { .. } => return Err(out_of_step()),
        }
        Ok(())
    }

    /// What came of the building, once both have told.
    fn result(&mut self) -> Option<Result<(FirstProcess, OwnedFd), SandboxError>> {
        self.process.as_ref()?;
        match self.built.take()? {
            Ok(proxy) => Some(self.process.take().ok_or_else(out_of_step).map(|process| (process, proxy))),
            Err(failure) => Some(Err(explain(failure))),
        }
    }

    /// The error where nobody is left to tell anything: with what it told before it ended, or how it ended.
    async fn ended(&mut self) -> SandboxError {
        if let Some(Err(failure)) = self.built.take() {
            return explain(failure);
        }
        let mut why = match (&self.process, &mut self.child) {
            (Some(process), _) => format!("the first process ended: {}", process.how_it_ended().await),
            (None, Some(child)) => match child.wait() {
                Ok(status) => format!("the program that makes the first process ended: {status}"),
                Err(error) => format!("the program that makes the first process is lost: {error}"),
            },
            (None, None) => "the first process ended".to_owned(),
        };
        if self.groups.as_ref().is_some_and(|groups| groups.killed_for_memory() > 0) {
            why.push_str(", for want of memory");
        }
        SandboxError::Build { step: "start".to_owned(), why }
    }
}

fn out_of_step() -> SandboxError {
    SandboxError::Build { step: "talk".to_owned(), why: "the first process is out of step".to_owned() }
}

fn explain(failure: Failure) -> SandboxError {
    let Failure { kind, step, why } = failure;
    match kind {
        FailureKind::UserNamespaces => SandboxError::UserNamespaces { why },
        FailureKind::Landlock => SandboxError::Landlock { why },
        FailureKind::IdMapping => SandboxError::IdMapping { why },
        FailureKind::Other => SandboxError::Build { step, why },
    }
}

impl HostDirectory {
    fn look(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        if !found.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { path: path.to_owned(), device: found.dev(), inode: found.ino(), uid: found.uid(), gid: found.gid() })
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;
    use crate::{SandboxConfig, spec::Quota, wire::send};

    /// What is being started, our end of its socket, the other end, and a process that may pass for the first one.
    type Scene = (Starting, AsyncFd<OwnedFd>, OwnedFd, OwnedFd);

    /// As after the program was started.
    #[expect(clippy::disallowed_methods, reason = "a process of the host's in place of a sandbox")]
    fn scene() -> Result<Scene, Box<dyn Error>> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let ours = watch(ours, Interest::READABLE | Interest::WRITABLE)?;
        let child = std::process::Command::new("sleep").arg("60").spawn()?;
        let pid = Pid::from_raw(child.id().try_into()?).ok_or("no process")?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        let mut starting = Starting::with(Groups::create(&Quota::of(&SandboxConfig::default())));
        // What made the first process has ended.
        starting.child = Some(std::process::Command::new("true").spawn()?);
        Ok((starting, ours, theirs, process))
    }

    #[tokio::test]
    async fn that_it_is_ready_may_be_heard_before_that_it_exists() -> Result<(), Box<dyn Error>> {
        for is_ready_first in [false, true] {
            let (mut starting, ours, theirs, process) = scene()?;
            let proxy = std::fs::File::open("/dev/null")?;
            let mut news = [(News::Born, process.as_fd()), (News::Ready, proxy.as_fd())];
            if is_ready_first {
                news.reverse();
            }
            for (news, descriptor) in &news {
                send(theirs.as_fd(), &encode(news)?, &[*descriptor])?;
            }
            let (process, _) = talk(&mut starting, &ours, b"{}", Vec::new()).await?;
            process.end().await;
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_building_that_ends_says_what_is_known() -> Result<(), Box<dyn Error>> {
        let (mut starting, ours, theirs, process) = scene()?;
        send(theirs.as_fd(), &encode(&News::Born)?, &[process.as_fd()])?;
        rustix::process::pidfd_send_signal(&process, rustix::process::Signal::KILL)?;
        drop(theirs);
        let error = talk(&mut starting, &ours, b"{}", Vec::new()).await.err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("the sandbox could not be built: start: the first process ended: signal 9"));

        let (mut starting, ours, theirs, process) = scene()?;
        rustix::process::pidfd_send_signal(&process, rustix::process::Signal::KILL)?;
        drop(theirs);
        let error = talk(&mut starting, &ours, b"{}", Vec::new()).await.err().map(|error| error.to_string());
        assert_eq!(
            error.as_deref(),
            Some(
                "the sandbox could not be built: start: the program that makes the first process ended: exit status: 0"
            )
        );

        // The first process fails, and what made it is killed before it can tell of it.
        let (mut starting, ours, theirs, process) = scene()?;
        send(theirs.as_fd(), &encode(&News::Failed(crate::init::failed("a step", "it is broken")))?, &[])?;
        rustix::process::pidfd_send_signal(&process, rustix::process::Signal::KILL)?;
        drop(theirs);
        let error = talk(&mut starting, &ours, b"{}", Vec::new()).await.err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("the sandbox could not be built: a step: it is broken"));
        Ok(())
    }

    #[test]
    fn what_was_named_first_is_fixed_however_much_follows() {
        let ours = || Fixed::read_only(".git");
        let many = (0..MAX_FIXED + 10).filter_map(|n| Fixed::read_only(format!("-{n:04}")));
        let fixed = outer_first(ours().into_iter().chain(many).collect());
        assert_eq!(fixed.len(), MAX_FIXED);
        assert!(fixed.contains(&ours().expect("a path")));
        // Outer ones come first, and a name is there once.
        let twice = ["a/b", "a", "a/b"].into_iter().filter_map(Fixed::in_place).chain(Fixed::read_only("a/b"));
        let expected: Vec<Fixed> = Fixed::in_place("a").into_iter().chain(Fixed::read_only("a/b")).collect();
        assert_eq!(outer_first(twice.collect()), expected);
    }
}
