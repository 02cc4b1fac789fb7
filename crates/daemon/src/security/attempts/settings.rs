//! Combinations of settings that no other defence makes good: each must refuse to start.

use std::path::Path;

use super::Surroundings;
use crate::{
    Config,
    security::{Outcome, refuse_unsafe},
};

/// Settings that must be refused, with what is wrong with them.
const UNSAFE: &[(&str, &str)] = &[
    ("the API on a public address", "[api]\nlisten = \"0.0.0.0:7717\"\n"),
    ("a messenger that nobody may use", "[channels.telegram.home]\ntoken = \"telegram\"\nallow = []\n"),
    (
        "a small model with the web and no strong sandbox",
        "[agent]\nmodel = \"lab/tiny-3b\"\n[providers.lab]\napi = \"openai-chat\"\nbase_url = \"http://127.0.0.1:9/v1\"\n\
         [workspaces.w]\npath = \"/srv/w\"\n[workspaces.w.egress]\npresets = [\"github\"]\n",
    ),
];

/// Reads each as the start does.
pub(super) async fn unsafe_combinations(_around: &Surroundings) -> Outcome {
    let started: Vec<String> =
        UNSAFE.iter().filter(|(_, text)| starts(text)).map(|(what, _)| (*what).to_owned()).collect();
    Outcome::unless(&started, format!("{} combinations", UNSAFE.len()))
}

/// Whether the daemon would start with these settings on a machine whose sandbox is weak.
fn starts(text: &str) -> bool {
    match Config::parse(text, Path::new("config.toml")) {
        Ok(config) => refuse_unsafe(&config, false).is_ok(),
        Err(_) => false,
    }
}
