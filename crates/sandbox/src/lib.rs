//! Every child process and every workspace file. Owns the sandbox that all commands run in, and the reading, writing and
//! saving of workspaces; must not decide whether something may happen (a `policy::Grant` says so), and has no way to run
//! anything outside of a sandbox. Start with [`Sandbox`] for processes and [`Files`] for files.

mod canary;
mod cgroup;
mod command;
mod door;
mod error;
mod files;
mod fixed;
mod init;
mod launcher;
mod mounts;
mod pool;
mod probe;
mod remedy;
mod running;
mod snapshot;
mod spec;
mod supervisor;
mod tmux;
mod trust;
mod walk;
mod wire;
mod workspace;

pub use canary::{CanaryReport, Outcome, QuotaKind, Row, canary};
pub use command::{Command, Exit, ExitStatus, JobId, JobInfo, JobOutput, JobState};
pub use door::{Door, Doors, WayOut};
pub use error::SandboxError;
pub use files::{Content, FileError, FileInfo, Files, Kind, Stamp, Written};
pub use fixed::{Fixed, MAX_FIXED};
pub use init::{HOME, WORKSPACE};
pub use launcher::{Launcher, maybe_run_init};
pub use pool::{Apart, FixedParts, Pool};
pub use remedy::apparmor_profile;
pub use running::{Sandbox, Terminal, TerminalProgram};
pub use snapshot::{
    Change, ChangeKind, DiffStat, IsPinned, Pins, Pruned, Restored, SnapshotConfig, SnapshotError, Snapshots,
};
pub use spec::{Profile, Quota, SandboxConfig, SandboxSpec};
pub use supervisor::{
    Attached, MAX_CUSTODY, MAX_LINE, Program, Record, Records, Screen, Supervised, SupervisedSpec, SupervisorLimits,
    Transport, What,
};
pub use tmux::{Tmux, TmuxError, Window};
pub use trust::ProxyTrust;
pub use walk::{Entry, Hit, Hits, Listing, Search, Stop, WalkLimits, show_path};
pub use wire::TerminalSize;
pub use workspace::{Workspace, remove_own};
