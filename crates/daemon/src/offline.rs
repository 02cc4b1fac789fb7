//! What the command line may do without a running daemon: the configuration, secrets, the audit log, workspaces. All of
//! it works on the home's files alone.

mod edit;
mod jobs;
mod scan;
mod second_factor;
mod secrets;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use egress::Vault;
use store::{Store, StoreError, audit};
use types::{Failure, FailureKind, Prices, SecretName, WorkspaceName};

use crate::{
    Config, Home, SystemClock,
    api::views::Check,
    config,
    failure::{internal, stored, user},
    ship::{shipped, target_of},
    wiring,
};

pub use scan::{ScanFinding, ScanOptions, ScanReport, secret_scan};
pub use secrets::{
    BindOptions, DeadView, SecretView, SecretsView, secret_bind, secret_check, secret_dead, secret_key_move,
    secret_key_restore, secret_list, secret_put, secret_remove, secret_rotate, secret_set,
};

use secrets::vault_failure;

pub use providers::{Subscription, Vendor, nearest as nearest_vendors, vendor, vendors};

pub use edit::{config_set, workspace_add, workspace_check, workspace_remove};
pub use jobs::end_jobs;
pub use second_factor::second_factor_lost;

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

/// Checks `config.toml`, and that what it names exists and can be used. Returns what a person should know.
pub fn config_check(home: &Path) -> Result<Vec<String>, Failure> {
    let config = Config::load(&config_path(home)).map_err(|error| error.failure())?;
    let mut notes = Vec::new();
    if !config_path(home).exists() {
        notes.push("there is no config.toml; the defaults apply".to_owned());
    }
    notes.extend(holds(home, &config, &[])?);
    Ok(notes)
}

/// Checks that what a configuration names exists and can be used, with the secrets that are `coming`.
fn holds(home: &Path, config: &Config, coming: &[SecretName]) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    match config.model() {
        None => notes.push("no model is configured: the built-in practice model answers".to_owned()),
        Some(model) => {
            let provider = config.providers.get(model.provider);
            if provider.is_some_and(|provider| provider.facts(model.model).prices.is_none()) {
                notes.push(format!(
                    "nobody knows what the model `{name}` costs, so its costs are not counted and nothing runs without you under a \
                     limit of money; write it down: [providers.{vendor}.models.\"{name}\"] with prices = {{ input = 3.0, output = \
                     15.0 }}, in US dollars per million tokens",
                    name = model.model,
                    vendor = model.provider,
                ));
            }
        }
    }
    for (name, workspace) in &config.workspaces {
        if !workspace.path.is_dir() {
            let error = format!("workspaces.{name}.path: there is no directory {}", workspace.path.display());
            let hint = Some("make the directory, or correct the path".to_owned());
            return Err(Failure { kind: FailureKind::Config, error, hint });
        }
    }
    // A home without a vault has no secrets; opening one must not make files.
    if home.is_dir() {
        let opened = Home::existing(home).map_err(|error| error.failure())?;
        let vault = Vault::open(home).map_err(vault_failure)?;
        wiring::try_out(&opened, config, &vault, coming).map_err(|error| error.failure())?;
    }
    Ok(notes)
}

/// What a model of the built-in table costs, if it is known.
pub fn known_prices(vendor: &str, model: &str) -> Option<Prices> {
    providers::model(vendor, model).and_then(|model| model.prices)
}

/// The JSON schema of the configuration.
pub fn config_schema() -> serde_json::Value {
    Config::schema()
}

/// A commented example of the configuration.
pub fn config_example() -> &'static str {
    config::EXAMPLE
}

/// The path of the configuration file; it may be missing.
pub fn config_path(home: &Path) -> PathBuf {
    home.join("config.toml")
}

/// Whether this can be the address of a provider; the error says why not and does not repeat it, since it may hold a
/// password.
pub fn address_check(address: &str) -> Result<(), Failure> {
    let hint = "an address is like https://api.anthropic.com; keys are stored as secrets";
    egress::check_address(address).map_err(|error| user(error.message, hint))
}

/// Records of the audit log with a number over `after`, at most `limit`, oldest first.
pub fn log_show(home: &Path, after: u64, limit: usize) -> Result<Vec<serde_json::Value>, Failure> {
    let path = log_path(home);
    if !path.exists() {
        return Ok(Vec::new());
    }
    audit::read(&path, after, limit).map_err(internal)
}

/// What `log verify --copy` found in a copy that is in order.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct VerifiedCopy {
    /// The local log.
    pub log: VerifiedLog,
    /// The copy beside it.
    pub copy: audit::Compared,
}

/// Verifies the audit log, and a copy that was shipped: a file or a directory. What is wrong is a `Failure` of kind
/// `task` that says where the two part.
pub fn log_verify_copy(home: &Path, copy: &Path) -> Result<VerifiedCopy, Failure> {
    let config = Config::load(&config_path(home)).map_err(|error| error.failure())?;
    let shipped = match (Store::open_read_only(home, Arc::new(SystemClock::new())), target_of(&config.audit, copy)) {
        (Ok(store), Some(name)) => shipped(&store, name).map_err(stored)?.seq,
        (Ok(_), None) | (Err(StoreError::Missing { .. }), _) => 0,
        (Err(error), _) => return Err(stored(error)),
    };
    // Where the two part is told even if the local log is broken: the copy tells what it was.
    let compared = audit::compare(&log_path(home), copy, shipped);
    let copy = compared.map_err(|parted| Failure {
        kind: FailureKind::Task,
        error: parted.to_string(),
        hint: Some("the copy is beyond the reach of whoever changed the log here, and the other way round".to_owned()),
    })?;
    Ok(VerifiedCopy { log: log_verify(home)?, copy })
}

/// Verifies the audit log's chain and its end. A broken log is a `Failure` of kind `task` that names the line.
pub fn log_verify(home: &Path) -> Result<VerifiedLog, Failure> {
    let path = log_path(home);
    let head = match Store::open_read_only(home, Arc::new(SystemClock::new())) {
        Ok(store) => store.audit_head().map_err(stored)?,
        Err(StoreError::Missing { .. }) => None,
        Err(error) => return Err(stored(error)),
    };
    if head.is_none() && !path.exists() {
        return Ok(VerifiedLog { records: 0, last_hash: String::new() });
    }
    let verified = match head {
        Some(head) => audit::verify_with_head(&path, &head),
        None => audit::verify(&path),
    };
    match verified {
        Ok(audit::Verified { records, last_hash }) => Ok(VerifiedLog { records, last_hash }),
        Err(broken) => Err(Failure {
            kind: FailureKind::Task,
            error: format!("the audit log was changed: {broken}"),
            hint: Some("compare it with a backup; whoever changed it had the rights of this user".to_owned()),
        }),
    }
}

/// The configured workspaces.
pub fn workspace_list(home: &Path) -> Result<Vec<WorkspaceEntry>, Failure> {
    let config = Config::load(&config_path(home)).map_err(|error| error.failure())?;
    let entry = |(name, workspace): (String, config::WorkspaceConfig)| {
        WorkspaceName::new(name).map(|name| WorkspaceEntry { name, path: workspace.path }).map_err(internal)
    };
    config.workspaces.into_iter().map(entry).collect()
}

/// The checks of `doctor` that need no running daemon; only the named one when `only` is given. The check
/// `sandbox-start` is made only when it is named, since it starts a sandbox in a scratch workspace.
pub async fn doctor(home: &Path, only: Option<&str>) -> Vec<Check> {
    crate::doctor::offline(home, only).await
}

/// Where the log is: in the home, or where the writer keeps it. A configuration that cannot be read names none.
fn log_path(home: &Path) -> PathBuf {
    Config::load(&config_path(home)).unwrap_or_default().audit.log_path(home)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// What would stop the start is found by the check, with something to do.
    #[test]
    fn the_check_tries_what_the_start_would() {
        let provider = |rest: &str| format!("[agent]\nmodel = \"lab/m\"\n[providers.lab]\n{rest}\n");
        let cases = [
            provider("api = \"anthropic\"\nbase_url = \"http://user:pw@127.0.0.1:9\""),
            provider("api = \"anthropic\"\nbase_url = \"nowhere\""),
            provider("api = \"gemini\"\nbase_url = \"http://127.0.0.1:9\"\nattempts = 0"),
            "[channels.telegram.home]\ntoken = \"token\"\nallow = [5]\napi_base = \"file:///x\"\n".to_owned(),
            "[workspaces.x]\npath = \"/etc\"\n".to_owned(),
            "[workspaces.x]\npath = \"/\"\n".to_owned(),
        ];
        for text in cases {
            let home = tempfile::tempdir().unwrap();
            secret_set(home.path(), &SecretName::new("token").unwrap(), b"1:a".to_vec()).unwrap();
            std::fs::write(config_path(home.path()), &text).unwrap();
            let failure = config_check(home.path()).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Config, "{text}");
            assert!(failure.hint.is_some(), "{text}");
            assert!(!failure.error.contains("user:pw"), "{}", failure.error);
        }
    }
}
