//! Private files of the home: read only when nobody else can, replaced as a whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use zeroize::Zeroizing;

use super::VaultError;

/// Tells one state of a file from another: replacing it always makes a new inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
    mode: u32,
}

impl Stamp {
    fn new(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            mode: metadata.mode(),
        }
    }

    /// The present state of a file; none when there is no file.
    pub fn of(path: &Path) -> Result<Option<Self>, VaultError> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::new(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(VaultError::Io { action: "read", path: path.to_owned(), source }),
        }
    }
}

/// What a private file holds, and its state.
type Private = (Stamp, Zeroizing<Vec<u8>>);

/// Reads a file that nobody else may read; none when it does not exist. The permissions are those of the opened file,
/// so they cannot be exchanged between check and use.
pub(super) fn read_private(path: &Path, limit: u64) -> Result<Option<Private>, VaultError> {
    let io = |source| VaultError::Io { action: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let metadata = file.metadata().map_err(io)?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(VaultError::Exposed { path: path.to_owned(), mode });
    }
    if metadata.size() > limit {
        return Err(VaultError::Corrupt { path: path.to_owned(), why: "it is too large".to_owned() });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(limit).read_to_end(&mut bytes).map_err(io)?;
    Ok(Some((Stamp::new(&metadata), bytes)))
}

/// Replaces a file as a whole: at every instant either the old or the new one is there, durably. The caller holds
/// the lock, so a temporary file that is found is a crashed writer's.
pub(super) fn write_private(home: &Path, file: &str, bytes: &[u8]) -> Result<(), VaultError> {
    let path = home.join(file);
    let temporary = home.join(format!("{file}.new"));
    let io = |source| VaultError::Io { action: "write", path: path.clone(), source };
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        Ok(()) | Err(_) => {}
    }
    let mut out = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary).map_err(io)?;
    out.write_all(bytes).map_err(io)?;
    out.sync_all().map_err(io)?;
    fs::rename(&temporary, &path).map_err(io)?;
    sync(home).map_err(io)
}

/// Removes a file durably; one that is missing is as good. Its blocks are overwritten first, which helps on file
/// systems that write in place.
pub(super) fn erase(home: &Path, file: &str) -> Result<(), VaultError> {
    let path = home.join(file);
    let io = |source| VaultError::Io { action: "remove", path: path.clone(), source };
    match OpenOptions::new().write(true).open(&path) {
        Ok(mut old) => {
            let length = usize::try_from(old.metadata().map_err(io)?.len()).unwrap_or(0).min(1 << 20);
            old.write_all(&vec![0; length]).and_then(|()| old.sync_all()).map_err(io)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
    }
    fs::remove_file(&path).map_err(io)?;
    sync(home).map_err(io)
}

/// Keeps other writers of this home away while it lives.
pub(super) fn lock(home: &Path) -> Result<File, VaultError> {
    let path = home.join("vault.lock");
    let io = |source| VaultError::Io { action: "lock", path: path.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(io)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).map_err(|error| io(error.into()))?;
    Ok(file)
}

fn sync(home: &Path) -> io::Result<()> {
    File::open(home).and_then(|directory| directory.sync_all())
}
