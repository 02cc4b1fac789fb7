//! Doubles of places that take logs: a syslog server over TCP and a web server that takes NDJSON, with their faults.

mod syslog;
mod web;

pub use syslog::SyslogServer;
pub use web::{LogServer, WebFault};

/// The number of each record in these lines of JSON.
pub fn numbers(lines: &[String]) -> Vec<u64> {
    lines.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?.get("seq")?.as_u64()).collect()
}
