//! Workspace files: what is reached, what is refused, and races that try to get out.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use policy::{Act, Grant, decide_own};
use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use types::WorkspaceName;

use super::*;
use crate::walk::{Search, Stop, WalkLimits};

/// Ends a racing thread.
pub(crate) struct StopOnDrop<'a>(pub &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Fixture {
    outer: TempDir,
    files: Files,
}

fn name() -> WorkspaceName {
    WorkspaceName::new("work").expect("it is a plain name")
}

fn writing() -> Grant {
    decide_own(Act::Undo, name())
}

fn reading() -> Grant {
    decide_own(Act::Snapshot, name())
}

impl Fixture {
    fn new() -> Self {
        let outer = tempfile::tempdir().expect("the machine has a temporary directory");
        let inner = outer.path().join("work");
        fs::create_dir(&inner).expect("the directory is ours");
        fs::write(outer.path().join("secret"), "outside").expect("the directory is ours");
        let workspace = Workspace::open(name(), &inner).expect("it is a directory");
        Self { files: Files::new(&workspace).expect("it can be opened"), outer }
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.outer.path().join("work").join(inside)
    }

    fn read(&self, path: &str) -> Result<String, FileError> {
        let content = self.files.read(&reading(), Path::new(path), 1000)?;
        Ok(String::from_utf8_lossy(&content.bytes).into_owned())
    }

    fn write(&self, path: &str, text: &str) -> Result<Written, FileError> {
        self.files.write(&writing(), Path::new(path), text.as_bytes())
    }
}

fn limits() -> WalkLimits {
    WalkLimits {
        depth: 64,
        entries: 1000,
        bytes: 1 << 20,
        time: Duration::from_secs(5),
        cancel: CancellationToken::new(),
    }
}

#[test]
fn files_are_written_whole_and_keep_their_mode() {
    let fixture = Fixture::new();
    assert_eq!(fixture.write("a/b/c.txt", "one"), Ok(Written::Created));
    fs::set_permissions(fixture.path("a/b/c.txt"), fs::Permissions::from_mode(0o750)).expect("it is ours");
    let before = fs::metadata(fixture.path("a/b/c.txt")).expect("it is there");
    assert_eq!(fixture.write("a/b/c.txt", "two"), Ok(Written::Replaced));
    let after = fs::metadata(fixture.path("a/b/c.txt")).expect("it is there");
    assert_eq!(fixture.read("a/b/c.txt").as_deref(), Ok("two"));
    assert_eq!(after.mode() & 0o7777, 0o750);
    assert_ne!(before.ino(), after.ino(), "it must be replaced, not overwritten");
    let names: Vec<_> = fs::read_dir(fixture.path("a/b")).expect("it is there").collect();
    assert_eq!(names.len(), 1, "no temporary file may be left");
}

#[test]
#[expect(clippy::print_stdout, reason = "a test that is skipped must say so")]
fn as_root_new_files_belong_to_the_owner_of_the_workspace() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can give files away");
        return;
    }
    let fixture = Fixture::new();
    std::os::unix::fs::chown(fixture.path(""), Some(4321), Some(4322)).expect("root may");
    let workspace = Workspace::open(name(), &fixture.path("")).expect("it is a directory");
    let files = Files::new(&workspace).expect("it can be opened");
    files.write(&writing(), Path::new("new/file"), b"x").expect("it can be written");
    for made in ["new", "new/file"] {
        let meta = fs::metadata(fixture.path(made)).expect("it was made");
        assert_eq!((meta.uid(), meta.gid()), (4321, 4322), "{made}");
    }
}

#[test]
fn paths_and_links_to_the_outside_are_refused() {
    let fixture = Fixture::new();
    symlink(fixture.outer.path(), fixture.path("whole")).expect("links can be made");
    symlink("..", fixture.path("up")).expect("links can be made");
    symlink("../secret", fixture.path("file")).expect("links can be made");
    symlink("/proc/self/root", fixture.path("magic")).expect("links can be made");
    symlink("../new", fixture.path("dangling")).expect("links can be made");
    symlink("loop", fixture.path("loop")).expect("links can be made");
    for path in [
        "../secret",
        "a/../../secret",
        "whole/secret",
        "up/secret",
        "file",
        "magic/etc/hostname",
        "/etc/hostname",
        "loop",
    ] {
        let read = fixture.read(path);
        assert!(matches!(read, Err(FileError::Outside { .. } | FileError::NotFound { .. })), "{path}: {read:?}");
        assert!(fixture.write(path, "overwritten").is_err(), "{path}");
    }
    assert!(fixture.write("dangling", "made").is_err());
    assert!(fixture.write("up/made", "made").is_err());
    assert!(fixture.files.list(&reading(), Path::new("up"), &limits()).is_err());
    assert_eq!(fs::read_to_string(fixture.outer.path().join("secret")).expect("it is there"), "outside");
    assert_eq!(fs::read_dir(fixture.outer.path()).expect("it is there").count(), 2, "nothing was made outside");
}

#[test]
fn links_inside_are_followed_and_stay_links() {
    let fixture = Fixture::new();
    fixture.write("real/text", "one").expect("it can be written");
    symlink("real/text", fixture.path("short")).expect("links can be made");
    symlink("real", fixture.path("folder")).expect("links can be made");
    assert_eq!(fixture.read("short").as_deref(), Ok("one"));
    assert_eq!(fixture.write("short", "two"), Ok(Written::Replaced));
    assert_eq!(fixture.write("folder/more", "three"), Ok(Written::Created));
    assert_eq!(fixture.read("real/text").as_deref(), Ok("two"));
    assert_eq!(fixture.read("real/more").as_deref(), Ok("three"));
    assert!(fs::symlink_metadata(fixture.path("short")).is_ok_and(|meta| meta.is_symlink()));
}

#[test]
fn a_hard_link_to_the_outside_is_not_written_through() {
    let fixture = Fixture::new();
    fs::hard_link(fixture.outer.path().join("secret"), fixture.path("twin")).expect("it is one file system");
    fixture.write("twin", "changed").expect("it can be written");
    assert_eq!(fs::read_to_string(fixture.outer.path().join("secret")).expect("it is there"), "outside");
}

#[test]
fn what_is_not_a_regular_file_is_refused_without_waiting() {
    let fixture = Fixture::new();
    mknodat(CWD, fixture.path("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("pipes can be made");
    let _socket = std::os::unix::net::UnixListener::bind(fixture.path("socket")).expect("sockets can be made");
    fs::create_dir(fixture.path("folder")).expect("it is ours");
    let begun = Instant::now();
    for path in ["pipe", "socket", "folder"] {
        let read = fixture.read(path);
        assert!(matches!(read, Err(FileError::NotRegular { .. })), "{path}: {read:?}");
        assert!(matches!(fixture.write(path, "x"), Err(FileError::NotRegular { .. })), "{path}");
    }
    let found = fixture.files.grep(&reading(), &search(Path::new("")), &limits()).expect("it can be searched");
    assert_eq!(found.searched, 0);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_grant_covers_one_workspace_and_one_need() {
    let fixture = Fixture::new();
    let other = decide_own(Act::Undo, WorkspaceName::new("other").expect("it is a plain name"));
    let path = Path::new("x");
    assert!(matches!(fixture.files.write(&reading(), path, b""), Err(FileError::NotGranted(_))));
    assert!(matches!(fixture.files.write(&other, path, b""), Err(FileError::NotGranted(_))));
    assert!(matches!(fixture.files.read(&other, path, 1), Err(FileError::NotGranted(_))));
}

#[test]
fn a_file_that_changed_meanwhile_is_not_replaced() {
    let fixture = Fixture::new();
    fixture.write("x", "one").expect("it can be written");
    let seen = fixture.files.read(&reading(), Path::new("x"), 10).expect("it can be read").stamp;
    fixture.write("x", "two").expect("it can be written");
    let replaced = fixture.files.replace(&writing(), Path::new("x"), b"three", &seen);
    assert!(matches!(replaced, Err(FileError::Changed { .. })));
    assert_eq!(fixture.read("x").as_deref(), Ok("two"));
}

#[test]
fn reading_is_bounded_and_knows_binary_from_text() {
    let fixture = Fixture::new();
    fixture.write("long", &"x".repeat(5000)).expect("it can be written");
    fixture.write("binary", "a\0b").expect("it can be written");
    let long = fixture.files.read(&reading(), Path::new("long"), 100).expect("it can be read");
    assert_eq!((long.bytes.len(), long.size, long.is_cut(), long.is_binary()), (100, 5000, true, false));
    assert!(fixture.files.read(&reading(), Path::new("binary"), 100).expect("it can be read").is_binary());
}

#[test]
fn links_that_are_swapped_meanwhile_lead_nowhere() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.outer.path().join("out")).expect("it is ours");
    fs::write(fixture.outer.path().join("out/file"), "outside").expect("it is ours");
    fs::create_dir(fixture.path("swap")).expect("it is ours");
    fs::write(fixture.path("swap/file"), "inside").expect("it is ours");
    symlink("../out", fixture.path("link")).expect("links can be made");
    let stop = AtomicBool::new(false);
    let (mut inside, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let (a, b) = (fixture.path("swap"), fixture.path("link"));
                renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).expect("both are there");
            }
        });
        // Also when an assertion fails, or the other thread would keep the test from ending.
        let _stopping = StopOnDrop(&stop);
        let until = Instant::now() + Duration::from_millis(500);
        while Instant::now() < until {
            match fixture.read("swap/file") {
                Ok(text) => {
                    assert!(text.starts_with("inside"), "it read {text}");
                    inside += 1;
                }
                Err(_) => refused += 1,
            }
            _ = fixture.write("swap/file", "inside again");
            _ = fixture.write("swap/new/deep", "inside again");
            let found = fixture.files.grep(&reading(), &search(Path::new("")), &limits());
            assert!(found.is_ok_and(|found| found.hits.iter().all(|hit| !hit.text.contains("outside"))));
        }
    });
    assert!(inside > 0 && refused > 0, "the race did not happen: {inside} inside, {refused} refused");
    assert_eq!(fs::read_to_string(fixture.outer.path().join("out/file")).expect("it is there"), "outside");
    assert_eq!(fs::read_dir(fixture.outer.path().join("out")).expect("it is there").count(), 1);
}

fn search(start: &Path) -> Search<'_> {
    Search {
        start,
        wanted: &|_| true,
        is_hit: &|line| line.windows(4).any(|part| part == b"side"),
        max_hits: 100,
        max_file: 1 << 20,
    }
}

#[test]
fn a_listing_is_in_order_and_leaves_generated_directories_closed() {
    let fixture = Fixture::new();
    for path in ["b/two", "a.txt", "b/one", ".git/config", "node_modules/x/y", "cache/CACHEDIR.TAG", "b/c/deep"] {
        fixture.write(path, "text").expect("it can be written");
    }
    symlink("b", fixture.path("z")).expect("links can be made");
    let check = |start: &str, depth: usize, expected: &[&str]| {
        let limits = WalkLimits { depth, ..limits() };
        let listing = fixture.files.list(&reading(), Path::new(start), &limits).expect("it can be listed");
        let shown: Vec<String> = listing
            .entries
            .iter()
            .map(|entry| format!("{}{}", entry.path.display(), if entry.closed { "/+" } else { "" }))
            .collect();
        assert_eq!(shown, expected, "{start} {depth}");
    };
    let top = ["a.txt", "b", "b/c", "b/c/deep", "b/one", "b/two"];
    check("", 9, &[&[".git/+"], &top[..], &["cache/+", "node_modules/+", "z"]].concat());
    check("", 1, &[".git/+", "a.txt", "b/+", "cache/+", "node_modules/+", "z"]);
    check("b", 1, &["b/c/+", "b/one", "b/two"]);
    check("z", 1, &["z/c/+", "z/one", "z/two"]);
    check(".git", 1, &[".git/config"]);
    let few = fixture.files.list(&reading(), Path::new(""), &WalkLimits { entries: 3, ..limits() });
    assert!(few.is_ok_and(|listing| listing.entries.len() == 3 && listing.stop == Some(Stop::Entries)));
}

#[test]
fn only_the_beginning_of_a_very_long_line_is_looked_at() {
    let fixture = Fixture::new();
    let longest = std::cell::Cell::new(0);
    fixture.write("long", &"x".repeat(1 << 19)).expect("it can be written");
    let is_hit = |line: &[u8]| {
        longest.set(longest.get().max(line.len()));
        false
    };
    let search = Search { is_hit: &is_hit, ..search(Path::new("")) };
    let found = fixture.files.grep(&reading(), &search, &limits()).expect("it can be searched");
    assert_eq!((longest.get(), found.searched, found.passed_over), (64 << 10, 1, 1));
}

#[test]
fn a_search_finds_lines_and_stops_at_its_limits() {
    let fixture = Fixture::new();
    fixture.write("a.txt", "inside\nno\r\nbeside\r\n").expect("it can be written");
    fixture.write("b/c.txt", "side").expect("it can be written");
    fixture.write("binary", "side\0").expect("it can be written");
    fixture.write("empty", "").expect("it can be written");
    let found = |search: &Search<'_>, limits: &WalkLimits| {
        let found = fixture.files.grep(&reading(), search, limits).expect("it can be searched");
        let lines: Vec<String> =
            found.hits.iter().map(|hit| format!("{}:{}:{}", hit.path.display(), hit.line, hit.text)).collect();
        (lines, found.passed_over, found.stop)
    };
    let all = ["a.txt:1:inside", "a.txt:3:beside", "b/c.txt:1:side"].map(str::to_owned);
    assert_eq!(found(&search(Path::new("")), &limits()), (all.to_vec(), 1, None));
    assert_eq!(found(&search(Path::new("b/c.txt")), &limits()), (all[2..].to_vec(), 0, None));
    let wanted = |path: &Path| path.starts_with("b");
    let only_b = Search { wanted: &wanted, ..search(Path::new("")) };
    assert_eq!(found(&only_b, &limits()).0, all[2..].to_vec());
    let one = Search { max_hits: 1, ..search(Path::new("")) };
    assert_eq!(found(&one, &limits()), (all[..1].to_vec(), 0, Some(Stop::Hits)));
    let cancelled = WalkLimits::clone(&limits());
    cancelled.cancel.cancel();
    assert_eq!(found(&search(Path::new("")), &cancelled).2, Some(Stop::Cancelled));
    assert_eq!(found(&search(Path::new("")), &WalkLimits { bytes: 1, ..limits() }).2, Some(Stop::Bytes));
    assert_eq!(found(&search(Path::new("")), &WalkLimits { time: Duration::ZERO, ..limits() }).2, Some(Stop::Time));
}

#[test]
fn where_links_are_forbidden_even_those_inside_are_refused() {
    let fixture = Fixture::new();
    fixture.write("real/file", "x").expect("it can be written");
    symlink("real", fixture.path("link")).expect("links can be made");
    let root = &fixture.files.root;
    assert!(root.open_directory(Path::new("real"), Links::Never).is_ok());
    for path in ["link", "link/file", "real/../link/file"] {
        assert!(root.open_at(Path::new(path), OFlags::PATH, Links::Inside).is_ok(), "{path}");
        let refused = root.open_at(Path::new(path), OFlags::RDONLY, Links::Never);
        assert!(matches!(refused, Err(FileError::Outside { .. })), "{path}: {refused:?}");
    }
}
