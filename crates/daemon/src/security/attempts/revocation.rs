//! Revocation: a token that was replaced must be dead at once, for what is open as well.

use std::time::{Duration, Instant};

use egress::{ClientConfig, HttpClient, Method, Vault};
use tokio_util::sync::CancellationToken;
use types::Command;

use super::Surroundings;
use crate::security::{
    Outcome,
    arena::{Arena, Mind, Trouble, in_words, say},
};

/// What is promised.
const WITHIN: Duration = Duration::from_secs(1);
/// How long the audit waits before it calls it broken.
const PATIENCE: Duration = Duration::from_secs(3);

/// Opens a stream with the API's token, replaces the token, and looks what becomes of both.
pub(super) async fn token(around: &Surroundings) -> Outcome {
    let arena = match Arena::open(around, Mind::of(vec![vec![say("hello")]]), |_| ()).await {
        Ok(arena) => arena,
        Err(why) => return Outcome::NotTried { why },
    };
    let outcome = replaced(&arena).await;
    arena.close().await;
    outcome.unwrap_or_else(|why| Outcome::NotTried { why })
}

async fn replaced(arena: &Arena) -> Result<Outcome, Trouble> {
    let address = arena.address().ok_or("no address")?;
    let vault = Vault::open(&arena.home()).map_err(|error| error.to_string())?;
    let client =
        HttpClient::new(ClientConfig::new(format!("http://{address}")), vault).map_err(|error| error.to_string())?;
    let token = std::fs::read_to_string(arena.home().join("api.token")).map_err(|error| error.to_string())?;
    let bearer = format!("Bearer {}", token.trim());
    let cancel = CancellationToken::new();
    let ask = |path: &str| client.request(Method::GET, path).header("authorization", &bearer);
    let mut open = ask("/v1/events").send(&cancel).await.map_err(|error| error.to_string())?;
    if open.status() != 200 {
        return Err("no stream can be opened".to_owned());
    }
    arena.client.command(&Command::RotateToken).await.map_err(in_words)?;
    let said = Instant::now();
    let mut alive = Vec::new();
    if ask("/v1/status").send(&cancel).await.is_ok_and(|answer| answer.status() == 200) {
        alive.push("the old token is still taken".to_owned());
    }
    let ended = async { while let Ok(Some(_)) = open.chunk().await {} };
    match tokio::time::timeout(PATIENCE, ended).await {
        Ok(()) if said.elapsed() <= WITHIN * 2 => {}
        Ok(()) => alive.push(format!("a stream of the old token lived for {} ms", said.elapsed().as_millis())),
        Err(_) => alive.push("a stream that was opened with the old token goes on".to_owned()),
    }
    Ok(Outcome::unless(&alive, "the old token, and a stream that was open"))
}
