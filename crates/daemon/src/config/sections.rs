//! The parts of the configuration that belong to the daemon itself, with their defaults.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;
use types::{MicroUsd, WorkspaceName};

/// `[agent]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgentConfig {
    /// The model that answers, as `provider/model`. The first part is a name under `[providers]`.
    pub model: Option<String>,
    /// The models that go on in its place when its provider fails, in this order. None of them may be a small one where the first is
    /// not.
    pub fallback: Vec<String>,
    /// The models that read foreign text for a session, in order of preference; those that answer when empty.
    pub reader: Vec<String>,
    /// The models that shorten long conversations, in order of preference; those that answer when empty.
    pub summariser: Vec<String>,
    /// The workspace of new sessions; the first by name when absent.
    pub workspace: Option<WorkspaceName>,
    /// The most tokens of context that a conversation may grow to. A model that holds less gets what it holds; what `[providers]`
    /// says of a model counts instead of this.
    pub context_tokens: u64,
    /// The most tokens of one answer.
    pub max_output_tokens: u32,
    /// The reasoning budget of one answer in tokens; absent: the model does not reason in advance.
    pub thinking_tokens: Option<u32>,
    /// How many bits the readers of one session may tell it of foreign text: enough for some dates and numbers, too few for
    /// an instruction. 0 switches readers off.
    pub reader_bits: u32,
    /// How long an approval waits for you, in seconds. After that it counts as denied.
    pub approval_timeout_s: u64,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            model: None,
            fallback: Vec::new(),
            reader: Vec::new(),
            summariser: Vec::new(),
            workspace: None,
            context_tokens: 200_000,
            max_output_tokens: 8_192,
            thinking_tokens: None,
            reader_bits: 64,
            approval_timeout_s: 600,
        }
    }
}

impl AgentConfig {
    /// How long an approval waits.
    pub fn approval_timeout(&self) -> Duration {
        Duration::from_secs(self.approval_timeout_s)
    }
}

/// `[channels]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelsConfig {
    /// Telegram bots, each under a name of your choice: `[channels.telegram.home]`.
    pub telegram: BTreeMap<String, channels::telegram::Config>,
}

/// `[workspaces.NAME]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceConfig {
    /// The directory: absolute, and the only one that commands of this workspace may write.
    pub path: PathBuf,
    /// What programs of this workspace may reach. Nothing unless you say so.
    #[serde(default)]
    pub egress: egress::EgressConfig,
}

/// `[budget]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetConfig {
    /// The most that one task may cost, in US dollars.
    pub task_usd: Option<f64>,
    /// The most that a day (UTC) may cost, in US dollars.
    pub day_usd: Option<f64>,
    /// The most that a month (UTC) may cost, in US dollars.
    pub month_usd: Option<f64>,
    /// The most model calls of one task.
    pub steps: u32,
    /// The most tokens of one task, input and output together.
    pub tokens: Option<u64>,
    /// The longest a task may take, in seconds.
    pub wall_s: Option<u64>,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            task_usd: Some(5.0),
            day_usd: Some(20.0),
            month_usd: None,
            steps: 100,
            tokens: None,
            wall_s: Some(4 * 3_600),
        }
    }
}

impl BudgetConfig {
    /// The same as the gate counts it.
    pub fn limits(&self) -> policy::budget::Limits {
        policy::budget::Limits {
            task: self.task_usd.map(MicroUsd::from_dollars),
            day: self.day_usd.map(MicroUsd::from_dollars),
            month: self.month_usd.map(MicroUsd::from_dollars),
            steps: self.steps,
            tokens: self.tokens,
            wall: self.wall_s.map(Duration::from_secs),
        }
    }
}

/// `[api]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// The address of the HTTP API. Only loopback addresses are accepted; port 0 takes a free one.
    pub listen: SocketAddr,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 7717)) }
    }
}
