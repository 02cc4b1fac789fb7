//! Starting the process that becomes a supervisor. It must not be this program's child, because it outlives it and nobody would
//! bury it: a first process starts the second one and ends at once.

use std::{
    fs::DirBuilder, io, os::fd::OwnedFd, os::unix::fs::DirBuilderExt, os::unix::process::CommandExt, path::Path,
    process::Stdio,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use types::SessionId;

use super::{
    MAX_CUSTODY, SupervisedSpec,
    frames::{Incoming, Outgoing, connection},
    protocol::{Begin, Order},
};
use crate::{
    Launcher, SandboxError,
    launcher::{SUPERVISOR, SUPERVISOR_STAYS},
};

/// Starts the process and gives the connection to it.
pub(super) async fn start_process() -> Result<(Incoming, Outgoing), SandboxError> {
    let started = tokio::task::spawn_blocking(start_first).await;
    let socket = started.map_err(io::Error::other).flatten().map_err(SandboxError::process("started"))?;
    connection(socket).map_err(SandboxError::process("spoken to"))
}

fn start_first() -> io::Result<OwnedFd> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let path = Launcher::chosen().path().to_owned();
    let status = program(&path, SUPERVISOR).stdin(theirs).status()?;
    if status.success() { Ok(ours) } else { Err(io::Error::other(format!("its first process ended with {status}"))) }
}

/// What the first process does.
pub(crate) fn start_second() -> ! {
    let started = rustix::process::setsid().map_err(io::Error::from).and_then(|_| {
        let mut command = program(Path::new("/proc/self/exe"), SUPERVISOR_STAYS);
        command.stdin(Stdio::inherit()).process_group(0).spawn().map(drop)
    });
    std::process::exit(i32::from(started.is_err()))
}

/// This program, with nothing of its surroundings.
#[expect(clippy::disallowed_methods, reason = "the other process that is started on the host: this program")]
fn program(path: &Path, verb: &str) -> std::process::Command {
    let mut command = std::process::Command::new(path);
    command.arg0("factotum-supervisor").arg(verb).env_clear().current_dir("/");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// What a supervisor begins with, and custody apart. Makes its directory if there is none.
pub(super) fn begin(spec: SupervisedSpec, session: Option<SessionId>) -> Result<(Order, Vec<u8>), SandboxError> {
    let SupervisedSpec { sandbox, directory, custody, limits } = spec;
    if custody.len() > MAX_CUSTODY {
        return Err(SandboxError::Supervisor(format!("more than {MAX_CUSTODY} bytes are to be kept")));
    }
    match DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            let why = format!("{} cannot be made: {error}", directory.display());
            return Err(SandboxError::Supervisor(why));
        }
        Ok(()) | Err(_) => {}
    }
    let begin = Begin {
        directory,
        limits,
        sandbox: sandbox.into(),
        session,
        #[cfg(feature = "faults")]
        broken: types::faults::broken(),
    };
    Ok((Order::Begin(Box::new(begin)), custody))
}
