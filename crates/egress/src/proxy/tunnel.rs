//! One CONNECT: whether it may be opened, what its first bytes are, and then either TLS that is opened here and judged
//! request by request, or, where a rule and the session's label allow it, TLS that passes through.

use std::{convert::Infallible, pin::pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Proxy,
    answer::{Body, Refusal, empty},
    forward::{Destination, Forwarder},
    head,
    hello::{Hello, MAX_HELLO, read_hello},
    io::{Rewound, Watched},
    receipt::Receipt,
    revocation::{Held, Present, revoked},
    serve::Client,
    splice::splice,
};
use crate::{
    DenyReason, EgressRecord, Stage,
    rules::ConnectionRule,
    target::{Host, Scheme, Target},
    upstream::READ_AHEAD,
};

type Raw = Rewound<Watched<TcpStream>>;

/// Answers a CONNECT and, if it is allowed, begins the tunnel.
pub(super) async fn open(
    proxy: Arc<Proxy>,
    client: Arc<Client>,
    target: Target,
    request: &mut Request<Incoming>,
) -> Response<Body> {
    let judge = proxy.egress.policy.borrow().judge.clone();
    let rule = match judge.connection(Scheme::Https, &target) {
        Ok(rule) => rule,
        Err(reason) => {
            let refusal = Refusal::from(reason);
            proxy.denied(&refusal, target.host().to_string(), target.port(), "CONNECT").await;
            return refusal.response();
        }
    };
    let upgrade = hyper::upgrade::on(request);
    let tunnel = Tunnel { proxy: proxy.clone(), client, target };
    let (cancel, limit) = (proxy.cancel.clone(), proxy.egress.limits.handshake);
    proxy.tracker.spawn(async move {
        let work = async {
            if let Ok(Ok(upgraded)) = timeout(limit, upgrade).await {
                tunnel.run(upgraded, rule).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = cancel.cancelled() => {}
        }
    });
    empty(StatusCode::OK)
}

struct Tunnel {
    proxy: Arc<Proxy>,
    client: Arc<Client>,
    target: Target,
}

impl Tunnel {
    async fn run(self, upgraded: Upgraded, rule: ConnectionRule) {
        let Ok(parts) = upgraded.downcast::<TokioIo<Watched<TcpStream>>>() else { return };
        let stream = parts.io.into_inner();
        let result = match timeout(self.proxy.egress.limits.handshake, self.first(parts.read_buf, stream)).await {
            Ok(Ok((front, stream))) => self.go(front, stream, rule).await,
            Ok(Err(refusal)) => Err(refusal),
            Err(_) => Err(protocol("the TLS handshake did not begin in time")),
        };
        if let Err(refusal) = result {
            self.proxy.denied(&refusal, self.target.host().to_string(), self.target.port(), "CONNECT").await;
        }
    }

    /// Reads until the first message is whole, and checks that it is TLS and asks for the host that was judged.
    async fn first(&self, read: Bytes, mut stream: Watched<TcpStream>) -> Result<(Bytes, Watched<TcpStream>), Refusal> {
        let mut front = BytesMut::from(&read[..]);
        loop {
            match read_hello(&front) {
                Hello::Incomplete if front.len() < MAX_HELLO => {}
                Hello::Incomplete | Hello::NotTls => return Err(protocol("within a tunnel only TLS is spoken")),
                Hello::Client { encrypted: true, .. } => {
                    return Err(protocol("the host is hidden (ECH); switch that off"));
                }
                Hello::Client { server_name, encrypted: false } => {
                    self.check_name(server_name.as_deref())?;
                    return Ok((front.freeze(), stream));
                }
            }
            match stream.read_buf(&mut front).await {
                Ok(0) | Err(_) => return Err(protocol("the tunnel ended before TLS began")),
                Ok(_) => {}
            }
        }
    }

    /// The name that TLS asks for must be the one that was judged; for an address there must be none.
    fn check_name(&self, server_name: Option<&str>) -> Result<(), Refusal> {
        let same = match (self.target.host(), server_name) {
            (Host::Dns(name), Some(asked)) => Host::parse(asked).is_ok_and(|host| host == Host::Dns(name.clone())),
            (Host::Ip(_), None) => true,
            // Some programs put an address there although they must not.
            (Host::Ip(_), Some(asked)) => Host::parse(asked).is_ok_and(|host| host == *self.target.host()),
            (Host::Dns(_), None) => false,
        };
        if same { Ok(()) } else { Err(protocol("TLS asks for another host than CONNECT")) }
    }

    async fn go(&self, front: Bytes, stream: Watched<TcpStream>, rule: ConnectionRule) -> Result<(), Refusal> {
        let stream = Rewound::new(front, stream);
        if rule.pass_through.is_some() { self.pass_through(stream, &rule).await } else { self.opened(stream).await }
    }

    /// TLS ends here; each request is judged.
    async fn opened(&self, stream: Raw) -> Result<(), Refusal> {
        let egress = &self.proxy.egress;
        let config = egress.ca.server_config(self.target.host(), egress.clock.now()).map_err(|error| {
            tracing::error!(error = %error, "a tunnel cannot be opened");
            Refusal::upstream("no certificate could be made")
        })?;
        let stream = BufReader::with_capacity(READ_AHEAD, stream);
        let shaken = timeout(egress.limits.handshake, TlsAcceptor::from(config).accept(stream)).await;
        let stream = match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(error = %error, "a TLS handshake with a sandbox failed");
                return Err(protocol(
                    "the TLS handshake with the program failed; does it trust the sandbox's authority?",
                ));
            }
            Err(_) => return Err(protocol("the TLS handshake did not end in time")),
        };
        // The library read the same bytes; should it ever understand them differently, nothing is sent.
        self.check_name(stream.get_ref().1.server_name())?;
        let present = Present::default();
        let forwarder = Arc::new(Forwarder::new(self.proxy.clone(), self.client.clone(), present.clone()));
        let service = service_fn(|request: Request<Incoming>| {
            let forwarder = forwarder.clone();
            async move { Ok::<_, Infallible>(self.answer(request, &forwarder).await) }
        });
        let connection = pin!(self.proxy.http().serve_connection(TokioIo::new(stream), service).with_upgrades());
        let held = Held::Opened(self.target.clone());
        tokio::select! {
            result = connection => drop(result.inspect_err(|error| tracing::debug!(error = %error, "a client left"))),
            () = self.client.activity.ceased(egress.limits.idle) => {}
            () = revoked(egress, &held, &present) => {}
        }
        Ok(())
    }

    async fn answer(&self, request: Request<Incoming>, forwarder: &Forwarder) -> Response<Body> {
        match head::in_tunnel(&self.target, request.method(), request.uri(), request.headers()) {
            Ok(path) => {
                let destination = Destination { scheme: Scheme::Https, target: self.target.clone() };
                forwarder.forward(destination, path, request).await
            }
            Err(refusal) => {
                let (host, port) = (self.target.host().to_string(), self.target.port());
                self.proxy.denied(&refusal, host, port, request.method().as_str()).await;
                refusal.response()
            }
        }
    }

    /// TLS goes through unread, both ways, within the rule's caps.
    async fn pass_through(&self, stream: Raw, rule: &ConnectionRule) -> Result<(), Refusal> {
        let egress = &self.proxy.egress;
        let policy = egress.policy.borrow().clone();
        let Some((id, _)) = &rule.pass_through else { return Ok(()) };
        if !(egress.untainted)() {
            return Err(DenyReason::PassThroughTainted { rule: id.clone() }.into());
        }
        let Some(meter) = policy.judge.tunnel(rule) else { return Ok(()) };
        let judged = policy.judge.resolve(&self.target, rule.reach).await?;
        let (host, port) = (self.target.host().to_string(), self.target.port());
        let mut record = EgressRecord::new(Stage::Intent, egress.who.clone(), host, port, "CONNECT");
        record.rule = Some(id.clone());
        if let Some((address, class)) = judged.first() {
            (record.address, record.class) = (Some(address.to_string()), Some(class));
        }
        let present = Present::default();
        let (log, tracker) = (egress.log.clone(), self.proxy.tracker.clone());
        let receipt = Receipt::begin(record, meter, log, tracker, present.clone()).await?;
        let server = match judged.dial().await {
            Ok((server, ..)) => server,
            Err(error) => {
                let broken = receipt.broken("upstream", format!("could not connect: {}", error.kind()));
                tracing::debug!(error = %broken, "a tunnel could not be opened");
                return Ok(());
            }
        };
        let held = Held::Unopened(self.target.clone());
        tokio::select! {
            () = splice(stream, server, &receipt, None) => {}
            () = self.client.activity.ceased(egress.limits.idle) => {}
            () = revoked(egress, &held, &present) => {
                let _ = receipt.broken("revoked", String::new());
            }
        }
        Ok(())
    }
}

fn protocol(text: &'static str) -> Refusal {
    Refusal::protocol(text)
}
