//! The proxy of one sandbox: the only way out of it. It speaks CONNECT and absolute-form HTTP/1.1 on a socket that was
//! made inside the sandbox's network namespace, opens TLS with an authority of its own, judges every request, puts
//! credentials in where they are bound, and masks them in what comes back. Must not decide: that is the part of
//! [`crate::Judge`]. Must not keep anything on disk. Start with [`Proxy::serve`].

mod answer;
mod body;
mod ca;
mod credentials;
mod custody;
mod forward;
mod head;
mod hello;
mod io;
mod receipt;
mod revocation;
mod serve;
mod splice;
mod tunnel;

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::watch;
use types::Clock;

use crate::{EgressLog, Judge, Upstream, Vault, Who};

pub use ca::{CaError, SandboxCa};
pub use credentials::Placeholders;
pub(crate) use credentials::is_credential;
pub use custody::{Custody, CustodyError};
pub(crate) use head::overrides_method;
pub use head::read_head;
pub use hello::{Hello, read_hello};
pub use serve::Proxy;

/// What can be replaced while a sandbox runs. Open connections that the new one does not allow are closed within a second.
#[derive(Clone)]
pub struct EgressPolicy {
    /// Judges by the workspace's rules.
    pub judge: Judge,
    /// Has to allow a request as well, once the session or its workspace holds foreign text. None where that changes nothing.
    pub tainted: Option<Judge>,
    /// Reaches and verifies servers, with the workspace's further authorities.
    pub upstream: Upstream,
}

/// Everything that one sandbox's proxy needs.
pub struct SandboxEgress {
    /// For the records.
    pub who: Who,
    /// The rules at present.
    pub policy: watch::Receiver<Arc<EgressPolicy>>,
    /// Whether neither the session nor its workspace holds anything foreign so far: only then may TLS pass through unopened,
    /// and only then is [`EgressPolicy::tainted`] not asked. Asked for each request.
    pub untainted: Box<dyn Fn() -> bool + Send + Sync>,
    /// What stands for secrets in this sandbox.
    pub placeholders: Placeholders,
    /// Where the real values are, and where they may go.
    pub vault: Vault,
    /// Signs for hosts towards this sandbox.
    pub ca: SandboxCa,
    /// Takes a record of every decision.
    pub log: Arc<dyn EgressLog>,
    /// For the validity of certificates.
    pub clock: Arc<dyn Clock>,
    /// How much of what.
    pub limits: Limits,
}

/// How much a sandbox may ask of its proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; more wait.
    pub connections: usize,
    /// Bytes of a request's head.
    pub head: usize,
    /// Lines of a request's head.
    pub header_count: usize,
    /// For a TLS handshake with the sandbox, its first message included.
    pub handshake: Duration,
    /// For a request's head, from the moment that the connection waits for one.
    pub head_time: Duration,
    /// Without a byte in either direction.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            head: 64 * 1024,
            header_count: 100,
            handshake: Duration::from_secs(10),
            head_time: Duration::from_secs(30),
            idle: Duration::from_secs(120),
        }
    }
}

impl fmt::Debug for EgressPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EgressPolicy").field("judge", &self.judge).finish_non_exhaustive()
    }
}

impl fmt::Debug for SandboxEgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxEgress").field("who", &self.who).finish_non_exhaustive()
    }
}
