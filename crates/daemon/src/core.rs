//! What all parts of the running daemon share. It holds no logic: each part takes from it what it needs.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    ops::Deref,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use channels::Channel;
use sandbox::Workspace;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use types::{ChannelId, Failure, SessionId, WorkspaceName};

use crate::{
    Config,
    api::{Access, views::CanaryView},
    failure::{stored, user},
    jobs::Jobs,
    occupancy::Occupancy,
    sessions::Sessions,
    shells::Shells,
    wiring::Ground,
};

/// The cursor that names the session which messages without a session go to.
pub(crate) const CURRENT_SESSION: &str = "current-session";
/// The key of the session that exists from the first start.
pub(crate) const MAIN_SESSION: &str = "main";

/// The shared state.
pub(crate) struct Core {
    /// What it stands on, which is reached as its own.
    pub ground: Ground,
    pub messengers: BTreeMap<ChannelId, Messenger>,
    pub sessions: Sessions,
    pub jobs: Jobs,
    pub shells: Shells,
    /// Keeps tasks and an undo apart.
    pub occupancy: Occupancy,
    pub canary: watch::Receiver<CanaryView>,
    pub address: SocketAddr,
    /// Who may use the TCP API.
    pub access: Access,
    /// Short work that must not hold up a loop: an undo, the progress of one turn. Joined when the daemon stops.
    pub tasks: TaskTracker,
    pub phases: Phases,
    live: RwLock<Arc<Live>>,
}

/// The phases of stopping, in order. Each token is cancelled when its phase begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phases {
    /// Nothing more is accepted; turns end or are checkpointed.
    pub stopping: CancellationToken,
    /// The outbox sends what is due and ends.
    pub flushing: CancellationToken,
    /// The API closes its streams.
    pub closing: CancellationToken,
}

/// The workspaces of the configuration, opened. A reload replaces them for everybody who holds this.
#[derive(Clone, Default)]
pub(crate) struct Workspaces(Arc<RwLock<BTreeMap<WorkspaceName, Workspace>>>);

impl Workspaces {
    /// The workspace of this name.
    pub fn get(&self, name: &WorkspaceName) -> Option<Workspace> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<WorkspaceName> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Puts others in their place.
    pub fn replace(&self, workspaces: BTreeMap<WorkspaceName, Workspace>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = workspaces;
    }
}

/// A messenger and who may use it.
pub(crate) struct Messenger {
    pub channel: Arc<dyn Channel>,
    allow: RwLock<Arc<[String]>>,
}

impl Messenger {
    /// A messenger that these may use: numeric ids as text, the first is the owner.
    pub fn new(channel: Arc<dyn Channel>, allow: Vec<String>) -> Self {
        Self { channel, allow: RwLock::new(allow.into()) }
    }

    /// Who may use it at present.
    pub fn allow(&self) -> Arc<[String]> {
        self.allow.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets others use it, from the next message on.
    pub fn set_allow(&self, allow: Vec<String>) {
        *self.allow.write().unwrap_or_else(PoisonError::into_inner) = allow.into();
    }

    /// The owner's private chat. On every messenger of ours it has the owner's own id.
    pub fn owner(&self) -> Option<String> {
        self.allow().first().cloned()
    }
}

/// What a reload of the configuration replaces as a whole.
pub(crate) struct Live {
    pub config: Config,
    /// `provider/model`.
    pub model: String,
    pub deps: Arc<agent::Deps>,
    pub default_workspace: WorkspaceName,
}

/// The parts of [`Core`] that exist before it does.
pub(crate) struct Parts {
    pub ground: Ground,
    pub live: Live,
    pub messengers: BTreeMap<ChannelId, Messenger>,
    pub sessions: Sessions,
    pub jobs: Jobs,
    pub canary: watch::Receiver<CanaryView>,
    pub address: SocketAddr,
    pub access: Access,
}

impl Deref for Core {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.ground
    }
}

impl Core {
    pub fn new(parts: Parts) -> Self {
        let Parts { ground, live, messengers, sessions, jobs, canary, address, access } = parts;
        let (tasks, phases, live) = (TaskTracker::new(), Phases::default(), RwLock::new(Arc::new(live)));
        Self {
            ground,
            messengers,
            sessions,
            jobs,
            shells: Shells::default(),
            occupancy: Occupancy::default(),
            canary,
            address,
            access,
            tasks,
            phases,
            live,
        }
    }

    /// The configuration in force, with all that is built from it.
    pub fn live(&self) -> Arc<Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another configuration in force; turns that run keep theirs.
    pub fn replace_live(&self, live: Live) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
    }

    /// The session that messages without a session go to.
    pub fn current_session(&self) -> Result<SessionId, Failure> {
        let chosen = self.store.cursor(CURRENT_SESSION).map_err(stored)?;
        if let Some(id) = chosen.and_then(|text| text.parse().ok()).map(SessionId)
            && self.store.session(id).map_err(stored)?.is_some()
        {
            return Ok(id);
        }
        let main = self.store.session_by_key(MAIN_SESSION).map_err(stored)?;
        main.map(|session| session.id).ok_or_else(|| crate::failure::internal("the main session is missing"))
    }

    /// The session of this number or key.
    pub fn find_session(&self, name: &str) -> Result<store::Session, Failure> {
        let by_number = name.parse().ok().map(SessionId);
        let found = match by_number {
            Some(id) => self.store.session(id),
            None => self.store.session_by_key(name),
        };
        let missing = || user(format!("there is no session `{}`", shown(name)), "`factotum sessions` lists them");
        found.map_err(stored)?.ok_or_else(missing)
    }

    /// The directory of a workspace, with links followed. One that is not configured any more has none; its name keeps it
    /// apart from all others.
    pub fn directory(&self, name: &WorkspaceName) -> PathBuf {
        self.workspaces.get(name).map_or_else(|| PathBuf::from(name.as_str()), |workspace| workspace.dir().to_owned())
    }

    /// An open workspace of the configuration.
    pub fn workspace(&self, name: &WorkspaceName) -> Result<Workspace, Failure> {
        self.workspaces.get(name).ok_or_else(|| {
            let names: Vec<String> = self.workspaces.names().iter().map(ToString::to_string).collect();
            user(format!("there is no workspace `{name}`"), format!("configured are: {}", names.join(", ")))
        })
    }
}

/// A foreign name made short and harmless for a message.
pub(crate) fn shown(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(64).collect()
}
