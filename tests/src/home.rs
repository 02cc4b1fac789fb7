//! A home directory for one daemon under test.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Telegram's numeric id of the owner in all tests.
pub const OWNER: i64 = 123_456_789;
/// The key that the scripted model server expects.
pub const KEY: &str = "lab-key-0123456789abcdef";

/// A temporary home, with a directory beside it for workspaces.
pub struct Home {
    directory: TempDir,
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    pub fn new() -> Self {
        Self { directory: tempfile::Builder::new().prefix("factotum-test-").tempdir().unwrap() }
    }

    /// The daemon's home.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// Where the test keeps workspaces and whatever else it needs.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes `config.toml`.
    pub fn configure(&self, config: &str) {
        let home = self.path();
        std::fs::create_dir_all(&home).unwrap();
        make_private(&home);
        std::fs::write(home.join("config.toml"), config).unwrap();
    }
}

fn make_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
}

/// A configuration with the scripted model, one workspace, and Telegram where an address is given.
pub fn config(api: &str, model: &str, workspace: &Path, telegram: Option<&str>) -> String {
    let mut text = format!(
        r#"[agent]
model = "lab/model-1"

[api]
listen = "127.0.0.1:0"

[providers.lab]
api = "{api}"
base_url = "{model}"
key = "lab-key"
prices = {{ "model-1" = {{ input = 3.0, output = 15.0, cache_read = 0.3, cache_write = 3.75 }} }}

[workspaces.billing]
path = "{workspace}"

[budget]
task_usd = 5.0
day_usd = 20.0
steps = 100
"#,
        workspace = workspace.display()
    );
    if let Some(api_base) = telegram {
        text.push_str(&format!(
            r#"
[channels.telegram.home]
token = "telegram-token"
allow = [{OWNER}]
api_base = "{api_base}"
poll_timeout_s = 2
"#
        ));
    }
    text
}
