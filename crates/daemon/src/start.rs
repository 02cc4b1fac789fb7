//! Starting and stopping the daemon: the one place that knows all parts.

mod signals;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use channels::Channel;
use egress::Vault;
use sandbox::{Pool, Snapshots};
use store::{
    NewSession, Store, StoreError,
    audit::{self, Keeping, LogOptions},
};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use types::{ChannelId, Clock, Failure, FailureKind, Provider};

use crate::{
    Config, ConfigError, Home, HomeError, SystemClock,
    api::{self, Access, Listeners, views::CanaryView},
    canary,
    core::{Core, MAIN_SESSION, Messenger, Parts, Workspaces},
    home::InstanceLock,
    jobs::{self, Jobs, Shop, Trade},
    journal,
    leaks::Leaks,
    network::Ways,
    network_log::NetworkLog,
    outbox, practice, recovery, router, security,
    sessions::{self, Sessions},
    shells,
    ship::{self, ShipError, Shipping, Target},
    traffic::Traffic,
    vault_record,
    wiring::{self, Ground, WiringError},
};

/// How to start.
pub struct Options {
    /// The home directory; made when missing.
    pub home: PathBuf,
    /// The configuration; read from the home when absent.
    pub config: Option<Config>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// A provider in place of the configured one.
    pub provider: Option<Arc<dyn Provider>>,
    /// Messengers beside the configured ones, each with the ids that may use it; the first is the owner.
    pub channels: Vec<(Arc<dyn Channel>, Vec<String>)>,
    /// The network as tests play it, in place of the machine's own.
    pub network: Option<egress::Network>,
    /// What jobs have done for them, in place of sandboxes and coding agents.
    pub jobs: Option<Arc<dyn Shop>>,
    /// Whether the sandbox tests itself.
    pub self_test: SelfTest,
}

/// Whether the sandbox tests itself after the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelfTest {
    /// In the background, as soon as the API answers.
    #[default]
    AfterStart,
    /// Never: unattended work is refused. For programs that cannot become a sandbox, such as tests.
    Off,
}

impl Options {
    /// The usual way: configuration from the home, the system's clock.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self {
            home: home.into(),
            config: None,
            clock: Arc::new(SystemClock::new()),
            provider: None,
            channels: Vec::new(),
            network: None,
            jobs: None,
            self_test: SelfTest::default(),
        }
    }
}

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The home cannot be used, or another daemon uses it.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The configuration has a mistake.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The settings are unsafe together.
    #[error("{}", .0.error)]
    Unsafe(Failure),
    /// The configuration cannot be put in force.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// The journal cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault cannot be opened.
    #[error(transparent)]
    Vault(#[from] egress::VaultError),
    /// The store of saved workspaces cannot be opened.
    #[error("saved workspaces cannot be opened: {0}")]
    Snapshots(#[from] sandbox::SnapshotError),
    /// The audit log cannot be shipped as configured.
    #[error(transparent)]
    Ship(#[from] ShipError),
    /// The API's address is taken or not ours.
    #[error("{0}")]
    Listen(String),
}

impl StartError {
    /// What the owner sees.
    pub fn failure(&self) -> Failure {
        let of = |kind, hint: &str| Failure { kind, error: self.to_string(), hint: Some(hint.to_owned()) };
        match self {
            Self::Home(error) => error.failure(),
            Self::Config(error) => error.failure(),
            Self::Unsafe(failure) => failure.clone(),
            Self::Wiring(error) => error.failure(),
            Self::Store(error) => of(FailureKind::Internal, &error.hint()),
            Self::Vault(_) => of(FailureKind::Config, "look at `vault` and `vault.key` in the home directory"),
            Self::Ship(_) => of(FailureKind::Config, "mend [audit.ship] in config.toml"),
            Self::Snapshots(_) => of(FailureKind::Internal, "look at the directory `snapshots` in the home directory"),
            Self::Listen(_) => of(
                FailureKind::Config,
                "stop the program that uses the address, or set another `listen` under [api] in config.toml",
            ),
        }
    }
}

/// A running daemon.
pub struct Daemon {
    core: Arc<Core>,
    /// The parts that stop first, and those that stop last.
    parts: JoinSet<()>,
    outbox: JoinSet<()>,
    api: JoinSet<()>,
    notes: Vec<String>,
    _lock: InstanceLock,
}

impl Daemon {
    /// Starts everything and returns once the API answers.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        raise_descriptor_limit();
        let home = Home::open(&options.home)?;
        let lock = home.lock()?;
        let config = match options.config {
            Some(config) => config,
            None => Config::load(&home.config())?,
        };
        config.check()?;
        refuse_unsafe(&config, options.self_test).await?;
        let listeners = api::bind(config.api.listen, &home.socket())
            .await
            .map_err(|error| StartError::Listen(error.to_string()))?;
        let access = Access::open(&home)?;
        let store = Store::open_with(home.path(), keeping(&config, &home), options.clock.clone())?;
        let vault = Vault::open(home.path())?;
        let (sessions, orders) = Sessions::new();
        let (jobs, job_orders) = Jobs::new();
        let (canary, canary_state) = watch::channel(CanaryView::Running);
        let messengers = messengers(&config, &vault, options.channels)?;
        let pool = Arc::new(Pool::new(config.sandbox.clone(), home.path()));
        let snapshots = Snapshots::open(home.path(), config.snapshots.clone())?;
        let practising = config.model().is_none() && options.provider.is_none();
        let (clock, provider, workspaces) = (options.clock, options.provider, Workspaces::default());
        let shipping = Shipping::new(&config.audit, clock.clone());
        let traffic = Traffic::default();
        let targets = targets(&config, &vault)?;
        let leaks = Leaks::new(vault.clone(), store.clone(), clock.clone());
        let log = NetworkLog::new(store.clone(), clock.clone(), traffic.clone());
        let ways =
            Ways::new(store.clone(), vault.clone(), clock.clone(), log, vec![listeners.address], options.network);
        pool.use_doors(ways.doors());
        pool.use_fixed(jobs::fixed_of_sessions(store.clone(), home.path()));
        let rules = agent::RulesInForce::default();
        let late = jobs::Late::default();
        let ground = Ground {
            home,
            clock,
            store,
            vault,
            leaks,
            pool,
            snapshots,
            shipping,
            traffic,
            workspaces,
            rules,
            ways,
            late: late.clone(),
            provider,
        };
        let live = wiring::build(&ground, config)?;
        let address = listeners.address;
        let core = Arc::new(Core::new(Parts {
            ground,
            live,
            messengers,
            sessions,
            jobs,
            canary: canary_state,
            address,
            access,
        }));
        // It is set once, here.
        let _ = late.set(Arc::downgrade(&core));
        let shop = options.jobs.unwrap_or_else(|| Arc::new(Trade::new(&core)));
        core.jobs.open(shop.clone());
        ensure_main_session(&core).await?;
        let mut daemon = Self {
            core,
            parts: JoinSet::new(),
            outbox: JoinSet::new(),
            api: JoinSet::new(),
            notes: practising.then(|| practice::NOTE.to_owned()).into_iter().collect(),
            _lock: lock,
        };
        daemon.parts.spawn(sessions::supervise(daemon.core.clone(), orders));
        daemon.parts.spawn(jobs::run(daemon.core.clone(), shop, job_orders));
        daemon.parts.spawn(shells::take_up(&daemon.core).await);
        recovery::resume(&daemon.core).await?;
        daemon.launch(listeners);
        for (name, target) in targets {
            daemon.api.spawn(ship::run(daemon.core.clone(), name, target));
        }
        match options.self_test {
            SelfTest::AfterStart => {
                daemon.parts.spawn(canary::run(daemon.core.clone(), canary));
            }
            SelfTest::Off => {
                canary.send_replace(CanaryView::Failed { error: "it was switched off".to_owned() });
            }
        }
        Ok(daemon)
    }

    /// Starts what takes messages in and sends them out. Each part is owned by one of the sets and joined when the daemon stops.
    fn launch(&mut self, listeners: Listeners) {
        let core = &self.core;
        self.api.spawn(api::serve(core.clone(), listeners));
        self.parts.spawn(journal::follow(core.clone()));
        self.parts.spawn(vault_record::follow(core.clone()));
        self.parts.spawn(recovery::recover(core.clone()));
        for id in core.messengers.keys() {
            self.parts.spawn(router::serve(core.clone(), id.clone()));
        }
        self.outbox.spawn(outbox::pump(core.clone()));
    }

    /// The TCP address of the API.
    pub fn addr(&self) -> SocketAddr {
        self.core.address
    }

    /// The home directory.
    pub fn home(&self) -> &Path {
        self.core.home.path()
    }

    /// What a person who starts it should know, such as that the practice model answers.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Runs until `cancel` is cancelled or SIGTERM or SIGINT arrives (SIGUSR1 stops all turns), then stops in order.
    pub async fn run_until(mut self, cancel: CancellationToken) {
        signals::wait(&self.core, &mut self.parts, cancel).await;
        self.stop().await;
    }

    /// Stops in order: no more input, turns finished or checkpointed, outbox flushed, processes killed, store closed.
    /// Each step has a deadline, so that it ends.
    pub async fn stop(mut self) {
        let phases = self.core.phases.clone();
        phases.stopping.cancel();
        within("ending the turns", Duration::from_secs(13), &mut self.parts).await;
        phases.flushing.cancel();
        within("sending what is owed", Duration::from_secs(7), &mut self.outbox).await;
        let pool = self.core.pool.clone();
        if tokio::time::timeout(Duration::from_secs(3), pool.stop_all()).await.is_err() {
            tracing::error!("some sandboxes did not stop in time; the kernel ends them with this process");
        }
        phases.closing.cancel();
        self.core.tasks.close();
        if tokio::time::timeout(Duration::from_secs(2), self.core.tasks.wait()).await.is_err() {
            tracing::warn!("some short work was cut off");
        }
        within("closing the API", Duration::from_secs(2), &mut self.api).await;
        if tokio::time::timeout(Duration::from_secs(5), self.core.store.close()).await.is_err() {
            tracing::error!("the journal did not close in time; it recovers at the next start");
        }
    }
}

/// Joins a set of parts, and aborts what is left at the deadline.
async fn within(what: &str, deadline: Duration, parts: &mut JoinSet<()>) {
    let all = async {
        while let Some(ended) = parts.join_next().await {
            if ended.is_err_and(|error| error.is_panic()) {
                tracing::error!("a part of the daemon had panicked");
            }
        }
    };
    if tokio::time::timeout(deadline, all).await.is_err() {
        tracing::warn!("{what} took too long and was cut off");
        parts.shutdown().await;
    }
}

/// Takes all the descriptors that the system would give: what sandboxes hold open must not leave none for the journal and
/// for STOP. Commands have limits of their own.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
}

/// Settings that are safe only with a strong sandbox wait for its self-test; all others do not.
async fn refuse_unsafe(config: &Config, self_test: SelfTest) -> Result<(), StartError> {
    if !security::needs_strong_sandbox(config) {
        return Ok(());
    }
    let is_strong = match self_test {
        SelfTest::AfterStart => security::is_strong(&canary::test(&config.sandbox).await),
        SelfTest::Off => false,
    };
    security::refuse_unsafe(config, is_strong).map_err(StartError::Unsafe)
}

/// The configured messengers and those that were given.
fn messengers(
    config: &Config,
    vault: &Vault,
    given: Vec<(Arc<dyn Channel>, Vec<String>)>,
) -> Result<BTreeMap<ChannelId, Messenger>, WiringError> {
    let mut all = BTreeMap::new();
    for (name, telegram) in &config.channels.telegram {
        let allow = wiring::allowed(telegram);
        let channel = wiring::bot(name, telegram, vault)?;
        all.insert(channel.id().clone(), Messenger::new(Arc::new(channel), allow));
    }
    for (channel, allow) in given {
        all.insert(channel.id().clone(), Messenger::new(channel, allow));
    }
    Ok(all)
}

/// Who writes the audit log.
pub(crate) fn keeping(config: &Config, home: &Home) -> Keeping {
    match config.audit.socket.clone() {
        Some(socket) => {
            let connect: audit::Connect = Arc::new(move || egress::connect_local(&socket));
            Keeping::Other { path: config.audit.log_path(home.path()), connect }
        }
        None => {
            let rotate_bytes = config.audit.rotate_mb.saturating_mul(1 << 20);
            Keeping::Own(LogOptions { rotate_bytes, ..LogOptions::default() })
        }
    }
}

/// Where the audit log is shipped to.
fn targets(config: &Config, vault: &Vault) -> Result<Vec<(String, Target)>, ShipError> {
    let make = |(name, target)| Ok((String::clone(name), Target::new(name, target, vault)?));
    config.audit.ship.iter().map(make).collect()
}

/// The main session exists from the first start on, so that a message only ever has to find it.
async fn ensure_main_session(core: &Arc<Core>) -> Result<(), StoreError> {
    let workspace = core.live().default_workspace.clone();
    if core.store.session_by_key(MAIN_SESSION)?.is_some() {
        return Ok(());
    }
    let new = NewSession { key: Some(MAIN_SESSION.to_owned()), title: "main".to_owned(), workspace };
    core.store.transact(move |tx| tx.create_session(new)).await.map(|_| ())
}

/// Must be the first thing in `main`: when this process was started as the inside of a sandbox, it never returns.
pub fn maybe_run_sandbox_init() {
    sandbox::maybe_run_init();
}
