//! Who may speak to the API over TCP: whoever can read the token in the home. The Unix socket needs none, since only
//! its owner can open it. How often one may guess is `access`'s affair.

use std::{
    fmt,
    fs::Permissions,
    io::{self, Read, Seek, Write},
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use types::{Failure, FailureKind, Invariant};

use super::{
    access::{self, Knock},
    commands::Refused,
    connections::Proof,
};
use crate::{Home, HomeError, core::Core, home::private_file};

/// The bearer token of the TCP API, by its hash. Comparing hashes takes the same time wherever two tokens differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token([u8; 32]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// Reads the home's token; makes one of 256 random bits when there is none, or when others could read the one there is.
    pub fn open(home: &Home) -> Result<Self, HomeError> {
        let failed = |source| HomeError::Open { path: home.token(), source };
        let mut file = private_file().open(home.token()).map_err(failed)?;
        let exposed = file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0;
        if exposed {
            tracing::warn!("other users could read the API's token; it is replaced");
            file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
        }
        let mut bytes = Vec::new();
        (&mut file).take(1_024).read_to_end(&mut bytes).map_err(failed)?;
        let mut text = String::from_utf8(bytes).unwrap_or_default();
        if exposed || text.trim().len() < 32 {
            text = random().map_err(failed)?;
            file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
            writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(failed)?;
        }
        Ok(Self::of(text.trim()))
    }

    /// Replaces the home's token. The file is exchanged as a whole, so that a crash leaves the old token or the new one.
    pub fn renew(home: &Home) -> Result<Self, HomeError> {
        let failed = |source| HomeError::Open { path: home.token(), source };
        let text = random().map_err(failed)?;
        let beside = home.token().with_extension("token.new");
        let mut file = private_file().open(&beside).map_err(failed)?;
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(failed)?;
        std::fs::rename(&beside, home.token()).map_err(failed)?;
        std::fs::File::open(home.path()).and_then(|directory| directory.sync_all()).map_err(failed)?;
        Ok(Self::of(&text))
    }

    fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    pub(super) fn admits(self, header: Option<&str>) -> bool {
        header.and_then(|value| value.strip_prefix("Bearer ")).is_some_and(|token| Self::of(token.trim()) == self)
    }
}

/// 256 random bits in hex.
fn random() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(hex::encode(bytes))
}

/// Refuses a request without the token, and one that a browser was tricked into sending: a name that was rebound to
/// the loopback address shows in the Host header, and another page's script in the Origin header.
pub(super) async fn require(
    State(core): State<Arc<Core>>,
    ConnectInfo(proof): ConnectInfo<Proof>,
    mut request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let refused = refusal(headers).or_else(|| wrong_token(&core, &proof, headers));
    match refused {
        Some((knock, refusal)) if !Invariant::ApiGuarded.is_broken() => {
            // A connection that guesses is not the owner's, whatever it showed before.
            proof.withdraw();
            access::note(&core, knock);
            refusal
        }
        Some(_) | None => {
            if proof.accept() {
                access::note(&core, Knock::Admitted);
            }
            request.extensions_mut().insert(core.access.generation());
            next.run(request).await
        }
    }
}

/// What is wrong with a request, whatever token it shows.
fn refusal(headers: &HeaderMap) -> Option<(Knock, Response)> {
    let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let host = header(header::HOST).filter(|host| is_local(host));
    let is_one = headers.get_all(header::HOST).iter().count() == 1;
    let Some(host) = host.filter(|_| is_one) else {
        let hint = "call it by 127.0.0.1 or localhost";
        return Some((Knock::ForeignHost, refuse(StatusCode::FORBIDDEN, "the request names another host", hint)));
    };
    let is_ours = |origin: &HeaderValue| origin.to_str().is_ok_and(|origin| origin == format!("http://{host}"));
    if !headers.get_all(header::ORIGIN).iter().all(is_ours) {
        let hint = "scripts of other pages may not use this API";
        return Some((Knock::ForeignPage, refuse(StatusCode::FORBIDDEN, "the request comes from another page", hint)));
    }
    None
}

/// What is wrong with a request's token. After too many wrong ones none is looked at, except on a connection that showed
/// the right one: somebody who guesses must not lock the owner out of what is open.
fn wrong_token(core: &Core, proof: &Proof, headers: &HeaderMap) -> Option<(Knock, Response)> {
    if !proof.is_given()
        && let Some(wait) = core.access.is_tired()
    {
        return Some((Knock::TooMany, too_many(wait)));
    }
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if core.access.admits(header) {
        return None;
    }
    let hint = "send `Authorization: Bearer TOKEN` with the content of api.token in the home directory";
    Some((Knock::WrongToken, refuse(StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong", hint)))
}

fn too_many(wait: Duration) -> Response {
    let hint = "wait a minute, or use the Unix socket in the home directory";
    let mut refusal =
        refuse(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens were tried; none is looked at", hint);
    refusal.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    refusal
}

fn refuse(status: StatusCode, error: &str, hint: &str) -> Response {
    let failure = Failure { kind: FailureKind::User, error: error.to_owned(), hint: Some(hint.to_owned()) };
    Refused { status, failure }.into_response()
}

fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_made_once_and_compared_whole() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).unwrap();
        let token = Token::open(&home).unwrap();
        assert_eq!(token, Token::open(&home).unwrap());
        let text = std::fs::read_to_string(home.token()).unwrap();
        assert_eq!(text.trim().len(), 64);
        assert!(token.admits(Some(&format!("Bearer {}", text.trim()))));
        for wrong in [None, Some(""), Some("Bearer "), Some("Bearer x"), Some(text.trim())] {
            assert!(!token.admits(wrong), "{wrong:?}");
        }
        assert_eq!(format!("{token:?}"), "Token");
    }

    #[test]
    fn a_token_that_is_broken_or_was_exposed_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).unwrap();
        let old = Token::open(&home).unwrap();
        std::fs::set_permissions(home.token(), Permissions::from_mode(0o644)).unwrap();
        let new = Token::open(&home).unwrap();
        assert_ne!(old, new);
        assert_eq!(std::fs::metadata(home.token()).unwrap().permissions().mode() & 0o777, 0o600);
        for broken in [&b"short"[..], &[0xff; 100], &[0; 10]] {
            std::fs::write(home.token(), broken).unwrap();
            let token = Token::open(&home).unwrap();
            assert_eq!(std::fs::read(home.token()).unwrap().len(), 65, "the old content was left in the file");
            assert_eq!(token, Token::open(&home).unwrap());
        }
    }

    #[test]
    fn only_local_names_are_hosts() {
        for good in ["127.0.0.1:7717", "localhost", "[::1]:7717", "localhost:1"] {
            assert!(is_local(good), "{good}");
        }
        for bad in ["example.org", "127.0.0.1.example.org:80", "", "10.0.0.1", "[2001:db8::1]"] {
            assert!(!is_local(bad), "{bad}");
        }
    }
}
