//! The guard of the workspace's disk. A workspace is an ordinary directory, without a quota of its own, so the whole file
//! system is watched while a command runs: other programs that write there count as well.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::statvfs;

use crate::spec::Quota;

/// How often it is looked at.
pub(super) const EVERY: Duration = Duration::from_millis(250);
/// What a command may still use on a disk that was too full before it began, so that it can clean up.
const TO_CLEAN_UP: u64 = 16 * 1024 * 1024;
const MIB: u64 = 1024 * 1024;
/// Files that may be made by one command, and that must remain possible for others.
const MAX_NEW_FILES: u64 = 1_000_000;
const FREE_FILES: u64 = 1_000;

/// What is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Free {
    bytes: u64,
    size: u64,
    files: u64,
    /// Some file systems do not count files.
    counts_files: bool,
}

/// The state before a command began.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    before: Vec<(PathBuf, Free)>,
    quota: Quota,
}

impl Guard {
    /// Watches the file systems on which these directories lie. None when no file system tells.
    pub fn new(directories: &[PathBuf], quota: Quota) -> Option<Self> {
        let before = |directory: &PathBuf| Some((directory.clone(), look(directory)?));
        let before: Vec<_> = directories.iter().filter_map(before).collect();
        (!before.is_empty()).then_some(Self { before, quota })
    }

    /// Whether the command has used too much.
    pub fn is_full(&self) -> bool {
        self.before.iter().any(|(directory, before)| look(directory).is_some_and(|now| self.judge(*before, now)))
    }

    fn judge(&self, before: Free, now: Free) -> bool {
        let used = before.bytes.saturating_sub(now.bytes);
        // On a small disk the floor is a twentieth of it.
        let floor = self.quota.disk_floor_mb.saturating_mul(MIB).min(before.size / 20);
        let is_below = if before.bytes > floor { now.bytes < floor } else { used > TO_CLEAN_UP.min(floor) };
        let made = before.files.saturating_sub(now.files);
        let files = before.counts_files && (made > MAX_NEW_FILES || (made > FREE_FILES && now.files < FREE_FILES));
        used > self.quota.disk_mb.saturating_mul(MIB) || is_below || files
    }
}

fn look(directory: &Path) -> Option<Free> {
    let found = statvfs(directory).ok()?;
    Some(Free {
        bytes: found.f_bavail.saturating_mul(found.f_frsize),
        size: found.f_blocks.saturating_mul(found.f_frsize),
        files: found.f_favail,
        counts_files: found.f_files > 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SandboxConfig;

    #[track_caller]
    fn check(before_mb: u64, now_mb: u64, files: (u64, u64), expected: bool) {
        let free = |mb: u64, files| Free { bytes: mb * MIB, size: 100_000 * MIB, files, counts_files: true };
        let guard = Guard { before: Vec::new(), quota: Quota::of(&SandboxConfig::default()) };
        assert_eq!(guard.judge(free(before_mb, files.0), free(now_mb, files.1)), expected);
    }

    #[test]
    fn growth_the_floor_and_files_count() {
        let many = (10_000_000, 10_000_000);
        check(50_000, 49_000, many, false);
        check(50_000, 60_000, many, false);
        check(50_000, 45_000, many, true);
        check(1_000, 600, many, false);
        check(1_000, 500, many, true);
        check(500, 490, many, false);
        check(500, 480, many, true);
        check(50_000, 50_000, (10_000_000, 8_999_999), true);
        check(50_000, 50_000, (5_000, 999), true);
        check(50_000, 50_000, (1_500, 999), false);
    }
}
