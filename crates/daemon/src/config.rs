//! The configuration: what the owner may set. Each component's part stands beside the component; this adds them up,
//! reads them with the place of every mistake, and checks what only shows when the parts are seen together.

mod alarms;
mod audit;
mod check;
mod coders;
mod error;
mod example;
mod jobs;
mod network;
mod sections;
mod shells;

use std::{collections::BTreeMap, path::Path};

use policy::ToolRule;
use providers::ProviderConfig;
use sandbox::{SandboxConfig, SnapshotConfig};
use schemars::JsonSchema;
use serde::Deserialize;

pub use alarms::AlarmConfig;
pub use audit::{AuditConfig, ShipConfig};
pub use check::ModelName;
pub use coders::{CoderAuth, CoderConfig, CoderKind};
pub use error::ConfigError;
pub use example::EXAMPLE;
pub use jobs::JobsConfig;
pub use network::{NetworkConfig, WebConfig};
pub use sections::{AgentConfig, ApiConfig, BudgetConfig, ChannelsConfig, WorkspaceConfig};
pub use shells::ShellsConfig;

/// The most bytes a configuration file may have.
const MAX_BYTES: u64 = 1 << 20;

/// All of `config.toml`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which model answers, and how long it may think.
    pub agent: AgentConfig,
    /// Model vendors, each under a name of your choice.
    pub providers: BTreeMap<String, ProviderConfig>,
    /// Messengers, each under a name of your choice.
    pub channels: ChannelsConfig,
    /// The directories in which the agent may work, each under a name of your choice.
    pub workspaces: BTreeMap<String, WorkspaceConfig>,
    /// The coding agents that jobs may be given to, each under a name of your choice.
    pub coders: BTreeMap<String, CoderConfig>,
    /// Long work of coding agents.
    pub jobs: JobsConfig,
    /// The owner's own shells.
    pub shells: ShellsConfig,
    /// Limits on money, steps and time.
    pub budget: BudgetConfig,
    /// What commands may use, and what they may see beside their workspace.
    pub sandbox: SandboxConfig,
    /// What is true of this machine's network.
    pub network: NetworkConfig,
    /// What the `fetch` tool may reach.
    pub web: WebConfig,
    /// The HTTP API.
    pub api: ApiConfig,
    /// Rules by tool: `policy` (the table decides), `ask` (every change is asked about) or `deny`.
    pub tools: BTreeMap<String, ToolRule>,
    /// Saved states of workspaces.
    pub snapshots: SnapshotConfig,
    /// What is out of the ordinary, and pauses a task until you answer.
    pub alarms: AlarmConfig,
    /// How the audit log is kept, and where it is shipped to.
    pub audit: AuditConfig,
}

impl Config {
    /// Reads and checks a file. A missing file is the default configuration.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        match read(path)? {
            None => Ok(Self::default()),
            Some(text) => Self::parse(&text, path),
        }
    }

    /// Reads and checks text; `path` is only named in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError::from_toml(path, text, &error))?;
        check::check(&config).map_err(|problem| ConfigError::from_problem(path, text, problem))?;
        Ok(config)
    }

    /// Checks a configuration that did not come from a file.
    pub fn check(&self) -> Result<(), ConfigError> {
        check::check(self).map_err(|problem| ConfigError::from_problem(Path::new("configuration"), "", problem))
    }

    /// The JSON schema of the file.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Provider and model of `agent.model`; none when the practice model answers.
    pub fn model(&self) -> Option<ModelName<'_>> {
        self.agent.model.as_deref().and_then(ModelName::parse)
    }
}

/// The file's text; none when there is no file. The size is bounded, so that a wrong path cannot fill the memory.
fn read(path: &Path) -> Result<Option<String>, ConfigError> {
    use std::io::Read;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ConfigError::unreadable(path, &error.to_string())),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| ConfigError::unreadable(path, &error.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ConfigError::unreadable(path, "it has more than a mebibyte"));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        ConfigError::unreadable(path, &format!("line {line} is not valid UTF-8"))
    })
}

#[cfg(test)]
mod tests;
