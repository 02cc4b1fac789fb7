//! The home: who may read it. Mends permissions when it is told to.

use std::{
    fs::Permissions,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::security::{Finding, Severity};

/// How deep the home is looked through.
const DEPTH: usize = 4;
/// The most entries that are looked at.
const MAX_ENTRIES: usize = 20_000;

/// Looks at the home and everything in it that is ours: workspaces are the owner's affair.
pub(super) fn run(home: &Path, fix: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut open = Vec::new();
    let mut foreign = Vec::new();
    let mut left = MAX_ENTRIES;
    walk(home, DEPTH, &mut left, &mut |path, metadata| {
        if metadata.permissions().mode() & 0o077 != 0 {
            open.push(path.to_owned());
        }
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            foreign.push(path.to_owned());
        }
    });
    if !open.is_empty() {
        let mut finding = Finding::new(
            "home.permissions",
            Severity::High,
            format!("others may read {}", named(&open)),
            "any account of this machine reads your conversations, or the key of your secrets",
            format!("chmod -R go-rwx {}", home.display()),
        );
        finding.fixed = fix && open.iter().all(|path| close(path));
        findings.push(finding);
    }
    if !foreign.is_empty() {
        findings.push(Finding::new(
            "home.owner",
            Severity::High,
            format!("{} belong to another user", named(&foreign)),
            "that user changes your settings or your journal",
            format!("look at who made them, then: chown -R \"$(id -u)\" {}", home.display()),
        ));
    }
    findings.extend(parents(home));
    findings
}

/// Somebody who may write a directory above can put another home in its place.
fn parents(home: &Path) -> Option<Finding> {
    let above = home.ancestors().skip(1).find(|path| {
        let Ok(metadata) = std::fs::metadata(path) else { return false };
        let mode = metadata.permissions().mode();
        // With the sticky bit, as in /tmp, only the owner of an entry may replace it.
        mode & 0o022 != 0 && mode & 0o1000 == 0
    })?;
    Some(Finding::new(
        "home.parent",
        Severity::High,
        format!("others may write {}, which holds the home", above.display()),
        "another account puts a home of its own in the place of yours",
        format!("chmod go-w {}", above.display()),
    ))
}

fn close(path: &Path) -> bool {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return false };
    let mode = metadata.permissions().mode() & 0o700;
    !metadata.is_symlink() && std::fs::set_permissions(path, Permissions::from_mode(mode)).is_ok()
}

fn named(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().take(3).map(|path| path.display().to_string()).collect();
    match paths.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Visits the directory and what is in it. Links are not followed, and workspaces inside the home are left out.
fn walk(path: &Path, depth: usize, left: &mut usize, visit: &mut impl FnMut(&Path, &std::fs::Metadata)) {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return };
    if *left == 0 || metadata.is_symlink() {
        return;
    }
    *left -= 1;
    visit(path, &metadata);
    if !metadata.is_dir() || depth == 0 || path.file_name().is_some_and(|name| name == "workspaces") {
        return;
    }
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        walk(&entry.path(), depth - 1, left, visit);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn open_files_are_found_and_closed() {
        let home = tempfile::tempdir().unwrap();
        std::fs::set_permissions(home.path(), Permissions::from_mode(0o700)).unwrap();
        let vault = home.path().join("vault");
        std::fs::write(&vault, "x").unwrap();
        std::fs::set_permissions(&vault, Permissions::from_mode(0o644)).unwrap();
        let found = run(home.path(), false);
        assert_eq!(found.iter().map(|finding| finding.id.as_str()).collect::<Vec<_>>(), ["home.permissions"]);
        assert!(!found[0].fixed);
        assert!(run(home.path(), true)[0].fixed);
        assert!(run(home.path(), false).is_empty());
        assert_eq!(std::fs::metadata(&vault).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
