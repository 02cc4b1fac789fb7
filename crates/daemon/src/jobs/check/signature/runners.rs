//! The names of failing tests, as the usual runners write them: cargo test, nextest and rustc; pytest and unittest; go test; Node's
//! own, Jest and Vitest; JUnit under Maven and Gradle. Pure.

use std::{collections::BTreeSet, sync::LazyLock};

use regex::Regex;

/// The most names that are kept.
const MAX_NAMES: usize = 5_000;
/// The longest name, in characters.
const MAX_NAME: usize = 200;

/// One form in which a failure is told; the named groups `a` and `b` are its name.
struct Form {
    shape: Regex,
    /// Forms whose lines say the same once more are not looked for where this one is found.
    instead_of: &'static [usize],
}

const LIBTEST: usize = 1;
const TAP: usize = 6;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let forms: [(&str, &'static [usize]); 13] = [
        // cargo nextest shows the output of libtest beneath.
        (
            r"(?m)^\s*(?:TRY \d+ )?(?:FAIL|TIMEOUT|ABORT|SIG[A-Z]+|LEAK-FAIL|XFAIL) \[[^\]\n]*\](?: \([^)\n]*\))? (?P<a>\S+ \S.*)$",
            &[LIBTEST],
        ),
        (r"(?m)^\s*test (?P<a>.+?) \.\.\. FAILED$", &[]),
        (r"(?m)^(?P<a>error(?:\[E\d+\])?: .+)\n\s*--> (?P<b>[^:\s]+):\d+", &[]),
        (r"(?m)^(?:FAILED|ERROR) (?P<a>\S+\.py(?:::\S.*?)?)(?: - .*)?$", &[]),
        (r"(?m)^(?:FAIL|ERROR): (?P<a>\S+ \([\w.]+\))", &[]),
        (r"(?m)^\s*--- FAIL: (?P<a>\S+) \(", &[]),
        (r"(?m)^\s*not ok \d+(?: -)? (?P<a>[^#\n]+?)(?: # time=.*)?$", &[]),
        (r"(?m)^\s*✖ (?P<a>.+?) \([\d.]+m?s\)$", &[TAP]),
        (r"(?m)^\s*● (?P<a>\S.*)$", &[]),
        (r"(?m)^\s*FAIL\s+(?P<a>\S+\.[cm]?[jt]sx?(?: > .+?)?)(?: \([\d.]+ m?s\))?$", &[]),
        (r"(?m)^FAIL\t(?P<a>\S+ \[(?:build|setup) failed\])$", &[]),
        (
            r"(?m)^\[ERROR\]\s+(?P<a>[\w$.]+[\w$\[\]()]*(?:\([\w$.]+\))?)\s+(?:--\s+)?Time elapsed: .*<<< (?:FAILURE|ERROR)!",
            &[],
        ),
        (r"(?m)^(?P<a>[\w$.]+ > .+) FAILED$", &[]),
    ];
    forms
        .map(|(shape, instead_of)| Form { shape: Regex::new(shape).expect("the literal is tested"), instead_of })
        .into()
});

/// The line of a documentation test, which moves with every line above it.
static LINE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\(line \d+\)").expect("the literal is tested"));

/// The names of what fails; empty where no known runner tells any.
pub(super) fn failing(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut passed_over: Vec<usize> = Vec::new();
    for (number, form) in FORMS.iter().enumerate() {
        if passed_over.contains(&number) {
            continue;
        }
        let before = names.len();
        for found in form.shape.captures_iter(text) {
            let part = |name| found.name(name).map(|part| part.as_str().trim());
            let Some(first) = part("a") else { continue };
            if is_noise(first) {
                continue;
            }
            let name = part("b").map_or_else(|| first.to_owned(), |second| format!("{first} ({second})"));
            let name = LINE.replace_all(&name, "").trim().chars().take(MAX_NAME).collect();
            if names.len() < MAX_NAMES {
                names.insert(name);
            }
        }
        if names.len() > before {
            passed_over.extend(form.instead_of);
        }
    }
    names
}

/// Lines that have the form of a failure and name none.
fn is_noise(name: &str) -> bool {
    name.starts_with("Console") || name.starts_with("error: aborting") || name.starts_with("Validation Warning")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(output: &str, expected: &[&str]) {
        let found: Vec<String> = failing(output).into_iter().collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn rust_tells_its_failures() {
        check(include_str!("../fixtures/cargo.txt"), &["tests::adds", "tests::deep::panics"]);
        check(include_str!("../fixtures/nextest.txt"), &["toy tests::adds", "toy tests::deep::panics"]);
        check(
            include_str!("../fixtures/cargo-compile.txt"),
            &["error[E0425]: cannot find value `c` in this scope (src/lib.rs)"],
        );
        check("test src/lib.rs - add (line 12) ... FAILED\n", &["src/lib.rs - add"]);
    }

    #[test]
    fn python_tells_its_failures() {
        check(
            include_str!("../fixtures/pytest.txt"),
            &["test_a.py::TestC::test_m", "test_a.py::test_param[2]", "test_a.py::test_sum", "test_b.py"],
        );
        check(
            include_str!("../fixtures/unittest.txt"),
            &["test_boom (test_billing.Totals.test_boom)", "test_tax (test_billing.Totals.test_tax)"],
        );
    }

    #[test]
    fn node_tells_its_failures() {
        check(include_str!("../fixtures/tap.txt"), &["adds", "inner one", "suite"]);
        check(include_str!("../fixtures/jest.txt"), &["./sum.test.js", "adds", "group › inner"]);
    }

    #[test]
    fn forms_of_other_runners() {
        let go = "=== RUN   TestAdd\n    add_test.go:8: got 0\n--- FAIL: TestAdd (0.00s)\n    --- FAIL: TestAdd/zero (0.01s)\nFAIL\nFAIL\texample.test/add\t0.003s\nFAIL\texample.test/broken [build failed]\n";
        check(go, &["TestAdd", "TestAdd/zero", "example.test/broken [build failed]"]);
        let spec = "✖ adds (1.9ms)\n  ✖ inner one (0.2ms)\n✔ fine (0.1ms)\n";
        check(spec, &["adds", "inner one"]);
        check(" FAIL  src/a.test.ts > suite > name\n", &["src/a.test.ts > suite > name"]);
        let maven = "[ERROR] Tests run: 2, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0.05 s <<< FAILURE! -- in com.acme.AppTest\n[ERROR] com.acme.AppTest.adds -- Time elapsed: 0.004 s <<< FAILURE!\n[ERROR] old(com.acme.OldTest)  Time elapsed: 0.01 s  <<< ERROR!\n";
        check(maven, &["com.acme.AppTest.adds", "old(com.acme.OldTest)"]);
        check("AppTest > adds() FAILED\n    java.lang.AssertionError\n", &["AppTest > adds()"]);
    }

    #[test]
    fn what_passes_is_no_failure() {
        check(
            "test a ... ok\nok 1 - a\n✔ a (1ms)\nPASS src/a.test.js\n--- PASS: TestA (0.00s)\nINFO all FAILED requests were retried\n",
            &[],
        );
    }
}
