//! Supervised jobs: what one costs in memory, what it adds to a line, and how soon a daemon has them all back.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use policy::{Act, decide_own};
use sandbox::{
    Attached, Launcher, Program as Inner, SandboxConfig, SandboxSpec, Supervised, SupervisedSpec, SupervisorLimits,
    Transport, What, Workspace,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::model::{ModelServer, Reply};
use tokio::time::timeout;
use types::WorkspaceName;

use crate::{
    api::Api,
    proc::{Daemon, Program, pss_mb},
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
/// By which argument a supervisor is known.
const STAYS: &str = "sandbox-supervisor-stays";
/// How long many jobs may take to be at work, or to be gone.
const PATIENCE: Duration = Duration::from_secs(120);
/// Jobs whose program says something again and again.
const TELLERS: &str = r#"
[jobs]
at_once = 20
[coders.teller]
kind = "oneshot"
command = ["/bin/sh", "-c", "while :; do echo tick; sleep 0.1; done", "teller", "{prompt}"]
"#;

/// All of it.
pub fn jobs(program: &Program, report: &mut Report) -> Result<()> {
    Launcher::at(&program.path).use_for_all();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        lines(report).await?;
        many(program, report).await?;
        taken_up(program, report).await
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
    let floor = bare_echo()?;
    let note = format!(
        "median of {ECHOES} with `cat`: order, record, program, record; `cat` on bare pipes took {floor:.1} µs, {:.1} times less",
        median / floor
    );
    report.plain("supervised line there and back", median, "µs", note);
    job.supervised.end().await;
    Ok(())
}

/// The floor of a line there and back, in µs: `cat` on pipes, without sandbox, supervisor and records.
fn bare_echo() -> Result<f64> {
    let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = cat.stdin.take().context("no standard input")?;
    let mut output = BufReader::new(cat.stdout.take().context("no standard output")?);
    let (mut samples, mut line) = (Vec::new(), String::new());
    for number in 0..ECHOES {
        let start = Instant::now();
        input.write_all(format!("line {number}\n").as_bytes())?;
        line.clear();
        output.read_line(&mut line)?;
        samples.push(start.elapsed().as_secs_f64() * 1e6);
    }
    drop(input);
    cat.wait()?;
    Ok(percentile(&mut samples, 0.5))
}

/// A daemon that was killed, and the next one: how long until it has heard of all jobs again.
async fn taken_up(program: &Program, report: &mut Report) -> Result<()> {
    let model = ModelServer::start(|_| Reply::say("hello")).await;
    let mut daemon = Daemon::start_with(program, &model.base_url(), TELLERS)?;
    let git = |arguments: &[&str]| -> Result<()> {
        let status = Command::new("git").arg("-C").arg(daemon.workspace()).args(arguments).status()?;
        ensure!(status.success(), "git {arguments:?}: {status}");
        Ok(())
    };
    git(&["init", "-q", "-b", "main"])?;
    git(&["-c", "user.name=B", "-c", "user.email=b@example.test", "commit", "-q", "--allow-empty", "-m", "first"])?;
    let api = Api::new(&daemon.address, &daemon.token()?)?;
    for number in 0..JOBS {
        let spec = json!({ "brief": "tell", "coder": "teller", "workspace": "bench",
            "place": { "place": "branch", "branch": format!("tell-{number}") }, "then": "nothing" });
        api.command(&json!({ "command": "start_job", "spec": spec })).await?;
    }
    timeout(PATIENCE, api.hear_coders(JOBS)).await.context("not all jobs are at work")??;
    let start = Instant::now();
    daemon.kill_and_start(program)?;
    let ready = start.elapsed().as_secs_f64() * 1e3;
    let api = Api::new(&daemon.address, &daemon.token()?)?;
    timeout(PATIENCE, api.hear_coders(JOBS)).await.context("not all jobs are found again")??;
    let elapsed = start.elapsed().as_secs_f64() * 1e3;
    let note = format!(
        "from `kill -9` of the daemon until the next one has told of {JOBS} jobs whose programs speak every 100 ms; it was ready after {ready:.0} ms"
    );
    report.aimed("a daemon that was killed tells of its jobs again", elapsed, "ms", 1_000.0, note);
    for number in 1..=JOBS {
        api.command(&json!({ "command": "stop_job", "job": number })).await?;
    }
    let over = async {
        while pss_mb(&program.path.canonicalize()?, STAYS).is_some_and(|left| left > 0.0) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, over).await.context("a supervisor stays")?
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
    match (of(STAYS), of("sandbox-init")) {
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
