//! Looking for secrets where none should be: in workspaces, in the journal and in log files. It reads, marks known secrets
//! dead, and changes files only where it was told to. What it finds is told by place and kind, never by value.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use egress::{Dead, Standing, Vault};
use policy::{
    Act, Grant, decide_own,
    leak::{self, Severity},
};
use sandbox::{Files, Kind, WalkLimits, Workspace};
use store::{Store, StoreError};
use tokio_util::sync::CancellationToken;
use types::{Clock, Failure, SecretName, WorkspaceName};

use super::{config_path, secrets::vault_failure};
use crate::{
    Config, Home, SystemClock,
    failure::{internal, stored, user},
};

/// The most bytes of one file that are read; of larger ones, the beginning.
const MAX_FILE: usize = 8 << 20;
/// The most bytes of one log file that are read: its end.
const MAX_LOG: u64 = 64 << 20;
/// The most findings that are told.
const MAX_FINDINGS: usize = 1_000;
/// How far a walk through one workspace may go.
const MAX_ENTRIES: usize = 200_000;
/// How many closed directories, such as `.git`, are entered one by one.
const MAX_CLOSED: usize = 64;
const MAX_TIME: Duration = Duration::from_secs(300);

/// What to look through, and what to do about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanOptions {
    /// One workspace alone, without journal and logs.
    pub workspace: Option<WorkspaceName>,
    /// Whether secrets in the files of workspaces are masked there.
    pub fix: bool,
    /// Whether known secrets stay in use.
    pub keep: bool,
}

/// One sighting.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ScanFinding {
    /// Where: a workspace and file, a table of the journal, a log file.
    pub place: String,
    /// The line, from 1; none in the journal.
    pub line: Option<usize>,
    /// The secret, if it is one of ours.
    pub secret: Option<SecretName>,
    /// The kind, if it looks like one that is known.
    pub kind: Option<&'static str>,
    /// How sure and how bad.
    pub severity: Severity,
    /// Where to revoke it and how.
    pub remedy: String,
    /// Whether the secret was marked dead just now.
    pub killed: bool,
    /// Whether it was masked in the file.
    pub masked: bool,
}

/// What a look found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ScanReport {
    /// In order of place and line; at most 1,000.
    pub findings: Vec<ScanFinding>,
    /// How many texts were looked at.
    pub searched: usize,
    /// What was not looked at, wholly or in part, and why.
    pub passed_over: Vec<String>,
}

/// Looks for secrets. Works beside a running daemon.
pub fn secret_scan(home: &Path, options: &ScanOptions) -> Result<ScanReport, Failure> {
    let config = Config::load(&config_path(home)).map_err(|error| error.failure())?;
    let home = Home::existing(home).map_err(|error| error.failure())?;
    let vault = Vault::open(home.path()).map_err(vault_failure)?;
    let mut scan = Scan { vault, options, report: ScanReport::default() };
    let configured = config.workspaces.iter().map(|(name, workspace)| (name.clone(), workspace.path.clone()));
    let mut workspaces: Vec<(String, PathBuf)> = configured.chain(own_workspaces(&home)).collect();
    workspaces.sort();
    workspaces.dedup_by(|one, other| one.0 == other.0);
    if let Some(wanted) = &options.workspace {
        workspaces.retain(|(name, _)| name == wanted.as_str());
        if workspaces.is_empty() {
            return Err(user(format!("there is no workspace `{wanted}`"), "`factotum workspace list` names them"));
        }
    }
    for (name, path) in workspaces {
        scan.workspace(&name, &path)?;
    }
    if options.workspace.is_none() {
        scan.journal(&home)?;
        scan.logs(&home)?;
    }
    scan.report.findings.sort_by(|one, other| (&one.place, one.line).cmp(&(&other.place, other.line)));
    Ok(scan.report)
}

/// The workspaces that we made ourselves, configured or not.
fn own_workspaces(home: &Home) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(home.path().join("workspaces")) else { return Vec::new() };
    let named = |entry: fs::DirEntry| Some((entry.file_name().into_string().ok()?, entry.path()));
    entries.flatten().filter(|entry| entry.path().is_dir()).filter_map(named).take(1_000).collect()
}

struct Scan<'a> {
    vault: Vault,
    options: &'a ScanOptions,
    report: ScanReport,
}

impl Scan<'_> {
    fn workspace(&mut self, name: &str, path: &Path) -> Result<(), Failure> {
        let Ok(name) = WorkspaceName::new(name) else { return Ok(()) };
        let opened = Workspace::open(name.clone(), path).map_err(|error| error.to_string());
        let opened = opened.and_then(|workspace| Files::new(&workspace).map_err(|error| error.to_string()));
        let files = match opened {
            Ok(files) => files,
            Err(error) => {
                self.report.passed_over.push(format!("workspace {name}: {error}"));
                return Ok(());
            }
        };
        let grant = decide_own(Act::Scan, name.clone());
        let mut starts = vec![PathBuf::from(".")];
        let mut entered = 0;
        while let Some(start) = starts.pop() {
            let limits = WalkLimits {
                depth: 64,
                entries: MAX_ENTRIES,
                bytes: u64::MAX,
                time: MAX_TIME,
                cancel: CancellationToken::new(),
            };
            let listing = match files.list(&grant, &start, &limits) {
                Ok(listing) => listing,
                Err(error) => {
                    self.report.passed_over.push(format!("workspace {name}, {}: {error}", start.display()));
                    continue;
                }
            };
            if listing.stop.is_some() {
                self.report.passed_over.push(format!("workspace {name}, {}: too large to see all", start.display()));
            }
            for entry in listing.entries {
                if entry.closed && entry.kind == Kind::Directory {
                    entered += 1;
                    if entered <= MAX_CLOSED {
                        starts.push(entry.path);
                    } else {
                        self.report.passed_over.push(format!("workspace {name}, {}", entry.path.display()));
                    }
                } else if entry.kind == Kind::File {
                    self.file(&files, &grant, &name, &entry.path)?;
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, files: &Files, grant: &Grant, name: &WorkspaceName, path: &Path) -> Result<(), Failure> {
        let place = format!("workspace {name}, {}", path.display());
        let content = match files.read(grant, path, MAX_FILE) {
            Ok(content) => content,
            Err(error) => {
                self.report.passed_over.push(format!("{place}: {error}"));
                return Ok(());
            }
        };
        if content.is_cut() {
            self.report.passed_over.push(format!("{place}: all after its first {} MiB", MAX_FILE >> 20));
        }
        let text = String::from_utf8_lossy(&content.bytes);
        let before = self.report.findings.len();
        self.text(&place, true, &text)?;
        let is_whole = !content.is_cut() && std::str::from_utf8(&content.bytes).is_ok();
        if self.options.fix && is_whole && self.report.findings.len() > before {
            let masked = self.vault.redactor().redact(&text).into_owned();
            let masked = leak::redact_patterns(&masked, Severity::High).into_owned();
            if masked != text {
                let allowed = decide_own(Act::OwnerCommand, name.clone());
                files.replace(&allowed, path, masked.as_bytes(), &content.stamp).map_err(internal)?;
                self.report.findings[before..].iter_mut().for_each(|finding| {
                    finding.masked = finding.secret.is_some() || finding.severity == Severity::High;
                });
            }
        }
        Ok(())
    }

    fn journal(&mut self, home: &Home) -> Result<(), Failure> {
        let store = match Store::open_read_only(home.path(), Arc::new(SystemClock::new())) {
            Ok(store) => store,
            Err(StoreError::Missing { .. }) => return Ok(()),
            Err(error) => return Err(stored(error)),
        };
        let mut failed = None;
        let visit = &mut |column: &str, text: &str| {
            if failed.is_none() {
                failed = self.text(&format!("the journal, {column}"), false, text).err();
            }
        };
        store.every_text(visit).map_err(stored)?;
        failed.map_or(Ok(()), Err)
    }

    fn logs(&mut self, home: &Home) -> Result<(), Failure> {
        let entries = fs::read_dir(home.path()).map_err(internal)?;
        let is_log = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            path.is_file() && name.contains(".log")
        };
        for path in entries.flatten().map(|entry| entry.path()).filter(is_log) {
            let place = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match read_end(&path) {
                Ok(text) => self.text(&place, true, &text)?,
                Err(error) => self.report.passed_over.push(format!("{place}: {error}")),
            }
        }
        Ok(())
    }

    /// Looks through one text.
    fn text(&mut self, place: &str, has_lines: bool, text: &str) -> Result<(), Failure> {
        self.report.searched += 1;
        let line_of = |at: usize| has_lines.then(|| 1 + text.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count());
        let patterns = leak::scan(text);
        let known = self.vault.known_in(text);
        for one in &known {
            let pattern = patterns.iter().find(|finding| finding.from <= one.at && one.at < finding.to);
            let killed = one.standing == Standing::Current && one.is_certain && self.kill(&one.name, place)?;
            let remedy = pattern.map_or_else(|| "Revoke it where it was issued.".to_owned(), leak::Finding::remedy);
            self.found(ScanFinding {
                place: place.to_owned(),
                line: line_of(one.at),
                secret: Some(one.name.clone()),
                kind: pattern.map(|finding| finding.kind),
                severity: if one.is_certain { Severity::High } else { Severity::Low },
                remedy: format!("{remedy} Then `factotum secret rotate {}`.", one.name),
                killed,
                masked: false,
            });
        }
        let is_known = |finding: &leak::Finding| known.iter().any(|one| (finding.from..finding.to).contains(&one.at));
        for finding in patterns.iter().filter(|finding| !is_known(finding)) {
            self.found(ScanFinding {
                place: place.to_owned(),
                line: has_lines.then_some(finding.line),
                secret: None,
                kind: Some(finding.kind),
                severity: finding.severity,
                remedy: finding.remedy(),
                killed: false,
                masked: false,
            });
        }
        Ok(())
    }

    fn found(&mut self, finding: ScanFinding) {
        if self.report.findings.len() < MAX_FINDINGS {
            self.report.findings.push(finding);
        }
    }

    fn kill(&self, name: &SecretName, place: &str) -> Result<bool, Failure> {
        if self.options.keep {
            return Ok(false);
        }
        let dead = Dead::new(SystemClock::new().now(), "it was seen where it must not be", place);
        self.vault.mark_dead(name, dead).map_err(vault_failure)
    }
}

/// The last part of a log file.
fn read_end(path: &Path) -> std::io::Result<String> {
    use std::io::Seek;
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(std::io::SeekFrom::Start(length.saturating_sub(MAX_LOG)))?;
    let mut bytes = Vec::new();
    file.take(MAX_LOG).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use egress::SecretValue;

    use super::*;

    const VALUE: &str = "canary-5f0c2e9a71d4";

    fn token() -> String {
        format!("glpat-{}", "q1W2e3R4t5Y6".repeat(2))
    }

    fn place(home: &Path) -> Vault {
        let work = home.join("workspaces/main");
        fs::create_dir_all(work.join(".git")).unwrap();
        fs::write(work.join("notes.txt"), format!("one\ntwo {VALUE}\n")).unwrap();
        fs::write(work.join(".git/config"), format!("url = https://me:{}@git.example\n", token())).unwrap();
        fs::write(work.join("clean.txt"), "nothing").unwrap();
        keep(home)
    }

    fn keep(home: &Path) -> Vault {
        let vault = Vault::open(home).unwrap();
        let name = SecretName::new("mail").unwrap();
        vault.set(&name, SecretValue::new(VALUE).unwrap(), types::Timestamp(0)).unwrap();
        vault
    }

    #[test]
    fn secrets_in_workspaces_are_found_and_the_known_one_dies() {
        let home = tempfile::tempdir().unwrap();
        let vault = place(home.path());
        let report = secret_scan(home.path(), &ScanOptions::default()).unwrap();
        let found: Vec<_> = report.findings.iter().map(|one| (one.place.as_str(), one.line, one.kind)).collect();
        assert_eq!(
            found,
            [
                ("workspace main, .git/config", Some(1), Some("gitlab-token")),
                ("workspace main, notes.txt", Some(2), None)
            ],
            "{report:?}"
        );
        assert!(report.findings[1].killed && vault.list().unwrap()[0].dead.is_some());
        let shown = serde_json::to_string(&report).unwrap();
        assert!(!shown.contains(VALUE) && !shown.contains(&token()), "{shown}");
        // The second look finds it again, and has nothing to kill.
        assert!(!secret_scan(home.path(), &ScanOptions::default()).unwrap().findings[1].killed);
    }

    #[test]
    fn looking_only_changes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let vault = place(home.path());
        let options = ScanOptions { keep: true, ..ScanOptions::default() };
        assert_eq!(secret_scan(home.path(), &options).unwrap().findings.len(), 2);
        assert!(vault.list().unwrap()[0].dead.is_none());
    }

    #[test]
    fn what_was_found_can_be_masked() {
        let home = tempfile::tempdir().unwrap();
        place(home.path());
        let options = ScanOptions { fix: true, ..ScanOptions::default() };
        let report = secret_scan(home.path(), &options).unwrap();
        assert!(report.findings.iter().all(|finding| finding.masked), "{report:?}");
        let text = fs::read_to_string(home.path().join("workspaces/main/notes.txt")).unwrap();
        assert_eq!(text, "one\ntwo [secret mail]\n");
        assert!(secret_scan(home.path(), &options).unwrap().findings.is_empty());
    }

    #[tokio::test]
    async fn the_journal_and_logs_are_looked_through() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path(), Arc::new(SystemClock::new())).unwrap();
        let event = types::Event::Notice { level: types::Level::Info, text: format!("say {VALUE}") };
        store.transact(move |tx| tx.record(None, None, event)).await.unwrap();
        store.close().await;
        fs::write(home.path().join("factotum.log"), format!("a\nb {}\n", token())).unwrap();
        keep(home.path());
        let report = secret_scan(home.path(), &ScanOptions::default()).unwrap();
        let places: Vec<_> = report.findings.iter().map(|one| (one.place.as_str(), one.line)).collect();
        assert!(places.contains(&("factotum.log", Some(2))), "{report:?}");
        assert!(
            places.iter().any(|(place, line)| place.starts_with("the journal, events.") && line.is_none()),
            "{report:?}"
        );
        let one = ScanOptions { workspace: Some(WorkspaceName::new("none").unwrap()), ..ScanOptions::default() };
        assert!(secret_scan(home.path(), &one).is_err());
    }
}
