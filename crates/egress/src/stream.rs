//! Plain and encrypted byte streams to a host that the owner configured, for protocols that are not HTTP. Addresses that a
//! model chooses must never be given to these clients.

use std::{io, net::SocketAddr, os::unix::net::UnixStream, path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{EgressError, EgressErrorKind, configured::ConfiguredResolver};

/// How long making a connection may take, TLS included.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection. Dropping it closes it.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// Makes connections to one host and port of the configuration. Cheap to clone.
#[derive(Clone)]
pub struct StreamClient {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl StreamClient {
    /// A client without encryption.
    pub fn plain(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port, tls: None }
    }

    /// A client that encrypts, and accepts the host's certificate only if the machine's authorities vouch for it, or, when
    /// `authorities` is given, those in that PEM text alone.
    pub fn tls(host: &str, port: u16, authorities: Option<&[u8]>) -> Result<Self, EgressError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            EgressError::new(EgressErrorKind::Invalid, "the host is neither a name nor an address".to_owned())
        })?;
        let unusable = |why: String| EgressError::new(EgressErrorKind::Tls, why);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(format!("no version of TLS can be spoken: {error}")))?;
        let config = match authorities {
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|_| unusable("the authorities are not PEM".to_owned()))?;
                    roots
                        .add(certificate)
                        .map_err(|error| unusable(format!("an authority's certificate is unusable: {error}")))?;
                }
                if roots.is_empty() {
                    return Err(unusable("the file of authorities holds no certificate".to_owned()));
                }
                builder.with_root_certificates(roots)
            }
            None => builder.with_platform_verifier().map_err(|error| {
                unusable(format!("this machine trusts no authority ({error}); install `ca-certificates`"))
            })?,
        };
        let tls = Some((TlsConnector::from(Arc::new(config.with_no_client_auth())), name));
        Ok(Self { host: host.to_owned(), port, tls })
    }

    /// The host and port, for messages.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Makes a connection, within ten seconds.
    pub async fn connect(&self) -> Result<Box<dyn Stream>, EgressError> {
        let late = || EgressError::new(EgressErrorKind::Timeout, "no connection was made in time");
        timeout(CONNECT, self.attempt()).await.map_err(|_| late())?
    }

    #[expect(clippy::disallowed_methods, reason = "this crate is the door to the network")]
    async fn attempt(&self) -> Result<Box<dyn Stream>, EgressError> {
        let failed = |error| EgressError::new(EgressErrorKind::Connect, format!("could not connect: {error}"));
        let addresses = ConfiguredResolver::default().addresses(&self.host).await.map_err(failed)?;
        let addresses: Vec<_> = addresses.into_iter().map(|address| SocketAddr::new(address, self.port)).collect();
        let stream = TcpStream::connect(addresses.as_slice()).await.map_err(failed)?;
        // A delay would only cost time; an error here costs nothing else.
        let _ = stream.set_nodelay(true);
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await.map_err(|error| {
                    EgressError::new(EgressErrorKind::Tls, format!("the secure connection failed: {error}"))
                })?;
                Ok(Box::new(stream))
            }
        }
    }
}

impl std::fmt::Debug for StreamClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamClient").field("authority", &self.authority()).finish_non_exhaustive()
    }
}

/// Connects to another process of this machine behind a Unix socket.
#[expect(clippy::disallowed_methods, reason = "this crate is the door to every socket")]
pub fn connect_local(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path)
}
