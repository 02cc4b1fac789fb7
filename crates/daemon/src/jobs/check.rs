//! The done condition: run by us, in a sandbox that no coding agent had a hand in, over the job's tree as it is, after everything
//! that the job may not change was put back. Start with [`check`].

mod signature;

use std::{collections::BTreeSet, path::Path, time::Duration};

use policy::{Act, decide_own};
use sandbox::{Change, ChangeKind, Command, ExitStatus, Fixed, MAX_FIXED, Pins, SnapshotError, WayOut, show_path};
use serde_json::json;
use store::audit::AuditKind;
use tools::Glob;
use types::DoneWhen;

use super::{
    Site, SiteError, guard,
    site::{Keep, Purpose, Spot, in_words},
};

pub use signature::signature;

/// The most bytes of a check's output that are looked at for what failed.
const MAX_OUTPUT: usize = 1 << 20;
/// The most bytes of the end of it that are told.
const MAX_TAIL: usize = 6_000;
/// Where pinned files are saved, in the job's directory.
const PINS: &str = "pins";
/// The most patterns of pinned files.
const MAX_PATTERNS: usize = 100;
/// The most names of files that were put back.
const MAX_NAMED: usize = 50;

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The verdict.
    pub outcome: Outcome,
    /// Pinned files that had been changed, and were put back before, each with what had happened to it.
    pub restored: Vec<String>,
}

/// The verdict of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The done condition holds.
    Passed,
    /// It does not.
    Failed {
        /// The end of what the command wrote; foreign text.
        tail: String,
        /// What stays the same while it fails in the same way.
        signature: String,
    },
    /// The command took longer than it may.
    TimedOut {
        /// The end of what it wrote; foreign text.
        tail: String,
        /// What stays the same while it hangs in the same place.
        signature: String,
    },
    /// The command could not be run to its end, which says nothing about the work.
    CouldNotRun {
        /// Why, and what to do.
        why: String,
    },
}

/// Which files of a tree are pinned.
#[derive(Debug)]
struct Pinned(Vec<Glob>);

impl Pinned {
    fn parse(patterns: &[String]) -> Result<Self, SiteError> {
        if patterns.len() > MAX_PATTERNS {
            return Err(SiteError::Unfit(format!("more than {MAX_PATTERNS} patterns of pinned files")));
        }
        let parse = |pattern: &String| {
            // A directory means all that is in it.
            let whole = if pattern.ends_with('/') { format!("{pattern}**") } else { pattern.clone() };
            Glob::parse_any_case(&whole).map_err(|error| {
                SiteError::Unfit(format!("the pattern of pinned files `{}`: {}", crate::core::shown(pattern), error.0))
            })
        };
        patterns.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// The outermost directory around a pinned file in which everything is pinned, whatever its name; else the file.
    fn outermost<'a>(&self, file: &'a Path) -> &'a Path {
        let is_whole = |directory: &&Path| {
            !directory.as_os_str().is_empty()
                && ["\u{1}", "\u{2}/\u{3}"].iter().all(|any| self.covers(&directory.join(any)))
        };
        file.ancestors().skip(1).filter(is_whole).last().unwrap_or(file)
    }

    /// Whether a path, or a directory that it lies in, is pinned.
    fn covers(&self, path: &Path) -> bool {
        let ancestors = || path.ancestors().filter(|path| !path.as_os_str().is_empty());
        self.0.iter().any(|glob| ancestors().any(|path| glob.matches(path)))
    }
}

/// Checks the patterns of pinned files, so that a mistake in them is told before a job begins.
pub fn check_patterns(patterns: &[String]) -> Result<(), SiteError> {
    Pinned::parse(patterns).map(|_| ())
}

/// Saves the files that the job may not change, before it begins. Gives how many there are. Safe to repeat.
pub async fn hold(site: &Site, done: &DoneWhen) -> Result<usize, SiteError> {
    if done.pinned.is_empty() {
        return Ok(0);
    }
    let pinned = Pinned::parse(&done.pinned)?;
    let (tree, directory) = (site.spot(Spot::Tree)?, site.directory.join(PINS));
    let save = move || {
        let grant = decide_own(Act::Snapshot, tree.name.clone());
        Pins::save(&grant, &tree, &|path| pinned.covers(path), &directory).map(|pins| pins.len())
    };
    blocking("save the pinned files", save).await
}

/// What of the tree a job's programs cannot replace: what is pinned, as far as it is there, by whole directories where all that
/// could lie in one is pinned. The rest is put back before it counts.
pub(super) fn fixed(directory: &Path, done: Option<&DoneWhen>) -> Result<Vec<Fixed>, SiteError> {
    let Some(done) = done.filter(|done| !done.pinned.is_empty()) else { return Ok(Vec::new()) };
    let pinned = Pinned::parse(&done.pinned)?;
    let failed = |error: SnapshotError| SiteError::Failed { what: "read what is pinned", why: error.to_string() };
    let Some(pins) = Pins::open(&directory.join(PINS)).map_err(failed)? else { return Ok(Vec::new()) };
    let whole: BTreeSet<&Path> = pins.files().map(|file| pinned.outermost(file)).collect();
    Ok(whole.into_iter().take(MAX_FIXED).filter_map(Fixed::read_only).collect())
}

/// Puts pinned files back and runs the done condition.
pub async fn check(site: &Site, done: &DoneWhen) -> Result<Checked, SiteError> {
    let restored = put_back(site, done).await?;
    Ok(Checked { outcome: run(site, done).await?, restored })
}

/// Runs the done condition over the tree as it is.
pub(super) async fn run(site: &Site, done: &DoneWhen) -> Result<Outcome, SiteError> {
    let timeout = Duration::from_secs(done.timeout_s.max(1));
    let command = Command::new(done.command.clone(), timeout);
    let what = "run the done condition";
    // It runs what the coding agent wrote, so it can do no more than the coding agent.
    let way_out = Some(WayOut::Reading);
    let purpose = Purpose { act: Act::JobCheck, writes: Spot::Tree, reads: None, way_out };
    let mut fixed = guard::fixed(&site.place, &site.directory)?;
    fixed.extend(self::fixed(&site.directory, Some(done))?);
    let outcome = match site.room_with(purpose, &fixed).await {
        Ok(room) => {
            let ran = room.run(command, what, &done.command, (Keep::End, MAX_OUTPUT)).await;
            // What it left running would go on changing the tree.
            room.close().await;
            let ran = ran?;
            judge(ran.status, &ran.output, timeout)
        }
        Err(SiteError::Sandbox(error)) => Outcome::CouldNotRun { why: error.to_string() },
        Err(error) => return Err(error),
    };
    // What the command changed of them is not what it was to judge, and must not be committed.
    let changed = put_back(site, done).await?;
    let outcome = match outcome {
        Outcome::Passed if !changed.is_empty() => {
            let tail = format!("the done condition changed files that must stay as they are: {}", changed.join(", "));
            Outcome::Failed { signature: tail.clone(), tail }
        }
        other => other,
    };
    Ok(outcome)
}

/// What a command's end means.
fn judge(status: ExitStatus, output: &[u8], timeout: Duration) -> Outcome {
    let text = String::from_utf8_lossy(output);
    match status {
        ExitStatus::Code(0) => Outcome::Passed,
        ExitStatus::Code(126 | 127) if text.lines().count() <= 3 => {
            let why = format!("the done condition could not be started: {}; correct the command", tail(&text).trim());
            Outcome::CouldNotRun { why }
        }
        ExitStatus::Code(_) | ExitStatus::Signal(_) => {
            Outcome::Failed { tail: tail(&text), signature: signature(&text) }
        }
        ExitStatus::TimedOut => {
            Outcome::TimedOut { tail: tail(&text), signature: format!("timed out; {}", signature(&text)) }
        }
        ExitStatus::OutOfMemory | ExitStatus::DiskFull | ExitStatus::Cancelled => {
            Outcome::CouldNotRun { why: in_words(status, timeout) }
        }
    }
}

/// The end of a text, in whole lines where it has any.
fn tail(text: &str) -> String {
    let clean = signature::without_escapes(text);
    if clean.len() <= MAX_TAIL {
        return clean;
    }
    let mut from = clean.len() - MAX_TAIL;
    while !clean.is_char_boundary(from) {
        from += 1;
    }
    let end = &clean[from..];
    end.split_once('\n').map_or(end, |(_, lines)| lines).to_owned()
}

/// Puts back what the job may not change, and gives what had happened to it.
pub(super) async fn put_back(site: &Site, done: &DoneWhen) -> Result<Vec<String>, SiteError> {
    if done.pinned.is_empty() {
        return Ok(Vec::new());
    }
    let pinned = Pinned::parse(&done.pinned)?;
    let (tree, directory) = (site.spot(Spot::Tree)?, site.directory.join(PINS));
    let restore = move || {
        let Some(pins) = Pins::open(&directory)? else {
            return Err(SnapshotError::Unknown { id: "the pinned files as they were when the job began".to_owned() });
        };
        let grant = decide_own(Act::JobCheck, tree.name.clone());
        pins.put_back(&grant, &tree, &|path| pinned.covers(path))
    };
    site.audit(AuditKind::ToolIntent, json!({ "tool": "job", "does": "put pinned files back", "pinned": done.pinned }))
        .await?;
    let changes: Vec<Change> = blocking("put the pinned files back", restore).await?;
    let told: Vec<String> = changes.iter().take(MAX_NAMED).map(told).collect();
    site.audit(AuditKind::ToolOutcome, json!({ "tool": "job", "does": "put pinned files back", "restored": told }))
        .await?;
    Ok(told)
}

fn told(change: &Change) -> String {
    let what = match change.kind {
        ChangeKind::Added => "was added and is pinned; removed",
        ChangeKind::Modified => "was changed; put back",
        ChangeKind::Removed => "was removed; put back",
    };
    format!("{} {what}", show_path(&change.path))
}

pub(super) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, SiteError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|_| SiteError::Failed { what, why: "it broke off".to_owned() })?;
    done.map_err(|error| SiteError::Failed { what, why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinned(patterns: &[&str]) -> Pinned {
        Pinned::parse(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>())
            .expect("they are patterns")
    }

    #[test]
    fn patterns_cover_files_directories_and_other_cases() {
        for (patterns, yes, no) in [
            (vec!["tests/**"], vec!["tests/a", "tests/b/c", "Tests/A"], vec!["src/tests.rs", "tests2/a"]),
            (vec!["tests/"], vec!["tests/a/b"], vec!["x"]),
            (vec!["tests"], vec!["tests", "tests/a", "x/tests/y"], vec!["x/test"]),
            (vec!["*.snap", "Makefile"], vec!["a/b.snap", "MAKEFILE", "makefile"], vec!["a.snapx"]),
            (vec!["src/**/*_test.go"], vec!["src/a_test.go", "src/x/y_TEST.go"], vec!["a_test.go"]),
        ] {
            let pinned = pinned(&patterns);
            assert!(yes.iter().all(|path| pinned.covers(Path::new(path))), "{patterns:?}");
            assert!(no.iter().all(|path| !pinned.covers(Path::new(path))), "{patterns:?}");
        }
        assert!(check_patterns(&vec!["x".to_owned(); 101]).is_err());
    }

    #[test]
    fn whole_directories_are_fixed_where_all_in_them_is_pinned() {
        for (patterns, file, outermost) in [
            (vec!["tests/**"], "tests/a/b.rs", "tests"),
            (vec!["tests/"], "tests/a", "tests"),
            (vec!["tests/*"], "tests/a/b", "tests"),
            (vec!["test_*.py"], "x/test_a.py", "x/test_a.py"),
            (vec!["Makefile"], "Makefile", "Makefile"),
            (vec!["src/**/*_test.go"], "src/x/y_test.go", "src/x/y_test.go"),
        ] {
            assert_eq!(pinned(&patterns).outermost(Path::new(file)), Path::new(outermost), "{patterns:?}");
        }
    }

    #[test]
    fn a_verdict_follows_from_how_the_command_ended() {
        let judged = |status, output: &str| judge(status, output.as_bytes(), Duration::from_secs(9));
        assert_eq!(judged(ExitStatus::Code(0), "FAILED"), Outcome::Passed);
        assert!(matches!(judged(ExitStatus::Code(1), "x"), Outcome::Failed { tail, .. } if tail == "x"));
        assert!(matches!(judged(ExitStatus::Signal(11), ""), Outcome::Failed { .. }));
        assert!(matches!(judged(ExitStatus::TimedOut, ""), Outcome::TimedOut { .. }));
        let missing = judged(ExitStatus::Code(127), "bash: line 1: mkae: command not found\n");
        assert!(matches!(missing, Outcome::CouldNotRun { why } if why.contains("mkae")));
        // A build script that misses something is a failure of the work.
        let inner = "compiling\nlinking\ntesting\nmake: cc: not found\n";
        assert!(matches!(judged(ExitStatus::Code(127), inner), Outcome::Failed { .. }));
        assert!(
            matches!(judged(ExitStatus::OutOfMemory, ""), Outcome::CouldNotRun { why } if why.contains("memory_mb"))
        );
    }

    #[test]
    fn a_tail_is_whole_lines_without_escapes() {
        let text = format!("{}\u{1b}[31mred\u{1b}[0m\nlast\n", "a line of text\n".repeat(1_000));
        let tail = tail(&text);
        assert!(tail.len() <= MAX_TAIL && tail.starts_with("a line") && tail.ends_with("red\nlast\n"));
        assert!(super::tail(&"ü".repeat(9_000)).len() <= MAX_TAIL);
    }
}
