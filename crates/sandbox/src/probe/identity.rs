//! Who commands are, and what they could become.

use std::fs;

use super::{
    Attempt, attempt,
    calls::{is_refused, raw},
};

pub(super) const ALL: &[Attempt] = &[
    attempt("capabilities", "hold any capability", |_| {
        ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
            .iter()
            .all(|set| status(set).is_some_and(|text| is_zero(&text)))
    }),
    attempt("new-privileges", "gain privileges by starting a program", |_| {
        status("NoNewPrivs").as_deref() == Some("1")
    }),
    attempt("filter", "run without a filter of system calls", |_| status("Seccomp").as_deref() == Some("2")),
    attempt("become-root", "become another user", |_| {
        let unlike = |number| raw(number, &[0, 0, 0]) != Ok(0);
        unlike(libc::SYS_setuid)
            && unlike(libc::SYS_setgid)
            && unlike(libc::SYS_setresuid)
            && unlike(libc::SYS_setresgid)
    }),
    attempt("groups", "join other groups", |_| is_refused(libc::SYS_setgroups, &[0, 0])),
    attempt("id-maps", "change the mapping of ids", |_| {
        ["uid_map", "gid_map", "setgroups"].iter().all(|name| fs::write(format!("/proc/self/{name}"), "0 0 1").is_err())
    }),
    attempt("core-files", "have the host's root handle a core file", |_| {
        let wanted = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
        // It may be said to be done.
        _ = rustix::process::setrlimit(rustix::process::Resource::Core, wanted);
        let core = rustix::process::getrlimit(rustix::process::Resource::Core);
        (core.current, core.maximum) == (Some(1), Some(1))
    }),
    attempt("limits", "raise the limits", |_| {
        let kinds =
            [rustix::process::Resource::Nproc, rustix::process::Resource::Nofile, rustix::process::Resource::Fsize];
        kinds.into_iter().all(|kind| {
            let most = rustix::process::getrlimit(kind).maximum;
            let more = rustix::process::Rlimit { current: most, maximum: most.map(|most| most + 1) };
            most.is_some() && rustix::process::setrlimit(kind, more).is_err()
        })
    }),
    attempt("control-groups", "change the control groups", |_| {
        !std::path::Path::new("/sys/fs/cgroup").exists()
            && fs::read_to_string("/proc/self/cgroup").is_ok_and(|text| !text.contains("factotum-"))
    }),
];

fn status(name: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

fn is_zero(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|digit| digit == '0')
}
