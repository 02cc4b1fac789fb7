//! `factotum audit-writer`: the process that owns the audit log under another user. It reads no configuration of the
//! agent's, knows no secret, and does nothing but append what it is given.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::{
        fs::{FileTypeExt, OpenOptionsExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use store::audit::{AuditServer, LogOptions};
use types::{Failure, FailureKind};

use crate::SystemClock;

/// The most bytes of the file of users.
const MAX_USERS: u64 = 8 << 20;

/// What the process is told.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// The socket to listen on; one that an earlier process left is replaced.
    pub socket: PathBuf,
    /// The log.
    pub log: PathBuf,
    /// Who may append: a user's name or number.
    pub client: String,
    /// Whether the kernel is asked to let the log only grow.
    pub append_only: bool,
    /// A file of so many megabytes is put aside.
    pub rotate_mb: u64,
}

/// Serves until it is killed, which is how it ends: whatever was confirmed is on the disk. `ready` is called once, with
/// what a person should know, when it listens.
pub fn serve_audit(options: &WriterOptions, ready: impl FnOnce(&str)) -> Result<(), Failure> {
    let user = user_number(&options.client)?;
    let _lock = lock(&options.log)?;
    let log = LogOptions {
        rotate_bytes: options.rotate_mb.max(1).saturating_mul(1 << 20),
        append_only: options.append_only,
        group_reads: true,
    };
    let server = AuditServer::open(&options.log, log, Arc::new(SystemClock::new()))
        .map_err(|error| failure(error.to_string(), "look at the rights of the directory and at the free space"))?;
    let listener = listen(&options.socket)?;
    let grows = if server.only_grows() { "the kernel lets it only grow" } else { "without chattr +a" };
    ready(&format!(
        "ready: {} has {} records ({grows}); user {user} may append",
        options.log.display(),
        server.head().seq
    ));
    let socket = options.socket.display();
    server.serve(&listener, user).map_err(|error| failure(format!("{socket}: {error}"), "start it again"))
}

fn listen(socket: &Path) -> Result<UnixListener, Failure> {
    let refused =
        |error: io::Error| failure(format!("{}: {error}", socket.display()), "look at its directory's rights");
    match std::fs::symlink_metadata(socket) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(socket).map_err(refused)?,
        Ok(_) => return Err(failure(format!("{} is no socket", socket.display()), "name another path")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(refused(error)),
    }
    let listener = UnixListener::bind(socket).map_err(refused)?;
    // Who may append is decided by the kernel's word on the peer; the mode only keeps others from knocking.
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o660)).map_err(refused)?;
    Ok(listener)
}

/// Keeps a second writer from the same log.
fn lock(log: &Path) -> Result<File, Failure> {
    let path = log.with_extension("lock");
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = open.map_err(|error| failure(format!("{}: {error}", path.display()), "make the directory"))?;
    file.try_lock().map_err(|error| failure(format!("{}: {error}", path.display()), "another writer runs; stop it"))?;
    Ok(file)
}

/// The number of a user who is named, or given by number.
fn user_number(user: &str) -> Result<u32, Failure> {
    if let Ok(number) = user.parse() {
        return Ok(number);
    }
    let unknown = || failure(format!("there is no user `{user}`"), "name the user that `factotum up` runs as");
    let mut text = String::new();
    let read = File::open("/etc/passwd").and_then(|file| {
        use io::Read;
        file.take(MAX_USERS).read_to_string(&mut text)
    });
    read.map_err(|error| failure(format!("/etc/passwd: {error}"), "give the user's number"))?;
    number_in(&text, user).ok_or_else(unknown)
}

fn number_in(users: &str, name: &str) -> Option<u32> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

fn failure(error: String, hint: &str) -> Failure {
    Failure { kind: FailureKind::Config, error, hint: Some(hint.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::number_in;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let users =
            "root:x:0:0::/root:/bin/sh\nfacto:x:7:7::/:\nfactotum:x:990:990::/var/lib/factotum:/usr/sbin/nologin\n";
        assert_eq!(
            (number_in(users, "factotum"), number_in(users, "fact"), number_in(users, "")),
            (Some(990), None, None)
        );
    }
}
