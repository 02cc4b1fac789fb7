//! A full disk: a clear error, the daemon lives, nothing that was accepted is lost. The home is a small file system in
//! memory, in a mount namespace of its own; making one takes root.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use harness::{
    Home,
    home::{KEY, config},
    process::{binary, run},
};
use testkit::model::{ModelServer, Reply};

/// A daemon whose home has room for a few megabytes. Dropping it kills it, and the file system goes with it.
struct Cramped {
    child: Child,
    home: PathBuf,
}

impl Drop for Cramped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Cramped {
    fn start(beside: &Home, config: &str) -> Self {
        let home = beside.path();
        std::fs::create_dir_all(&home).unwrap();
        let file = beside.beside("config.toml");
        std::fs::write(&file, config).unwrap();
        let script = format!(
            "set -e; mount -t tmpfs -o size=6m,mode=0700 tmpfs {home}; cp {file} {home}/config.toml; \
             printf %s {KEY} | {program} --home {home} secret set lab-key >&2; exec {program} --home {home} up",
            home = home.display(),
            file = file.display(),
            program = binary().display(),
        );
        let mut child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        while !line.contains("ready") {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "the daemon did not start");
        }
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        let home = PathBuf::from(format!("/proc/{}/root{}", child.id(), home.display()));
        Self { child, home }
    }

    fn fill(&self) -> PathBuf {
        let filler = self.home.join("filler");
        let mut file = std::fs::File::create(&filler).unwrap();
        while std::io::Write::write_all(&mut file, &[b'x'; 4096]).is_ok() {}
        while std::io::Write::write_all(&mut file, b"x").is_ok() {}
        filler
    }

    /// Reads the files where they are: SQLite does not follow a path into another namespace.
    fn log_is_whole(&self, home: &Path) -> bool {
        let target = self.child.id().to_string();
        let mut inside = Command::new("nsenter");
        inside.args(["--target", &target, "--mount"]).arg(binary()).arg("--home").arg(home).args(["log", "verify"]);
        inside.status().unwrap().success()
    }

    fn send(&self, text: &str) -> harness::Finished {
        run(&self.home, &["send", "--timeout", "20", text], "")
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn a_full_disk_is_told_and_nothing_is_lost() {
    if !is_root() {
        eprintln!("skipped: mounting a small file system takes root");
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let model =
        runtime.block_on(ModelServer::start(|request| Reply::say(format!("You said: {}", request.first_user_text()))));
    let home = Home::new();
    let workspace = home.beside("workspace");
    std::fs::create_dir_all(&workspace).unwrap();
    let mut daemon = Cramped::start(&home, &config("anthropic", &model.base_url(), &workspace, None));
    let before = daemon.send("before");
    assert_eq!(before.code, Some(0), "{before:?}");

    let filler = daemon.fill();
    let refused = daemon.send("in between");
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.stderr.contains("disk") || refused.stderr.contains("space"), "{refused:?}");
    assert!(daemon.child.try_wait().unwrap().is_none(), "the daemon died");

    std::fs::remove_file(filler).unwrap();
    works_again(&daemon);
    assert!(daemon.log_is_whole(&home.path()));
    let sessions = run(&daemon.home, &["sessions", "--json"], "");
    assert_eq!(sessions.code, Some(0), "{sessions:?}");
    assert!(model.requests().iter().any(|request| request.contains("before")));
    assert_no_secret(&daemon.home);
}

/// The daemon may wait a little before it writes again.
fn works_again(daemon: &Cramped) {
    let start = Instant::now();
    loop {
        let after = daemon.send("after");
        if after.code == Some(0) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{after:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn assert_no_secret(home: &Path) {
    for entry in std::fs::read_dir(home).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes()), "{}", entry.path().display());
    }
}
