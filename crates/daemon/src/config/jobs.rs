//! `[jobs]`: how many jobs run, and what becomes of their files.

use schemars::JsonSchema;
use serde::Deserialize;

/// `[jobs]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JobsConfig {
    /// How many run at the same time; more wait, the oldest first.
    pub at_once: usize,
    /// How many days the files of a job are kept after its end: its tree, its records, its coding agent's home.
    pub keep_days: u64,
    /// The coding agent of jobs that name none: a name under `[coders]`, or `factotum` for our own loop. The first one under
    /// `[coders]` when absent, and our own loop when there is none.
    pub coder: Option<String>,
    /// Whose name finished work is committed under.
    pub author: String,
}

impl Default for JobsConfig {
    fn default() -> Self {
        Self { at_once: 2, keep_days: 14, coder: None, author: "Factotum <factotum@localhost>".to_owned() }
    }
}
