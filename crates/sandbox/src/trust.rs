//! What makes programs inside find the proxy and believe its certificates: a bundle of roots in place of the host's, and
//! the variables that programs look at. The files are written by `init`, to the places named here. Must not know rules,
//! hosts or secrets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{SandboxError, init::PROXY_PORT};

/// More than any certificate of ours takes, in bytes.
const MAX_PEM: usize = 64 * 1024;

/// The bundle inside; Debian's place. The others are links to it.
pub(crate) const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Where other systems look: NixOS, Alpine and OpenSSL itself, openSUSE, Fedora twice.
pub(crate) const LINKS: [&str; 5] = [
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];
/// What makes the `fetch` of Node before version 24, and its HTTP modules, use the proxy.
pub(crate) const NODE_PRELOAD: &str = "/etc/factotum/node-proxy.cjs";
pub(crate) const NODE_PRELOAD_TEXT: &str = include_str!("trust/node-proxy.cjs");
/// What apt reads.
pub(crate) const APT: &str = "/etc/apt/apt.conf.d/90proxy";

/// Whose certificates commands believe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyTrust {
    /// The proxy's certificate authority, in PEM.
    pub ca_pem: String,
    /// Whether the host's roots are believed as well: only useful where the proxy passes some connections through.
    pub system_roots: bool,
}

impl ProxyTrust {
    /// Refuses what is no certificate in PEM.
    pub(crate) fn check(&self) -> Result<(), SandboxError> {
        let is_pem = self.ca_pem.len() <= MAX_PEM && self.ca_pem.contains("-----BEGIN CERTIFICATE-----");
        if is_pem && !self.ca_pem.contains("PRIVATE KEY") {
            return Ok(());
        }
        Err(SandboxError::Build { step: "trust the proxy".to_owned(), why: "its certificate is not PEM".to_owned() })
    }
}

/// Where the proxy listens, as a URL.
pub(crate) fn proxy_url() -> String {
    format!("http://127.0.0.1:{PROXY_PORT}")
}

/// The variables that programs look at. Some know only the lower or only the upper case.
pub(crate) fn environment() -> BTreeMap<String, String> {
    let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    let own_proxies = ["CARGO_HTTP_PROXY", "npm_config_proxy", "npm_config_https_proxy"];
    // Servers that a command starts for itself are reached directly.
    let direct = ["NO_PROXY", "no_proxy", "npm_config_noproxy"];
    let bundles = [
        "AWS_CA_BUNDLE",
        "BUNDLE_SSL_CA_CERT",
        "CARGO_HTTP_CAINFO",
        "COMPOSER_CAFILE",
        "CURL_CA_BUNDLE",
        "DENO_CERT",
        "GIT_SSL_CAINFO",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        "HTTPLIB2_CA_CERTS",
        "NIX_SSL_CERT_FILE",
        "NODE_EXTRA_CA_CERTS",
        "PIP_CERT",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_FILE",
        "npm_config_cafile",
    ];
    let url = proxy_url();
    let pair = |value: String| move |name: &str| (name.to_owned(), value.clone());
    let mut all: BTreeMap<String, String> = proxies.into_iter().chain(own_proxies).map(pair(url)).collect();
    all.extend(direct.into_iter().map(pair("localhost,127.0.0.1,::1".to_owned())));
    all.extend(bundles.into_iter().map(pair(BUNDLE.to_owned())));
    all.insert("NODE_OPTIONS".to_owned(), format!("--require={NODE_PRELOAD}"));
    all.insert("NODE_USE_ENV_PROXY".to_owned(), "1".to_owned());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_taken_for_a_certificate() {
        let trust = |pem: &str| ProxyTrust { ca_pem: pem.to_owned(), system_roots: false };
        assert!(trust("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").check().is_ok());
        let key = "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n";
        for bad in ["", "x", key, &"-----BEGIN CERTIFICATE-----\n".repeat(10_000)] {
            assert!(trust(bad).check().is_err());
        }
    }

    #[test]
    fn no_variable_names_another_place_than_the_bundle_and_the_proxy() {
        for (name, value) in environment() {
            let known = [BUNDLE, "http://127.0.0.1:3128", "localhost,127.0.0.1,::1", "1"];
            assert!(known.contains(&value.as_str()) || name == "NODE_OPTIONS", "{name}={value}");
        }
    }
}
