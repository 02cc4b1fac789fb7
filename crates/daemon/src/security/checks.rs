//! What cannot be attempted and is looked at: permissions, settings, and the machine around. A check reports and, where it
//! is told to and no decision of the owner is needed, mends. It must not change firewalls, logins or services.

mod containers;
mod files;
mod machine;
mod models;
mod ports;
mod settings;

use std::path::Path;

use super::{AuditOptions, Finding, Severity};
use crate::{Config, ConfigError};

/// Looks at everything.
pub(super) async fn run(home: &Path, config: Result<&Config, &ConfigError>, options: &AuditOptions) -> Vec<Finding> {
    let mut findings = files::run(home, options.fix);
    match config {
        Ok(config) => {
            findings.extend(settings::run(config));
            findings.extend(models::run(config));
            findings.extend(ports::run(config));
        }
        Err(error) => findings.push(Finding::new(
            "config.invalid",
            Severity::High,
            format!("the configuration cannot be read: {error}"),
            "nothing is known about the settings in force",
            "mend it; `factotum config check` says where",
        )),
    }
    findings.extend(machine::run());
    findings.extend(containers::run());
    match &options.only {
        None => findings,
        Some(only) => findings.into_iter().filter(|finding| finding.id.starts_with(only.as_str())).collect(),
    }
}

/// The text of a small file; none when it cannot be read.
fn text(path: impl AsRef<Path>) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(1 << 20).read_to_string(&mut text).ok()?;
    Some(text)
}
