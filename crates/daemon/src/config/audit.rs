//! `[audit]`: how the audit log is kept, and where it is shipped to.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Deserialize;
use types::SecretName;

/// `[audit]`
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// A file of the log of so many megabytes is put aside, and the log goes on in another one.
    pub rotate_mb: u64,
    /// The socket of the writer that `factotum audit-writer` runs as another user, so that this one can append to the log
    /// but not change it. Absent: the daemon writes the log itself, into the home.
    pub socket: Option<PathBuf>,
    /// Where that writer keeps the log; /var/lib/factotum-audit/audit.log when absent. Read only.
    pub log: Option<PathBuf>,
    /// No shipping, no exec: calls that change anything are refused while a target cannot be reached or lags too far
    /// behind.
    pub require_shipping: bool,
    /// How old the oldest record that was not shipped may be, in seconds, before you are told, and before calls are
    /// refused if shipping is required.
    pub max_lag_s: u64,
    /// Where the log is shipped to, each under a name of your choice. Another name begins from the first record again.
    pub ship: BTreeMap<String, ShipConfig>,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { rotate_mb: 64, socket: None, log: None, require_shipping: false, max_lag_s: 60, ship: BTreeMap::new() }
    }
}

impl AuditConfig {
    /// The log's file, for a home.
    pub fn log_path(&self, home: &Path) -> PathBuf {
        match (&self.socket, &self.log) {
            (None, _) => home.join("audit.log"),
            (Some(_), Some(log)) => log.clone(),
            (Some(_), None) => PathBuf::from("/var/lib/factotum-audit/audit.log"),
        }
    }

    /// How far shipping may be behind.
    pub fn max_lag(&self) -> Duration {
        Duration::from_secs(self.max_lag_s)
    }
}

/// `[audit.ship.NAME]`
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ShipConfig {
    /// Files that only grow, for rsync or a mounted disk.
    Directory {
        /// The directory: absolute, outside of every workspace.
        path: PathBuf,
        /// A file of so many megabytes is full.
        #[serde(default = "segment_mb")]
        segment_mb: u64,
    },
    /// A syslog server: RFC 5424 over TLS (RFC 5425), or over TCP with octet counting (RFC 6587). It must take messages
    /// of 320 KiB.
    Syslog {
        /// The server's name or address.
        host: String,
        /// Its port; 6514 with TLS and 601 without when absent.
        #[serde(default)]
        port: Option<u16>,
        /// Whether to encrypt. Without it everybody on the way reads the log.
        #[serde(default = "yes")]
        tls: bool,
        /// A PEM file of the authorities to trust in place of the system's.
        #[serde(default)]
        ca: Option<PathBuf>,
    },
    /// A server that takes one JSON object a line (NDJSON) by POST; any 2xx confirms all of them.
    Https {
        /// The address.
        url: String,
        /// A secret that goes along as `Authorization: Bearer`.
        #[serde(default)]
        secret: Option<SecretName>,
    },
}

fn segment_mb() -> u64 {
    16
}

fn yes() -> bool {
    true
}
