//! `/proc` of the sandbox's own processes, without the parts that speak of or to the machine.

use std::{io, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{AtFlags, statat},
    mount::MountAttrFlags,
};

use super::{Step, mount::Detached};
use crate::wire::Failure;

/// Files that become empty.
const HIDDEN_FILES: [&str; 12] = [
    "kcore",
    "keys",
    "key-users",
    "kmsg",
    "kpagecgroup",
    "kpagecount",
    "kpageflags",
    "latency_stats",
    "sched_debug",
    "sysrq-trigger",
    "timer_list",
    "vmallocinfo",
];
/// Directories that become empty.
const HIDDEN_DIRECTORIES: [&str; 5] = ["acpi", "asound", "driver", "dynamic_debug", "scsi"];
/// Directories that can only be read.
const READ_ONLY: [&str; 6] = ["bus", "fs", "irq", "pressure", "sys", "tty"];

pub(super) fn place(root: &OwnedFd) -> Result<(), Failure> {
    let attributes =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let proc = Detached::new("proc", &[], attributes).step("mount /proc")?;
    let handle = proc.root().try_clone().step("mount /proc")?;
    proc.attach(root, "proc").step("mount /proc")?;
    protect(root, &handle).step("hide parts of /proc")
}

fn protect(root: &OwnedFd, proc: &OwnedFd) -> io::Result<()> {
    let exists = |name: &&'static str| statat(proc, *name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
    for name in READ_ONLY.into_iter().filter(exists) {
        Detached::beneath(proc, name)?.read_only()?.attach(proc, name)?;
    }
    for name in HIDDEN_DIRECTORIES.into_iter().filter(exists) {
        Detached::beneath(root, "var/empty")?.read_only()?.attach(proc, name)?;
    }
    for name in HIDDEN_FILES.into_iter().filter(exists) {
        // Reading the null device gives nothing, and writing to it does nothing.
        let null = Detached::of_host(Path::new("/dev/null"))?.ok_or(io::ErrorKind::NotFound)?;
        null.device()?.attach(proc, name)?;
    }
    Ok(())
}
