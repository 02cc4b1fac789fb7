//! A web server as a target: records by POST, one JSON object a line. Any 2xx confirms the whole batch.

use std::{sync::Arc, time::Duration};

use egress::{ClientConfig, EgressError, HttpClient, Method, Slot, Vault};
use store::audit::Line;
use tokio_util::sync::CancellationToken;
use types::SecretName;

/// How long one batch may take.
const TOTAL: Duration = Duration::from_secs(30);

/// A web server that takes records.
pub(crate) struct Https {
    client: HttpClient,
    path: String,
}

impl Https {
    /// The server of this address. The secret goes along as `Authorization: Bearer`.
    pub fn new(url: &str, secret: Option<SecretName>, vault: Vault) -> Result<Self, EgressError> {
        egress::check_address(url)?;
        let (origin, path) = split(url);
        let slot = Slot::Header { name: "authorization", prefix: "Bearer " };
        let config = ClientConfig {
            secret: secret.map(|secret| (secret, slot)),
            max_body_bytes: 1 << 20,
            ..ClientConfig::new(origin)
        };
        Ok(Self { client: HttpClient::new(config, vault)?, path: path.to_owned() })
    }

    /// Posts records. What the server says beside its status is not read.
    pub async fn send(&self, lines: &Arc<[Line]>) -> Result<(), String> {
        let mut text = Vec::new();
        for line in lines.iter() {
            text.extend_from_slice(&line.bytes);
            text.push(b'\n');
        }
        let request = self.client.request(Method::POST, &self.path).timeout(TOTAL);
        let answer = request.body("application/x-ndjson", text).send(&CancellationToken::new()).await;
        match answer {
            Ok(answer) if answer.is_success() => Ok(()),
            Ok(answer) => Err(format!("{} answers with HTTP {}", self.client.authority(), answer.status())),
            Err(error) => Err(format!("{}: {error}", self.client.authority())),
        }
    }
}

/// An address as its origin and its path.
fn split(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |at| at + 3);
    match url[host..].find('/') {
        Some(at) => url.split_at(host + at),
        None => (url, "/"),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn an_address_is_split_before_its_path() {
        assert_eq!(split("https://logs.example:8443/in/put"), ("https://logs.example:8443", "/in/put"));
        assert_eq!(split("https://logs.example"), ("https://logs.example", "/"));
    }
}
