//! Requests of this process to targets that a model or a page chose: each hop goes through the judge, is recorded before
//! it is sent, and is bounded in bytes and time. Nothing is decompressed, rendered or executed. Must not know tools. Start
//! with [`Fetcher::fetch`].

mod credentials;
mod hop;

use std::{sync::Arc, time::Duration};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use types::SecretName;

use crate::{
    EgressError, EgressErrorKind as Kind, VaultError,
    deny::DenyReason,
    judge::Judge,
    log::{EgressLog, Who},
    proxy::{is_credential, overrides_method},
    target::{Scheme, WebTarget},
    upstream::Upstream,
};

pub use credentials::VaultCredentials;

/// The most redirects of one fetch.
const MAX_HOPS: usize = 5;
/// The most headers that a caller may set.
const MAX_HEADERS: usize = 32;

/// Fetches on behalf of one session. Cheap to clone.
#[derive(Clone)]
pub struct Fetcher {
    judge: Judge,
    upstream: Upstream,
    log: Arc<dyn EgressLog>,
    credentials: Option<Arc<dyn Credentials>>,
    who: Who,
}

/// Puts secrets into requests, each into its own slot.
pub trait Credentials: Send + Sync {
    /// The header that carries the secret in just this request; none if it is not bound to it.
    fn header(&self, name: &SecretName, method: &str, to: &WebTarget) -> Result<Option<SecretHeader>, VaultError>;
    /// Masks every known value in an answer. Where the answer was cut, an end that may be the beginning of a value goes.
    fn mask(&self, bytes: &mut Vec<u8>, is_whole: bool);
}

/// A header that carries a secret.
pub struct SecretHeader {
    /// Its name.
    pub name: HeaderName,
    /// Its value; marked as sensitive by the fetcher.
    pub value: HeaderValue,
}

/// What to do with an answer that leads elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// Follow, judging each hop anew.
    Follow,
    /// Follow only within the scheme, host and port of the first request.
    SameOrigin,
    /// Hand the answer over as it is.
    Stop,
}

/// One request.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// Where to, as parsed by [`WebTarget`].
    pub url: WebTarget,
    /// The method in upper case.
    pub method: String,
    /// Headers, without any that carry credentials or frame the message.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// The secret that goes into the request, where it is bound to it.
    pub secret: Option<SecretName>,
    /// What to do with redirects.
    pub redirects: Redirects,
    /// The most bytes of the answer's body that are read; the rest is cut off.
    pub max_bytes: usize,
    /// How long everything may take.
    pub timeout: Duration,
}

impl FetchRequest {
    /// A GET that follows redirects, of at most 4 MiB and 30 seconds.
    pub fn get(url: WebTarget) -> Self {
        Self {
            url,
            method: "GET".to_owned(),
            headers: Vec::new(),
            body: None,
            secret: None,
            redirects: Redirects::Follow,
            max_bytes: 4 << 20,
            timeout: Duration::from_secs(30),
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The status of the last hop.
    pub status: u16,
    /// Where the answer came from, after redirects.
    pub url: WebTarget,
    /// Its `Content-Type`, if it is text.
    pub content_type: Option<String>,
    /// Where it leads, if it is a redirect that was not followed.
    pub location: Option<String>,
    /// For how many seconds the host wants no more requests, if it says so in seconds (RFC 9110, section 10.2.3).
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the body was longer.
    pub is_cut: bool,
}

/// Why there is no answer. Safe to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Refused before anything was sent to the last hop.
    #[error("{reason}")]
    Denied {
        /// Why.
        reason: DenyReason,
    },
    /// Refused because an answer led somewhere else; `to` is where.
    #[error("the answer leads to {to}: {reason}")]
    Redirect {
        /// Where to, without path and query.
        to: String,
        /// Why it was not followed.
        reason: DenyReason,
    },
    /// Something went wrong on the way.
    #[error(transparent)]
    Failed(#[from] EgressError),
}

impl From<DenyReason> for FetchError {
    fn from(reason: DenyReason) -> Self {
        Self::Denied { reason }
    }
}

impl Fetcher {
    /// A fetcher by this judge. Without `credentials` no request carries a secret.
    pub fn new(
        judge: Judge,
        upstream: Upstream,
        log: Arc<dyn EgressLog>,
        credentials: Option<Arc<dyn Credentials>>,
        who: Who,
    ) -> Self {
        Self { judge, upstream, log, credentials, who }
    }

    /// Makes the request, following redirects as asked. Ends within milliseconds of `cancel`.
    pub async fn fetch(&self, request: FetchRequest, cancel: &CancellationToken) -> Result<Fetched, FetchError> {
        let deadline = Instant::now() + request.timeout;
        let fetching = timeout_at(deadline, self.follow(request));
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(EgressError::cancelled().into()),
            fetched = fetching => fetched.unwrap_or_else(|_| {
                Err(EgressError::new(Kind::Timeout, "the answer was not complete in time").into())
            }),
        }
    }

    async fn follow(&self, request: FetchRequest) -> Result<Fetched, FetchError> {
        let origin = request.url.clone();
        let mut hop = hop::Hop::new(&request)?;
        for _ in 0..=MAX_HOPS {
            let is_first = hop.url == origin;
            let led = |error: FetchError| match error {
                FetchError::Denied { reason } if !is_first => FetchError::Redirect { to: site(&hop.url), reason },
                other => other,
            };
            let fetched = self.exchange(&hop, &request).await.map_err(led)?;
            let Some(location) = fetched.location.as_deref().filter(|_| request.redirects != Redirects::Stop) else {
                return Ok(fetched);
            };
            let next = hop.url.join(location).map_err(|error| FetchError::Denied { reason: error.into() })?;
            check_redirect(&origin, &hop.url, &next, request.redirects)?;
            hop.turn_to(next, fetched.status, &origin);
        }
        Err(DenyReason::Protocol("the answers lead on and on: more than five redirects").into())
    }
}

/// Whether a redirect may be followed at all; the judge decides afterwards.
fn check_redirect(
    origin: &WebTarget,
    from: &WebTarget,
    to: &WebTarget,
    redirects: Redirects,
) -> Result<(), FetchError> {
    let refuse = |why| Err(FetchError::Redirect { to: site(to), reason: DenyReason::Protocol(why) });
    if from.scheme == Scheme::Https && to.scheme == Scheme::Http {
        return refuse("from https to http is not followed");
    }
    if redirects == Redirects::SameOrigin && !origin.same_origin(to) {
        return refuse("only the site that was asked for may be reached; fetch that address itself");
    }
    Ok(())
}

/// Scheme, host and port, for messages.
fn site(url: &WebTarget) -> String {
    format!("{}://{}", url.scheme.as_str(), url.target.host_header(url.scheme))
}

/// The caller's headers, of which those are refused that frame the message, name the host, ask for another method or carry
/// credentials: the vault's secrets go in by their binding, and nobody else's do.
fn caller_headers(headers: &[(String, String)]) -> Result<HeaderMap, DenyReason> {
    const CLOSED: [&str; 13] = [
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "if-range",
        "keep-alive",
        "proxy-connection",
        // Two halves of a reflected secret would each pass the mask.
        "range",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    if headers.len() > MAX_HEADERS {
        return Err(DenyReason::Protocol("more than 32 headers"));
    }
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().map_err(|_| DenyReason::Protocol("a header's name is malformed"))?;
        let value = HeaderValue::from_str(value).map_err(|_| DenyReason::Protocol("a header's value is malformed"))?;
        if CLOSED.contains(&name.as_str()) || overrides_method(&name) || is_credential(&name, &[]) {
            return Err(DenyReason::Protocol(
                "a header that frames the message, names the host or another method, or carries a credential is not for the \
                 caller to set",
            ));
        }
        map.append(name, value);
    }
    Ok(map)
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("who", &self.who).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_with_a_meaning_of_their_own_are_not_for_the_caller() {
        let set = |name: &str| caller_headers(&[(name.to_owned(), "DELETE".to_owned())]).map(|map| map.len());
        for closed in ["Host", "authorization", "X-HTTP-Method-Override", "x-http-method", "X_Method_Override"] {
            assert!(matches!(set(closed), Err(DenyReason::Protocol(_))), "{closed}");
        }
        assert_eq!(set("X-Request-Id"), Ok(1));
    }
}
