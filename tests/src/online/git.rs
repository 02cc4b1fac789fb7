//! A Git server that speaks the smart HTTP protocol, by way of git's own `http-backend`, and asks for a token as GitHub
//! does.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::io::AsyncWriteExt;

use crate::Repository;

/// The largest push.
const MAX_BODY: usize = 64 << 20;

/// What it asks for.
pub const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";

/// A directory of bare repositories behind HTTP.
#[derive(Clone)]
pub struct GitServer {
    root: PathBuf,
    /// The `Authorization` headers that came, by path.
    seen: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
}

impl GitServer {
    /// An empty server that serves nobody without the token.
    pub fn new(root: &Path) -> Self {
        std::fs::create_dir_all(root).unwrap();
        Self { root: root.to_owned(), seen: Arc::default() }
    }

    /// Takes in a repository's main branch as `acme/app.git`, and gives the directory of that.
    pub fn adopt(&self, repository: &Repository) -> PathBuf {
        let bare = self.root.join("acme/app.git");
        let place = bare.display().to_string();
        repository.git(&["init", "-q", "--bare", "-b", "main", &place]);
        repository.git(&["push", "-q", &place, "HEAD:refs/heads/main"]);
        repository.git(&["-C", &place, "config", "http.receivepack", "true"]);
        bare
    }

    /// Makes the bare repository `name` (`owner/repo.git`) with one commit that holds `text` in README.
    pub fn add(&self, name: &str, text: &str) {
        let bare = self.root.join(name);
        let script = format!(
            "set -e; git init -q --bare -b main {bare}; git -C {bare} config http.receivepack true; t=$(mktemp -d); cd $t; \
             git init -q -b main; echo '{text}' > README; git add .; git -c user.name=t -c user.email=t@t commit -q -m first; \
             git push -q {bare} main; rm -rf $t",
            bare = bare.display()
        );
        assert!(std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// The subjects of all commits of a repository's main branch.
    pub fn log(&self, name: &str) -> String {
        let bare = self.root.join(name);
        let output = std::process::Command::new("git")
            .arg("-C")
            .arg(bare)
            .args(["log", "--format=%s", "main"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// The credentials that came with requests whose path holds `part`.
    pub fn credentials(&self, part: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(path, _)| path.contains(part)).flat_map(|(_, all)| all.clone()).collect()
    }

    /// The server's routes.
    pub fn router(&self) -> Router {
        Router::new().fallback(serve).layer(DefaultBodyLimit::max(MAX_BODY)).with_state(self.clone())
    }
}

async fn serve(State(server): State<GitServer>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let given = text(header::AUTHORIZATION);
    let path = head.uri.path().to_owned();
    server.seen.lock().unwrap().entry(path.clone()).or_default().push(given.clone());
    let wanted = format!("Basic {}", STANDARD.encode(format!("x-access-token:{TOKEN}")));
    if given != wanted {
        let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"Git\"")];
        return (StatusCode::UNAUTHORIZED, ask, "who are you?").into_response();
    }
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let environment = [
        ("GIT_PROJECT_ROOT", server.root.display().to_string()),
        ("GIT_HTTP_EXPORT_ALL", "1".to_owned()),
        ("REMOTE_USER", "x".to_owned()),
        ("REQUEST_METHOD", head.method.to_string()),
        ("PATH_INFO", path),
        ("QUERY_STRING", head.uri.query().unwrap_or_default().to_owned()),
        ("CONTENT_TYPE", text(header::CONTENT_TYPE)),
        ("CONTENT_LENGTH", body.len().to_string()),
        ("HTTP_CONTENT_ENCODING", text(header::CONTENT_ENCODING)),
        ("HTTP_GIT_PROTOCOL", text(header::HeaderName::from_static("git-protocol"))),
    ];
    match run(&environment, body).await {
        Ok(output) => answer(&output),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn run(environment: &[(&str, String)], body: Bytes) -> std::io::Result<Vec<u8>> {
    let mut command = tokio::process::Command::new("git");
    command.arg("http-backend").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.envs(environment.iter().map(|(name, value)| (*name, value))).spawn()?;
    let mut input = child.stdin.take().unwrap();
    let feed = async move {
        // It may answer before it has read everything.
        let _ = input.write_all(&body).await;
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    Ok(output?.stdout)
}

/// From the answer of a CGI program (RFC 3875) to one of HTTP.
fn answer(output: &[u8]) -> Response {
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(output.len());
    let mut response = Response::new(output[(end + 4).min(output.len())..].to_vec().into());
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().and_then(|code| code.parse::<u16>().ok()).unwrap_or(500);
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
        } else if let (Ok(name), Ok(value)) = (name.parse::<header::HeaderName>(), value.parse()) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
