//! Files that must not change: they are saved with content, mode and target outside of the workspace, compared later, and put
//! back where they changed. Must not touch any other file, and must not follow a link, whatever stands at a pinned path by then.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

use policy::Grant;
use rustix::fs::{AtFlags, OFlags, fstat, unlinkat};

use super::{
    Change, ChangeKind, SnapshotConfig, SnapshotError,
    manifest::{Manifest, Saved, Seen},
    objects::{Objects, private_directory},
    registry::now_nanoseconds,
    remove::{Removed, remove},
    restore::Work,
    scan::{Excluded, Present, Scan, open_file, scan, set_mode},
    take::{has_saved_content, read_link},
};
use crate::{
    Workspace,
    files::{FileError, Kind, Links, Need, Root, require, temporary_name},
};

/// What is held, in the directory beside the contents.
const MANIFEST: &str = "pinned.jsonl";
/// A workspace with more entries cannot be looked through.
const MAX_ENTRIES: usize = 1_000_000;
/// The most files that may be pinned.
const MAX_PINNED: usize = 20_000;
/// The most bytes of pinned files together, in MiB.
const MAX_PINNED_MB: u64 = 512;

/// Says of a path, relative to the workspace, whether it is pinned.
pub type IsPinned<'a> = &'a dyn Fn(&Path) -> bool;

/// Files of a workspace as they must stay. All calls block.
#[derive(Debug)]
pub struct Pins {
    objects: Objects,
    manifest: Manifest,
}

impl Pins {
    /// Saves the files of the workspace that are pinned in `directory`, which no command may see. Where that was done before,
    /// what was saved then counts.
    pub fn save(
        grant: &Grant,
        workspace: &Workspace,
        is_pinned: IsPinned<'_>,
        directory: &Path,
    ) -> Result<Self, SnapshotError> {
        if let Some(saved) = Self::open(directory)? {
            return Ok(saved);
        }
        require(grant, &workspace.name, Need::Read)?;
        private_directory(directory)?;
        let objects = Objects::open(directory.join("objects"))?;
        let root = Root::open(workspace.dir())?;
        let started = now_nanoseconds();
        let present = look(&root)?;
        check_size(&present, is_pinned)?;
        let mut entries = BTreeMap::new();
        for (path, there) in present.iter().filter(|(path, there)| is_held(there) && is_pinned(path)) {
            entries.insert(path.clone(), save_entry(&objects, &root, path, there)?);
            for parent in path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
                if let Some(there) = present.get(parent) {
                    let (mode, owner) = (there.mode, there.owner);
                    entries.entry(parent.to_owned()).or_insert(Saved::Directory { mode, owner });
                }
            }
        }
        objects.sync()?;
        let manifest =
            Manifest { workspace: workspace.name.as_str().to_owned(), started, exclude: Vec::new(), entries };
        write(directory, &manifest)?;
        Ok(Self { objects, manifest })
    }

    /// What was saved in `directory`; none if nothing was.
    pub fn open(directory: &Path) -> Result<Option<Self>, SnapshotError> {
        let bytes = match fs::read(directory.join(MANIFEST)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let damaged = |error: super::manifest::FormatError| SnapshotError::Damaged {
            id: "pinned files".to_owned(),
            why: error.to_string(),
        };
        let manifest = Manifest::decode(&bytes).map_err(damaged)?;
        Ok(Some(Self { objects: Objects::open(directory.join("objects"))?, manifest }))
    }

    /// Forgets what was saved in `directory`; nothing happens where nothing was. What it held goes with the directory.
    pub fn forget(directory: &Path) -> io::Result<()> {
        match fs::remove_file(directory.join(MANIFEST)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The files and links that are held, by their paths in the workspace.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let held = self.manifest.entries.iter().filter(|(_, saved)| !matches!(saved, Saved::Directory { .. }));
        held.map(|(path, _)| path.as_path())
    }

    /// How many files and links are held.
    pub fn len(&self) -> usize {
        self.files().count()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What [`Self::put_back`] would put back now, in order of path. Nothing is written.
    pub fn changed(
        &self,
        grant: &Grant,
        workspace: &Workspace,
        is_pinned: IsPinned<'_>,
    ) -> Result<Vec<Change>, SnapshotError> {
        require(grant, &workspace.name, Need::Read)?;
        let root = Root::open(workspace.dir())?;
        self.changes(&root, &look(&root)?, is_pinned)
    }

    /// Puts every pinned file back as it was and removes what has come and is pinned too. Gives what had changed, in order of
    /// path. Nothing at all is written where nothing did.
    pub fn put_back(
        &self,
        grant: &Grant,
        workspace: &Workspace,
        is_pinned: IsPinned<'_>,
    ) -> Result<Vec<Change>, SnapshotError> {
        require(grant, &workspace.name, Need::Write)?;
        let root = Root::open(workspace.dir())?;
        let present = look(&root)?;
        let changes = self.changes(&root, &present, is_pinned)?;
        if changes.is_empty() {
            return Ok(changes);
        }
        self.clear_way(&root, &present, &changes)?;
        // Looked at again: what stood in the way is gone.
        let present = look(&root)?;
        let mut work = Work::new(&self.objects, &root, &self.manifest);
        work.make_saved(&present)?;
        work.settle_directories(&present)?;
        match work.problem_met() {
            None => Ok(changes),
            Some(problem) => Err(SnapshotError::Damaged { id: "pinned files".to_owned(), why: problem }),
        }
    }

    /// What differs from what was saved.
    fn changes(&self, root: &Root, present: &Scan, is_pinned: IsPinned<'_>) -> Result<Vec<Change>, SnapshotError> {
        let mut changes = Vec::new();
        for (path, saved) in &self.manifest.entries {
            let kind = match (saved, present.get(path)) {
                (Saved::Directory { .. } | Saved::Special, _) => continue,
                (Saved::File { .. } | Saved::Link { .. }, None) => ChangeKind::Removed,
                (Saved::File { .. } | Saved::Link { .. }, Some(there)) if self.is_same(root, path, saved, there)? => {
                    continue;
                }
                (Saved::File { .. } | Saved::Link { .. }, Some(_)) => ChangeKind::Modified,
            };
            changes.push(Change { path: path.clone(), kind });
        }
        let is_new = |path: &PathBuf, there: &Present| {
            there.kind != Kind::Directory && !self.manifest.entries.contains_key(path) && is_pinned(path)
        };
        let new = present.iter().filter(|(path, there)| is_new(path, there));
        changes.extend(new.map(|(path, _)| Change { path: path.clone(), kind: ChangeKind::Added }));
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(changes)
    }

    fn is_same(&self, root: &Root, path: &Path, saved: &Saved, there: &Present) -> Result<bool, SnapshotError> {
        Ok(match (saved, there.kind) {
            (Saved::File { mode, .. }, Kind::File) => {
                there.mode == *mode && has_saved_content(root, &self.manifest, path, there)?
            }
            (Saved::Link { target }, Kind::Link) => read_link(root, path)? == *target,
            _ => false,
        })
    }

    /// Removes new files, and whatever stands where a pinned file or one of its directories was and is of another kind.
    fn clear_way(&self, root: &Root, present: &Scan, changes: &[Change]) -> Result<(), SnapshotError> {
        let mut doomed: Vec<&Path> = changes
            .iter()
            .filter(|change| change.kind == ChangeKind::Added)
            .map(|change| change.path.as_path())
            .collect();
        for (path, saved) in &self.manifest.entries {
            let is_directory = matches!(saved, Saved::Directory { .. });
            if present.get(path).is_some_and(|there| (there.kind == Kind::Directory) != is_directory) {
                doomed.push(path);
            }
        }
        for path in doomed {
            clear(root, path)?;
        }
        let directories = self.manifest.entries.iter().filter(|(_, saved)| matches!(saved, Saved::Directory { .. }));
        [Path::new("")].into_iter().chain(directories.map(|(path, _)| path.as_path())).try_for_each(|path| {
            // Its own mode is given back at the end.
            open_up(root, path).map(|_| ()).map_err(SnapshotError::from)
        })
    }
}

/// Removes what stands at a path, with all that is in it.
fn clear(root: &Root, path: &Path) -> Result<(), SnapshotError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let parent = match open_up(root, parent) {
        Ok(Some(parent)) => parent,
        Ok(None) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut removed = Removed::default();
    match unlinkat(&parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(rustix::io::Errno::ISDIR | rustix::io::Errno::PERM) => {
            remove(&parent, name, true, path.to_owned(), &Excluded(&[]), &mut removed);
        }
        Err(errno) => return Err(FileError::from_errno(errno, path).into()),
    }
    match removed.problems.first() {
        None => Ok(()),
        Some((path, errno)) => Err(FileError::from_errno(*errno, path).into()),
    }
}

/// Opens a directory for changes in it, whatever its mode; none where there is no directory at this path any more.
fn open_up(root: &Root, path: &Path) -> Result<Option<OwnedFd>, FileError> {
    let opened = root.open_at(path, OFlags::PATH | OFlags::DIRECTORY, Links::Never);
    let handle = match opened {
        Ok(handle) => handle,
        Err(FileError::NotFound { .. } | FileError::NotDirectory { .. } | FileError::Outside { .. }) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let failed = |errno| FileError::from_errno(errno, path);
    let mode = fstat(&handle).map_err(failed)?.st_mode & 0o7777;
    if mode & 0o700 != 0o700 {
        set_mode(&handle, mode | 0o700).map_err(failed)?;
    }
    root.open_directory(path, Links::Never).map(Some)
}

/// Whether it is something that can be held.
fn is_held(there: &Present) -> bool {
    matches!(there.kind, Kind::File | Kind::Link)
}

fn look(root: &Root) -> Result<Scan, SnapshotError> {
    let bounds = SnapshotConfig { max_mb: u64::MAX >> 20, max_files: MAX_ENTRIES, ..SnapshotConfig::default() };
    scan(root, &Excluded(&[]), &bounds)
}

fn check_size(present: &Scan, is_pinned: IsPinned<'_>) -> Result<(), SnapshotError> {
    let (mut files, mut bytes) = (0_usize, 0_u64);
    for (_, there) in present.iter().filter(|(path, there)| is_held(there) && is_pinned(path)) {
        files += 1;
        bytes = bytes.saturating_add(there.seen.size);
    }
    if files <= MAX_PINNED && bytes <= MAX_PINNED_MB << 20 {
        return Ok(());
    }
    let largest = "the files that are pinned".to_owned();
    Err(SnapshotError::TooLarge { max_mb: MAX_PINNED_MB, max_files: MAX_PINNED, largest })
}

fn save_entry(objects: &Objects, root: &Root, path: &Path, there: &Present) -> Result<Saved, SnapshotError> {
    if there.kind == Kind::Link {
        return Ok(Saved::Link { target: read_link(root, path)? });
    }
    let (mut file, stat) = open_file(root, path)?;
    let stamp = Seen::of(&stat);
    let (hash, size) = objects.put(&mut file, stamp.size)?;
    Ok(Saved::File { mode: there.mode, owner: there.owner, hash, seen: Seen { size, ..stamp } })
}

/// Written last, so that its being there means that everything is.
fn write(directory: &Path, manifest: &Manifest) -> io::Result<()> {
    let temporary = directory.join(temporary_name());
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(&manifest.encode())?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(MANIFEST))?;
    fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests delete what they made")]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use policy::{Act, decide_own};
    use types::WorkspaceName;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    struct Fixture {
        outer: tempfile::TempDir,
        workspace: Workspace,
    }

    fn is_pinned(path: &Path) -> bool {
        path.starts_with("tests") || path.starts_with("check.sh")
    }

    impl Fixture {
        fn new() -> Result<Self, Box<dyn std::error::Error>> {
            let outer = tempfile::tempdir()?;
            let top = outer.path().join("work");
            fs::create_dir_all(top.join("tests/deep"))?;
            fs::write(top.join("tests/a.rs"), "one")?;
            fs::write(top.join("tests/deep/b.rs"), "two")?;
            symlink("deep/b.rs", top.join("tests/link"))?;
            fs::write(top.join("check.sh"), "exit 1")?;
            fs::set_permissions(top.join("check.sh"), fs::Permissions::from_mode(0o755))?;
            fs::write(top.join("main.rs"), "free")?;
            let workspace = Workspace::open(WorkspaceName::new("work")?, &top)?;
            Ok(Self { outer, workspace })
        }

        fn path(&self, name: &str) -> PathBuf {
            self.workspace.dir().join(name)
        }

        fn save(&self) -> Result<Pins, SnapshotError> {
            let grant = decide_own(Act::Snapshot, self.workspace.name.clone());
            Pins::save(&grant, &self.workspace, &is_pinned, &self.outer.path().join("pins"))
        }

        fn put_back(&self, pins: &Pins) -> Result<Vec<String>, SnapshotError> {
            let grant = decide_own(Act::Undo, self.workspace.name.clone());
            let changes = pins.put_back(&grant, &self.workspace, &is_pinned)?;
            Ok(changes.iter().map(|one| format!("{:?} {}", one.kind, one.path.display())).collect())
        }

        fn assert_whole(&self) -> Outcome {
            assert_eq!(fs::read_to_string(self.path("tests/a.rs"))?, "one");
            assert_eq!(fs::read_to_string(self.path("tests/deep/b.rs"))?, "two");
            assert_eq!(fs::read_link(self.path("tests/link"))?, Path::new("deep/b.rs"));
            assert_eq!(fs::read_to_string(self.path("check.sh"))?, "exit 1");
            assert_eq!(fs::metadata(self.path("check.sh"))?.permissions().mode() & 0o777, 0o755);
            assert_eq!(fs::read_to_string(self.path("main.rs"))?, "changed");
            Ok(())
        }
    }

    /// Changes files, and expects just these to be told and everything to be back.
    fn check(change: impl FnOnce(&Fixture) -> Outcome, expected: &[&str]) -> Outcome {
        let it = Fixture::new()?;
        let pins = it.save()?;
        fs::write(it.path("main.rs"), "changed")?;
        assert!(it.put_back(&pins)?.is_empty());
        change(&it)?;
        // As after a restart.
        drop(pins);
        let pins = it.save()?;
        assert_eq!(it.put_back(&pins)?, expected);
        it.assert_whole()?;
        assert!(it.put_back(&pins)?.is_empty(), "a second look finds nothing");
        Ok(())
    }

    #[test]
    fn contents_modes_and_targets_come_back() -> Outcome {
        check(|it| Ok(fs::write(it.path("tests/a.rs"), "one!")?), &["Modified tests/a.rs"])?;
        check(|it| Ok(fs::remove_file(it.path("tests/a.rs"))?), &["Removed tests/a.rs"])?;
        let mode = |it: &Fixture| fs::set_permissions(it.path("check.sh"), fs::Permissions::from_mode(0o644));
        check(|it| Ok(mode(it)?), &["Modified check.sh"])?;
        let relink = |it: &Fixture| {
            fs::remove_file(it.path("tests/link"))?;
            symlink("a.rs", it.path("tests/link"))
        };
        check(|it| Ok(relink(it)?), &["Modified tests/link"])
    }

    #[test]
    fn what_is_new_and_pinned_goes() -> Outcome {
        let add = |it: &Fixture| {
            fs::create_dir(it.path("tests/more"))?;
            fs::write(it.path("tests/more/conftest.py"), "skip all")?;
            fs::write(it.path("tests/CACHEDIR.TAG"), "")?;
            fs::write(it.path("free.rs"), "stays")
        };
        check(|it| Ok(add(it)?), &["Added tests/CACHEDIR.TAG", "Added tests/more/conftest.py"])
    }

    #[test]
    fn no_link_leads_to_anything_else() -> Outcome {
        let outside = tempfile::tempdir()?;
        fs::create_dir(outside.path().join("deep"))?;
        for name in ["a.rs", "deep/b.rs"] {
            fs::write(outside.path().join(name), "not theirs")?;
        }
        // A directory on the way, and a file, that lead out.
        let swap = |it: &Fixture| {
            fs::remove_dir_all(it.path("tests"))?;
            symlink(outside.path(), it.path("tests"))?;
            fs::remove_file(it.path("check.sh"))?;
            symlink(outside.path().join("a.rs"), it.path("check.sh"))
        };
        let expected = ["Modified check.sh", "Removed tests/a.rs", "Removed tests/deep/b.rs", "Removed tests/link"];
        check(|it| Ok(swap(it)?), &expected)?;
        for name in ["a.rs", "deep/b.rs"] {
            assert_eq!(fs::read_to_string(outside.path().join(name))?, "not theirs");
        }
        assert_eq!(fs::read_dir(outside.path())?.count(), 2);
        Ok(())
    }

    #[test]
    fn directories_in_the_place_of_files_and_closed_ones_are_no_hindrance() -> Outcome {
        let swap = |it: &Fixture| {
            fs::remove_file(it.path("check.sh"))?;
            fs::create_dir_all(it.path("check.sh/x/y"))?;
            fs::write(it.path("check.sh/x/y/z"), "")?;
            fs::write(it.path("tests/deep/b.rs"), "")?;
            fs::set_permissions(it.path("tests/deep"), fs::Permissions::from_mode(0o500))?;
            fs::set_permissions(it.path("tests"), fs::Permissions::from_mode(0o500))
        };
        check(|it| Ok(swap(it)?), &["Modified check.sh", "Added check.sh/x/y/z", "Modified tests/deep/b.rs"])
    }
}
