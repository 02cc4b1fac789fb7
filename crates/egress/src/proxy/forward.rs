//! One judged request on its way: credentials, judgement, record, connection, request, answer. In this order, so that
//! nothing is resolved that no rule allows, nothing is dialled that is not recorded, and nothing is sent elsewhere than to
//! what was judged.

use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri, Version,
    body::{Body as _, Incoming},
    client::conn::http1::{self, SendRequest},
    header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, HeaderValue, UPGRADE},
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use policy::redact::Redactor;
use tokio::sync::Mutex;
use types::Invariant;

use super::{
    EgressPolicy, Proxy,
    answer::{Body, Refusal, empty},
    body::{Download, Mask, Outgoing, ReadBody, Upload},
    credentials::{self, About, CredentialError, Filled},
    head,
    receipt::Receipt,
    revocation::{Active, Held, Present, revoked},
    serve::{BUFFER, Client},
    splice::splice,
};
use crate::{
    Allowed, DenyReason, EgressRecord, Stage,
    fetching::{self, Encoding},
    judge::Judged,
    model::{self, Interface, Refused},
    path::RequestPath,
    rules::{Ask, Reach},
    target::{Scheme, Target},
};

/// The most lines of an answer's head.
const MAX_ANSWER_HEADERS: usize = 256;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub scheme: Scheme,
    pub target: Target,
}

/// Forwards the requests of one connection from the sandbox, one after the other.
pub(super) struct Forwarder {
    proxy: Arc<Proxy>,
    client: Arc<Client>,
    present: Present,
    /// The connection of the request before, which the next may use.
    link: Mutex<Option<Link>>,
}

struct Link {
    destination: Destination,
    judged: Judged,
    sender: SendRequest<Upload>,
}

impl Forwarder {
    pub fn new(proxy: Arc<Proxy>, client: Arc<Client>, present: Present) -> Self {
        Self { proxy, client, present, link: Mutex::default() }
    }

    /// Forwards a request, or says why not.
    pub async fn forward(&self, to: Destination, path: RequestPath, request: Request<Incoming>) -> Response<Body> {
        let method = request.method().clone();
        match self.try_forward(&to, path, request).await {
            Ok(response) => response,
            Err(refusal) => {
                self.present.clear();
                let (host, port) = (to.target.host().to_string(), to.target.port());
                self.proxy.denied(&refusal, host, port, method.as_str()).await;
                refusal.response()
            }
        }
    }

    async fn try_forward(
        &self,
        to: &Destination,
        path: RequestPath,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let egress = &self.proxy.egress;
        let policy = egress.policy.borrow().clone();
        let upgrade = head::strip_connection(request.headers_mut());
        let method = request.method().clone();
        let about = About {
            target: &to.target,
            method: method.as_str(),
            path: &path,
            is_private: to.scheme == Scheme::Https
                || policy.judge.connection(to.scheme, &to.target).is_ok_and(|rule| rule.reach != Reach::Public),
            allowed: &policy.judge.rules().secrets,
        };
        let filled = credentials::fill(&egress.placeholders, &egress.vault, &about, request.headers_mut())?;
        if filled.credentialed {
            head::ask_for_plain_bytes(request.headers_mut());
        }
        let active = Active {
            scheme: to.scheme,
            target: to.target.clone(),
            method: method.to_string(),
            path,
            has_body: !request.body().is_end_stream(),
            upgrade: upgrade.is_some(),
            secrets: filled.used.clone(),
        };
        let allowed = self.judge(&policy, &active.ask())?;
        let client_side = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let (head, body) = request.into_parts();
        // A change of the rules ends the connection from here on, also while the body is awaited.
        self.present.set(active.clone());
        let body = if allowed.asks_model {
            self.looked_through(&active, &head.headers, body, &allowed).await?
        } else if allowed.fetches {
            self.fetching(&head.headers, body, &allowed).await?
        } else {
            Outgoing::Passing(body)
        };
        let mut link = self.link.lock().await;
        let reused = link
            .take()
            .filter(|link| link.destination == *to && link.judged.is_within(allowed.reach) && !link.sender.is_closed());
        let judged = match &reused {
            Some(link) => link.judged.clone(),
            None => policy.judge.resolve(&to.target, allowed.reach).await?,
        };
        // A rule for the owner's own network may name a host whose name leads elsewhere at this moment.
        if to.scheme == Scheme::Http
            && !judged.is_all_private()
            && let Some(secret) = filled.used.first()
        {
            return Err(CredentialError::Clear { secret: secret.clone() }.into());
        }
        let record = self.record(&active, &allowed, &judged, &filled);
        let (log, tracker) = (egress.log.clone(), self.proxy.tracker.clone());
        let receipt = Receipt::begin(record, allowed.meter, log, tracker, self.present.clone()).await?;
        let request = outgoing(head, body, &active, upgrade, &receipt);
        let sent = self.send(to, &policy, judged, reused, request).await;
        let (response, used) = sent.inspect_err(|refusal| drop(receipt.broken(refusal.code, String::new())))?;
        *link = Some(used);
        self.incoming(response, &filled, client_side, receipt)
    }

    /// Judges a request by the rules, and by those for what holds foreign text where that is so at this moment.
    fn judge(&self, policy: &EgressPolicy, ask: &Ask<'_>) -> Result<Allowed, DenyReason> {
        let allowed = policy.judge.judge(ask)?;
        match &policy.tainted {
            Some(tainted) if !(self.proxy.egress.untainted)() => tainted.judge(ask).map_err(|_| DenyReason::Foreign {
                method: ask.method.to_owned(),
                host: ask.target.host().to_string(),
                rule: allowed.rule,
            }),
            Some(_) | None => Ok(allowed),
        }
    }

    /// Reads the body of a request to a model, and looks through it.
    async fn looked_through(
        &self,
        active: &Active,
        headers: &HeaderMap,
        body: Incoming,
        allowed: &Allowed,
    ) -> Result<Outgoing, Refusal> {
        let interface = Interface::of(&active.method, &active.path);
        let refuse = |why: Refused| Refusal::model(interface, &why);
        let Some(asked) = interface else { return Err(refuse(Refused::NoModelRequest)) };
        if active.has_body && (is_encoded(headers) || !is_json(headers)) {
            return Err(refuse(Refused::Unreadable));
        }
        let read = self.read(body, model::MAX_BODY, allowed).await?.ok_or_else(|| refuse(Refused::TooLong))?;
        model::inspect(asked, &active.path, &read.bytes).map_err(refuse)?;
        Ok(Outgoing::Read(read))
    }

    /// Reads the body of what is called a fetch of git's, and looks whether it is one.
    async fn fetching(&self, headers: &HeaderMap, body: Incoming, allowed: &Allowed) -> Result<Outgoing, Refusal> {
        let refused = || DenyReason::OnlyReads { rule: allowed.rule.clone() };
        let kind = only(headers, &CONTENT_TYPE).unwrap_or_default();
        let encoding = match only(headers, &CONTENT_ENCODING) {
            Some(b"gzip") => Encoding::Gzip,
            None if !headers.contains_key(CONTENT_ENCODING) => Encoding::Plain,
            Some(_) | None => return Err(refused().into()),
        };
        if kind != fetching::KIND.as_bytes() {
            return Err(refused().into());
        }
        let Some(read) = self.read(body, fetching::MAX_BODY, allowed).await? else {
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "only-reads", "what git asks for is too long"));
        };
        if fetching::inspect(&read.bytes, encoding) { Ok(Outgoing::Read(read)) } else { Err(refused().into()) }
    }

    /// Reads a body that is looked at; none where it is longer than it may be, or than the rule lets through.
    async fn read(&self, body: Incoming, most: u64, allowed: &Allowed) -> Result<Option<ReadBody>, Refusal> {
        let place = self.proxy.bodies.clone().acquire_owned().await;
        let place = place.map_err(|_| Refusal::upstream("the proxy is ending"))?;
        let read = ReadBody::read(body, most.min(allowed.meter.most_up()), place).await;
        read.map_err(|_| Refusal::protocol("the body broke off"))
    }

    fn record(&self, active: &Active, allowed: &Allowed, judged: &Judged, filled: &Filled) -> EgressRecord {
        let (host, port) = (active.target.host().to_string(), active.target.port());
        let who = self.proxy.egress.who.clone();
        let mut record = EgressRecord::new(Stage::Intent, who, host, port, active.method.clone());
        record.path = allowed.logs_path.then(|| active.path.path().to_owned());
        record.rule = Some(allowed.rule.clone());
        record.secret = filled.used.first().map(ToString::to_string);
        if let Some((address, class)) = judged.first() {
            (record.address, record.class) = (Some(address.to_string()), Some(class));
        }
        record
    }

    /// Sends the request on the connection of the one before, if that still stands, or on a new one.
    async fn send(
        &self,
        to: &Destination,
        policy: &EgressPolicy,
        judged: Judged,
        reused: Option<Link>,
        mut request: Request<Upload>,
    ) -> Result<(Response<Incoming>, Link), Refusal> {
        if let Some(mut link) = reused
            && link.sender.ready().await.is_ok()
        {
            match link.sender.try_send_request(request).await {
                Ok(response) => return Ok((response, link)),
                Err(mut error) => match error.take_message() {
                    // The server closed it meanwhile, and saw nothing of this request.
                    Some(unsent) => request = unsent,
                    None => return Err(failed(error.error())),
                },
            }
        }
        let sender = self.connect(to, policy, &judged).await?;
        let mut link = Link { destination: to.clone(), judged, sender };
        let response = link.sender.send_request(request).await.map_err(|error| failed(&error))?;
        Ok((response, link))
    }

    async fn connect(
        &self,
        to: &Destination,
        policy: &EgressPolicy,
        judged: &Judged,
    ) -> Result<SendRequest<Upload>, Refusal> {
        let connection =
            policy.upstream.connect(judged, to.scheme).await.map_err(|error| Refusal::upstream(error.to_string()))?;
        let mut builder = http1::Builder::new();
        builder.max_headers(MAX_ANSWER_HEADERS).max_buf_size(BUFFER);
        let stream = TokioIo::new(connection.stream);
        let (sender, connection) = builder.handshake(stream).await.map_err(|error| failed(&error))?;
        let cancel = self.proxy.cancel.clone();
        self.proxy.tracker.spawn(async move {
            tokio::select! {
                // It ends when the sender is gone.
                result = connection.with_upgrades() => {
                    drop(result.inspect_err(|error| tracing::debug!(error = %error, "a server left")));
                }
                () = cancel.cancelled() => {}
            }
        });
        Ok(sender)
    }

    /// Makes the server's answer ours.
    fn incoming(
        &self,
        mut response: Response<Incoming>,
        filled: &Filled,
        client_side: Option<OnUpgrade>,
        receipt: Arc<Receipt>,
    ) -> Result<Response<Body>, Refusal> {
        receipt.answered(response.status());
        let redactor = self.redactor();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return self.switched(response, client_side, &redactor, receipt);
        }
        strip_answer(response.headers_mut());
        let has_body = !response.body().is_end_stream();
        if filled.credentialed && has_body && is_encoded(response.headers()) && !Invariant::NoSecretReadable.is_broken()
        {
            let _ = receipt.broken("encoded", String::new());
            return Err(Refusal::upstream("the server compressed its answer although it was asked not to"));
        }
        let searched = filled.credentialed || (!is_encoded(response.headers()) && is_text(response.headers()));
        mask_headers(&redactor, response.headers_mut());
        let (mut head, body) = response.into_parts();
        head.version = Version::HTTP_11;
        head.extensions = hyper::http::Extensions::new();
        let mask = searched.then(|| Mask::new(redactor)).flatten();
        Ok(Response::from_parts(head, Download::new(body, receipt, mask).boxed_unsync()))
    }

    /// The server changed the protocol: bytes both ways from here.
    fn switched(
        &self,
        mut response: Response<Incoming>,
        client_side: Option<OnUpgrade>,
        redactor: &Arc<Redactor>,
        receipt: Arc<Receipt>,
    ) -> Result<Response<Body>, Refusal> {
        let Some(client_side) = client_side else {
            return Err(Refusal::upstream("the server changed the protocol unasked"));
        };
        let server_side = hyper::upgrade::on(&mut response);
        let mask = Mask::new(redactor.clone());
        let cancel = self.proxy.cancel.clone();
        // The client comes along: what was one connection stays one among those that are allowed.
        let (egress, client, present) = (self.proxy.egress.clone(), self.client.clone(), self.present.clone());
        self.proxy.tracker.spawn(async move {
            let both = async { tokio::try_join!(client_side, server_side).ok() };
            let work = async {
                if let Some((client, server)) = both.await {
                    splice(TokioIo::new(client), TokioIo::new(server), &receipt, mask).await;
                }
            };
            tokio::select! {
                () = work => {}
                () = client.activity.ceased(egress.limits.idle) => {}
                () = revoked(&egress, &Held::Nothing, &present) => {
                    let _ = receipt.broken("revoked", String::new());
                }
                () = cancel.cancelled() => {}
            }
        });
        let mut answer = empty(StatusCode::SWITCHING_PROTOCOLS);
        std::mem::swap(answer.headers_mut(), response.headers_mut());
        mask_headers(redactor, answer.headers_mut());
        Ok(answer)
    }

    fn redactor(&self) -> Arc<Redactor> {
        if Invariant::NoSecretReadable.is_broken() { Arc::default() } else { self.proxy.egress.vault.redactor() }
    }
}

/// The request as it goes to the server.
fn outgoing(
    mut head: hyper::http::request::Parts,
    body: Outgoing,
    active: &Active,
    upgrade: Option<HeaderValue>,
    receipt: &Arc<Receipt>,
) -> Request<Upload> {
    head.version = Version::HTTP_11;
    // The path was parsed and judged as this very text.
    head.uri = Uri::try_from(active.path.as_str()).unwrap_or_default();
    head.extensions = hyper::http::Extensions::new();
    let host = active.target.host_header(active.scheme);
    head.headers.insert(HOST, HeaderValue::from_str(&host).unwrap_or_else(|_| HeaderValue::from_static("")));
    if let Some(upgrade) = upgrade {
        head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, upgrade);
    }
    debug_assert!(head.method != Method::CONNECT);
    Request::from_parts(head, Upload::new(body, receipt.clone()))
}

fn failed(error: &hyper::Error) -> Refusal {
    // The library's text may hold what the server sent, so only the kind is told.
    let what = if error.is_timeout() {
        "did not answer in time"
    } else if error.is_parse() || error.is_parse_status() {
        "answered with something that is no HTTP/1.1"
    } else if error.is_user() || error.is_body_write_aborted() {
        "did not get the whole request, which broke off or exceeded a cap"
    } else {
        "broke the connection"
    };
    Refusal::upstream(format!("the server {what}"))
}

/// Removes what concerns our connection to the server alone, and what would lead the program around the proxy.
fn strip_answer(headers: &mut HeaderMap) {
    let _ = head::strip_connection(headers);
    headers.remove("alt-svc");
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none()).map(HeaderValue::as_bytes)
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity") && !value.is_empty())
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_alone = headers.get_all(CONTENT_TYPE).iter().count() == 1;
    let mut parts = kind.split(';').map(str::trim);
    // In another encoding it could read differently.
    let is_kind = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    is_alone && is_kind && parts.all(|part| part.is_empty() || part.eq_ignore_ascii_case("charset=utf-8"))
}

/// Whether a body is likely to be text: other bodies from hosts without a credential are not searched, which costs time.
fn is_text(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return true };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let textual = ["json", "xml", "javascript", "yaml", "x-www-form-urlencoded"];
    kind.starts_with("text/") || textual.iter().any(|word| kind.ends_with(word))
}

fn mask_headers(redactor: &Redactor, headers: &mut HeaderMap) {
    if redactor.is_empty() {
        return;
    }
    for value in headers.values_mut() {
        let mut bytes = value.as_bytes().to_vec();
        if redactor.mask(&mut bytes) {
            *value = HeaderValue::from_bytes(&bytes).unwrap_or_else(|_| HeaderValue::from_static(""));
        }
    }
}
