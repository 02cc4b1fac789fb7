//! The configuration: what the owner may set. Each component's part stands beside the component; this adds them up.

/// All of `config.toml`.
#[derive(Clone, Debug, Default)]
pub struct Config {}

/// What is wrong with the configuration, and where.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// What is wrong.
    pub message: String,
}
