//! One command from its start to its end.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    pipe::{PipeFlags, pipe_with},
};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::Receiver,
    sync::oneshot,
    time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Command, Exit, ExitStatus, SandboxError,
    cgroup::CommandGroups,
    init::NOBODYS_ID,
    wire::{End, Order, Run},
};

use super::{
    Inner,
    disk::{self, Guard},
    link::Outcome,
    output::Output,
};

/// How much is read at once.
const CHUNK: usize = 32 * 1024;
/// How long after the end of a command its output may be silent before whoever still holds it is left alone.
const SILENCE: Duration = Duration::from_millis(50);
/// How long what was in the pipe at the end may take to be passed on.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// In place of a time that no clock can count to.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long a killed command may take to end.
pub(super) const KILLED: Duration = Duration::from_secs(2);

/// What is run.
#[derive(Debug)]
pub(super) enum Work {
    /// A script of the model's or the owner's.
    Script(String),
    /// A program of ours.
    Own {
        /// The program.
        program: OwnedFd,
        /// Its arguments, with its name first.
        arguments: Vec<String>,
    },
}

/// One command with all that belongs to it.
#[derive(Debug)]
pub(super) struct Task {
    pub work: Work,
    pub directory: Option<String>,
    pub env: BTreeMap<String, String>,
    pub timeout: Duration,
    pub stdin: Option<Vec<u8>>,
}

impl Task {
    pub fn of(command: Command) -> Self {
        let Command { script, directory, env, timeout, stdin } = command;
        Self { work: Work::Script(script), directory, env, timeout, stdin }
    }
}

/// A command that was started.
struct Running<'a> {
    inner: &'a Inner,
    id: u64,
    groups: CommandGroups,
    ended: oneshot::Receiver<Outcome>,
    pipe: Receiver,
    output: Output,
    guard: Option<Guard>,
    output_bytes: u64,
    /// Read, and not passed on yet.
    pending: Option<Vec<u8>>,
    is_closed: bool,
}

impl Inner {
    /// Runs a command to its end.
    pub(super) async fn run(
        self: &Arc<Self>,
        task: Task,
        output: Output,
        cancel: &CancellationToken,
    ) -> Result<Exit, SandboxError> {
        if self.ending.is_cancelled() || !self.link.is_open() {
            return Err(SandboxError::Gone);
        }
        let Ok(_place) = self.places.clone().try_acquire_owned() else {
            return Err(SandboxError::TooManyCommands(super::MAX_COMMANDS));
        };
        let begun = Instant::now();
        let deadline = begun.checked_add(task.timeout).unwrap_or_else(|| begun + LONGEST);
        let mut running = self.begin(task, output).await?;
        let result = running.follow(deadline, cancel).await;
        self.link.forget(running.id);
        let (end, killed) = result?;
        let left_running = running.last_words().await;
        let status = match (killed, end) {
            (Some(status), _) => status,
            (None, End::Code(0)) => ExitStatus::Code(0),
            (None, _) if running.groups.killed_for_memory() > 0 => ExitStatus::OutOfMemory,
            (None, End::Code(code)) => ExitStatus::Code(code),
            (None, End::Signal(signal)) => ExitStatus::Signal(signal),
        };
        let exit = Exit { status, elapsed: begun.elapsed(), output_bytes: running.output_bytes, left_running };
        let Running { id, groups, pipe, guard, .. } = running;
        if left_running {
            self.tasks.spawn(swallow(pipe, self.ending.clone()));
        }
        if let Some(guard) = guard
            && (groups.are_populated() || !groups.exist())
        {
            self.tasks.spawn(linger(self.clone(), id, groups, guard));
        }
        Ok(exit)
    }

    async fn begin(&self, task: Task, output: Output) -> Result<Running<'_>, SandboxError> {
        let id = self.next_id();
        let failed = |error: io::Error| SandboxError::Command(error.to_string());
        let groups = self.groups.command(id).map_err(failed)?;
        let lists = groups.lists().map_err(failed)?;
        let input = task.stdin.as_deref().map(sealed).transpose().map_err(failed)?;
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        rustix::io::ioctl_fionbio(&reading, true).map_err(|error| failed(error.into()))?;
        give_to_commands(&writing);
        let pipe = Receiver::from_owned_fd(reading).map_err(failed)?;
        let program = match &task.work {
            Work::Script(_) => None,
            Work::Own { program, .. } => Some(program),
        };
        let fds: Vec<BorrowedFd<'_>> =
            [Some(&writing), input.as_ref(), program].into_iter().flatten().chain(&lists).map(AsFd::as_fd).collect();
        let run = Run {
            id,
            program: task.work.program(),
            directory: task.directory,
            env: task.env,
            has_error: false,
            has_input: input.is_some(),
            terminal: None,
        };
        let guard = Guard::new(&self.writable, self.quota);
        let ended = self.link.expect(id)?;
        if let Err(error) = self.link.order(&Order::Run(run), &fds).await {
            self.link.forget(id);
            return Err(error);
        }
        Ok(Running {
            inner: self,
            id,
            groups,
            ended,
            pipe,
            output,
            guard,
            output_bytes: 0,
            pending: None,
            is_closed: false,
        })
    }
}

impl Running<'_> {
    /// Passes output on until the command has ended, and kills it when it must.
    async fn follow(
        &mut self,
        deadline: Instant,
        cancel: &CancellationToken,
    ) -> Result<(End, Option<ExitStatus>), SandboxError> {
        let guard = self.guard.clone();
        let mut look = interval_at(Instant::now() + disk::EVERY, disk::EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut too_late = pin!(sleep_until(deadline));
        let mut chunk = vec![0; CHUNK];
        let why = loop {
            let pending = self.pending.as_deref().unwrap_or_default();
            tokio::select! {
                ended = &mut self.ended => return Ok((outcome(ended)?, None)),
                () = &mut too_late => break ExitStatus::TimedOut,
                () = cancel.cancelled() => break ExitStatus::Cancelled,
                () = self.inner.ending.cancelled() => return Err(SandboxError::Gone),
                _ = look.tick(), if guard.is_some() => {
                    if guard.as_ref().is_some_and(Guard::is_full) {
                        break ExitStatus::DiskFull;
                    }
                }
                () = self.output.take(pending), if !pending.is_empty() => self.pending = None,
                read = self.pipe.read(&mut chunk), if pending.is_empty() && !self.is_closed => self.note(read, &chunk),
            }
        };
        let end = self.kill().await?;
        Ok((end, Some(why)))
    }

    /// Takes note of what was read.
    fn note(&mut self, read: io::Result<usize>, chunk: &[u8]) {
        match read {
            Ok(0) | Err(_) => self.is_closed = true,
            Ok(length) => {
                self.output_bytes += length as u64;
                self.pending = chunk.get(..length).map(<[u8]>::to_vec);
            }
        }
    }

    /// Kills everything that the command started, as far as it can be told from the rest; if it does not end, the sandbox
    /// does.
    async fn kill(&mut self) -> Result<End, SandboxError> {
        if self.groups.exist() {
            self.groups.kill().await;
        } else {
            self.inner.link.order(&Order::Kill { id: self.id }, &[]).await?;
        }
        match timeout(KILLED, &mut self.ended).await {
            Ok(ended) => outcome(ended),
            Err(_) => {
                tracing::error!("a killed command did not end; its sandbox is ended");
                self.inner.ending.cancel();
                self.inner.process.end_now();
                Err(SandboxError::Gone)
            }
        }
    }

    /// Passes on what is left in the pipe. Says whether somebody still holds its other end.
    async fn last_words(&mut self) -> bool {
        let mut chunk = vec![0; CHUNK];
        let until = Instant::now() + LAST_WORDS;
        loop {
            if let Some(pending) = self.pending.take()
                && timeout(LAST_WORDS, self.output.take(&pending)).await.is_err()
            {
                return !self.is_closed;
            }
            if self.is_closed || Instant::now() > until {
                return !self.is_closed;
            }
            match timeout(SILENCE, self.pipe.read(&mut chunk)).await {
                Ok(read) => self.note(read, &chunk),
                Err(_) => return true,
            }
        }
    }
}

pub(super) fn outcome(ended: Result<Outcome, oneshot::error::RecvError>) -> Result<End, SandboxError> {
    match ended {
        Ok(Outcome::Ended(end)) => Ok(end),
        Ok(Outcome::NotStarted(why)) => Err(SandboxError::Command(why)),
        Err(_) => Err(SandboxError::Gone),
    }
}

/// Reads and forgets, so that what runs on is not stopped by a full or broken pipe.
async fn swallow(mut pipe: Receiver, ending: CancellationToken) {
    let mut chunk = vec![0; 4096];
    loop {
        tokio::select! {
            () = ending.cancelled() => return,
            read = pipe.read(&mut chunk) => if !matches!(read, Ok(1..)) { return },
        }
    }
}

/// Keeps watching the disk for what a command left running, until that has ended too. Where there are no groups nobody can
/// tell whether something was left, so the watch lasts until the next command brings its own, and ends the whole sandbox.
async fn linger(inner: Arc<Inner>, id: u64, groups: CommandGroups, guard: Guard) {
    let is_over = || if groups.exist() { !groups.are_populated() } else { inner.next.load(Ordering::Relaxed) > id + 1 };
    while !is_over() {
        tokio::select! {
            () = inner.ending.cancelled() => return,
            () = sleep(disk::EVERY) => {}
        }
        if !guard.is_full() {
            continue;
        }
        tracing::warn!("what a command left running used too much of the disk and is killed");
        if groups.exist() {
            groups.kill().await;
        } else {
            inner.ending.cancel();
            inner.process.end_now();
        }
        return;
    }
}

/// A command that opens its output again by name, as `/dev/stderr`, must be its owner. Only root can and must see to it.
pub(super) fn give_to_commands(pipe: &OwnedFd) {
    if rustix::process::geteuid().is_root() {
        // Root of a container keeps its id inside, and owns the pipe already.
        _ = rustix::fs::fchown(pipe, Some(rustix::fs::Uid::from_raw(NOBODYS_ID)), None);
    }
}

/// Input for a command, which nobody can change.
fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = memfd_create("input", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = std::fs::File::from(file);
    file.write_all(bytes)?;
    io::Seek::rewind(&mut file)?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file.into())
}
