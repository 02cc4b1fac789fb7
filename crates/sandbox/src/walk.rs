//! Looking through a workspace: listing directories and searching file contents, within limits of depth, number, bytes
//! and time. Must not follow linked directories, open anything but regular files, or know what is searched for.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use policy::Grant;
use rustix::{
    fs::{AtFlags, Dir, statat},
    io::Errno,
};
use tokio_util::sync::CancellationToken;

use crate::files::{FileError, Files, Kind, Links, Need, Root, is_binary, read_at_most, shown};

/// Directories of these names are named but not entered: they hold what tools generate.
const UNENTERED: [&str; 2] = [".git", "node_modules"];
/// A directory with this file says of itself that it is a cache.
const CACHE_TAG: &str = "CACHEDIR.TAG";
/// Lines longer than this are cut in hits.
const MAX_LINE: usize = 300;
/// Lines are searched up to here: one look at a line cannot be interrupted, and expressions exist that are slow.
const MAX_SEARCHED: usize = 64 << 10;
/// After so many bytes the clock is looked at; for each line it would cost more than the search.
const BETWEEN_LOOKS: usize = 64 << 10;

/// How far a look may go.
#[derive(Clone, Debug)]
pub struct WalkLimits {
    /// How many levels of directories below the start are entered; 1 lists the start alone.
    pub depth: usize,
    /// How many entries are looked at.
    pub entries: usize,
    /// How many bytes are read from files.
    pub bytes: u64,
    /// How long it may take.
    pub time: Duration,
    /// Stops it early.
    pub cancel: CancellationToken,
}

/// Why a look ended before everything was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Too many entries.
    Entries,
    /// Too many hits.
    Hits,
    /// Too many bytes.
    Bytes,
    /// Too much time.
    Time,
    /// It was cancelled.
    Cancelled,
}

/// One thing in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the workspace.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Its size in bytes; of files only.
    pub size: u64,
    /// For a directory: it has content that was not listed, because of its name or the depth.
    pub closed: bool,
}

/// What a directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// In order of name, each directory before its content.
    pub entries: Vec<Entry>,
    /// Set when it is not complete.
    pub stop: Option<Stop>,
}

/// A search of file contents.
pub struct Search<'a> {
    /// Where to begin: a directory or one file, relative to the workspace.
    pub start: &'a Path,
    /// Which files to look into, by their path relative to the workspace.
    pub wanted: &'a dyn Fn(&Path) -> bool,
    /// Whether a line, without its end, is a hit.
    pub is_hit: &'a dyn Fn(&[u8]) -> bool,
    /// At most so many hits.
    pub max_hits: usize,
    /// Larger files are passed over.
    pub max_file: u64,
}

/// One line that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The file, relative to the workspace.
    pub path: PathBuf,
    /// The line's number, from 1.
    pub line: u64,
    /// The line, cut when long, invalid UTF-8 replaced.
    pub text: String,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// In order of path and line.
    pub hits: Vec<Hit>,
    /// How many text files were searched.
    pub searched: usize,
    /// How many wanted files were passed over, wholly or in part: binary, too large, unreadable, or with a line of more
    /// than 64 KiB.
    pub passed_over: usize,
    /// Set when not everything was searched.
    pub stop: Option<Stop>,
}

impl Files {
    /// Lists the directory at `start`.
    pub fn list(&self, grant: &Grant, start: &Path, limits: &WalkLimits) -> Result<Listing, FileError> {
        self.require(grant, Need::Read)?;
        let mut walk = Walk::new(limits);
        let mut entries = Vec::new();
        walk.directory(&self.root.sub(start)?, start, &mut |_, entry, _| entries.push(entry))?;
        Ok(Listing { entries, stop: walk.stop })
    }

    /// Searches the files at and below `search.start`.
    pub fn grep(&self, grant: &Grant, search: &Search<'_>, limits: &WalkLimits) -> Result<Hits, FileError> {
        self.require(grant, Need::Read)?;
        let mut hits = Hits::default();
        let mut walk = Walk::new(limits);
        match self.root.sub(search.start) {
            Ok(root) => walk.directory(&root, search.start, &mut |inner, entry, walk| {
                if entry.kind == Kind::File && (search.wanted)(&entry.path) {
                    search_file(&root, inner, entry.path, search, walk, &mut hits);
                }
            })?,
            Err(FileError::NotDirectory { .. }) => {
                // Named outright, so the filter does not keep it from being searched.
                self.root.open_readable(search.start)?;
                search_file(&self.root, search.start, search.start.to_owned(), search, &mut walk, &mut hits);
            }
            Err(error) => return Err(error),
        }
        hits.stop = walk.stop;
        Ok(hits)
    }
}

/// A walk in progress, and why it stopped.
struct Walk<'a> {
    limits: &'a WalkLimits,
    until: Instant,
    entries: usize,
    bytes: u64,
    stop: Option<Stop>,
}

impl<'a> Walk<'a> {
    fn new(limits: &'a WalkLimits) -> Self {
        Self { limits, until: Instant::now() + limits.time, entries: 0, bytes: 0, stop: None }
    }

    /// Notes why no more may be looked at, once.
    fn may_go_on(&mut self) -> bool {
        if self.stop.is_none() {
            self.stop = if self.limits.cancel.is_cancelled() {
                Some(Stop::Cancelled)
            } else if self.entries >= self.limits.entries {
                Some(Stop::Entries)
            } else if self.bytes >= self.limits.bytes {
                Some(Stop::Bytes)
            } else if Instant::now() >= self.until {
                Some(Stop::Time)
            } else {
                None
            };
        }
        self.stop.is_none()
    }

    /// Visits what is below `root`, in order. Each visit gets the path relative to `root` and the entry, whose path is
    /// relative to the workspace. A directory that cannot be read is left out unless it is the first.
    fn directory(
        &mut self,
        root: &Root,
        start: &Path,
        visit: &mut dyn FnMut(&Path, Entry, &mut Self),
    ) -> Result<(), FileError> {
        let start = tidy(start);
        // What remains to be visited, the next at the end. Each level's entries are bounded by `entries`.
        let mut waiting: Vec<(PathBuf, usize, Found)> = Vec::new();
        self.expand(root, Path::new(""), 1, &mut waiting)?;
        while let Some((path, depth, found)) = waiting.pop() {
            if !self.may_go_on() {
                return Ok(());
            }
            self.entries += 1;
            let enter = found.kind == Kind::Directory && depth < self.limits.depth && is_entered(root, &path);
            let closed = found.kind == Kind::Directory && !enter;
            let entry = Entry { path: start.join(&path), kind: found.kind, size: found.size, closed };
            visit(&path, entry, self);
            if enter {
                // It may have vanished or be closed to us; its own line stands in the listing all the same.
                _ = self.expand(root, &path, depth + 1, &mut waiting);
            }
        }
        Ok(())
    }

    /// Puts the entries of one directory on the pile, last name first.
    fn expand(
        &mut self,
        root: &Root,
        path: &Path,
        depth: usize,
        waiting: &mut Vec<(PathBuf, usize, Found)>,
    ) -> Result<(), FileError> {
        let room = self.limits.entries.saturating_sub(self.entries).saturating_add(1);
        let mut inside = read_directory(root, path, room)?;
        inside.sort_by(|a, b| b.0.cmp(&a.0));
        waiting.extend(inside.into_iter().map(|(name, found)| (path.join(name), depth, found)));
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Found {
    kind: Kind,
    size: u64,
}

/// The entries of a directory, at most `most`.
fn read_directory(root: &Root, path: &Path, most: usize) -> Result<Vec<(PathBuf, Found)>, FileError> {
    let failed = |errno: Errno| FileError::from_errno(errno, path);
    let fd = root.open_directory(path, Links::Never)?;
    let mut found = Vec::new();
    for entry in Dir::read_from(&fd).map_err(failed)? {
        if found.len() >= most {
            break;
        }
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        // Gone since its name was read: not there.
        let Ok(stat) = statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let kind = Kind::of(stat.st_mode);
        let size = if kind == Kind::File { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 };
        found.push((PathBuf::from(OsStr::from_bytes(name.to_bytes())), Found { kind, size }));
    }
    Ok(found)
}

fn is_entered(root: &Root, path: &Path) -> bool {
    let named = path.file_name().is_some_and(|name| UNENTERED.iter().any(|closed| *closed == name));
    !named && root.open_regular(&path.join(CACHE_TAG), Links::Never).is_err()
}

/// `.` and the empty path are the workspace itself and add nothing to the paths below.
fn tidy(start: &Path) -> PathBuf {
    start.components().filter(|part| *part != std::path::Component::CurDir).collect()
}

/// Searches one file. What cannot be read is counted and passed over.
fn search_file(root: &Root, inner: &Path, path: PathBuf, search: &Search<'_>, walk: &mut Walk<'_>, hits: &mut Hits) {
    let Some(bytes) = read_for_search(root, inner, search.max_file) else {
        hits.passed_over += 1;
        return;
    };
    walk.bytes = walk.bytes.saturating_add(bytes.len() as u64);
    hits.searched += 1;
    if bytes.is_empty() {
        return;
    }
    let body = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    hits.passed_over += usize::from(body.split(|byte| *byte == b'\n').any(|line| line.len() > MAX_SEARCHED));
    let mut since = 0;
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        since += line.len() + 1;
        if since > BETWEEN_LOOKS {
            since = 0;
            if !walk.may_go_on() {
                return;
            }
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !(search.is_hit)(&line[..line.len().min(MAX_SEARCHED)]) {
            continue;
        }
        if hits.hits.len() >= search.max_hits {
            walk.stop = Some(Stop::Hits);
            return;
        }
        let line_number = u64::try_from(index).unwrap_or(u64::MAX).saturating_add(1);
        hits.hits.push(Hit { path: path.clone(), line: line_number, text: cut(line) });
    }
}

fn read_for_search(root: &Root, inner: &Path, max_file: u64) -> Option<Vec<u8>> {
    // The last place is a link only when the call named it: a walk hands over none.
    let (fd, stat) = root.open_readable(inner).ok()?;
    let size = u64::try_from(stat.st_size).ok()?;
    if size > max_file {
        return None;
    }
    let bytes = read_at_most(fd, usize::try_from(max_file).ok()?, inner).ok()?;
    (!is_binary(&bytes)).then_some(bytes)
}

fn cut(line: &[u8]) -> String {
    let shown = &line[..line.len().min(MAX_LINE)];
    let mut text = String::from_utf8_lossy(shown).into_owned();
    if line.len() > MAX_LINE {
        text.push('…');
    }
    text
}

/// A path as tools show it.
pub fn show_path(path: &Path) -> String {
    shown(path)
}
