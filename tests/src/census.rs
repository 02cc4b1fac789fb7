//! Counting what there is in a test's own namespaces: processes, control groups, sockets, files. What is there afterwards and was
//! not before has been left behind.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long what was killed may take to be gone.
const GOING: Duration = Duration::from_secs(20);

/// What there is at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Processes of this process namespace that live, but for the test itself: number and command line.
    pub processes: BTreeMap<u32, String>,
    /// Control groups that were made from this process namespace.
    pub groups: Vec<PathBuf>,
    /// Sockets below a directory.
    pub sockets: Vec<PathBuf>,
}

impl Census {
    /// Counts. Sockets are looked for below `directory`.
    pub fn take(directory: &Path) -> Self {
        let mut groups = Vec::new();
        let space = fs::metadata("/proc/self/ns/pid").map_or(0, |found| found.ino());
        walk(Path::new("/sys/fs/cgroup"), &mut |path, kind| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if kind.is_dir() && name.starts_with("factotum") && name.split('-').any(|part| part == space.to_string()) {
                groups.push(path.to_owned());
            }
        });
        let mut sockets = Vec::new();
        walk(directory, &mut |path, kind| {
            if kind.is_socket() {
                sockets.push(path.to_owned());
            }
        });
        groups.sort();
        sockets.sort();
        Self { processes: processes(), groups, sockets }
    }

    /// Waits until there is nothing that is not in `before`, and panics with what stays.
    pub fn wait_for(before: &Self, directory: &Path, when: &str) {
        let begun = Instant::now();
        loop {
            let left = Self::take(directory).without(before);
            if left == Self::default() {
                return;
            }
            assert!(begun.elapsed() < GOING, "{when}: left behind: {left:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn without(mut self, other: &Self) -> Self {
        self.processes.retain(|id, _| !other.processes.contains_key(id));
        self.groups.retain(|group| !other.groups.contains(group));
        self.sockets.retain(|socket| !other.sockets.contains(socket));
        self
    }
}

/// The processes that live here, but for this one.
pub fn processes() -> BTreeMap<u32, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // One may end while it is looked at.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        if id == std::process::id() || matches!(state, None | Some('Z' | 'X')) {
            continue;
        }
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        found.insert(id, String::from_utf8_lossy(&line).replace('\0', " "));
    }
    found
}

/// How many processes that live here have this in their command line, the parts of which a space divides.
pub fn count(word: &str) -> usize {
    processes().values().filter(|line| line.contains(word)).count()
}

/// Waits until no process that lives here has one of these in its command line.
pub fn wait_until_gone(words: &[&str]) {
    let begun = Instant::now();
    for word in words {
        while count(word) > 0 {
            assert!(begun.elapsed() < GOING, "{word} is left: {:#?}", processes());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A number of kibibytes that `/proc/PID/status` tells, such as `VmRSS`; none when the process is gone.
pub fn status_kib(process: u32, field: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How many files a process has open; none when it is gone.
pub fn open_files(process: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{process}/fd")).ok()?.count())
}

/// Calls `see` with everything below a directory. What cannot be read is passed over.
pub fn walk(directory: &Path, see: &mut impl FnMut(&Path, fs::FileType)) {
    let mut waiting = vec![directory.to_owned()];
    while let Some(at) = waiting.pop() {
        for entry in fs::read_dir(&at).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            see(&entry.path(), kind);
            if kind.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
}
