//! One hop of a fetch: judged, recorded, sent, read, recorded. Must not follow anything.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
    USER_AGENT,
};
use tokio::task::JoinSet;
use types::Invariant;

use super::{FetchError, FetchRequest, Fetched, Fetcher, SecretHeader, caller_headers};
use crate::{
    EgressError, EgressErrorKind as Kind,
    deny::DenyReason,
    judge::{Allowed, Judged},
    log::{EgressRecord, Stage},
    rules::Ask,
    target::{Scheme, WebTarget},
};

/// What is sent to one place.
pub(super) struct Hop {
    pub url: WebTarget,
    method: String,
    headers: HeaderMap,
    body: Option<Bytes>,
    /// Whether the secret may go along: only at the origin of the first request.
    with_secret: bool,
}

impl Hop {
    pub fn new(request: &FetchRequest) -> Result<Self, DenyReason> {
        Ok(Self {
            url: request.url.clone(),
            method: request.method.clone(),
            headers: caller_headers(&request.headers)?,
            body: request.body.clone().map(Bytes::from),
            with_secret: request.secret.is_some(),
        })
    }

    /// Goes on to `next` after an answer with this status (RFC 9110, section 15.4). What the caller set goes to the origin
    /// it was meant for alone.
    pub fn turn_to(&mut self, next: WebTarget, status: u16, origin: &WebTarget) {
        let was_post = self.method == "POST" && matches!(status, 301 | 302);
        if (was_post || status == 303) && self.method != "HEAD" {
            self.method = "GET".to_owned();
            self.body = None;
            self.headers.remove(CONTENT_TYPE);
        }
        if !origin.same_origin(&next) {
            let accept = self.headers.remove(ACCEPT);
            let body_type = self.headers.remove(CONTENT_TYPE);
            self.headers.clear();
            self.headers.extend(accept.map(|value| (ACCEPT, value)));
            self.headers.extend(body_type.map(|value| (CONTENT_TYPE, value)));
            self.with_secret = false;
        }
        self.url = next;
    }
}

/// An answer whose body was read, and what it moved.
struct Read {
    fetched: Fetched,
    broken_off: Option<DenyReason>,
}

impl Fetcher {
    /// Judges, records, sends and reads one hop.
    pub(super) async fn exchange(&self, hop: &Hop, request: &FetchRequest) -> Result<Fetched, FetchError> {
        let mut record = self.new_record(hop);
        let secret = self.secret_for(hop, request)?;
        let judged = match self.judge_hop(hop, secret.is_some(), &mut record).await {
            Ok(judged) => judged,
            Err(reason) => {
                record.stage = Stage::Denied;
                record.reason = Some(reason.code());
                // A refusal that cannot be recorded is still a refusal.
                let _ = self.log.record(&record).await;
                return Err(reason.into());
            }
        };
        if secret.is_some() && hop.url.scheme == Scheme::Http && !judged.1.is_all_private() {
            let reason = DenyReason::Protocol("a secret does not go to a public host in the clear; use https");
            record.stage = Stage::Denied;
            record.reason = Some(reason.code());
            if self.log.record(&record).await.is_err() {
                return Err(DenyReason::Unrecorded.into());
            }
            return Err(reason.into());
        }
        record.secret = secret.is_some().then(|| request.secret.as_ref().map(ToString::to_string)).flatten();
        record.stage = Stage::Intent;
        if self.log.record(&record).await.is_err() && !Invariant::AuditBeforeEffect.is_broken() {
            return Err(DenyReason::Unrecorded.into());
        }
        let outcome = self.send(hop, secret, &judged, request, &mut record).await;
        record.stage = Stage::Outcome;
        record.moved = judged.0.meter.moved();
        record.reason = match &outcome {
            Ok(read) => read.broken_off.as_ref().map(DenyReason::code),
            Err(_) => Some("failed"),
        };
        record.status = outcome.as_ref().ok().map(|read| read.fetched.status);
        if self.log.record(&record).await.is_err() && !Invariant::AuditBeforeEffect.is_broken() {
            return Err(DenyReason::Unrecorded.into());
        }
        let read = outcome?;
        read.broken_off.map_or(Ok(read.fetched), |reason| Err(reason.into()))
    }

    fn new_record(&self, hop: &Hop) -> EgressRecord {
        let host = hop.url.target.host().to_string();
        EgressRecord::new(Stage::Intent, self.who.clone(), host, hop.url.target.port(), hop.method.clone())
    }

    fn secret_for(&self, hop: &Hop, request: &FetchRequest) -> Result<Option<SecretHeader>, FetchError> {
        let (Some(name), Some(credentials), true) = (&request.secret, &self.credentials, hop.with_secret) else {
            return Ok(None);
        };
        let header = credentials.header(name, &hop.method, &hop.url).map_err(EgressError::from)?;
        let Some(mut header) = header else {
            return Err(DenyReason::Protocol("the secret is not bound to this host, method and path").into());
        };
        header.value.set_sensitive(true);
        Ok(Some(header))
    }

    async fn judge_hop(
        &self,
        hop: &Hop,
        has_secret: bool,
        record: &mut EgressRecord,
    ) -> Result<(Allowed, Judged), DenyReason> {
        let url = &hop.url;
        let has_body = hop.body.as_ref().is_some_and(|body| !body.is_empty());
        let ask = Ask {
            scheme: url.scheme,
            target: &url.target,
            method: &hop.method,
            path: &url.path,
            has_body,
            upgrade: false,
            has_secret,
        };
        let allowed = self.judge.judge(&ask)?;
        if allowed.fetches {
            // Nobody speaks git through here.
            return Err(DenyReason::OnlyReads { rule: allowed.rule });
        }
        record.rule = Some(allowed.rule.clone());
        record.path = allowed.logs_path.then(|| url.path.path().to_owned());
        let judged = self.judge.resolve(&url.target, allowed.reach).await;
        if let Err(DenyReason::Address { class, .. }) = &judged {
            record.class = Some(*class);
        }
        let judged = judged?;
        let first = judged.first();
        record.address = first.map(|(address, _)| address.ip().to_string());
        record.class = first.map(|(_, class)| class);
        Ok((allowed, judged))
    }

    async fn send(
        &self,
        hop: &Hop,
        secret: Option<SecretHeader>,
        (allowed, judged): &(Allowed, Judged),
        request: &FetchRequest,
        record: &mut EgressRecord,
    ) -> Result<Read, FetchError> {
        allowed.meter.send(hop.body.as_ref().map_or(0, |body| body.len() as u64))?;
        let connection = self.upstream.connect(judged, hop.url.scheme).await?;
        record.address = Some(connection.address.ip().to_string());
        record.class = Some(connection.class);
        let (mut sender, driver) = http1::Builder::new()
            .max_buf_size(64 * 1024)
            .handshake::<_, Full<Bytes>>(TokioIo::new(connection.stream))
            .await
            .map_err(|error| broken(&error))?;
        // The set ends the connection's driver when this function returns, whatever the reason.
        let mut drivers = JoinSet::new();
        drivers.spawn(driver);
        let response = sender.send_request(self.message(hop, secret)?).await.map_err(|error| broken(&error))?;
        self.read(response, hop, allowed, request).await
    }

    fn message(&self, hop: &Hop, secret: Option<SecretHeader>) -> Result<hyper::Request<Full<Bytes>>, FetchError> {
        let malformed = || FetchError::from(DenyReason::Protocol("the request cannot be formed"));
        let body = Full::new(hop.body.clone().unwrap_or_default());
        let mut message = hyper::Request::builder()
            .method(hop.method.as_str())
            .uri(hop.url.path.as_str())
            .body(body)
            .map_err(|_| malformed())?;
        let headers = message.headers_mut();
        *headers = hop.headers.clone();
        let host = hop.url.target.host_header(hop.url.scheme);
        headers.insert(HOST, HeaderValue::from_str(&host).map_err(|_| malformed())?);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let agent = HeaderValue::from_static(concat!("factotum/", env!("CARGO_PKG_VERSION")));
        headers.entry(USER_AGENT).or_insert(agent);
        if let Some(secret) = secret {
            headers.insert(secret.name, secret.value);
        }
        Ok(message)
    }

    async fn read(
        &self,
        response: Response<Incoming>,
        hop: &Hop,
        allowed: &Allowed,
        request: &FetchRequest,
    ) -> Result<Read, FetchError> {
        let (head, mut body) = response.into_parts();
        let text = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        if text(CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            let message = "the answer is compressed although that was not asked for";
            return Err(EgressError::new(Kind::Malformed, message).into());
        }
        let is_redirect = matches!(head.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let mut fetched = Fetched {
            status: head.status.as_u16(),
            url: hop.url.clone(),
            content_type: text(CONTENT_TYPE).map(str::to_owned),
            location: text(LOCATION).filter(|_| is_redirect).map(str::to_owned),
            retry_after: text(RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok()),
            body: Vec::new(),
            is_cut: false,
        };
        let mut broken_off = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
            if let Err(reason) = allowed.meter.receive(data.len() as u64) {
                broken_off = Some(reason);
                break;
            }
            let room = request.max_bytes.saturating_sub(fetched.body.len());
            fetched.body.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                fetched.is_cut = true;
                break;
            }
        }
        if let Some(credentials) = &self.credentials {
            credentials.mask(&mut fetched.body, !fetched.is_cut);
        }
        Ok(Read { fetched, broken_off })
    }
}

/// A failure of the HTTP library, without anything of the request.
fn broken(error: &hyper::Error) -> FetchError {
    let kind = if error.is_parse() || error.is_parse_too_large() { Kind::Malformed } else { Kind::Closed };
    EgressError::new(kind, format!("the exchange broke: {error}")).into()
}
