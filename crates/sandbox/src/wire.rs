//! The messages between this program and a sandbox's first process: one JSON text per packet over a socket pair, with
//! descriptors beside it. The sandbox's side is written by our own code before and after it confined itself; nothing that
//! runs inside can reach the socket. Still every packet is bounded and a broken one ends the sandbox.

use std::{
    collections::BTreeMap,
    io,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Fixed, ProxyTrust,
    spec::{Profile, Quota},
};

/// The largest packet. The kernel's own default limit for a socket buffer lies a little above.
pub(crate) const MAX_PACKET: usize = 180 * 1024;
/// The most descriptors in one packet.
const MAX_FDS: usize = 8;

/// What the first process must become. Beside it go the descriptors of the groups that it must enter.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// The workspace.
    pub workspace: HostDirectory,
    /// The home, where it is one that stays.
    pub home: Option<HostDirectory>,
    /// The directory that is only read, where there is one.
    pub source: Option<HostDirectory>,
    /// What of the workspace stays as it is, outer directories first.
    pub fixed: Vec<Fixed>,
    /// The owner's extra mounts.
    pub read_only: Vec<HostDirectory>,
    /// Which sockets commands may open.
    pub profile: Profile,
    /// What they may use.
    pub quota: Quota,
    /// Whether memory is not capped by a group, so that each process must be.
    pub cap_each_process: bool,
    /// The environment of every command, beside the fixed part.
    pub env: BTreeMap<String, String>,
    /// Whose certificates commands believe; the host's own roots when none.
    pub proxy: Option<ProxyTrust>,
    /// The promises that a test switched off, as `types::faults` writes them: a process inside has no environment.
    #[cfg(feature = "faults")]
    #[serde(default)]
    pub broken: String,
}

/// A host directory as it was when it was checked. It is refused if it is another one when it is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostDirectory {
    /// Absolute, without links.
    pub path: PathBuf,
    /// The device it lies on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// What this program tells the sandbox.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Build. The first order, once.
    Setup(Box<Setup>),
    /// Run a command.
    Run(Run),
    /// Kill the process group of a command and all its descendants.
    Kill {
        /// Which command.
        id: u64,
    },
    /// Send the process group of a command the signal of Ctrl-C.
    Interrupt {
        /// Which command.
        id: u64,
    },
    /// Connect to a port of the loopback inside. The connection comes along with the news that it is begun.
    Connect {
        /// The number by which it is spoken of.
        id: u64,
        /// The port.
        port: u16,
    },
    /// Kill everything inside but what descends from these commands: for where no groups tell what a command started.
    KillRest {
        /// Which are spared.
        spare: Vec<u64>,
    },
}

/// A command. Beside it go: the pipe for its output unless it gets a terminal, another for its standard error if `has_error`, what it reads if
/// `has_input`, the program if `Program::Given`, and the descriptors of the groups it must enter.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The number by which it is spoken of.
    pub id: u64,
    /// What to run.
    pub program: Program,
    /// Where, relative to the workspace.
    pub directory: Option<String>,
    /// More environment variables.
    pub env: BTreeMap<String, String>,
    /// Whether standard error has a descriptor of its own.
    pub has_error: bool,
    /// Whether a descriptor to read from comes along.
    pub has_input: bool,
    /// The size of the terminal that is its input and output, where it gets one.
    pub terminal: Option<TerminalSize>,
}

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// What to run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Program {
    /// A script for the shell.
    Shell(String),
    /// A program with its arguments, its name first. A name without a slash is looked for in the `PATH` that it gets. That
    /// it was started is told.
    Named(Vec<String>),
    /// The program whose descriptor comes along, with these arguments: our own self-test.
    Given(Vec<String>),
}

/// What the sandbox tells this program.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum News {
    /// The process that stays exists; its process descriptor comes along.
    Born,
    /// It is built and confined, and takes commands. The proxy's listening socket comes along.
    Ready,
    /// It could not be built.
    Failed(Failure),
    /// A named program was started, and our side of its terminal comes along if it has one; or a connection was begun, which
    /// comes along.
    Started {
        /// Which.
        id: u64,
    },
    /// A command could not be started.
    NotStarted {
        /// Which.
        id: u64,
        /// Why.
        why: String,
    },
    /// A command has ended.
    Ended {
        /// Which.
        id: u64,
        /// How.
        end: End,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// Why a sandbox could not be built.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// What kind of failure, where that matters to the owner.
    pub kind: FailureKind,
    /// The step.
    pub step: String,
    /// What the kernel answered.
    pub why: String,
}

/// The failures that have a remedy of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FailureKind {
    /// User namespaces are refused.
    UserNamespaces,
    /// There is no Landlock.
    Landlock,
    /// The workspace's file system cannot map ids.
    IdMapping,
    /// Anything else.
    Other,
}

/// Encodes a message. Fails when it is too large for one packet.
pub(crate) fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let bytes = serde_json::to_vec(message).map_err(io::Error::other)?;
    if bytes.len() > MAX_PACKET {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the command with its environment is too long; write it to a file and run that",
        ));
    }
    Ok(bytes)
}

/// Sends one packet. Blocks, or not, as the socket is set.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// A received message with its descriptors, or none when the other side is gone.
pub(crate) type Received<T> = Option<(T, Vec<OwnedFd>)>;

/// Receives one packet into `buffer`, which must hold [`MAX_PACKET`] bytes.
pub(crate) fn receive<T: DeserializeOwned>(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Received<T>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet was too large"));
    }
    let packet = buffer.get(..got.bytes).unwrap_or_default();
    let message = serde_json::from_slice(packet).map_err(io::Error::other)?;
    Ok(Some((message, fds)))
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    #[test]
    fn packets_keep_their_descriptors_and_their_bounds() -> io::Result<()> {
        let (one, two) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let (reader, _writer) = rustix::pipe::pipe()?;
        let news = News::Ended { id: 7, end: End::Code(0) };
        send(one.as_fd(), &encode(&news)?, &[reader.as_fd()])?;
        let mut buffer = vec![0; MAX_PACKET];
        let received: Received<News> = receive(&two, &mut buffer)?;
        assert!(matches!(received, Some((News::Ended { id: 7, end: End::Code(0) }, fds)) if fds.len() == 1));
        let long = Order::Run(Run {
            id: 1,
            program: Program::Shell("x".repeat(MAX_PACKET)),
            directory: None,
            env: BTreeMap::new(),
            has_error: false,
            has_input: false,
            terminal: None,
        });
        assert!(encode(&long).is_err());
        drop(one);
        assert!(matches!(receive::<News>(&two, &mut buffer), Ok(None)));
        Ok(())
    }
}
