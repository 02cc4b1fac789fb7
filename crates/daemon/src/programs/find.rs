//! Where a coding agent's program is: one of the owner's, or an installed version.

use std::{
    cmp::Ordering,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use types::Timestamp;

use crate::{Home, config::CoderConfig};

/// What every sandbox sees of the system, so that it needs no mount.
const VISIBLE: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"];
/// The most bytes of a record of an installation.
const MAX_RECORD: u64 = 64 * 1024;

/// A program that sandboxes can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// Where it is, outside and inside alike. A bare name is looked for in the sandbox.
    pub path: PathBuf,
    /// The directory that sandboxes must be shown for it.
    pub mount: Option<PathBuf>,
    /// What the installation recorded; none for a program of the owner's.
    pub installed: Option<Installed>,
}

/// The record of an installation, kept beside what was installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Installed {
    /// The coding agent.
    pub coder: String,
    /// Its version.
    pub version: String,
    /// The package with its version.
    pub package: String,
    /// The SHA-512 of the package's archive, as npm writes it.
    pub integrity: String,
    /// The native program, relative to this record.
    pub program: PathBuf,
    /// The SHA-256 of the native program, in hexadecimal.
    pub sha256: String,
    /// When it was installed.
    pub at: Timestamp,
}

/// The name of the record in an installed version's directory.
pub(crate) const RECORD: &str = "installed.json";

/// The program of the coding agent `name`. The error says what is missing and what to do.
pub(crate) fn find(home: &Home, name: &str, coder: &CoderConfig) -> Result<Program, String> {
    if let Some(program) = &coder.program {
        return own(program).map_err(|why| format!("coders.{name}.program: {why}"));
    }
    if let Some(first) = coder.command.first() {
        let path = Path::new(first);
        if path.is_absolute() {
            return own(path).map_err(|why| format!("coders.{name}.command: {why}"));
        }
        return Ok(Program { path: path.to_owned(), mount: None, installed: None });
    }
    let Some(kind) = coder.kind(name) else { return Err(format!("[coders.{name}] has no kind")) };
    let mut all = versions(home, kind.name());
    if let Some(wanted) = &coder.version {
        all.retain(|(_, installed)| installed.version == *wanted);
    }
    let Some((directory, installed)) = all.into_iter().next_back() else {
        let version = coder.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        return Err(format!(
            "{}{version} is not installed; run `factotum coder install {}`, or name a program of your own under \
             [coders.{name}]",
            kind.name(),
            kind.name()
        ));
    };
    let path = directory.join(&installed.program);
    Ok(Program { path, mount: Some(directory), installed: Some(installed) })
}

/// The installed versions of a kind of coding agent, oldest first.
pub(crate) fn versions(home: &Home, kind: &str) -> Vec<(PathBuf, Installed)> {
    let Ok(entries) = fs::read_dir(home.coder(kind)) else { return Vec::new() };
    let read = |entry: fs::DirEntry| {
        let directory = entry.path();
        let record = directory.join(RECORD);
        if fs::metadata(&record).ok()?.len() > MAX_RECORD {
            return None;
        }
        let installed: Installed = serde_json::from_slice(&fs::read(record).ok()?).ok()?;
        // Whatever else lies there is no installation of ours.
        let is_ours = directory.file_name()?.to_str() == Some(&installed.version)
            && installed.program.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        is_ours.then_some((directory, installed))
    };
    let mut all: Vec<_> = entries.flatten().filter_map(read).collect();
    all.sort_by(|(_, one), (_, other)| by_version(&one.version, &other.version));
    all
}

/// The order of versions: by their numbers, then by their text.
fn by_version(one: &str, other: &str) -> Ordering {
    let numbers = |text: &str| -> Vec<u64> {
        text.split(|character: char| !character.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
    };
    numbers(one).cmp(&numbers(other)).then_with(|| one.cmp(other))
}

/// A program of the owner's. A link is followed here, once; what it means is what sandboxes see.
fn own(path: &Path) -> Result<Program, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let path = path.canonicalize().map_err(failed)?;
    let found = fs::metadata(&path).map_err(failed)?;
    if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
        return Err(format!("{} is not a program", path.display()));
    }
    let mount = match path.parent() {
        Some(parent) if !VISIBLE.iter().any(|seen| parent.starts_with(seen)) => Some(parent.to_owned()),
        Some(_) | None => None,
    };
    Ok(Program { path, mount, installed: None })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn install(home: &Home, version: &str) {
        let directory = home.coder("claude").join(version);
        fs::create_dir_all(&directory).unwrap();
        let installed = Installed {
            coder: "claude".to_owned(),
            version: version.to_owned(),
            package: format!("package@{version}"),
            integrity: "sha512-x".to_owned(),
            program: PathBuf::from("package/claude"),
            sha256: "00".to_owned(),
            at: Timestamp(0),
        };
        fs::write(directory.join(RECORD), serde_json::to_vec(&installed).unwrap()).unwrap();
    }

    #[test]
    fn the_newest_installed_version_is_used_unless_another_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).unwrap();
        let missing = find(&home, "claude", &CoderConfig::default()).unwrap_err();
        assert!(missing.contains("factotum coder install claude"), "{missing}");
        for version in ["2.1.9", "2.1.10", "2.0.99"] {
            install(&home, version);
        }
        fs::create_dir_all(home.coder("claude").join("9.9.9")).unwrap();
        fs::create_dir_all(home.coder("claude").join("evil")).unwrap();
        fs::copy(home.coder("claude").join("2.1.9").join(RECORD), home.coder("claude").join("evil").join(RECORD))
            .unwrap();
        let found = find(&home, "claude", &CoderConfig::default()).unwrap();
        assert_eq!(found.path, home.coder("claude").join("2.1.10/package/claude"));
        assert_eq!(found.mount, Some(home.coder("claude").join("2.1.10")));
        let older = CoderConfig { version: Some("2.1.9".to_owned()), ..CoderConfig::default() };
        assert_eq!(find(&home, "claude", &older).unwrap().installed.unwrap().version, "2.1.9");
        let unknown = CoderConfig { version: Some("1.0.0".to_owned()), ..CoderConfig::default() };
        assert!(find(&home, "claude", &unknown).unwrap_err().contains("claude 1.0.0 is not installed"));
    }

    #[test]
    fn a_program_of_the_owners_is_what_its_link_means() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).unwrap();
        let real = directory.path().join("real");
        fs::create_dir_all(&real).unwrap();
        fs::write(real.join("claude"), "#!/bin/sh\n").unwrap();
        std::os::unix::fs::symlink(real.join("claude"), directory.path().join("link")).unwrap();
        let config = CoderConfig { program: Some(directory.path().join("link")), ..CoderConfig::default() };
        assert!(find(&home, "claude", &config).unwrap_err().contains("is not a program"));
        fs::set_permissions(real.join("claude"), fs::Permissions::from_mode(0o755)).unwrap();
        let found = find(&home, "claude", &config).unwrap();
        assert_eq!((found.path, found.mount), (real.canonicalize().unwrap().join("claude"), real.canonicalize().ok()));
        let system = CoderConfig { program: Some("/bin/sh".into()), ..CoderConfig::default() };
        assert_eq!(find(&home, "claude", &system).unwrap().mount, None);
        let named = CoderConfig { command: vec!["gemini".to_owned(), "--acp".to_owned()], ..CoderConfig::default() };
        assert_eq!(find(&home, "gemini", &named).unwrap().path, Path::new("gemini"));
    }
}
