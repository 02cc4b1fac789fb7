//! Control groups: the quotas of a sandbox as a whole, and a group for each command, so that all of it can be found and
//! killed. Version 2 where its controllers can be used, version 1 where they cannot, and nothing, which is reported, where
//! neither can. Must not touch groups that others made.

mod kill;
mod place;

use std::{
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{canary::QuotaKind, spec::Quota};

use place::Place;

const MIB: u64 = 1024 * 1024;
/// How often and how long removal is tried: the kernel takes a moment to bury what was killed.
const REMOVE_TRIES: u32 = 250;
const REMOVE_PAUSE: Duration = Duration::from_millis(2);

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// The groups of one sandbox. Those of commands lie beneath.
#[derive(Debug)]
pub(crate) struct Groups {
    kind: QuotaKind,
    /// What the first process enters.
    entered: Vec<PathBuf>,
    /// Beneath which the groups of commands are made.
    parents: Vec<PathBuf>,
    /// All of it, innermost first.
    made: Vec<PathBuf>,
}

impl Groups {
    /// Makes the groups with their quotas, of the best kind that works here.
    pub fn create(quota: &Quota) -> Self {
        let name = place::name(NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut groups =
            Self { kind: QuotaKind::RlimitsOnly, entered: Vec::new(), parents: Vec::new(), made: Vec::new() };
        let created = match place::find() {
            Place::V2(parent) => groups.create_v2(&parent.join(&name), quota),
            Place::V1 { memory, pids, cpu } => {
                groups.create_v1([memory.join(&name), pids.join(&name)], cpu.as_ref().map(|cpu| cpu.join(&name)), quota)
            }
            Place::None => return groups,
        };
        if let Err(error) = created {
            tracing::warn!(%error, "control groups cannot be used; memory is limited for each process only");
            groups.remove_now();
            groups = Self { kind: QuotaKind::RlimitsOnly, entered: Vec::new(), parents: Vec::new(), made: Vec::new() };
        }
        groups
    }

    fn create_v2(&mut self, top: &Path, quota: &Quota) -> io::Result<()> {
        self.make(top.to_owned())?;
        write(top, "memory.max", quota.memory_mb.saturating_mul(MIB))?;
        write_if_there(top, "memory.swap.max", 0)?;
        write(top, "pids.max", quota.pids + 1)?;
        write_if_there(top, "cpu.max", format!("{} 100000", quota.cpu_percent * 1000))?;
        // Processes may live only in leaves once controllers are handed down.
        write(top, "cgroup.subtree_control", "+memory +pids")?;
        let first = top.join("init");
        self.make(first.clone())?;
        self.entered.push(first);
        self.parents.push(top.to_owned());
        self.kind = QuotaKind::V2;
        Ok(())
    }

    fn create_v1(&mut self, tops: [PathBuf; 2], cpu: Option<PathBuf>, quota: &Quota) -> io::Result<()> {
        let [memory, pids] = &tops;
        self.make(memory.clone())?;
        self.make(pids.clone())?;
        let bytes = quota.memory_mb.saturating_mul(MIB);
        write(memory, "memory.limit_in_bytes", bytes)?;
        write_if_there(memory, "memory.memsw.limit_in_bytes", bytes)?;
        write(pids, "pids.max", quota.pids + 1)?;
        if let Some(cpu) = cpu {
            self.make(cpu.clone())?;
            write(&cpu, "cpu.cfs_quota_us", quota.cpu_percent * 1000)?;
            self.entered.push(cpu);
        }
        self.entered.extend(tops.clone());
        self.parents.extend(tops);
        self.kind = QuotaKind::V1;
        Ok(())
    }

    fn make(&mut self, directory: PathBuf) -> io::Result<()> {
        fs::create_dir(&directory)?;
        self.made.insert(0, directory);
        Ok(())
    }

    /// How quotas are enforced.
    pub fn kind(&self) -> QuotaKind {
        self.kind
    }

    /// The lists that the first process must write itself into.
    pub fn lists(&self) -> io::Result<Vec<OwnedFd>> {
        self.entered.iter().map(|directory| list(directory)).collect()
    }

    /// The groups of one command.
    pub fn command(&self, id: u64) -> io::Result<CommandGroups> {
        let mut made = Vec::new();
        for parent in &self.parents {
            let directory = parent.join(format!("run-{id}"));
            if let Err(error) = fs::create_dir(&directory) {
                drop(CommandGroups { made });
                return Err(error);
            }
            made.push(directory);
        }
        Ok(CommandGroups { made })
    }

    /// How many processes outside of any command's group the kernel killed for want of memory.
    pub fn killed_for_memory(&self) -> u64 {
        killed_for_memory(&self.entered)
    }

    /// Kills everything in all groups, without waiting.
    pub fn kill(&self) {
        for directory in &self.made {
            kill::members(directory);
        }
    }

    /// Removes all groups; everything in them must have been killed.
    pub async fn remove(&self) {
        for _ in 0..REMOVE_TRIES {
            if self.remove_now() {
                return;
            }
            self.kill();
            tokio::time::sleep(REMOVE_PAUSE).await;
        }
        tracing::warn!("control groups of a sandbox could not be removed; they are tried again at the next start");
    }

    /// Tries once to remove all groups, and says whether none is left.
    pub fn remove_now(&self) -> bool {
        for parent in &self.parents {
            for directory in kill::below(parent) {
                // One that is not empty yet keeps its parent, which is reported below.
                _ = fs::remove_dir(directory);
            }
        }
        let mut is_all = true;
        for directory in &self.made {
            let is_gone = match fs::remove_dir(directory) {
                Ok(()) => true,
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            };
            is_all &= is_gone;
        }
        is_all
    }
}

/// Removes the groups that dead runs of this program left behind.
pub(crate) fn clean_stale() {
    place::clean_all();
}

/// The groups of one command and of all that it started.
#[derive(Debug)]
pub(crate) struct CommandGroups {
    made: Vec<PathBuf>,
}

impl CommandGroups {
    /// The lists that the command must write itself into.
    pub fn lists(&self) -> io::Result<Vec<OwnedFd>> {
        self.made.iter().map(|directory| list(directory)).collect()
    }

    /// Whether there are groups by which the command can be killed.
    pub fn exist(&self) -> bool {
        !self.made.is_empty()
    }

    /// Whether anything of the command still runs.
    pub fn are_populated(&self) -> bool {
        self.made.iter().any(|directory| !kill::pids(directory).is_empty())
    }

    /// Kills everything in the groups and waits until they are empty, for at most a second.
    pub async fn kill(&self) {
        for directory in &self.made {
            // Where processes are counted, nothing new can be born any more.
            _ = write_if_there(directory, "pids.max", 0);
        }
        for _ in 0..500 {
            if self.made.iter().map(|directory| kill::members(directory)).sum::<usize>() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// How many processes the kernel killed for want of memory.
    pub fn killed_for_memory(&self) -> u64 {
        killed_for_memory(&self.made)
    }
}

impl Drop for CommandGroups {
    fn drop(&mut self) {
        for directory in &self.made {
            // What still runs keeps its group until the sandbox ends.
            _ = fs::remove_dir(directory);
        }
    }
}

/// How many processes in these groups the kernel killed for want of memory.
fn killed_for_memory(groups: &[PathBuf]) -> u64 {
    let files = ["memory.events", "memory.oom_control"];
    let texts = groups.iter().flat_map(|directory| files.map(|file| fs::read_to_string(directory.join(file))));
    texts.flatten().map(|text| count(&text)).sum()
}

/// The value of `oom_kill` in the kernel's text.
fn count(text: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

fn list(directory: &Path) -> io::Result<OwnedFd> {
    Ok(File::options().write(true).open(directory.join("cgroup.procs"))?.into())
}

fn write(directory: &Path, file: &str, value: impl ToString) -> io::Result<()> {
    let path = directory.join(file);
    fs::write(&path, value.to_string())
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn write_if_there(directory: &Path, file: &str, value: impl ToString) -> io::Result<()> {
    if directory.join(file).exists() { write(directory, file, value) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_for_memory_are_counted_in_both_texts() {
        assert_eq!(count("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"), 2);
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"), 5);
        assert_eq!(count("nothing"), 0);
    }

    #[test]
    fn quotas_of_version_2_are_written_as_the_kernel_reads_them() -> io::Result<()> {
        let place = tempfile::tempdir()?;
        let top = place.path().join("top");
        let mut groups =
            Groups { kind: QuotaKind::RlimitsOnly, entered: Vec::new(), parents: Vec::new(), made: Vec::new() };
        let quota = Quota { pids: 10, memory_mb: 64, ..Quota::of(&crate::SandboxConfig::default()) };
        groups.create_v2(&top, &quota)?;
        let read = |file: &str| fs::read_to_string(top.join(file));
        assert_eq!(read("memory.max")?, "67108864");
        assert_eq!(read("pids.max")?, "11");
        assert_eq!(read("cgroup.subtree_control")?, "+memory +pids");
        assert_eq!((groups.kind(), groups.entered.as_slice()), (QuotaKind::V2, [top.join("init")].as_slice()));
        fs::write(top.join("init/cgroup.procs"), "")?;
        assert_eq!(groups.lists()?.len(), 1);
        let command = groups.command(3)?;
        assert_eq!(command.made, [top.join("run-3")]);
        fs::write(top.join("run-3/memory.events"), "oom 1\noom_kill 1\n")?;
        assert_eq!(command.killed_for_memory(), 1);
        Ok(())
    }
}
