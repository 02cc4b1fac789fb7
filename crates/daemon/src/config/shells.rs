//! `[shells]`: how many there are, and for how long.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

/// `[shells]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShellsConfig {
    /// How many may be open at the same time.
    pub at_once: usize,
    /// After how many minutes in which nothing was typed and nothing was shown a shell is closed. Never when absent.
    pub idle_minutes: Option<u32>,
}

impl Default for ShellsConfig {
    fn default() -> Self {
        Self { at_once: 8, idle_minutes: None }
    }
}

impl ShellsConfig {
    /// How long one may be left alone.
    pub fn idle(&self) -> Option<Duration> {
        self.idle_minutes.map(|minutes| Duration::from_secs(u64::from(minutes) * 60))
    }
}
