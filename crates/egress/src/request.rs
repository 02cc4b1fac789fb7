//! One request. Its secret is taken from the vault when it is sent, put into its slot and nowhere else.

use std::{sync::Arc, time::Duration};

use reqwest::{
    Method, Url,
    header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{EgressError, EgressErrorKind, Response, Slot, client::Endpoint};

/// A request in the making. Mistakes in it are reported by [`Request::send`].
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    endpoint: Arc<Endpoint>,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
    first_byte: Duration,
    idle: Duration,
    total: Duration,
    mistake: Option<&'static str>,
}

impl Request {
    pub(crate) fn new(endpoint: Arc<Endpoint>, method: Method, path: &str) -> Self {
        let timeouts = endpoint.timeouts;
        Self {
            endpoint,
            method,
            path: path.to_owned(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            first_byte: timeouts.first_byte,
            idle: timeouts.idle,
            total: timeouts.total,
            mistake: None,
        }
    }

    /// Adds a header. The header that is the secret's slot is refused when the request is sent.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            (Err(_), _) | (_, Err(_)) => self.mistake = Some("a header has characters that are not allowed"),
        }
        self
    }

    /// Sends `body` as JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => self.body = Some(bytes),
            Err(_) => self.mistake = Some("the body cannot be written as JSON"),
        }
        self
    }

    /// Sends these bytes as they are.
    pub fn body(self, content_type: &str, bytes: Vec<u8>) -> Self {
        let request = self.header(CONTENT_TYPE.as_str(), content_type);
        Self { body: Some(bytes), ..request }
    }

    /// Adds parameters to the query.
    pub fn query<K: AsRef<str>, V: AsRef<str>>(mut self, pairs: &[(K, V)]) -> Self {
        self.query.extend(pairs.iter().map(|(key, value)| (key.as_ref().to_owned(), value.as_ref().to_owned())));
        self
    }

    /// Waits this long for the whole exchange, and as long for its first byte: right for a long poll.
    pub fn timeout(mut self, total: Duration) -> Self {
        self.total = total;
        self.first_byte = total;
        self
    }

    /// Waits this long between two pieces of the answer's body.
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Sends the request and waits for the answer's head. Any status is an answer. Ends within milliseconds of
    /// `cancel`, which also ends reading the body.
    pub async fn send(self, cancel: &CancellationToken) -> Result<Response, EgressError> {
        let deadline = Instant::now() + self.total;
        let first_byte = deadline.min(Instant::now() + self.first_byte);
        let idle = self.idle;
        let endpoint = self.endpoint.clone();
        let request = self.build()?;
        let sending = endpoint.http()?.execute(request);
        let response = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(EgressError::cancelled()),
            answer = timeout_at(first_byte, sending) => answer,
        };
        match response {
            Ok(Ok(response)) => Ok(Response::new(response, &endpoint, deadline, idle, cancel.clone())),
            Ok(Err(error)) => {
                let error = EgressError::from_http(error);
                Err(EgressError { message: endpoint.masked(&error.message), ..error })
            }
            Err(_) => Err(EgressError::new(EgressErrorKind::Timeout, "no answer came in time")),
        }
    }

    fn build(self) -> Result<reqwest::Request, EgressError> {
        if let Some(mistake) = self.mistake {
            return Err(EgressError::new(EgressErrorKind::Invalid, mistake));
        }
        let (url, secret) = self.place_secret()?;
        let mut request = reqwest::Request::new(self.method, url);
        let headers = request.headers_mut();
        *headers = self.headers;
        // Streams are read as they come; compressed ones would wait in a decoder's buffer.
        headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
        if let Some((name, value)) = secret {
            headers.insert(name, value);
        }
        if let Some(body) = self.body {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.into());
        }
        Ok(request)
    }

    /// The full address, with the secret in it if that is its slot, and the header, if that is.
    fn place_secret(&self) -> Result<(Url, Option<(HeaderName, HeaderValue)>), EgressError> {
        let unusable = |why| EgressError::new(EgressErrorKind::Secret, why);
        let Some((name, slot, vault)) = &self.endpoint.secret else {
            return Ok((self.endpoint.url(&self.path, &self.query)?, None));
        };
        let value = vault.value(name)?;
        match slot {
            Slot::Header { name, prefix } => {
                let url = self.endpoint.url(&self.path, &self.query)?;
                let name = HeaderName::from_static(name);
                if self.headers.contains_key(&name) {
                    let message = "a header of the request would stand where its secret belongs";
                    return Err(EgressError::new(EgressErrorKind::Invalid, message));
                }
                let mut value = HeaderValue::from_str(&format!("{prefix}{}", value.expose()))
                    .map_err(|_| unusable("the secret has characters that a header cannot carry; set it again"))?;
                value.set_sensitive(true);
                Ok((url, Some((name, value))))
            }
            Slot::Path => {
                let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '~');
                if !value.expose().chars().all(plain) {
                    return Err(unusable("the secret has characters that a path cannot carry; set it again"));
                }
                let path = self.path.replace("{secret}", value.expose());
                Ok((self.endpoint.url(&path, &self.query)?, None))
            }
        }
    }
}
