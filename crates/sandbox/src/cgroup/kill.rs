//! Killing what is in a group. A process id that was read may belong to somebody else a moment later, so each process is
//! held by a descriptor and looked for in the group once more before it is killed.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Kills everything in a group and says how many there were.
pub(super) fn members(directory: &Path) -> usize {
    let before = pids(directory);
    if before.is_empty() {
        return 0;
    }
    // Version 2 does it in one step, for everything below as well.
    if fs::write(directory.join("cgroup.kill"), "1").is_ok() {
        return before.len();
    }
    let held: Vec<_> = before
        .iter()
        .filter_map(|pid| Some((*pid, pidfd_open(Pid::from_raw(*pid)?, PidfdFlags::empty()).ok()?)))
        .collect();
    let now: HashSet<i32> = pids(directory).into_iter().collect();
    for (_, process) in held.iter().filter(|(pid, _)| now.contains(pid)) {
        // It may have ended meanwhile.
        _ = pidfd_send_signal(process, Signal::KILL);
    }
    before.len()
}

/// The members of a group and of those beneath it.
pub(super) fn pids(directory: &Path) -> Vec<i32> {
    let all = below(directory).into_iter().chain([directory.to_owned()]);
    let texts = all.filter_map(|group| fs::read_to_string(group.join("cgroup.procs")).ok());
    // Zero stands for a process that cannot be seen from here.
    texts
        .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>())
        .filter(|pid| *pid > 0)
        .collect()
}

/// The groups right beneath a group.
pub(super) fn below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{io, process::Command};

    use super::*;

    /// On the real tree of version 2, whatever its controllers; only root can make a group there.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a process of the host's to kill")]
    #[expect(clippy::print_stderr, reason = "says why it is skipped")]
    fn everything_in_a_group_is_killed() -> io::Result<()> {
        let trees = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/pids"];
        let mut tried = 0;
        for tree in trees.map(Path::new).into_iter().filter(|tree| tree.join("cgroup.procs").exists()) {
            let group = tree.join(format!("factotum.kill-test.{}", std::process::id()));
            if fs::create_dir(&group).is_err() {
                continue;
            }
            tried += 1;
            let mut child = Command::new("sleep").arg("60").spawn()?;
            fs::write(group.join("cgroup.procs"), child.id().to_string())?;
            assert_eq!(members(&group), 1);
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait()?), Some(9));
            assert_eq!(members(&group), 0);
            fs::remove_dir(&group)?;
        }
        if tried == 0 {
            eprintln!("skipped: no group can be made here");
        }
        Ok(())
    }
}
