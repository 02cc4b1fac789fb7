//! The door of one sandbox: an authority and placeholders of its own, and the proxy that serves its socket by the
//! workspace's rules as they are at the moment, and by the workspace's label as it is at each request. A session's door lives as long as its sandbox. A job's can be made again
//! by the next daemon, from what the job's supervisor keeps.

use std::{collections::BTreeMap, os::fd::OwnedFd, sync::Arc};

use egress::{BoundSecret, Custody, EgressPolicy, Limits, Placeholders, Preset, Proxy, SandboxCa, SandboxEgress, Who};
use sandbox::{Door, ProxyTrust, WayOut};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use types::{Integrity, SecretName, SessionId, WorkspaceName};

use super::ways::{Vendor, Way, Ways, Whose};

/// What records call the programs of a sandbox.
pub(super) const CLIENT: &str = "sandbox";

/// The way out of one job's sandbox.
pub(crate) struct JobDoor {
    /// Whose certificates its programs believe.
    pub trust: ProxyTrust,
    /// Environment variables with placeholders, the vendor's among them.
    pub env: BTreeMap<String, String>,
    /// The variable and the placeholder of the coding agent's vendor.
    pub vendor: Option<(String, String)>,
    /// What the job's supervisor keeps, so that the next daemon can make the same door.
    pub custody: Custody,
    egress: Arc<SandboxEgress>,
}

/// Whose door it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewDoor<'a> {
    /// The session, for records and labels.
    pub session: SessionId,
    /// The workspace whose rules hold.
    pub workspace: &'a WorkspaceName,
    /// The coding agent whose vendor may be reached; none for the owner's own shell.
    pub coder: Option<&'a str>,
}

impl NewDoor<'_> {
    pub(super) fn whose(&self) -> Whose {
        self.coder.map_or(Whose::Session, |coder| Whose::Coder(coder.to_owned()))
    }
}

impl JobDoor {
    /// Serves the sandbox's listening socket until `ending`; open connections are closed then, and later ones wait in the
    /// socket's queue for whoever serves it next. The caller joins it.
    pub async fn serve(&self, socket: OwnedFd, ending: CancellationToken) {
        serve(socket, self.egress.clone(), ending).await;
    }
}

async fn serve(socket: OwnedFd, egress: Arc<SandboxEgress>, ending: CancellationToken) {
    if let Err(error) = Proxy::serve(socket, egress, ending).await {
        tracing::error!(%error, "a sandbox's proxy ended; its programs reach nothing from here on");
    }
}

impl Ways {
    /// Makes the door for a session's sandbox in a workspace. Where the session is a job's, which its own loop works on, it is
    /// a job's too, unless somebody approved what is sent.
    pub(super) fn door(&self, session: SessionId, workspace: &WorkspaceName, way_out: WayOut) -> Result<Door, String> {
        let whose = match way_out {
            WayOut::Sending => Whose::Approved,
            WayOut::Reading => Whose::Job,
            WayOut::Usual => match self.store().job_of_session(session).map_err(|error| error.to_string())? {
                Some(_) => Whose::Job,
                None => Whose::Session,
            },
        };
        let only_reads = whose == Whose::Job;
        let policy = self.rules_of(workspace, whose)?;
        let placeholders = self.placeholders(&policy, None, only_reads)?;
        let ca = SandboxCa::new(self.clock().now()).map_err(|error| error.to_string())?;
        let (trust, env) = (trust(&ca, &policy), placeholders.environment());
        let egress = Arc::new(self.sandbox_egress(session, workspace, policy, ca, placeholders));
        let serve = move |socket, ending| -> types::BoxFuture<'static, ()> { Box::pin(serve(socket, egress, ending)) };
        Ok(Door { trust, env, serve: Box::new(serve) })
    }

    /// Makes the door for a job's new sandbox. The error is a sentence for the owner.
    pub(crate) fn job_door(&self, new: NewDoor<'_>) -> Result<JobDoor, String> {
        let vendor = self.vendor_of(new.coder)?;
        let policy = self.rules_of(new.workspace, new.whose())?;
        let placeholders = self.placeholders(&policy, vendor.as_ref(), new.coder.is_some())?;
        let ca = SandboxCa::new(self.clock().now()).map_err(|error| error.to_string())?;
        Ok(self.finished(new, vendor, policy, ca, placeholders))
    }

    /// Makes the door of a job's sandbox again, from what its supervisor kept: programs inside go on trusting what they
    /// trust, and hold what they hold. Rules and secrets are those of now. The error is a sentence for the owner.
    pub(crate) fn job_door_again(&self, new: NewDoor<'_>, custody: &[u8]) -> Result<JobDoor, String> {
        // A coding agent that is not configured any more has no vendor; what it asks for is refused, request by request.
        let vendor = new.coder.and_then(|coder| self.vendor(coder));
        let policy = self.rules_of(new.workspace, new.whose())?;
        let (ca, placeholders) = Custody::restore(custody).map_err(|error| error.to_string())?;
        Ok(self.finished(new, vendor, policy, ca, placeholders))
    }

    /// Makes the door for work of the daemon's own in a directory of its own: these presets and nothing else, whatever the
    /// configuration says. The error is a sentence for the owner.
    pub(crate) fn own_door(&self, client: &'static str, presets: &[Preset]) -> Result<JobDoor, String> {
        let policy = self.fixed(client, presets).map_err(|error| error.to_string())?;
        let placeholders = Placeholders::new([]).map_err(|error| error.to_string())?;
        let ca = SandboxCa::new(self.clock().now()).map_err(|error| error.to_string())?;
        let (trust, custody) = (trust(&ca, &policy), Custody::of(&ca, &placeholders));
        let who = Who { session: None, workspace: None, client };
        let egress = Arc::new(self.egress_of(who, Box::new(|| false), policy, ca, placeholders));
        Ok(JobDoor { trust, env: BTreeMap::new(), vendor: None, custody, egress })
    }

    fn finished(
        &self,
        new: NewDoor<'_>,
        vendor: Option<Vendor>,
        policy: watch::Receiver<Arc<EgressPolicy>>,
        ca: SandboxCa,
        placeholders: Placeholders,
    ) -> JobDoor {
        let shown = vendor.and_then(|vendor| {
            let text = placeholders.of(&vendor.secret?)?.to_owned();
            Some((vendor.variable?, text))
        });
        JobDoor {
            trust: trust(&ca, &policy),
            env: placeholders.environment(),
            vendor: shown,
            custody: Custody::of(&ca, &placeholders),
            egress: Arc::new(self.sandbox_egress(new.session, new.workspace, policy, ca, placeholders)),
        }
    }

    /// What the coding agent needs, with its secret in the vault and bound.
    fn vendor_of(&self, coder: Option<&str>) -> Result<Option<Vendor>, String> {
        let Some(name) = coder else { return Ok(None) };
        // Without a table of its own it may reach what its workspace allows.
        let Some(vendor) = self.vendor(name) else { return Ok(None) };
        let Some(secret) = &vendor.secret else { return Ok(Some(vendor)) };
        if !self.vault().contains(secret).map_err(|error| error.to_string())? {
            return Err(format!(
                "the secret `{secret}` of [coders.{name}] is missing; store it with `factotum secret set {secret}`"
            ));
        }
        let bound = self.vault().bound().map_err(|error| error.to_string())?;
        if !bound.iter().any(|one| one.name == *secret) {
            return Err(format!(
                "the secret `{secret}` of [coders.{name}] is bound to no host, or is dead; `factotum coder list` says \
                 how to bind it"
            ));
        }
        Ok(Some(vendor))
    }

    fn rules_of(&self, workspace: &WorkspaceName, whose: Whose) -> Result<watch::Receiver<Arc<EgressPolicy>>, String> {
        let way = Way { workspace: workspace.clone(), whose };
        self.policy(&way).map_err(|error| error.to_string())
    }

    /// New placeholders for the secrets that the rules allow, the vendor's in the variable of the coding agent. With
    /// `only_reads` there are none for what is bound to writing alone.
    fn placeholders(
        &self,
        policy: &watch::Receiver<Arc<EgressPolicy>>,
        vendor: Option<&Vendor>,
        only_reads: bool,
    ) -> Result<Placeholders, String> {
        let allowed = policy.borrow().judge.rules().secrets.clone();
        let bound = if allowed.is_empty() {
            Arc::default()
        } else {
            self.vault().bound().map_err(|error| error.to_string())?
        };
        let is_vendors =
            |secret: &BoundSecret| vendor.is_some_and(|vendor| vendor.secret.as_ref() == Some(&secret.name));
        let is_useful = |secret: &BoundSecret| {
            !only_reads || is_vendors(secret) || secret.bindings.iter().any(egress::Binding::reads)
        };
        let named = bound
            .iter()
            .filter(|secret| allowed.contains(&secret.name) && is_useful(secret))
            .map(|secret| (secret.name.clone(), variable(secret, vendor)))
            .collect::<Vec<(SecretName, Option<String>)>>();
        Placeholders::new(named).map_err(|error| error.to_string())
    }

    fn sandbox_egress(
        &self,
        session: SessionId,
        workspace: &WorkspaceName,
        policy: watch::Receiver<Arc<EgressPolicy>>,
        ca: SandboxCa,
        placeholders: Placeholders,
    ) -> SandboxEgress {
        let who = Who { session: Some(session.0), workspace: Some(workspace.to_string()), client: CLIENT };
        let (store, name) = (self.store().clone(), workspace.clone());
        let untainted = move || {
            let session = store.session(session).ok().flatten().map(|session| session.label);
            let files = store.workspace_label(&name).ok();
            [session, files].into_iter().all(|label| label.is_some_and(|label| label.integrity == Integrity::Trusted))
        };
        self.egress_of(who, Box::new(untainted), policy, ca, placeholders)
    }

    fn egress_of(
        &self,
        who: Who,
        untainted: Box<dyn Fn() -> bool + Send + Sync>,
        policy: watch::Receiver<Arc<EgressPolicy>>,
        ca: SandboxCa,
        placeholders: Placeholders,
    ) -> SandboxEgress {
        SandboxEgress {
            who,
            policy,
            untainted,
            placeholders,
            vault: self.vault().clone(),
            ca,
            log: self.log(),
            clock: self.clock().clone(),
            limits: Limits::default(),
        }
    }
}

/// The variable that shows a secret's placeholder.
fn variable(secret: &BoundSecret, vendor: Option<&Vendor>) -> Option<String> {
    match vendor {
        Some(vendor) if vendor.secret.as_ref() == Some(&secret.name) => vendor.variable.clone(),
        Some(_) | None => secret.env.as_ref().map(|env| env.as_str().to_owned()),
    }
}

fn trust(ca: &SandboxCa, policy: &watch::Receiver<Arc<EgressPolicy>>) -> ProxyTrust {
    let policy = policy.borrow();
    ProxyTrust {
        ca_pem: ca.pem(),
        // Where some TLS goes through unopened, programs meet the servers' own certificates.
        system_roots: policy.judge.rules().rules.iter().any(|rule| rule.pass_through && !rule.deny),
    }
}
