//! The network inside: a loopback interface, and the one listening socket that is handed out for the proxy.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4, TcpListener},
    os::fd::OwnedFd,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, socket_with},
};

use types::Invariant;

use super::{PROXY_PORT, Step, kernel};
use crate::wire::Failure;

/// Switches the loopback on and opens the proxy's socket.
pub(super) fn prepare() -> Result<OwnedFd, Failure> {
    let step = "prepare the network";
    let control = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None).step(step)?;
    let is_up = kernel::loopback_up(&control);
    if Invariant::OnlyProxyOut.is_broken() {
        // Sandboxes that share the host's network cannot all have the same port, nor change its interfaces.
        return Ok(TcpListener::bind(("127.0.0.1", 0)).step(step)?.into());
    }
    is_up.step(step)?;
    Ok(TcpListener::bind(("127.0.0.1", PROXY_PORT)).step(step)?.into())
}

/// Begins a connection to a port of the loopback; whether somebody listens shows when it can be written to. The proxy's port
/// is refused: what is said there is said by commands.
pub(super) fn connect(port: u16) -> io::Result<OwnedFd> {
    if port == PROXY_PORT {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "this port is the way out"));
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}
