//! Installing what the tests need and a fresh Debian or Ubuntu lacks.

use anyhow::Result;

use crate::{coders, report, root::root, step};

/// Programs that the tests start, with the package that holds each.
const PROGRAMS: &[(&str, &str)] = &[
    ("curl", "curl"),
    ("git", "git"),
    ("ip", "iproute2"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("python3", "python3"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("pgrep", "procps"),
    ("tmux", "tmux"),
    ("sshd", "openssh-server"),
];

/// Installs what is missing, as far as we may.
pub fn run() -> Result<()> {
    programs()?;
    coders::install()?;
    components();
    if !has_nextest() {
        // It runs each test in a process of its own; without it, `cargo test` runs the same tests.
        let installed = step::run(&root()?, &["cargo", "install", "--locked", "cargo-nextest"], &[]);
        if let Err(error) = installed {
            report::line(&format!("cargo-nextest is not available, `cargo test` takes its place: {error:#}"));
        }
    }
    Ok(())
}

/// Whether the test runner is installed.
pub fn has_nextest() -> bool {
    step::succeeds(&["cargo", "nextest", "--version"])
}

fn programs() -> Result<()> {
    let mut packages: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !is_installed(program)).map(|(_, package)| *package).collect();
    // Debian has the part of Python that makes environments in a package of its own.
    if !step::succeeds(&["python3", "-c", "import ensurepip"]) {
        packages.push("python3-venv");
    }
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(" ");
    if !step::succeeds(&["sh", "-c", "test \"$(id -u)\" = 0"]) || !is_installed("apt-get") {
        report::line(&format!("some tests need {names}; install them with `sudo apt-get install {names}`"));
        return Ok(());
    }
    let root = root()?;
    let quiet = [("DEBIAN_FRONTEND", "noninteractive")];
    step::run(&root, &["apt-get", "update", "-q"], &quiet)?;
    let install = ["apt-get", "install", "-q", "-y", "--no-install-recommends"];
    step::run(&root, &[&install, packages.as_slice()].concat(), &quiet)
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// A minimal toolchain lacks these two.
fn components() {
    for (tool, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !step::succeeds(&["cargo", tool, "--version"]) && !step::succeeds(&["rustup", "component", "add", component])
        {
            report::line(&format!("{component} is missing; install it with `rustup component add {component}`"));
        }
    }
}
