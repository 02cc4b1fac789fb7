//! Saving a workspace. Contents first, made durable together, then the manifest; a crash in between leaves objects that
//! pruning removes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use policy::Grant;
use rustix::fs::readlinkat;

use super::{
    SnapshotError, Snapshots,
    manifest::{Manifest, Saved, Seen},
    objects::hash_all,
    registry::now_nanoseconds,
    scan::{Excluded, Present, open_file, scan},
};
use crate::{
    Workspace,
    files::{FileError, Kind, Links, Need, Root, require},
};

/// A file that changed this shortly before a scan may have changed again within the same tick of its time stamp, so its
/// stamp proves nothing. Two seconds is the coarsest tick of any file system in use.
const TICK: i64 = 2_000_000_000;
/// Pruning reads all manifests, so it waits until this many are too many.
const PRUNE_EVERY: usize = 10;

impl Snapshots {
    /// Saves the workspace and returns the snapshot's id. When nothing changed since the last snapshot, that is it.
    pub fn take(&self, grant: &Grant, workspace: &Workspace) -> Result<String, SnapshotError> {
        require(grant, &workspace.name, Need::Read)?;
        let _lock = self.lock()?;
        let ids = self.list(&workspace.name)?;
        let last = ids.last().map(String::as_str);
        // A damaged manifest only costs the shortcut; the snapshot is then taken from scratch.
        let previous = last.and_then(|id| self.load(&workspace.name, id).ok());
        let root = Root::open(workspace.dir())?;
        let started = now_nanoseconds();
        let mut entries = BTreeMap::new();
        for (path, present) in scan(&root, &Excluded(&self.config.exclude), &self.config)? {
            let before = previous.as_ref().and_then(|manifest| known(manifest, &path));
            if let Some(saved) = self.save_entry(&root, &path, &present, before)? {
                entries.insert(path, saved);
            }
        }
        let manifest = Manifest {
            workspace: workspace.name.as_str().to_owned(),
            started,
            exclude: self.config.exclude.clone(),
            entries,
        };
        if let (Some(id), Some(previous)) = (last, &previous)
            && previous.holds_the_same(&manifest)
        {
            if !previous.proves(&manifest) {
                // Written again for its stamps, so that what was hashed now need not be hashed next time.
                self.objects.sync()?;
                self.save(&workspace.name, id, &manifest)?;
            }
            return Ok(id.to_owned());
        }
        self.objects.sync()?;
        let id = self.new_id(&workspace.name, last);
        self.save(&workspace.name, &id, &manifest)?;
        if ids.len() >= self.config.keep.saturating_add(PRUNE_EVERY) {
            self.prune_locked(self.config.keep)?;
        }
        Ok(id)
    }

    /// Saves one thing; none when it vanished meanwhile.
    fn save_entry(
        &self,
        root: &Root,
        path: &Path,
        present: &Present,
        before: Option<(Seen, &str)>,
    ) -> Result<Option<Saved>, SnapshotError> {
        match present.kind {
            Kind::Directory => Ok(Some(Saved::Directory { mode: present.mode, owner: present.owner })),
            Kind::Special => Ok(Some(Saved::Special)),
            Kind::Link => match read_link(root, path) {
                Ok(target) => Ok(Some(Saved::Link { target })),
                Err(FileError::NotFound { .. }) => Ok(None),
                // No longer a link. It changed under our hands; what it is now was not saved and must not be removed.
                Err(_) => Ok(Some(Saved::Special)),
            },
            Kind::File => {
                let (mode, owner) = (present.mode, present.owner);
                if let Some((seen, hash)) = before
                    && seen == present.seen
                    && self.objects.has(hash, seen.size)
                {
                    return Ok(Some(Saved::File { mode, owner, hash: hash.to_owned(), seen }));
                }
                let (mut file, stat) = match open_file(root, path) {
                    Ok(opened) => opened,
                    Err(FileError::NotFound { .. }) => return Ok(None),
                    Err(FileError::NotRegular { .. } | FileError::Outside { .. } | FileError::NotDirectory { .. }) => {
                        return Ok(Some(Saved::Special));
                    }
                    Err(error) => return Err(error.into()),
                };
                let stamp = Seen::of(&stat);
                // Of the file that was opened: another one may have stood there when the list was made.
                let (mode, owner) = (stat.st_mode & 0o7777, (stat.st_uid, stat.st_gid));
                let (hash, size) = self.objects.put(&mut file, stamp.size)?;
                Ok(Some(Saved::File { mode, owner, hash, seen: Seen { size, ..stamp } }))
            }
        }
    }
}

impl Manifest {
    /// Whether it would restore to the same workspace.
    fn holds_the_same(&self, other: &Self) -> bool {
        self.exclude == other.exclude
            && self.entries.len() == other.entries.len()
            && self.entries.iter().zip(&other.entries).all(|((path, saved), (other_path, other))| {
                path == other_path && saved.without_stamp() == other.without_stamp()
            })
    }

    /// Whether its stamps alone show that `other` holds the same.
    fn proves(&self, other: &Self) -> bool {
        let is_proven = |(path, saved): (&PathBuf, &Saved)| match saved {
            Saved::File { seen, .. } => known(self, path).is_some_and(|(before, _)| before == *seen),
            Saved::Directory { .. } | Saved::Link { .. } | Saved::Special => true,
        };
        other.entries.iter().all(is_proven)
    }
}

impl Saved {
    fn without_stamp(&self) -> Self {
        let mut plain = self.clone();
        if let Self::File { seen, .. } = &mut plain {
            *seen = Seen { size: seen.size, modified: 0, changed: 0, inode: 0 };
        }
        plain
    }
}

/// The stamp and hash of a file in an earlier manifest, if the stamp proves anything.
pub(super) fn known<'a>(manifest: &'a Manifest, path: &Path) -> Option<(Seen, &'a str)> {
    match manifest.entries.get(path)? {
        Saved::File { hash, seen, .. } if seen.changed.saturating_add(TICK) < manifest.started => {
            Some((*seen, hash.as_str()))
        }
        Saved::File { .. } | Saved::Directory { .. } | Saved::Link { .. } | Saved::Special => None,
    }
}

/// Whether the file that is there has the content that was saved.
pub(super) fn has_saved_content(
    root: &Root,
    manifest: &Manifest,
    path: &Path,
    present: &Present,
) -> Result<bool, FileError> {
    let Some(Saved::File { hash, seen, .. }) = manifest.entries.get(path) else { return Ok(false) };
    if known(manifest, path).is_some_and(|(seen, _)| seen == present.seen) {
        return Ok(true);
    }
    if seen.size != present.seen.size {
        return Ok(false);
    }
    let (mut file, _) = open_file(root, path)?;
    let hashed = hash_all(&mut file, std::io::sink(), present.seen.size);
    let (found, _) = hashed.map_err(|error| FileError::from_errno(crate::files::errno_of(&error), path))?;
    Ok(found == *hash)
}

/// The target of the link at `path`.
pub(super) fn read_link(root: &Root, path: &Path) -> Result<PathBuf, FileError> {
    use std::os::unix::ffi::OsStringExt;
    let parent = root.open_directory(path.parent().unwrap_or(Path::new("")), Links::Never)?;
    let name = path.file_name().unwrap_or_default();
    let target = readlinkat(&parent, name, Vec::new()).map_err(|errno| FileError::from_errno(errno, path))?;
    Ok(PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes())))
}
