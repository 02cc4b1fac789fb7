//! The table `[channels.telegram.NAME]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use types::SecretName;

/// A Telegram bot through which the owner speaks with the agent. Make one with @BotFather, store its token with
/// `factotum secret set NAME`, and give your numeric user id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of the secret that holds the bot's token.
    pub token: SecretName,
    /// The numeric ids of the users who may speak with the agent. The first is the owner. Everybody else meets
    /// silence.
    pub allow: Vec<i64>,
    /// Where the Bot API is; change it for a Bot API server of your own.
    #[serde(default = "default_api_base")]
    pub api_base: String,
    /// How many seconds one request for messages waits for the next message: 1 to 50.
    #[serde(default = "default_poll_timeout_s")]
    pub poll_timeout_s: u64,
    /// How an answer in the making is shown.
    #[serde(default)]
    pub stream: Streaming,
}

/// How an answer in the making is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Streaming {
    /// As a draft that the final message replaces, or by edits where the server knows no drafts.
    #[default]
    Drafts,
    /// By editing a message.
    Edits,
    /// Not at all: only the final message is sent.
    Off,
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nobody may speak with the agent.
    #[error("`allow` is empty, so nobody could use the channel; put your numeric Telegram user id into it")]
    NobodyAllowed,
    /// An id is not a user's.
    #[error("{id} in `allow` is not a user's id: those are positive numbers, groups and channels have negative ones")]
    NotAUser {
        /// The id.
        id: i64,
    },
    /// The waiting time is out of range.
    #[error("`poll_timeout_s` is {seconds} and must be 1 to 50")]
    PollTimeout {
        /// The configured time.
        seconds: u64,
    },
    /// The address cannot be used.
    #[error("`api_base` cannot be used: {why}")]
    ApiBase {
        /// Why.
        why: String,
    },
}

fn default_api_base() -> String {
    "https://api.telegram.org".to_owned()
}

fn default_poll_timeout_s() -> u64 {
    50
}

impl Config {
    /// Checks what the types cannot say.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.allow.is_empty() {
            return Err(ConfigError::NobodyAllowed);
        }
        if let Some(id) = self.allow.iter().find(|id| **id <= 0) {
            return Err(ConfigError::NotAUser { id: *id });
        }
        if !(1..=50).contains(&self.poll_timeout_s) {
            return Err(ConfigError::PollTimeout { seconds: self.poll_timeout_s });
        }
        Ok(())
    }
}
