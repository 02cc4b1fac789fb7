//! What there is of coding agents, and what each lacks.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use egress::Vault;
use types::{Failure, SecretName};

use super::{digest::sha256, find::versions};
use crate::{
    api::views::CoderView,
    config::{CoderConfig, CoderKind},
    core::Core,
    failure::internal,
    network::{binding, vendor_rules},
    programs,
};

/// The coding agents that are configured, and those that could be used without a table.
pub(crate) async fn list(core: &Arc<Core>) -> Result<Vec<CoderView>, Failure> {
    let core = core.clone();
    let work = core.tasks.spawn_blocking({
        let core = core.clone();
        move || views(&core)
    });
    work.await.map_err(|_| internal("looking at the programs broke off"))
}

fn views(core: &Core) -> Vec<CoderView> {
    let live = core.live();
    let usual = CoderConfig::default();
    let known = coders::PINS.iter().map(|pin| pin.coder);
    let names: BTreeSet<&str> = live.config.coders.keys().map(String::as_str).chain(known).collect();
    let config = |name: &str| live.config.coders.get(name).unwrap_or(&usual);
    names.iter().filter_map(|name| view(core, name, config(name))).collect()
}

fn view(core: &Core, name: &str, coder: &CoderConfig) -> Option<CoderView> {
    let kind = coder.kind(name)?;
    let found = programs::find(&core.home, name, coder);
    let mut problems: Vec<String> = found.as_ref().err().cloned().into_iter().collect();
    let program = found.ok();
    let installed = program.as_ref().and_then(|program| program.installed.as_ref());
    let digest = match (&program, installed) {
        (Some(program), Some(_)) => sha256(&program.path).ok(),
        (Some(_), None) | (None, _) => None,
    };
    let checksum_ok = installed.map(|installed| digest.as_ref() == Some(&installed.sha256));
    if checksum_ok == Some(false) {
        problems.push(format!(
            "the program is not what was installed; do not use it, and run `factotum coder install {}`",
            kind.name()
        ));
    }
    problems.extend(key_problem(&core.vault, name, coder));
    Some(CoderView {
        name: name.to_owned(),
        kind: kind.name().to_owned(),
        version: installed.map(|installed| installed.version.clone()),
        installed: versions(&core.home, kind.name()).into_iter().map(|(_, one)| one.version).collect(),
        newest: newest(kind),
        program: program.as_ref().map(|program| shown(&program.path)),
        sha256: digest,
        checksum_ok,
        secret: coder.secret.as_ref().map(SecretName::to_string),
        problems,
    })
}

fn newest(kind: CoderKind) -> Option<String> {
    let cpu = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    coders::pin(kind.name(), None, cpu).map(|pin| pin.version.to_owned())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// What keeps a coding agent's requests from carrying its vendor's key.
pub(super) fn key_problem(vault: &Vault, name: &str, coder: &CoderConfig) -> Option<String> {
    let Some(secret) = &coder.secret else {
        let needs = vendor_rules(name, coder).is_ok_and(|rules| rules.rules.iter().any(|rule| rule.needs_secret));
        return needs.then(|| {
            format!(
                "it has no key: store one with `factotum secret set NAME` and name it as `secret` under [coders.{name}]"
            )
        });
    };
    match vault.contains(secret) {
        Ok(true) => {}
        Ok(false) => {
            return Some(format!("the secret `{secret}` is missing; store it with `factotum secret set {secret}`"));
        }
        Err(error) => return Some(format!("the vault cannot be read: {error}")),
    }
    let (place, command) = binding(name, coder)?;
    let Ok(bound) = vault.list() else { return Some("the vault cannot be read".to_owned()) };
    let info = bound.iter().find(|info| info.name == *secret)?;
    let host = place.split(':').next().unwrap_or(&place);
    let is_bound = info.bindings.iter().any(|binding| binding.host.to_string() == host);
    (!is_bound).then(|| format!("the secret `{secret}` is not bound to {place}; `{command}` binds it"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use egress::{Binding, SecretSettings, SecretValue};
    use types::Timestamp;

    use super::*;

    #[test]
    fn what_keeps_a_key_from_its_vendor_is_told_with_the_remedy() {
        let home = tempfile::tempdir().unwrap();
        let vault = Vault::open(home.path()).unwrap();
        let name = SecretName::new("vendor-key").unwrap();
        let coder = CoderConfig { secret: Some(name.clone()), ..CoderConfig::default() };
        let problem = |coder: &CoderConfig| key_problem(&vault, "claude", coder);
        assert!(problem(&CoderConfig::default()).unwrap().contains("it has no key"));
        assert!(problem(&coder).unwrap().contains("factotum secret set vendor-key"));
        let put = |bindings: Vec<Binding>| {
            let settings = SecretSettings { bindings: Some(bindings), ..SecretSettings::default() };
            vault.put(&name, SecretValue::new("value-0123456789").unwrap(), settings, Timestamp(1)).unwrap();
        };
        put(vec![Binding::to("other.example.com").unwrap()]);
        let unbound = problem(&coder).unwrap();
        assert!(unbound.contains("--bind api.anthropic.com --header 'x-api-key:'"), "{unbound}");
        put(vec![Binding::to("api.anthropic.com").unwrap()]);
        assert_eq!(problem(&coder), None);
    }
}
