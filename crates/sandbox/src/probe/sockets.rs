//! The network: kinds of sockets that must not exist, and addresses that must not be reached.

use std::{
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use super::{
    Attempt, Baits, Only, attempt,
    calls::{is_refused, raw},
};

const STREAM: i32 = libc::SOCK_STREAM;
const DATAGRAM: i32 = libc::SOCK_DGRAM;
const RAW: i32 = libc::SOCK_RAW;

pub(super) const ALL: &[Attempt] = &[
    attempt("vsock", "speak to the virtual machine's host", |_| no_socket(libc::AF_VSOCK, STREAM, 0)),
    attempt("alg", "use the kernel's ciphers", |_| no_socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)),
    attempt("packet", "see the wire", |_| {
        no_socket(libc::AF_PACKET, RAW, 0) && no_socket(libc::AF_PACKET, DATAGRAM, 0)
    }),
    attempt("rxrpc", "use RxRPC", |_| no_socket(libc::AF_RXRPC, DATAGRAM, libc::AF_INET)),
    attempt("bluetooth", "use Bluetooth", |_| (0..8).all(|protocol| no_socket(libc::AF_BLUETOOTH, RAW, protocol))),
    attempt("other-families", "use any other family of sockets", |_| other_families()),
    attempt("raw", "send raw packets", |_| {
        no_socket(libc::AF_INET, RAW, libc::IPPROTO_ICMP) && no_socket(libc::AF_INET6, RAW, libc::IPPROTO_ICMPV6)
    }),
    attempt("udp", "send datagrams", |_| {
        no_socket(libc::AF_INET, DATAGRAM, 0) && no_socket(libc::AF_INET6, DATAGRAM, 0)
    }),
    attempt("other-transports", "use SCTP, DCCP, MPTCP and UDP-Lite", |_| {
        [libc::IPPROTO_SCTP, libc::IPPROTO_DCCP, libc::IPPROTO_MPTCP, libc::IPPROTO_UDPLITE].iter().all(|protocol| {
            [STREAM, DATAGRAM, libc::SOCK_SEQPACKET].iter().all(|kind| no_socket(libc::AF_INET, *kind, *protocol))
        })
    }),
    attempt("netlink", "speak to parts of the kernel other than its routes", |_| {
        (1..32).all(|protocol| {
            no_socket(libc::AF_NETLINK, RAW, protocol) && no_socket(libc::AF_NETLINK, DATAGRAM, protocol)
        })
    }),
    attempt("strict-sockets", "open UNIX sockets and read routes in the strict profile", |_| strict_sockets())
        .only(Only::Strict),
    attempt("abstract-socket", "speak to an abstract UNIX socket of the host", no_abstract),
    attempt("interfaces", "find a network interface beside the loopback", |_| only_loopback()),
    attempt("outside-tcp", "connect to the internet", |_| {
        ["203.0.113.1:80", "[2001:db8::1]:443", "198.51.100.7:53"].iter().all(|address| unreachable(address))
    }),
    attempt("metadata", "connect to a cloud's metadata service", |_| {
        ["169.254.169.254:80", "168.63.129.16:80", "[fd00:ec2::254]:80"].iter().all(|address| unreachable(address))
    }),
    attempt("private-networks", "connect to neighbours", |_| {
        ["10.0.0.1:22", "172.17.0.1:2375", "192.168.0.1:80"].iter().all(|address| unreachable(address))
    }),
    attempt("host-loopback", "connect to the host's loopback", |baits| {
        connect(&format!("127.0.0.1:{}", baits.port)).is_err() && connect(&format!("[::1]:{}", baits.port)).is_err()
    }),
];

fn no_socket(family: i32, kind: i32, protocol: i32) -> bool {
    let number = |value: i32| value as usize;
    is_refused(libc::SYS_socket, &[number(family), number(kind), number(protocol)])
}

/// Every number that is not one of the four families that exist inside, with the kinds that such families use.
fn other_families() -> bool {
    let inside = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    (0..64).filter(|family| !inside.contains(family)).all(|family| (1..6).all(|kind| no_socket(family, kind, 0)))
}

fn strict_sockets() -> bool {
    no_socket(libc::AF_UNIX, STREAM, 0) && no_socket(libc::AF_NETLINK, RAW, 0) && no_listening()
}

/// Only a kernel whose Landlock knows TCP can refuse this; elsewhere the private loopback is all that it reaches.
fn no_listening() -> bool {
    let landlock = raw(libc::SYS_landlock_create_ruleset, &[0, 0, 1]).unwrap_or(0);
    landlock < 4 || std::net::TcpListener::bind("127.0.0.1:0").is_err()
}

fn no_abstract(baits: &Baits) -> bool {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(baits.abstract_name.as_bytes());
    address.is_ok_and(|address| std::os::unix::net::UnixStream::connect_addr(&address).is_err())
}

fn only_loopback() -> bool {
    fs::read_to_string("/proc/net/dev").is_ok_and(|table| {
        table.lines().skip(2).all(|line| line.split(':').next().is_some_and(|name| name.trim() == "lo"))
    })
}

#[expect(clippy::disallowed_methods, reason = "an attempt that must fail")]
fn connect(address: &str) -> Result<TcpStream, ErrorKind> {
    let address: SocketAddr = address.parse().map_err(|_| ErrorKind::InvalidInput)?;
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).map_err(|error| error.kind())
}

/// Whether there is no way to an address, which shows at once; waiting for an answer would mean that something was sent. Not
/// even tried where there is an interface by which it could be.
fn unreachable(address: &str) -> bool {
    if !only_loopback() {
        return false;
    }
    let begun = Instant::now();
    let refused = matches!(
        connect(address),
        Err(ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable
            | ErrorKind::PermissionDenied
            | ErrorKind::AddrNotAvailable)
    );
    refused && begun.elapsed() < Duration::from_millis(500)
}
