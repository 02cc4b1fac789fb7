//! Putting a workspace back. What is not in the snapshot goes first, so that a full disk can be undone, then what is
//! missing or different is made, then modes are set. Every step looks at what is there, so an interrupted restore is
//! completed by running it again. Times are not put back: build tools would take old files for unchanged ones.

use std::{
    collections::BTreeMap,
    fs::File,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use policy::Grant;
use rustix::{
    fs::{
        AtFlags, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, mkdirat, openat, renameat, symlinkat, syncfs, unlinkat,
    },
    io::Errno,
    process::geteuid,
};

use super::{
    SnapshotConfig, SnapshotError, Snapshots,
    manifest::{Manifest, Saved, Seen},
    objects::{Objects, hash_all},
    remove::remove_new,
    scan::{Excluded, Present, Scan, scan, set_mode},
    take::{has_saved_content, read_link},
};
use crate::{
    Workspace,
    files::{FileError, Kind, Links, Need, Root, errno_of, require, shown, temporary_name},
};

/// The bits that run a file as its owner or group.
const SET_ID_BITS: u32 = 0o6000;
/// No more problems than this are told.
const MAX_PROBLEMS: usize = 20;

/// What a restore did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Files and links that were made or replaced, and directories that were made.
    pub written: u64,
    /// Things that were not in the snapshot and are gone.
    pub removed: u64,
    /// Things whose mode or owner alone was put back.
    pub adjusted: u64,
    /// What could not be put back, in words; at most 20.
    pub problems: Vec<String>,
}

impl Snapshots {
    /// Makes the workspace equal to the snapshot. Excluded directories are left as they are. May be run again.
    pub fn restore(&self, grant: &Grant, workspace: &Workspace, id: &str) -> Result<Restored, SnapshotError> {
        require(grant, &workspace.name, Need::Write)?;
        let _lock = self.lock()?;
        let manifest = self.load(&workspace.name, id)?;
        self.require_objects(id, &manifest)?;
        let root = Root::open(workspace.dir())?;
        let mut work = Work::new(&self.objects, &root, &manifest);
        let excluded = Excluded(&manifest.exclude);
        let opened = work.remove_new(&excluded)?;
        // What is left is bounded by what was saved; a file that grew must not keep it from being put back.
        let bounds = SnapshotConfig { max_mb: u64::MAX >> 20, max_files: usize::MAX, ..self.config.clone() };
        let mut present = scan(&root, &excluded, &bounds)?;
        for (path, mode) in opened {
            if let Some(there) = present.get_mut(&path) {
                there.mode = mode;
            }
        }
        work.make_saved(&present)?;
        work.settle_directories(&present)?;
        let directory = root.open_directory(Path::new(""), Links::Never)?;
        syncfs(&directory).map_err(|errno| FileError::from_errno(errno, Path::new("")))?;
        Ok(work.done)
    }

    /// Before anything is touched: is there a content for every file?
    fn require_objects(&self, id: &str, manifest: &Manifest) -> Result<(), SnapshotError> {
        for (path, saved) in &manifest.entries {
            if let Saved::File { hash, seen, .. } = saved
                && !self.objects.has(hash, seen.size)
            {
                let why = format!("the content of `{}` is missing", shown(path));
                return Err(SnapshotError::Damaged { id: id.to_owned(), why });
            }
        }
        Ok(())
    }
}

/// A restore in progress.
pub(super) struct Work<'a> {
    objects: &'a Objects,
    root: &'a Root,
    manifest: &'a Manifest,
    done: Restored,
}

impl<'a> Work<'a> {
    pub(super) fn new(objects: &'a Objects, root: &'a Root, manifest: &'a Manifest) -> Self {
        Self { objects, root, manifest, done: Restored::default() }
    }

    /// What could not be put back, if there is anything.
    pub(super) fn problem_met(&self) -> Option<String> {
        self.done.problems.first().cloned()
    }
}

impl Work<'_> {
    fn problem(&mut self, path: &Path, why: &str) {
        if self.done.problems.len() < MAX_PROBLEMS {
            self.done.problems.push(format!("{}: {why}", shown(path)));
        }
    }

    /// Removes what the snapshot does not have. Gives the modes of directories that were closed to us before.
    fn remove_new(&mut self, excluded: &Excluded<'_>) -> Result<BTreeMap<PathBuf, u32>, FileError> {
        let removed = remove_new(self.root, self.manifest, excluded)?;
        self.done.removed += removed.number;
        for (path, errno) in &removed.problems {
            self.problem(path, &format!("it could not be removed: {errno}"));
        }
        Ok(removed.modes)
    }

    /// Makes what is missing or different, each directory before what is in it.
    pub(super) fn make_saved(&mut self, present: &Scan) -> Result<(), SnapshotError> {
        for (path, saved) in &self.manifest.entries {
            let there = present.get(path);
            match saved {
                Saved::Special => {
                    if there.is_none() {
                        self.problem(path, "a pipe, socket or device is gone and cannot be made again");
                    }
                }
                Saved::Directory { .. } => self.make_directory(path, there)?,
                Saved::Link { target } => self.make_link(path, target, there)?,
                Saved::File { mode, owner, hash, seen } => {
                    let same = match there {
                        Some(there) if there.kind == Kind::File => {
                            has_saved_content(self.root, self.manifest, path, there)?
                        }
                        Some(_) | None => false,
                    };
                    if same {
                        self.done.adjusted += u64::from(self.adjust(path, *mode, *owner)?);
                    } else {
                        // Set-id bits belong to the very file that somebody gave them to, never to a new one.
                        self.make_file(path, *mode & !SET_ID_BITS, *owner, hash, *seen)?;
                        if *mode & SET_ID_BITS != 0 {
                            self.problem(
                                path,
                                "its set-id bits were not given back; set them by hand if you want them",
                            );
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn make_directory(&mut self, path: &Path, there: Option<&Present>) -> Result<(), FileError> {
        if path.as_os_str().is_empty() || there.is_some_and(|there| there.kind == Kind::Directory) {
            return Ok(());
        }
        let failed = |errno| FileError::from_errno(errno, path);
        let (parent, name) = self.parent(path)?;
        if there.is_some() {
            unlinkat(&parent, name, AtFlags::empty()).map_err(failed)?;
        }
        mkdirat(&parent, name, Mode::from_raw_mode(0o700)).map_err(failed)?;
        self.done.written += 1;
        Ok(())
    }

    fn make_link(&mut self, path: &Path, target: &Path, there: Option<&Present>) -> Result<(), FileError> {
        if there.is_some_and(|there| there.kind == Kind::Link) && read_link(self.root, path)? == target {
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        let temporary = temporary_name();
        let failed = |errno| FileError::from_errno(errno, path);
        symlinkat(target, &parent, &temporary).map_err(failed)?;
        if let Some((uid, gid)) = self.root.new_owner() {
            // Commands cannot even remove what belongs to somebody whom their namespace does not know.
            rustix::fs::chownat(&parent, &temporary, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(failed)?;
        }
        self.put_in_place(&parent, &temporary, name, path)
    }

    fn make_file(
        &mut self,
        path: &Path,
        mode: u32,
        owner: (u32, u32),
        hash: &str,
        seen: Seen,
    ) -> Result<(), SnapshotError> {
        let failed = |errno| FileError::from_errno(errno, path);
        let mut object = self.objects.get(hash)?;
        let (parent, name) = self.parent(path)?;
        let temporary = temporary_name();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&parent, &temporary, flags, Mode::from_raw_mode(0o600)).map_err(failed)?;
        let mut file = File::from(file);
        let filled = hash_all(&mut object, &mut file, seen.size).map_err(|error| failed(errno_of(&error)));
        let filled = filled.and_then(|(found, _)| {
            give(&file, mode, owner).map_err(failed)?;
            Ok(found == hash)
        });
        match filled {
            Ok(true) => Ok(self.put_in_place(&parent, &temporary, name, path)?),
            Ok(false) => {
                _ = unlinkat(&parent, &temporary, AtFlags::empty());
                self.problem(path, "its saved content is damaged; the file was left as it is");
                Ok(())
            }
            Err(error) => {
                _ = unlinkat(&parent, &temporary, AtFlags::empty());
                Err(error.into())
            }
        }
    }

    fn put_in_place(&mut self, parent: &OwnedFd, temporary: &str, name: &Path, path: &Path) -> Result<(), FileError> {
        match renameat(parent, temporary, parent, name) {
            Ok(()) => {
                self.done.written += 1;
                Ok(())
            }
            Err(errno) => {
                _ = unlinkat(parent, temporary, AtFlags::empty());
                if errno == Errno::ISDIR {
                    // A directory stands there that could not be removed, because something excluded is in it.
                    self.problem(path, "a directory with excluded content stands in its place");
                    return Ok(());
                }
                Err(FileError::from_errno(errno, path))
            }
        }
    }

    /// Sets the mode and owner of something that is otherwise as it was. Returns whether they were others.
    fn adjust(&self, path: &Path, mode: u32, owner: (u32, u32)) -> Result<bool, FileError> {
        let failed = |errno| FileError::from_errno(errno, path);
        let handle = self.root.open_at(path, OFlags::PATH, Links::Never)?;
        let stat = fstat(&handle).map_err(failed)?;
        let other_owner = geteuid().is_root() && (stat.st_uid, stat.st_gid) != owner;
        if other_owner {
            let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
            rustix::fs::chownat(&handle, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH).map_err(failed)?;
        }
        let other = other_owner || stat.st_mode & 0o7777 != mode;
        if other {
            set_mode(&handle, mode).map_err(failed)?;
        }
        Ok(other)
    }

    /// Sets the modes of directories last and from below, because some may forbid writing.
    pub(super) fn settle_directories(&mut self, present: &Scan) -> Result<(), FileError> {
        for (path, saved) in self.manifest.entries.iter().rev() {
            if let Saved::Directory { mode, owner } = saved {
                self.adjust(path, *mode, *owner)?;
                // Compared with what was found, because we may have opened it ourselves in between.
                let was_other = |there: &Present| (there.mode, there.owner) != (*mode, *owner);
                self.done.adjusted += u64::from(present.get(path).is_some_and(was_other));
            }
        }
        Ok(())
    }

    fn parent<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p Path), FileError> {
        let parent = self.root.open_directory(path.parent().unwrap_or(Path::new("")), Links::Never)?;
        Ok((parent, path.file_name().map_or(Path::new(""), Path::new)))
    }
}

/// Gives a new file its owner, where we may, and its mode.
fn give(file: &File, mode: u32, owner: (u32, u32)) -> Result<(), Errno> {
    if geteuid().is_root() {
        fchown(file, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)))?;
    }
    fchmod(file, Mode::from_raw_mode(mode))
}
