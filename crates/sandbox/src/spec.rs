//! What a sandbox is made of: the closed [`SandboxSpec`], and the owner's [`SandboxConfig`] from which one is made. Nothing
//! in it comes from a model.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use types::Invariant;

use crate::{Fixed, ProxyTrust, SandboxError, Workspace, mounts};

/// Which system calls and sockets commands get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Loopback TCP, UNIX sockets and reading of routes.
    #[default]
    Default,
    /// Only TCP to the proxy's port: for readers and for unattended work on foreign code.
    Strict,
}

/// The `[sandbox]` table: what commands may use. Every value holds for one session's sandbox as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxConfig {
    /// Memory in MiB.
    pub memory_mb: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Processor time: 100 is one core.
    pub cpu_percent: u64,
    /// How much the workspace's disk may shrink during one command, in MiB; also the largest file.
    pub disk_mb: u64,
    /// How much of the workspace's disk must stay free, in MiB.
    pub disk_floor_mb: u64,
    /// Size of each of the private `/tmp` and home directories in MiB; they live in memory and count as such.
    pub tmp_mb: u64,
    /// A sandbox that nothing used for this many minutes and in which nothing runs is taken down.
    pub idle_minutes: u64,
    /// More directories that commands may read, each named in full, such as a toolchain.
    pub read_only: Vec<PathBuf>,
    /// More environment variables for commands. No secrets: commands can print them.
    pub env: BTreeMap<String, String>,
    /// Which sockets commands may open.
    pub profile: Profile,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            memory_mb: 2048,
            pids: 512,
            cpu_percent: 200,
            disk_mb: 4096,
            disk_floor_mb: 512,
            tmp_mb: 512,
            idle_minutes: 30,
            read_only: Vec::new(),
            env: BTreeMap::new(),
            profile: Profile::Default,
        }
    }
}

impl SandboxConfig {
    /// Checks every value, so that a wrong one is reported at start-up and not by the first command.
    pub fn check(&self) -> Result<(), SandboxError> {
        let range = |setting: &'static str, value: u64, least: u64, most: u64| {
            let why = || format!("is {value}; it must be {least} to {most}");
            if (least..=most).contains(&value) { Ok(()) } else { Err(SandboxError::Setting { setting, why: why() }) }
        };
        range("memory_mb", self.memory_mb, 32, 1 << 24)?;
        range("pids", self.pids, 8, 1 << 20)?;
        range("cpu_percent", self.cpu_percent, 1, 100_000)?;
        range("disk_mb", self.disk_mb, 1, 1 << 30)?;
        range("disk_floor_mb", self.disk_floor_mb, 0, 1 << 30)?;
        range("tmp_mb", self.tmp_mb, 1, 1 << 24)?;
        range("idle_minutes", self.idle_minutes, 1, 1 << 20)?;
        mounts::check_all(&self.read_only)?;
        check_env(&self.env)
    }
}

/// Names that would change how the sandbox's own programs are loaded or found are the owner's right; broken ones are not.
pub(crate) fn check_env(env: &BTreeMap<String, String>) -> Result<(), SandboxError> {
    let name_is_good = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
    match env.iter().find(|(name, value)| !name_is_good(name) || value.contains('\0')) {
        None => Ok(()),
        Some((name, _)) => {
            Err(SandboxError::Setting { setting: "env", why: format!("has a variable that cannot be: {name:?}") })
        }
    }
}

/// What one sandbox may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Memory in MiB.
    pub memory_mb: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Processor time: 100 is one core.
    pub cpu_percent: u64,
    /// How much the workspace's disk may shrink during one command, in MiB; also the largest file.
    pub disk_mb: u64,
    /// How much of the workspace's disk must stay free, in MiB.
    pub disk_floor_mb: u64,
    /// Size of each of the private `/tmp` and home directories in MiB.
    pub tmp_mb: u64,
}

impl Quota {
    /// The quotas of a configuration.
    pub fn of(config: &SandboxConfig) -> Self {
        if Invariant::QuotasHold.is_broken() {
            let (memory_mb, pids, cpu_percent, disk_mb) = (1 << 24, 1 << 20, 100_000, 1 << 30);
            return Self { memory_mb, pids, cpu_percent, disk_mb, disk_floor_mb: 0, tmp_mb: config.tmp_mb };
        }
        Self {
            memory_mb: config.memory_mb,
            pids: config.pids,
            cpu_percent: config.cpu_percent,
            disk_mb: config.disk_mb,
            disk_floor_mb: config.disk_floor_mb,
            tmp_mb: config.tmp_mb,
        }
    }
}

/// Everything that decides what one sandbox can reach.
#[derive(Clone, Debug)]
pub struct SandboxSpec {
    /// The host directory that commands may write.
    pub workspace: Workspace,
    /// A directory that commands see as their home and may write; it stays when the sandbox ends. Named by our own code, never
    /// by a configuration. A private one in memory when none.
    pub home: Option<PathBuf>,
    /// A directory that commands may read at `/source`, and no more. Named by our own code.
    pub source: Option<Workspace>,
    /// What of the workspace cannot be replaced, at most [`crate::MAX_FIXED`]; more are passed over. Named by our own code.
    pub fixed: Vec<Fixed>,
    /// Which sockets commands may open.
    pub profile: Profile,
    /// What they may use.
    pub quota: Quota,
    /// The owner's extra mounts; checked again when the sandbox starts.
    pub read_only: Vec<PathBuf>,
    /// More environment variables.
    pub env: BTreeMap<String, String>,
    /// Whose certificates commands believe. With it they are also told where the proxy listens.
    pub proxy: Option<ProxyTrust>,
    /// Environment variables with placeholders, which the proxy replaces by credentials. They win over `env`.
    pub placeholder_env: BTreeMap<String, String>,
}

impl SandboxSpec {
    /// The specification that the owner's configuration gives for a workspace.
    pub fn new(workspace: Workspace, config: &SandboxConfig) -> Result<Self, SandboxError> {
        config.check()?;
        Ok(Self {
            workspace,
            home: None,
            source: None,
            fixed: Vec::new(),
            profile: config.profile,
            quota: Quota::of(config),
            read_only: config.read_only.clone(),
            env: config.env.clone(),
            proxy: None,
            placeholder_env: BTreeMap::new(),
        })
    }
}
