//! Killing by descent, where there are no control groups by which a command could be killed.

use std::{
    collections::{HashMap, HashSet},
    fs,
};

use rustix::process::{Pid, Signal, kill_process};

/// Processes that are looked at.
const MAX_KILLED: usize = 100_000;
/// How often processes that were born meanwhile are looked for.
const MAX_LOOKS: u32 = 100;

/// Kills all descendants of a process, as far as they can be told from others: those whose parent has ended belong to
/// nobody. Used where there are no control groups to kill.
pub(super) fn tree(leader: Pid) {
    for pid in with_descendants(&[leader], &parents()).into_iter().filter_map(Pid::from_raw) {
        // It may have ended meanwhile.
        _ = kill_process(pid, Signal::KILL);
    }
}

/// Kills everything inside but this process and what descends from `spared`. What is born meanwhile is found on the next
/// look.
pub(super) fn all_but(spared: &[Pid]) {
    let mut killed = HashSet::new();
    for _ in 0..MAX_LOOKS {
        let parents = parents();
        let spared = with_descendants(spared, &parents);
        // What was killed stays to be seen until it is buried, which is later.
        let doomed = parents.keys().filter(|pid| !spared.contains(pid)).copied();
        let fresh: Vec<i32> = doomed.filter(|pid| killed.insert(*pid)).collect();
        if fresh.is_empty() {
            return;
        }
        for pid in fresh.into_iter().filter_map(Pid::from_raw) {
            // It may have ended meanwhile.
            _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// These processes and all that descends from them, as far as the parents still live.
fn with_descendants(leaders: &[Pid], parents: &HashMap<i32, i32>) -> HashSet<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for (pid, parent) in parents {
        children.entry(*parent).or_default().push(*pid);
    }
    let mut waiting: Vec<i32> = leaders.iter().map(|pid| pid.as_raw_nonzero().get()).collect();
    let mut all = HashSet::new();
    while let Some(pid) = waiting.pop() {
        if all.insert(pid) {
            waiting.extend(children.get(&pid).into_iter().flatten());
        }
    }
    all
}

/// Every process inside with its parent.
fn parents() -> HashMap<i32, i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != 1).filter_map(|pid| Some((pid, parent_of(pid)?))).take(MAX_KILLED).collect()
}

fn parent_of(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so what follows its last parenthesis counts.
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
