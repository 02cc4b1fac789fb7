//! One request to a host's interface, and what its answer means. Must not know which host it is.

use std::{sync::Arc, time::Duration};

use egress::{EgressRules, FetchError, FetchRequest, Fetched, Fetcher, Redirects, Vault, WebTarget};
use policy::Grant;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use types::{SecretName, Sink};

use super::PullRequest;

/// The most bytes of one answer.
const MAX_ANSWER: usize = 8 << 20;
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a request that changes nothing is tried.
const TRIES: u32 = 3;
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Pages of comments that are looked through.
const PAGES: usize = 10;
/// Comments on one page.
const PER_PAGE: usize = 50;

/// Why a host did not do what it should. Safe to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForgeError {
    /// No secret goes along with the request.
    #[error("no secret of the workspace is bound to {method} {place}; bind one with `factotum secret bind`")]
    NoSecret {
        /// The method.
        method: &'static str,
        /// The host and path.
        place: String,
    },
    /// The host does not know the token.
    #[error("{host} does not accept the token (401); replace it with `factotum secret set`")]
    Unauthorized {
        /// The host.
        host: String,
    },
    /// The token may not do this.
    #[error("{host} refuses this to the token (403: {said}); look at its rights")]
    Forbidden {
        /// The host.
        host: String,
        /// The host's words.
        said: String,
    },
    /// Too many requests.
    #[error("{host} takes no more requests for now{}; try again later", wait(.after))]
    Limited {
        /// The host.
        host: String,
        /// When it will, in seconds, if it says so.
        after: Option<u64>,
    },
    /// There is no such thing, or the token may not see it.
    #[error("{host} knows no {path}, or does not show it to the token (404)")]
    NotFound {
        /// The host.
        host: String,
        /// The path.
        path: String,
    },
    /// The host understood and refuses.
    #[error("{host} refuses it ({status}): {said}")]
    Refused {
        /// The host.
        host: String,
        /// 409 or 422, or another of this kind.
        status: u16,
        /// The host's words.
        said: String,
    },
    /// The host failed.
    #[error("{host} failed ({status})")]
    Failed {
        /// The host.
        host: String,
        /// The status.
        status: u16,
    },
    /// The answer is not what it should be.
    #[error("the host's answer is not what it should be: {0}")]
    Malformed(&'static str),
    /// There was no answer.
    #[error(transparent)]
    Network(#[from] FetchError),
    /// What changes something was to be done without an approval of it.
    #[error("the grant is not for sending with a credential")]
    NotGranted,
}

fn wait(after: &Option<u64>) -> String {
    after.map_or(String::new(), |seconds| format!(" (for {seconds} s)"))
}

impl ForgeError {
    /// Whether what was to be made may be there all the same.
    pub(super) fn may_be_there(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::Failed { .. } | Self::Malformed(_) => true,
            Self::Network(error) => matches!(error, FetchError::Failed(_)),
            Self::NoSecret { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::Limited { .. }
            | Self::NotFound { .. }
            | Self::NotGranted => false,
        }
    }

    fn may_pass(&self) -> Option<Duration> {
        match self {
            Self::Failed { .. } => Some(Duration::from_secs(1)),
            Self::Limited { after, .. } => Some(Duration::from_secs(after.unwrap_or(5))),
            Self::Network(FetchError::Failed(_)) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

/// Refuses to change anything without the approval of a sending.
pub(super) fn require(approved: &Grant) -> Result<(), ForgeError> {
    let is_right = approved.sink() == Sink::Credential && !approved.is_read_only();
    if is_right { Ok(()) } else { Err(ForgeError::NotGranted) }
}

/// A host's interface.
pub(super) struct Rest {
    fetcher: Fetcher,
    rules: Arc<EgressRules>,
    vault: Vault,
    api: String,
}

impl Rest {
    pub fn new(fetcher: Fetcher, rules: Arc<EgressRules>, vault: Vault, api: String) -> Self {
        Self { fetcher, rules, vault, api }
    }

    /// Reads. What may pass is tried again a few times.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, ForgeError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match self.send("GET", path, query, None).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match error.may_pass() {
                Some(wait) if tries < TRIES && wait <= LONGEST_WAIT => tokio::time::sleep(wait * tries).await,
                Some(_) | None => return Err(error),
            }
        }
    }

    /// Makes something, once.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ForgeError> {
        self.send("POST", path, &[], Some(body)).await
    }

    async fn send(
        &self,
        method: &'static str,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, ForgeError> {
        let full = format!("{}{path}{}", self.api, query_text(query));
        let url = WebTarget::parse(&full).map_err(|_| ForgeError::Malformed("an address that cannot be formed"))?;
        let Some(secret) = self.secret(method, &url) else {
            return Err(ForgeError::NoSecret { method, place: format!("{}{path}", url.target.host()) });
        };
        let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
        if body.is_some() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let request = FetchRequest {
            url: url.clone(),
            method: method.to_owned(),
            headers,
            body: body.map(|body| body.to_string().into_bytes()),
            secret: Some(secret),
            redirects: Redirects::Stop,
            max_bytes: MAX_ANSWER,
            timeout: PATIENCE,
        };
        let answer = self.fetcher.fetch(request, &CancellationToken::new()).await?;
        read(&url.target.host().to_string(), path, &answer)
    }

    /// The secret of the workspace that is bound to a request.
    fn secret(&self, method: &str, url: &WebTarget) -> Option<SecretName> {
        let bound = self.vault.bound().ok()?;
        let allows = |secret: &&egress::BoundSecret| {
            self.rules.secrets.contains(&secret.name)
                && secret.bindings.iter().any(|binding| binding.allows(&url.target, method, &url.path))
        };
        bound.iter().find(allows).map(|secret| secret.name.clone())
    }
}

fn query_text(query: &[(&str, &str)]) -> String {
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect()
    };
    let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// What an answer means.
fn read(host: &str, path: &str, answer: &Fetched) -> Result<Value, ForgeError> {
    let host = host.to_owned();
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    match answer.status {
        200 | 201 if answer.is_cut => Err(ForgeError::Malformed("it is too long")),
        200 | 201 => body.ok_or(ForgeError::Malformed("it is no JSON")),
        401 => Err(ForgeError::Unauthorized { host }),
        429 => Err(ForgeError::Limited { host, after: answer.retry_after }),
        // GitHub says so when its limits are reached, the secondary ones included.
        403 if answer.retry_after.is_some() || said(&body).to_ascii_lowercase().contains("rate limit") => {
            Err(ForgeError::Limited { host, after: answer.retry_after })
        }
        403 => Err(ForgeError::Forbidden { host, said: said(&body) }),
        404 => Err(ForgeError::NotFound { host, path: path.to_owned() }),
        status @ 400..=499 => Err(ForgeError::Refused { host, status, said: said(&body) }),
        status @ 500..=599 => Err(ForgeError::Failed { host, status }),
        _ => Err(ForgeError::Malformed("it leads somewhere else")),
    }
}

/// The host's words about a refusal, in a line.
fn said(body: &Option<Value>) -> String {
    let Some(body) = body else { return String::new() };
    let message = body["message"].as_str().unwrap_or_default();
    let errors = body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let more = errors.iter().filter_map(|error| error["message"].as_str().or(error.as_str()));
    let all: Vec<&str> = std::iter::once(message).chain(more).filter(|text| !text.is_empty()).collect();
    all.join("; ").chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

/// A text in an answer.
pub(super) fn text(answer: &Value, pointer: &str) -> Result<String, ForgeError> {
    let found = answer.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).ok_or(ForgeError::Malformed("something is missing in it"))
}

/// A pull request in an answer; both kinds of host tell it alike.
pub(super) fn pull_request(answer: &Value) -> Result<PullRequest, ForgeError> {
    let number = answer["number"].as_u64().ok_or(ForgeError::Malformed("a pull request without a number"))?;
    Ok(PullRequest {
        number,
        url: text(answer, "/html_url")?,
        title: text(answer, "/title")?,
        // An empty one is null at some hosts.
        body: answer["body"].as_str().unwrap_or_default().to_owned(),
        head: text(answer, "/head/sha")?,
        base: text(answer, "/base/ref")?,
    })
}

/// The address of the comment that holds the mark.
pub(super) async fn find_comment(rest: &Rest, path: &str, mark: &str) -> Result<Option<String>, ForgeError> {
    for page in 1..=PAGES {
        let (page, count) = (page.to_string(), PER_PAGE.to_string());
        let answer = rest.get(path, &[("page", &page), ("per_page", &count), ("limit", &count)]).await?;
        let comments = answer.as_array().ok_or(ForgeError::Malformed("no list of comments"))?;
        let has_mark = |comment: &&Value| comment["body"].as_str().is_some_and(|body| body.contains(mark));
        if let Some(comment) = comments.iter().find(has_mark) {
            return text(comment, "/html_url").map(Some);
        }
        if comments.len() < PER_PAGE {
            return Ok(None);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str, retry_after: Option<u64>) -> Result<Value, ForgeError> {
        let fetched = Fetched {
            status,
            url: WebTarget::parse("https://api.github.com/").expect("it is an address"),
            content_type: None,
            location: None,
            retry_after,
            body: body.as_bytes().to_vec(),
            is_cut: false,
        };
        read("api.github.com", "/repos/a/b", &fetched)
    }

    #[test]
    fn refusals_are_told_in_words() {
        let words = |status, body, after| answer(status, body, after).expect_err("a refusal").to_string();
        assert!(words(401, "{}", None).contains("does not accept the token"));
        assert!(words(403, r#"{"message":"Resource not accessible"}"#, None).contains("Resource not accessible"));
        assert!(words(403, r#"{"message":"API rate limit exceeded for user"}"#, None).contains("no more requests"));
        assert!(words(429, "", Some(9)).contains("for 9 s"));
        assert!(words(404, "{}", None).contains("/repos/a/b"));
        let exists =
            r#"{"message":"Validation Failed","errors":[{"message":"A pull request already exists for a:b."}]}"#;
        assert_eq!(
            words(422, exists, None),
            "api.github.com refuses it (422): Validation Failed; A pull request already exists for a:b."
        );
        assert!(words(502, "<html>", None).contains("failed (502)"));
        assert!(words(302, "", None).contains("somewhere else"));
        assert!(words(200, "<html>", None).contains("no JSON"));
    }

    #[test]
    fn queries_are_encoded() {
        assert_eq!(query_text(&[("head", "a:b/c&d"), ("x", "ü")]), "?head=a%3Ab%2Fc%26d&x=%C3%BC");
        assert_eq!(query_text(&[]), "");
    }
}
