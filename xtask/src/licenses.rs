//! Licences of all dependencies against the list in `deny.toml`. `cargo deny` checks more (advisories, sources) and is
//! run as well where it is installed; this needs no download.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{metadata::Metadata, report, root::root, spdx, step};

/// The part of `deny.toml` that is used here.
#[derive(Debug, Deserialize)]
struct Deny {
    licenses: Licenses,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

/// More licences for one package.
#[derive(Debug, Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: BTreeSet<String>,
}

/// Checks every package.
pub fn run() -> Result<()> {
    let root = root()?;
    let text = std::fs::read_to_string(root.join("deny.toml")).context("read deny.toml")?;
    let deny: Deny = toml::from_str(&text).context("read deny.toml")?;
    let exceptions: BTreeMap<&str, &BTreeSet<String>> =
        deny.licenses.exceptions.iter().map(|exception| (exception.name.as_str(), &exception.allow)).collect();
    let metadata = Metadata::read(&root)?;
    let mut refused = Vec::new();
    let mut count = 0;
    for package in metadata.others() {
        count += 1;
        let more = exceptions.get(package.name.as_str());
        let allows = |name: &str| deny.licenses.allow.contains(name) || more.is_some_and(|names| names.contains(name));
        let problem = match &package.license {
            None => Some("names no licence".to_owned()),
            Some(expression) => match spdx::holds(expression, &allows) {
                Ok(true) => None,
                Ok(false) => Some(format!("is under `{expression}`, which deny.toml does not allow")),
                Err(error) => Some(format!("has a licence that cannot be read: {error}")),
            },
        };
        refused.extend(problem.map(|problem| format!("{} {} {problem}", package.name, package.version)));
    }
    ensure!(refused.is_empty(), "licences:\n  {}", refused.join("\n  "));
    report::line(&format!("licences: {count} packages, all allowed"));
    if step::succeeds(&["cargo", "deny", "--version"]) {
        step::run(&root, &["cargo", "deny", "check", "licenses", "bans", "sources"], &[])?;
    }
    Ok(())
}
