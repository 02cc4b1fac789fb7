//! Changing `config.toml` and keeping what a person wrote around it. Nothing is written that would not be valid.

use std::{io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use egress::Vault;
use toml_edit::{DocumentMut, Item, Table, Value};
use types::{Clock, Failure, FailureKind, SecretName, WorkspaceName};

use super::{
    config_path, holds,
    secrets::{secret_value, vault_failure},
};
use crate::{Config, Home, SystemClock, failure::user, wiring};

/// Adds a workspace to `config.toml` and keeps the file's comments. The directory must exist.
pub fn workspace_add(home: &Path, name: &WorkspaceName, path: &Path) -> Result<(), Failure> {
    let text = workspace_check(home, path)?;
    change(home, |document| {
        let workspaces = table(document.as_table_mut(), "workspaces")?;
        if workspaces.contains_key(name.as_str()) {
            let hint = format!("remove it first: factotum workspace rm {name}");
            return Err(user(format!("there is a workspace `{name}` already"), hint));
        }
        table(workspaces, name.as_str())?.insert("path", toml_edit::value(text));
        Ok(true)
    })
    .map(|_| ())
}

/// Checks that a directory may be a workspace and gives its path without links. The home may be missing.
pub fn workspace_check(home: &Path, path: &Path) -> Result<String, Failure> {
    let hint = "name a directory that exists, of your own, and not all of your home";
    let path = path.canonicalize().map_err(|error| user(format!("{}: {error}", path.display()), hint))?;
    // The same check as at the start, so that a directory is not accepted here and refused there. Its name says nothing.
    let name = WorkspaceName::new("workspace").map_err(|error| user(error.to_string(), hint))?;
    let workspace = sandbox::Workspace::open(name, &path).map_err(|error| user(error.to_string(), hint))?;
    if Home::existing(home).is_ok_and(|home| home.is_reachable_from(workspace.dir())) {
        return Err(user(format!("{} holds factotum's home, or lies in it", path.display()), hint));
    }
    path.to_str().map(str::to_owned).ok_or_else(|| user("the path is not valid UTF-8", "rename the directory"))
}

/// Removes a workspace from `config.toml`; its directory stays. False when there was none of this name.
pub fn workspace_remove(home: &Path, name: &WorkspaceName) -> Result<bool, Failure> {
    change(home, |document| {
        let Some(workspaces) = document.get_mut("workspaces").and_then(Item::as_table_like_mut) else {
            return Ok(false);
        };
        Ok(workspaces.remove(name.as_str()).is_some())
    })
}

/// Sets values in `config.toml`, keeping its comments: each key is a dotted path such as `agent.model`, each value is
/// TOML, such as `"lab/model-1"` with its quotes. Stores the secrets that go with them. Nothing is changed unless the
/// whole would hold as `config_check` wants it; returns what a person should know. The secrets go first: a file that
/// names a missing one would keep the daemon from starting.
pub fn config_set(
    home: &Path,
    values: &[(String, String)],
    secrets: Vec<(SecretName, Vec<u8>)>,
) -> Result<Vec<String>, Failure> {
    let secrets: Vec<_> = secrets
        .into_iter()
        .map(|(name, value)| secret_value(value).map(|value| (name, value)))
        .collect::<Result<_, Failure>>()?;
    let coming: Vec<SecretName> = secrets.iter().map(|(name, _)| name.clone()).collect();
    let home = Home::open(home).map_err(|error| error.failure())?;
    let draft = draft(&home, |document| {
        for (key, text) in values {
            let value: Value = text.trim().parse().map_err(|error| {
                let hint = "strings need quotes: \"text\"";
                user(format!("the value for `{key}` is not TOML: {error}"), hint)
            })?;
            set(document.as_table_mut(), key, value)?;
        }
        Ok(true)
    })?;
    let Some((text, config)) = draft else { return Ok(Vec::new()) };
    let notes = holds(home.path(), &config, &coming)?;
    let vault = Vault::open(home.path()).map_err(vault_failure)?;
    for (name, value) in secrets {
        vault.set(&name, value, SystemClock::new().now()).map_err(vault_failure)?;
    }
    write(&home, &text)?;
    Ok(notes)
}

fn set(root: &mut Table, key: &str, value: Value) -> Result<(), Failure> {
    let mut parts: Vec<&str> = key.split('.').collect();
    let last =
        parts.pop().filter(|last| !last.is_empty()).ok_or_else(|| user("a key is empty", "write agent.model"))?;
    let mut present = root;
    for part in parts {
        present = table(present, part)?;
    }
    present.insert(last, toml_edit::value(value));
    Ok(())
}

/// The table of this name, made when it is missing. A table that was written inline becomes a proper one.
fn table<'a>(parent: &'a mut Table, name: &str) -> Result<&'a mut Table, Failure> {
    let item = parent.entry(name).or_insert_with(|| {
        let mut table = Table::new();
        // A table that only holds tables needs no header of its own.
        table.set_implicit(true);
        Item::Table(table)
    });
    if let Item::Value(Value::InlineTable(inline)) = item {
        *item = Item::Table(std::mem::take(inline).into_table());
    }
    item.as_table_mut().ok_or_else(|| user(format!("`{name}` in config.toml is not a table"), "mend the file by hand"))
}

/// Reads, changes, checks and writes the file. Writes nothing when `edit` says that nothing changed.
fn change(home: &Path, edit: impl FnOnce(&mut DocumentMut) -> Result<bool, Failure>) -> Result<bool, Failure> {
    let home = Home::open(home).map_err(|error| error.failure())?;
    match draft(&home, edit)? {
        Some((text, _)) => write(&home, &text).map(|()| true),
        None => Ok(false),
    }
}

/// The changed text, checked, and what it says; none when `edit` says that nothing changed.
fn draft(
    home: &Home,
    edit: impl FnOnce(&mut DocumentMut) -> Result<bool, Failure>,
) -> Result<Option<(String, Config)>, Failure> {
    let path = config_path(home.path());
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(broken(&path, &error.to_string())),
    };
    // A file with a mistake is told with its line, as at the start; whatever is edited must begin from a valid one.
    let mut document: DocumentMut = match text.parse() {
        Ok(document) => document,
        Err(_) => {
            return Err(Config::parse(&text, &path).err().map_or_else(|| broken(&path, "no TOML"), |e| e.failure()));
        }
    };
    if !edit(&mut document)? {
        return Ok(None);
    }
    let changed = document.to_string();
    let config = Config::parse(&changed, &path).map_err(|error| error.failure())?;
    wiring::require_apart(home, &config).map_err(|error| error.failure())?;
    Ok(Some((changed, config)))
}

/// Replaces the file as a whole, so that a crash leaves the old or the new one.
fn write(home: &Home, text: &str) -> Result<(), Failure> {
    let path = config_path(home.path());
    let temporary = path.with_extension(format!("toml.{}", std::process::id()));
    replace(&path, &temporary, text).map_err(|error| {
        // What is left of it is of no use; the error of the writing is the one that counts.
        let _ = std::fs::remove_file(&temporary);
        broken(&path, &error.to_string())
    })
}

fn replace(path: &Path, temporary: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(temporary, path)
}

fn broken(path: &Path, why: &str) -> Failure {
    let hint = "look at its permissions and the free space";
    Failure { kind: FailureKind::Config, error: format!("{}: {why}", path.display()), hint: Some(hint.to_owned()) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn name(text: &str) -> WorkspaceName {
        WorkspaceName::new(text).unwrap()
    }

    #[test]
    fn comments_survive_an_edit() {
        let home = tempfile::tempdir().unwrap();
        let text = "# mine\n[budget] # money\nsteps = 7 # few\n";
        std::fs::write(config_path(home.path()), text).unwrap();
        let values = [
            ("budget.task_usd".to_owned(), "2.5".to_owned()),
            ("providers.lab.api".to_owned(), "\"anthropic\"".to_owned()),
            ("providers.lab.base_url".to_owned(), "\"http://127.0.0.1:9\"".to_owned()),
            ("agent.model".to_owned(), "\"lab/m\"".to_owned()),
        ];
        config_set(home.path(), &values, Vec::new()).unwrap();
        let changed = std::fs::read_to_string(config_path(home.path())).unwrap();
        for kept in ["# mine", "[budget] # money", "steps = 7 # few", "task_usd = 2.5", "[providers.lab]"] {
            assert!(changed.contains(kept), "{kept} in:\n{changed}");
        }
        assert!(!changed.contains("[providers]\n"), "{changed}");
    }

    #[test]
    fn an_edit_that_would_break_the_file_is_refused() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(config_path(home.path()), "[budget]\nsteps = 7\n").unwrap();
        let failure = config_set(home.path(), &[("budget.steps".to_owned(), "0".to_owned())], Vec::new()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Config);
        assert_eq!(std::fs::read_to_string(config_path(home.path())).unwrap(), "[budget]\nsteps = 7\n");
    }

    #[test]
    fn what_would_not_hold_changes_neither_the_file_nor_the_secrets() {
        let home = tempfile::tempdir().unwrap();
        let before = "[budget]\nsteps = 7\n";
        std::fs::write(config_path(home.path()), before).unwrap();
        let key = || SecretName::new("lab-key").unwrap();
        let attempt = |url: &str, path: &str, secret: &str, value: &[u8]| {
            let values = [
                ("providers.lab.api", "anthropic"),
                ("providers.lab.base_url", url),
                ("providers.lab.key", secret),
                ("agent.model", "lab/m"),
                ("workspaces.w.path", path),
            ];
            let values = values.map(|(key, value)| (key.to_owned(), format!("{value:?}")));
            config_set(home.path(), &values, vec![(key(), value.to_vec())])
        };
        let work = tempfile::tempdir().unwrap();
        let (url, path, value) = ("http://127.0.0.1:9", work.path().to_str().unwrap(), b"0123456789".as_slice());
        assert!(attempt("http://user:pw@127.0.0.1:9", path, "lab-key", value).is_err());
        assert!(attempt(url, "/nowhere/at/all", "lab-key", value).is_err());
        assert!(attempt(url, "/etc", "lab-key", value).is_err());
        assert!(attempt(url, path, "another-key", value).is_err());
        assert!(attempt(url, path, "lab-key", b"a\0b").is_err());
        assert_eq!(std::fs::read_to_string(config_path(home.path())).unwrap(), before);
        assert!(super::super::secret_list(home.path()).unwrap().secrets.is_empty());
        attempt(url, path, "lab-key", value).unwrap();
        assert_eq!(super::super::secret_list(home.path()).unwrap().names(), [key().as_str()]);
        super::super::config_check(home.path()).unwrap();
    }

    #[test]
    fn the_home_is_no_workspace_and_in_none() {
        let outer = tempfile::tempdir().unwrap();
        let home = outer.path().join("agent");
        let link = outer.path().join("link");
        std::fs::create_dir_all(home.join("snapshots")).unwrap();
        std::os::unix::fs::symlink(&home, &link).unwrap();
        for path in [outer.path(), &home, &home.join("snapshots"), &link] {
            let failure = workspace_add(&home, &name("w"), path).unwrap_err();
            assert!(failure.error.contains("home"), "{}: {}", path.display(), failure.error);
        }
        let mount = format!("[{:?}]", outer.path());
        assert!(config_set(&home, &[("sandbox.read_only".to_owned(), mount)], Vec::new()).is_err());
        assert!(!config_path(&home).exists());
        let own = home.join("workspaces/main");
        std::fs::create_dir_all(&own).unwrap();
        workspace_add(&home, &name("w"), &own).unwrap();
        std::fs::write(config_path(&home), format!("[workspaces.w]\npath = {:?}\n", outer.path())).unwrap();
        assert!(super::super::config_check(&home).is_err());
    }

    #[test]
    fn workspaces_come_and_go() {
        let home = tempfile::tempdir().unwrap();
        let work = tempfile::tempdir().unwrap();
        workspace_add(home.path(), &name("billing"), work.path()).unwrap();
        assert!(workspace_add(home.path(), &name("billing"), work.path()).is_err());
        assert!(workspace_add(home.path(), &name("other"), &work.path().join("none")).is_err());
        let listed = super::super::workspace_list(home.path()).unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].path, work.path().canonicalize().unwrap());
        assert!(workspace_remove(home.path(), &name("billing")).unwrap());
        assert!(!workspace_remove(home.path(), &name("billing")).unwrap());
    }
}
