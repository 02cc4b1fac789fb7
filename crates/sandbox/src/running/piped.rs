//! A program that somebody talks with: named by its arguments, with a pipe for each of its standard streams, without a limit
//! of time. Its end is the end of everything that it started. Only for the supervisor, whose client took the grant.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::{
    net::unix::pipe::{Receiver, Sender},
    sync::{OwnedSemaphorePermit, oneshot},
    time::timeout,
};

use crate::{
    Sandbox, SandboxError,
    cgroup::CommandGroups,
    wire::{End, Order, Program, Run},
};

use super::{
    Inner, MAX_COMMANDS,
    disk::{self, Guard},
    exec::{KILLED, give_to_commands, outcome},
    link::Outcome,
};

/// How long the start of a program may take: less than a second, but for a machine that swaps.
const START: Duration = Duration::from_secs(20);

/// What is started.
#[derive(Clone, Debug)]
pub(crate) struct PipedProgram {
    /// Its arguments, its name first.
    pub argv: Vec<String>,
    /// Its environment beside the sandbox's.
    pub env: BTreeMap<String, String>,
    /// Where, relative to the workspace.
    pub directory: Option<String>,
    /// Whether it can be written to; it reads nothing otherwise.
    pub has_input: bool,
}

/// Our ends of its standard streams.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// What it reads.
    pub input: Option<Sender>,
    /// What it says.
    pub output: Receiver,
    /// What it complains about.
    pub error: Receiver,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// With its sandbox.
    Gone,
}

/// A program that was started. Dropping it leaves it running: whoever drops it ends the sandbox.
#[derive(Debug)]
pub(crate) struct Piped {
    pub(super) inner: Arc<Inner>,
    pub(super) id: u64,
    groups: CommandGroups,
    ended: oneshot::Receiver<Outcome>,
    ending: Option<Ending>,
    guard: Option<Guard>,
    _place: OwnedSemaphorePermit,
}

/// The two sides of one pipe.
struct Pipe {
    reading: OwnedFd,
    writing: OwnedFd,
}

impl Pipe {
    fn new() -> Result<Self, SandboxError> {
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        Ok(Self { reading, writing })
    }

    /// A pipe of which the program gets the writing side.
    fn to_read() -> Result<(Receiver, OwnedFd), SandboxError> {
        let Self { reading, writing } = Self::new()?;
        rustix::io::ioctl_fionbio(&reading, true).map_err(|error| failed(error.into()))?;
        give_to_commands(&writing);
        Ok((Receiver::from_owned_fd(reading).map_err(failed)?, writing))
    }

    /// A pipe of which the program gets the reading side.
    fn to_write() -> Result<(Sender, OwnedFd), SandboxError> {
        let Self { reading, writing } = Self::new()?;
        rustix::io::ioctl_fionbio(&writing, true).map_err(|error| failed(error.into()))?;
        give_to_commands(&reading);
        Ok((Sender::from_owned_fd(writing).map_err(failed)?, reading))
    }
}

impl Sandbox {
    /// Starts a program and waits until it runs. The caller holds the right to do so.
    pub(crate) async fn start_piped(&self, program: PipedProgram) -> Result<(Piped, Pipes), SandboxError> {
        let (output, their_output) = Pipe::to_read()?;
        let (error, their_error) = Pipe::to_read()?;
        let input = program.has_input.then(Pipe::to_write).transpose()?;
        let (input, their_input) = input.unzip();
        let PipedProgram { argv, env, directory, has_input } = program;
        let program = Program::Named(argv);
        let run = Run { id: 0, program, directory, env, has_error: true, has_input, terminal: None };
        let given = [Some(&their_output), Some(&their_error), their_input.as_ref()];
        let given: Vec<BorrowedFd<'_>> = given.into_iter().flatten().map(AsFd::as_fd).collect();
        let (piped, _) = Inner::start_named(&self.inner, run, &given).await?;
        Ok((piped, Pipes { input, output, error }))
    }
}

impl Inner {
    /// Starts a program under a number of its own and waits until it runs. Gives what came along with that news.
    pub(super) async fn start_named(
        this: &Arc<Self>,
        mut run: Run,
        given: &[BorrowedFd<'_>],
    ) -> Result<(Piped, Option<OwnedFd>), SandboxError> {
        let inner = this.clone();
        if inner.ending.is_cancelled() || !inner.link.is_open() {
            return Err(SandboxError::Gone);
        }
        let place = inner.places.clone().try_acquire_owned();
        let place = place.map_err(|_| SandboxError::TooManyCommands(MAX_COMMANDS))?;
        let id = inner.next_id();
        run.id = id;
        let groups = inner.groups.command(id).map_err(failed)?;
        let lists = groups.lists().map_err(failed)?;
        let fds: Vec<BorrowedFd<'_>> = given.iter().copied().chain(lists.iter().map(AsFd::as_fd)).collect();
        let guard = Guard::new(&inner.writable, inner.quota);
        let mut ended = inner.link.expect(id)?;
        let started = inner.link.expect_start(id);
        let told = async {
            inner.link.order(&Order::Run(run), &fds).await?;
            match timeout(START, started).await {
                Ok(Ok(descriptor)) => Ok(descriptor),
                // It says why it was not started.
                Ok(Err(_)) => outcome((&mut ended).await).map(|_| None),
                Err(_) => Err(SandboxError::Command("it did not start in time".to_owned())),
            }
        };
        match told.await {
            Ok(descriptor) => Ok((Piped { inner, id, groups, ended, ending: None, guard, _place: place }, descriptor)),
            Err(error) => {
                inner.link.forget(id);
                Err(error)
            }
        }
    }
}

impl Piped {
    /// How often [`Piped::is_disk_full`] should be asked.
    pub const LOOK: Duration = disk::EVERY;

    /// Waits for its end. What it started may run on.
    pub async fn ended(&mut self) -> Ending {
        if let Some(ending) = self.ending {
            return ending;
        }
        let ending = match outcome((&mut self.ended).await) {
            Ok(End::Code(code)) => Ending::Code(code),
            Ok(End::Signal(signal)) => Ending::Signal(signal),
            Err(_) => Ending::Gone,
        };
        *self.ending.insert(ending)
    }

    /// Whether it used more of the disk than it may.
    pub fn is_disk_full(&self) -> bool {
        self.guard.as_ref().is_some_and(Guard::is_full)
    }

    /// Whether the kernel killed something of it for want of memory.
    pub fn ran_out_of_memory(&self) -> bool {
        self.groups.killed_for_memory() > 0
    }

    /// Kills everything that it started. Where there are no groups, that is everything inside but what descends from the
    /// commands in `spare`.
    pub async fn kill(&self, spare: &[u64]) {
        if self.groups.exist() {
            self.groups.kill().await;
        } else {
            // A sandbox that takes no order has ended, and everything in it.
            _ = self.inner.link.order(&Order::KillRest { spare: spare.to_vec() }, &[]).await;
        }
    }

    /// Kills everything that it started and waits for its end; if it does not end, the sandbox does.
    pub async fn end(&mut self, spare: &[u64]) -> Ending {
        self.kill(spare).await;
        match timeout(KILLED, self.ended()).await {
            Ok(ending) => ending,
            Err(_) => {
                self.inner.ending.cancel();
                self.inner.process.end_now();
                Ending::Gone
            }
        }
    }

    /// What Ctrl-C does.
    pub async fn interrupt(&self) -> Result<(), SandboxError> {
        self.inner.link.order(&Order::Interrupt { id: self.id }, &[]).await
    }
}

pub(super) fn failed(error: io::Error) -> SandboxError {
    SandboxError::Command(error.to_string())
}
