//! Files of the host, and writing where nothing may be written.

use std::{
    fs,
    io::Write,
    os::unix::{
        fs::{OpenOptionsExt, PermissionsExt, symlink},
        net::UnixStream,
    },
    path::Path,
};

use super::{Attempt, Baits, attempt, calls::is_refused};

/// Sockets through which others would act for us.
const SOCKETS: [&str; 9] = [
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
    "/run/dbus/system_bus_socket",
    "/run/systemd/private",
    "/run/user/1000/bus",
    "/run/user/1000/podman/podman.sock",
];

/// Where mounts may be, beside the owner's.
const MOUNTED: [&str; 11] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/", "/dev/", "/proc", "/tmp"];

pub(super) const ALL: &[Attempt] = &[
    attempt("ssh-keys", "read the SSH keys of the host's people", |baits| homes_lack(baits, ".ssh")),
    attempt("agent-home", "read the agent's own home: store, vault, log", |baits| homes_lack(baits, ".factotum")),
    attempt("other-homes", "read the homes of the host's people", |baits| homes_lack(baits, "")),
    attempt("outside-file", "read a file beside the workspace", |baits| !tells(&baits.file, baits)),
    attempt("dot-dot", "climb out of the workspace", climb),
    attempt("symlink", "follow a link out of the workspace", follow_link),
    attempt("symlink-race", "exchange a directory for a link out while it is being used", race),
    attempt("hard-link", "link a file of the system into the workspace", |_| hard_link()),
    attempt("rename", "move a file out of the workspace", rename_out),
    attempt("outside-socket", "speak to a UNIX socket beside the workspace", |baits| !connects(&baits.socket)),
    attempt("service-sockets", "speak to container engines and the system's bus", |_| {
        !SOCKETS.iter().any(|path| connects(path))
    }),
    attempt("mounts", "find anything mounted that is not on the list, or writable", mounts),
    attempt("write-root", "write into /", |_| !writes("/escape")),
    attempt("write-usr", "write into /usr", |_| !writes("/usr/escape") && !opens_for_writing("/usr/bin/env")),
    attempt("write-etc", "write into /etc", |_| !writes("/etc/escape") && !opens_for_writing("/etc/passwd")),
    attempt("write-dev", "make a file in /dev", |_| !writes("/dev/escape")),
    attempt("write-proc-sys", "change the kernel's settings", |_| {
        !["kernel/core_pattern", "kernel/hostname", "vm/overcommit_memory", "user/max_user_namespaces"]
            .iter()
            .any(|name| opens_for_writing(&format!("/proc/sys/{name}")))
    }),
    attempt("sysrq", "press the system's emergency keys", |_| !harms("/proc/sysrq-trigger")),
    attempt("sys", "read /sys", |_| !Path::new("/sys").exists()),
    attempt("kernel-memory", "read the kernel's memory and messages", |_| {
        ["/proc/kcore", "/proc/kmsg", "/dev/mem", "/dev/kmsg", "/proc/kallsyms"].iter().all(|path| is_blind(path))
    }),
    attempt("devices", "open disks and other devices", |_| only_harmless_devices()),
    attempt("make-device", "make a device", |_| {
        let numbers = usize::try_from(libc::makedev(1, 1)).unwrap_or(0);
        let (path, here) = (super::calls::text(c"/tmp/device"), libc::AT_FDCWD as usize);
        is_refused(libc::SYS_mknodat, &[here, path, (libc::S_IFCHR | 0o666) as usize, numbers])
            && is_refused(libc::SYS_mknodat, &[here, path, (libc::S_IFBLK | 0o666) as usize, numbers])
    }),
    attempt("set-id-bits", "leave a file in the workspace that others run as its owner", |_| set_id_bits()),
    attempt("open-by-handle", "open a file by its number", |_| {
        is_refused(libc::SYS_open_by_handle_at, &[0, 0, 0]) && is_refused(libc::SYS_name_to_handle_at, &[0, 0, 0, 0, 0])
    }),
    attempt("left-open", "find a descriptor left open", |_| nothing_left_open()),
];

fn homes_lack(baits: &Baits, name: &str) -> bool {
    baits.homes.iter().map(|home| Path::new(home).join(name)).all(|path| {
        // The sandbox's own home may carry the name of somebody's.
        path.starts_with(crate::init::HOME)
            || is_of_the_owners_mounts(&path, baits)
            || fs::symlink_metadata(path).is_err()
    })
}

/// The way to an extra mount exists, as empty directories.
fn is_of_the_owners_mounts(path: &Path, baits: &Baits) -> bool {
    baits.mounts.iter().any(|mount| Path::new(mount).starts_with(path))
        && fs::read_dir(path).is_ok_and(|entries| {
            let shown =
                |entry: fs::DirEntry| baits.mounts.iter().any(|mount| Path::new(mount).starts_with(entry.path()));
            entries.flatten().all(shown)
        })
}

/// Whether the bait can be read at a path.
fn tells(path: impl AsRef<Path>, baits: &Baits) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.contains(&baits.content))
}

fn climb(baits: &Baits) -> bool {
    let name = Path::new(&baits.file).file_name().map(Path::new).unwrap_or(Path::new(""));
    let ways = [
        "/workspace/..",
        "/workspace/../..",
        "/proc/self/root/..",
        "/proc/self/cwd/..",
        "/proc/1/root",
        "/proc/1/cwd/..",
    ];
    std::env::set_current_dir("/workspace").is_ok() && ways.iter().all(|way| !tells(Path::new(way).join(name), baits))
}

fn follow_link(baits: &Baits) -> bool {
    // One link was put there from outside, as a cloned repository may bring one.
    !tells("/workspace/planted", baits)
        && symlink(&baits.file, "/workspace/made").is_ok()
        && !tells("/workspace/made", baits)
        && fs::OpenOptions::new().append(true).open("/workspace/made").is_err()
}

/// Reads through a name that is a directory at one moment and a link out at the next.
fn race(baits: &Baits) -> bool {
    let Some(outside) = Path::new(&baits.file).parent() else { return false };
    let Some(name) = Path::new(&baits.file).file_name() else { return false };
    let prepared = fs::create_dir("/workspace/swap").is_ok() && symlink(outside, "/workspace/swap-link").is_ok();
    if !prepared {
        return false;
    }
    let path = Path::new("/workspace/swap").join(name);
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            for _ in 0..300 {
                // Either order may fail for a moment; what counts is what the reader sees.
                _ = rustix::fs::renameat_with(
                    rustix::fs::CWD,
                    "/workspace/swap",
                    rustix::fs::CWD,
                    "/workspace/swap-link",
                    rustix::fs::RenameFlags::EXCHANGE,
                );
            }
        });
        let mut held = true;
        while !swapping.is_finished() {
            held &=
                !tells(&path, baits) && fs::write(&path, "overwritten").map_or(true, |()| !tells(&baits.file, baits));
        }
        held
    })
}

fn hard_link() -> bool {
    fs::hard_link("/usr/bin/env", "/workspace/linked").is_err() && fs::hard_link("/etc/passwd", "/tmp/linked").is_err()
}

fn rename_out(baits: &Baits) -> bool {
    if fs::write("/workspace/moved", "x").is_err() {
        return false;
    }
    let outside = Path::new(&baits.file).with_file_name("moved-out");
    fs::rename("/workspace/moved", outside).is_err() && fs::rename("/workspace/moved", "/workspace/../moved").is_err()
}

#[expect(clippy::disallowed_methods, reason = "an attempt that must fail")]
fn connects(path: &str) -> bool {
    UnixStream::connect(path).is_ok()
}

fn mounts(baits: &Baits) -> bool {
    let Ok(table) = fs::read_to_string("/proc/self/mountinfo") else { return false };
    table.lines().all(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let (Some(path), Some(options)) = (fields.get(4), fields.get(5)) else { return false };
        let read_only = options.split(',').any(|option| option == "ro");
        let safe = options.split(',').any(|option| option == "nosuid");
        let private = ["/workspace", crate::init::HOME, "/tmp"].contains(path)
            || path.starts_with("/dev/")
            || path.starts_with("/proc");
        let listed = *path == "/"
            || MOUNTED.iter().any(|known| path.starts_with(known))
            || baits.mounts.iter().any(|mount| path.starts_with(mount.as_str()))
            || path.starts_with("/workspace")
            || *path == crate::init::HOME;
        listed && safe && (read_only || private || path.starts_with("/workspace/"))
    })
}

fn writes(path: &str) -> bool {
    fs::write(path, "x").is_ok()
}

fn opens_for_writing(path: &str) -> bool {
    fs::OpenOptions::new().write(true).open(path).is_ok()
}

/// Whether writing to a file of the kernel would do something: a null device in its place does not.
fn harms(path: &str) -> bool {
    fs::OpenOptions::new().write(true).open(path).is_ok_and(|mut file| {
        // A space is no key, so even an escape is harmless.
        let is_null = fs::metadata(path).is_ok_and(|found| is_null_device(&found));
        !is_null && file.write_all(b" ").is_ok()
    })
}

fn is_null_device(found: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::rdev(found) == libc::makedev(1, 3)
}

/// Whether nothing can be learnt from a file of the kernel.
fn is_blind(path: &str) -> bool {
    use std::io::Read;
    let Ok(mut file) = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) else { return true };
    if fs::metadata(path).is_ok_and(|found| is_null_device(&found)) {
        return true;
    }
    let mut text = vec![0_u8; 4096];
    let length = file.read(&mut text).unwrap_or(0);
    // Names without addresses are no secret.
    let shown = text.get(..length).unwrap_or_default();
    path == "/proc/kallsyms"
        && shown
            .split(|byte| *byte == b'\n')
            .all(|line| line.is_empty() || line.starts_with(b"0000000000000000") || line.len() < 20)
}

fn only_harmless_devices() -> bool {
    const HARMLESS: [&str; 14] = [
        "null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "fd", "stdin", "stdout", "stderr",
        "console",
    ];
    fs::read_dir("/dev").is_ok_and(|entries| {
        entries.flatten().all(|entry| entry.file_name().to_str().is_some_and(|name| HARMLESS.contains(&name)))
    })
}

fn set_id_bits() -> bool {
    let path = "/workspace/set-id";
    if fs::write(path, "x").is_err() {
        return false;
    }
    let changed = fs::set_permissions(path, fs::Permissions::from_mode(0o4755));
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o4755).open("/workspace/set-id-made");
    let has_bits = |path: &str| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o6000 != 0);
    changed.is_err() && made.is_err() && !has_bits(path)
}

fn nothing_left_open() -> bool {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return false };
    let mut targets = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.all(|target| {
        let target = target.to_string_lossy();
        let own = ["/dev/null", "pipe:", "/memfd:"].iter().any(|known| target.starts_with(known));
        // The listing itself holds one open.
        own || (target.starts_with("/proc/") && target.ends_with("/fd"))
    })
}
