//! Why a sandbox could not be built or used, and what the owner can do about it.

use std::{io, path::PathBuf};

use crate::{JobId, remedy};

/// Why something did not run. Nothing is ever run outside of a sandbox instead.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The directory cannot be a workspace.
    #[error("{} cannot be a workspace: {why}", path.display())]
    Workspace {
        /// The directory as it was given.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The directory cannot be the home of a sandbox.
    #[error("{} cannot be a sandbox's home: {why}", path.display())]
    Home {
        /// The directory as it was given.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The owner's extra mount is refused.
    #[error("{} cannot be mounted read-only: {why}", path.display())]
    ReadOnly {
        /// The directory as it was given.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A setting of the configuration makes no sense.
    #[error("`sandbox.{setting}` {why}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The kernel refuses user namespaces to this program.
    #[error("user namespaces are not available to this program: {why}")]
    UserNamespaces {
        /// What the kernel answered.
        why: String,
    },
    /// The kernel has no Landlock.
    #[error("this kernel does not offer Landlock: {why}")]
    Landlock {
        /// What the kernel answered.
        why: String,
    },
    /// The file system of the workspace cannot show its files under another id.
    #[error("the file system of the workspace does not support id-mapped mounts: {why}")]
    IdMapping {
        /// What the kernel answered.
        why: String,
    },
    /// Another step of building failed.
    #[error("the sandbox could not be built: {step}: {why}")]
    Build {
        /// The step.
        step: String,
        /// What the kernel answered.
        why: String,
    },
    /// The process that becomes the sandbox could not be started or spoken to.
    #[error("the sandbox's first process could not be {what}: {source}")]
    Process {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The sandbox took longer than allowed to come up.
    #[error("the sandbox did not come up within {0} seconds")]
    Slow(u64),
    /// The sandbox has ended, or ended while the command ran.
    #[error("the sandbox has ended")]
    Gone,
    /// No terminal is open there.
    #[error("no terminal is open")]
    NoTerminal,
    /// A command could not be started inside.
    #[error("the command could not be started: {0}")]
    Command(String),
    /// The grant is for something else.
    #[error("the grant does not allow this: {0}")]
    NotGranted(&'static str),
    /// As many background jobs run as are allowed.
    #[error("{0} background jobs are running already; end one first")]
    TooManyJobs(usize),
    /// As many commands run at once as are allowed.
    #[error("{0} commands are running already in this sandbox")]
    TooManyCommands(usize),
    /// There is no such job.
    #[error("there is no job {}", .0.0)]
    NoSuchJob(JobId),
    /// As many sandboxes run as are allowed.
    #[error("{0} sandboxes are running already; stop a session first")]
    TooManySandboxes(usize),
    /// A supervisor does not do what it was asked, or cannot be reached.
    #[error("the job's supervisor: {0}")]
    Supervisor(String),
    /// What a supervisor is to be told is longer than one message may be. It will be the next time as well.
    #[error("the job's supervisor cannot be told {bytes} bytes at once; at most {limit} are taken")]
    TooLarge {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A supervisor of another version.
    #[error("the job's supervisor cannot be understood: {0}")]
    Foreign(String),
    /// A supervisor that did not answer in time. It may be slow, or stuck for good; what it speaks is not known.
    #[error("the job's supervisor did not answer within {0} seconds")]
    Mute(u64),
    /// The self-test could not be carried out, which counts as failed.
    #[error("the self-test could not be carried out: {0}")]
    Canary(String),
}

impl SandboxError {
    /// What the owner can do, where something can be done.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UserNamespaces { .. } => Some(remedy::user_namespaces()),
            Self::Landlock { .. } => Some(remedy::LANDLOCK.to_owned()),
            Self::IdMapping { .. } => Some(remedy::ID_MAPPING.to_owned()),
            Self::Workspace { .. } => {
                Some("name a directory that holds only one project, such as /srv/code/billing".to_owned())
            }
            Self::Home { .. } => Some("move factotum's own directory to a place without links in its path".to_owned()),
            Self::ReadOnly { .. } => Some("name exactly the directory of the toolchain, such as ~/.rustup".to_owned()),
            Self::Setting { .. } => Some("correct the value in the configuration".to_owned()),
            Self::Build { step, .. } => remedy::build(step),
            Self::TooManySandboxes(_) => Some("run `factotum sessions` and stop one".to_owned()),
            Self::Process { .. }
            | Self::Slow(_)
            | Self::Gone
            | Self::NoTerminal
            | Self::Command(_)
            | Self::NotGranted(_)
            | Self::TooManyJobs(_)
            | Self::TooManyCommands(_)
            | Self::NoSuchJob(_)
            | Self::Supervisor(_)
            | Self::TooLarge { .. }
            | Self::Foreign(_)
            | Self::Mute(_)
            | Self::Canary(_) => None,
        }
    }

    pub(crate) fn process(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Process { what, source }
    }
}
