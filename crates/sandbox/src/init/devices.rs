//! `/dev`: the few devices that programs expect, none of which reaches hardware, and terminals of the sandbox's own.

use std::{io, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{Mode, OFlags, mkdirat, openat, symlinkat},
    mount::MountAttrFlags,
};

use super::mount::Detached;

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "dev/fd"),
    ("/proc/self/fd/0", "dev/stdin"),
    ("/proc/self/fd/1", "dev/stdout"),
    ("/proc/self/fd/2", "dev/stderr"),
    ("pts/ptmx", "dev/ptmx"),
];

pub(super) fn place(root: &OwnedFd) -> io::Result<()> {
    for name in DEVICES {
        let path = format!("/dev/{name}");
        let device = Detached::of_host(Path::new(&path))?.ok_or_else(|| io::Error::other(format!("no {path}")))?;
        let here = path.trim_start_matches('/');
        drop(openat(root, here, OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC, Mode::from_raw_mode(0o644))?);
        device.device()?.attach(root, here)?;
    }
    for (target, path) in LINKS {
        symlinkat(target, root, path)?;
    }
    mkdirat(root, "dev/shm", Mode::from_raw_mode(0o755))?;
    mkdirat(root, "dev/pts", Mode::from_raw_mode(0o755))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Detached::new("devpts", &[("ptmxmode", "0666"), ("mode", "0620")], attributes)?.attach(root, "dev/pts")
}
