//! Supervised jobs: what one costs in memory, what it adds to a line, and how soon a daemon has them all back.

use std::{collections::BTreeMap, fs, path::Path, time::Instant};

use anyhow::{Context, Result, ensure};
use policy::{Act, decide_own};
use sandbox::{
    Attached, Launcher, Program as Inner, SandboxConfig, SandboxSpec, Supervised, SupervisedSpec, SupervisorLimits,
    Transport, What, Workspace,
};
use serde_json::Value;
use tempfile::TempDir;
use types::WorkspaceName;

use crate::{
    proc::{Program, pss_mb},
    report::{Report, percentile},
};

/// Jobs at once.
const JOBS: usize = 20;
/// Lines of each before a daemon comes back.
const LINES: usize = 2_000;
/// Lines that are said as fast as possible.
const FLOOD: usize = 20_000;
/// Lines that are answered one by one.
const ECHOES: usize = 500;

/// All of it.
pub fn jobs(program: &Program, report: &mut Report) -> Result<()> {
    Launcher::at(&program.path).use_for_all();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        lines(report).await?;
        many(program, report).await
    })
}

/// A supervisor with a workspace of its own.
struct Job {
    supervised: Supervised,
    outer: TempDir,
}

impl Job {
    async fn start() -> Result<Self> {
        let outer = tempfile::Builder::new().prefix("factotum-bench-").tempdir()?;
        let path = outer.path().join("workspace");
        fs::create_dir(&path)?;
        let workspace = Workspace::open(name()?, &path)?;
        let spec = SupervisedSpec {
            sandbox: SandboxSpec::new(workspace, &SandboxConfig::default())?,
            directory: outer.path().join("job"),
            custody: vec![7; 4096],
            limits: SupervisorLimits::default(),
        };
        let Attached { supervised, .. } = Supervised::start(&decide_own(Act::OwnerCommand, name()?), spec).await?;
        Ok(Self { supervised, outer })
    }

    async fn run(&self, argv: &[&str]) -> Result<()> {
        let argv = argv.iter().map(|part| (*part).to_owned()).collect();
        let inner =
            Inner { argv, env: BTreeMap::new(), directory: None, transport: Transport::Lines, fleeting: vec![] };
        self.supervised.run(&decide_own(Act::OwnerCommand, name()?), inner, Value::Null).await?;
        Ok(())
    }
}

fn name() -> Result<WorkspaceName> {
    Ok(WorkspaceName::new("bench")?)
}

/// What a line costs on its way through the supervisor and the records.
async fn lines(report: &mut Report) -> Result<()> {
    let job = Job::start().await?;
    let script =
        format!("yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -n {FLOOD}");
    let start = Instant::now();
    job.run(&["sh", "-c", &script]).await?;
    let mut records = job.supervised.records();
    let mut seen = 0;
    while seen < FLOOD {
        let record = records.next().await.context("the records ended")?;
        seen += usize::from(matches!(record.what, What::Out { .. }));
    }
    let each = start.elapsed().as_secs_f64() * 1e6 / FLOOD as f64;
    report.plain(
        "supervised line, in a flood",
        each,
        "µs",
        format!("{FLOOD} lines of 70 bytes, recorded and read again"),
    );
    job.supervised.end_program().await?;
    job.run(&["cat"]).await?;
    let mut samples = Vec::new();
    for number in 0..ECHOES {
        let line = format!("line {number}");
        let start = Instant::now();
        job.supervised.write(Value::Null, vec![line.clone()]).await?;
        loop {
            let record = records.next().await.context("the records ended")?;
            if record.what == (What::Out { line: line.clone() }) {
                break;
            }
        }
        samples.push(start.elapsed().as_secs_f64() * 1e6);
    }
    let median = percentile(&mut samples, 0.5);
    report.plain(
        "supervised line there and back",
        median,
        "µs",
        "median of 500 with `cat`: order, record, program, record",
    );
    job.supervised.end().await;
    Ok(())
}

/// Many jobs: their memory, and a daemon that comes back to them.
async fn many(program: &Program, report: &mut Report) -> Result<()> {
    let path = program.path.canonicalize()?;
    let mut jobs = Vec::new();
    let script = format!(
        "yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -n {LINES}; exec sleep 600"
    );
    for _ in 0..JOBS {
        let job = Job::start().await?;
        job.run(&["sh", "-c", &script]).await?;
        jobs.push(job);
    }
    for job in &jobs {
        let mut records = job.supervised.records();
        while records.next().await.context("the records ended")?.seq <= LINES as u64 {}
    }
    let of = |word: &str| pss_mb(&path, word);
    match (of("sandbox-supervisor-stays"), of("sandbox-init")) {
        (Some(supervisors), Some(inits)) => {
            let each = (supervisors + inits) / JOBS as f64;
            let note = format!(
                "PSS with {JOBS} jobs: supervisor {:.2} MB, first process of its sandbox {:.2} MB",
                supervisors / JOBS as f64,
                inits / JOBS as f64
            );
            report.aimed("memory of a job beside its program", each, "MB", 5.0, note);
        }
        _ => report.plain("memory of a job beside its program", 0.0, "MB", "not measured: only root sees it"),
    }
    let directories: Vec<(TempDir, std::path::PathBuf)> = jobs
        .into_iter()
        .map(|job| {
            let directory = job.outer.path().join("job");
            (job.outer, directory)
        })
        .collect();
    let start = Instant::now();
    let mut found = Vec::new();
    for (_, directory) in &directories {
        found.push(attach(directory).await?);
    }
    let elapsed = start.elapsed().as_secs_f64() * 1e3;
    let note = format!("{JOBS} jobs one after the other, {LINES} records of each read again");
    report.aimed("a daemon has its jobs back", elapsed, "ms", 1_000.0, note);
    let mut ends = tokio::task::JoinSet::new();
    for supervised in found {
        ends.spawn(async move { supervised.end().await });
    }
    ends.join_all().await;
    Ok(())
}

async fn attach(directory: &Path) -> Result<Supervised> {
    let Attached { supervised, .. } = Supervised::attach(directory).await?.context("the supervisor is gone")?;
    let mut records = supervised.records();
    let mut read = 0;
    while read < supervised.written() {
        read = records.next().await.context("the records ended")?.seq;
    }
    ensure!(read > LINES as u64, "only {read} records");
    Ok(supervised)
}
