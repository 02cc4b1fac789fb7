//! The sandbox: the list of escapes, a sandbox that cannot be built, control files, and quotas.

use ::sandbox::{CanaryReport, Outcome as Row, QuotaKind};
use serde_json::json;

use super::Surroundings;
use crate::security::{
    Outcome,
    arena::{Arena, Mind, Trouble, call, say},
};

/// The attempts of the list that are about sockets and other machines.
const NETWORK: &[&str] = &[
    "alg",
    "abstract-socket",
    "bluetooth",
    "host-loopback",
    "interfaces",
    "machine-ports",
    "metadata",
    "netlink",
    "network-namespace",
    "other-families",
    "other-machine",
    "other-transports",
    "outside-socket",
    "outside-tcp",
    "packet",
    "private-networks",
    "raw",
    "rxrpc",
    "service-sockets",
    "strict-sockets",
    "udp",
    "vsock",
];

/// Makes a sandbox impossible and asks for a command: nothing may run.
pub(super) async fn or_nothing(around: &Surroundings) -> Outcome {
    match impossible(around).await {
        Ok(outcome) => outcome,
        Err(why) => Outcome::NotTried { why },
    }
}

async fn impossible(around: &Surroundings) -> Result<Outcome, Trouble> {
    let mind =
        Mind::of(vec![vec![call(0, "exec", json!({ "command": "echo ran > ran; echo it-ran" }))], vec![say("done")]]);
    let toolchain = tempfile::tempdir_in(&around.scratch).map_err(|error| error.to_string())?;
    let path = toolchain.path().to_owned();
    let arena = Arena::open(around, mind, |config| config.sandbox.read_only = vec![path]).await?;
    // The directory that the sandbox must show is gone, so it cannot be built as it was ordered.
    drop(toolchain);
    let job = arena.job("run it").await;
    let ran = arena.work().join("ran").exists() || arena.mind.heard().iter().any(|heard| heard.contains("it-ran"));
    arena.close().await;
    job?;
    Ok(match ran {
        true => Outcome::broken("a command ran although its sandbox could not be built"),
        false => Outcome::held("a command whose sandbox cannot be built did not run"),
    })
}

/// Every way to the network but the proxy.
pub(super) async fn network(around: &Surroundings) -> Outcome {
    of_list(around, |id| NETWORK.contains(&id)).await
}

/// Every way to files, processes and settings outside; and the agent's own home from inside.
pub(super) async fn control_files(around: &Surroundings) -> Outcome {
    of_list(around, |id| !NETWORK.contains(&id)).await
}

async fn of_list(around: &Surroundings, is_ours: fn(&str) -> bool) -> Outcome {
    match around.canary().await {
        Ok(report) => judge(report, is_ours),
        Err(error) => Outcome::NotTried { why: format!("no sandbox can be built: {error}") },
    }
}

fn judge(report: &CanaryReport, is_ours: fn(&str) -> bool) -> Outcome {
    let rows: Vec<_> = report.rows.iter().filter(|row| is_ours(&row.id)).collect();
    let escaped: Vec<String> =
        rows.iter().filter(|row| row.outcome == Row::Escaped).map(|row| format!("{} ({})", row.what, row.id)).collect();
    let tried = rows.iter().filter(|row| row.outcome == Row::Held).count();
    match (rows.is_empty(), tried) {
        (true, _) => Outcome::NotTried { why: "the list has no such attempts".to_owned() },
        (false, _) => Outcome::unless(&escaped, format!("{tried} ways out, from inside a sandbox of yours")),
    }
}

/// Starts more processes and takes more memory than allowed, in small numbers that do no harm should they succeed.
pub(super) async fn quotas(around: &Surroundings) -> Outcome {
    match taken(around).await {
        Ok(outcome) => outcome,
        Err(why) => Outcome::NotTried { why },
    }
}

async fn taken(around: &Surroundings) -> Result<Outcome, Trouble> {
    let report = around.canary().await?;
    // Counted by the shell itself: where the limit holds, no further program could be started to count.
    let crowd = "for i in $(seq 60); do sleep 2 & done 2>/dev/null; n=0; for p in /proc/[0-9]*; do n=$((n+1)); done; \
                 echo $n > crowd";
    // `tail` keeps what it reads until it ends.
    let memory = "head -c 300m /dev/zero | tail -c 300m | wc -c > memory; echo";
    let disk = "head -c 40m /dev/zero > filled; wc -c < filled > disk; rm -f filled; echo";
    let mind = Mind::of(vec![
        vec![call(0, "exec", json!({ "command": crowd }))],
        vec![call(1, "exec", json!({ "command": memory }))],
        vec![call(2, "exec", json!({ "command": disk }))],
        vec![say("done")],
    ]);
    let arena = Arena::open(around, mind, |config| {
        config.sandbox.pids = 24;
        config.sandbox.memory_mb = 128;
        config.sandbox.tmp_mb = 16;
        config.sandbox.disk_mb = 16;
    })
    .await?;
    let job = arena.job("take all you can").await;
    let number = |name: &str| {
        let text = std::fs::read_to_string(arena.work().join(name)).ok();
        text.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or_default()
    };
    let (crowd, memory, disk) = (number("crowd"), number("memory"), number("disk"));
    arena.close().await;
    job?;
    let mut through = Vec::new();
    if crowd >= 60 {
        through.push("60 processes ran under a limit of 24".to_owned());
    }
    if memory >= 300 << 20 {
        through.push("300 MiB of memory were taken under a limit of 128".to_owned());
    }
    if disk >= 40 << 20 {
        through.push("40 MiB of disk were taken under a limit of 16".to_owned());
    }
    Ok(match (through.is_empty(), report.quota) {
        (true, QuotaKind::RlimitsOnly) => {
            Outcome::broken("memory is limited for each process only: no control group can be made here")
        }
        (true, QuotaKind::V1 | QuotaKind::V2) => Outcome::held("processes, memory and disk beyond their limits"),
        (false, _) => Outcome::unless(&through, ""),
    })
}
