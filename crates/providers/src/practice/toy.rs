//! The toy project: small enough to read at a glance, with one mistake in it. It needs a shell and git, nothing else.

/// The files of the toy project: path, content, whether it is executable. Whoever sets up the workspace writes them.
pub const TOY_FILES: &[(&str, &str, bool)] =
    &[("README", README, false), ("greet.sh", GREET, true), ("test.sh", TEST, true), (".gitignore", "build/\n", false)];

/// The mistaken part of `greet.sh`.
pub(super) const MISTAKE: &str = "\"$nmae\"";
/// What belongs there.
pub(super) const FIX: &str = "\"$name\"";
/// What the tests print when all is well.
pub(super) const PASSED: &str = "all tests passed";
/// What the tests print when it is not.
pub(super) const FAILED: &str = "some tests failed";

const README: &str = "\
A toy project for the practice model. greet.sh greets; test.sh tests it and leaves
a report in build/. One of the two has a mistake.
";

pub(super) const GREET: &str = r#"#!/bin/sh
# Greets the person who is named, or the world.
name=${1:-world}
printf 'Hello, %s!\n' "$nmae"
"#;

const TEST: &str = r#"#!/bin/sh
# Tests greet.sh and leaves a report in build/.
mkdir -p build
failed=0
: > build/report.txt

check() {
    expected=$1
    shift
    got=$(sh greet.sh "$@")
    if [ "$got" = "$expected" ]; then
        line="ok: $expected"
    else
        line="FAIL: expected '$expected', got '$got'"
        failed=1
    fi
    echo "$line"
    echo "$line" >> build/report.txt
}

check 'Hello, world!'
check 'Hello, Ada!' Ada

if [ "$failed" -ne 0 ]; then
    echo 'some tests failed'
    exit 1
fi
echo 'all tests passed'
"#;
