//! The program under test and what the system says of it.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// The release binary.
pub struct Program {
    pub path: PathBuf,
}

impl Program {
    /// The binary beside this one, or where `FACTOTUM_BIN` says.
    pub fn find() -> Result<Self> {
        let path = match std::env::var_os("FACTOTUM_BIN") {
            Some(path) => path.into(),
            None => std::env::current_exe()?.parent().context("this program has no directory")?.join("factotum"),
        };
        ensure!(path.exists(), "{} is missing: run `cargo build --release -p factotum`", path.display());
        Ok(Self { path })
    }

    /// A command with a home.
    pub fn command(&self, home: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("--home").arg(home).args(arguments).env_remove("FACTOTUM_HOME");
        command
    }
}

/// A running daemon with a home of its own.
pub struct Daemon {
    child: Child,
    pub address: String,
    pub started_in: Duration,
    pub home: PathBuf,
    directory: TempDir,
}

impl Daemon {
    /// Starts a daemon that talks to the scripted model at `model`.
    pub fn start(program: &Program, model: &str) -> Result<Self> {
        Self::start_with(program, model, "")
    }

    /// The same with more settings (TOML).
    pub fn start_with(program: &Program, model: &str, more: &str) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("factotum-bench-").tempdir()?;
        let home = directory.path().join("home");
        let workspace = directory.path().join("workspace");
        std::fs::create_dir_all(&home)?;
        std::fs::create_dir_all(&workspace)?;
        std::fs::write(home.join("config.toml"), config(model, &workspace) + more)?;
        let mut secret = program
            .command(&home, &["secret", "set", "lab-key"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        secret.stdin.take().context("no standard input")?.write_all(b"lab-key-0123456789abcdef\n")?;
        ensure!(secret.wait()?.success(), "the secret could not be set");
        let (child, address, started_in) = up(program, &home)?;
        Ok(Self { child, address, started_in, home, directory })
    }

    /// `kill -9`, and another daemon in the same home.
    pub fn kill_and_start(&mut self, program: &Program) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        (self.child, self.address, self.started_in) = up(program, &self.home)?;
        Ok(())
    }

    /// Its only workspace, `bench`.
    pub fn workspace(&self) -> PathBuf {
        self.directory.path().join("workspace")
    }

    /// The API's token.
    pub fn token(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.home.join("api.token"))?.trim().to_owned())
    }

    /// The proportional set size of the daemon and all its children, in megabytes.
    pub fn memory_mb(&self) -> Result<f64> {
        let mut total = 0.0;
        for pid in descendants(self.child.id())? {
            // A process may end between being listed and being read.
            total += pss_of(pid).unwrap_or(0.0);
        }
        Ok(total)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a daemon: the process, the address of its API, and how long it took to be ready.
fn up(program: &Program, home: &Path) -> Result<(Child, String, Duration)> {
    let start = Instant::now();
    let mut child = program.command(home, &["up"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no standard output")?);
    let mut line = String::new();
    while !line.contains("ready") {
        line.clear();
        ensure!(lines.read_line(&mut line)? > 0, "the daemon ended before it was ready");
    }
    let started_in = start.elapsed();
    std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    let address = line.split_whitespace().find(|word| word.starts_with("http://"));
    let address = address.with_context(|| format!("no address in {line:?}"))?.to_owned();
    Ok((child, address, started_in))
}

fn config(model: &str, workspace: &Path) -> String {
    format!(
        r#"[agent]
model = "lab/model-1"
[api]
listen = "127.0.0.1:0"
[providers.lab]
api = "anthropic"
base_url = "{model}"
key = "lab-key"
prices = {{ "model-1" = {{ input = 0.0001, output = 0.0001 }} }}
[workspaces.bench]
path = "{}"
[budget]
day_usd = 1000.0
"#,
        workspace.display()
    )
}

/// The proportional set size of a process in megabytes; none when it is gone or may not be looked at.
fn pss_of(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find(|line| line.starts_with("Pss:"))?;
    let kb: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kb / 1024.0)
}

/// The same of all processes of a program that have `word` as an argument; none when one may not be looked at.
pub fn pss_mb(program: &Path, word: &str) -> Option<f64> {
    let mut total = 0.0;
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let is_called_so = line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes());
        if is_called_so && std::fs::read_link(format!("/proc/{pid}/exe")).ok()? == program {
            total += pss_of(pid)?;
        }
    }
    Some(total)
}

/// A process and everything below it.
fn descendants(root: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // The command name may hold spaces and parentheses; the parent stands second after its end.
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parents.push((pid, parent.unwrap_or(0)));
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == pid).map(|(pid, _)| *pid));
        next += 1;
    }
    Ok(found)
}
