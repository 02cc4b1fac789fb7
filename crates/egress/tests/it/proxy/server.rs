//! A server on the internet: HTTPS with a certificate of the test's authority, which notes what it gets and answers by
//! path.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{AUTHORIZATION, CONNECTION, CONTENT_ENCODING, UPGRADE},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A request as the server got it.
#[derive(Clone, Debug)]
pub struct Got {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Got {
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// What all servers of a test share.
#[derive(Clone, Default)]
pub struct Servers {
    pub got: Arc<Mutex<Vec<Got>>>,
    /// How many connections were opened to which server.
    pub opened: Arc<Mutex<BTreeMap<String, usize>>>,
    tasks: TaskTracker,
}

/// The authority that the proxy trusts for servers.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(&der));
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn config(&self, name: &str) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        builder.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap()
    }
}

impl Servers {
    /// Serves HTTPS as `name` at `address`.
    pub async fn https(&self, authority: &Authority, name: &str, address: &str) {
        let acceptor = TlsAcceptor::from(Arc::new(authority.config(name)));
        let listener = TcpListener::bind((address, 443)).await.unwrap();
        let (servers, name) = (self.clone(), name.to_owned());
        self.tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                *servers.opened.lock().unwrap().entry(name.clone()).or_default() += 1;
                let (servers, acceptor) = (servers.clone(), acceptor.clone());
                servers.tasks.clone().spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        servers.http(TokioIo::new(stream)).await;
                    }
                });
            }
        });
    }

    /// Serves plain HTTP at `address`.
    pub async fn plain(&self, address: SocketAddr) {
        let listener = TcpListener::bind(address).await.unwrap();
        let servers = self.clone();
        self.tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let servers = servers.clone();
                servers.tasks.clone().spawn(async move { servers.http(TokioIo::<TcpStream>::new(stream)).await });
            }
        });
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    async fn http<S>(&self, stream: S)
    where
        S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let service = service_fn(|request| async { Ok::<_, Infallible>(self.answer(request).await) });
        let builder = hyper::server::conn::http1::Builder::new();
        let _ = builder.serve_connection(stream, service).with_upgrades().await;
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().to_string();
        let headers = request.headers().iter();
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into())).collect();
        if path == "/upgrade" && request.headers().contains_key(UPGRADE) {
            return self.upgrade(&mut request);
        }
        let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = token.trim_start_matches("Bearer ").to_owned();
        let method = request.method().to_string();
        let body = request.into_body().collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
        self.got.lock().unwrap().push(Got { method, path: path.clone(), headers, body });
        answer(path.split('?').next().unwrap_or_default(), &token)
    }

    /// After the change of protocol, what comes is sent back.
    fn upgrade(&self, request: &mut Request<Incoming>) -> Response<Body> {
        let upgrade = hyper::upgrade::on(request);
        self.tasks.spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            let mut buffer = [0; 1024];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..count]).await.unwrap();
            }
        });
        let builder = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        builder.header(CONNECTION, "upgrade").header(UPGRADE, "echo").body(full("")).unwrap()
    }
}

fn answer(path: &str, token: &str) -> Response<Body> {
    match path {
        "/v1/raw" => Response::new(full(&format!("token={token}."))),
        "/v1/base64" => Response::new(full(&STANDARD.encode(format!("user:{token}!")))),
        "/v1/hex" => Response::new(full(&hex::encode(token))),
        "/v1/url" => Response::new(full(&token.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>())),
        "/v1/split" => Response::new(pieces(format!("<{token}>").into_bytes(), 3)),
        "/v1/header" => Response::builder()
            .header("x-echo", token)
            .header("location", format!("/?t={token}"))
            .body(full(""))
            .unwrap(),
        "/v1/compressed" => Response::builder().header(CONTENT_ENCODING, "gzip").body(full(token)).unwrap(),
        "/large" => Response::new(full(&"x".repeat(1 << 20))),
        "/slow" => {
            let drops = stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Some((Ok(Frame::data(Bytes::from_static(b"."))), ()))
            });
            Response::new(StreamBody::new(drops).boxed_unsync())
        }
        _ => Response::new(full("hello")),
    }
}

fn full(text: &str) -> Body {
    Full::from(text.to_owned()).boxed_unsync()
}

/// A body in pieces of a few bytes, each sent by itself.
fn pieces(bytes: Vec<u8>, size: usize) -> Body {
    let pieces: Vec<Bytes> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
    let pieces = stream::iter(pieces).then(|piece| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(Frame::data(piece))
    });
    StreamBody::new(pieces).boxed_unsync()
}
