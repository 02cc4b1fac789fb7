//! Opening paths so that they stay beneath one directory, whatever a racing process does to the links on the way: every
//! name is resolved by the kernel in one `openat2` call. Must not decide who may open what, and must not fall back to
//! path strings when the kernel lacks `openat2`.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::{Component, Path},
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, mkdirat, open, openat, openat2},
    io::Errno,
    process::{Gid, Uid, geteuid},
};

use types::{Invariant, unseen};

/// Deeper paths are refused before any of their directories is made.
const MAX_COMPONENTS: usize = 128;
/// `openat2` answers EAGAIN when a rename ran at the same time; it is asked again this often.
const MAX_RETRIES: usize = 64;

/// Why a workspace file could not be used. Paths are shown escaped and relative to the workspace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Nothing is there.
    #[error("`{path}` does not exist in the workspace")]
    NotFound {
        /// The path that was asked for.
        path: String,
    },
    /// The path, or a link on it, leaves the workspace.
    #[error("`{path}` leads out of the workspace, and only files inside it may be used")]
    Outside {
        /// The path that was asked for.
        path: String,
    },
    /// A directory, pipe, socket or device where a file is needed.
    #[error("`{path}` is {what}, not a regular file")]
    NotRegular {
        /// The path that was asked for.
        path: String,
        /// What is there, with its article.
        what: &'static str,
    },
    /// Something else where a directory is needed.
    #[error("`{path}` is not a directory, or a part of it is not")]
    NotDirectory {
        /// The path that was asked for.
        path: String,
    },
    /// The system's permissions forbid it.
    #[error("the file permissions of `{path}` do not allow it")]
    Forbidden {
        /// The path that was asked for.
        path: String,
    },
    /// The path is malformed.
    #[error("`{path}` is not a usable path: {why}")]
    BadPath {
        /// The path that was asked for.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file is not the one that was read before.
    #[error("`{path}` changed since it was read; read it again")]
    Changed {
        /// The path that was asked for.
        path: String,
    },
    /// No space is left.
    #[error("the disk or the quota is full while writing `{path}`; free some space and try again")]
    DiskFull {
        /// The path that was asked for.
        path: String,
    },
    /// The grant is for another workspace or for reading only.
    #[error("the grant does not cover {0}")]
    NotGranted(&'static str),
    /// The kernel cannot resolve paths safely.
    #[error("this kernel has no openat2, so workspace files cannot be used safely; Linux 5.6 or later is needed")]
    NoOpenat2,
    /// Anything else the system said.
    #[error("`{path}` could not be used: {source}")]
    System {
        /// The path that was asked for.
        path: String,
        /// The system's error.
        source: Errno,
    },
}

/// A path as it is shown to people and models: lossy UTF-8 with what cannot be seen escaped.
pub(crate) fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    let mut out = String::with_capacity(text.len());
    for (character, hides) in unseen::in_place(&text) {
        if hides || character.is_control() { out.extend(character.escape_default()) } else { out.push(character) }
    }
    if out.is_empty() { ".".to_owned() } else { out }
}

impl FileError {
    pub(crate) fn from_errno(errno: Errno, path: &Path) -> Self {
        let path = shown(path);
        match errno {
            Errno::NOENT => Self::NotFound { path },
            Errno::XDEV | Errno::LOOP => Self::Outside { path },
            Errno::NOTDIR => Self::NotDirectory { path },
            Errno::ISDIR => Self::NotRegular { path, what: "a directory" },
            // A socket, or a pipe without a reader, opened without blocking.
            Errno::NXIO => Self::NotRegular { path, what: "a pipe, socket or device" },
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Self::Forbidden { path },
            Errno::NOSPC | Errno::DQUOT => Self::DiskFull { path },
            Errno::NAMETOOLONG => Self::BadPath { path, why: "it is too long" },
            Errno::NOSYS => Self::NoOpenat2,
            source => Self::System { path, source },
        }
    }
}

/// Whether symbolic links on the way are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// Followed as long as they stay beneath the root.
    Inside,
    /// Any link is an error.
    Never,
}

/// A directory beneath which everything stays.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
    owner: (Uid, Gid),
}

impl Root {
    /// Holds `directory`, which comes from the configuration and is trusted.
    pub(crate) fn open(directory: &Path) -> Result<Self, FileError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = open(directory, flags, Mode::empty()).map_err(|errno| FileError::from_errno(errno, directory))?;
        Self::from_fd(fd)
    }

    /// Makes `path`, a directory beneath this root, a root of its own.
    pub(crate) fn sub(&self, path: &Path) -> Result<Self, FileError> {
        Self::from_fd(self.open_at(path, OFlags::PATH | OFlags::DIRECTORY, Links::Inside)?)
    }

    fn from_fd(directory: OwnedFd) -> Result<Self, FileError> {
        let stat = fstat(&directory).map_err(|errno| FileError::from_errno(errno, Path::new(".")))?;
        Ok(Self { directory, owner: (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid)) })
    }

    /// Who should own what is made here: the root directory's owner when we are root, else whoever we are.
    pub(crate) fn new_owner(&self) -> Option<(Uid, Gid)> {
        geteuid().is_root().then_some(self.owner)
    }

    /// Opens `path` (relative; empty means the root itself) beneath the root.
    pub(crate) fn open_at(&self, path: &Path, flags: OFlags, links: Links) -> Result<OwnedFd, FileError> {
        check(path)?;
        let name = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        if links == Links::Never {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        if Invariant::FilesBeneath.is_broken() {
            resolve = ResolveFlags::empty();
        }
        // openat2 refuses O_PATH together with flags that mean nothing to it.
        let always = if flags.contains(OFlags::PATH) { OFlags::CLOEXEC } else { OFlags::CLOEXEC | OFlags::NOCTTY };
        let mut last = Errno::AGAIN;
        for _ in 0..MAX_RETRIES {
            match openat2(&self.directory, name, flags | always, Mode::empty(), resolve) {
                Ok(fd) => return Ok(fd),
                Err(errno @ (Errno::AGAIN | Errno::INTR)) => {
                    last = errno;
                    std::thread::yield_now();
                }
                Err(errno) => return Err(FileError::from_errno(errno, path)),
            }
        }
        Err(FileError::from_errno(last, path))
    }

    /// Opens a directory for reading its entries and for work relative to it.
    pub(crate) fn open_directory(&self, path: &Path, links: Links) -> Result<OwnedFd, FileError> {
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, links)
    }

    /// Opens a regular file for reading. Pipes, sockets and devices are refused and never waited for.
    pub(crate) fn open_regular(&self, path: &Path, links: Links) -> Result<(OwnedFd, Stat), FileError> {
        let fd = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK, links)?;
        let stat = fstat(&fd).map_err(|errno| FileError::from_errno(errno, path))?;
        require_regular(&stat, path)?;
        Ok((fd, stat))
    }

    /// As [`Root::open_regular`], for content that somebody will see.
    pub(crate) fn open_readable(&self, path: &Path) -> Result<(OwnedFd, Stat), FileError> {
        let (fd, stat) = self.open_regular(path, Links::Inside)?;
        // As root we could read what the workspace's owner may not; a second name for such a file is the way in which
        // something from outside could have come here.
        if geteuid().is_root() && stat.st_nlink > 1 && stat.st_uid != self.owner.0.as_raw() {
            return Err(FileError::Forbidden { path: shown(path) });
        }
        Ok((fd, stat))
    }

    /// Opens the directory `path`, making it and its parents where they are missing.
    pub(crate) fn create_directories(&self, path: &Path) -> Result<OwnedFd, FileError> {
        match self.open_directory(path, Links::Inside) {
            Err(FileError::NotFound { .. }) => {}
            settled => return settled,
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(FileError::NotFound { path: shown(path) });
        };
        let parent = self.create_directories(parent)?;
        match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => self.adopt_directory(parent.as_fd(), Path::new(name)),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(FileError::from_errno(errno, path)),
        }
        self.open_directory(path, Links::Inside)
    }

    /// Gives a directory that we made as root to the workspace's owner. A failure shows when it is used.
    pub(crate) fn adopt_directory(&self, parent: BorrowedFd<'_>, name: &Path) {
        let Some((uid, gid)) = self.new_owner() else { return };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Through a descriptor, and only what is root's, so that a name swapped meanwhile gives nothing away.
        if let Ok(fd) = openat(parent, name, flags, Mode::empty())
            && fstat(&fd).is_ok_and(|stat| stat.st_uid == 0)
        {
            _ = rustix::fs::fchown(&fd, Some(uid), Some(gid));
        }
    }
}

/// Refuses everything but a regular file, in words.
pub(crate) fn require_regular(stat: &Stat, path: &Path) -> Result<(), FileError> {
    let what = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a directory",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Symlink => "a symbolic link",
        FileType::Unknown => "of an unknown kind",
    };
    Err(FileError::NotRegular { path: shown(path), what })
}

fn check(path: &Path) -> Result<(), FileError> {
    let bad = |why| Err(FileError::BadPath { path: shown(path), why });
    if path.as_os_str().as_bytes().contains(&0) {
        return bad("it holds a zero byte");
    }
    if path.as_os_str().len() >= 4096 {
        return bad("it is too long");
    }
    if path.is_absolute() {
        return Err(FileError::Outside { path: shown(path) });
    }
    Ok(())
}

/// Checks a path that something is to be made at, and splits it into its directory and its last name.
pub(crate) fn split(path: &Path) -> Result<(&Path, &Path), FileError> {
    check(path)?;
    if path.components().count() > MAX_COMPONENTS {
        return Err(FileError::BadPath { path: shown(path), why: "it is too deep" });
    }
    match (path.parent(), path.components().next_back()) {
        (Some(parent), Some(Component::Normal(name))) => Ok((parent, Path::new(name))),
        _ => Err(FileError::BadPath { path: shown(path), why: "it does not end in a file name" }),
    }
}
