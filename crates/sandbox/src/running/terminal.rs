//! A program at a terminal of its own, seen from outside: what it shows is read, what a person types is written.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use policy::Grant;
use rustix::{
    io::Errno,
    termios::{Winsize, tcsetwinsize},
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    ExitStatus, Sandbox, SandboxError, TerminalSize,
    supervisor::Connect,
    wire::{Order, Program, Run},
};

use super::{
    Inner,
    exec::{KILLED, outcome},
    piped::{Ending, Piped, failed},
    watched::watch,
};

/// A program to start at a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalProgram {
    /// Its arguments, its name first; looked for in the `PATH` that it gets.
    pub argv: Vec<String>,
    /// Its environment, beside the sandbox's own.
    pub env: BTreeMap<String, String>,
    /// Where it starts, relative to the workspace; the workspace itself when none.
    pub directory: Option<String>,
    /// The terminal's size at first.
    pub size: TerminalSize,
}

/// A program at a terminal. Dropping it hangs the program up.
#[derive(Debug)]
pub struct Terminal {
    program: Piped,
    ours: Line,
}

/// Our side of a terminal.
#[derive(Debug)]
pub(crate) struct Line(AsyncFd<OwnedFd>);

impl Sandbox {
    /// Starts a program at a terminal of its own, without a limit of time.
    pub async fn terminal(&self, grant: &Grant, program: TerminalProgram) -> Result<Terminal, SandboxError> {
        self.inner.require(grant)?;
        self.open_terminal(program).await
    }

    /// The same for the supervisor, whose client holds the right to do so.
    pub(crate) async fn open_terminal(&self, program: TerminalProgram) -> Result<Terminal, SandboxError> {
        let TerminalProgram { argv, env, directory, size } = program;
        let program = Program::Named(argv);
        let run = Run { id: 0, program, directory, env, has_error: false, has_input: false, terminal: Some(size) };
        let (program, ours) = Inner::start_named(&self.inner, run, &[]).await?;
        let ours = ours.ok_or_else(|| SandboxError::Command("its terminal did not come along".to_owned()))?;
        let ours = watch(ours, Interest::READABLE | Interest::WRITABLE).map_err(failed)?;
        Ok(Terminal { program, ours: Line(ours) })
    }

    /// Connects to a port on which a program inside listens. Fails if none does, and for the proxy's port.
    pub async fn connect(&self, grant: &Grant, port: u16) -> Result<OwnedFd, SandboxError> {
        self.inner.require(grant)?;
        Inner::connect(&self.inner, port).await
    }

    /// What connects to a port inside, for as long as the sandbox stands.
    pub(crate) fn connector(&self, port: u16) -> Connect {
        let inner = self.inner.clone();
        Arc::new(move || {
            let inner = inner.clone();
            Box::pin(async move { Inner::connect(&inner, port).await.map_err(|error| error.to_string()) })
        })
    }
}

impl Terminal {
    /// Reads what the program shows; nothing once it and all that it started have let go of the terminal.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.ours.read(buffer).await
    }

    /// Types all of this. Waits while the program does not read.
    pub async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.ours.write_some(bytes).await?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Gives the terminal another size, of which the program is told.
    pub fn resize(&self, size: TerminalSize) -> io::Result<()> {
        self.ours.resize(size)
    }

    /// The program and our side of its terminal, for whoever waits for both at once.
    pub(crate) fn parts(&mut self) -> (&mut Piped, &Line) {
        (&mut self.program, &self.ours)
    }

    /// Waits until the program has ended, kills what it left behind, and says how it ended. Kills it if it uses too much of
    /// the disk. Told once.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut look = interval(Piped::LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ending = self.program.ended() => {
                    self.program.kill(&self.others()).await;
                    return self.status(ending);
                }
                _ = look.tick() => if self.program.is_disk_full() {
                    self.end().await;
                    return ExitStatus::DiskFull;
                }
            }
        }
    }

    /// Kills the program with everything that it started, and waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        let others = self.others();
        match self.program.end(&others).await {
            Ending::Gone => ExitStatus::Cancelled,
            ending => self.status(ending),
        }
    }

    fn others(&self) -> Vec<u64> {
        self.program.inner.link.others(self.program.id)
    }

    fn status(&self, ending: Ending) -> ExitStatus {
        match ending {
            Ending::Code(0) => ExitStatus::Code(0),
            _ if self.program.ran_out_of_memory() => ExitStatus::OutOfMemory,
            Ending::Code(code) => ExitStatus::Code(code),
            Ending::Signal(signal) => ExitStatus::Signal(signal),
            Ending::Gone => ExitStatus::Cancelled,
        }
    }
}

impl Line {
    /// As [`Terminal::read`].
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = |fd: &OwnedFd| match rustix::io::read(fd, &mut *buffer) {
            Err(Errno::IO) => Ok(0),
            other => other.map_err(io::Error::from),
        };
        self.0.async_io(Interest::READABLE, read).await
    }

    /// Types some of this, and says how much. Given up while it waits, it has typed nothing.
    pub async fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        let write = |fd: &OwnedFd| rustix::io::write(fd, bytes).map_err(io::Error::from);
        self.0.async_io(Interest::WRITABLE, write).await
    }

    /// As [`Terminal::resize`].
    pub fn resize(&self, size: TerminalSize) -> io::Result<()> {
        let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(self.0.get_ref().as_fd(), size)?)
    }
}

impl Inner {
    /// Asks the first process for a connection and waits until it is there.
    async fn connect(this: &Arc<Self>, port: u16) -> Result<OwnedFd, SandboxError> {
        let id = this.next_id();
        let connected = async {
            let ended = this.link.expect(id)?;
            let started = this.link.expect_start(id);
            this.link.order(&Order::Connect { id, port }, &[]).await?;
            match started.await {
                Ok(Some(connection)) => established(connection).await.map_err(failed),
                Ok(None) => Err(SandboxError::Gone),
                Err(_) => match outcome(ended.await) {
                    Err(error) => Err(error),
                    Ok(_) => Err(SandboxError::Gone),
                },
            }
        };
        let result = timeout(KILLED, connected).await;
        this.link.forget(id);
        result.unwrap_or_else(|_| Err(SandboxError::Command(format!("nobody answers on port {port}"))))
    }
}

/// Waits until a connection that was begun is there.
async fn established(connection: OwnedFd) -> io::Result<OwnedFd> {
    let watched = watch(connection, Interest::WRITABLE)?;
    watched.writable().await?.retain_ready();
    rustix::net::sockopt::socket_error(watched.get_ref())??;
    Ok(watched.into_inner())
}
