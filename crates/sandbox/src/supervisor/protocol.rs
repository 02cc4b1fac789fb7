//! What a supervisor and its clients say to each other, in the frames of `frames`.
//!
//! A supervisor lives as long as its job, so a newer daemon meets older supervisors. The rule: an order never changes its
//! meaning and never loses a field; new fields have a default that means what was before; an order that a supervisor does not
//! know is answered with an error, and the connection stays; fields that one side does not know are ignored. What cannot be
//! said in this way gets a new number of [`PROTOCOL`], and a client refuses supervisors of another number: they are killed
//! (`stray`), and their jobs resumed under a new supervisor.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::{SessionId, WorkspaceName};

use super::{Program, SupervisorLimits};
use crate::{
    Fixed, ProxyTrust, SandboxError, SandboxSpec, TerminalProgram, TerminalSize, Workspace,
    spec::{Profile, Quota},
};

/// The language that is spoken here.
pub(super) const PROTOCOL: u32 = 1;
/// How a supervisor of any version begins its refusal of another language.
pub(super) const OTHER_LANGUAGE: &str = "it speaks language";

/// What a client sends.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ask {
    /// By which the answer is told; counted by the client.
    pub id: u64,
    /// Chosen by the client so that nobody else chooses the same. An order that comes again under its name is not carried out
    /// again; it gets the answer that it got.
    pub name: String,
    /// What is wanted.
    pub order: Order,
}

/// As much of [`Ask`] as every version understands.
#[derive(Debug, Deserialize)]
pub(super) struct AskOfAnyVersion {
    pub id: u64,
}

/// What is wanted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub(super) enum Order {
    /// Begin. Only from whoever started the supervisor, once and first; custody goes beside it.
    Begin(Box<Begin>),
    /// Say who this is. The first order of whoever comes later.
    Hello {
        /// The language.
        protocol: u32,
        /// Whether it is the daemon, who gets the door and custody and may order. Others may look.
        is_daemon: bool,
    },
    /// Run a program.
    Run {
        /// Which.
        program: Program,
        /// Kept in its record.
        note: Value,
    },
    /// Write lines to the program.
    Write {
        /// Kept in the record.
        cause: Value,
        /// The lines, without their ends.
        lines: Vec<String>,
    },
    /// Send the program the signal of Ctrl-C.
    Interrupt,
    /// Kill the program with all that it started.
    EndProgram,
    /// Run a program at a terminal, for a person.
    OpenTerminal {
        /// Which.
        program: TerminalProgram,
    },
    /// End it.
    CloseTerminal,
    /// Show the terminal in a pane of this size. Beside the answer goes a stream. Whoever looks on may.
    JoinTerminal {
        /// The pane's size.
        size: TerminalSize,
    },
    /// Give the terminal another size. Whoever looks on may.
    ResizeTerminal {
        /// The pane's size.
        size: TerminalSize,
    },
    /// End everything.
    End,
}

/// What a supervisor begins with.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Begin {
    pub directory: PathBuf,
    pub limits: SupervisorLimits,
    pub sandbox: Sandbox,
    /// The only session whose grants are taken; any when none.
    pub session: Option<SessionId>,
    /// The promises that a test switched off.
    #[cfg(feature = "faults")]
    #[serde(default)]
    pub broken: String,
}

/// A [`SandboxSpec`] on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sandbox {
    workspace: WorkspaceName,
    directory: PathBuf,
    profile: Profile,
    quota: Quota,
    read_only: Vec<PathBuf>,
    env: BTreeMap<String, String>,
    proxy: Option<ProxyTrust>,
    placeholder_env: BTreeMap<String, String>,
    #[serde(default)]
    home: Option<PathBuf>,
    #[serde(default)]
    source: Option<(WorkspaceName, PathBuf)>,
    #[serde(default)]
    fixed: Vec<Fixed>,
}

impl From<SandboxSpec> for Sandbox {
    fn from(spec: SandboxSpec) -> Self {
        let SandboxSpec { workspace, home, source, fixed, profile, quota, read_only, env, proxy, placeholder_env } =
            spec;
        let source = source.map(|source| (source.name.clone(), source.dir().to_owned()));
        let directory = workspace.dir().to_owned();
        Self {
            workspace: workspace.name,
            directory,
            profile,
            quota,
            read_only,
            env,
            proxy,
            placeholder_env,
            home,
            source,
            fixed,
        }
    }
}

impl Sandbox {
    /// Checks the workspace again.
    pub fn into_spec(self) -> Result<SandboxSpec, SandboxError> {
        let Self { workspace, directory, profile, quota, read_only, env, proxy, placeholder_env, home, source, fixed } =
            self;
        let workspace = Workspace::open(workspace, &directory)?;
        let source = source.map(|(name, directory)| Workspace::open(name, &directory)).transpose()?;
        Ok(SandboxSpec { workspace, profile, quota, read_only, env, proxy, placeholder_env, home, source, fixed })
    }
}

/// What a supervisor sends.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "snake_case")]
pub(super) enum Tell {
    /// The answer to an order.
    Answer {
        /// Whose number it has.
        id: u64,
        /// What became of it.
        answer: Answer,
    },
    /// The file of records has grown.
    Written(Written),
}

/// How far the records have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    /// The number of the last record.
    pub seq: u64,
    /// The length of the file in bytes.
    pub bytes: u64,
}

/// What became of an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum Answer {
    /// It was carried out.
    Done,
    /// To `begin` and `hello`. Beside it go the supervisor's own process descriptor, and for a daemon the door and custody.
    Welcome(Welcome),
    /// To `run`.
    Running {
        /// The number of the run.
        run: u64,
    },
    /// It was not carried out.
    Refused(Refusal),
}

/// Whom a client has reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Welcome {
    /// The language.
    pub protocol: u32,
    /// The workspace that grants must be for.
    pub workspace: WorkspaceName,
    /// The session that they must be for; any when none.
    pub session: Option<SessionId>,
    /// How far the records have come.
    pub written: Written,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "refusal", rename_all = "snake_case")]
pub(super) enum Refusal {
    /// The sandbox could not be built.
    UserNamespaces { why: String },
    /// The same.
    Landlock { why: String },
    /// The same.
    IdMapping { why: String },
    /// The same.
    Workspace { path: PathBuf, why: String },
    /// The same.
    ReadOnly { path: PathBuf, why: String },
    /// The same.
    Build { step: String, why: String },
    /// The sandbox or the program is gone.
    Gone,
    /// No terminal is open.
    NoTerminal,
    /// Anything else, as a sentence.
    Other { why: String },
}

impl Refusal {
    pub fn other(why: impl Into<String>) -> Self {
        Self::Other { why: why.into() }
    }
}

impl From<SandboxError> for Refusal {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::UserNamespaces { why } => Self::UserNamespaces { why },
            SandboxError::Landlock { why } => Self::Landlock { why },
            SandboxError::IdMapping { why } => Self::IdMapping { why },
            SandboxError::Workspace { path, why } => Self::Workspace { path, why },
            SandboxError::ReadOnly { path, why } => Self::ReadOnly { path, why },
            SandboxError::Build { step, why } => Self::Build { step, why },
            SandboxError::Gone => Self::Gone,
            SandboxError::NoTerminal => Self::NoTerminal,
            SandboxError::Command(why) => Self::Other { why },
            other => Self::Other { why: other.to_string() },
        }
    }
}

impl From<Refusal> for SandboxError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UserNamespaces { why } => Self::UserNamespaces { why },
            Refusal::Landlock { why } => Self::Landlock { why },
            Refusal::IdMapping { why } => Self::IdMapping { why },
            Refusal::Workspace { path, why } => Self::Workspace { path, why },
            Refusal::ReadOnly { path, why } => Self::ReadOnly { path, why },
            Refusal::Build { step, why } => Self::Build { step, why },
            Refusal::Gone => Self::Gone,
            Refusal::NoTerminal => Self::NoTerminal,
            Refusal::Other { why } => Self::Supervisor(why),
        }
    }
}
