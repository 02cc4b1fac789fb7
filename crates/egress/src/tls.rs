//! The cryptography behind `https`. Must not weaken verification for anybody.

use std::sync::Once;

use crate::error::{EgressError, EgressErrorKind};

/// Chooses the process's cryptography provider, once. A provider that somebody else installed is left alone.
pub(crate) fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// Checks that this machine trusts any certificate authority, without which no `https` address can be reached. Fails
/// with [`EgressErrorKind::Tls`] and a remedy.
#[expect(clippy::disallowed_methods, reason = "this crate is the door to the network")]
pub fn check_certificates() -> Result<(), EgressError> {
    install_provider();
    reqwest::Client::builder().no_proxy().build().map(|_| ()).map_err(|error| no_certificates(&error))
}

pub(crate) fn no_certificates(error: &reqwest::Error) -> EgressError {
    tracing::debug!(error = %error, "the certificate store could not be read");
    EgressError::new(
        EgressErrorKind::Tls,
        "this machine trusts no certificate authority, so no https address can be reached; install the \
         `ca-certificates` package",
    )
}
