//! Connections to judged servers: the dial, and TLS with the judged host as SNI, verified against the machine's
//! certificate authorities and the owner's further ones. Shared by the proxy and the fetcher. Must not choose where to
//! connect.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    EgressError, EgressErrorKind as Kind,
    address::AddressClass,
    judge::Judged,
    target::{Host, Scheme},
};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How much is read from the network at once: the TLS library by itself asks for four KiB each time.
pub(crate) const READ_AHEAD: usize = 64 * 1024;
/// The largest certificate file in bytes.
const MAX_CA_FILE: u64 = 1 << 20;

/// How servers are reached and verified. Cheap to clone.
#[derive(Clone)]
pub struct Upstream {
    tls: TlsConnector,
}

/// A connection to a judged server.
#[derive(Debug)]
pub struct Connection {
    /// The bytes, decrypted.
    pub stream: Wire,
    /// The address that was dialled.
    pub address: SocketAddr,
    /// Its kind.
    pub class: AddressClass,
}

/// Plain TCP or TLS over it.
#[derive(Debug)]
pub enum Wire {
    /// In the clear.
    Plain(TcpStream),
    /// Through TLS.
    Tls(Box<TlsStream<BufReader<TcpStream>>>),
}

impl Upstream {
    /// Reads the certificate authorities of this machine and of the files `extra_ca` (PEM). Takes milliseconds: make one
    /// per workspace and change of its configuration. Fails with [`Kind::Tls`] if a file cannot be used or nothing is
    /// trusted at all.
    pub fn new(extra_ca: &[PathBuf]) -> Result<Self, EgressError> {
        let mut extra = Vec::new();
        for path in extra_ca {
            extra.extend(read_authorities(path)?);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let unusable = |error: rustls::Error| {
            EgressError::new(Kind::Tls, format!("the certificate authorities cannot be used: {error}"))
        };
        let verifier =
            rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider.clone()).map_err(unusable)?;
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().map_err(unusable)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Connects to a judged server. Errors name no address.
    pub async fn connect(&self, judged: &Judged, scheme: Scheme) -> Result<Connection, EgressError> {
        let host = judged.target().host();
        let (tcp, address, class) = judged.dial().await.map_err(|error| {
            EgressError::new(Kind::Connect, format!("could not connect to {host}: {}", error.kind()))
        })?;
        let stream = match scheme {
            Scheme::Http => Wire::Plain(tcp),
            Scheme::Https => {
                let handshake = self.tls.connect(server_name(host)?, BufReader::with_capacity(READ_AHEAD, tcp));
                let shaken = tokio::time::timeout(HANDSHAKE, handshake).await;
                let late =
                    || EgressError::new(Kind::Timeout, format!("{host} did not finish the TLS handshake in time"));
                let failed =
                    |error| EgressError::new(Kind::Tls, format!("the secure connection to {host} failed: {error}"));
                Wire::Tls(Box::new(shaken.map_err(|_| late())?.map_err(failed)?))
            }
        };
        Ok(Connection { stream, address, class })
    }
}

/// The host as the name that the certificate must carry. No SNI is sent for addresses.
fn server_name(host: &Host) -> Result<ServerName<'static>, EgressError> {
    match host {
        Host::Ip(address) => Ok(ServerName::IpAddress((*address).into())),
        Host::Dns(name) => ServerName::try_from(name.as_str().to_owned())
            .map_err(|_| EgressError::new(Kind::Invalid, "the host cannot stand in a certificate")),
    }
}

fn read_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, EgressError> {
    let refuse = |why: String| EgressError::new(Kind::Tls, format!("extra_ca {}: {why}", path.display()));
    let size = fs::metadata(path).map_err(|error| refuse(error.to_string()))?.len();
    if size > MAX_CA_FILE {
        return Err(refuse("the file has more than a mebibyte".to_owned()));
    }
    let text = fs::read(path).map_err(|error| refuse(error.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(refuse("it holds no certificate in PEM".to_owned())),
        Err(error) => Err(refuse(format!("it is no PEM: {error}"))),
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
