//! What cargo knows about the packages.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::step;

/// The parts of `cargo metadata` that are used here.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// Every package that takes part in a build on Linux.
    pub packages: Vec<Package>,
    /// The ids of ours.
    pub workspace_members: Vec<String>,
}

/// A package.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence as an SPDX expression.
    pub license: Option<String>,
    /// What it asks for.
    pub dependencies: Vec<Dependency>,
}

/// One line of a manifest's dependencies.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    /// The package's name.
    pub name: String,
    /// None for a normal one, else `dev` or `build`.
    pub kind: Option<String>,
}

impl Metadata {
    /// Asks cargo. Only Linux counts, so that packages for other systems need not be fetched.
    pub fn read(root: &Path) -> Result<Self> {
        let platform = concat!("x86_64", "-unknown-linux-gnu");
        let command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", platform];
        let text = step::output(root, &command)?;
        serde_json::from_str(&text).context("read what `cargo metadata` printed")
    }

    /// Our packages.
    pub fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// Everybody else's.
    pub fn others(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| !self.workspace_members.contains(&package.id))
    }
}
