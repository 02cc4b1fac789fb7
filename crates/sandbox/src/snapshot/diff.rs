//! What changed in a workspace since a snapshot, counted for people. The repository's own files in `.git` do not count.

use std::{
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use policy::Grant;

use super::{
    SnapshotConfig, SnapshotError, Snapshots,
    lines::count,
    manifest::{Manifest, Saved},
    scan::{Excluded, Present, open_file, scan},
    take::{has_saved_content, read_link},
};
use crate::{
    Workspace,
    files::{FileError, Kind, Need, Root, is_binary, require},
};

/// Larger files are counted as changed, without their lines.
const MAX_FILE: u64 = 1 << 20;
/// After this many bytes no more lines are counted.
const MAX_BYTES: u64 = 64 << 20;
/// No more changes than this are named.
const MAX_CHANGES: usize = 100;

/// How something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was not in the snapshot.
    Added,
    /// Its content, kind, mode or target is another.
    Modified,
    /// It is gone.
    Removed,
}

/// One file or link that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Relative to the workspace.
    pub path: PathBuf,
    /// How.
    pub kind: ChangeKind,
}

/// What changed, in numbers. Displays as `3 files changed, +10 -2`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiffStat {
    /// Files and links that differ.
    pub files: u64,
    /// Lines that were added.
    pub added: u64,
    /// Lines that were removed.
    pub removed: u64,
    /// Changed files whose lines were not counted: binary or too large.
    pub uncounted: u64,
    /// The first 100 changes, in order of path.
    pub changes: Vec<Change>,
}

impl fmt::Display for DiffStat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.files == 1 { "" } else { "s" };
        if self.files == 0 {
            return f.write_str("no files changed");
        }
        write!(f, "{} file{plural} changed, +{} -{}", self.files, self.added, self.removed)?;
        if self.uncounted > 0 { write!(f, ", {} not counted by lines", self.uncounted) } else { Ok(()) }
    }
}

impl Snapshots {
    /// Counts what changed in the workspace since the snapshot.
    pub fn diff_stat(&self, grant: &Grant, workspace: &Workspace, id: &str) -> Result<DiffStat, SnapshotError> {
        require(grant, &workspace.name, Need::Read)?;
        let _lock = self.lock()?;
        let manifest = self.load(&workspace.name, id)?;
        let root = Root::open(workspace.dir())?;
        let bounds = SnapshotConfig { max_mb: u64::MAX >> 20, max_files: usize::MAX, ..self.config.clone() };
        let present = scan(&root, &Excluded(&manifest.exclude), &bounds)?;
        let mut counting = Counting { snapshots: self, root: &root, stat: DiffStat::default(), bytes: 0 };
        for (path, saved) in manifest.entries.iter().filter(|(path, _)| counts(path)) {
            counting.compare(&manifest, path, saved, present.get(path))?;
        }
        for (path, there) in present.iter().filter(|(path, _)| counts(path)) {
            if there.kind != Kind::Directory && !manifest.entries.contains_key(path) {
                counting.change(path, ChangeKind::Added, None, Some(there))?;
            }
        }
        counting.stat.changes.sort_by(|a, b| a.path.cmp(&b.path));
        counting.stat.changes.truncate(MAX_CHANGES);
        Ok(counting.stat)
    }
}

fn counts(path: &Path) -> bool {
    !path.components().any(|part| part.as_os_str() == ".git")
}

struct Counting<'a> {
    snapshots: &'a Snapshots,
    root: &'a Root,
    stat: DiffStat,
    bytes: u64,
}

impl Counting<'_> {
    fn compare(
        &mut self,
        manifest: &Manifest,
        path: &Path,
        saved: &Saved,
        there: Option<&Present>,
    ) -> Result<(), FileError> {
        let Some(there) = there else {
            return match saved {
                Saved::Directory { .. } => Ok(()),
                Saved::File { .. } | Saved::Link { .. } | Saved::Special => {
                    self.change(path, ChangeKind::Removed, Some(saved), None)
                }
            };
        };
        let same = match (saved, there.kind) {
            (Saved::Directory { .. }, Kind::Directory) | (Saved::Special, _) => true,
            (Saved::File { mode, .. }, Kind::File) => {
                *mode == there.mode && has_saved_content(self.root, manifest, path, there)?
            }
            (Saved::Link { target }, Kind::Link) => read_link(self.root, path)? == *target,
            (Saved::Directory { .. } | Saved::File { .. } | Saved::Link { .. }, _) => false,
        };
        if same { Ok(()) } else { self.change(path, ChangeKind::Modified, Some(saved), Some(there)) }
    }

    fn change(
        &mut self,
        path: &Path,
        kind: ChangeKind,
        saved: Option<&Saved>,
        there: Option<&Present>,
    ) -> Result<(), FileError> {
        self.stat.files += 1;
        // Added ones come after the others, so room is kept for twice the number that is told.
        if self.stat.changes.len() < 2 * MAX_CHANGES {
            self.stat.changes.push(Change { path: path.to_owned(), kind });
        }
        let old = match saved {
            Some(Saved::File { hash, seen, .. }) => self.text(seen.size, || self.snapshots.objects.get(hash).ok()),
            Some(Saved::Directory { .. } | Saved::Link { .. } | Saved::Special) | None => Some(Vec::new()),
        };
        let new = match there {
            Some(there) if there.kind == Kind::File => {
                self.text(there.seen.size, || open_file(self.root, path).ok().map(|(file, _)| file))
            }
            Some(_) | None => Some(Vec::new()),
        };
        match (old, new) {
            (Some(old), Some(new)) => {
                self.bytes = self.bytes.saturating_add((old.len() + new.len()) as u64);
                let lines = count(&old, &new);
                self.stat.added += lines.added;
                self.stat.removed += lines.removed;
            }
            (None, _) | (_, None) => self.stat.uncounted += 1,
        }
        Ok(())
    }

    /// A text to count lines in, or none when it is not one or there is no room for it.
    fn text(&self, size: u64, open: impl FnOnce() -> Option<File>) -> Option<Vec<u8>> {
        if size > MAX_FILE || self.bytes > MAX_BYTES {
            return None;
        }
        let mut bytes = Vec::new();
        open()?.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
        (!is_binary(&bytes)).then_some(bytes)
    }
}
