//! A git repository with a real bug and real failing tests.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The program under repair.
const BILLING: &str = "\
\"\"\"Totals of an invoice, in cents.\"\"\"


def subtotal(lines):
    return sum(quantity * price for quantity, price in lines)


def total(lines, tax_percent):
    net = subtotal(lines)
    return net + net * tax_percent / 10
";

/// Its tests; `test_tax` fails until the bug is mended.
const TESTS: &str = "\
import unittest

from billing import subtotal, total


class Totals(unittest.TestCase):
    def test_subtotal(self):
        self.assertEqual(subtotal([(2, 150), (1, 99)]), 399)

    def test_tax(self):
        self.assertEqual(total([(1, 1000)], 20), 1200)


if __name__ == \"__main__\":
    unittest.main()
";

/// What stands wrong in the program.
pub const WRONG: &str = "net * tax_percent / 10";
/// What would be right.
pub const RIGHT: &str = "net * tax_percent / 100";
/// The command that runs the tests.
pub const TEST_COMMAND: &str = "python3 -B -m unittest 2>&1";

/// A repository on disk.
pub struct Repository {
    pub path: PathBuf,
}

impl Repository {
    /// Makes the repository with one commit in it.
    pub fn with_failing_tests(path: &Path) -> Self {
        std::fs::create_dir_all(path).unwrap();
        std::fs::write(path.join("billing.py"), BILLING).unwrap();
        std::fs::write(path.join("test_billing.py"), TESTS).unwrap();
        std::fs::write(path.join(".gitignore"), "__pycache__/\n").unwrap();
        let repository = Self { path: path.to_owned() };
        repository.git(&["init", "-q", "-b", "main"]);
        repository.git(&["config", "user.name", "Owner"]);
        repository.git(&["config", "user.email", "owner@example.test"]);
        repository.git(&["add", "."]);
        repository.git(&["commit", "-q", "-m", "billing: totals"]);
        repository
    }

    /// Runs git here and gives its output.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git").arg("-C").arg(&self.path).args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// How many commits there are.
    pub fn commits(&self) -> usize {
        self.git(&["rev-list", "--count", "HEAD"]).trim().parse().unwrap()
    }

    /// Whether the tests pass, run outside of any sandbox: the files are ours.
    pub fn tests_pass(&self) -> bool {
        Command::new("sh").arg("-c").arg(TEST_COMMAND).current_dir(&self.path).output().unwrap().status.success()
    }

    /// The marks that effectful commands of the scripted model left, one line for each time one ran.
    pub fn effects(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path.join(".git/effects.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
