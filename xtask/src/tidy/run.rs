//! Running all rules over all files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{edges, headers, sizes, source::Source, suppressions, words};
use crate::{
    metadata::Metadata,
    report,
    root::{files, root},
};

/// What the rules found.
#[derive(Debug, Default)]
pub struct Findings {
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl Findings {
    /// Something that must not be.
    pub fn error(&mut self, text: impl Into<String>) {
        self.errors.push(text.into());
    }

    /// Something to think about.
    pub fn warning(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// All errors, for tests.
    #[cfg(test)]
    pub fn errors(&self) -> &[String] {
        &self.errors
    }

    /// All warnings, for tests.
    #[cfg(test)]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// A Rust file.
#[derive(Debug)]
pub struct RustFile {
    /// Relative to the root.
    pub path: PathBuf,
    /// What it holds.
    pub source: Source,
}

impl RustFile {
    /// Whether all of it is test code.
    pub fn is_test(&self) -> bool {
        let is_tests = |part: &std::ffi::OsStr| part == "tests" || part == "tests.rs";
        self.path.components().any(|part| is_tests(part.as_os_str()))
    }

    /// The folder that holds its crate: `crates/store`, `xtask`.
    pub fn package(&self) -> String {
        let mut parts = self.path.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let first = parts.next().unwrap_or_default();
        match parts.next() {
            Some(second) if first == "crates" => format!("{first}/{second}"),
            _ => first,
        }
    }
}

/// Runs all rules; fails if one of them is broken.
pub fn run() -> Result<()> {
    let root = root()?;
    let mut findings = Findings::default();
    edges::check(&Metadata::read(&root)?, &mut findings);
    let paths = files(&root)?;
    let mut rust = Vec::new();
    for path in &paths {
        let Some(text) = read(&root, path)? else { continue };
        words::check(path, &text, &root, &mut findings);
        if path.extension().is_some_and(|extension| extension == "rs") {
            rust.push(RustFile { path: path.clone(), source: Source::read(&text) });
        }
    }
    for file in &rust {
        sizes::check(file, &mut findings);
        headers::check(file, &mut findings);
    }
    suppressions::check(&rust, &suppressions::Table::read(&root)?, &mut findings);
    for warning in &findings.warnings {
        report::line(&format!("tidy: warning: {warning}"));
    }
    ensure!(findings.errors.is_empty(), "tidy:\n  {}", findings.errors.join("\n  "));
    report::line(&format!("tidy: {} Rust files are in order", rust.len()));
    Ok(())
}

/// A text file's content; none for what is no text.
fn read(root: &Path, path: &Path) -> Result<Option<String>> {
    let bytes = std::fs::read(root.join(path)).with_context(|| format!("read {}", path.display()))?;
    Ok(String::from_utf8(bytes).ok())
}
