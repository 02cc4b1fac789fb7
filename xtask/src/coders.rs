//! Installing the coding agents that the tests drive: from their packages' pinned versions with the lock file's checksums,
//! without running a script of theirs. Must not touch what is there already.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::{report, root::root, step};

/// What pins them, relative to the root.
const PINS: &str = "tests/coders";
/// Where they are installed, relative to the root.
const TARGET: &str = "target/coders";

/// Installs those that are missing or of another version. Without them only the tests that drive them fail, each saying
/// what to do; so a registry that cannot be reached is reported and stops nothing.
pub fn install() -> Result<()> {
    let root = root()?;
    let (pins, target) = (root.join(PINS), root.join(TARGET));
    if is_installed(&pins, &target)? {
        return Ok(());
    }
    fs::create_dir_all(&target).with_context(|| format!("make {}", target.display()))?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(pins.join(file), target.join(file)).with_context(|| format!("copy {file} to {}", target.display()))?;
    }
    let npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    if let Err(error) = step::run(&target, &npm, &[]) {
        report::line(&format!(
            "the coding agents are not installed, and the tests that drive them will fail: {error:#}"
        ));
    }
    Ok(())
}

/// Whether each package for this machine is there in the pinned version.
fn is_installed(pins: &Path, target: &Path) -> Result<bool> {
    let lock = fs::read_to_string(pins.join("package-lock.json")).context("read the coding agents' lock file")?;
    let lock: serde_json::Value = serde_json::from_str(&lock).context("the coding agents' lock file")?;
    let cpu = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let packages = lock["packages"].as_object().context("a lock file without packages")?;
    let ours = packages.iter().filter(|(path, package)| !path.is_empty() && package["cpu"][0] == cpu);
    for (path, package) in ours {
        let Ok(found) = fs::read_to_string(target.join(path).join("package.json")) else { return Ok(false) };
        let found: serde_json::Value = serde_json::from_str(&found).unwrap_or_default();
        if found["version"] != package["version"] {
            return Ok(false);
        }
    }
    Ok(true)
}
