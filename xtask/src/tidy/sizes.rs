//! Sizes: a file over 500 production lines is a question, over 800 a failure; a function over 100 lines needs a comment
//! above it that says `Long because`. A crate root that grows logic is the third place where code bases rot.

use super::run::{Findings, RustFile};

/// From here on a file is a question.
const FILE_WARNING: usize = 500;
/// From here on it is a failure.
const FILE_LIMIT: usize = 800;
/// The most lines of a function.
const FUNCTION_LIMIT: usize = 100;
/// What excuses a longer one.
const EXCUSE: &str = "Long because";

/// Checks one file.
pub fn check(file: &RustFile, findings: &mut Findings) {
    let path = file.path.display();
    let lines = file.source.production_lines();
    if lines > FILE_LIMIT && !file.is_test() {
        findings.error(format!("{path} has {lines} production lines; split it by concept, {FILE_LIMIT} is the limit"));
    } else if lines > FILE_WARNING && !file.is_test() {
        findings.warning(format!("{path} has {lines} production lines; does it hold two concepts?"));
    }
    for function in file.source.functions() {
        if function.lines > FUNCTION_LIMIT && !function.above.contains(EXCUSE) {
            findings.error(format!(
                "{path}:{} `{}` has {} lines; shorten it, or say above it `{EXCUSE} ...`",
                function.line, function.name, function.lines
            ));
        }
    }
    root_holds_logic(file, findings);
}

fn root_holds_logic(file: &RustFile, findings: &mut Findings) {
    let is_root = file.path.file_name().is_some_and(|name| name == "lib.rs" || name == "mod.rs");
    if !is_root || file.is_test() {
        return;
    }
    let tests = file.source.tests();
    let is_production = |line: usize| {
        !tests.iter().any(|range| (file.source.line(range.start)..=file.source.line(range.end - 1)).contains(&line))
    };
    if file.source.functions().iter().any(|function| is_production(function.line)) {
        findings.warning(format!(
            "{} declares and re-exports only; move its functions to named files",
            file.path.display()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::Source;

    fn check_text(path: &str, text: &str) -> Findings {
        let mut findings = Findings::default();
        check(&RustFile { path: path.into(), source: Source::read(text) }, &mut findings);
        findings
    }

    #[test]
    fn long_files_and_functions_are_found() {
        assert!(check_text("crates/x/src/a.rs", &"// x\n".repeat(500)).warnings().is_empty());
        assert_eq!(check_text("crates/x/src/a.rs", &"// x\n".repeat(501)).warnings().len(), 1);
        assert_eq!(check_text("crates/x/src/a.rs", &"// x\n".repeat(801)).errors().len(), 1);
        assert!(check_text("crates/x/tests/it/a.rs", &"// x\n".repeat(900)).errors().is_empty());
        let long = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(100));
        assert_eq!(check_text("crates/x/src/a.rs", &long).errors().len(), 1);
        let excused = format!("// Long because it is one table.\n{long}");
        assert!(check_text("crates/x/src/a.rs", &excused).errors().is_empty());
    }

    #[test]
    fn a_crate_root_only_declares() {
        assert_eq!(check_text("crates/x/src/lib.rs", "mod a;\npub fn f() {}\n").warnings().len(), 1);
        assert!(check_text("crates/x/src/lib.rs", "mod a;\npub use a::f;\n").warnings().is_empty());
    }
}
