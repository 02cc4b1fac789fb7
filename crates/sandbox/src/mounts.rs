//! Which host directories may be mounted into a sandbox at all. A list of refusals for the owner's protection from a
//! careless line in the configuration; what is not named there is not mounted anyway.

use std::{
    fs,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use types::Invariant;

use crate::SandboxError;

/// The kernel's, the system's and the services' own: refused with everything below.
const SYSTEM: [&str; 14] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/run",
    "/var/lib/docker",
];

/// Directories that hold the things of several projects or people: refused themselves, not what is below.
const SHARED: [&str; 11] =
    ["/", "/home", "/media", "/mnt", "/opt", "/root", "/srv", "/tmp", "/var", "/var/lib", "/var/tmp"];

/// Directories and files that hold credentials, by name, wherever they are.
const CREDENTIALS: [&str; 20] = [
    ".ssh",
    ".aws",
    ".gnupg",
    ".kube",
    ".docker",
    ".azure",
    ".config",
    ".netrc",
    ".pgpass",
    ".git-credentials",
    ".npmrc",
    ".pypirc",
    ".password-store",
    ".claude",
    ".codex",
    ".factotum",
    ".mozilla",
    ".thunderbird",
    ".local/share/keyrings",
    ".vault-token",
];

/// How many entries of a mount are looked at for credentials and sockets.
const LOOK_AT_MOST: usize = 4000;

/// The directory that a path means.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, String> {
    if !path.is_absolute() {
        return Err("the path is relative; write the whole path, starting with /".to_owned());
    }
    let dir = fs::canonicalize(path).map_err(|error| format!("it cannot be opened: {error}"))?;
    let found = fs::metadata(&dir).map_err(|error| format!("it cannot be opened: {error}"))?;
    if found.is_dir() { Ok(dir) } else { Err("it is not a directory".to_owned()) }
}

/// Refuses system directories, shared parents and whole homes.
pub(crate) fn refuse_shared(dir: &Path) -> Result<(), String> {
    if SHARED.iter().any(|shared| dir == Path::new(shared)) {
        return Err("it holds the things of many; name the one directory that is meant".to_owned());
    }
    if let Some(system) = SYSTEM.iter().find(|system| dir.starts_with(system)) {
        return Err(format!("{system} belongs to the system"));
    }
    if dir.parent() == Some(Path::new("/home")) {
        return Err("it is somebody's whole home".to_owned());
    }
    match fs::read_to_string("/etc/passwd").unwrap_or_default().lines().filter_map(home_of).find(|home| home.is(dir)) {
        Some(home) => Err(format!("it is or holds the whole home of `{}`", home.user)),
        None => Ok(()),
    }
}

struct Home<'a> {
    user: &'a str,
    is_person: bool,
    path: &'a Path,
}

impl Home<'_> {
    fn is(&self, dir: &Path) -> bool {
        self.path != Path::new("/") && (dir == self.path || (self.is_person && self.path.starts_with(dir)))
    }
}

/// The home that one line of passwd names.
fn home_of(line: &str) -> Option<Home<'_>> {
    let fields: Vec<&str> = line.split(':').collect();
    let &[user, _, uid, _, _, path, ..] = fields.as_slice() else { return None };
    let uid: u32 = uid.parse().ok()?;
    let is_person = uid == 0 || (1000..60_000).contains(&uid);
    path.starts_with('/').then_some(Home { user, is_person, path: Path::new(path) })
}

/// Refuses a directory whose path goes through a place for credentials.
pub(crate) fn refuse_credentials(dir: &Path) -> Result<(), String> {
    // The agent's own home is among the names, but parts of it are for commands.
    let own = |name: &str| name == ".factotum" && is_open_part(dir);
    match CREDENTIALS.iter().find(|name| contains(dir, name) && !own(name)) {
        Some(name) => Err(format!("`{name}` is a place for credentials")),
        None => Ok(()),
    }
}

/// Whether commands may be given a directory of the agent's own home, named by its path in there: a workspace that the agent
/// made itself, or what a job or a shell works with. What else lies beside those, such as a job's socket, is nobody's.
pub(crate) fn is_open_in_home(path: &Path) -> bool {
    let mut parts = path.iter().map(|part| part.to_str().unwrap_or_default());
    match (parts.next(), parts.next(), parts.next()) {
        (Some("workspaces"), Some(_), _) => true,
        (Some("jobs"), Some(id), Some("home" | "tree" | "land")) => is_number(id),
        (Some("shells"), Some(_), Some("home" | "tree")) => true,
        _ => false,
    }
}

/// Whether commands may read a directory of the agent's own home: one version of an installed coding agent.
pub(crate) fn is_readable_in_home(path: &Path) -> bool {
    let mut parts = path.iter();
    parts.next().is_some_and(|first| first == "coders") && parts.count() >= 2
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a path goes through a directory named `.factotum` into one of the parts of it that commands may be given.
fn is_open_part(dir: &Path) -> bool {
    let mut rest = dir.iter();
    rest.any(|part| part == ".factotum") && {
        let inner = rest.as_path();
        is_open_in_home(inner) || is_readable_in_home(inner)
    }
}

/// Checks a directory that is to be a sandbox's home, and gives what it means. It must be named without links: it is our own
/// and lies where we made it. What is in it is not looked at: a program keeps what it likes there.
pub(crate) fn check_home(path: &Path) -> Result<PathBuf, String> {
    let dir = resolve(path)?;
    if dir != path {
        return Err(format!("it is another directory, {}", dir.display()));
    }
    refuse_shared(&dir)?;
    refuse_credentials(&dir)?;
    Ok(dir)
}

/// Whether the components of `name` occur in a row in `dir`.
fn contains(dir: &Path, name: &str) -> bool {
    let parts: Vec<_> = dir.iter().collect();
    let wanted: Vec<_> = Path::new(name).iter().collect();
    parts.windows(wanted.len()).any(|window| window == wanted)
}

/// Checks the owner's extra mounts and gives the directories that they mean. One that cannot be shown makes the sandbox
/// impossible, and then nothing runs.
pub(crate) fn check_all(paths: &[PathBuf]) -> Result<Vec<PathBuf>, SandboxError> {
    let all = paths.iter().map(|path| check(path));
    if Invariant::SandboxOrNothing.is_broken() {
        return Ok(all.flatten().collect());
    }
    all.collect()
}

/// Checks one of the owner's extra mounts and gives the directory that it means.
pub(crate) fn check(path: &Path) -> Result<PathBuf, SandboxError> {
    let refuse = |why: String| SandboxError::ReadOnly { path: path.to_owned(), why };
    let dir = resolve(path).map_err(refuse)?;
    refuse_shared(&dir).map_err(refuse)?;
    refuse_credentials(&dir).map_err(refuse)?;
    refuse_content(&dir).map_err(refuse)?;
    Ok(dir)
}

/// Refuses a directory in whose first two levels credentials or sockets lie: a socket can be spoken to even where nothing
/// can be written.
fn refuse_content(dir: &Path) -> Result<(), String> {
    let mut left = LOOK_AT_MOST;
    let mut waiting = vec![(dir.to_owned(), 0)];
    while let Some((next, depth)) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for entry in entries.flatten() {
            left = left.saturating_sub(1);
            if left == 0 {
                return Ok(());
            }
            let name = entry.file_name();
            if CREDENTIALS.iter().any(|credential| name == *credential) {
                return Err(format!("it holds `{}`, a place for credentials", name.to_string_lossy()));
            }
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_socket() {
                return Err(format!("it holds the socket `{}`", name.to_string_lossy()));
            }
            if kind.is_dir() && depth < 1 {
                waiting.push((entry.path(), depth + 1));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_directories_and_homes_are_refused() {
        for bad in
            ["/", "/home", "/root", "/srv", "/etc", "/etc/ssl", "/usr/lib", "/proc/self", "/home/anna", "/run/docker"]
        {
            assert!(refuse_shared(Path::new(bad)).is_err(), "{bad}");
        }
        for good in ["/srv/code/billing", "/home/anna/code/billing", "/root/code", "/opt/toolchain", "/tmp/x"] {
            assert_eq!(refuse_shared(Path::new(good)), Ok(()), "{good}");
        }
    }

    #[test]
    fn places_for_credentials_are_refused_by_name() {
        for bad in [
            "/home/a/.ssh",
            "/srv/x/.aws/y",
            "/home/a/.config/gh",
            "/home/a/.local/share/keyrings",
            "/home/a/.factotum",
            "/home/a/.factotum/jobs",
            "/home/a/.factotum/jobs/7",
            "/home/a/.factotum/jobs/7/socket",
            "/home/a/.factotum/jobs/x/tree",
            "/home/a/.factotum/workspaces",
            "/home/a/.factotum/coders/claude",
            "/home/a/workspaces/.factotum/vault",
            "/home/a/.factotum/home",
        ] {
            assert!(refuse_credentials(Path::new(bad)).is_err(), "{bad}");
        }
        for good in [
            "/home/a/.rustup",
            "/srv/ssh",
            "/home/a/.factotum/workspaces/toy",
            "/home/a/.factotum/jobs/7/home",
            "/home/a/.factotum/jobs/7/tree",
            "/home/a/.factotum/jobs/7/land",
            "/home/a/.factotum/shells/1/home",
            "/home/a/.factotum/coders/claude/2.1.329",
        ] {
            assert_eq!(refuse_credentials(Path::new(good)), Ok(()), "{good}");
        }
    }

    #[test]
    fn extra_mounts_with_sockets_or_credentials_are_refused() -> std::io::Result<()> {
        let outer = tempfile::tempdir()?;
        let plain = outer.path().join("plain");
        fs::create_dir(&plain)?;
        assert!(check(&plain).is_ok());
        let with_socket = outer.path().join("with-socket");
        fs::create_dir_all(with_socket.join("inner"))?;
        let _listener = std::os::unix::net::UnixListener::bind(with_socket.join("inner/s"))?;
        assert!(check(&with_socket).is_err());
        let with_keys = outer.path().join("with-keys");
        fs::create_dir_all(with_keys.join(".ssh"))?;
        assert!(check(&with_keys).is_err());
        Ok(())
    }

    #[test]
    fn homes_come_from_passwd() {
        let home = home_of("anna:x:1000:1000::/data/people/anna:/bin/sh");
        assert!(home.is_some_and(|home| home.is(Path::new("/data/people/anna"))
            && home.is(Path::new("/data/people"))
            && !home.is(Path::new("/data/people/anna/code"))));
    }
}
