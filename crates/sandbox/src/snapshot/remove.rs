//! Removing what a snapshot does not have. It is removed as it is found, relative to open directories, so that neither its
//! depth, nor its names, nor its number can keep a workspace from being put back. Must not enter what is excluded.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    os::fd::OwnedFd,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, fstat, openat, statat, unlinkat},
    io::Errno,
};

use super::{
    manifest::{Manifest, Saved},
    scan::{Excluded, set_mode},
};
use crate::files::{FileError, Kind, Links, Root};

/// What the removal did.
#[derive(Debug, Default)]
pub(super) struct Removed {
    /// How many things are gone.
    pub number: u64,
    /// What could not be removed, and why; the first few.
    pub problems: Vec<(PathBuf, Errno)>,
    /// The modes of directories that had to be opened for writing, as they were before.
    pub modes: BTreeMap<PathBuf, u32>,
}

/// No more problems than this are kept.
const MAX_PROBLEMS: usize = 20;

impl Removed {
    fn problem(&mut self, path: &Path, errno: Errno) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push((path.to_owned(), errno));
        }
    }
}

/// Removes everything that the manifest does not have. Its own directories are opened for writing on the way.
pub(super) fn remove_new(root: &Root, manifest: &Manifest, excluded: &Excluded<'_>) -> Result<Removed, FileError> {
    let mut removed = Removed::default();
    let mut waiting = vec![PathBuf::new()];
    while let Some(directory) = waiting.pop() {
        let fd = match open_for_writing(root, &directory, &mut removed) {
            Ok(fd) => fd,
            Err(FileError::NotFound { .. } | FileError::NotDirectory { .. } | FileError::Outside { .. })
                if !directory.as_os_str().is_empty() =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        waiting.extend(clear(&fd, &directory, manifest, excluded, &mut removed)?);
    }
    Ok(removed)
}

fn open_for_writing(root: &Root, path: &Path, removed: &mut Removed) -> Result<OwnedFd, FileError> {
    let handle = root.open_at(path, OFlags::PATH | OFlags::DIRECTORY, Links::Never)?;
    let failed = |errno| FileError::from_errno(errno, path);
    let mode = fstat(&handle).map_err(failed)?.st_mode & 0o7777;
    if mode & 0o700 != 0o700 {
        set_mode(&handle, mode | 0o700).map_err(failed)?;
        removed.modes.insert(path.to_owned(), mode);
    }
    root.open_directory(path, Links::Never)
}

/// Removes what is new in one directory of the manifest, and gives the directories in it that are not.
fn clear(
    fd: &OwnedFd,
    directory: &Path,
    manifest: &Manifest,
    excluded: &Excluded<'_>,
    removed: &mut Removed,
) -> Result<BTreeSet<PathBuf>, FileError> {
    let failed = |errno| FileError::from_errno(errno, directory);
    let mut known = BTreeSet::new();
    loop {
        let before = removed.number;
        for entry in Dir::read_from(fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            let Some(kind) = kind_of(fd, name) else { continue };
            let path = directory.join(name);
            let is_directory = kind == Kind::Directory;
            match manifest.entries.get(&path) {
                Some(Saved::Directory { .. }) if is_directory => {
                    known.insert(path);
                }
                Some(Saved::Directory { .. } | Saved::Special) => {}
                Some(Saved::File { .. } | Saved::Link { .. }) if !is_directory => {}
                Some(Saved::File { .. } | Saved::Link { .. }) | None => {
                    if is_directory && excluded.covers(&path) {
                        continue;
                    }
                    remove(fd, name, is_directory, path, excluded, removed);
                }
            }
        }
        // A directory that shrinks while it is read may be read with gaps.
        if removed.number == before {
            return Ok(known);
        }
    }
}

/// The kind of an entry; none for the directory itself, its parent, and what has vanished.
fn kind_of(fd: &OwnedFd, name: &OsStr) -> Option<Kind> {
    if name == "." || name == ".." {
        return None;
    }
    statat(fd, name, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| Kind::of(stat.st_mode))
}

/// Removes one thing, a directory with all that is in it.
pub(super) fn remove(
    fd: &OwnedFd,
    name: &OsStr,
    is_directory: bool,
    path: PathBuf,
    excluded: &Excluded<'_>,
    removed: &mut Removed,
) {
    let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    if is_directory && let Err(errno) = empty(fd, name, path.clone(), excluded, removed) {
        return removed.problem(&path, errno);
    }
    match unlinkat(fd, name, flags) {
        Ok(()) => removed.number += 1,
        // It is gone, or it holds something excluded, which is to be left alone.
        Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => {}
        Err(errno) => removed.problem(&path, errno),
    }
}

/// One directory above the present one.
struct Above {
    /// Which it is, so that a way back that was bent is noticed.
    identity: (u64, u64),
    /// The name in it of the directory that was entered.
    name: OsString,
    /// What stays in it.
    kept: BTreeSet<OsString>,
}

/// Empties a directory, except for what is excluded. Holds two descriptors however deep it is.
fn empty(
    parent: &OwnedFd,
    name: &OsStr,
    mut path: PathBuf,
    excluded: &Excluded<'_>,
    removed: &mut Removed,
) -> Result<(), Errno> {
    let mut here = enter(parent, name)?;
    let mut above: Vec<Above> = Vec::new();
    let mut kept = BTreeSet::new();
    loop {
        if let Some(inner) = next_directory(&here, &path, excluded, &mut kept, removed)? {
            match enter(&here, &inner) {
                Ok(entered) => {
                    path.push(&inner);
                    above.push(Above { identity: identity(&here)?, name: inner, kept: std::mem::take(&mut kept) });
                    here = entered;
                }
                Err(errno) => {
                    removed.problem(&path.join(&inner), errno);
                    kept.insert(inner);
                }
            }
            continue;
        }
        let Some(level) = above.pop() else { return Ok(()) };
        here = openat(&here, "..", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        if identity(&here)? != level.identity {
            // Somebody moved what was being removed.
            return Err(Errno::AGAIN);
        }
        kept = level.kept;
        match unlinkat(&here, &level.name, AtFlags::REMOVEDIR) {
            Ok(()) => removed.number += 1,
            Err(Errno::NOENT) => {}
            Err(errno) => {
                if !matches!(errno, Errno::NOTEMPTY | Errno::EXIST) {
                    removed.problem(&path, errno);
                }
                kept.insert(level.name);
            }
        }
        path.pop();
    }
}

/// Removes everything that is not a directory, up to the first directory that is to be entered.
fn next_directory(
    here: &OwnedFd,
    path: &Path,
    excluded: &Excluded<'_>,
    kept: &mut BTreeSet<OsString>,
    removed: &mut Removed,
) -> Result<Option<OsString>, Errno> {
    loop {
        let before = removed.number;
        for entry in Dir::read_from(here)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if kept.contains(name) {
                continue;
            }
            match kind_of(here, name) {
                None => {}
                Some(Kind::Directory) if excluded.covers(&path.join(name)) => {
                    kept.insert(name.to_owned());
                }
                Some(Kind::Directory) => return Ok(Some(name.to_owned())),
                Some(Kind::File | Kind::Link | Kind::Special) => match unlinkat(here, name, AtFlags::empty()) {
                    Ok(()) => removed.number += 1,
                    Err(Errno::NOENT) => {}
                    Err(errno) => {
                        removed.problem(&path.join(name), errno);
                        kept.insert(name.to_owned());
                    }
                },
            }
        }
        if removed.number == before {
            return Ok(None);
        }
    }
}

/// Opens a directory for removing what is in it, whatever its mode.
fn enter(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = openat(parent, name, flags | OFlags::PATH, Mode::empty())?;
    let mode = fstat(&handle)?.st_mode & 0o7777;
    if mode & 0o700 != 0o700 {
        set_mode(&handle, mode | 0o700)?;
    }
    openat(&handle, ".", flags | OFlags::RDONLY, Mode::empty())
}

fn identity(fd: &OwnedFd) -> Result<(u64, u64), Errno> {
    let found = fstat(fd)?;
    Ok((found.st_dev, found.st_ino))
}
