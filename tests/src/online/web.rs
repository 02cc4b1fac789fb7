//! Servers on the internet, as far as the daemon can tell.

use std::{net::SocketAddr, path::Path, sync::Arc};

use axum::{Router, serve::Listener};
use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// An authority that signs the servers' certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        // With the name that leaves have by default, it would look as if they had signed themselves.
        params.distinguished_name.push(DnType::CommonName, "an authority in a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(&der));
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes its certificate to a file.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, &self.pem).unwrap();
    }

    /// What makes a server one that has these names.
    pub fn acceptor(&self, names: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Connections whose handshake is done. One that is slow holds up no other.
struct Shaken {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Listener for Shaken {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(next) => next,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Serves HTTPS at `address` under these names, for as long as the task runs.
pub async fn serve_tls(authority: &Authority, names: &[&str], address: SocketAddr, router: Router) -> SocketAddr {
    let acceptor = authority.acceptor(names);
    let tcp = TcpListener::bind(address).await.unwrap();
    let address = tcp.local_addr().unwrap();
    let (send, ready) = mpsc::channel(64);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut shaking = JoinSet::new();
        while let Ok((stream, from)) = tcp.accept().await {
            let (acceptor, send) = (acceptor.clone(), send.clone());
            let _ = stream.set_nodelay(true);
            shaking.spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ = send.send((stream, from)).await;
                }
            });
            while shaking.try_join_next().is_some() {}
        }
    });
    tokio::spawn(async move { axum::serve(Shaken { ready, address, _tasks: tasks }, router).await });
    address
}

/// The same without TLS.
pub async fn serve_plain(address: SocketAddr, router: Router) -> SocketAddr {
    let tcp = TcpListener::bind(address).await.unwrap();
    let address = tcp.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(tcp, router).await });
    address
}

/// Connections with TLS at `address` become plain ones to `target`, byte by byte.
pub async fn tunnel_tls(authority: &Authority, names: &[&str], address: SocketAddr, target: SocketAddr) {
    let acceptor = authority.acceptor(names);
    let tcp = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = tcp.accept().await {
            let acceptor = acceptor.clone();
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut there = TcpStream::connect(target).await.unwrap();
                let _ = there.set_nodelay(true);
                // Either side may break it off, which is what some tests want.
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut there).await;
            });
        }
    });
}
