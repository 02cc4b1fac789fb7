//! Suppressed lints: `#[allow]` never, `#[expect]` with a reason and counted by crate in `xtask/expects.toml`, so that
//! one more shows in review. Test code is not counted.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::run::{Findings, RustFile};

/// The table of counts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// By the folder of the crate.
    pub expects: BTreeMap<String, usize>,
}

impl Table {
    /// Reads `xtask/expects.toml`.
    pub fn read(root: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(root.join("xtask/expects.toml")).context("read xtask/expects.toml")?;
        toml::from_str(&text).context("read xtask/expects.toml")
    }
}

/// Counts over all files.
pub fn check(files: &[RustFile], table: &Table, findings: &mut Findings) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for file in files {
        allows(file, findings);
        if !file.is_test() {
            *counts.entry(file.package()).or_default() += expects(file);
        }
    }
    for (package, count) in counts {
        let limit = table.expects.get(&package).copied().unwrap_or(0);
        if count > limit {
            findings.error(format!(
                "{package} suppresses {count} lints with #[expect]; {limit} were agreed in xtask/expects.toml"
            ));
        } else if count < limit {
            findings
                .warning(format!("{package} suppresses {count} lints only; lower its {limit} in xtask/expects.toml"));
        }
    }
}

fn allows(file: &RustFile, findings: &mut Findings) {
    for mark in ["#[allow(", "#![allow("] {
        for (offset, _) in file.source.code.match_indices(mark) {
            let line = file.source.line(offset);
            findings.error(format!("{}:{line} uses `allow`; use `expect` with a reason", file.path.display()));
        }
    }
}

fn expects(file: &RustFile) -> usize {
    let tests = file.source.tests();
    ["#[expect(", "#![expect("]
        .iter()
        .flat_map(|mark| file.source.code.match_indices(mark))
        // The attribute of a test module stands between its `cfg(test)` and its body, so inside of the range.
        .filter(|(offset, _)| !tests.iter().any(|range| range.contains(offset)))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::Source;

    fn errors(path: &str, text: &str, agreed: usize) -> usize {
        let mut findings = Findings::default();
        let table = Table { expects: BTreeMap::from([("crates/x".to_owned(), agreed)]) };
        let file = RustFile { path: path.into(), source: Source::read(text) };
        check(&[file], &table, &mut findings);
        findings.errors().len()
    }

    #[test]
    fn suppressions_are_counted() {
        let expect = "#[expect(dead_code, reason = \"why\")]\nfn f() {}\n";
        assert_eq!(errors("crates/x/src/a.rs", expect, 1), 0);
        assert_eq!(errors("crates/x/src/a.rs", &expect.repeat(2), 1), 1);
        assert_eq!(errors("crates/y/src/a.rs", expect, 1), 1);
        assert_eq!(errors("crates/x/tests/it/a.rs", &expect.repeat(2), 0), 0);
        let test = "#[cfg(test)]\n#[expect(clippy::unwrap_used, reason = \"why\")]\nmod tests {}\n";
        assert_eq!(errors("crates/x/src/a.rs", test, 0), 0);
        assert_eq!(errors("crates/x/src/a.rs", "#[allow(dead_code)]\nfn f() {}\n", 0), 1);
        assert_eq!(errors("crates/x/src/a.rs", "// #[allow(dead_code)]\n", 0), 0);
    }
}
