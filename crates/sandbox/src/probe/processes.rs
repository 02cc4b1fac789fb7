//! Other processes: seeing them, reading them, taking from them.

use std::{fs, path::Path};

use super::{
    Attempt, attempt,
    calls::{is_refused, raw},
};

pub(super) const ALL: &[Attempt] = &[
    attempt("first-process-root", "read through the root of the first process", |_| is_closed("/proc/1/root")),
    attempt("first-process-environment", "read the environment and memory of the first process", |_| {
        ["environ", "mem", "maps", "auxv"]
            .iter()
            .all(|name| fs::read(format!("/proc/1/{name}")).map_or(true, |t| t.is_empty()))
    }),
    attempt("first-process-files", "open what the first process has open", |_| is_closed("/proc/1/fd")),
    attempt("own-program", "overwrite the program of the first process", |_| {
        fs::OpenOptions::new().write(true).open("/proc/1/exe").is_err() && fs::read_link("/proc/1/exe").is_err()
    }),
    attempt("foreign-processes", "see processes that are not the sandbox's", |_| only_own_processes()),
    attempt("kill-outside", "send a signal to all that can be reached", |_| cannot_signal_outside()),
    attempt("ptrace", "trace a process", |_| {
        is_refused(libc::SYS_ptrace, &[libc::PTRACE_SEIZE as usize, 1, 0, 0])
            && is_refused(libc::SYS_ptrace, &[0, 0, 0, 0])
    }),
    attempt("process-memory", "read and write the memory of another process", |_| {
        is_refused(libc::SYS_process_vm_readv, &[1, 0, 0, 0, 0, 0])
            && is_refused(libc::SYS_process_vm_writev, &[1, 0, 0, 0, 0, 0])
    }),
    attempt("take-descriptor", "take a descriptor from another process", |_| {
        let process = raw(libc::SYS_pidfd_open, &[1, 0]).unwrap_or(0);
        is_refused(libc::SYS_pidfd_getfd, &[process, 3, 0])
    }),
    attempt("compare-processes", "compare the inside of two processes", |_| {
        is_refused(libc::SYS_kcmp, &[1, 1, 0, 0, 0])
    }),
];

fn is_closed(path: &str) -> bool {
    fs::read_dir(path).is_err() && fs::read_link(path).is_err()
}

fn only_own_processes() -> bool {
    let Ok(entries) = fs::read_dir("/proc") else { return false };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // The first process, the probe and this attempt; nothing else has been started in the sandbox of the self-test.
    let names: Vec<u32> = pids.collect();
    names.contains(&1) && names.len() <= 3 && names.contains(&std::process::id()) && Path::new("/proc/self").exists()
}

/// A signal to everybody but oneself reaches nobody whose name is not in our own list of processes; the number 0 only asks.
fn cannot_signal_outside() -> bool {
    [2_usize, 300, 1000, 4000, 30_000].iter().all(|pid| {
        let is_ours = Path::new(&format!("/proc/{pid}")).exists();
        is_ours || matches!(raw(libc::SYS_kill, &[*pid, 0]), Err(libc::ESRCH | libc::EPERM))
    })
}
