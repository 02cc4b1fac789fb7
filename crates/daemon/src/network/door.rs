//! The door of one sandbox: an authority and placeholders of its own, and the proxy that serves its socket by the
//! workspace's rules as they are at the moment.

use std::sync::Arc;

use egress::{EgressPolicy, Limits, Placeholders, Proxy, SandboxCa, SandboxEgress, Who};
use sandbox::{Door, ProxyTrust};
use types::{Integrity, SessionId, WorkspaceName};

use super::ways::Ways;

/// What records call the programs of a sandbox.
pub(super) const CLIENT: &str = "sandbox";

impl Ways {
    /// Makes the door for a session's sandbox in a workspace.
    pub(super) fn door(&self, session: SessionId, workspace: &WorkspaceName) -> Result<Door, String> {
        let policy = self.policy(workspace).map_err(|error| error.to_string())?;
        let egress = Arc::new(self.sandbox_egress(session, workspace, policy)?);
        let rules = egress.policy.borrow().judge.rules().clone();
        let trust = ProxyTrust {
            ca_pem: egress.ca.pem(),
            // Where some TLS goes through unopened, programs meet the servers' own certificates.
            system_roots: rules.rules.iter().any(|rule| rule.pass_through && !rule.deny),
        };
        let env = egress.placeholders.environment();
        let serve = move |socket, ending| -> types::BoxFuture<'static, ()> {
            Box::pin(async move {
                if let Err(error) = Proxy::serve(socket, egress, ending).await {
                    tracing::error!(%error, "a sandbox's proxy ended; its programs reach nothing from here on");
                }
            })
        };
        Ok(Door { trust, env, serve: Box::new(serve) })
    }

    fn sandbox_egress(
        &self,
        session: SessionId,
        workspace: &WorkspaceName,
        policy: tokio::sync::watch::Receiver<Arc<EgressPolicy>>,
    ) -> Result<SandboxEgress, String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let allowed = policy.borrow().judge.rules().secrets.clone();
        let bound =
            if allowed.is_empty() { Arc::default() } else { self.vault().bound().map_err(|error| words(&error))? };
        let usable = bound.iter().filter(|secret| allowed.contains(&secret.name));
        let named = usable.map(|secret| (secret.name.clone(), secret.env.as_ref().map(|env| env.as_str().to_owned())));
        let who = Who { session: Some(session.0), workspace: Some(workspace.to_string()), client: CLIENT };
        let (store, name) = (self.store().clone(), workspace.clone());
        let untainted = move || {
            let session = store.session(session).ok().flatten().map(|session| session.label);
            let files = store.workspace_label(&name).ok();
            [session, files].into_iter().all(|label| label.is_some_and(|label| label.integrity == Integrity::Trusted))
        };
        Ok(SandboxEgress {
            who,
            policy,
            untainted: Box::new(untainted),
            placeholders: Placeholders::new(named).map_err(|error| words(&error))?,
            vault: self.vault().clone(),
            ca: SandboxCa::new(self.clock().now()).map_err(|error| words(&error))?,
            log: self.log(),
            clock: self.clock().clone(),
            limits: Limits::default(),
        })
    }
}
