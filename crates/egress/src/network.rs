//! The view of the network that a judge has: who resolves, which addresses are this machine's own, which sockets nobody
//! may reach. Given from outside, so that tests play the internet within a network namespace. Must not judge.

use std::{
    collections::BTreeSet,
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use crate::{
    address::{AddressRules, Prefix},
    resolve::{Resolve, SystemResolver},
};

/// Where the addresses of this machine's interfaces come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interfaces {
    /// From the kernel, anew at each question: they change while the daemon runs.
    System,
    /// From this list; for tests.
    Fixed(Vec<IpAddr>),
}

/// Everything about the network that does not come from rules. Cheap to clone.
#[derive(Clone)]
pub struct Network {
    /// Finds addresses.
    pub resolver: Arc<dyn Resolve>,
    /// This machine's own addresses.
    pub interfaces: Interfaces,
    /// The addresses under which this machine is seen from outside; `interfaces` there is ignored.
    pub addresses: Arc<AddressRules>,
    /// Sockets that no rule opens: the agent's own API. An unspecified address stands for every own address.
    pub guarded: Arc<[SocketAddr]>,
}

impl Network {
    /// The real network: the system's resolver and interfaces, with the owner's public addresses and local NAT64 prefixes,
    /// and the sockets of our own API.
    pub fn system(public: Vec<IpAddr>, nat64: Vec<Prefix>, guarded: Vec<SocketAddr>) -> Self {
        Self {
            resolver: Arc::new(SystemResolver::default()),
            interfaces: Interfaces::System,
            addresses: Arc::new(AddressRules { public, nat64, ..AddressRules::default() }),
            guarded: guarded.into(),
        }
    }

    /// What is known about addresses at this moment. Fails if the kernel does not say which are this machine's.
    pub fn address_rules(&self) -> io::Result<AddressRules> {
        let interfaces = match &self.interfaces {
            Interfaces::System => own_addresses()?,
            Interfaces::Fixed(list) => list.clone(),
        };
        Ok(AddressRules { interfaces, ..(*self.addresses).clone() })
    }

    /// Whether nobody may connect there, whatever the rules say.
    pub fn is_guarded(&self, address: SocketAddr, own: &AddressRules) -> bool {
        let plain = |ip: IpAddr| ip.to_canonical();
        self.guarded.iter().any(|guarded| {
            let is_own = || plain(address.ip()).is_loopback() || own.interfaces.contains(&plain(address.ip()));
            guarded.port() == address.port()
                && (plain(guarded.ip()) == plain(address.ip()) || (guarded.ip().is_unspecified() && is_own()))
        })
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("guarded", &self.guarded).finish_non_exhaustive()
    }
}

/// The addresses of this machine's interfaces, from the kernel's own tables.
fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let v4 = parse_fib_trie(&read("/proc/self/net/fib_trie")?).into_iter().map(IpAddr::V4);
    let v6 = parse_if_inet6(&read("/proc/self/net/if_inet6")?).into_iter().map(IpAddr::V6);
    Ok(v4.chain(v6).collect())
}

/// A table of the kernel; a kernel without that protocol has no such table.
fn read(path: &str) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        result => result,
    }
}

/// Local addresses are the lines `|-- ADDRESS` that are followed by `/32 host LOCAL`.
fn parse_fib_trie(text: &str) -> BTreeSet<Ipv4Addr> {
    let mut found = BTreeSet::new();
    let mut last = None;
    for line in text.lines() {
        let line = line.trim_start_matches([' ', '+', '|', '-']);
        if let Ok(address) = line.trim_end().parse::<Ipv4Addr>() {
            last = Some(address);
        } else if line.contains("/32 host LOCAL") {
            found.extend(last);
        }
    }
    found
}

/// The first column is the address, 32 hexadecimal digits.
fn parse_if_inet6(text: &str) -> BTreeSet<Ipv6Addr> {
    let first = text.lines().filter_map(|line| line.split_whitespace().next());
    first
        .filter(|hex| hex.len() == 32)
        .filter_map(|hex| u128::from_str_radix(hex, 16).ok())
        .map(Ipv6Addr::from)
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_read_from_the_kernels_tables() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.1.2.0\n        /24 link UNICAST\n     |-- 10.1.2.3\n        \
                    /32 host LOCAL\n     |-- 10.1.2.255\n        /32 link BROADCAST\nLocal:\n     |-- 127.0.0.1\n        \
                    /32 host LOCAL\n";
        let expected = ["10.1.2.3", "127.0.0.1"].map(|text| text.parse::<Ipv4Addr>().unwrap());
        assert_eq!(parse_fib_trie(trie), BTreeSet::from(expected));
        let inet6 =
            "fe80000000000000021122fffe334455 02 40 20 80     eth0\n00000000000000000000000000000001 01 80 10 80 lo\n";
        let expected = ["fe80::211:22ff:fe33:4455", "::1"].map(|text| text.parse::<Ipv6Addr>().unwrap());
        assert_eq!(parse_if_inet6(inet6), BTreeSet::from(expected));
    }

    #[test]
    fn this_machine_has_a_loopback_address() {
        let own = own_addresses().unwrap();
        assert!(own.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)), "{own:?}");
    }
}
