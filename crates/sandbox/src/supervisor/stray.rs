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
            Err(error @ (SandboxError::Foreign(_) | SandboxError::Mute(_))) => {
                tracing::warn!(directory = %directory.display(), %error, "a supervisor that cannot be spoken with is killed");
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

#[cfg(test)]
mod tests {
    use std::{
        error::Error,
        io::Write,
        os::unix::net::{UnixListener, UnixStream},
    };

    use super::{super::client::SOCKET, *};

    /// What looking for a supervisor finds where somebody listens and says this.
    async fn found(says: &'static str) -> Result<Option<SandboxError>, Box<dyn Error>> {
        let directory = tempfile::tempdir()?;
        let listener = UnixListener::bind(directory.path().join(SOCKET))?;
        let speaker =
            std::thread::Builder::new().name("speaker".to_owned()).spawn(move || -> io::Result<UnixStream> {
                let (mut stream, _) = listener.accept()?;
                if !says.is_empty() {
                    let length = u32::try_from(says.len()).map_err(io::Error::other)?.to_le_bytes();
                    stream.write_all(&[&length[..], &[0; 5], says.as_bytes()].concat())?;
                }
                Ok(stream)
            })?;
        let found = Supervised::look(directory.path()).await.err();
        drop(speaker.join().map_err(|_| "the speaker panicked")??);
        Ok(found)
    }

    #[tokio::test]
    async fn another_language_is_told_from_silence() -> Result<(), Box<dyn Error>> {
        let error = found(r#"{"hello":"who is there?"}"#).await?;
        assert!(matches!(error, Some(SandboxError::Foreign(_))), "{error:?}");
        // The clock goes on by itself while everybody waits.
        tokio::time::pause();
        let error = found("").await?;
        assert!(matches!(error, Some(SandboxError::Mute(45))), "{error:?}");
        Ok(())
    }
}
