//! The certificate authority of one sandbox. It exists in memory alone, is trusted by that sandbox alone, and signs one
//! certificate for each host that the sandbox speaks to. Must not sign for a name that was not judged.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::NoServerSessionStorage,
};
use time::{Duration, OffsetDateTime};
use types::Timestamp;
use zeroize::{Zeroize, Zeroizing};

use crate::target::Host;

/// How long a leaf is valid.
const LEAF_HOURS: i64 = 24;
/// A leaf is made anew when it has less than this left.
const RENEWED_BEFORE_HOURS: i64 = 12;
/// How long the authority is valid; no sandbox lives as long.
const AUTHORITY_DAYS: i64 = 365;
/// Certificates are valid from an hour ago, for clocks that differ.
const SKEW: Duration = Duration::HOUR;
/// The most hosts whose certificates are kept.
const MAX_LEAVES: usize = 256;

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("could not make a certificate for the sandbox: {0}")]
pub struct CaError(String);

/// The authority of one sandbox.
pub struct SandboxCa {
    issuer: Issuer<'static, Key>,
    der: CertificateDer<'static>,
    /// All leaves share one key: they live in the same process and die together.
    leaf_key: Key,
    leaves: Mutex<HashMap<Host, Leaf>>,
}

struct Leaf {
    config: Arc<ServerConfig>,
    expires: Timestamp,
}

impl SandboxCa {
    /// A new authority with keys of its own, valid from `now`. Fails when the system gives no random numbers.
    pub fn new(now: Timestamp) -> Result<Self, CaError> {
        let key = Key::new()?;
        let params = authority(now)?;
        let der = params.self_signed(&key).map_err(|error| failed(&error))?.der().clone();
        Ok(Self { issuer: Issuer::new(params, key), der, leaf_key: Key::new()?, leaves: Mutex::default() })
    }

    /// Its key in PKCS #8 and its certificate in DER, for custody alone.
    pub(super) fn export(&self) -> (Zeroizing<Vec<u8>>, &[u8]) {
        (Zeroizing::new(self.issuer.key().0.serialize_der()), &self.der)
    }

    /// The authority that [`SandboxCa::export`] gave: the same key and certificate, so that whoever trusted it still does.
    pub(super) fn restore(key: &[u8], certificate: Vec<u8>) -> Result<Self, CaError> {
        let der = PrivatePkcs8KeyDer::from(key);
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ECDSA_P256_SHA256);
        let key = Key(pair.map_err(|error| failed(&error))?);
        // What an issuer takes from its own certificate is its name and the number of its key; the dates are not used.
        let params = authority(Timestamp(0))?;
        let leaf_key = Key::new()?;
        let der = CertificateDer::from(certificate);
        Ok(Self { issuer: Issuer::new(params, key), der, leaf_key, leaves: Mutex::default() })
    }

    /// The authority's certificate, for the sandbox's trust bundle.
    pub fn pem(&self) -> String {
        let body = STANDARD.encode(&self.der);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in body.as_bytes().chunks(64) {
            pem.extend(line.iter().map(|&byte| char::from(byte)));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }

    /// How to be `host` towards the sandbox: HTTP/1.1 over TLS 1.2 or 1.3.
    pub(super) fn server_config(&self, host: &Host, now: Timestamp) -> Result<Arc<ServerConfig>, CaError> {
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leaf) = leaves.get(host)
            && leaf.expires.0 - now.0 > RENEWED_BEFORE_HOURS * 3_600_000
        {
            return Ok(leaf.config.clone());
        }
        if leaves.len() >= MAX_LEAVES {
            leaves.clear();
        }
        let config = Arc::new(self.issue(host, now)?);
        let expires = Timestamp(now.0 + LEAF_HOURS * 3_600_000);
        leaves.insert(host.clone(), Leaf { config: config.clone(), expires });
        Ok(config)
    }

    fn issue(&self, host: &Host, now: Timestamp) -> Result<ServerConfig, CaError> {
        let mut params = params("Factotum proxy", now, Duration::hours(LEAF_HOURS))?;
        params.subject_alt_names = vec![match host {
            Host::Dns(name) => SanType::DnsName(name.as_str().try_into().map_err(|error| failed(&error))?),
            Host::Ip(address) => SanType::IpAddress(plain(*address)),
        }];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&self.leaf_key, &self.issuer).map_err(|error| failed(&error))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.leaf_key.0.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .map_err(|error| failed(&error))?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .map_err(|error| failed(&error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

impl fmt::Debug for SandboxCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxCa").finish_non_exhaustive()
    }
}

/// A key pair whose serialized form is overwritten when it is dropped.
struct Key(KeyPair);

impl Key {
    fn new() -> Result<Self, CaError> {
        KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map(Self).map_err(|error| failed(&error))
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl rcgen::PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        rcgen::PublicKeyData::algorithm(&self.0)
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}

/// What an authority is.
fn authority(now: Timestamp) -> Result<CertificateParams, CaError> {
    let mut params = params("Factotum sandbox", now, Duration::days(AUTHORITY_DAYS))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn params(name: &str, now: Timestamp, valid: Duration) -> Result<CertificateParams, CaError> {
    let now = OffsetDateTime::from_unix_timestamp(now.0 / 1000).map_err(|error| failed(&error))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (now - SKEW, now + valid);
    Ok(params)
}

/// An IPv4 address that is written as IPv6 is named as what it is.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn failed(error: &dyn fmt::Display) -> CaError {
    CaError(error.to_string())
}
