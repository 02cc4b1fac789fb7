//! Snapshots: what is saved, what is put back, and what is left alone.
#![expect(clippy::disallowed_methods, reason = "tests delete what they made")]

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use policy::{Act, Grant, decide_own};
use rustix::fs::{CWD, FileType, Mode, OFlags, RenameFlags, mkdirat, mknodat, open, openat, renameat_with, symlinkat};
use tempfile::TempDir;
use types::WorkspaceName;

use super::{
    manifest::{Manifest, Saved, Seen},
    *,
};
use crate::{
    Workspace,
    files::{FileError, tests::StopOnDrop},
};

mod store;

struct Fixture {
    outer: TempDir,
    workspace: Workspace,
    snapshots: Snapshots,
}

fn name() -> WorkspaceName {
    WorkspaceName::new("work").expect("it is a plain name")
}

fn taking() -> Grant {
    decide_own(Act::Snapshot, name())
}

fn undoing() -> Grant {
    decide_own(Act::Undo, name())
}

/// Everything in a directory: kind and mode, and the content or target.
fn picture(directory: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut seen = BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(path) = waiting.pop() {
        let meta = fs::symlink_metadata(&path).expect("it is there");
        let content = if meta.is_symlink() {
            fs::read_link(&path).expect("it is a link").as_os_str().as_bytes().to_vec()
        } else if meta.is_dir() {
            waiting
                .extend(fs::read_dir(&path).expect("it can be read").map(|entry| entry.expect("it is there").path()));
            Vec::new()
        } else {
            fs::read(&path).expect("it can be read")
        };
        seen.insert(path, (meta.mode(), content));
    }
    seen
}

impl Fixture {
    fn new() -> Self {
        Self::with(SnapshotConfig::default())
    }

    fn with(config: SnapshotConfig) -> Self {
        let outer = tempfile::tempdir().expect("the machine has a temporary directory");
        let inner = outer.path().join("work");
        fs::create_dir(&inner).expect("it is ours");
        let snapshots = Snapshots::open(&outer.path().join("home"), config).expect("it can be made");
        let workspace = Workspace::open(name(), &inner).expect("it is a directory");
        Self { outer, workspace, snapshots }
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.workspace.dir().join(inside)
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it has a parent")).expect("it is ours");
        fs::write(path, text).expect("it is ours");
    }

    fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).expect("it is ours");
    }

    fn take(&self) -> String {
        self.snapshots.take(&taking(), &self.workspace).expect("it can be saved")
    }

    fn restore(&self, id: &str) -> Restored {
        self.snapshots.restore(&undoing(), &self.workspace, id).expect("it can be put back")
    }

    fn stat(&self, id: &str) -> DiffStat {
        self.snapshots.diff_stat(&taking(), &self.workspace, id).expect("it can be compared")
    }

    fn objects(&self) -> usize {
        picture(&self.outer.path().join("home/snapshots/objects"))
            .values()
            .filter(|(mode, _)| mode & 0o40000 == 0)
            .count()
    }
}

#[test]
fn a_workspace_is_put_back_exactly() {
    let fixture = Fixture::new();
    fixture.write("kept", "kept");
    fixture.write("changed", "before");
    fixture.write("deep/er/removed", "content");
    fixture.write("large", vec![7_u8; 3 << 20]);
    fixture.write("run.sh", "#!/bin/sh\n");
    fixture.mode("run.sh", 0o755);
    fixture.write("closed/inside", "x");
    fixture.mode("closed", 0o555);
    fs::create_dir(fixture.path("empty")).expect("it is ours");
    symlink("kept", fixture.path("link")).expect("links can be made");
    symlink("/nowhere", fixture.path("dangling")).expect("links can be made");
    fixture.write("was-file", "file");
    fixture.write("was-folder/a", "a");
    fs::write(fixture.path("").join(OsStr::from_bytes(b"not\xffutf8 %41\n")), "odd").expect("it is ours");
    fixture.mode("", 0o750);
    let before = picture(fixture.workspace.dir());
    let id = fixture.take();

    fixture.write("changed", "after, and longer");
    fixture.write("new/er/file", "new");
    fixture.mode("run.sh", 0o644);
    fixture.mode("closed", 0o755);
    fixture.write("closed/inside", "y");
    fs::write(fixture.path("large"), vec![8_u8; 3 << 20]).expect("it is ours");
    fs::remove_dir_all(fixture.path("deep")).expect("it is ours");
    fs::remove_dir(fixture.path("empty")).expect("it is ours");
    fs::remove_file(fixture.path("link")).expect("it is ours");
    symlink("changed", fixture.path("link")).expect("links can be made");
    fs::remove_file(fixture.path("dangling")).expect("it is ours");
    fixture.write("dangling/now/a/folder", "x");
    fs::remove_file(fixture.path("was-file")).expect("it is ours");
    fixture.write("was-file/inside", "x");
    fs::remove_dir_all(fixture.path("was-folder")).expect("it is ours");
    symlink("/", fixture.path("was-folder")).expect("links can be made");
    fs::remove_file(fixture.path("").join(OsStr::from_bytes(b"not\xffutf8 %41\n"))).expect("it is ours");
    fixture.mode("", 0o700);
    assert_ne!(picture(fixture.workspace.dir()), before);

    let restored = fixture.restore(&id);
    assert_eq!(restored.problems, Vec::<String>::new());
    assert_eq!(picture(fixture.workspace.dir()), before);
    let again = fixture.restore(&id);
    assert_eq!((again.written, again.removed, again.adjusted), (0, 0, 0), "a second restore has nothing to do");
    // So that an ordinary user's temporary directory can be removed.
    fixture.mode("closed", 0o755);
}

#[test]
fn directories_closed_to_their_owner_are_saved_and_emptied() {
    let fixture = Fixture::new();
    fixture.write("shut/secret", "one");
    fixture.mode("shut/secret", 0o000);
    fixture.mode("shut", 0o000);
    let id = fixture.take();
    fixture.mode("shut", 0o700);
    fixture.mode("shut/secret", 0o600);
    fixture.write("shut/secret", "two");
    fixture.write("walled/in", "x");
    fixture.mode("walled", 0o000);
    fixture.restore(&id);
    assert!(!fixture.path("walled").exists());
    assert_eq!(fs::metadata(fixture.path("shut")).expect("it is there").mode() & 0o777, 0);
    fixture.mode("shut", 0o700);
    fixture.mode("shut/secret", 0o600);
    assert_eq!(fs::read(fixture.path("shut/secret")).expect("it is there"), b"one");
}

#[test]
fn neither_depth_nor_strange_names_keep_a_workspace_from_being_put_back() {
    let fixture = Fixture::new();
    fixture.write("kept", "kept");
    fixture.mode("", 0o755);
    let id = fixture.take();
    let before = picture(fixture.workspace.dir());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut deep = open(fixture.path(""), flags, Mode::empty()).expect("it is ours");
    // Much longer than any path may be.
    for level in 0..300 {
        let name = format!("{level:0>200}");
        mkdirat(&deep, &name, Mode::from_raw_mode(0o700)).expect("it is ours");
        deep = openat(&deep, &name, flags, Mode::empty()).expect("it is ours");
        if level % 50 == 7 {
            mknodat(&deep, "pipe", FileType::Fifo, Mode::from_raw_mode(0o000), 0).expect("it is ours");
            symlinkat("/", &deep, "root").expect("it is ours");
            mkdirat(&deep, "closed", Mode::from_raw_mode(0o000)).expect("it is ours");
        }
    }
    fixture.write("new/one\n\u{1b}[2J", "x");
    fs::write(fixture.path("new").join(OsStr::from_bytes(b"\xff\xfe")), "x").expect("it is ours");
    fixture.write("new/target/left alone", "x");
    let done = fixture.restore(&id);
    assert_eq!(done.problems, Vec::<String>::new());
    assert!(fixture.path("new/target/left alone").exists() && !fixture.path("new/target/../one\n").exists());
    fs::remove_dir_all(fixture.path("new")).expect("it is ours");
    assert_eq!(picture(fixture.workspace.dir()), before);
}

#[test]
fn set_id_bits_are_not_given_to_new_files() {
    let fixture = Fixture::new();
    fixture.write("tool", "program");
    fixture.mode("tool", 0o4755);
    let id = fixture.take();
    assert_eq!(fixture.restore(&id), Restored::default());
    assert_eq!(fs::metadata(fixture.path("tool")).expect("it is there").mode() & 0o7777, 0o4755);
    fs::remove_file(fixture.path("tool")).expect("it is ours");
    let done = fixture.restore(&id);
    assert_eq!(fs::metadata(fixture.path("tool")).expect("it is there").mode() & 0o7777, 0o755);
    assert!(done.problems.first().is_some_and(|problem| problem.contains("set-id")), "{done:?}");
}

#[test]
fn links_are_put_back_with_the_owner_of_the_workspace() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let fixture = Fixture::new();
    symlink("anywhere", fixture.path("link")).expect("links can be made");
    std::os::unix::fs::chown(fixture.workspace.dir(), Some(1234), Some(4321)).expect("root may");
    let id = fixture.take();
    fs::remove_file(fixture.path("link")).expect("it is ours");
    fixture.restore(&id);
    let found = fs::symlink_metadata(fixture.path("link")).expect("it is there");
    assert_eq!((found.uid(), found.gid()), (1234, 4321));
}

#[test]
fn excluded_directories_are_left_as_they_are() {
    let config = SnapshotConfig { exclude: vec!["target".to_owned(), "data/raw".to_owned()], ..Default::default() };
    let fixture = Fixture::with(config);
    fixture.write("a/target/x", "before");
    fixture.write("data/raw/x", "before");
    fixture.write("other/raw/x", "before");
    let id = fixture.take();
    for path in ["a/target/x", "data/raw/x", "other/raw/x", "new/target/x", "new/file"] {
        fixture.write(path, "after");
    }
    fixture.restore(&id);
    let text = |path: &str| fs::read_to_string(fixture.path(path)).unwrap_or_default();
    let texts = ["a/target/x", "data/raw/x", "other/raw/x", "new/target/x", "new/file"].map(text);
    assert_eq!(texts, ["after", "after", "before", "after", ""]);
}

#[test]
fn an_unchanged_workspace_gives_the_same_snapshot() {
    let fixture = Fixture::new();
    fixture.write("a", "same");
    fixture.write("b", "same");
    let first = fixture.take();
    assert_eq!(fixture.objects(), 1, "equal contents are stored once");
    assert_eq!(fixture.take(), first);
    fixture.write("a", "else");
    let second = fixture.take();
    assert_ne!(second, first);
    fixture.restore(&first);
    assert_eq!(fs::read(fixture.path("a")).expect("it is there"), b"same");
    fixture.restore(&second);
    assert_eq!(fs::read(fixture.path("a")).expect("it is there"), b"else");
    assert_eq!(fixture.snapshots.list(&name()).expect("it can be listed"), [first, second]);
}

#[test]
fn a_change_within_the_tick_of_the_clock_is_seen() {
    let fixture = Fixture::new();
    for round in 0..50 {
        fixture.write("a", format!("{round:04}"));
        let id = fixture.take();
        fixture.write("a", "else");
        fixture.restore(&id);
        assert_eq!(fs::read(fixture.path("a")).expect("it is there"), format!("{round:04}").as_bytes());
    }
}

#[test]
fn a_workspace_over_the_bounds_is_refused_with_its_largest_part() {
    let config = SnapshotConfig { max_files: 10, ..Default::default() };
    let fixture = Fixture::with(config);
    for number in 0..20 {
        fixture.write(&format!("heap/{number}"), "x");
    }
    let error = fixture.snapshots.take(&taking(), &fixture.workspace).expect_err("it is too large").to_string();
    assert!(error.contains("10 entries") && error.contains("heap") && error.contains("exclude"), "{error}");
    let config = SnapshotConfig { max_mb: 1, ..Default::default() };
    let fixture = Fixture::with(config);
    fixture.write("big/file", vec![0; 2 << 20]);
    let error = fixture.snapshots.take(&taking(), &fixture.workspace).expect_err("it is too large").to_string();
    assert!(error.contains("1 MB") && error.contains("big (2 MB"), "{error}");
    assert_eq!(fixture.objects(), 0, "nothing is stored of what is refused");
}

#[test]
fn changes_are_counted_by_lines() {
    let fixture = Fixture::new();
    fixture.write("a.txt", "one\ntwo\nthree\n");
    fixture.write("gone.txt", "x\ny\n");
    fixture.write("binary", "a\0b");
    fixture.write(".git/index", "one");
    fixture.write("mode", "same");
    fixture.write("same", "same");
    let id = fixture.take();
    assert_eq!(fixture.stat(&id).to_string(), "no files changed");
    fixture.write("a.txt", "one\n2\nthree\nfour\n");
    fixture.write("new/b.txt", "1\n2\n3");
    fs::remove_file(fixture.path("gone.txt")).expect("it is ours");
    fixture.write("binary", "a\0c");
    fixture.write(".git/index", "two");
    fixture.mode("mode", 0o755);
    fixture.write("same", "same");
    let stat = fixture.stat(&id);
    assert_eq!(stat.to_string(), "5 files changed, +5 -3, 1 not counted by lines");
    let changes: Vec<_> = stat.changes.iter().map(|change| (change.path.display().to_string(), change.kind)).collect();
    let expected = [
        ("a.txt", ChangeKind::Modified),
        ("binary", ChangeKind::Modified),
        ("gone.txt", ChangeKind::Removed),
        ("mode", ChangeKind::Modified),
        ("new/b.txt", ChangeKind::Added),
    ];
    assert_eq!(changes, expected.map(|(path, kind)| (path.to_owned(), kind)));
}

#[test]
fn a_restore_never_leaves_the_workspace_under_a_race() {
    let fixture = Fixture::new();
    let out = fixture.outer.path().join("out");
    fs::create_dir(&out).expect("it is ours");
    fs::write(out.join("precious"), "outside").expect("it is ours");
    fixture.write("swap/file", "one");
    let id = fixture.take();
    symlink("../out", fixture.path("link")).expect("links can be made");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let (a, b) = (fixture.path("swap"), fixture.path("link"));
                // Either may be gone for a moment, because the restore works on them too.
                _ = renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE);
                _ = symlink("../out", &b);
            }
        });
        // Also when an assertion fails, or the other thread would keep the test from ending.
        let _stopping = StopOnDrop(&stop);
        let until = Instant::now() + Duration::from_millis(500);
        while Instant::now() < until {
            _ = fs::write(fixture.path("swap/precious"), "inside");
            // It may fail; it may not do harm.
            _ = fixture.snapshots.restore(&undoing(), &fixture.workspace, &id);
        }
    });
    // The test's own write above follows links, so only its text may be there besides the first.
    let text = fs::read_to_string(out.join("precious")).expect("it must not be removed");
    assert!(text == "outside" || text == "inside", "{text}");
    assert_eq!(fs::read_dir(&out).expect("it is there").count(), 1);
    _ = fs::remove_file(fixture.path("link"));
    _ = fs::remove_dir_all(fixture.path("link"));
    fixture.restore(&id);
    assert_eq!(fs::read(fixture.path("swap/file")).expect("it is there"), b"one");
}
