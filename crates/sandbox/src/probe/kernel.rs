//! The kernel's own doors: namespaces, mounts, and calls that have been ways out before.

use std::{fs::File, os::fd::AsRawFd};

use super::{
    Attempt, Only, attempt,
    calls::{call_as_32_bit, is_refused, raw, text},
};

const HERE: usize = libc::AT_FDCWD as usize;

pub(super) const ALL: &[Attempt] = &[
    attempt("user-namespace", "make a user namespace", |_| cannot_unshare(libc::CLONE_NEWUSER)),
    attempt("mount-namespace", "make a mount namespace", |_| cannot_unshare(libc::CLONE_NEWNS)),
    attempt("process-namespace", "make a process namespace", |_| cannot_unshare(libc::CLONE_NEWPID)),
    attempt("network-namespace", "make a network namespace", |_| cannot_unshare(libc::CLONE_NEWNET)),
    attempt("other-namespaces", "make the other kinds of namespaces", |_| {
        [libc::CLONE_NEWIPC, libc::CLONE_NEWUTS, libc::CLONE_NEWCGROUP, libc::CLONE_NEWTIME]
            .into_iter()
            .all(cannot_unshare)
    }),
    attempt("clone-namespace", "start a process in a new user namespace", |_| {
        let flags = (libc::CLONE_NEWUSER | libc::SIGCHLD) as usize;
        end_if_child(raw(libc::SYS_clone, &[flags, 0, 0, 0, 0])) == Err(libc::EPERM)
    }),
    attempt("clone3", "start a process by the call whose flags a filter cannot see", |_| {
        raw(libc::SYS_clone3, &[0, 0]) == Err(libc::ENOSYS)
    }),
    attempt("enter-namespace", "enter a namespace", |_| {
        let own = File::open("/proc/self/ns/net").map(|file| file.as_raw_fd() as usize).unwrap_or(0);
        is_refused(libc::SYS_setns, &[own, 0])
    }),
    attempt("mount", "mount a file system", |_| {
        let (source, target) = (text(c"none"), text(c"/tmp"));
        is_refused(libc::SYS_mount, &[source, target, text(c"tmpfs"), 0, 0])
            && is_refused(libc::SYS_mount, &[0, text(c"/usr"), 0, (libc::MS_REMOUNT | libc::MS_BIND) as usize, 0])
    }),
    attempt("unmount", "uncover what a mount hides", |_| is_refused(libc::SYS_umount2, &[text(c"/proc/sys"), 2])),
    attempt("new-mount-calls", "mount by the newer calls", |_| {
        is_refused(libc::SYS_fsopen, &[text(c"tmpfs"), 0])
            && is_refused(libc::SYS_fsmount, &[0, 0, 0])
            && is_refused(libc::SYS_fspick, &[HERE, text(c"/"), 0])
            && is_refused(libc::SYS_open_tree, &[HERE, text(c"/"), 1])
            && is_refused(libc::SYS_move_mount, &[HERE, text(c"/tmp"), HERE, text(c"/usr"), 0])
            && is_refused(libc::SYS_mount_setattr, &[HERE, text(c"/usr"), 0, 0, 0])
    }),
    attempt("change-root", "change the root directory", |_| {
        is_refused(libc::SYS_chroot, &[text(c"/tmp")])
            && is_refused(libc::SYS_pivot_root, &[text(c"/tmp"), text(c"/tmp")])
    }),
    attempt("io-uring", "use io_uring", |_| is_refused(libc::SYS_io_uring_setup, &[1, 0])),
    attempt("bpf", "load a program into the kernel", |_| is_refused(libc::SYS_bpf, &[0, 0, 0])),
    attempt("perf", "count the machine's events", |_| is_refused(libc::SYS_perf_event_open, &[0, 0, 0, 0, 0])),
    attempt("userfaultfd", "handle page faults", |_| is_refused(libc::SYS_userfaultfd, &[0])),
    attempt("keyrings", "use the kernel's keys", |_| {
        is_refused(libc::SYS_keyctl, &[0, 0])
            && is_refused(libc::SYS_add_key, &[text(c"user"), text(c"k"), text(c"v"), 1, 0])
            && is_refused(libc::SYS_request_key, &[text(c"user"), text(c"k"), 0, 0])
    }),
    attempt("modules", "load a kernel module", |_| {
        is_refused(libc::SYS_init_module, &[0, 0, 0])
            && is_refused(libc::SYS_finit_module, &[0, 0, 0])
            && is_refused(libc::SYS_delete_module, &[text(c"none"), 0])
    }),
    attempt("kexec", "start another kernel", |_| {
        is_refused(libc::SYS_kexec_load, &[0, 0, 0, 0]) && is_refused(libc::SYS_reboot, &[0, 0, 0, 0])
    }),
    attempt("machine-settings", "set the clock, the host's name, swap and accounting", |_| {
        is_refused(libc::SYS_settimeofday, &[0, 0])
            && is_refused(libc::SYS_clock_settime, &[0, 0])
            && is_refused(libc::SYS_sethostname, &[text(c"x"), 1])
            && is_refused(libc::SYS_swapon, &[text(c"/tmp/x"), 0])
            && is_refused(libc::SYS_acct, &[0])
            && is_refused(libc::SYS_quotactl, &[0, 0, 0, 0])
            && is_refused(libc::SYS_syslog, &[3, 0, 0])
    }),
    attempt("terminal-input", "type into a terminal", |_| {
        [0x5412, 0x541c, 0x5423].iter().all(|request| is_refused(libc::SYS_ioctl, &[0, *request, 0]))
            // The kernel looks only at the lower half of a request.
            && is_refused(libc::SYS_ioctl, &[0, 0x1_0000_5412, 0])
    }),
    attempt("personality", "switch address randomisation off", |_| is_refused(libc::SYS_personality, &[0x004_0000])),
    attempt("hidden-open", "open a file by the call whose flags a filter cannot see", |_| {
        raw(libc::SYS_openat2, &[HERE, text(c"/"), 0, 0]) == Err(libc::ENOSYS)
    }),
    attempt("machine-ports", "use the machine's ports and tables", |_| ports()).only(Only::X86),
    attempt("other-numbering", "make calls by the numbers of another calling manner", |_| other_numbering())
        .only(Only::X86),
    attempt("other-machine", "make calls in the manner of 32-bit machines", |_| call_as_32_bit()).only(Only::X86),
    attempt("unknown-calls", "make calls that are newer than the list", |_| {
        (463..480).all(|number| raw(number, &[0; 6]) == Err(libc::ENOSYS))
    }),
];

fn cannot_unshare(kind: i32) -> bool {
    is_refused(libc::SYS_unshare, &[kind as usize])
}

/// A child that should not exist ends at once.
fn end_if_child(result: Result<usize, i32>) -> Result<usize, i32> {
    if result == Ok(0) {
        std::process::exit(0);
    }
    result
}

#[cfg(target_arch = "x86_64")]
fn ports() -> bool {
    is_refused(libc::SYS_iopl, &[3])
        && is_refused(libc::SYS_ioperm, &[0x80, 1, 1])
        && is_refused(libc::SYS_modify_ldt, &[0, 0, 0])
}

#[cfg(not(target_arch = "x86_64"))]
fn ports() -> bool {
    true
}

/// The calls of x86-64 with 32-bit pointers have a bit of their own.
#[cfg(target_arch = "x86_64")]
fn other_numbering() -> bool {
    [libc::SYS_getpid, libc::SYS_socket, libc::SYS_unshare, libc::SYS_ptrace]
        .iter()
        .all(|number| matches!(raw(number | 0x4000_0000, &[0; 6]), Err(libc::ENOSYS | libc::EPERM)))
}

#[cfg(not(target_arch = "x86_64"))]
fn other_numbering() -> bool {
    true
}
