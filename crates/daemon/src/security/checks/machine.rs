//! The machine: root, logins, firewall, kernel, history. Reported, never changed.

use std::path::{Path, PathBuf};

use super::text;
use crate::security::{Finding, Severity};

/// Looks at the machine.
pub(super) fn run() -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(root());
    findings.extend(ssh_passwords(Path::new("/etc/ssh")));
    findings.extend(firewall());
    findings.extend(kernel());
    findings.extend(stale());
    findings.extend(updates(Path::new("/etc/apt")));
    findings.extend(environment(&text("/proc/self/environ").unwrap_or_default()));
    findings
}

fn root() -> Option<Finding> {
    rustix::process::geteuid().is_root().then(|| {
        Finding::new(
            "machine.root",
            Severity::Medium,
            "it runs as root",
            "a fault in the program itself, outside of every sandbox, is the whole machine",
            "make an ordinary user for it: useradd -m factotum; then run it as that user",
        )
    })
}

/// Whether sshd takes passwords. Its own default is yes; the first setting that is found counts (sshd_config(5)).
fn ssh_passwords(directory: &Path) -> Option<Finding> {
    let main = text(directory.join("sshd_config"))?;
    let mut texts: Vec<String> = Vec::new();
    let mut parts: Vec<PathBuf> = std::fs::read_dir(directory.join("sshd_config.d"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    parts.sort();
    texts.extend(parts.iter().filter(|path| path.extension().is_some_and(|it| it == "conf")).filter_map(text));
    texts.push(main);
    let setting = texts.iter().flat_map(|text| text.lines()).find_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        name.eq_ignore_ascii_case("PasswordAuthentication").then(|| words.next().unwrap_or_default().to_owned())
    });
    (!setting.is_some_and(|value| value.eq_ignore_ascii_case("no"))).then(|| {
        Finding::new(
            "machine.ssh-password",
            Severity::Medium,
            "sshd takes passwords",
            "a guessed password is a login, and with it everything here",
            "log in with a key, then set `PasswordAuthentication no` in /etc/ssh/sshd_config and reload sshd",
        )
    })
}

/// Whether the kernel has any rule that filters. Only what can be read without rights is looked at.
fn firewall() -> Option<Finding> {
    let modules = text("/proc/modules").unwrap_or_default();
    let has_tables = ["nf_tables", "iptable_filter", "ip_tables"]
        .iter()
        .any(|name| modules.lines().any(|line| line.split_whitespace().next() == Some(name)));
    let is_set_up =
        ["/etc/ufw/ufw.conf", "/etc/nftables.conf", "/etc/firewalld/firewalld.conf", "/etc/iptables/rules.v4"]
            .iter()
            .filter_map(text)
            .any(|text| !text.contains("ENABLED=no") && !text.trim().is_empty());
    (!has_tables && !is_set_up).then(|| {
        Finding::new(
            "machine.firewall",
            Severity::Low,
            "no packet filter seems to be in use",
            "every service that listens is reachable from everywhere",
            "allow only what you need, such as SSH: ufw default deny incoming; ufw allow OpenSSH; ufw enable",
        )
    })
}

/// Kernels under 5.19 lack parts that the sandbox builds on; under 6.7 Landlock does not know of TCP ports.
fn kernel() -> Option<Finding> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let numbers: Vec<u32> = release.split(['.', '-']).take(2).map_while(|part| part.parse().ok()).collect();
    (numbers.as_slice() < [6, 7].as_slice()).then(|| {
        Finding::new(
            "machine.kernel",
            if numbers.as_slice() < [5, 19].as_slice() { Severity::Medium } else { Severity::Low },
            format!("the kernel is Linux {release}"),
            "one layer of the sandbox knows less: Landlock limits TCP from 6.7 on",
            "update the kernel, for instance from your distribution's backports",
        )
    })
}

/// A program that was replaced on disk while it runs is an update that is not in force.
fn stale() -> Option<Finding> {
    let program = std::fs::read_link("/proc/self/exe").ok()?;
    program.to_string_lossy().ends_with(" (deleted)").then(|| {
        Finding::new(
            "machine.stale-program",
            Severity::Low,
            "this program's file was replaced while it runs",
            "faults that the update mends are still there",
            "restart factotum",
        )
    })
}

/// Whether Debian's own updates of security faults are on, where there is apt.
fn updates(apt: &Path) -> Option<Finding> {
    let parts = std::fs::read_dir(apt.join("apt.conf.d")).ok()?;
    let is_on = parts.flatten().filter_map(|entry| text(entry.path())).any(|text| {
        text.lines().any(|line| {
            let line = line.trim();
            line.starts_with("APT::Periodic::Unattended-Upgrade") && !line.contains("\"0\"")
        })
    });
    (!is_on).then(|| {
        Finding::new(
            "machine.updates",
            Severity::Low,
            "security updates are not installed by themselves",
            "known faults of the kernel and of services stay open for as long as you are busy",
            "apt-get install unattended-upgrades; dpkg-reconfigure -plow unattended-upgrades",
        )
    })
}

/// Secrets in this program's environment: every program that it starts without care would have them too.
fn environment(environ: &str) -> Option<Finding> {
    let sounds_secret = |name: &&str| {
        ["_KEY", "_TOKEN", "SECRET", "PASSWORD", "PASSWD"].iter().any(|part| name.to_ascii_uppercase().contains(part))
    };
    let names: Vec<&str> = environ
        .split('\0')
        .filter_map(|variable| variable.split_once('='))
        .filter(|(_, value)| value.len() >= 8)
        .map(|(name, _)| name)
        .filter(sounds_secret)
        .collect();
    (!names.is_empty()).then(|| {
        Finding::new(
            "machine.environment",
            Severity::Low,
            format!("the environment has what sounds like secrets: {}", names.join(", ")),
            "an environment is readable by every process of the same user; sandboxes get an empty one",
            "store them with `factotum secret set`, and remove them from your profile or unit file",
        )
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_the_environment_are_named_and_not_shown() {
        let found = environment("PATH=/usr/bin:/bin\0LAB_API_KEY=0123456789abcdef\0EMPTY_KEY=\0").unwrap();
        assert!(found.found.contains("LAB_API_KEY") && !found.found.contains("0123456789"), "{found:?}");
        assert!(environment("PATH=/usr/bin\0HOME=/root\0").is_none());
    }

    #[test]
    fn the_first_setting_of_sshd_counts() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        assert!(ssh_passwords(directory.path()).is_none(), "there is no sshd");
        write("sshd_config", "# PasswordAuthentication no\n");
        assert!(ssh_passwords(directory.path()).is_some());
        write("sshd_config", "passwordauthentication no\nPasswordAuthentication yes\n");
        assert!(ssh_passwords(directory.path()).is_none());
        std::fs::create_dir(directory.path().join("sshd_config.d")).unwrap();
        write("sshd_config.d/50-cloud.conf", "PasswordAuthentication yes\n");
        assert!(ssh_passwords(directory.path()).is_some());
    }
}
