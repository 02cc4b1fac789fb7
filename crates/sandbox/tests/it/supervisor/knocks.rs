//! What comes over the socket, byte by byte: a daemon of another version, an answer that was lost, nonsense.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use sandbox::{Supervised, SupervisorLimits, What};
use serde_json::{Value, json};

use super::job::{Job, out, until};
use crate::{inside, support::Outcome};

inside! {
    as_somebody {
        an_order_that_nobody_knows_is_refused_and_the_connection_stays
        an_order_that_comes_again_is_not_carried_out_again
        nonsense_ends_a_connection_and_nothing_else
        a_long_path_is_no_obstacle
    }
}

/// A client that says what it wants.
struct Raw(UnixStream);

impl Raw {
    fn knock(directory: &Path) -> std::io::Result<Self> {
        let stream = UnixStream::connect(directory.join("socket"))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self(stream))
    }

    fn send(&mut self, text: &str) -> std::io::Result<()> {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.0.write_all(&[&length.to_le_bytes()[..], &[0; 5], text.as_bytes()].concat())
    }

    /// The next answer; how far the records have come is left out.
    fn answer(&mut self) -> Result<Value, Box<dyn std::error::Error>> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head)?;
            let length = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
            let mut text = vec![0; length(0) + length(4)];
            self.0.read_exact(&mut text)?;
            let told: Value = serde_json::from_slice(&text[..length(0)])?;
            if told["tell"] == "answer" {
                return Ok(told);
            }
        }
    }

    fn ask(&mut self, text: &str) -> Result<Value, Box<dyn std::error::Error>> {
        self.send(text)?;
        self.answer()
    }
}

const HELLO: &str = r#"{"id":1,"name":"a","order":{"order":"hello","protocol":1,"is_daemon":true},"new":"field"}"#;

async fn an_order_that_nobody_knows_is_refused_and_the_connection_stays() -> Outcome {
    let Job { supervised, directory, _outer } = Job::new().await?;
    drop(supervised);
    let mut raw = Raw::knock(&directory)?;
    let before = raw.ask(r#"{"id":9,"name":"z","order":{"order":"end"}}"#)?;
    assert_eq!(before["answer"]["why"], "only the daemon may order", "it has not said who it is");
    let newer = raw.ask(r#"{"id":3,"name":"b","order":{"order":"hello","protocol":2,"is_daemon":true}}"#)?;
    assert_eq!(newer["answer"]["why"], "it speaks language 1, not 2");
    assert_eq!(raw.ask(HELLO)?["answer"]["answer"], "welcome");
    let unknown = raw.ask(r#"{"id":5,"name":"c","order":{"order":"dance","how":"well"}}"#)?;
    assert_eq!((&unknown["id"], &unknown["answer"]["answer"]), (&json!(5), &json!("refused")));
    assert!(unknown["answer"]["why"].as_str().unwrap_or_default().starts_with("it does not know this order"));
    let run = raw.ask(r#"{"id":6,"name":"d","order":{"order":"run","program":{"argv":["true"],"env":{},"directory":null,"transport":"lines"},"note":null}}"#)?;
    assert_eq!(run["answer"], json!({"answer": "running", "run": 1}));
    Ok(())
}

async fn an_order_that_comes_again_is_not_carried_out_again() -> Outcome {
    let Job { supervised, directory, _outer } = Job::new().await?;
    drop(supervised);
    let run = r#"{"id":2,"name":"once","order":{"order":"run","program":{"argv":["cat"],"env":{},"directory":null,"transport":"lines"},"note":null}}"#;
    let write = |id: u32, name: &str| {
        format!(r#"{{"id":{id},"name":"{name}","order":{{"order":"write","cause":{id},"lines":["{name}"]}}}}"#)
    };
    let mut raw = Raw::knock(&directory)?;
    raw.ask(HELLO)?;
    let first = raw.ask(run)?;
    raw.send(&write(3, "x"))?;
    // The answer is lost with the connection.
    drop(raw);
    let mut raw = Raw::knock(&directory)?;
    raw.ask(HELLO)?;
    assert_eq!(raw.ask(run)?["answer"], first["answer"]);
    assert_eq!(raw.ask(&write(4, "x"))?["answer"]["answer"], "done");
    assert_eq!(raw.ask(&write(5, "y"))?["answer"]["answer"], "done");
    drop(raw);
    let supervised = Supervised::attach(&directory).await?.ok_or("nobody lives there")?.supervised;
    let all = until(&mut supervised.records(), |what| *what == out("y")).await?;
    let count = |wanted: &dyn Fn(&What) -> bool| all.iter().filter(|what| wanted(what)).count();
    assert_eq!(count(&|what| matches!(what, What::Started { .. })), 1);
    assert_eq!((count(&|what| matches!(what, What::In { .. })), count(&|what| *what == out("x"))), (2, 1));
    Ok(())
}

async fn nonsense_ends_a_connection_and_nothing_else() -> Outcome {
    let job = Job::new().await?;
    job.sh("cat").await?;
    for nonsense in [&[255; 64][..], b"GET / HTTP/1.1\r\n\r\n", &[0; 9], b"\x01\0\0\0\0\0\0\0\x04x", &[]] {
        let mut raw = Raw::knock(&job.directory)?;
        raw.0.write_all(nonsense)?;
        _ = raw.send("{");
        let mut deep = Raw::knock(&job.directory)?;
        deep.send(&"[".repeat(100_000))?;
    }
    // More than are let in at once: those that say nothing give way.
    let many: Vec<Raw> = (0..40).filter_map(|_| Raw::knock(&job.directory).ok()).collect();
    let onlooker = Supervised::look(&job.directory).await?.ok_or("nobody lives there")?;
    job.write("still here").await?;
    until(&mut onlooker.records(), |what| *what == out("still here")).await?;
    drop(many);
    Ok(())
}

async fn a_long_path_is_no_obstacle() -> Outcome {
    let outer = tempfile::tempdir()?;
    let deep = outer.path().join("d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&deep)?;
    let started = super::job::start(&deep, SupervisorLimits::default()).await?;
    drop(started);
    let attached = Supervised::attach(&deep.join("job")).await?.ok_or("nobody lives there")?;
    attached.supervised.end().await;
    assert!(Supervised::attach(&deep.join("job")).await?.is_none());
    Ok(())
}
