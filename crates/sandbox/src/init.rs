//! The inside: what the first process of a sandbox does. It is this program, started again, with one thread. It enters its
//! groups and namespaces, builds the file tree, gives up every right, and then runs commands as PID 1. Must not do anything
//! that depends on what commands wrote. Start with [`run`].

mod account;
mod confine;
mod devices;
mod kernel;
mod kernel_files;
mod kill;
mod landlock;
mod mount;
mod network;
mod run_command;
mod seccomp;
mod serve;
mod syscalls;
mod system_files;
mod terminal;
mod tree;
mod trust_files;

use std::{
    fs::File,
    io,
    io::Write,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::SocketType;
use types::Invariant;

use crate::wire::{Failure, FailureKind, MAX_PACKET, News, Order, Setup, encode, receive, send};

use account::Account;

pub(crate) use account::NOBODYS_ID;

/// Where the workspace is seen inside.
pub const WORKSPACE: &str = "/workspace";
/// Where the directory is that commands only read.
pub(crate) const SOURCE: &str = "/source";
/// The home directory inside.
pub const HOME: &str = "/home/agent";
/// The port of the proxy inside.
pub(crate) const PROXY_PORT: u16 = 3128;
/// The descriptor of the socket to the outside, while it is being set up.
const SOCKET: i32 = 3;

/// A failed step of building.
pub(crate) fn failed(step: &str, why: impl std::fmt::Display) -> Failure {
    Failure { kind: FailureKind::Other, step: step.to_owned(), why: why.to_string() }
}

/// Names the step in an error.
trait Step<T> {
    fn step(self, name: &str) -> Result<T, Failure>;
}

impl<T, E: std::fmt::Display> Step<T> for Result<T, E> {
    fn step(self, name: &str) -> Result<T, Failure> {
        self.map_err(|error| failed(name, error))
    }
}

/// Becomes a sandbox. Standard input is the socket to the program that wants it.
pub(crate) fn run() -> ! {
    let Ok(socket) = claim_socket(SocketType::SEQPACKET) else { kernel::exit_now(2) };
    if let Err(failure) = build(socket.as_fd())
        && let Ok(bytes) = encode(&News::Failed(failure))
    {
        // When nobody listens any more there is nobody to tell.
        _ = send(socket.as_fd(), &bytes, &[]);
    }
    kernel::exit_now(1)
}

/// Takes the socket that standard input is, moves it out of the way and leaves nothing else open but the null device. Only
/// before anything else in this process has opened something.
pub(crate) fn claim_socket(expected: SocketType) -> io::Result<OwnedFd> {
    let input = kernel::take(0);
    let (domain, kind) = (rustix::net::sockopt::socket_domain(&input)?, rustix::net::sockopt::socket_type(&input)?);
    if domain != rustix::net::AddressFamily::UNIX || kind != expected {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    kernel::close_from(SOCKET.unsigned_abs())?;
    let socket = rustix::io::fcntl_dupfd_cloexec(&input, SOCKET)?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for number in 0..3 {
        kernel::place(null.as_fd(), number)?;
    }
    // Number 0 is the null device from here on and is never closed.
    std::mem::forget(input);
    Ok(socket)
}

/// Everything from the first order to the end of the sandbox. Returns only on failure.
fn build(socket: BorrowedFd<'_>) -> Result<(), Failure> {
    let mut buffer = vec![0; MAX_PACKET];
    let Some((Order::Setup(setup), groups)) = receive::<Order>(socket, &mut buffer).step("read the specification")?
    else {
        return Err(failed("read the specification", "there was none"));
    };
    #[cfg(feature = "faults")]
    types::faults::set_broken(&setup.broken);
    enter_groups(&groups).step("enter the control groups")?;
    drop(groups);
    rustix::process::setsid().step("leave the session")?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // A missing keyring facility is as good as an empty keyring.
    _ = kernel::join_new_keyring();
    let account = Account::choose()?;
    let ids = account.enter_namespaces(&setup)?;
    // The process that stays is not this one, which is outside of the new process namespace, but a sibling of it.
    match kernel::fork(libc::CLONE_PARENT).step("make the first process")? {
        kernel::Fork::Parent(_, descriptor) => {
            let told = encode(&News::Born).and_then(|bytes| send(socket, &bytes, &[descriptor.as_fd()]));
            kernel::exit_now(i32::from(told.is_err()));
        }
        kernel::Fork::Child => first_process(socket, &setup, &ids, buffer),
    }
}

fn first_process(socket: BorrowedFd<'_>, setup: &Setup, ids: &account::Ids, buffer: Vec<u8>) -> Result<(), Failure> {
    let proxy = network::prepare()?;
    tree::build(setup, ids)?;
    ids.leave_root()?;
    or_nothing(confine::give_up_rights(setup))?;
    or_nothing(landlock::confine(setup.profile))?;
    let signals = kernel::child_signals().step("watch for ended processes")?;
    or_nothing(seccomp::confine(setup.profile))?;
    let ready = encode(&News::Ready).step("say that it is ready")?;
    send(socket, &ready, &[proxy.as_fd()]).step("say that it is ready")?;
    drop(proxy);
    serve::serve(socket, &signals, &setup.env, buffer)
}

/// A fence that cannot be put up ends the building.
fn or_nothing(fence: Result<(), Failure>) -> Result<(), Failure> {
    if Invariant::SandboxOrNothing.is_broken() { Ok(()) } else { fence }
}

/// Moves this process into every group whose list of members was handed over.
pub(crate) fn enter_groups(lists: &[OwnedFd]) -> io::Result<()> {
    for list in lists {
        // A duplicate, so that the file's end does not close the caller's descriptor.
        File::from(list.try_clone()?).write_all(b"0")?;
    }
    Ok(())
}
