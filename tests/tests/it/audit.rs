//! The audit log across crashes: shipped to a directory while the daemon is killed, and written by a process of another
//! user while both are killed. The numbers of the records tell whether one is lost or there twice.

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use harness::{
    Factotum, Home,
    job::{Job, WAIT},
    process::{binary, run},
};

const ASK: &str = "fix the failing tests";
/// A user that owns nothing on this machine, for the writer, and its group, which is the agent's in these tests.
const WRITER: u32 = 64_533;
const GROUP: u32 = 64_534;

fn append(home: &Home, text: &str) {
    let path = home.path().join("config.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(path, config + text).unwrap();
}

/// The numbers of all records in the files of a directory, in the order of their names.
fn numbers(directory: &Path, prefix: &str) -> Vec<u64> {
    let mut names: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|name| name.file_name().unwrap().to_string_lossy().starts_with(prefix));
    names.sort();
    let text: String = names.iter().map(|name| fs::read_to_string(name).unwrap() + "\n").collect();
    let record = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?.get("seq")?.as_u64();
    text.lines().filter_map(record).collect()
}

fn verified(job: &Job, arguments: &[&str]) {
    let log = run(&job.home.path(), &[&["log", "verify"], arguments].concat(), "");
    assert_eq!(log.code, Some(0), "{log:?}");
}

#[test]
fn what_is_shipped_is_whole_after_a_crash_at_any_record() {
    for point in ["point:audit:2", "point:audit:5", "point:shipped:1", "point:shipped:3", "after:9"] {
        let job = Job::new("anthropic");
        let copy = job.home.beside("copy");
        append(&job.home, &format!("\n[audit.ship.disk]\nkind = \"directory\"\npath = \"{}\"\n", copy.display()));
        if let Ok(mut first) = Factotum::up_with(&job.home, &[("FACTOTUM_CRASH_AT", point)]) {
            job.chat.say(ASK);
            assert!(first.wait_end(Duration::from_secs(15)), "{point} was not reached");
        } else {
            job.chat.say(ASK);
        }
        let second = Factotum::up(&job.home);
        job.chat.wait_for_answer("All tests pass", WAIT);
        second.stop();
        let shipped = numbers(&copy, "audit-");
        let all = numbers(&job.home.path(), "audit.log");
        assert_eq!(shipped, all, "{point}");
        assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>(), "{point}");
        verified(&job, &["--copy", copy.to_str().unwrap()]);
    }
}

/// The writer as a process of another user. Dropping it kills it.
struct Writer {
    child: Child,
    place: tempfile::TempDir,
}

impl Writer {
    fn log(place: &Path) -> PathBuf {
        place.join("audit.log")
    }

    /// A place that the writer owns and its group may enter.
    fn place() -> tempfile::TempDir {
        let place = tempfile::Builder::new().prefix("factotum-writer-").tempdir().unwrap();
        chown(place.path(), Some(WRITER), Some(GROUP)).unwrap();
        fs::set_permissions(place.path(), Permissions::from_mode(0o750)).unwrap();
        // The binary under test may stand where only root can reach it.
        fs::copy(binary(), place.path().join("factotum")).unwrap();
        fs::set_permissions(place.path().join("factotum"), Permissions::from_mode(0o755)).unwrap();
        place
    }

    fn spawn(place: &Path, environment: &[(&str, &str)]) -> Child {
        let mut command = Command::new(place.join("factotum"));
        command.args(["--home", "/nonexistent", "audit-writer", "--client", "0", "--socket"]);
        command.arg(place.join("socket")).arg("--file").arg(Self::log(place)).current_dir(place);
        for (name, value) in environment {
            command.env(name, value);
        }
        let mut child = command.uid(WRITER).gid(GROUP).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the writer did not start");
        }
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        child
    }

    fn start(job: &Job, environment: &[(&str, &str)]) -> Self {
        let place = Self::place();
        let child = Self::spawn(place.path(), environment);
        let (socket, log) = (place.path().join("socket"), Self::log(place.path()));
        append(&job.home, &format!("\n[audit]\nsocket = \"{}\"\nlog = \"{}\"\n", socket.display(), log.display()));
        Self { child, place }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn again(&mut self) {
        self.kill();
        self.child = Self::spawn(self.place.path(), &[]);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn the_writer_and_the_daemon_are_killed_and_no_record_is_lost_or_doubled() {
    for (writer_dies, daemon_dies) in
        [("point:appended:1", ""), ("point:answer:4", ""), ("point:appended:6", "point:audit:8"), ("", "point:audit:4")]
    {
        let job = Job::new("anthropic");
        let mut writer = Writer::start(&job, &[("FACTOTUM_CRASH_AT", writer_dies)]);
        let mut daemon = Factotum::up_with(&job.home, &[("FACTOTUM_CRASH_AT", daemon_dies)]).unwrap();
        job.chat.say(ASK);
        let deadline = Instant::now() + WAIT;
        let (mut revived, mut restarted) = (writer_dies.is_empty(), daemon_dies.is_empty());
        while !(revived && restarted) {
            assert!(Instant::now() < deadline, "{writer_dies} and {daemon_dies} were not reached");
            if !revived && writer.child.try_wait().unwrap().is_some() {
                writer.again();
                revived = true;
            }
            if !restarted && daemon.has_ended() {
                daemon = Factotum::up(&job.home);
                restarted = true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        job.chat.wait_for_answer("All tests pass", WAIT);
        daemon.stop();
        let all = numbers(writer.place.path(), "audit.log");
        assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>(), "{writer_dies} {daemon_dies}");
        assert!(!job.home.path().join("audit.log").exists());
        verified(&job, &[]);
        let text = fs::read_to_string(Writer::log(writer.place.path())).unwrap();
        let bodies: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let intents: Vec<String> = bodies
            .iter()
            .filter(|record| record["kind"] == "tool_outcome")
            .map(|record| format!("{} {}", record["turn"], record["call"]))
            .collect();
        let mut once = intents.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), intents.len(), "an outcome is there twice: {intents:?}");
    }
}

#[test]
fn without_the_writer_nothing_runs_and_it_goes_on_by_itself() {
    let job = Job::new("anthropic");
    let mut writer = Writer::start(&job, &[]);
    let daemon = Factotum::up(&job.home);
    writer.kill();
    let before = job.repository.commits();
    job.chat.say(ASK);
    job.chat.wait_for_answer("nothing was done, because the audit log cannot be written", WAIT);
    assert_eq!((job.repository.commits(), job.repository.tests_pass()), (before, false), "something ran");
    writer.again();
    // The scripted model gives up for good in a conversation in which something failed.
    job.chat.say("/new");
    job.chat.say(ASK);
    job.chat.wait_for_answer("All tests pass", WAIT);
    daemon.stop();
    verified(&job, &[]);
}

/// As a user of the agent's group: the log can be read, and not be changed, removed or replaced.
#[test]
fn the_agents_user_cannot_change_the_log() {
    let place = Writer::place();
    let mut child = Writer::spawn(place.path(), &[]);
    let log = Writer::log(place.path());
    let attempt = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(&log).uid(64_535).gid(GROUP).stderr(Stdio::null());
        command.status().unwrap().success()
    };
    assert!(attempt("cat \"$1\""), "the shipper's user may read it");
    for script in [
        "echo forged >> \"$1\"",
        ": > \"$1\"",
        "truncate -s 0 \"$1\"",
        "rm -f \"$1\" && ! test -e \"$1\"",
        "mv \"$1\" \"$1.old\"",
        "ln -f \"$1\" \"$1.link\"",
        "chmod 666 \"$1\"",
        "touch \"$1.000000000001\"",
    ] {
        assert!(!attempt(script), "{script}");
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Where the file system and the rights allow it, the kernel keeps even root from shortening the log, and a torn line is
/// closed instead of cut.
#[test]
fn a_log_that_may_only_grow_is_mended_by_growing() {
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("audit.log");
    let start = || {
        let mut command = Command::new(binary());
        command.args(["--home", "/nonexistent", "audit-writer", "--append-only", "--client", "0", "--socket"]);
        command.arg(place.path().join("socket")).arg("--file").arg(&log).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the writer did not start");
        }
        (child, line)
    };
    let kill = |mut child: Child| {
        let _ = child.kill();
        let _ = child.wait();
    };
    let (child, line) = start();
    kill(child);
    if !line.contains("the kernel lets it only grow") {
        assert!(line.contains("without chattr +a"), "{line}");
        return;
    }
    use std::io::Write;
    let grow = |text: &str| fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(text.as_bytes()).unwrap();
    grow("{\"seq\":1,\"at\":17");
    let cut = fs::OpenOptions::new().write(true).open(&log);
    assert!(cut.is_err(), "even root can open it for anything but appending");
    let (child, line) = start();
    kill(child);
    assert!(line.contains("has 1 records"), "{line}");
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o700)).unwrap();
    let config = format!("[audit]\nsocket = \"/nonexistent\"\nlog = \"{}\"\n", log.display());
    fs::write(home.path().join("config.toml"), config).unwrap();
    let verified = run(home.path(), &["log", "verify"], "");
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let status = Command::new("chattr").arg("-a").arg(&log).status().unwrap();
    assert!(status.success());
}
