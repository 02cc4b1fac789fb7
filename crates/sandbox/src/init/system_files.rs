//! `/etc`: the few files of the host that programs need to be found, linked and trusted, and our own in place of those that
//! speak of the host's people and networks.

use std::{
    fs,
    io::{self, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, mkdirat, openat, symlinkat},
    io::Errno,
};

use super::{mount::Detached, trust_files};
use crate::ProxyTrust;

/// What is taken from the host where it is there: neither secrets nor people. Names that end with `*` stand for all that
/// begin so.
const TAKEN: [&str; 31] = [
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "fonts",
    "inputrc",
    "java*",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "localtime",
    "lsb-release",
    "magic",
    "magic.mime",
    "maven",
    "mime.types",
    "networks",
    "os-release",
    "perl",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "protocols",
    "python3*",
    "rpc",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
];

/// What is ours.
const WRITTEN: [(&str, &str); 8] = [
    (
        "passwd",
        "root:x:0:0:root:/root:/usr/sbin/nologin\nagent:x:1000:1000:agent:/home/agent:/bin/sh\nnobody:x:65534:65534:nobody:\
         /nonexistent:/usr/sbin/nologin\n",
    ),
    ("group", "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n"),
    ("hosts", "127.0.0.1 localhost sandbox\n::1 localhost ip6-localhost ip6-loopback\n"),
    ("hostname", "sandbox\n"),
    ("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n"),
    ("resolv.conf", "# There is no network here.\n"),
    ("shells", "/bin/sh\n/bin/bash\n"),
    // The lowest of git's configurations: a repository's own name and address win.
    ("gitconfig", "[user]\n\tname = Factotum\n\temail = factotum@localhost\n[safe]\n\tdirectory = *\n"),
];

/// Where the host keeps the roots of trust. With a proxy that shows certificates of its own they would be of no use, and a
/// program that believed them would only fail.
const ROOTS: [&str; 5] =
    ["ca-certificates", "ca-certificates.conf", "pki/ca-trust/extracted", "pki/tls/certs", "ssl/certs"];

pub(super) fn place(root: &OwnedFd, proxy: Option<&ProxyTrust>) -> io::Result<()> {
    for (name, text) in WRITTEN {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(root, format!("etc/{name}"), flags, Mode::from_raw_mode(0o644))?;
        let mut file = fs::File::from(file);
        file.write_all(text.as_bytes())?;
        if name == "gitconfig" && proxy.is_some() {
            file.write_all(trust_files::git().as_bytes())?;
        }
    }
    if let Some(proxy) = proxy {
        trust_files::place(root, proxy)?;
    }
    symlinkat("/proc/self/mounts", root, "etc/mtab")?;
    for name in TAKEN.into_iter().filter(|name| proxy.is_none() || !ROOTS.contains(name)).flat_map(expand) {
        take(root, &name)?;
    }
    Ok(())
}

/// The names in `/etc` that a pattern stands for.
fn expand(pattern: &str) -> Vec<String> {
    let Some(start) = pattern.strip_suffix('*') else { return vec![pattern.to_owned()] };
    let Ok(entries) = fs::read_dir("/etc") else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(start)).collect()
}

fn take(root: &OwnedFd, name: &str) -> io::Result<()> {
    let host = PathBuf::from(format!("/etc/{name}"));
    let Ok(target) = fs::canonicalize(&host) else { return Ok(()) };
    let here = format!("etc/{name}");
    // Directories of what is ours may stand there already.
    for (end, _) in name.match_indices('/') {
        match mkdirat(root, format!("etc/{}", &name[..end]), Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if target.starts_with("/usr") {
        return Ok(symlinkat(target, root, here)?);
    }
    // A link to anywhere else is followed only within /etc itself.
    if target.starts_with("/etc") { bind(root, &target, &here) } else { Ok(()) }
}

fn bind(root: &OwnedFd, target: &Path, here: &str) -> io::Result<()> {
    let found = fs::metadata(target)?;
    if found.is_dir() {
        mkdirat(root, here, Mode::from_raw_mode(0o755))?;
    } else if found.is_file() {
        drop(openat(root, here, OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC, Mode::from_raw_mode(0o644))?);
    } else {
        return Ok(());
    }
    match Detached::of_host(target)? {
        Some(mount) => mount.read_only()?.attach(root, here),
        None => Ok(()),
    }
}
