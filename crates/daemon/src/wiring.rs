//! From the configuration to what a turn needs: provider, tools, rules, limits and the hook that saves a workspace
//! before it is written to. Done at the start and again at a reload.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    sync::Arc,
};

use agent::{BeforeWrite, Begun, Deps, Ready, Redaction, RulesInForce, Seen, Sent, Settings, Toolbox, WorkspaceState};
use channels::{TelegramChannel, telegram};
use egress::Vault;
use policy::{Act, Rules, decide_own};
use sandbox::{Pool, Snapshots, Workspace};
use store::Store;
use types::{
    BoxFuture, Clock, Event, Failure, FailureKind, Invariant, Provider, SecretName, SessionId, TurnId, WorkspaceName,
};

use crate::{
    Config, Home,
    config::ShipConfig,
    core::{Core, Live, Workspaces},
    jobs,
    leaks::Leaks,
    models,
    network::{Ways, WaysError},
    practice,
    ship::Shipping,
    traffic::Traffic,
};

/// The workspace that exists when none is configured.
const DEFAULT_WORKSPACE: &str = "main";

/// What the daemon has before it has a configuration in force.
#[derive(Clone)]
pub(crate) struct Ground {
    pub home: Home,
    pub clock: Arc<dyn Clock>,
    pub store: Store,
    pub vault: Vault,
    pub leaks: Leaks,
    pub pool: Arc<Pool>,
    pub snapshots: Snapshots,
    pub shipping: Shipping,
    pub traffic: Traffic,
    /// Filled by [`build`]. The tools look workspaces up here, so a reload reaches them.
    pub workspaces: Workspaces,
    /// The owner's rules. Turns that run hold them too, so that a reload reaches their next call.
    pub rules: RulesInForce,
    /// What sessions may reach; [`build`] puts the configuration's rules in force.
    pub ways: Ways,
    /// The daemon that is built on this, for tools that ask it for something.
    pub late: jobs::Late,
    /// A provider in place of the configured one.
    pub provider: Option<Arc<dyn Provider>>,
}

/// Why a valid configuration cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// A secret that the configuration names is not in the vault.
    #[error("the secret `{name}` is missing; {wanted_by} needs it")]
    MissingSecret {
        /// The secret.
        name: SecretName,
        /// Which part of the configuration.
        wanted_by: String,
    },
    /// The vault cannot be read.
    #[error(transparent)]
    Vault(#[from] egress::VaultError),
    /// A provider's settings do not work.
    #[error(transparent)]
    Provider(#[from] providers::ProviderConfigError),
    /// A channel's settings do not work.
    #[error("channel {channel}: {source}")]
    Channel {
        /// The channel.
        channel: String,
        /// Why.
        source: telegram::ConfigError,
    },
    /// A workspace cannot be used.
    #[error("workspaces.{name}.path: {source}")]
    Workspace {
        /// The workspace.
        name: WorkspaceName,
        /// Why.
        source: sandbox::SandboxError,
    },
    /// Commands could reach the agent's own home.
    #[error("{setting}: {} holds or lies in factotum's home {}, with the secrets and the journal", .path.display(), .home.display())]
    Reachable {
        /// The key in the configuration.
        setting: String,
        /// The directory that it names.
        path: PathBuf,
        /// The home.
        home: PathBuf,
    },
    /// Commands could change the copy of the audit log.
    #[error("audit.ship.{target}.path: {} lies in the workspace {name}, whose commands could change it", .path.display())]
    ShippedInto {
        /// The target.
        target: String,
        /// Its directory.
        path: PathBuf,
        /// The workspace.
        name: String,
    },
    /// A workspace's directory cannot be made.
    #[error("the workspace {path} cannot be made: {source}")]
    MakeWorkspace {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What workspaces may reach cannot be put in force.
    #[error("{0}")]
    Ways(String),
    /// The toy project cannot be written.
    #[error("the practice project cannot be written: {0}")]
    Practice(#[from] practice::PracticeError),
}

impl From<WaysError> for WiringError {
    fn from(error: WaysError) -> Self {
        Self::Ways(error.to_string())
    }
}

impl WiringError {
    /// What the owner sees.
    pub fn failure(&self) -> Failure {
        let hint = match self {
            Self::MissingSecret { name, .. } => {
                format!("store it with `factotum secret set {name}` (it reads standard input)")
            }
            Self::Vault(_) => "look at the files `vault` and `vault.key` in the home directory".to_owned(),
            Self::Provider(_) | Self::Channel { .. } => "mend it in config.toml; `factotum config check`".to_owned(),
            Self::Workspace { name, source } => {
                let change = format!("make the directory, or change [workspaces.{name}] in config.toml");
                source.hint().map_or(change.clone(), |hint| format!("{change}; {hint}"))
            }
            Self::ShippedInto { .. } => "name a directory outside of every workspace".to_owned(),
            Self::Ways(_) => "mend it in config.toml; `factotum config check`".to_owned(),
            Self::Reachable { .. } => "name a directory apart from it, or move the home with --home".to_owned(),
            Self::MakeWorkspace { .. } | Self::Practice(_) => "look at the permissions and the free space".to_owned(),
        };
        Failure { kind: FailureKind::Config, error: self.to_string(), hint: Some(hint) }
    }
}

/// Builds what a reload replaces, from a running daemon.
pub(crate) fn live(core: &Core, config: Config) -> Result<Live, WiringError> {
    build(&core.ground, config)
}

/// Builds what turns need, and opens the workspaces.
pub(crate) fn build(ground: &Ground, config: Config) -> Result<Live, WiringError> {
    require_secrets(&config, &ground.vault, &[])?;
    require_apart(&ground.home, &config)?;
    let practising = config.model().is_none() && ground.provider.is_none();
    let (workspaces, default_workspace) = workspaces(ground, &config, practising)?;
    let models = models::of(&config, &ground.vault, ground.provider.as_ref())?;
    let model = models.first().name.clone();
    let deps = Deps {
        store: ground.store.clone(),
        models,
        tools: toolbox(ground, &config),
        rules: ground.rules.clone(),
        redactor: redaction(ground.vault.clone()),
        seen: seen(ground.leaks.clone()),
        clock: ground.clock.clone(),
        settings: settings(&config),
        before_write: before_write(ground.clone()),
        ready: ready(ground.shipping.clone()),
        workspace_state: workspace_state(ground.clone()),
        sent: sent(ground.traffic.clone()),
        begun: Begun::default(),
    };
    let planned = ground.ways.plan(&config)?;
    // Nothing can fail from here on, so a mistake above has changed nothing.
    ground.ways.replace(planned);
    ground.workspaces.replace(workspaces);
    ground.rules.set(rules(&config));
    Ok(Live { config, model, deps: Arc::new(deps), default_workspace })
}

/// Every secret that the configuration names must be there, or among those that are `coming`: better told at the start
/// than at the first message.
pub(crate) fn require_secrets(config: &Config, vault: &Vault, coming: &[SecretName]) -> Result<(), WiringError> {
    let used = models::providers(config);
    let keys = config.providers.iter().filter(|(name, _)| used.contains(name.as_str())).flat_map(|(name, provider)| {
        provider.all_keys().into_iter().map(move |key| (key, format!("[providers.{name}]")))
    });
    let tokens = config
        .channels
        .telegram
        .iter()
        .map(|(name, telegram)| (telegram.token.clone(), format!("[channels.telegram.{name}]")));
    let shipped = config.audit.ship.iter().filter_map(|(name, target)| match target {
        ShipConfig::Https { secret: Some(secret), .. } => Some((secret.clone(), format!("[audit.ship.{name}]"))),
        ShipConfig::Https { secret: None, .. } | ShipConfig::Directory { .. } | ShipConfig::Syslog { .. } => None,
    });
    for (name, wanted_by) in keys.chain(tokens).chain(shipped) {
        if !coming.contains(&name) && !vault.contains(&name)? {
            return Err(WiringError::MissingSecret { name, wanted_by });
        }
    }
    Ok(())
}

/// Builds what the configuration names and throws it away, so that whatever would stop the start is told before.
/// Secrets that are `coming` count as stored.
pub(crate) fn try_out(home: &Home, config: &Config, vault: &Vault, coming: &[SecretName]) -> Result<(), WiringError> {
    require_apart(home, config)?;
    for (name, workspace) in &config.workspaces {
        let Ok(name) = WorkspaceName::new(name.as_str()) else { continue };
        open_workspace(name, &workspace.path)?;
    }
    models::of(config, vault, None)?;
    for (name, telegram) in &config.channels.telegram {
        bot(name, telegram, vault)?;
    }
    require_secrets(config, vault, coming)
}

/// One Telegram bot of the configuration.
pub(crate) fn bot(name: &str, telegram: &telegram::Config, vault: &Vault) -> Result<TelegramChannel, WiringError> {
    TelegramChannel::new(name, telegram.clone(), vault.clone())
        .map_err(|source| WiringError::Channel { channel: format!("telegram/{name}"), source })
}

/// Who may use a bot, as messengers name people.
pub(crate) fn allowed(telegram: &telegram::Config) -> Vec<String> {
    telegram.allow.iter().map(ToString::to_string).collect()
}

/// Nothing that commands may see holds the home or lies in it, wherever the owner put it. A directory that does not exist
/// is reported elsewhere.
pub(crate) fn require_apart(home: &Home, config: &Config) -> Result<(), WiringError> {
    let workspaces = config.workspaces.iter().map(|(name, one)| (format!("workspaces.{name}.path"), &one.path));
    let mounts = config.sandbox.read_only.iter().map(|path| ("sandbox.read_only".to_owned(), path));
    for (setting, path) in workspaces.chain(mounts) {
        if Invariant::ControlFilesClosed.is_broken() {
            return Ok(());
        }
        if path.canonicalize().is_ok_and(|dir| home.is_reachable_from(&dir)) {
            return Err(WiringError::Reachable { setting, path: path.clone(), home: home.path().to_owned() });
        }
    }
    for (target, shipped) in &config.audit.ship {
        let ShipConfig::Directory { path, .. } = shipped else { continue };
        // It may not exist yet; then what will hold it counts.
        let place = path.ancestors().find_map(|dir| dir.canonicalize().ok()).unwrap_or_else(|| path.clone());
        for (name, workspace) in &config.workspaces {
            if workspace.path.canonicalize().is_ok_and(|workspace| place.starts_with(workspace)) {
                let (target, name) = (target.clone(), name.clone());
                return Err(WiringError::ShippedInto { target, path: path.clone(), name });
            }
        }
    }
    Ok(())
}

/// Opens the configured workspaces, or makes the one that a newcomer works in.
fn workspaces(
    ground: &Ground,
    config: &Config,
    practising: bool,
) -> Result<(BTreeMap<WorkspaceName, Workspace>, WorkspaceName), WiringError> {
    let mut open = BTreeMap::new();
    for (name, workspace) in &config.workspaces {
        // The configuration was checked, so each key is a valid name.
        let Ok(name) = WorkspaceName::new(name.as_str()) else { continue };
        open.insert(name.clone(), open_workspace(name, &workspace.path)?);
    }
    let own = if practising { Some(practice::name()) } else { None };
    let own = own.or_else(|| open.is_empty().then(|| WorkspaceName::new(DEFAULT_WORKSPACE).ok()).flatten());
    if let Some(name) = &own
        && !open.contains_key(name)
    {
        let path = ground.home.workspace(name.as_str());
        make_directory(&path)?;
        let workspace = open_workspace(name.clone(), &path)?;
        if practising {
            practice::create(&workspace)?;
        }
        open.insert(name.clone(), workspace);
    }
    let first = own.filter(|_| practising).or_else(|| config.agent.workspace.clone());
    let first = first.or_else(|| open.keys().next().cloned()).unwrap_or_else(practice::name);
    Ok((open, first))
}

fn open_workspace(name: WorkspaceName, path: &Path) -> Result<Workspace, WiringError> {
    Workspace::open(name.clone(), path).map_err(|source| WiringError::Workspace { name, source })
}

fn make_directory(path: &Path) -> Result<(), WiringError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| WiringError::MakeWorkspace { path: path.to_owned(), source })
}

fn toolbox(ground: &Ground, config: &Config) -> Toolbox {
    let toolbox = Toolbox::new(tools(ground));
    if config.agent.reader_bits == 0 { toolbox } else { toolbox.with_reader() }
}

fn settings(config: &Config) -> Settings {
    Settings {
        limits: config.budget.limits(),
        reader_bits: config.agent.reader_bits,
        alarms: config.alarms.rules(),
        approval_timeout: config.agent.approval_timeout(),
        system: agent::system_prompt().into(),
    }
}

/// The owner's rules. Their version changes with their content, and with it every open question's hash.
fn rules(config: &Config) -> Rules {
    let mut hasher = DefaultHasher::new();
    for (tool, rule) in &config.tools {
        (tool, format!("{rule:?}")).hash(&mut hasher);
    }
    // The store keeps numbers as signed ones.
    Rules { tools: config.tools.clone(), version: hasher.finish() >> 1 }
}

fn tools(ground: &Ground) -> Vec<Arc<dyn types::Tool<policy::Grant>>> {
    let of = ground.clone();
    let find = move |session, name: &WorkspaceName| of.files(session, name).ok().map(|(workspace, _)| workspace);
    let ways = ground.ways.clone();
    let web = move |session, name: &WorkspaceName| ways.web(session, name);
    let mut all = tools::builtin(ground.store.clone(), ground.pool.clone(), Arc::new(find), Arc::new(web));
    all.push(tools::job(jobs::tool(ground.late.clone()), jobs::plan_of(ground.late.clone())));
    all
}

/// Masks every known secret. The vault is asked each time, because secrets may be added while the daemon runs.
fn redaction(vault: Vault) -> Redaction {
    Arc::new(move || vault.redactor())
}

/// Tells the owner of secrets in the output of tools.
fn seen(leaks: Leaks) -> Seen {
    Arc::new(move |sighting| {
        let leaks = leaks.clone();
        Box::pin(async move { leaks.seen(sighting).await })
    })
}

/// Whether a call may have an effect at all, at this moment.
fn ready(shipping: Shipping) -> Ready {
    Arc::new(move || shipping.ready())
}

/// What a session has sent out since its turn began.
fn sent(traffic: Traffic) -> Sent {
    Arc::new(move |session| traffic.sent(session))
}

/// Saves the workspace before a turn first writes to it.
fn before_write(ground: Ground) -> BeforeWrite {
    Arc::new(move |turn: TurnId, workspace: WorkspaceName| {
        let ground = ground.clone();
        let saved: BoxFuture<'static, Result<(), String>> =
            Box::pin(async move { save(&ground, turn, workspace).await });
        saved
    })
}

/// The state of a workspace: what a snapshot of now is called. An unchanged workspace has the name of its last one.
fn workspace_state(ground: Ground) -> WorkspaceState {
    Arc::new(move |session, workspace: WorkspaceName| {
        let ground = ground.clone();
        Box::pin(async move { snapshot(&ground, session, &workspace).await })
    })
}

impl Ground {
    /// The files on which a session works, and where they are saved: a workspace, or the tree of the job that our own loop works
    /// on in this session, which is saved beside it and removed with it.
    fn files(&self, session: SessionId, name: &WorkspaceName) -> Result<(Workspace, Snapshots), String> {
        let Some(job) = jobs::own_tree(&self.store, &self.home, session).map_err(|error| error.to_string())? else {
            let workspace =
                self.workspaces.get(name).ok_or_else(|| format!("workspace {name} is no longer configured"))?;
            return Ok((workspace, self.snapshots.clone()));
        };
        let gone = |error: &dyn std::fmt::Display| format!("the tree of this session's job cannot be used: {error}");
        let tree = Workspace::open(name.clone(), &job.join("tree")).map_err(|error| gone(&error))?;
        let snapshots = self.snapshots.beside(&job).map_err(|error| gone(&error))?;
        Ok((tree, snapshots))
    }
}

async fn snapshot(ground: &Ground, session: SessionId, name: &WorkspaceName) -> Result<String, String> {
    let (workspace, snapshots) = ground.files(session, name)?;
    let take = move || snapshots.take(&decide_own(Act::Snapshot, workspace.name.clone()), &workspace);
    let taken = tokio::task::spawn_blocking(take).await.map_err(|_| "saving the workspace broke off".to_owned())?;
    taken.map_err(|error| format!("the workspace cannot be saved before it is changed: {error}"))
}

async fn save(ground: &Ground, turn: TurnId, name: WorkspaceName) -> Result<(), String> {
    let already = ground.store.snapshots(&name).map_err(|error| error.to_string())?;
    if already.iter().any(|row| row.turn == Some(turn)) {
        // A turn that a restart interrupted: its first snapshot is the one to go back to.
        return Ok(());
    }
    let session = ground.store.turn(turn).map_err(|error| error.to_string())?.map(|turn| turn.session);
    let session = session.ok_or_else(|| format!("turn {turn} is missing"))?;
    if jobs::own_tree(&ground.store, &ground.home, session).map_err(|error| error.to_string())?.is_some() {
        // A job's tree is a clone: what it began with is in the workspace's repository.
        return Ok(());
    }
    let manifest = snapshot(ground, session, &name).await?;
    let record = move |tx: &mut store::Tx<'_>| {
        let snapshot = tx.add_snapshot(&name, Some(turn), manifest)?;
        tx.record(None, Some(turn), Event::SnapshotTaken { snapshot, workspace: name.clone() })
    };
    ground.store.transact(record).await.map(|_| ()).map_err(|error| error.to_string())
}
