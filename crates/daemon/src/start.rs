//! Starting and stopping the daemon: the one place that knows all parts.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_util::sync::CancellationToken;
use types::{Clock, Failure, Provider};

use crate::{Config, SystemClock};

/// How to start.
pub struct Options {
    /// The home directory; made when missing.
    pub home: PathBuf,
    /// The configuration; read from the home when absent.
    pub config: Option<Config>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// A provider in place of the configured one; for tests.
    pub provider: Option<Arc<dyn Provider>>,
}

impl Options {
    /// The usual way: configuration from the home, the system's clock.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self { home: home.into(), config: None, clock: Arc::new(SystemClock::new()), provider: None }
    }
}

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {}

impl StartError {
    /// What the owner sees.
    pub fn failure(&self) -> Failure {
        match *self {}
    }
}

/// A running daemon.
pub struct Daemon {}

impl Daemon {
    /// Starts everything and returns once the API answers.
    pub async fn start(_options: Options) -> Result<Self, StartError> {
        todo!()
    }

    /// The TCP address of the API.
    pub fn addr(&self) -> SocketAddr {
        todo!()
    }

    /// The home directory.
    pub fn home(&self) -> &Path {
        todo!()
    }

    /// What a person who starts it should know, such as that the practice model answers.
    pub fn notes(&self) -> &[String] {
        todo!()
    }

    /// Runs until `cancel` is cancelled or SIGTERM or SIGINT arrives (SIGUSR1 stops all turns), then stops in order.
    pub async fn run_until(self, _cancel: CancellationToken) {
        todo!()
    }

    /// Stops in order: no more input, turns finished or checkpointed, outbox flushed, processes killed, store closed.
    pub async fn stop(self) {
        todo!()
    }
}

/// Must be the first thing in `main`: when this process was started as the inside of a sandbox, it never returns.
pub fn maybe_run_sandbox_init() {
    todo!()
}
