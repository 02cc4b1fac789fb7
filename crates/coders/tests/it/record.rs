//! Runs a real coding agent beside a scripted model, without a sandbox, and writes down what both said. Not part of the test
//! run: `cargo nextest run -p factotum-coders --run-ignored only record` makes the recordings anew.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use coders::{CoderCommand, CoderEvent, Dialect, Registry, Start, Stream};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, Command},
    time::timeout,
};

use crate::recording::{Step, save};

/// The longest that one thing may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the scenario does about an event.
pub enum Then {
    Nothing,
    Tell(CoderCommand),
    /// Send the program a signal.
    Signal(i32),
    /// Wait, for a tool to be in the middle of its work.
    Wait(Duration),
    Several(Vec<Then>),
    /// No more commands: close it and wait for its end.
    Close,
}

/// A place to run a program in: a home, a tree, and what was recorded.
pub struct Place {
    pub dir: TempDir,
    pub steps: Vec<Step>,
    /// More arguments for the program.
    pub more: Vec<String>,
    coder: &'static str,
    program: PathBuf,
}

impl Place {
    pub fn new(coder: &'static str, program: &str) -> Self {
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/coders/node_modules");
        let program = modules.join(program).canonicalize().expect("run `cargo xtask setup` first");
        let dir = TempDir::new().unwrap();
        for part in ["home", "tree"] {
            std::fs::create_dir(dir.path().join(part)).unwrap();
        }
        Self { dir, steps: Vec::new(), more: Vec::new(), coder, program }
    }

    pub fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Runs one program to its end. `react` hears every event.
    pub async fn run(&mut self, start: &Start, prompt: &str, mut react: impl FnMut(&CoderEvent) -> Then) {
        let registry = Registry::default();
        let coder = registry.get(self.coder).unwrap();
        self.steps.push(Step::Start(start.clone()));
        let launch = coder.launch(start, Some(prompt));
        let home = self.home().display().to_string();
        for seed in &launch.seed {
            let path = self.home().join(&seed.path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, seed.content.replace("/workspace", &self.tree().display().to_string())).unwrap();
        }
        let mut command = Command::new(&self.program);
        command.args(&launch.argv[1..]).args(&self.more).current_dir(self.tree()).env_clear();
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", &home).env("LANG", "C.UTF-8");
        for (name, value) in &launch.env {
            command.env(name, value.replace("/home/agent", &home));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut talk = Talk { dialect: coder.dialect(start), input: child.stdin.take(), steps: &mut self.steps };
        let opening = talk.dialect.open();
        talk.write(opening).await;
        talk.tell(CoderCommand::Prompt { text: prompt.to_owned() }).await;
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        talk.listen(out, err, &child, &mut react).await;
        let status = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
        self.steps.push(Step::End(status.code()));
    }

    /// Keeps the recording. `origin` is the model's address, which is another one each time.
    pub fn save(&self, name: &str, origin: &str, trim: impl Fn(&str) -> String) {
        let real = self.dir.path().canonicalize().unwrap();
        let (tree, home) = (real.join("tree").display().to_string(), real.join("home").display().to_string());
        let slug = tree.replace(['/', '.'], "-");
        let clean = |line: &str| {
            let line =
                trim(line).replace(&tree, "/workspace").replace(&slug, "-workspace").replace(&home, "/home/agent");
            line.replace(origin, "http://127.0.0.1:1").replace(&origin.replace("http://", ""), "127.0.0.1:1")
        };
        save(self.coder, name, &self.steps, clean);
    }
}

struct Talk<'a> {
    dialect: Box<dyn Dialect>,
    input: Option<ChildStdin>,
    steps: &'a mut Vec<Step>,
}

impl Talk<'_> {
    async fn write(&mut self, lines: Vec<String>) {
        for line in lines {
            self.steps.push(Step::In(line.clone()));
            if let Some(input) = &mut self.input {
                // A program that has ended reads nothing, which its exit code tells.
                let _ = input.write_all(format!("{line}\n").as_bytes()).await;
            }
        }
    }

    async fn tell(&mut self, command: CoderCommand) {
        self.steps.push(Step::Command(command.clone()));
        let lines = self.dialect.command(&command).unwrap();
        self.write(lines).await;
    }

    async fn act(&mut self, then: Then, child: &Child) {
        match then {
            Then::Nothing | Then::Several(_) => {}
            Then::Tell(command) => self.tell(command).await,
            Then::Wait(time) => tokio::time::sleep(time).await,
            Then::Signal(signal) => {
                let pid = child.id().unwrap().to_string();
                std::process::Command::new("kill").args([format!("-{signal}"), pid]).status().unwrap();
            }
            Then::Close => self.tell(CoderCommand::Close).await,
        }
    }

    async fn listen(
        &mut self,
        mut out: Lines<BufReader<impl AsyncRead + Unpin>>,
        mut err: Lines<BufReader<impl AsyncRead + Unpin>>,
        child: &Child,
        react: &mut impl FnMut(&CoderEvent) -> Then,
    ) {
        let mut errs = true;
        loop {
            let (stream, line) = tokio::select! {
                line = timeout(PATIENCE, out.next_line()) => (Stream::Out, line.expect("the program says nothing").unwrap()),
                line = err.next_line(), if errs => (Stream::Err, line.unwrap()),
            };
            let Some(line) = line else {
                if stream == Stream::Out {
                    return;
                }
                errs = false;
                continue;
            };
            self.steps.push(if stream == Stream::Out { Step::Out(line.clone()) } else { Step::Err(line.clone()) });
            let heard = self.dialect.heard(stream, &line);
            self.write(heard.lines).await;
            for event in heard.events {
                let then = match react(&event) {
                    Then::Several(several) => several,
                    one => vec![one],
                };
                for then in then {
                    self.act(then, child).await;
                }
            }
        }
    }
}
