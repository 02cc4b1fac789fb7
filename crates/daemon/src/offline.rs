//! What the command line may do without a running daemon: the configuration, secrets, the audit log, workspaces. All of
//! it works on the home's files alone.

use std::path::{Path, PathBuf};

use types::{Failure, SecretName, WorkspaceName};

use crate::api::views::Check;

/// A workspace of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct WorkspaceEntry {
    /// Its name.
    pub name: WorkspaceName,
    /// Its directory.
    pub path: PathBuf,
}

/// What `log verify` found in an intact log.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct VerifiedLog {
    /// How many records there are.
    pub records: u64,
    /// The hash of the last one, in hex.
    pub last_hash: String,
}

/// Checks `config.toml`, and that the secrets it names exist. Returns what a person should know.
pub fn config_check(_home: &Path) -> Result<Vec<String>, Failure> {
    todo!()
}

/// The JSON schema of the configuration.
pub fn config_schema() -> serde_json::Value {
    todo!()
}

/// A commented example of the configuration.
pub fn config_example() -> &'static str {
    todo!()
}

/// The path of the configuration file; it may be missing.
pub fn config_path(home: &Path) -> PathBuf {
    home.join("config.toml")
}

/// Stores a secret. `value` loses one trailing line break, since it usually comes from a pipe.
pub fn secret_set(_home: &Path, _name: &SecretName, _value: Vec<u8>) -> Result<(), Failure> {
    todo!()
}

/// The names of the stored secrets, sorted.
pub fn secret_list(_home: &Path) -> Result<Vec<SecretName>, Failure> {
    todo!()
}

/// Removes a secret; false when there was none.
pub fn secret_remove(_home: &Path, _name: &SecretName) -> Result<bool, Failure> {
    todo!()
}

/// Records of the audit log with a sequence number over `after`, at most `limit`, oldest first.
pub fn log_show(_home: &Path, _after: u64, _limit: usize) -> Result<Vec<serde_json::Value>, Failure> {
    todo!()
}

/// Verifies the audit log's chain and its head. A broken log is a `Failure` of kind `task` that names the line.
pub fn log_verify(_home: &Path) -> Result<VerifiedLog, Failure> {
    todo!()
}

/// The configured workspaces.
pub fn workspace_list(_home: &Path) -> Result<Vec<WorkspaceEntry>, Failure> {
    todo!()
}

/// Adds a workspace to `config.toml` and keeps the file's comments. The directory must exist.
pub fn workspace_add(_home: &Path, _name: &WorkspaceName, _path: &Path) -> Result<(), Failure> {
    todo!()
}

/// Removes a workspace from `config.toml`; its directory stays. False when there was none of this name.
pub fn workspace_remove(_home: &Path, _name: &WorkspaceName) -> Result<bool, Failure> {
    todo!()
}

/// Sets values in `config.toml`, keeping its comments: each key is a dotted path such as `agent.model`, each value TOML.
/// The file is written 0600 and only if the result is a valid configuration.
pub fn config_set(_home: &Path, _values: &[(String, String)]) -> Result<(), Failure> {
    todo!()
}

/// The checks of `doctor` that need no running daemon.
pub async fn doctor(_home: &Path) -> Vec<Check> {
    todo!()
}
