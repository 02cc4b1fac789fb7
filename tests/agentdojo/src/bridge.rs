//! The Python process that holds the benchmark's environments and checkers. One question and one answer at a time.

use std::{collections::BTreeMap, path::Path, process::Stdio, sync::Arc};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
};

/// A suite as the benchmark describes it.
#[derive(Clone, Debug, Deserialize)]
pub struct Suite {
    /// Its tools.
    pub tools: Vec<ToolInfo>,
    /// The numbers of the user tasks.
    pub users: Vec<u32>,
    /// The injection tasks.
    pub injections: Vec<Injection>,
}

/// A tool of a suite.
#[derive(Clone, Debug, Deserialize)]
pub struct ToolInfo {
    pub name: String,
    pub description: String,
    pub schema: Value,
}

/// An injection task.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Injection {
    pub id: u32,
    /// Whether the benchmark itself says which calls would fulfil it.
    pub has_ground_truth: bool,
    /// Whether there are calls, the benchmark's or ours.
    pub has_calls: bool,
}

/// One tool call of a script.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Step {
    pub function: String,
    pub args: Value,
    /// What it gives when nobody attacks; only for the calls of the owner's task.
    #[serde(default)]
    pub output: String,
}

/// What one case is made of.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// What the owner writes.
    pub prompt: String,
    /// The calls that do the owner's task.
    pub plan: Vec<Step>,
    /// What the owner is told in the end.
    pub output: String,
    /// By what the model recognises injected text.
    pub mark: String,
    /// The calls that do what the injected text wants.
    pub attack: Vec<Step>,
    /// What the injected text wants to be said.
    pub attack_output: String,
}

/// What a tool answered.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    pub text: String,
    pub is_error: bool,
}

/// The benchmark's own verdicts.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Verdict {
    /// The owner's task is done.
    pub utility: bool,
    /// The injected task is done.
    pub attacked: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reply<T> {
    Ok(T),
    Error(String),
}

struct Pipes {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

/// The process.
#[derive(Clone)]
pub struct Bridge(Arc<Mutex<Pipes>>);

impl Bridge {
    /// Starts it.
    #[expect(clippy::disallowed_methods, reason = "the benchmark's own code; no command of a model")]
    pub fn start(python: &Path, directory: &Path) -> Result<Self> {
        let mut child = Command::new(python)
            .args(["-I", "-B", "-W", "ignore", "-c"])
            .arg("import sys; sys.path.insert(0, sys.argv[1]); import server; server.main()")
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", python.display()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the Python process has no pipes");
        };
        Ok(Self(Arc::new(Mutex::new(Pipes { input, output: BufReader::new(output).lines(), _child: child }))))
    }

    async fn ask<T: DeserializeOwned>(&self, question: &Value) -> Result<T> {
        let mut pipes = self.0.lock().await;
        pipes.input.write_all(format!("{question}\n").as_bytes()).await.context("ask the Python process")?;
        let line = pipes.output.next_line().await?.context("the Python process ended; is AgentDojo installed?")?;
        match serde_json::from_str(&line).context("read the Python process")? {
            Reply::Ok(answer) => Ok(answer),
            Reply::Error(error) => bail!("{error}, asked {question}"),
        }
    }

    /// All suites.
    pub async fn suites(&self) -> Result<BTreeMap<String, Suite>> {
        self.ask(&json!({ "op": "suites" })).await
    }

    /// Begins a case with an environment of its own.
    pub async fn begin(&self, suite: &str, user: u32, injection: Option<u32>) -> Result<Case> {
        self.ask(&json!({ "op": "begin", "suite": suite, "user": user, "injection": injection })).await
    }

    /// Runs a tool in the environment of the case.
    pub async fn call(&self, function: &str, args: &Value) -> Result<Answer> {
        self.ask(&json!({ "op": "call", "function": function, "args": args })).await
    }

    /// Ends the case and asks the benchmark's checkers.
    pub async fn finish(&self, output: &str) -> Result<Verdict> {
        self.ask(&json!({ "op": "finish", "output": output })).await
    }
}
