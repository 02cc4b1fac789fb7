//! What a host remembers, who may do what, and what every request passes through before it is answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{gitea, github};

/// Which host is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GitHub: below `/`, on a host of its own.
    Github,
    /// Gitea: below `/api/v1`.
    Gitea,
}

/// How the host behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The only token that is accepted.
    pub token: String,
    /// `owner/name` of the only repository.
    pub repository: String,
    /// Whether the token may change anything.
    pub may_write: bool,
    /// Whether the repository takes drafts; GitHub's private ones on some plans do not.
    pub has_drafts: bool,
    /// Branches that exist, the default one first.
    pub branches: Vec<String>,
    /// Requests that are taken before the limit is reached; none: no limit.
    pub limit: Option<u32>,
    /// So many requests that make something are carried out and answered with 502.
    pub lost_answers: u32,
}

/// A pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// Its branch.
    pub head: String,
    /// The branch that it is for.
    pub base: String,
    /// Whether it is a draft.
    pub draft: bool,
    /// Whether it is open.
    pub open: bool,
}

/// A comment on a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// The pull request.
    pub on: u64,
    /// Its text.
    pub body: String,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub settings: Settings,
    pub pulls: Vec<Pull>,
    pub comments: Vec<Comment>,
    requests: Vec<String>,
}

/// A host of one repository. Cheap to clone; all clones are one host.
#[derive(Clone, Debug)]
pub struct ForgeDouble {
    kind: Kind,
    inner: Arc<Mutex<Inner>>,
}

/// One request, taken apart.
pub(super) struct Asked {
    pub method: Method,
    /// Behind the repository's own path: empty, `/pulls`, `/issues/3/comments`.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub body: Value,
}

impl Asked {
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Which page is asked for, and how many stand on one.
    pub fn page<T: Clone>(&self, all: &[T], size: &str, most: usize) -> Vec<T> {
        let number = |name: &str| self.query(name).and_then(|text| text.parse::<usize>().ok());
        let size = number(size).unwrap_or(30).clamp(1, most);
        let page = number("page").unwrap_or(1).max(1);
        all.iter().skip((page - 1) * size).take(size).cloned().collect()
    }
}

impl ForgeDouble {
    /// A host that behaves so.
    pub fn new(kind: Kind, settings: Settings) -> Self {
        let inner = Inner { settings, pulls: Vec::new(), comments: Vec::new(), requests: Vec::new() };
        Self { kind, inner: Arc::new(Mutex::new(inner)) }
    }

    /// Its routes.
    pub fn router(&self) -> Router {
        Router::new().fallback(handle).with_state(self.clone())
    }

    /// Changes how it behaves.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.inner().settings);
    }

    /// The pull requests, oldest first.
    pub fn pulls(&self) -> Vec<Pull> {
        self.inner().pulls.clone()
    }

    /// The comments, oldest first.
    pub fn comments(&self) -> Vec<Comment> {
        self.inner().comments.clone()
    }

    /// Every request, as `METHOD path?query`.
    pub fn requests(&self) -> Vec<String> {
        self.inner().requests.clone()
    }

    /// Opens a pull request as somebody else would. Gives its number.
    pub fn add_pull(&self, title: &str, head: &str, base: &str) -> u64 {
        let mut inner = self.inner();
        let number = inner.next();
        let pull = Pull {
            number,
            title: title.to_owned(),
            body: String::new(),
            head: head.to_owned(),
            base: base.to_owned(),
            draft: false,
            open: true,
        };
        inner.pulls.push(pull);
        number
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    pub fn next(&self) -> u64 {
        self.pulls.len() as u64 + 1
    }

    pub fn has_branch(&self, name: &str) -> bool {
        self.settings.branches.iter().any(|branch| branch == name)
    }

    pub fn open(&self, head: &str, base: &str) -> Option<&Pull> {
        self.pulls.iter().find(|pull| pull.open && pull.head == head && pull.base == base)
    }
}

/// An answer with a status and JSON.
pub(super) fn answer(status: u16, body: Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// A refusal in a message.
pub(super) fn refuse(status: u16, message: &str) -> Response {
    answer(status, json!({ "message": message }))
}

async fn handle(
    State(double): State<ForgeDouble>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut inner = double.inner();
    inner.requests.push(format!("{method} {uri}"));
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = given.strip_prefix("Bearer ").or(given.strip_prefix("token ")).unwrap_or_default();
    if token != inner.settings.token {
        return refuse(401, if double.kind == Kind::Github { "Bad credentials" } else { "user does not exist" });
    }
    if let Some(left) = inner.settings.limit {
        if left == 0 {
            let mut limited = refuse(403, "API rate limit exceeded for user ID 1.");
            limited.headers_mut().insert("x-ratelimit-remaining", header::HeaderValue::from_static("0"));
            limited.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("3600"));
            return limited;
        }
        inner.settings.limit = Some(left - 1);
    }
    let root = match double.kind {
        Kind::Github => format!("/repos/{}", inner.settings.repository),
        Kind::Gitea => format!("/v1/repos/{}", inner.settings.repository),
    };
    // Beside its repositories it is nested below `/api`, which is cut off there.
    let path = uri.path().strip_prefix("/api").unwrap_or(uri.path());
    let Some(path) = path.strip_prefix(&root) else { return refuse(404, "Not Found") };
    if method != Method::GET && !inner.settings.may_write {
        return refuse(403, "Resource not accessible by personal access token");
    }
    let Ok(body) = (if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&body) }) else {
        return refuse(400, "Problems parsing JSON");
    };
    let asked = Asked { method, path: path.to_owned(), query: pairs(uri.query().unwrap_or_default()), body };
    let made = inner.pulls.len() + inner.comments.len();
    let response = match double.kind {
        Kind::Github => github::respond(&mut inner, &asked),
        Kind::Gitea => gitea::respond(&mut inner, &asked),
    };
    if inner.pulls.len() + inner.comments.len() > made && inner.settings.lost_answers > 0 {
        inner.settings.lost_answers -= 1;
        return refuse(502, "Server Error");
    }
    response
}

/// A query taken apart and decoded.
fn pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match (first, digits.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (other, _) => {
                bytes.push(*other);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
