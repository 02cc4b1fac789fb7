//! Containers: sockets that make root of whoever reaches them, and containers that are not contained.

use std::{os::unix::fs::FileTypeExt, path::Path};

use super::text;
use crate::security::{Finding, Severity};

/// Sockets of container engines.
const SOCKETS: &[&str] =
    &["/var/run/docker.sock", "/run/podman/podman.sock", "/run/containerd/containerd.sock", "/run/crio/crio.sock"];

/// Looks at sockets that this user may open, and at the container around us, if there is one.
pub(super) fn run() -> Vec<Finding> {
    let mut findings = Vec::new();
    for socket in SOCKETS.iter().map(Path::new).filter(|path| is_socket(path)) {
        if rustix::fs::access(socket, rustix::fs::Access::WRITE_OK).is_ok() {
            findings.push(Finding::new(
                "machine.container-socket",
                Severity::Medium,
                format!("this user may use {}", socket.display()),
                "a fault outside of the sandbox is root on this machine; commands inside never see the socket",
                "run factotum as a user that is not in the group docker, or use rootless containers",
            ));
        }
    }
    findings.extend(text("/var/lib/dpkg/status").as_deref().and_then(old_runc));
    if is_privileged() {
        findings.push(Finding::new(
            "machine.privileged-container",
            Severity::High,
            "it runs in a container that has the host's devices",
            "leaving the container is one mount away",
            "start the container without --privileged",
        ));
    }
    findings
}

/// The versions of runc in which escapes through mounts of masked paths were mended: CVE-2025-31133, CVE-2025-52565 and
/// CVE-2025-52881 (<https://github.com/opencontainers/runc/releases/tag/v1.2.8>).
const MENDED_RUNC: [u32; 3] = [1, 2, 8];

/// Whether Debian's list of packages has a runc from before the escapes were mended. Distributions mend old versions too, so
/// this is only a reason to look.
fn old_runc(packages: &str) -> Option<Finding> {
    let version = packages
        .split("\n\n")
        .find(|package| package.starts_with("Package: runc\n"))
        .and_then(|package| package.lines().find_map(|line| line.strip_prefix("Version: ")))?;
    let numbers: Vec<u32> = version.split(['.', '+', '~', '-']).take(3).map_while(|part| part.parse().ok()).collect();
    (numbers.as_slice() < MENDED_RUNC.as_slice()).then(|| {
        Finding::new(
            "machine.runc",
            Severity::Low,
            format!("runc is version {version}"),
            "before 1.2.8 a container could write to the host's /proc, unless your distribution mended its version",
            "look at your distribution's notes on CVE-2025-31133, and update",
        )
    })
}

fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// A container with every capability is a privileged one. The mark of being in one is a file that engines leave.
fn is_privileged() -> bool {
    let inside = Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists();
    let status = text("/proc/self/status").unwrap_or_default();
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).map(str::trim).unwrap_or_default();
    // Bit 21 is CAP_SYS_ADMIN (capability.h).
    inside && u64::from_str_radix(bounding, 16).is_ok_and(|bits| bits & (1 << 21) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_runc_is_found_in_the_list_of_packages() {
        let list = |version: &str| {
            format!("Package: a\nVersion: 1\n\nPackage: runc\nStatus: installed\nVersion: {version}\n\n")
        };
        for (version, is_old) in [("1.1.5+ds1-1+deb12u1", true), ("1.2.7", true), ("1.2.8-1", false), ("1.3.3", false)]
        {
            assert_eq!(old_runc(&list(version)).is_some(), is_old, "{version}");
        }
        assert!(old_runc("Package: runc-doc\nVersion: 0.1\n").is_none());
    }
}
