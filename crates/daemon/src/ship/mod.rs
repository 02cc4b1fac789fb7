//! Shipping the audit log off this machine: one task for each target, which sends what is new and remembers how far it
//! came. It never changes the log, and a target that fails does not hold up another. Start with [`Shipping`].

mod directory;
mod https;
mod shipper;
mod syslog;

use std::{path::Path, sync::Arc, time::Duration};

use egress::{EgressError, Vault};
use store::{
    StoreError,
    audit::{Head, Line},
};
use tokio::sync::watch;
use types::{Clock, Timestamp};

use crate::config::{AuditConfig, ShipConfig};

pub(crate) use shipper::run;

/// The most records of one piece of shipping.
const MAX_RECORDS: usize = 2_000;
/// The most bytes of one, after its first record.
const MAX_BYTES: usize = 1 << 20;

/// Why a target cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// The address or the authorities.
    #[error("audit.ship.{name}: {source}")]
    Client {
        /// The target.
        name: String,
        /// Why.
        source: EgressError,
    },
    /// The file of authorities.
    #[error("audit.ship.{name}.ca: {} cannot be read: {source}", path.display())]
    Authorities {
        /// The target.
        name: String,
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// How far a target is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The last record that it confirmed.
    pub shipped: u64,
    /// When the oldest record was made that it has not confirmed.
    pub oldest: Option<Timestamp>,
    /// Why the last attempt failed; none after one that did not.
    pub error: Option<String>,
}

/// The targets, and whether work may go on without them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shipping(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    required: bool,
    max_lag: Duration,
    targets: Vec<(String, watch::Sender<State>)>,
}

impl Shipping {
    pub fn new(config: &AuditConfig, clock: Arc<dyn Clock>) -> Self {
        let targets = config.ship.keys().map(|name| (name.clone(), watch::Sender::default())).collect();
        Self(Arc::new(Inner { clock, required: config.require_shipping, max_lag: config.max_lag(), targets }))
    }

    /// Why a call that changes something must not run: shipping is required and does not work.
    pub fn ready(&self) -> Result<(), String> {
        if !self.0.required || types::Invariant::AuditBeforeEffect.is_broken() {
            return Ok(());
        }
        if self.0.targets.is_empty() {
            return Err("the audit log must be shipped, and no target is configured under [audit.ship]".to_owned());
        }
        for (name, state) in &self.0.targets {
            let state = state.borrow();
            if let Some(error) = &state.error {
                return Err(format!("the audit log must be shipped, and the target {name} fails: {error}"));
            }
            if self.lags(&state) {
                let lag = self.lag(&state).as_secs();
                return Err(format!("the audit log must be shipped, and the target {name} is {lag} seconds behind"));
            }
        }
        Ok(())
    }

    /// Each target's name and state.
    pub fn states(&self) -> Vec<(String, State)> {
        self.0.targets.iter().map(|(name, state)| (name.clone(), state.borrow().clone())).collect()
    }

    fn state(&self, name: &str) -> Option<&watch::Sender<State>> {
        self.0.targets.iter().find(|(target, _)| target == name).map(|(_, state)| state)
    }

    fn lag(&self, state: &State) -> Duration {
        state.oldest.map_or(Duration::ZERO, |oldest| self.0.clock.now().since(oldest))
    }

    fn lags(&self, state: &State) -> bool {
        self.lag(state) > self.0.max_lag
    }
}

/// A place that takes records.
pub(crate) enum Target {
    Directory(directory::Directory),
    Syslog(syslog::Syslog),
    Https(https::Https),
}

impl Target {
    /// Makes a target as configured. Nothing is opened yet.
    pub fn new(name: &str, config: &ShipConfig, vault: &Vault) -> Result<Self, ShipError> {
        let client = |source| ShipError::Client { name: name.to_owned(), source };
        match config {
            ShipConfig::Directory { path, segment_mb } => {
                Ok(Self::Directory(directory::Directory::new(path, segment_mb.saturating_mul(1 << 20))))
            }
            ShipConfig::Syslog { host, port, tls, ca } => {
                let authorities = ca.as_ref().map(|path| (path, std::fs::read(path)));
                let authorities = match authorities {
                    Some((path, Err(source))) => {
                        return Err(ShipError::Authorities { name: name.to_owned(), path: path.clone(), source });
                    }
                    Some((_, Ok(pem))) => Some(pem),
                    None => None,
                };
                let port = port.unwrap_or(if *tls { 6514 } else { 601 });
                syslog::Syslog::new(host, port, *tls, authorities.as_deref()).map(Self::Syslog).map_err(client)
            }
            ShipConfig::Https { url, secret } => {
                https::Https::new(url, secret.clone(), vault.clone()).map(Self::Https).map_err(client)
            }
        }
    }

    /// Hands records over, and returns when the target has them. On an error they are handed over again.
    async fn send(&mut self, lines: &Arc<[Line]>) -> Result<(), String> {
        match self {
            Self::Directory(directory) => directory.send(lines).await,
            Self::Syslog(syslog) => syslog.send(lines).await,
            Self::Https(https) => https.send(lines).await,
        }
    }
}

/// The last record that a target had confirmed when the journal was written last.
pub(crate) fn shipped(store: &store::Store, name: &str) -> Result<Head, StoreError> {
    let text = store.cursor(&cursor(name))?;
    let parse = |text: String| {
        let (seq, hash) = text.split_once(' ')?;
        Some(Head { seq: seq.parse().ok()?, hash: hash.to_owned() })
    };
    Ok(text.and_then(parse).unwrap_or_else(Head::start))
}

fn cursor(name: &str) -> String {
    format!("audit-shipped:{name}")
}

/// Whether one of the targets is this directory; its name.
pub(crate) fn target_of<'a>(config: &'a AuditConfig, copy: &Path) -> Option<&'a str> {
    let same = |path: &Path| {
        path == copy || path.canonicalize().ok().zip(copy.canonicalize().ok()).is_some_and(|(a, b)| a == b)
    };
    config.ship.iter().find_map(|(name, target)| match target {
        ShipConfig::Directory { path, .. } if same(path) => Some(name.as_str()),
        ShipConfig::Directory { .. } | ShipConfig::Syslog { .. } | ShipConfig::Https { .. } => None,
    })
}
