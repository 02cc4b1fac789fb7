//! What a connection is busy with, and whether that is still allowed: a change of rules or of the vault acts on what is
//! open. Must not judge anything new.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;
use types::{Invariant, SecretName};

use super::{EgressPolicy, SandboxEgress};
use crate::{
    path::RequestPath,
    rules::Ask,
    target::{Scheme, Target},
};

/// How often the vault is asked about the secrets of a request that is under way.
const VAULT_EVERY: Duration = Duration::from_millis(400);

/// A request under way.
#[derive(Clone, Debug)]
pub(super) struct Active {
    pub scheme: Scheme,
    pub target: Target,
    pub method: String,
    pub path: RequestPath,
    pub has_body: bool,
    pub upgrade: bool,
    /// The secrets that went into it.
    pub secrets: Vec<SecretName>,
}

impl Active {
    pub fn ask(&self) -> Ask<'_> {
        Ask {
            scheme: self.scheme,
            target: &self.target,
            method: &self.method,
            path: &self.path,
            has_body: self.has_body,
            upgrade: self.upgrade,
            has_secret: !self.secrets.is_empty(),
        }
    }
}

/// What a connection is busy with. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Present(Arc<Mutex<Option<Active>>>);

impl Present {
    pub fn set(&self, active: Active) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(active);
    }

    pub fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn get(&self) -> Option<Active> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What keeps a tunnel open between requests.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// Nothing: a connection for requests in the clear.
    Nothing,
    /// A tunnel whose requests are judged one by one.
    Opened(Target),
    /// A tunnel that is passed through.
    Unopened(Target),
}

/// Returns when what is open is no longer allowed.
pub(super) async fn revoked(egress: &SandboxEgress, held: &Held, present: &Present) {
    let mut policy = egress.policy.clone();
    let mut owner_gone = false;
    loop {
        tokio::select! {
            changed = policy.changed(), if !owner_gone => owner_gone = changed.is_err(),
            () = tokio::time::sleep(VAULT_EVERY) => {}
        }
        if !Invariant::RevocationIsLive.is_broken() && !still_allowed(egress, &mut policy, held, present) {
            return;
        }
    }
}

fn still_allowed(
    egress: &SandboxEgress,
    policy: &mut watch::Receiver<Arc<EgressPolicy>>,
    held: &Held,
    present: &Present,
) -> bool {
    let (judge, tainted) = {
        let policy = policy.borrow_and_update();
        (policy.judge.clone(), policy.tainted.clone())
    };
    let holds = match held {
        Held::Nothing => true,
        Held::Opened(target) => judge.connection(Scheme::Https, target).is_ok(),
        Held::Unopened(target) => {
            let passes = judge.connection(Scheme::Https, target).is_ok_and(|rule| rule.pass_through.is_some());
            passes && (egress.untainted)()
        }
    };
    let Some(active) = present.get() else { return holds };
    let known = || {
        egress
            .vault
            .bound()
            .is_ok_and(|bound| active.secrets.iter().all(|name| bound.iter().any(|one| one.name == *name)))
    };
    // A request ends by itself; a connection that it became does not.
    let stays = !active.upgrade
        || (egress.untainted)()
        || tainted.is_none_or(|tainted| tainted.rules().request(&active.ask()).is_ok());
    let may_use = active.secrets.iter().all(|name| judge.rules().secrets.contains(name));
    holds && stays && judge.rules().request(&active.ask()).is_ok() && may_use && (active.secrets.is_empty() || known())
}
