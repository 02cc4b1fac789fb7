//! `[network]` and `[web]`: what is true of this machine's network, and what the `fetch` tool may reach.

use std::{net::IpAddr, path::PathBuf};

use egress::{Prefix, RuleConfig};
use schemars::JsonSchema;
use serde::Deserialize;

/// `[network]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// The addresses under which this machine is seen from outside, where a router or a cloud translates them. Its
    /// interfaces' own are known.
    pub public_addresses: Vec<IpAddr>,
    /// The prefixes by which your network reaches IPv4 over IPv6 (NAT64), such as `2001:db8:64::/96`. The standard ones are
    /// known.
    pub nat64_prefixes: Vec<String>,
}

impl NetworkConfig {
    /// The prefixes, read; the error is the first that is none.
    pub fn nat64(&self) -> Result<Vec<Prefix>, String> {
        let read = |text: &String| text.parse::<Prefix>().ok().filter(|prefix| prefix.is_nat64()).ok_or(text.clone());
        self.nat64_prefixes.iter().map(read).collect()
    }
}

/// `[web]`: the `fetch` tool. It may reach what the workspace's own egress rules allow, and these.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// The public hosts: names, `*.example.com`, or `*` alone for all.
    pub hosts: Vec<String>,
    /// Hosts that are never reached, whatever else allows them.
    pub deny: Vec<String>,
    /// Files in PEM with further certificate authorities that servers may be verified against.
    pub extra_ca: Vec<PathBuf>,
    /// The most KiB of one page.
    pub max_kib: u64,
    /// The most seconds that one page may take, with all its redirects.
    pub timeout_s: u64,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self { hosts: vec!["*".to_owned()], deny: Vec::new(), extra_ca: Vec::new(), max_kib: 5 * 1024, timeout_s: 30 }
    }
}

impl WebConfig {
    /// Whether every public host may be reached.
    pub fn is_open(&self) -> bool {
        self.hosts.iter().any(|host| host == "*")
    }

    /// The rules for the hosts that are named: https with every method, since what may be sent is judged call by call.
    pub fn rules(&self) -> Vec<RuleConfig> {
        let rule = |host: &String, deny| RuleConfig {
            host: host.clone(),
            deny,
            methods: if deny { Vec::new() } else { vec!["*".to_owned()] },
            max_down_kib: self.max_kib,
            ..RuleConfig::default()
        };
        let denied = self.deny.iter().map(|host| rule(host, true));
        denied.chain(self.hosts.iter().filter(|host| *host != "*").map(|host| rule(host, false))).collect()
    }
}
