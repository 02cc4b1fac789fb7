//! Reading and writing the files of a workspace for tools. Owns the rule that a path given by a model stays inside the
//! workspace and that writing never goes through a link to the outside; must not decide whether a call is allowed (a
//! [`Grant`] says so) and must not follow anything but regular files. Start with [`Files`].

mod beneath;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use policy::Grant;
use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, fsync, openat, readlinkat, renameat, statat,
        unlinkat,
    },
    io::Errno,
};
use types::WorkspaceName;

pub use beneath::FileError;
pub(crate) use beneath::{Links, Root, shown};

use crate::Workspace;

/// A chain of links longer than this is refused.
const MAX_LINKS: usize = 8;

/// What kind of thing a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, not followed.
    Link,
    /// A pipe, socket or device.
    Special,
}

impl Kind {
    pub(crate) fn of(mode: u32) -> Self {
        match FileType::from_raw_mode(mode) {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Link,
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Self::Special,
        }
    }
}

/// Which state of a file was seen, to notice that it changed since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }
}

/// A file that was read, or its beginning.
#[derive(Clone, Debug)]
pub struct Content {
    /// The bytes, at most as many as were asked for.
    pub bytes: Vec<u8>,
    /// The whole file's size in bytes.
    pub size: u64,
    /// Which state of the file this is.
    pub stamp: Stamp,
}

impl Content {
    /// Whether there is more than was read.
    pub fn is_cut(&self) -> bool {
        (self.bytes.len() as u64) < self.size
    }

    /// Whether it looks like something other than text.
    pub fn is_binary(&self) -> bool {
        is_binary(&self.bytes)
    }
}

/// A zero byte near the beginning marks a file as binary, as it does for git and grep.
pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    bytes.iter().take(8192).any(|byte| *byte == 0)
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// What kind of thing.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: u64,
    /// Its permission bits.
    pub mode: u32,
}

/// Whether a file was made or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// There was none before.
    Created,
    /// There was one before.
    Replaced,
}

/// The files of one workspace. All calls block.
#[derive(Debug)]
pub struct Files {
    pub(crate) root: Root,
    workspace: WorkspaceName,
}

impl Files {
    /// Opens the workspace's directory.
    pub fn new(workspace: &Workspace) -> Result<Self, FileError> {
        Ok(Self { root: Root::open(workspace.dir())?, workspace: workspace.name.clone() })
    }

    /// Reads the regular file at `path`, at most `max_bytes` of it.
    pub fn read(&self, grant: &Grant, path: &Path, max_bytes: usize) -> Result<Content, FileError> {
        self.require(grant, Need::Read)?;
        let (fd, stat) = self.root.open_readable(path)?;
        let bytes = read_at_most(fd, max_bytes, path)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0).max(bytes.len() as u64);
        Ok(Content { bytes, size, stamp: Stamp::of(&stat) })
    }

    /// What stands at `path`, links inside the workspace followed.
    pub fn stat(&self, grant: &Grant, path: &Path) -> Result<FileInfo, FileError> {
        self.require(grant, Need::Read)?;
        let fd = self.root.open_at(path, OFlags::PATH, Links::Inside)?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| FileError::from_errno(errno, path))?;
        Ok(FileInfo {
            kind: Kind::of(stat.st_mode),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode & 0o7777,
        })
    }

    /// Makes or replaces the file at `path` in one step: a reader sees the old or the new content, never a part. The
    /// mode of a replaced file is kept; missing directories are made.
    pub fn write(&self, grant: &Grant, path: &Path, bytes: &[u8]) -> Result<Written, FileError> {
        self.require(grant, Need::Write)?;
        self.put(path, bytes, None)
    }

    /// As [`Files::write`], but only if the file is still the one that `seen` was read from.
    pub fn replace(&self, grant: &Grant, path: &Path, bytes: &[u8], seen: &Stamp) -> Result<Written, FileError> {
        self.require(grant, Need::Write)?;
        self.put(path, bytes, Some(seen))
    }

    pub(crate) fn require(&self, grant: &Grant, need: Need) -> Result<(), FileError> {
        require(grant, &self.workspace, need)
    }

    fn put(&self, path: &Path, bytes: &[u8], seen: Option<&Stamp>) -> Result<Written, FileError> {
        let place = self.place(path)?;
        let failed = |errno| FileError::from_errno(errno, path);
        let temporary = temporary_name();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&place.parent, &temporary, flags, Mode::from_raw_mode(0o600)).map_err(failed)?;
        let put = self.fill(file, bytes, &place, path).and_then(|()| {
            if let Some(seen) = seen {
                let present = statat(&place.parent, &place.name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
                if Stamp::of(&present) != *seen {
                    return Err(FileError::Changed { path: shown(path) });
                }
            }
            renameat(&place.parent, &temporary, &place.parent, &place.name).map_err(failed)
        });
        if let Err(error) = put {
            _ = unlinkat(&place.parent, &temporary, AtFlags::empty());
            return Err(error);
        }
        // The content is durable; only the name's durability is at stake, which some file systems cannot promise.
        _ = fsync(&place.parent);
        Ok(if place.present.is_some() { Written::Replaced } else { Written::Created })
    }

    /// Fills a new file and gives it the mode and owner it is to have.
    fn fill(&self, file: OwnedFd, bytes: &[u8], place: &Place, path: &Path) -> Result<(), FileError> {
        let failed = |errno| FileError::from_errno(errno, path);
        let mut file = File::from(file);
        file.write_all(bytes).map_err(|error| failed(errno_of(&error)))?;
        let (mode, owner) = match &place.present {
            // Setuid and setgid bits must not outlive the content they were given to.
            Some(stat) => (stat.st_mode & 0o777, Some((Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid)))),
            None => (0o644, self.root.new_owner()),
        };
        if let (Some((uid, gid)), Some(_)) = (owner, self.root.new_owner()) {
            fchown(&file, Some(uid), Some(gid)).map_err(failed)?;
        }
        fchmod(&file, Mode::from_raw_mode(mode)).map_err(failed)?;
        fsync(&file).map_err(failed)
    }

    /// Finds where a write to `path` has to go: links in its last place are followed by hand, each step resolved
    /// beneath the root, so that the link stays and its target is replaced.
    fn place(&self, path: &Path) -> Result<Place, FileError> {
        let mut at: PathBuf = path.to_owned();
        for _ in 0..MAX_LINKS {
            let (directory, name) = beneath::split(&at)?;
            let parent = self.root.create_directories(directory)?;
            let present = match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => return Ok(Place { parent, name: name.to_owned(), present: None }),
                Err(errno) => return Err(FileError::from_errno(errno, path)),
            };
            if Kind::of(present.st_mode) != Kind::Link {
                beneath::require_regular(&present, path)?;
                return Ok(Place { parent, name: name.to_owned(), present: Some(present) });
            }
            let target = readlinkat(parent.as_fd(), name, Vec::new());
            let target = target.map_err(|errno| FileError::from_errno(errno, path))?;
            at = directory.join(std::ffi::OsStr::from_bytes(target.as_bytes()));
        }
        Err(FileError::Outside { path: shown(path) })
    }
}

/// What an operation needs of its grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Read,
    Write,
}

/// Holds a grant against the workspace and the need.
pub(crate) fn require(grant: &Grant, workspace: &WorkspaceName, need: Need) -> Result<(), FileError> {
    if grant.workspace() != workspace {
        return Err(FileError::NotGranted("this workspace"));
    }
    if need == Need::Write && grant.is_read_only() {
        return Err(FileError::NotGranted("writing"));
    }
    Ok(())
}

/// Where a write goes.
struct Place {
    parent: OwnedFd,
    name: PathBuf,
    present: Option<Stat>,
}

/// A name for a file that is not complete yet.
pub(crate) fn temporary_name() -> String {
    let mut random = [0_u8; 8];
    // Without randomness the name is guessable, which O_EXCL makes harmless: at worst the write fails.
    _ = getrandom::fill(&mut random);
    format!(".factotum-{}.tmp", hex::encode(random))
}

pub(crate) fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

pub(crate) fn read_at_most(fd: OwnedFd, max_bytes: usize, path: &Path) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX);
    match File::from(fd).take(limit).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(FileError::from_errno(errno_of(&error), path)),
    }
}
