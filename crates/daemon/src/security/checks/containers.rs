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
