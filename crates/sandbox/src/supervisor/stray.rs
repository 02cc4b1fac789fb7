//! The end of a supervisor that cannot be understood: one of another version, or one that answers nothing. It is killed, which
//! ends its sandbox, and what it left is cleaned up. Start with [`put_down`].

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    io::Errno,
    net::sockopt::socket_peercred,
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid},
};
use tokio::{io::Interest, time::timeout};

use super::client::{END, Supervised, clean, knock};
use crate::{SandboxError, running::watch};

impl Supervised {
    /// Ends the supervisor that lives in a directory, whatever it speaks, and says whether there was one. Its records stay.
    ///
    /// # Errors
    /// Another daemon is attached to it, or it cannot be ended.
    pub async fn put_down(directory: &Path) -> Result<bool, SandboxError> {
        match Self::attach(directory).await {
            Ok(None) => Ok(false),
            Ok(Some(attached)) => {
                attached.supervised.end().await;
                Ok(true)
            }
            Err(SandboxError::Foreign(why)) => {
                tracing::warn!(directory = %directory.display(), why, "a supervisor that is not understood is killed");
                kill(directory).await.map_err(SandboxError::process("killed"))
            }
            Err(error) => Err(error),
        }
    }
}

/// Kills whoever listens in a directory, waits for the end and cleans up. False where nobody listens any more.
async fn kill(directory: &Path) -> io::Result<bool> {
    let Some(process) = listener(directory).await? else { return Ok(false) };
    let process = watch(process, Interest::READABLE)?;
    match pidfd_send_signal(process.get_ref(), Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => return Err(error.into()),
    }
    let ended = timeout(END, process.readable()).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
    ended?.retain_ready();
    // Only where this program is the one that buries orphans.
    _ = waitid(WaitId::PidFd(process.get_ref().as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    let directory = directory.to_owned();
    tokio::task::spawn_blocking(move || clean(&directory)).await.map_err(io::Error::other)??;
    Ok(true)
}

/// A descriptor of the process that listens in a directory. The socket tells whose it is by number, and a number may come to
/// mean another process at any moment: it counts only if the same one still listens after the descriptor was made, because then
/// it has lived all the while.
async fn listener(directory: &Path) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = listening(directory).await? else { return Ok(None) };
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok((listening(directory).await? == Some(pid)).then_some(process))
}

async fn listening(directory: &Path) -> io::Result<Option<Pid>> {
    let Some(socket) = knock(directory).await? else { return Ok(None) };
    Ok(Some(socket_peercred(&socket)?.pid))
}
