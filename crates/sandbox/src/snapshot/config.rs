//! What the owner may set about snapshots.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How workspaces are saved before the agent writes to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotConfig {
    /// Directories that are neither saved nor put back. A name such as `target` means every directory of that name; a
    /// path such as `data/raw` means that one.
    pub exclude: Vec<String>,
    /// The largest workspace that is saved, in megabytes, excluded directories not counted.
    pub max_mb: u64,
    /// The most files, directories and links that are saved.
    pub max_files: usize,
    /// How many snapshots of each workspace are kept.
    pub keep: usize,
}

impl Default for SnapshotConfig {
    fn default() -> Self {
        let exclude = ["target", "node_modules", ".venv", "__pycache__"];
        Self { exclude: exclude.map(str::to_owned).to_vec(), max_mb: 2048, max_files: 200_000, keep: 20 }
    }
}
