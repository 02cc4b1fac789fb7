//! The files that make programs inside use the proxy and believe its certificates. They are written while the tree is
//! built, into places that hold nothing of the host's.

use std::{
    fs,
    io::{self, Write},
    os::fd::OwnedFd,
};

use rustix::{
    fs::{Mode, OFlags, mkdirat, openat, symlinkat},
    io::Errno,
};

use crate::{
    ProxyTrust,
    trust::{APT, BUNDLE, LINKS, NODE_PRELOAD, NODE_PRELOAD_TEXT, proxy_url},
};

/// The host's roots, where it keeps them: Debian and Alpine, Fedora, openSUSE.
const HOST_BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];
/// More than any host's roots take, in bytes. The tree is small.
const MAX_ROOTS: u64 = 1024 * 1024;

pub(super) fn place(root: &OwnedFd, trust: &ProxyTrust) -> io::Result<()> {
    let mut bundle = trust.ca_pem.clone();
    if trust.system_roots {
        bundle.push('\n');
        bundle.push_str(&host_roots());
    }
    write(root, BUNDLE, &bundle)?;
    for link in LINKS {
        make_parents(root, link)?;
        symlinkat(BUNDLE, root, relative(link))?;
    }
    write(root, NODE_PRELOAD, NODE_PRELOAD_TEXT)?;
    let url = proxy_url();
    let apt = format!(
        "Acquire::http::Proxy \"{url}\";\nAcquire::https::Proxy \"{url}\";\nAcquire::https::CAInfo \"{BUNDLE}\";\n"
    );
    write(root, APT, &apt)
}

/// What git must know, for its system-wide configuration: programs that clear their environment still start git. Where the
/// owner gave a placeholder for a GitHub token, git finds it by itself.
pub(super) fn git() -> String {
    format!("[http]\n\tproxy = {}\n\tsslCAInfo = {BUNDLE}\n{}", proxy_url(), include_str!("../trust/gitconfig"))
}

/// The host's roots; none where it has none or far too many.
fn host_roots() -> String {
    let small = |path: &&str| fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() <= MAX_ROOTS);
    HOST_BUNDLES.iter().find(|path| small(path)).and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default()
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn write(root: &OwnedFd, path: &str, text: &str) -> io::Result<()> {
    make_parents(root, path)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(root, relative(path), flags, Mode::from_raw_mode(0o644))?;
    fs::File::from(file).write_all(text.as_bytes())
}

/// Makes the directories on the way to a file, all of them in the new tree itself.
fn make_parents(root: &OwnedFd, path: &str) -> io::Result<()> {
    let path = relative(path);
    for (end, _) in path.match_indices('/') {
        match mkdirat(root, &path[..end], Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
