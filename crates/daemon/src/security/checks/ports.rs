//! What listens on this machine, and where. Reported, never changed.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::text;
use crate::{
    Config,
    security::{Finding, Severity},
};

/// The state of a listening socket in `/proc/net/tcp` (`TCP_LISTEN` of `include/net/tcp_states.h`).
const LISTENING: &str = "0A";

/// Programs that nobody should reach from outside, by their usual port.
const INNER: &[(u16, &str)] = &[
    (2375, "the Docker API"),
    (2376, "the Docker API"),
    (3306, "MySQL"),
    (5432, "PostgreSQL"),
    (6379, "Redis"),
    (8080, "a web service"),
    (9200, "Elasticsearch"),
    (11211, "memcached"),
    (11434, "Ollama"),
    (27017, "MongoDB"),
];

/// Looks at the listening sockets.
pub(super) fn run(config: &Config) -> Vec<Finding> {
    let sockets = listening(&text("/proc/net/tcp").unwrap_or_default(), &text("/proc/net/tcp6").unwrap_or_default());
    let mut findings = Vec::new();
    let ours = config.api.listen.port();
    let public: Vec<&SocketAddr> = sockets.iter().filter(|address| !address.ip().is_loopback()).collect();
    if ours != 0 && public.iter().any(|address| address.port() == ours) {
        findings.push(Finding::new(
            "api.public",
            Severity::Critical,
            format!("something listens on port {ours}, the API's, on an address that is not loopback"),
            "whoever reaches this machine can try to log in to the agent",
            "set `listen = \"127.0.0.1:PORT\"` under [api], and find what forwards the port: ss -ltnp",
        ));
    }
    let mut inner: BTreeMap<u16, &str> = BTreeMap::new();
    inner.extend(INNER.iter().filter(|(port, _)| public.iter().any(|address| address.port() == *port)).copied());
    for (port, what) in inner {
        let (severity, hint) = match port {
            2375 => (Severity::Critical, "whoever reaches it is root on this machine"),
            _ => (Severity::Medium, "services of this kind are often without a password"),
        };
        findings.push(Finding::new(
            "machine.port",
            severity,
            format!("port {port} ({what}) is open on an address that is not loopback"),
            hint,
            "bind it to 127.0.0.1, or close the port in the firewall",
        ));
    }
    let others: Vec<String> = public
        .iter()
        .map(|address| address.port())
        .filter(|port| *port != ours && *port != 22 && !INNER.iter().any(|(known, _)| known == port))
        .collect::<std::collections::BTreeSet<u16>>()
        .iter()
        .map(ToString::to_string)
        .collect();
    if !others.is_empty() {
        findings.push(Finding::new(
            "machine.services",
            Severity::Info,
            format!("other services listen on ports {}", others.join(", ")),
            "each is one more program that may have a fault",
            "stop what you do not need: ss -ltnp",
        ));
    }
    findings
}

/// The listening sockets of both files.
fn listening(v4: &str, v6: &str) -> Vec<SocketAddr> {
    v4.lines()
        .chain(v6.lines())
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let local = fields.next()?;
            (fields.nth(1)? == LISTENING).then(|| address(local)).flatten()
        })
        .collect()
}

/// `0100007F:1E25`: the address in the machine's byte order, word by word, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<u32>> = ip
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok().map(in_network_order))
        .collect();
    let ip = match words?.as_slice() {
        [word] => IpAddr::V4(Ipv4Addr::from(*word)),
        [a, b, c, d] => {
            let bits = [a, b, c, d].iter().fold(0_u128, |bits, word| bits << 32 | u128::from(**word));
            let ip = Ipv6Addr::from(bits);
            ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The kernel prints each word as the machine holds it; addresses are in network order.
fn in_network_order(word: u32) -> u32 {
    u32::from_be_bytes(word.to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_table_is_read() {
        let v4 = "  sl  local_address rem_address   st\n   0: 0100007F:1E25 00000000:0000 0A 0\n   1: 00000000:0016 00000000:0000 0A 0\n   2: 0100007F:1E25 0100007F:AAAA 01 0\n";
        let v6 = "  sl  local\n   0: 00000000000000000000000001000000:0050 0 0A 0\n   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0\n";
        let shown: Vec<String> = listening(v4, v6).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.0.0.1:7717", "0.0.0.0:22", "[::1]:80", "[::1]:80"]);
    }
}
