//! The root of the repository and its files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Directories that hold no sources of ours.
const SKIPPED: &[&str] = &[".git", "target", "node_modules"];

/// The repository's root.
pub fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask has no directory above it")?.to_owned())
}

/// All files below `root` as paths relative to it, sorted. Works in an unpacked archive, too, where git knows nothing.
pub fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = std::fs::read_dir(&directory).with_context(|| format!("read {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() && !SKIPPED.iter().any(|skipped| entry.file_name() == **skipped) {
                directories.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path().strip_prefix(root)?.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}
