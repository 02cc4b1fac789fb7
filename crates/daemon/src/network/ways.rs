//! The rules in force, by workspace. A reload replaces them for everybody who holds a door: the proxies hear of it and close
//! what is no longer allowed.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use egress::{
    Ask, DayTally, EgressConfig, EgressError, EgressLog, EgressPolicy, EgressRules, Fetcher, Judge, Network, Preset,
    RuleError, Tally, Upstream, Vault, VaultCredentials, WebTarget, Who,
};
use sandbox::Doors;
use store::Store;
use tokio::sync::watch;
use types::{Clock, SecretName, SessionId, WorkspaceName};

use super::{records::Records, vendor::vendor_rules};
use crate::{Config, config::WebConfig, network_log::NetworkLog};

/// What records call the `fetch` tool.
const FETCH: &str = "fetch";

/// Whose way out it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    pub workspace: WorkspaceName,
    pub whose: Whose,
}

/// Which of the programs of a workspace have a way out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whose {
    /// Those of a session in it, and of a shell of the owner's own: all that its rules allow, or reading by them while the
    /// workspace holds foreign text that the owner does not trust.
    Session,
    /// A push that the owner approved: all that its rules allow.
    Approved,
    /// Those of a job, such as its done condition: reading by its rules.
    Job,
    /// A coding agent of this name with all that it starts: reading by its rules, and asking its vendor's models.
    Coder(String),
}

/// The ways out of all workspaces. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ways(Arc<Inner>);

struct Inner {
    store: Store,
    vault: Vault,
    clock: Arc<dyn Clock>,
    log: Arc<dyn EgressLog>,
    /// The API's own sockets, which no rule opens.
    guarded: Vec<SocketAddr>,
    /// A network in place of the machine's own, for tests.
    played: Option<Network>,
    /// Held while rules are put in force or asked for the first time, so that neither overtakes the other.
    changing: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    plan: Option<Arc<Planned>>,
    /// Made when first needed, since reading the machine's authorities takes milliseconds that most starts can do without.
    upstreams: BTreeMap<Vec<PathBuf>, Upstream>,
    policies: BTreeMap<Way, watch::Sender<Arc<EgressPolicy>>>,
    /// By workspace and client, so that a day's count outlives a reload.
    tallies: BTreeMap<(WorkspaceName, &'static str), Arc<DayTally>>,
}

/// A configuration's ways, checked and not in force.
pub(crate) struct Planned {
    network: Network,
    sandboxes: BTreeMap<WorkspaceName, Arc<EgressRules>>,
    fetches: BTreeMap<WorkspaceName, Arc<EgressRules>>,
    /// What each coding agent may reach beside its workspace's rules.
    coders: BTreeMap<String, Vendor>,
    web: WebConfig,
    /// For a workspace without rules of its own, such as the one that exists when none is configured.
    fetches_else: Arc<EgressRules>,
}

/// What a coding agent needs of its vendor.
#[derive(Clone, Debug, Default)]
pub(super) struct Vendor {
    /// What it may reach.
    pub rules: EgressRules,
    /// The secret that its requests carry.
    pub secret: Option<SecretName>,
    /// Where it looks for what stands for the secret.
    pub variable: Option<String>,
}

/// Why a configuration's ways cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WaysError {
    /// A rule makes no sense.
    #[error("workspaces.{workspace}.egress: {source}")]
    Rules { workspace: String, source: RuleError },
    /// A coding agent's address makes no sense.
    #[error("coders.{coder}.base_url: {why}")]
    Coder { coder: String, why: String },
    /// The `fetch` tool's rules make no sense.
    #[error("web: {0}")]
    Web(RuleError),
    /// A prefix of `[network]` is none.
    #[error("network.nat64_prefixes: `{0}` is not a NAT64 prefix")]
    Prefix(String),
    /// The certificate authorities cannot be used.
    #[error("{}", .0.message)]
    Authorities(EgressError),
}

impl Ways {
    pub fn new(
        store: Store,
        vault: Vault,
        clock: Arc<dyn Clock>,
        log: NetworkLog,
        guarded: Vec<SocketAddr>,
        played: Option<Network>,
    ) -> Self {
        let log = Arc::new(Records::new(log, store.clone()));
        let (changing, state) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { store, vault, clock, log, guarded, played, changing, state }))
    }

    /// Checks the ways of a configuration, so that a mistake changes nothing.
    pub fn plan(&self, config: &Config) -> Result<Planned, WaysError> {
        let nat64 = config.network.nat64().map_err(WaysError::Prefix)?;
        let system = || Network::system(config.network.public_addresses.clone(), nat64, self.0.guarded.clone());
        let network = self.0.played.clone().unwrap_or_else(system);
        let mut planned = Planned {
            network,
            sandboxes: BTreeMap::new(),
            fetches: BTreeMap::new(),
            coders: BTreeMap::new(),
            web: config.web.clone(),
            fetches_else: Arc::new(of_web(&EgressConfig::default(), &config.web).map_err(WaysError::Web)?),
        };
        for (name, workspace) in &config.workspaces {
            let mistake = |source| WaysError::Rules { workspace: name.clone(), source };
            // The configuration was checked, so each key is a valid name.
            let Ok(name) = WorkspaceName::new(name.as_str()) else { continue };
            planned.sandboxes.insert(name.clone(), Arc::new(workspace.egress.rules().map_err(mistake)?));
            planned.fetches.insert(name, Arc::new(of_web(&workspace.egress, &config.web).map_err(mistake)?));
        }
        for (name, coder) in &config.coders {
            let rules = vendor_rules(name, coder).map_err(|why| WaysError::Coder { coder: name.clone(), why })?;
            let variable = coder.variable(name).map(str::to_owned);
            planned.coders.insert(name.clone(), Vendor { rules, secret: coder.secret.clone(), variable });
        }
        for files in planned.authorities() {
            self.upstream(files).map_err(WaysError::Authorities)?;
        }
        Ok(planned)
    }

    /// Puts a plan in force, also for sandboxes that run.
    pub fn replace(&self, planned: Planned) {
        let planned = Arc::new(planned);
        let _turn = self.turn();
        let ways: Vec<Way> = {
            let mut state = self.state();
            state.plan = Some(planned.clone());
            // What the new configuration needs is read again, in case the files changed.
            state.upstreams.retain(|files, _| files.is_empty());
            state.policies.keys().cloned().collect()
        };
        for way in ways {
            match self.build(&planned, &way) {
                Ok(policy) => {
                    if let Some(sender) = self.state().policies.get(&way) {
                        sender.send_replace(Arc::new(policy));
                    }
                }
                Err(error) => {
                    // Without a sender the proxies keep their old rules; a workspace must rather reach nothing.
                    tracing::error!(error = %error.message, workspace = %way.workspace, "its way out cannot be built and is closed");
                    self.close(&way);
                }
            }
        }
    }

    /// Who makes the doors of sandboxes.
    pub fn doors(&self) -> Doors {
        let ways = self.clone();
        Arc::new(move |session, workspace, way_out| ways.door(session, workspace, way_out))
    }

    /// The rules of a workspace's programs, or of a coding agent in it, as they change.
    pub(super) fn policy(&self, way: &Way) -> Result<watch::Receiver<Arc<EgressPolicy>>, EgressError> {
        let _turn = self.turn();
        if let Some(sender) = self.state().policies.get(way) {
            return Ok(sender.subscribe());
        }
        loop {
            let planned = self.planned();
            let policy = Arc::new(self.build(&planned, way)?);
            let mut state = self.state();
            // A reload in between has not seen this way, so that the old plan would stay in force for it.
            if state.plan.as_ref().is_some_and(|now| !Arc::ptr_eq(now, &planned)) {
                continue;
            }
            return Ok(state.policies.entry(way.clone()).or_insert_with(|| watch::Sender::new(policy)).subscribe());
        }
    }

    /// Rules that do not change: these presets and nothing else.
    pub(super) fn fixed(
        &self,
        client: &'static str,
        presets: &[Preset],
    ) -> Result<watch::Receiver<Arc<EgressPolicy>>, EgressError> {
        let config = EgressConfig { presets: presets.to_vec(), ..EgressConfig::default() };
        // Presets are tested; a mistake in one reaches nothing.
        let rules = Arc::new(config.rules().unwrap_or_default());
        let tally = Arc::new(DayTally::new(self.0.clock.clone()));
        let judge = Judge::new(rules, self.planned().network.clone(), tally);
        tracing::debug!(client, "a door with rules of its own is made");
        let policy = EgressPolicy { judge, tainted: None, upstream: self.upstream(&[])? };
        Ok(watch::Sender::new(Arc::new(policy)).subscribe())
    }

    /// Fetches for a session in a workspace: the workspace's own rules, then those of `[web]`.
    pub fn web(&self, session: SessionId, workspace: &WorkspaceName) -> Result<tools::Web, String> {
        let planned = self.planned();
        let rules = planned.fetches.get(workspace).unwrap_or(&planned.fetches_else).clone();
        let upstream = self.upstream(&rules.extra_ca).map_err(|error| error.message)?;
        let credentials = Arc::new(VaultCredentials::new(self.0.vault.clone(), rules.secrets.clone()));
        let judge = Judge::new(rules.clone(), planned.network.clone(), self.tally(workspace, FETCH));
        let who = Who { session: Some(session.0), workspace: Some(workspace.to_string()), client: FETCH };
        let fetcher = Fetcher::new(judge, upstream, self.log(), Some(credentials), who);
        let max_bytes = usize::try_from(planned.web.max_kib.saturating_mul(1024)).unwrap_or(usize::MAX);
        Ok(tools::Web { fetcher, rules, max_bytes, timeout: Duration::from_secs(planned.web.timeout_s) })
    }

    /// Whether a coding agent in a workspace may look at an address; why not, in words.
    pub fn may_reach(&self, workspace: &WorkspaceName, coder: &str, web: &WebTarget) -> Result<(), String> {
        let way = Way { workspace: workspace.clone(), whose: Whose::Coder(coder.to_owned()) };
        let policy = self.policy(&way).map_err(|error| error.message)?;
        let ask = Ask {
            scheme: web.scheme,
            target: &web.target,
            method: "GET",
            path: &web.path,
            has_body: false,
            upgrade: false,
            has_secret: false,
        };
        let policy = policy.borrow();
        policy.judge.rules().request(&ask).map(drop).map_err(|reason| reason.to_string())
    }

    /// What the coding agent of this name needs of its vendor; none when no such one is configured.
    pub(super) fn vendor(&self, coder: &str) -> Option<Vendor> {
        self.planned().coders.get(coder).cloned()
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn vault(&self) -> &Vault {
        &self.0.vault
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    pub(super) fn log(&self) -> Arc<dyn EgressLog> {
        self.0.log.clone()
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.0.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn planned(&self) -> Arc<Planned> {
        let plan = self.state().plan.clone();
        // Before the first plan nothing may be reached.
        plan.unwrap_or_else(|| Arc::new(Planned::closed(self.0.guarded.clone())))
    }

    fn build(&self, planned: &Planned, way: &Way) -> Result<EgressPolicy, EgressError> {
        let rules = planned.rules(way);
        let upstream = self.upstream(&rules.extra_ca)?;
        let is_closing = way.whose == Whose::Session && !rules.trust_foreign;
        let judge = Judge::new(rules, planned.network.clone(), self.tally(&way.workspace, super::door::CLIENT));
        let tainted = is_closing.then(|| judge.reading());
        Ok(EgressPolicy { judge, tainted, upstream })
    }

    fn upstream(&self, extra_ca: &[PathBuf]) -> Result<Upstream, EgressError> {
        if let Some(upstream) = self.state().upstreams.get(extra_ca) {
            return Ok(upstream.clone());
        }
        let upstream = Upstream::new(extra_ca)?;
        self.state().upstreams.insert(extra_ca.to_vec(), upstream.clone());
        Ok(upstream)
    }

    fn tally(&self, name: &WorkspaceName, client: &'static str) -> Arc<dyn Tally> {
        let new = || Arc::new(DayTally::new(self.0.clock.clone()));
        self.state().tallies.entry((name.clone(), client)).or_insert_with(new).clone()
    }

    fn close(&self, way: &Way) {
        if let Some(sender) = self.state().policies.get(way) {
            let closed = |policy: &mut Arc<EgressPolicy>| {
                let network = Network::system(Vec::new(), Vec::new(), self.0.guarded.clone());
                let tally = Arc::new(DayTally::new(self.0.clock.clone()));
                let judge = Judge::new(Arc::default(), network, tally);
                *policy = Arc::new(EgressPolicy { judge, tainted: None, upstream: policy.upstream.clone() });
            };
            sender.send_modify(closed);
        }
    }
}

impl Planned {
    fn closed(guarded: Vec<SocketAddr>) -> Self {
        Self {
            network: Network::system(Vec::new(), Vec::new(), guarded),
            sandboxes: BTreeMap::new(),
            fetches: BTreeMap::new(),
            coders: BTreeMap::new(),
            web: WebConfig::default(),
            fetches_else: Arc::default(),
        }
    }

    /// The rules of a way: those of its workspace, then those of the coding agent's vendor. One that is not configured
    /// (any more) has none.
    fn rules(&self, way: &Way) -> Arc<EgressRules> {
        let own = self.sandboxes.get(&way.workspace).cloned().unwrap_or_default();
        let coder = match &way.whose {
            Whose::Session | Whose::Approved => return own,
            Whose::Job => None,
            Whose::Coder(name) => Some(name),
        };
        let mut rules = EgressRules::clone(&own).reading();
        let Some(vendor) = coder.and_then(|name| self.coders.get(name)) else { return Arc::new(rules) };
        rules.rules.extend(vendor.rules.rules.iter().cloned());
        rules.secrets.extend(vendor.rules.secrets.iter().cloned());
        rules.extra_ca.extend(vendor.rules.extra_ca.iter().cloned());
        Arc::new(rules)
    }

    /// The lists of authorities that the owner named.
    fn authorities(&self) -> impl Iterator<Item = &[PathBuf]> {
        let own = self.sandboxes.values().chain(self.fetches.values()).chain([&self.fetches_else]);
        let all = own.map(AsRef::as_ref).chain(self.coders.values().map(|vendor| &vendor.rules));
        all.map(|rules: &EgressRules| rules.extra_ca.as_slice()).filter(|files| !files.is_empty())
    }
}

/// The rules of the `fetch` tool in a workspace. What the owner denies comes first in any case.
fn of_web(own: &EgressConfig, web: &WebConfig) -> Result<EgressRules, RuleError> {
    let mut config = own.clone();
    config.rules.extend(web.rules());
    config.extra_ca.extend(web.extra_ca.iter().cloned());
    let rules = config.rules()?;
    Ok(if web.is_open() { EgressRules::public_web(rules, true) } else { rules })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::traffic::Traffic;

    fn ways() -> (tempfile::TempDir, Ways) {
        let home = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(crate::SystemClock::new());
        let store = Store::in_memory(clock.clone()).unwrap();
        let log = NetworkLog::new(store.clone(), clock.clone(), Traffic::default());
        let vault = Vault::open(home.path()).unwrap();
        (home, Ways::new(store, vault, clock, log, Vec::new(), None))
    }

    fn replace(ways: &Ways, more: &str) {
        let text = format!("[workspaces.billing]\npath = \"/srv/billing\"\n[workspaces.billing.egress]\n{more}");
        let config: Config = toml::from_str(&text).unwrap();
        ways.replace(ways.plan(&config).unwrap());
    }

    #[test]
    fn a_session_and_a_shell_only_read_what_an_approved_push_may_send() {
        let (_home, ways) = ways();
        let rule = "[[workspaces.billing.egress.rules]]\nhost = \"site.test\"\nmethods = [\"POST\"]\n";
        replace(&ways, rule);
        let name = WorkspaceName::new("billing").unwrap();
        let of = |whose: Whose| ways.policy(&Way { workspace: name.clone(), whose }).unwrap();
        let is_reading = |judge: &Judge| judge.rules().rules.iter().all(|rule| rule.only_reads);
        let (session, approved) = (of(Whose::Session), of(Whose::Approved));
        assert!(session.borrow().tainted.as_ref().is_some_and(is_reading));
        assert!(approved.borrow().tainted.is_none() && !is_reading(&approved.borrow().judge));
        assert!(is_reading(&of(Whose::Job).borrow().judge));
        // A sandbox that runs follows the owner's word.
        replace(&ways, &format!("trust_foreign = true\n{rule}"));
        assert!(session.borrow().tainted.is_none());
        assert!(is_reading(&of(Whose::Job).borrow().judge), "a job only reads, whatever is trusted");
        let shell = crate::network::NewDoor { session: SessionId(1), workspace: &name, coder: None };
        assert_eq!(shell.whose(), Whose::Session);
    }
}
