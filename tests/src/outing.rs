//! A way out for the sandboxes of a workshop: the real proxy, with placeholders and an authority of its own, to hosts that a test
//! plays.

use std::{path::Path, sync::Arc};

use daemon::jobs::forge::Forges;
use egress::{
    DayTally, EgressConfig, EgressPolicy, EgressRules, Fetcher, Judge, Limits, Network, Placeholders, Proxy, SandboxCa,
    SandboxEgress, SecretSettings, SecretValue, Upstream, VaultCredentials, Who,
};
use sandbox::{Door, ProxyTrust, WayOut};
use types::{SecretName, Timestamp};

use crate::{Workshop, workshop::Unlogged};

/// Opens a way out by these rules (`[workspaces.NAME.egress]` as JSON), with this secret, in this network.
pub fn open(
    it: &Workshop,
    rules: serde_json::Value,
    network: &Network,
    authority: &Path,
    (name, value, settings): (&str, &str, SecretSettings),
) {
    let _inside = it.runtime.enter();
    let secret = SecretName::new(name).unwrap();
    it.vault.put(&secret, SecretValue::new(value).unwrap(), settings, Timestamp(0)).unwrap();
    let config: EgressConfig = serde_json::from_value(rules).unwrap();
    let rules: Arc<EgressRules> = Arc::new(config.rules().unwrap());
    let upstream = Upstream::new(&[authority.to_owned()]).unwrap();
    let clock = it.clock();
    let judge = Judge::new(rules.clone(), network.clone(), Arc::new(DayTally::new(clock.clone())));
    let credentials = Arc::new(VaultCredentials::new(it.vault.clone(), rules.secrets.clone()));
    let fetcher = Fetcher::new(judge.clone(), upstream.clone(), Arc::new(Unlogged), Some(credentials), Who::default());
    let forges = Forges::new(fetcher, rules.clone(), it.vault.clone());
    let vault = it.vault.clone();
    let reading = {
        let rules = EgressRules::clone(&rules).reading();
        Judge::new(Arc::new(rules), network.clone(), Arc::new(DayTally::new(clock.clone())))
    };
    let doors = move |_: types::SessionId, _: &types::WorkspaceName, way_out: WayOut| {
        let bound = vault.bound().map_err(|error| error.to_string())?;
        let named = bound.iter().filter(|secret| rules.secrets.contains(&secret.name));
        let named = named.map(|secret| (secret.name.clone(), secret.env.as_ref().map(|env| env.as_str().to_owned())));
        let judge = if way_out == WayOut::Reading { reading.clone() } else { judge.clone() };
        let policy = EgressPolicy { judge, tainted: None, upstream: upstream.clone() };
        // The sender may go: these rules never change.
        let (_, policy) = tokio::sync::watch::channel(Arc::new(policy));
        let egress = Arc::new(SandboxEgress {
            who: Who::default(),
            policy,
            untainted: Box::new(|| false),
            placeholders: Placeholders::new(named).map_err(|error| error.to_string())?,
            vault: vault.clone(),
            ca: SandboxCa::new(clock.now()).map_err(|error| error.to_string())?,
            log: Arc::new(Unlogged),
            clock: clock.clone(),
            limits: Limits::default(),
        });
        let trust = ProxyTrust { ca_pem: egress.ca.pem(), system_roots: false };
        let env = egress.placeholders.environment();
        let serve = move |socket, ending| -> types::BoxFuture<'static, ()> {
            Box::pin(async move { Proxy::serve(socket, egress, ending).await.unwrap() })
        };
        Ok(Door { trust, env, serve: Box::new(serve) })
    };
    it.reach(Arc::new(doors), forges);
}
