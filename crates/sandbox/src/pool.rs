//! The sandboxes of all sessions: started when first needed, stopped with the session, when its workspace changes, or when
//! nothing has used them for a while.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Mutex as Turnstile,
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use types::{Invariant, SessionId};

use crate::{Door, Doors, Fixed, Sandbox, SandboxConfig, SandboxError, SandboxSpec, WayOut, Workspace, mounts};

/// Sandboxes at once.
const MAX_SANDBOXES: usize = 128;

/// The sandboxes by session.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Shared {
    config: SandboxConfig,
    home: PathBuf,
    doors: OnceLock<Handle<Doors>>,
    fixed: OnceLock<Handle<FixedParts>>,
    slots: Mutex<HashMap<SessionId, Arc<Slot>>>,
    ending: CancellationToken,
}

/// Says what of a workspace the commands of a session cannot replace. The error refuses the sandbox.
pub type FixedParts = Arc<dyn Fn(SessionId, &Workspace) -> Result<Vec<Fixed>, String> + Send + Sync>;

/// Code of the daemon's that is called here; it cannot be shown.
struct Handle<T>(T);

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

/// A session's place. Whoever starts or stops its sandbox holds the turnstile.
#[derive(Debug)]
struct Slot {
    sandbox: Arc<Turnstile<Option<Kept>>>,
    used: Mutex<Instant>,
}

#[derive(Debug)]
struct Kept {
    sandbox: Arc<Sandbox>,
    workspace: Workspace,
}

impl Pool {
    /// An empty pool. `home` is the agent's own directory, which no sandbox may see.
    pub fn new(config: SandboxConfig, home: &Path) -> Self {
        let home = home.canonicalize().unwrap_or_else(|_| home.to_owned());
        let (doors, fixed) = (OnceLock::new(), OnceLock::new());
        let shared = Shared { config, home, doors, fixed, slots: Mutex::default(), ending: CancellationToken::new() };
        Self { shared: Arc::new(shared), tasks: TaskTracker::new() }
    }

    /// Says who serves the doors of sandboxes from here on. The first call wins; without it sandboxes have no way out.
    pub fn use_doors(&self, doors: Doors) {
        // A second call would be a mistake in the wiring, and the first one's rules stay in force.
        _ = self.shared.doors.set(Handle(doors));
    }

    /// Says who knows what of a workspace the commands of a session cannot replace. The first call wins; without it they can
    /// replace everything.
    pub fn use_fixed(&self, fixed: FixedParts) {
        _ = self.shared.fixed.set(Handle(fixed));
    }

    /// The session's sandbox for its workspace; started if there is none.
    pub async fn get(&self, session: SessionId, workspace: &Workspace) -> Result<Arc<Sandbox>, SandboxError> {
        let mut spec = self.specification(workspace)?;
        let mut slot = self.slot(session)?;
        slot.touch();
        let mut kept = slot.sandbox.clone().lock_owned().await;
        // While this waited, the slot may have been given up as idle.
        while !self.shared.is_current(session, &slot) {
            slot = self.slot(session)?;
            kept = slot.sandbox.clone().lock_owned().await;
        }
        if let Some(present) = kept.as_ref() {
            if present.workspace == *workspace && present.sandbox.is_alive() {
                return Ok(present.sandbox.clone());
            }
            if let Some(old) = kept.take() {
                old.sandbox.stop().await;
            }
        }
        if let Some(fixed) = self.shared.fixed.get() {
            spec.fixed = fixed.0(session, workspace)
                .map_err(|why| SandboxError::Build { step: "learn what is fixed".to_owned(), why })?;
        }
        let door = self.shared.door(session, workspace, WayOut::Usual)?;
        let sandbox = Arc::new(Sandbox::start_for(Some(session), spec, door).await?);
        *kept = Some(Kept { sandbox: sandbox.clone(), workspace: workspace.clone() });
        drop(kept);
        slot.touch();
        Ok(sandbox)
    }

    /// What the owner's configuration gives a sandbox over this workspace. What is added to it is checked by
    /// [`Pool::check`].
    pub fn specification(&self, workspace: &Workspace) -> Result<SandboxSpec, SandboxError> {
        let spec = SandboxSpec::new(workspace.clone(), &self.shared.config)?;
        self.shared.check(&spec)?;
        Ok(spec)
    }

    /// Checks that commands would see nothing of the agent's own home but the parts that are there for them.
    pub fn check(&self, spec: &SandboxSpec) -> Result<(), SandboxError> {
        self.shared.check(spec)
    }

    /// Starts a sandbox for a session beside the session's own: for work of ours that must not meet what the session's
    /// commands left behind. It has a way out only if that is asked for, and ends when it is dropped.
    pub async fn apart(&self, session: SessionId, apart: Apart<'_>) -> Result<Sandbox, SandboxError> {
        let mut spec = self.specification(apart.workspace)?;
        spec.source = apart.source.cloned();
        spec.fixed = apart.fixed.to_vec();
        self.shared.check(&spec)?;
        let door = match apart.way_out {
            Some(way_out) => self.shared.door(session, apart.workspace, way_out)?,
            None => None,
        };
        Sandbox::start_for(None, spec, door).await
    }

    /// Ends the session's sandbox, if there is one.
    pub async fn stop_session(&self, session: SessionId) {
        let slot = self.shared.slots().get(&session).cloned();
        if let Some(slot) = slot {
            slot.stop().await;
        }
    }

    /// Ends the sandboxes of all sessions. A session that goes on gets another one.
    pub async fn stop_sessions(&self) {
        // The slots stay: each has a task that watches it.
        let slots: Vec<Arc<Slot>> = self.shared.slots().values().cloned().collect();
        let mut stopping = tokio::task::JoinSet::new();
        for slot in slots {
            stopping.spawn(async move { slot.stop().await });
        }
        stopping.join_all().await;
    }

    /// Ends all sandboxes and takes no more.
    pub async fn stop_all(&self) {
        self.shared.ending.cancel();
        let slots: Vec<Arc<Slot>> = self.shared.slots().drain().map(|(_, slot)| slot).collect();
        let mut stopping = tokio::task::JoinSet::new();
        for slot in slots {
            stopping.spawn(async move { slot.stop().await });
        }
        stopping.join_all().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The session's slot; a new one comes with a task that ends its sandbox when idle.
    fn slot(&self, session: SessionId) -> Result<Arc<Slot>, SandboxError> {
        let mut slots = self.shared.slots();
        if let Some(slot) = slots.get(&session) {
            return Ok(slot.clone());
        }
        if self.shared.ending.is_cancelled() {
            return Err(SandboxError::Gone);
        }
        if slots.len() >= MAX_SANDBOXES {
            return Err(SandboxError::TooManySandboxes(MAX_SANDBOXES));
        }
        let slot = Arc::new(Slot { sandbox: Arc::default(), used: Mutex::new(Instant::now()) });
        slots.insert(session, slot.clone());
        self.tasks.spawn(end_when_idle(self.shared.clone(), session, slot.clone()));
        Ok(slot)
    }
}

/// What a sandbox beside the sessions' own is to see.
#[derive(Clone, Copy, Debug)]
pub struct Apart<'a> {
    /// What commands may write.
    pub workspace: &'a Workspace,
    /// What they may read besides.
    pub source: Option<&'a Workspace>,
    /// What of the workspace they cannot replace.
    pub fixed: &'a [Fixed],
    /// Whether they reach the network by the workspace's rules, and for what.
    pub way_out: Option<WayOut>,
}

impl Shared {
    /// The door of a session's sandbox; none where nobody serves doors.
    fn door(&self, session: SessionId, workspace: &Workspace, way_out: WayOut) -> Result<Option<Door>, SandboxError> {
        let refused = |why| SandboxError::Build { step: "open its way to the proxy".to_owned(), why };
        self.doors.get().map(|doors| doors.0(session, &workspace.name, way_out)).transpose().map_err(refused)
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_current(&self, session: SessionId, slot: &Arc<Slot>) -> bool {
        self.slots().get(&session).is_some_and(|current| Arc::ptr_eq(current, slot))
    }

    /// A workspace must not hold the agent's home, nor lie in it but among what is there for commands.
    fn refuse_home(&self, dir: &Path) -> Result<(), SandboxError> {
        let is_own = dir.strip_prefix(&self.home).is_ok_and(mounts::is_open_in_home);
        if is_own
            || Invariant::ControlFilesClosed.is_broken()
            || (!dir.starts_with(&self.home) && !self.home.starts_with(dir))
        {
            return Ok(());
        }
        Err(SandboxError::Workspace { path: dir.to_owned(), why: "it is the agent's own home".to_owned() })
    }

    fn refuse_mount(&self, path: &Path) -> Result<(), SandboxError> {
        let dir = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let is_own = dir.strip_prefix(&self.home).is_ok_and(mounts::is_readable_in_home);
        if is_own || (!dir.starts_with(&self.home) && !self.home.starts_with(&dir)) {
            return Ok(());
        }
        Err(SandboxError::ReadOnly { path: path.to_owned(), why: "it is or holds the agent's own home".to_owned() })
    }

    /// Checks that nothing of a specification is the agent's own, but what is there for commands.
    fn check(&self, spec: &SandboxSpec) -> Result<(), SandboxError> {
        self.refuse_home(spec.workspace.dir())?;
        spec.source.as_ref().map_or(Ok(()), |source| self.refuse_home(source.dir()))?;
        spec.home.as_deref().map_or(Ok(()), |home| self.refuse_home(home))?;
        spec.read_only.iter().try_for_each(|path| self.refuse_mount(path))
    }
}

impl Slot {
    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last_used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn stop(&self) {
        if let Some(kept) = self.sandbox.lock().await.take() {
            kept.sandbox.stop().await;
        }
    }
}

/// Waits until a session's sandbox has been idle for long enough and ends it, with the slot.
async fn end_when_idle(shared: Arc<Shared>, session: SessionId, slot: Arc<Slot>) {
    let patience = Duration::from_secs(shared.config.idle_minutes.saturating_mul(60));
    let mut until = Instant::now() + patience;
    loop {
        tokio::select! {
            () = shared.ending.cancelled() => return,
            () = sleep_until(until) => {}
        }
        let mut kept = slot.sandbox.lock().await;
        let is_busy = kept.as_ref().is_some_and(|kept| kept.sandbox.is_busy());
        until = if is_busy { Instant::now() } else { slot.last_used() } + patience;
        if until > Instant::now() {
            continue;
        }
        // Whoever asks from here on gets a new slot.
        shared.slots().remove(&session);
        if let Some(kept) = kept.take() {
            kept.sandbox.stop().await;
        }
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_home_is_never_inside() {
        let pool = Pool::new(SandboxConfig::default(), Path::new("/nowhere/home"));
        for bad in
            ["/nowhere/home", "/nowhere", "/nowhere/home/snapshots", "/nowhere/home/workspaces", "/nowhere/home/x"]
        {
            assert!(pool.shared.refuse_home(Path::new(bad)).is_err(), "{bad}");
        }
        for bad in ["jobs", "jobs/7", "jobs/7/socket", "jobs/7/records.jsonl", "jobs/x/tree", "coders/claude/1"] {
            assert!(pool.shared.refuse_home(&Path::new("/nowhere/home").join(bad)).is_err(), "{bad}");
        }
        for good in ["/nowhere/homes", "/srv/code"] {
            assert!(pool.shared.refuse_home(Path::new(good)).is_ok(), "{good}");
        }
        for good in ["workspaces/toy", "jobs/7/tree", "jobs/7/home", "jobs/7/land", "jobs/12/tree/inner"] {
            assert!(pool.shared.refuse_home(&Path::new("/nowhere/home").join(good)).is_ok(), "{good}");
        }
        for bad in ["workspaces/toy", "coders", "coders/claude", "jobs/7/tree", "vault"] {
            assert!(pool.shared.refuse_mount(&Path::new("/nowhere/home").join(bad)).is_err(), "{bad}");
        }
        assert!(pool.shared.refuse_mount(Path::new("/nowhere/home/coders/claude/2.1.329")).is_ok());
    }
}
