//! The vendor of a coding agent, played behind TLS at an address of the test's own: a key that is bound to it, and what the
//! configuration says of the coding agent.

use std::{net::SocketAddr, path::Path, sync::Arc};

use egress::{Binding, CredentialSlot, SecretSettings};
use testkit::model::{ModelServer, Reply, SeenRequest};

use super::{Authority, tunnel_tls};
use crate::coders::Vendor;

/// Where it is.
pub const ADDRESS: &str = "203.0.113.10";
/// The addresses that loopback must carry.
pub const ADDRESSES: [&str; 1] = ["203.0.113.10/32"];
/// The vendor's key, which no program in the sandbox may see.
pub const KEY: &str = "sk-lab-0123456789abcdefghijklmnopqrstuvwxyz";

/// Plays a vendor with this brain, whose name is `host`.
pub async fn play(
    authority: &Authority,
    host: &str,
    brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static,
) -> Arc<ModelServer> {
    play_at(ADDRESS, authority, host, brain).await
}

/// The same at another address.
pub async fn play_at(
    address: &str,
    authority: &Authority,
    host: &str,
    brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static,
) -> Arc<ModelServer> {
    let model = Arc::new(ModelServer::start(brain).await);
    let address = SocketAddr::new(address.parse().unwrap(), 443);
    tunnel_tls(authority, &[host], address, model.address()).await;
    model
}

/// A secret that goes to the vendor alone, in its header.
pub fn bound(vendor: &Vendor) -> SecretSettings {
    let slot = CredentialSlot::Header { name: vendor.header.0.to_owned(), prefix: vendor.header.1.to_owned() };
    let binding = Binding { slot, ..Binding::to(vendor.host).unwrap() };
    SecretSettings { bindings: Some(vec![binding]), ..SecretSettings::default() }
}

/// The coding agent's table in the configuration (TOML), whose key is the secret `vendor`. `ca` is the file of the authority.
pub fn table(vendor: &Vendor, ca: &Path) -> String {
    format!(
        "[coders.{coder}]\nprogram = \"{program}\"\nsecret = \"vendor\"\nmodel = \"{model}\"\nextra_ca = [\"{ca}\"]\n{settings}",
        coder = vendor.coder,
        program = vendor.program().display(),
        model = vendor.model,
        ca = ca.display(),
        settings = vendor.settings,
    )
}
