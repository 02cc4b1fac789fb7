//! Every Rust file starts by saying what it owns: a `//!` comment on its first line.

use super::run::{Findings, RustFile};

/// Checks one file.
pub fn check(file: &RustFile, findings: &mut Findings) {
    let first = file.source.text.lines().next().unwrap_or_default();
    if first.strip_prefix("//!").is_none_or(|text| text.trim().is_empty()) {
        findings.error(format!("{}:1 does not start with `//!` and what the module owns", file.path.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::Source;

    #[test]
    fn a_header_is_demanded() {
        let errors = |text: &str| {
            let mut findings = Findings::default();
            check(&RustFile { path: "a.rs".into(), source: Source::read(text) }, &mut findings);
            findings.errors().len()
        };
        assert_eq!(errors("//! Columns.\n"), 0);
        for bad in ["", "use a;\n", "//!\n", "\n//! Late.\n", "// Columns.\n"] {
            assert_eq!(errors(bad), 1, "{bad:?}");
        }
    }
}
