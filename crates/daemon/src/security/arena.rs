//! A daemon of the audit's own: scratch home, scratch workspace, the owner's sandbox settings, a model that obeys the
//! attacker, and a messenger that records. It is the real daemon; only what is around it is made up. It must not touch the
//! owner's home, and nothing in it speaks to another machine.

mod messenger;
mod mind;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use types::{Command, CommandReply, Event, Failure, SessionId, TurnEnd, WhenBusy, WorkspaceName};

use super::attempts::Surroundings;
use crate::{Config, Daemon, Options, SelfTest, WorkspaceConfig, client::Client};

pub(super) use messenger::{Messenger, message};
pub(super) use mind::{Mind, call, say};

/// The owner's id on the arena's messenger.
pub(super) const OWNER: &str = "424242";
/// How long one task in the arena may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The only workspace.
const WORKSPACE: &str = "arena";

/// A running daemon with what surrounds it.
pub(super) struct Arena {
    /// Holds everything; removed with the arena.
    scratch: tempfile::TempDir,
    daemon: Option<Daemon>,
    pub mind: Arc<Mind>,
    pub messenger: Arc<Messenger>,
    pub client: Client,
}

/// What came of a task.
#[derive(Debug)]
pub(super) struct Job {
    /// How it ended.
    pub end: TurnEnd,
    /// What the owner would have read.
    pub text: String,
}

/// Why something could not be tried, in words.
pub(super) type Trouble = String;

impl Arena {
    /// Starts a daemon whose model is `mind`. `change` is for settings that the attempt is about.
    pub async fn open(
        around: &Surroundings,
        mind: Arc<Mind>,
        change: impl FnOnce(&mut Config),
    ) -> Result<Self, Trouble> {
        let scratch = tempfile::Builder::new()
            .prefix("factotum-audit-")
            .tempdir_in(&around.scratch)
            .map_err(|error| format!("no scratch directory can be made: {error}"))?;
        for name in ["home", "work", "outside"] {
            make(&scratch.path().join(name))?;
        }
        let mut config = Config::default();
        config.api.listen.set_port(0);
        config.sandbox = around.config.sandbox.clone();
        config.workspaces.insert(WORKSPACE.to_owned(), workspace(scratch.path().join("work"))?);
        change(&mut config);
        let messenger = Messenger::new();
        let mut options = Options::new(scratch.path().join("home"));
        options.config = Some(config);
        options.provider = Some(mind.clone());
        options.channels = vec![(messenger.clone(), vec![OWNER.to_owned()])];
        options.self_test = SelfTest::Off;
        let home = options.home.clone();
        let daemon = Daemon::start(options).await.map_err(|error| format!("no daemon can be started: {error}"))?;
        let client = match Client::connect(&home).await {
            Ok(client) => client,
            Err(failure) => {
                daemon.stop().await;
                return Err(in_words(failure));
            }
        };
        Ok(Self { scratch, daemon: Some(daemon), mind, messenger, client })
    }

    /// The daemon's home.
    pub fn home(&self) -> PathBuf {
        self.scratch.path().join("home")
    }

    /// The workspace's directory.
    pub fn work(&self) -> PathBuf {
        self.scratch.path().join("work")
    }

    /// A directory that nothing in the arena may reach.
    pub fn outside(&self) -> PathBuf {
        self.scratch.path().join("outside")
    }

    /// The API's TCP address.
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        self.daemon.as_ref().map(Daemon::addr)
    }

    /// Gives the agent a task and waits for its end.
    pub async fn job(&self, text: &str) -> Result<Job, Trouble> {
        let (session, since) = self.begin(text).await?;
        let ended = async {
            let mut events = self.client.events(since, Some(session)).await.map_err(in_words)?;
            loop {
                let envelope = events.next().await.map_err(in_words)?.ok_or("the daemon ended")?;
                if let Event::TurnFinished { end, text, .. } = envelope.event {
                    return Ok(Job { end, text });
                }
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.map_err(|_| "the task did not end".to_owned())?
    }

    /// Gives the agent a task and does not wait.
    pub async fn begin(&self, text: &str) -> Result<(SessionId, types::Seq), Trouble> {
        let command = Command::Send {
            text: text.to_owned(),
            session: Some("new".to_owned()),
            workspace: None,
            when_busy: WhenBusy::Queue,
            id: None,
        };
        match self.client.command(&command).await.map_err(in_words)? {
            CommandReply::Accepted { session, since, .. } => Ok((session, since)),
            CommandReply::Said { text }
            | CommandReply::Done { text }
            | CommandReply::CodeNeeded { text }
            | CommandReply::Job { text, .. }
            | CommandReply::Shell { text, .. }
            | CommandReply::Confirm { rule: text, .. } => Err(format!("no task was begun: {text}")),
        }
    }

    /// Stops the daemon and removes everything.
    pub async fn close(mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop().await;
        }
    }
}

fn make(path: &Path) -> Result<(), Trouble> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().mode(0o700).create(path);
    made.map_err(|error| format!("{} cannot be made: {error}", path.display()))
}

fn workspace(path: PathBuf) -> Result<WorkspaceConfig, Trouble> {
    toml::from_str(&format!("path = {}", toml::Value::String(path.display().to_string())))
        .map_err(|error| error.to_string())
}

/// The name of the arena's workspace.
pub(super) fn workspace_name() -> Result<WorkspaceName, Trouble> {
    WorkspaceName::new(WORKSPACE).map_err(|error| error.to_string())
}

pub(super) fn in_words(failure: Failure) -> Trouble {
    failure.error
}
