//! The way out: a program in the sandbox through the proxy, against the same program connected directly, in the same run.

use std::{net::SocketAddr, process::Command};

use anyhow::{Result, ensure};
use axum::{Router, body::Body, extract::Path, routing::get};
use harness::online::{Authority, Online, scene, serve_tls};

use crate::{
    proc::Program,
    report::{Report, percentile},
};

/// The server's address: this machine's, and one that no program's list of exceptions names.
const SERVER: &str = "127.0.0.2";
/// What one download moves, in MiB.
const SIZE: usize = 512;
const ROUNDS: usize = 5;
const REQUESTS: usize = 300;
/// What one piece of a download has.
const PIECE: usize = 64 * 1024;

/// Throughput of one download and latency of small requests on one connection.
pub fn way_out(_: &Program, report: &mut Report) -> Result<()> {
    let runtime = scene::runtime();
    let authority = Authority::new();
    let anywhere: SocketAddr = format!("{SERVER}:0").parse()?;
    let server = runtime.block_on(serve_tls(&authority, &[SERVER], anywhere, routes()));
    let home = tempfile::Builder::new().prefix("factotum-bench-").tempdir()?;
    let ca = home.path().join("ca.pem");
    authority.write(&ca);
    let egress = format!(
        "[workspaces.online.egress]\nextra_ca = [\"{}\"]\n[[workspaces.online.egress.rules]]\nhost = \"{SERVER}\"\n\
         ports = [{}]\nprivate = true\n",
        ca.display(),
        server.port()
    );
    let direct = |arguments: &str| -> Result<String> {
        let script = format!("curl --cacert {} {arguments}", ca.display());
        let output = Command::new("sh").args(["-c", &script]).output()?;
        ensure!(output.status.success(), "curl failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let network = scene::played(&[]);
    let online = Online::start_in(&runtime, home, &egress, network, &[]);
    let inside = |arguments: &str| -> Result<String> { Ok(online.run(&format!("curl {arguments}"))) };

    let download = format!("-sS -o /dev/null -w 'took %{{time_total}}\\n' https://{server}/bytes/{}", SIZE << 20);
    let (mut through, mut beside) = (Vec::new(), Vec::new());
    // By turns, so that whatever else the machine does concerns both.
    for _ in 0..ROUNDS {
        beside.extend(times(&direct(&download)?));
        through.extend(times(&inside(&download)?));
    }
    ensure!(through.len() == ROUNDS && beside.len() == ROUNDS, "a download failed");
    let speed = |seconds: &mut [f64]| SIZE as f64 / percentile(seconds, 0.5);
    let (through, beside) = (speed(&mut through), speed(&mut beside));
    report.at_least("throughput through sandbox and proxy", through / beside * 100.0, "%", 70.0, format!(
        "median of {ROUNDS} downloads of {SIZE} MiB by curl: {through:.0} MiB/s; directly {beside:.0} MiB/s, TLS in both"
    ));

    let address = format!("https://{server}/bytes/100");
    let many = vec![address; REQUESTS].join(" ");
    let request = format!("-sS -o /dev/null -w 'took %{{time_total}}\\n' {many}")
        .replace("-o /dev/null", &"-o /dev/null ".repeat(REQUESTS));
    let (mut beside, mut through) = (times(&direct(&request)?), times(&inside(&request)?));
    ensure!(through.len() == REQUESTS && beside.len() == REQUESTS, "a request failed");
    let milliseconds = |samples: &mut [f64], share| percentile(samples, share) * 1e3;
    let (ours, floor) = (milliseconds(&mut through, 0.5), milliseconds(&mut beside, 0.5));
    report.aimed("latency that the proxy adds, p50", ours - floor, "ms", 2.0, format!(
        "{REQUESTS} small requests on one connection: {ours:.2} ms, directly {floor:.2} ms; two synced records in each"
    ));
    let worst = milliseconds(&mut through, 0.99) - milliseconds(&mut beside, 0.99);
    report.plain("the same, p99", worst, "ms", "");
    Ok(())
}

fn routes() -> Router {
    let bytes = async |Path(count): Path<usize>| {
        let piece = axum::body::Bytes::from(vec![b'x'; PIECE.min(count)]);
        let pieces = futures_util::stream::iter(
            (0..count.div_ceil(PIECE))
                .map(move |index| Ok::<_, std::io::Error>(piece.slice(..PIECE.min(count - index * PIECE)))),
        );
        ([("content-length", count.to_string())], Body::from_stream(pieces))
    };
    Router::new().route("/bytes/{count}", get(bytes))
}

/// The seconds that curl says it took.
fn times(said: &str) -> Vec<f64> {
    said.lines().filter_map(|line| line.strip_prefix("took ")?.trim().parse().ok()).collect()
}
