//! What a supervisor is told to do: the sandbox that it owns, its limits, and the programs that it runs.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::SandboxSpec;

/// A supervisor to start.
#[derive(Clone, Debug)]
pub struct SupervisedSpec {
    /// The sandbox that it owns.
    pub sandbox: SandboxSpec,
    /// Where its records and its socket lie. Made with mode 0700 if it is not there. One supervisor lives in a directory.
    pub directory: PathBuf,
    /// What the next daemon must have of the sandbox's door: kept in memory and handed back, never written anywhere. At
    /// most [`super::MAX_CUSTODY`] bytes.
    pub custody: Vec<u8>,
    /// When it gives up.
    pub limits: SupervisorLimits,
}

/// When a supervisor gives up by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorLimits {
    /// Bytes of the file of records beyond which no more lines of standard error are written down, and no lines that begin as the
    /// program's [`Program::fleeting`] says. Beyond twice as many the program is ended.
    pub log_bytes: u64,
    /// How long it lives without a daemon.
    pub alone: Duration,
    /// How long it lives.
    pub total: Duration,
    /// How long a terminal stays open in which nothing is typed and nothing is shown; for ever when none.
    #[serde(default)]
    pub idle: Option<Duration>,
}

impl Default for SupervisorLimits {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        Self { log_bytes: 256 * 1024 * 1024, alone: day, total: 7 * day, idle: None }
    }
}

/// A program to run in the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its arguments, its name first. A name with a slash is taken as it is, another one is looked for in `PATH`, inside.
    pub argv: Vec<String>,
    /// Its environment, beside the sandbox's own, over which it wins.
    pub env: BTreeMap<String, String>,
    /// Where it starts, relative to the workspace; the workspace itself when none.
    pub directory: Option<String>,
    /// How it is spoken to.
    pub transport: Transport,
    /// What lines of its standard output begin with that may be left out when the records grow too long: pieces of what comes
    /// again as a whole.
    #[serde(default)]
    pub fleeting: Vec<String>,
}

/// How lines reach a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Over its standard input and output.
    #[default]
    Lines,
    /// Over HTTP/1.1 on a port of the sandbox's loopback, through the bridge. What it writes to its standard output is
    /// recorded as if it were standard error.
    Http {
        /// The port.
        port: u16,
    },
    /// It reads nothing.
    Silent,
}
