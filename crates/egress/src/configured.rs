//! The addresses of origins that the owner configured: private ones are the owner's choice, but a name that leads to a
//! cloud's metadata service is a mistake or an attack, whoever wrote it. Must not judge what anybody else chose: that is
//! [`crate::Judge`].

use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use types::Invariant;

use crate::{
    address::{AddressClass, classify},
    resolve::SystemResolver,
};

/// Resolves the names of configured origins.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfiguredResolver(SystemResolver);

/// A name or address that no configuration opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host leads to a cloud's metadata service, which is never spoken to")]
pub(crate) struct Closed;

/// Whether even the owner's configuration does not open this address.
pub(crate) fn is_closed(address: IpAddr) -> bool {
    classify(address) == AddressClass::Metadata && !Invariant::JudgedAddress.is_broken()
}

impl ConfiguredResolver {
    /// The addresses of a host, a literal address included, without those that are closed.
    pub async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        let found = match literal {
            Ok(address) => vec![address],
            Err(_) => self.0.ask_in_time(host).await?,
        };
        let open: Vec<IpAddr> = found.into_iter().filter(|address| !is_closed(*address)).collect();
        if open.is_empty() { Err(io::Error::new(io::ErrorKind::PermissionDenied, Closed)) } else { Ok(open) }
    }
}

impl Resolve for ConfiguredResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found = resolver.addresses(name.as_str()).await;
            let found = found.map_err(|error| -> Box<dyn Error + Send + Sync> { error.into() })?;
            // The library puts the port in.
            let addresses: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
