//! Terminals that stay: a tmux server of our own on a socket in the home directory, with a window for each job and shell. In
//! each window runs this same program, as a pane that shows what a supervisor has; nothing of what matters depends on tmux.
//! Start with [`Tmux`].

use std::{
    fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

/// Its socket in the home directory.
const SOCKET: &str = "tmux.sock";
/// The session that holds all windows.
const SESSION: &str = "factotum";
/// How the sessions of clients begin, each with the number of its process behind it.
const CLIENT: &str = "client-";
/// Lines that are kept of a window.
const HISTORY: &str = "50000";
/// How long tmux may take. It takes milliseconds; this is for a machine that swaps.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether clients have left, and how long that may take each time.
const PARTINGS: u32 = 50;
const PARTING: Duration = Duration::from_millis(20);
/// Where tmux is looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// The most bytes of a captured screen.
const MAX_CAPTURED: usize = 4 * 1024 * 1024;

/// What holds for the whole server. What a program in a window shows can change nothing but the window: not the clipboard, not
/// a title, nothing past tmux. No key starts a program on the host.
const OPTIONS: [&[&str]; 14] = [
    &["set-option", "-g", "history-limit", HISTORY],
    &["set-option", "-g", "default-terminal", "tmux-256color"],
    &["set-option", "-g", "set-titles", "off"],
    &["set-option", "-g", "status-left", "factotum  "],
    &["set-option", "-g", "status-right", "leave: Ctrl-B d "],
    &["set-option", "-s", "set-clipboard", "off"],
    &["set-option", "-s", "escape-time", "25"],
    &["set-option", "-w", "-g", "remain-on-exit", "on"],
    &["set-option", "-w", "-g", "allow-rename", "off"],
    &["set-option", "-w", "-g", "automatic-rename", "off"],
    &["set-option", "-w", "-g", "allow-passthrough", "off"],
    // Whoever looks at a window gives it its size, and not to the others too.
    &["set-option", "-w", "-g", "aggressive-resize", "on"],
    &["unbind-key", "-a", "-T", "root"],
    &["unbind-key", "-a", "-T", "prefix"],
];
/// The keys that are left after the prefix: leave, look back, choose windows, and the prefix itself.
const KEYS: [(&str, &[&str]); 7] = [
    ("C-b", &["send-prefix"]),
    ("d", &["detach-client"]),
    ("[", &["copy-mode"]),
    ("n", &["next-window"]),
    ("p", &["previous-window"]),
    ("w", &["choose-tree", "-Zw"]),
    ("l", &["last-window"]),
];

/// Why a terminal is not there. Work goes on without it.
#[derive(Debug, thiserror::Error)]
pub enum TmuxError {
    /// There is no tmux.
    #[error("tmux is not installed, so there are no terminals to attach to; install it with your system's packages")]
    Missing,
    /// It could not be started or spoken to.
    #[error("tmux could not be run: {0}")]
    Io(#[from] io::Error),
    /// It takes too long.
    #[error("tmux does not answer")]
    Slow,
    /// It refuses.
    #[error("tmux refuses: {0}")]
    Refused(String),
    /// There is no such window.
    #[error("there is no terminal {0}")]
    NoWindow(String),
}

/// A window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its name, such as `job-7`.
    pub name: String,
    /// The process in it.
    pub pid: i32,
    /// Whether that has ended.
    pub is_dead: bool,
}

/// The terminals of one home directory.
#[derive(Debug)]
pub struct Tmux {
    home: PathBuf,
    program: PathBuf,
    /// One change at a time: whoever comes second finds the server that the first one started.
    changing: Mutex<()>,
}

impl Tmux {
    /// Those of `home`, with this program in their windows.
    pub fn new(home: &Path) -> io::Result<Self> {
        let own = fs::read_link("/proc/self/exe")?;
        // The file of a program that was replaced meanwhile; the new one understands the same.
        let text = own.to_string_lossy();
        let program = text.strip_suffix(" (deleted)").map(PathBuf::from).unwrap_or_else(|| own.clone());
        Ok(Self::with_program(home, &program))
    }

    /// Those of `home`, with another program in their windows.
    pub fn with_program(home: &Path, program: &Path) -> Self {
        Self { home: home.to_owned(), program: program.to_owned(), changing: Mutex::new(()) }
    }

    /// Makes sure that a window of this name shows our program, started with these arguments. Starts the server if none runs.
    pub async fn open(&self, window: &str, arguments: &[&str]) -> Result<(), TmuxError> {
        let _one = self.changing.lock().await;
        self.sweep().await?;
        match self.list().await?.into_iter().find(|known| known.name == window) {
            Some(known) if !known.is_dead => return Ok(()),
            Some(_) => self.kill(window).await?,
            None => {}
        }
        let program = self.program.to_string_lossy();
        let exists = self.run(&["has-session", "-t", &format!("={SESSION}")]).await?.status.success();
        let mut all: Vec<&str> = Vec::new();
        if exists {
            all.extend(["new-window", "-d", "-t", "=factotum:", "-c", "/", "-n", window, "--"]);
        } else {
            all.extend(["start-server", ";"]);
            let keys = KEYS.iter().map(|(key, command)| [&["bind-key", "-T", "prefix", key], *command].concat());
            for command in OPTIONS.iter().map(|option| option.to_vec()).chain(keys) {
                all.extend(command);
                all.push(";");
            }
            all.extend(["new-session", "-d", "-s", SESSION, "-x", "160", "-y", "48", "-c", "/", "-n", window, "--"]);
        }
        all.push(&program);
        all.extend(arguments);
        good(self.run(&all).await?).map(drop)
    }

    /// Ends a window and the program in it; clients that show it are sent back to where they came from. Nothing happens when
    /// there is none. The server ends with its last window.
    pub async fn close(&self, window: &str) -> Result<(), TmuxError> {
        let _one = self.changing.lock().await;
        if self.list().await?.iter().any(|known| known.name == window) {
            self.part(window).await?;
            self.sweep().await?;
            self.kill(window).await
        } else {
            Ok(())
        }
    }

    /// Whether its server was ever started here.
    pub fn was_started(&self) -> bool {
        self.home.join(SOCKET).exists()
    }

    /// All windows; none when no server runs.
    pub async fn list(&self) -> Result<Vec<Window>, TmuxError> {
        let format = "#{pane_pid} #{pane_dead} #{window_name}";
        let output = self.run(&["list-panes", "-s", "-t", &format!("={SESSION}"), "-F", format]).await?;
        if !output.status.success() {
            return Ok(Vec::new());
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let window = |line: &str| {
            let (pid, rest) = line.split_once(' ')?;
            let (dead, name) = rest.split_once(' ')?;
            Some(Window { name: name.to_owned(), pid: pid.parse().ok()?, is_dead: dead == "1" })
        };
        Ok(text.lines().filter_map(window).collect())
    }

    /// What a window shows, as text; with what has scrolled away if `with_history`.
    pub async fn capture(&self, window: &str, with_history: bool) -> Result<String, TmuxError> {
        let target = target(window);
        let mut all = vec!["capture-pane", "-p", "-J", "-t", &target];
        if with_history {
            all.extend(["-S", "-"]);
        }
        let mut bytes = good(self.run(&all).await?).map_err(|_| TmuxError::NoWindow(window.to_owned()))?.stdout;
        let too_many = bytes.len().saturating_sub(MAX_CAPTURED);
        bytes.drain(..too_many);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Becomes a client that shows a window, whatever other clients show. Returns only on failure.
    #[expect(clippy::disallowed_methods, reason = "the owner's own terminal becomes a client of our tmux")]
    pub fn attach(&self, window: &str, term: &str) -> TmuxError {
        let mut command = std::process::Command::new("tmux");
        // A session of the client's own with the same windows. It shows the right one before anybody sees it, since a window
        // takes the size of who saw it last.
        let session = format!("{CLIENT}{}", std::process::id());
        let (own, group, window) = (format!("={session}:"), format!("={SESSION}"), format!("={session}:={window}"));
        command.args(["-S", SOCKET, "-f", "/dev/null", "-u", "new-session", "-d", "-s", &session, "-t", &group, ";"]);
        command.args(["select-window", "-t", &window, ";", "attach-session", "-t", &own]);
        command.current_dir(&self.home).env_clear().envs(environment()).env("TERM", term);
        explain(command.exec())
    }

    /// Detaches the clients that show a window, which would otherwise find themselves in another one or without a server, and
    /// waits until they have left.
    async fn part(&self, window: &str) -> Result<(), TmuxError> {
        for _ in 0..PARTINGS {
            let output = good(self.run(&["list-clients", "-F", "#{client_name} #{window_name}"]).await?)?;
            let text = String::from_utf8_lossy(&output.stdout);
            let named = text.lines().filter_map(|line| line.rsplit_once(' '));
            let showing: Vec<&str> = named.filter(|(_, shown)| *shown == window).map(|(client, _)| client).collect();
            if showing.is_empty() {
                break;
            }
            for client in showing {
                // It may have left by itself.
                self.run(&["detach-client", "-t", client]).await?;
            }
            sleep(PARTING).await;
        }
        Ok(())
    }

    /// Removes what clients that have left leave behind. tmux can do so by itself, and then dies of it now and again (3.3a).
    async fn sweep(&self) -> Result<(), TmuxError> {
        let output = self.run(&["list-sessions", "-F", "#{session_attached} #{session_name}"]).await?;
        // Without a server there is nothing.
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            if let Some(session) = line.strip_prefix("0 ").filter(|name| name.starts_with(CLIENT)) {
                // It may have gone by itself.
                self.run(&["kill-session", "-t", &format!("={session}")]).await?;
            }
        }
        Ok(())
    }

    async fn kill(&self, window: &str) -> Result<(), TmuxError> {
        good(self.run(&["kill-window", "-t", &target(window)]).await?).map(drop)
    }

    /// Runs tmux. Each argument stays one argument: no shell sees them.
    #[expect(clippy::disallowed_methods, reason = "tmux runs on the host, with nothing in it but this program")]
    async fn run(&self, arguments: &[&str]) -> Result<Output, TmuxError> {
        let mut command = tokio::process::Command::new("tmux");
        // Named within the home, since the address of a socket must be short and the home's path need not be.
        command.args(["-S", SOCKET, "-f", "/dev/null", "-u"]).args(arguments).current_dir(&self.home);
        command.env_clear().envs(environment()).env("TERM", "xterm-256color");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn().map_err(explain)?;
        Ok(timeout(PATIENCE, child.wait_with_output()).await.map_err(|_| TmuxError::Slow)??)
    }
}

/// What tmux and the panes find in their environment, and nothing else.
fn environment() -> [(&'static str, &'static str); 2] {
    [("PATH", PATH), ("LANG", "C.UTF-8")]
}

/// A window of exactly this name.
fn target(window: &str) -> String {
    format!("={SESSION}:={window}")
}

fn explain(error: io::Error) -> TmuxError {
    if error.kind() == io::ErrorKind::NotFound { TmuxError::Missing } else { TmuxError::Io(error) }
}

fn good(output: Output) -> Result<Output, TmuxError> {
    if output.status.success() {
        return Ok(output);
    }
    Err(TmuxError::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
