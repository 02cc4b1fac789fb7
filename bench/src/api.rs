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

    /// Gives a command.
    pub async fn command(&self, command: &Value) -> Result<Value> {
        let url = format!("{}/v1/commands", self.address);
        let sent = self.client.post(url).bearer_auth(&self.token).json(command).send().await?;
        Ok(sent.error_for_status()?.json().await?)
    }

    /// Waits until coding agents of so many sessions have been heard of since now.
    pub async fn hear_coders(&self, count: usize) -> Result<()> {
        let url = format!("{}/v1/events", self.address);
        let mut response = self.client.get(url).bearer_auth(&self.token).send().await?.error_for_status()?;
        let (mut text, mut heard) = (String::new(), std::collections::BTreeSet::new());
        while let Some(chunk) = response.chunk().await? {
            text.push_str(&String::from_utf8_lossy(&chunk));
            while let Some((line, rest)) = text.split_once('\n') {
                let event = line.strip_prefix("data:").and_then(|json| serde_json::from_str::<Value>(json).ok());
                let event = event
                    .filter(|event| event["event"]["type"].as_str().is_some_and(|kind| kind.starts_with("coder_")));
                heard.extend(event.and_then(|event| event["session"].as_i64()));
                text = rest.to_owned();
            }
            if heard.len() >= count {
                return Ok(());
            }
        }
        bail!("the event stream ended")
    }
}
