//! What a workspace holds at this moment, without reading a file. Must not follow links; looks into directories that
//! their owner closed, because what was closed can be opened again after the snapshot.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::File,
    os::fd::{AsFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, Stat, chmod, fstat, statat},
    io::Errno,
};

use super::{SnapshotConfig, SnapshotError, manifest::Seen};
use crate::files::{FileError, Kind, Links, Root, shown};

/// One thing that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Present {
    pub kind: Kind,
    pub mode: u32,
    pub owner: (u32, u32),
    pub seen: Seen,
}

impl Present {
    fn of(stat: &Stat) -> Self {
        Self {
            kind: Kind::of(stat.st_mode),
            mode: stat.st_mode & 0o7777,
            owner: (stat.st_uid, stat.st_gid),
            seen: Seen::of(stat),
        }
    }
}

impl Seen {
    pub(super) fn of(stat: &Stat) -> Self {
        let nanoseconds = |seconds: i64, part: i64| seconds.saturating_mul(1_000_000_000).saturating_add(part);
        Self {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64),
            inode: stat.st_ino,
        }
    }
}

/// Everything that is there, by path relative to the workspace; the empty path is the workspace itself.
pub(super) type Scan = BTreeMap<PathBuf, Present>;

/// What is left out of snapshots.
pub(super) struct Excluded<'a>(pub &'a [String]);

impl Excluded<'_> {
    pub(super) fn covers(&self, path: &Path) -> bool {
        let whole = path.as_os_str().as_bytes();
        let name = path.file_name().unwrap_or_default().as_bytes();
        self.0
            .iter()
            .map(|pattern| pattern.trim_matches('/').as_bytes())
            .any(|pattern| if pattern.contains(&b'/') { pattern == whole } else { pattern == name })
    }
}

/// The names of a workspace may need so many bytes of memory.
const MAX_NAMES: usize = 128 << 20;

/// Lists the workspace, or says what makes it too large to save.
pub(super) fn scan(root: &Root, excluded: &Excluded<'_>, bounds: &SnapshotConfig) -> Result<Scan, SnapshotError> {
    let mut found = Scan::new();
    let top = root.open_at(Path::new(""), OFlags::PATH, Links::Never)?;
    found.insert(
        PathBuf::new(),
        Present::of(&fstat(&top).map_err(|errno| FileError::from_errno(errno, Path::new("")))?),
    );
    let (mut bytes, mut names) = (0_u64, 0_usize);
    let mut waiting = vec![PathBuf::new()];
    while let Some(directory) = waiting.pop() {
        for (path, present) in entries(root, &directory)? {
            if present.kind == Kind::Directory {
                if excluded.covers(&path) {
                    continue;
                }
                waiting.push(path.clone());
            }
            if present.kind == Kind::File {
                bytes = bytes.saturating_add(present.seen.size);
            }
            names += path.as_os_str().len();
            found.insert(path, present);
            if names > MAX_NAMES || bytes > bounds.max_mb.saturating_mul(1 << 20) || found.len() > bounds.max_files {
                return Err(too_large(&found, bounds));
            }
        }
    }
    Ok(found)
}

/// Names the directories that hold most of what was seen.
fn too_large(found: &Scan, bounds: &SnapshotConfig) -> SnapshotError {
    let mut shares: BTreeMap<&OsStr, (u64, usize)> = BTreeMap::new();
    for (path, present) in found {
        let mut parts = path.components();
        if let (Some(first), true) = (parts.next(), parts.next().is_some()) {
            let share = shares.entry(first.as_os_str()).or_default();
            share.0 = share.0.saturating_add(present.seen.size);
            share.1 += 1;
        }
    }
    let mut shares: Vec<_> = shares.into_iter().collect();
    shares.sort_by_key(|(_, share)| std::cmp::Reverse(*share));
    let largest = shares
        .iter()
        .take(3)
        .map(|(name, (bytes, files))| format!("{} ({} MB, {files} entries)", shown(Path::new(name)), bytes >> 20));
    SnapshotError::TooLarge {
        max_mb: bounds.max_mb,
        max_files: bounds.max_files,
        largest: largest.collect::<Vec<_>>().join(", "),
    }
}

fn entries(root: &Root, directory: &Path) -> Result<Vec<(PathBuf, Present)>, FileError> {
    let failed = |errno: Errno| FileError::from_errno(errno, directory);
    let fd = match open_directory(root, directory) {
        Ok(fd) => fd,
        // Removed, or replaced by something else, since its parent was read: it holds nothing to save.
        Err(FileError::NotFound { .. } | FileError::NotDirectory { .. } | FileError::Outside { .. })
            if !directory.as_os_str().is_empty() =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in Dir::read_from(&fd).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        match statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => found.push((directory.join(OsStr::from_bytes(name.to_bytes())), Present::of(&stat))),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(found)
}

/// Opens a directory, with read and search permission added if we own it and they are missing. Without them what is
/// inside would be neither saved nor put back.
pub(super) fn open_directory(root: &Root, path: &Path) -> Result<OwnedFd, FileError> {
    let handle = root.open_at(path, OFlags::PATH | OFlags::DIRECTORY, Links::Never)?;
    let failed = |errno| FileError::from_errno(errno, path);
    let mode = fstat(&handle).map_err(failed)?.st_mode & 0o7777;
    if mode & 0o500 != 0o500 {
        set_mode(&handle, mode | 0o500).map_err(failed)?;
    }
    root.open_directory(path, Links::Never)
}

/// Opens a regular file, with read permission added for the moment if we own it and it is missing.
pub(super) fn open_file(root: &Root, path: &Path) -> Result<(File, Stat), FileError> {
    let failed = |errno| FileError::from_errno(errno, path);
    match root.open_regular(path, Links::Never) {
        Err(FileError::Forbidden { .. }) => {}
        settled => return settled.map(|(fd, stat)| (File::from(fd), stat)),
    }
    let handle = root.open_at(path, OFlags::PATH, Links::Never)?;
    let mode = fstat(&handle).map_err(failed)?.st_mode & 0o7777;
    set_mode(&handle, mode | 0o400).map_err(failed)?;
    let opened = root.open_regular(path, Links::Never);
    set_mode(&handle, mode).map_err(failed)?;
    let (fd, _) = opened?;
    let stat = fstat(&fd).map_err(failed)?;
    Ok((File::from(fd), stat))
}

/// Sets the mode of what a path descriptor stands for; `fchmod` refuses such descriptors.
pub(super) fn set_mode(handle: &impl AsFd, mode: u32) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    let through = format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd());
    chmod(through, Mode::from_raw_mode(mode))
}
