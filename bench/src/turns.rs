//! Turns against a scripted model that answers at once: what is left is ours.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testkit::model::{ModelServer, Reply};

use crate::{
    api::Api,
    proc::{Daemon, Program},
    report::{Report, percentile},
};

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// A scripted model that says "Hello." to everything.
pub(crate) async fn model() -> ModelServer {
    ModelServer::start(|_| Reply::say("Hello.")).await
}

/// How much prompt a one-word message costs.
pub fn prompt(program: &Program, report: &mut Report) -> Result<()> {
    runtime()?.block_on(async {
        let model = model().await;
        let daemon = Daemon::start(program, &model.base_url())?;
        Api::new(&daemon.address, &daemon.token()?)?.turn("main", "hi").await?;
        let requests = model.requests();
        ensure!(requests.len() == 1, "expected one request, saw {}", requests.len());
        let characters = requests[0].body.to_string().chars().count();
        report.aimed(
            "prompt for `hi`",
            characters as f64 / 4.0,
            "tokens",
            2500.0,
            "characters of the whole request / 4",
        );
        Ok(())
    })
}

/// One turn after the other in one daemon, each in a session of its own, so that contexts stay equal.
pub fn latency(program: &Program, report: &mut Report) -> Result<()> {
    runtime()?.block_on(async {
        let model = model().await;
        let daemon = Daemon::start(program, &model.base_url())?;
        let api = Api::new(&daemon.address, &daemon.token()?)?;
        for warm in 0..20 {
            api.turn(&format!("warm-{warm}"), "hi").await?;
        }
        let floor = floor(&model.base_url()).await?;
        let mut samples = Vec::new();
        for number in 0..300 {
            samples.push(api.turn(&format!("s-{number}"), "hi").await?.as_secs_f64() * 1e3 - floor);
        }
        let note = format!("300 turns, less {floor:.2} ms for the same request made directly");
        report.aimed("turn, p50 over the model", percentile(&mut samples, 0.5), "ms", 3.0, note);
        report.aimed("turn, p99 over the model", percentile(&mut samples, 0.99), "ms", 15.0, "same turns");
        report.plain("floor: three synced writes", synced_writes(&daemon)?, "ms", "4 KiB each, same disk, median");
        Ok(())
    })
}

/// The time in milliseconds of one streamed request made directly to the model, connection kept.
async fn floor(url: &str) -> Result<f64> {
    let client = reqwest::Client::builder().tcp_nodelay(true).no_proxy().build()?;
    let body = serde_json::json!({
        "model": "model-1", "max_tokens": 100, "stream": true,
        "messages": [{ "role": "user", "content": "hi" }],
    });
    let mut samples = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        let request = client.post(format!("{url}/v1/messages")).header("x-api-key", "lab-key-0123456789abcdef");
        let answer = request.header("anthropic-version", "2023-06-01").json(&body).send().await?;
        answer.error_for_status()?.bytes().await?;
        samples.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(percentile(&mut samples, 0.5))
}

fn synced_writes(daemon: &Daemon) -> Result<f64> {
    use std::io::Write;
    let mut file = std::fs::File::create(daemon.home.join("floor"))?;
    let mut samples = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        for _ in 0..3 {
            file.write_all(&[0; 4096])?;
            file.sync_data()?;
        }
        samples.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(percentile(&mut samples, 0.5))
}

/// Fifty turns at once in fifty sessions.
pub fn concurrent(program: &Program, report: &mut Report) -> Result<()> {
    runtime()?.block_on(async {
        let model = model().await;
        let daemon = Daemon::start(program, &model.base_url())?;
        let api = Api::new(&daemon.address, &daemon.token()?)?;
        let mut rounds = Vec::new();
        for round in 0..6 {
            let start = Instant::now();
            let mut tasks = tokio::task::JoinSet::new();
            for number in 0..50 {
                let api = api.clone();
                tasks.spawn(async move { api.turn(&format!("r{round}-{number}"), "hi").await });
            }
            while let Some(done) = tasks.join_next().await {
                done??;
            }
            rounds.push(start.elapsed());
        }
        // The first round opens the connections.
        let mut samples: Vec<f64> = rounds.iter().skip(1).map(Duration::as_secs_f64).map(|s| s * 1e3).collect();
        report.aimed(
            "50 turns in 50 sessions at once",
            percentile(&mut samples, 0.5),
            "ms",
            100.0,
            "median of 5 rounds",
        );
        Ok(())
    })
}
