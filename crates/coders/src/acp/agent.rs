//! What a program says that it can do.

use serde_json::Value;

use crate::{border::MAX_LINE, text::head};

/// The program, as it introduced itself.
#[derive(Debug, Default)]
pub(super) struct Agent {
    /// It can copy a conversation.
    pub forks: bool,
    /// It can go on with a conversation without telling it again.
    pub resumes: bool,
    /// It can go on with a conversation, and tells all of it again.
    pub loads: bool,
    /// The way to log in: by a key, where it offers that.
    pub login: Option<String>,
    /// Its version.
    pub version: Option<String>,
}

impl Agent {
    pub fn read(said: &Value) -> Self {
        let capabilities = &said["agentCapabilities"];
        let can = |name: &str| !capabilities["sessionCapabilities"][name].is_null();
        let methods = said["authMethods"].as_array().map(Vec::as_slice).unwrap_or_default();
        let by_key = |method: &&Value| method["id"].as_str().is_some_and(|id| id.to_lowercase().contains("key"));
        let login = methods.iter().find(by_key).or(methods.first()).and_then(|method| method["id"].as_str());
        Self {
            forks: can("fork"),
            resumes: can("resume"),
            loads: capabilities["loadSession"] == true,
            login: login.map(str::to_owned),
            version: said["agentInfo"]["version"].as_str().map(|version| head(version, MAX_LINE).to_owned()),
        }
    }
}
