//! Runs a coding agent that is spoken to over HTTP, without a sandbox: plays the supervisor's bridge, and writes down what was
//! said.

use std::{path::PathBuf, process::Stdio, time::Duration};

use coders::{CoderCommand, CoderEvent, Dialect, Registry, Start, Stream};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    record::{Place, Then},
    recording::Step,
};

/// The longest that one thing may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Runs one program until the scenario closes it. `react` hears every event. The port is taken from the system, because
/// scenarios run side by side.
pub async fn run(
    place: &mut Place,
    program: &str,
    start: &Start,
    prompt: &str,
    mut react: impl FnMut(&CoderEvent) -> Then,
) {
    let registry = Registry::default();
    let coder = registry.get("opencode").unwrap();
    place.steps.push(Step::Start(start.clone()));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut child = spawn(place, program, start, port);
    let (said, mut lines) = mpsc::channel(1024);
    let mut talk = Talk { dialect: coder.dialect(start), bridge: JoinSet::new(), said, port, place };
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        sleep(Duration::from_millis(100)).await;
    }
    let opening = talk.dialect.open();
    talk.write(opening);
    talk.tell(CoderCommand::Prompt { text: prompt.to_owned() });
    'talk: loop {
        let line: String = timeout(PATIENCE, lines.recv()).await.expect("the program says nothing").unwrap();
        if !is_chatter(&line) {
            talk.place.steps.push(Step::Out(line.clone()));
        }
        let heard = talk.dialect.heard(Stream::Out, &line);
        talk.write(heard.lines);
        for event in heard.events {
            match react(&event) {
                Then::Nothing => {}
                Then::Several(_) => panic!("no scenario over HTTP does several things at once"),
                Then::Wait(time) => sleep(time).await,
                Then::Tell(command) => talk.tell(command),
                Then::Signal(_) => child.start_kill().unwrap(),
                Then::Close => break 'talk,
            }
        }
        if child.try_wait().unwrap().is_some() {
            break;
        }
    }
    // What the program still does about the last turn belongs to the recording: a dialect must not mind it.
    while let Ok(Some(line)) = timeout(Duration::from_millis(600), lines.recv()).await {
        if !is_chatter(&line) {
            talk.place.steps.push(Step::Out(line));
        }
    }
    let _ = child.start_kill();
    let status = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    talk.place.steps.push(Step::End(status.code()));
}

/// Lines that are many and say nothing.
fn is_chatter(line: &str) -> bool {
    ["\"plugin.added\"", "\"catalog.updated\"", "\"file.watcher.updated\""].iter().any(|kind| line.contains(kind))
}

fn spawn(place: &Place, program: &str, start: &Start, port: u16) -> Child {
    let registry = Registry::default();
    let launch = registry.get("opencode").unwrap().launch(start, None);
    let home = place.home().display().to_string();
    for seed in &launch.seed {
        let path = place.home().join(&seed.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &seed.content).unwrap();
    }
    let modules = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/coders/node_modules");
    let mut command = Command::new(modules.join(program).canonicalize().expect("run `cargo xtask setup` first"));
    let mut args = launch.argv[1..].to_vec();
    *args.last_mut().unwrap() = port.to_string();
    command.args(args).current_dir(place.tree()).env_clear();
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", &home).env("LANG", "C.UTF-8");
    for (name, value) in &launch.env {
        command.env(name, value.replace("/home/agent", &home));
    }
    if let Some((name, value)) = &start.placeholder {
        command.env(name, value);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

struct Talk<'a> {
    dialect: Box<dyn Dialect>,
    bridge: JoinSet<()>,
    said: mpsc::Sender<String>,
    port: u16,
    place: &'a mut Place,
}

impl Talk<'_> {
    fn tell(&mut self, command: CoderCommand) {
        self.place.steps.push(Step::Command(command.clone()));
        let lines = self.dialect.command(&command).unwrap();
        self.write(lines);
    }

    fn write(&mut self, lines: Vec<String>) {
        for line in lines {
            self.place.steps.push(Step::In(line.clone()));
            let asked: Value = serde_json::from_str(&line).unwrap();
            self.bridge.spawn(ask(self.port, asked, self.said.clone()));
        }
    }
}

/// One request of the bridge, given up when it takes longer than it may.
async fn ask(port: u16, asked: Value, said: mpsc::Sender<String>) {
    let id = asked["id"].clone();
    let limit = Duration::from_secs(asked["timeout_s"].as_u64().unwrap_or(3600));
    if timeout(limit, answer(port, asked, said.clone())).await.is_err() {
        let _ = said.send(json!({"id": id, "error": "it took too long"}).to_string()).await;
    }
}

/// One request, on a connection of its own.
async fn answer(port: u16, asked: Value, said: mpsc::Sender<String>) {
    let id = &asked["id"];
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else {
        return drop(said.send(json!({"id": id, "error": "there is no answer"}).to_string()).await);
    };
    let body = if asked["body"].is_null() { String::new() } else { asked["body"].to_string() };
    let (method, path) = (asked["method"].as_str().unwrap(), asked["path"].as_str().unwrap());
    let authorization = asked["headers"]["authorization"].as_str().unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: {authorization}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).await.unwrap_or(0) > 0 {}
    let status: u16 = head.split(' ').nth(1).unwrap_or("0").parse().unwrap();
    let is_stream = asked["stream"] == true && status == 200;
    if is_stream {
        said.send(json!({"id": id, "status": status}).to_string()).await.unwrap();
    }
    let mut bytes = Vec::new();
    if head.to_lowercase().contains("transfer-encoding: chunked") {
        while chunk(&mut reader, &mut bytes).await.is_some_and(|size| size > 0) {
            while let Some(end) = bytes.windows(2).position(|pair| pair == b"\n\n").filter(|_| is_stream) {
                let event: Vec<u8> = bytes.drain(..end + 2).collect();
                let event = String::from_utf8(event).unwrap();
                let event: Value = serde_json::from_str(event.trim().strip_prefix("data: ").unwrap()).unwrap();
                if said.send(json!({"id": id, "event": event}).to_string()).await.is_err() {
                    return;
                }
            }
        }
    } else if let Some(length) =
        head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned))
    {
        bytes.resize(length.parse().unwrap(), 0);
        reader.read_exact(&mut bytes).await.unwrap();
    }
    if is_stream {
        return drop(said.send(json!({"id": id, "closed": "the server ended the stream"}).to_string()).await);
    }
    let body = String::from_utf8(bytes).unwrap();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(&body).unwrap_or(Value::String(body)) };
    let _ = said.send(json!({"id": id, "status": status, "body": body}).to_string()).await;
}

/// Reads one chunk of a body; gives its size.
async fn chunk(reader: &mut BufReader<TcpStream>, bytes: &mut Vec<u8>) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).await.ok()?;
    let size = usize::from_str_radix(line.trim(), 16).ok()?;
    let mut data = vec![0; size + 2];
    reader.read_exact(&mut data).await.ok()?;
    bytes.extend_from_slice(&data[..size]);
    Some(size)
}
