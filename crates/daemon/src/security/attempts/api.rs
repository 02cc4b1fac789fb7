//! The API's door: no token, wrong tokens, another page, another host, another address.

use std::net::SocketAddr;

use egress::{ClientConfig, EgressError, HttpClient, Method, Vault};
use tokio_util::sync::CancellationToken;

use super::{Surroundings, network::own_addresses};
use crate::security::{
    Outcome,
    arena::{Arena, Mind, Trouble, say},
};

/// Wrong tokens that are tried; somewhere among them the door must begin to refuse at once.
const TRIES: usize = 100;

/// Knocks at the API of the arena.
pub(super) async fn login(around: &Surroundings) -> Outcome {
    let arena = match Arena::open(around, Mind::of(vec![vec![say("hello")]]), |_| ()).await {
        Ok(arena) => arena,
        Err(why) => return Outcome::NotTried { why },
    };
    let outcome = knock(&arena).await;
    arena.close().await;
    outcome.unwrap_or_else(|why| Outcome::NotTried { why })
}

async fn knock(arena: &Arena) -> Result<Outcome, Trouble> {
    let address = arena.address().ok_or("no address")?;
    let vault = Vault::open(&arena.home()).map_err(|error| error.to_string())?;
    let door = Door { client: client(address, &vault)?, cancel: CancellationToken::new() };
    let token = std::fs::read_to_string(arena.home().join("api.token")).map_err(|error| error.to_string())?;
    let bearer = format!("Bearer {}", token.trim());
    let mut open = Vec::new();
    if door.status(&[("authorization", &bearer)]).await? != 200 {
        return Err("the right token is refused".to_owned());
    }
    let knocks: [(&str, &[(&str, &str)]); 4] = [
        ("without a token", &[]),
        ("with an empty token", &[("authorization", "Bearer ")]),
        ("from another page", &[("authorization", &bearer), ("origin", "https://evil.example")]),
        ("under another host's name", &[("authorization", &bearer), ("host", "evil.example")]),
    ];
    for (what, headers) in knocks {
        if door.status(headers).await? == 200 {
            open.push(format!("the API answers {what}"));
        }
    }
    open.extend(others(address, &vault).await);
    if !door.tires().await? {
        open.push(format!("{TRIES} wrong tokens in a row were each looked at"));
    }
    Ok(Outcome::unless(&open, format!("4 ways around the token, {TRIES} guesses, and the machine's other addresses")))
}

struct Door {
    client: HttpClient,
    cancel: CancellationToken,
}

impl Door {
    async fn status(&self, headers: &[(&str, &str)]) -> Result<u16, Trouble> {
        let mut request = self.client.request(Method::GET, "/v1/status");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send(&self.cancel).await.map_err(|error: EgressError| error.to_string())?;
        Ok(answer.status())
    }

    /// Whether guessing is slowed down.
    async fn tires(&self) -> Result<bool, Trouble> {
        for number in 0..TRIES {
            let guess = format!("Bearer {number:064}");
            // A refused connection is an answer as well: the door no longer listens to guesses.
            match self.status(&[("authorization", &guess)]).await {
                Ok(429) | Err(_) => return Ok(true),
                Ok(_) => {}
            }
        }
        Ok(false)
    }
}

fn client(address: SocketAddr, vault: &Vault) -> Result<HttpClient, Trouble> {
    let config = ClientConfig::new(format!("http://{address}"));
    HttpClient::new(config, vault.clone()).map_err(|error| error.to_string())
}

/// Whether the API answers on an address of this machine that is not loopback. Nothing leaves the machine: the kernel
/// delivers to its own addresses by itself.
async fn others(address: SocketAddr, vault: &Vault) -> Vec<String> {
    let mut open = Vec::new();
    for own in own_addresses().into_iter().filter(|own| !own.is_loopback()) {
        let Ok(client) = client(SocketAddr::new(own, address.port()), vault) else { continue };
        let door = Door { client, cancel: CancellationToken::new() };
        if door.status(&[]).await.is_ok() {
            open.push(format!("the API answers on {own}"));
        }
    }
    open
}
