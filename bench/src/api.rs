//! A client of the daemon's HTTP API, as small as can be, so that it measures the daemon and not itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A connection to one daemon.
#[derive(Clone)]
pub struct Api {
    client: reqwest::Client,
    address: String,
    token: String,
}

impl Api {
    pub fn new(address: &str, token: &str) -> Result<Self> {
        let client = reqwest::Client::builder().tcp_nodelay(true).no_proxy().build()?;
        Ok(Self { client, address: address.to_owned(), token: token.to_owned() })
    }

    /// Sends a message and waits until its turn is finished; gives the time this took.
    pub async fn turn(&self, session: &str, text: &str) -> Result<Duration> {
        let start = Instant::now();
        let reply: Value = self
            .client
            .post(format!("{}/v1/commands", self.address))
            .bearer_auth(&self.token)
            .json(&json!({ "command": "send", "text": text, "session": session }))
            .send()
            .await?
            .json()
            .await?;
        let since = reply["since"].as_i64().with_context(|| format!("not accepted: {reply}"))?;
        let id = reply["session"].as_i64().context("no session")?;
        self.wait_finished(since, id).await?;
        Ok(start.elapsed())
    }

    async fn wait_finished(&self, after: i64, session: i64) -> Result<()> {
        let url = format!("{}/v1/events?after={after}&session={session}", self.address);
        let mut response = self.client.get(url).bearer_auth(&self.token).send().await?.error_for_status()?;
        let mut text = String::new();
        while let Some(chunk) = response.chunk().await? {
            text.push_str(&String::from_utf8_lossy(&chunk));
            if text.contains("\"turn_finished\"") {
                if text.contains("\"kind\":\"done\"") {
                    return Ok(());
                }
                bail!("the turn did not succeed: {text}");
            }
        }
        bail!("the event stream ended")
    }
}
