//! What the head of a request asks for. Pure: the HTTP library has parsed the head, this decides what it means, and
//! refuses what two readers could understand differently. Must not judge.

use hyper::{
    HeaderMap, Method, StatusCode, Uri,
    header::{
        ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, IF_RANGE, PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION, RANGE, SEC_WEBSOCKET_EXTENSIONS, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};

use super::answer::Refusal;
use crate::{
    DenyReason,
    path::RequestPath,
    target::{Scheme, Target, WebTarget},
};

/// What a program asks the proxy for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A tunnel.
    Tunnel(Target),
    /// One request in the clear.
    Plain(WebTarget),
}

/// Reads a request to the proxy itself.
pub(super) fn to_proxy(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Asked, Refusal> {
    check_framing(headers)?;
    check_override(headers)?;
    if method == Method::CONNECT {
        let authority = uri.authority().ok_or_else(|| Refusal::protocol("CONNECT names no host and port"))?;
        let target = Target::parse_authority(authority.as_str()).map_err(DenyReason::from)?;
        // Most programs send the same again; some leave the port out.
        if let Some(host) = host_of(headers, Scheme::Https)?
            && host.host() != target.host()
        {
            return Err(misdirected());
        }
        return Ok(Asked::Tunnel(target));
    }
    match uri.scheme_str() {
        Some("http") => {
            let asked = WebTarget::parse(&uri.to_string()).map_err(DenyReason::from)?;
            match host_of(headers, Scheme::Http)? {
                Some(host) if host != asked.target => Err(misdirected()),
                Some(_) | None => Ok(Asked::Plain(asked)),
            }
        }
        Some("https") => Err(Refusal::protocol("https goes through CONNECT")),
        Some(_) => Err(Refusal::protocol("only http and https are spoken here")),
        None => Err(Refusal::protocol(
            "this is a proxy, not a web server; ask with CONNECT or with an absolute http:// address",
        )),
    }
}

/// Reads a request within a tunnel to `target`: its path, if it names no other host.
pub(super) fn in_tunnel(
    target: &Target,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<RequestPath, Refusal> {
    check_framing(headers)?;
    check_override(headers)?;
    if method == Method::CONNECT {
        return Err(Refusal::protocol("a tunnel cannot be opened within a tunnel"));
    }
    if uri.scheme().is_some() || uri.authority().is_some() {
        return Err(Refusal::protocol("within a tunnel only the path is named"));
    }
    match host_of(headers, Scheme::Https)? {
        Some(host) if host == *target => {}
        Some(_) => return Err(misdirected()),
        None => return Err(Refusal::protocol("the Host header is missing")),
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok(RequestPath::parse(path).map_err(DenyReason::from)?)
}

fn misdirected() -> Refusal {
    Refusal::new(
        StatusCode::MISDIRECTED_REQUEST,
        "misdirected",
        "the Host header names another host than the connection",
    )
}

/// The one `Host` header.
fn host_of(headers: &HeaderMap, scheme: Scheme) -> Result<Option<Target>, Refusal> {
    let mut values = headers.get_all(HOST).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(Refusal::protocol("there are several Host headers"));
    }
    let Some(first) = first else { return Ok(None) };
    let text = first.to_str().map_err(|_| Refusal::protocol("the Host header is no host"))?;
    Ok(Some(Target::parse_host(text, scheme).map_err(DenyReason::from)?))
}

/// The library has normalised the framing already and would send it on unambiguously. What nobody sends who means well is
/// refused all the same.
fn check_framing(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.get_all(CONTENT_LENGTH).iter().count() > 1 {
        return Err(Refusal::protocol("there are several Content-Length headers"));
    }
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"chunked");
    if let Some(first) = encodings.next()
        && (!is_chunked(first.as_bytes()) || encodings.next().is_some() || headers.contains_key(CONTENT_LENGTH))
    {
        return Err(Refusal::protocol("the body is framed in more than one way"));
    }
    Ok(())
}

/// The method that was judged is the one that counts at the far side.
fn check_override(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.keys().any(overrides_method) {
        return Err(Refusal::protocol("a header asks for another method than the request's own"));
    }
    Ok(())
}

/// Whether servers take another method from a header of this name than the one that the request has.
pub(crate) fn overrides_method(name: &HeaderName) -> bool {
    // Many servers hand names on with hyphens and underscores made one.
    let name = name.as_str().replace('_', "-");
    ["x-http-method", "x-http-method-override", "x-method-override"].contains(&name.as_str())
}

/// Removes what concerns one connection alone (RFC 9110, section 7.6.1), and returns the protocol that an upgrade asks
/// for.
pub(super) fn strip_connection(headers: &mut HeaderMap) -> Option<hyper::header::HeaderValue> {
    let named: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let upgrade = headers.get(UPGRADE).filter(|_| named.iter().any(|name| name == "upgrade")).cloned();
    for name in &named {
        // A program must not have us drop what frames or addresses the request.
        if let Ok(name) = HeaderName::try_from(name.as_str())
            && !matches!(name, CONTENT_LENGTH | HOST)
        {
            headers.remove(name);
        }
    }
    let connection =
        [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, EXPECT];
    for name in connection {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    upgrade
}

/// Removes what would let a server hide a value from the mask: compression, and answers in pieces that the program
/// chooses.
pub(super) fn ask_for_plain_bytes(headers: &mut HeaderMap) {
    headers.insert(ACCEPT_ENCODING, hyper::header::HeaderValue::from_static("identity"));
    for name in [RANGE, IF_RANGE, SEC_WEBSOCKET_EXTENSIONS] {
        headers.remove(name);
    }
}

/// What the bytes of a request's head mean to the proxy, in words; for fuzzing. None while the head is incomplete.
/// `Err` is a refusal.
pub fn read_head(bytes: &[u8]) -> Option<Result<String, String>> {
    let mut slots = [httparse::EMPTY_HEADER; 100];
    let mut head = httparse::Request::new(&mut slots);
    match head.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return None,
        Err(error) => return Some(Err(error.to_string())),
    }
    Some(meaning(&head).unwrap_or_else(|| Err("not HTTP".to_owned())))
}

fn meaning(head: &httparse::Request<'_, '_>) -> Option<Result<String, String>> {
    let method = Method::from_bytes(head.method?.as_bytes()).ok()?;
    let uri: Uri = head.path?.parse().ok()?;
    let mut headers = HeaderMap::new();
    for header in head.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        headers.append(name, hyper::header::HeaderValue::from_bytes(header.value).ok()?);
    }
    Some(match to_proxy(&method, &uri, &headers) {
        Ok(Asked::Tunnel(target)) => match in_tunnel(&target, &Method::GET, &Uri::from_static("/"), &headers) {
            Ok(_) | Err(_) => Ok(format!("tunnel {target}")),
        },
        Ok(Asked::Plain(asked)) => {
            let _ = strip_connection(&mut headers);
            Ok(format!("{method} {asked}"))
        }
        Err(refusal) => Err(refusal.text),
    })
}

#[cfg(test)]
mod tests;
