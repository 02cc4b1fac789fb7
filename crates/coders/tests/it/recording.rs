//! A conversation with a real program, as a file: a line to each thing that happened, told by its first character.
//!
//! `@` what it was started from, `<` the program's standard output, `!` its standard error, `>` what it was written, `#` a
//! command, `$` its exit code.

use std::{fmt::Write as _, fs, path::PathBuf};

use coders::{CoderCommand, CoderEvent, Dialect, Registry, Start, Stream};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Start(Start),
    Out(String),
    Err(String),
    In(String),
    Command(CoderCommand),
    End(Option<i32>),
}

fn path(coder: &str, name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(coder).join(format!("{name}.txt"))
}

/// Whether there is a recording.
pub fn exists(coder: &str, name: &str) -> bool {
    path(coder, name).exists()
}

/// Writes a recording; `clean` takes out what belongs to one machine.
pub fn save(coder: &str, name: &str, steps: &[Step], clean: impl Fn(&str) -> String) {
    let mut text = String::new();
    for step in steps {
        let line = match step {
            Step::Start(start) => format!("@ {}", clean(&serde_json::to_string(start).unwrap())),
            Step::Out(line) => format!("< {}", clean(line)),
            Step::Err(line) => format!("! {}", clean(line)),
            Step::In(line) => format!("> {}", clean(line)),
            Step::Command(command) => format!("# {}", serde_json::to_string(command).unwrap()),
            Step::End(code) => format!("$ {}", serde_json::to_string(code).unwrap()),
        };
        writeln!(text, "{line}").unwrap();
    }
    fs::write(path(coder, name), text).unwrap();
}

/// Reads a recording.
pub fn load(coder: &str, name: &str) -> Vec<Step> {
    let path = path(coder, name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let step = |line: &str| {
        let (kind, rest) = line.split_at(2);
        let text = rest.to_owned();
        match kind {
            "@ " => Step::Start(serde_json::from_str(rest).unwrap()),
            "< " => Step::Out(text),
            "! " => Step::Err(text),
            "> " => Step::In(text),
            "# " => Step::Command(serde_json::from_str(rest).unwrap()),
            "$ " => Step::End(serde_json::from_str(rest).unwrap()),
            _ => panic!("{line}"),
        }
    };
    text.lines().map(step).collect()
}

/// What a dialect makes of a recording: its events, one to a line, and the commands between them. What it writes must be what
/// was written then.
pub fn replay(coder: &str, name: &str) -> String {
    let registry = Registry::default();
    let mut dialect: Option<Box<dyn Dialect>> = None;
    let mut told = String::new();
    let mut writes: Vec<String> = Vec::new();
    for step in load(coder, name) {
        let dialect = match &step {
            Step::Start(start) => {
                let mut fresh = registry.get(coder).unwrap().dialect(start);
                writes = fresh.open();
                dialect = Some(fresh);
                continue;
            }
            _ => dialect.as_mut().expect("a recording begins with a start"),
        };
        let mut events: Vec<CoderEvent> = Vec::new();
        match step {
            Step::Start(_) => {}
            Step::Out(line) | Step::Err(line) if line.is_empty() => {}
            Step::Out(line) => {
                let heard = dialect.heard(Stream::Out, &line);
                writes.extend(heard.lines);
                events = heard.events;
            }
            Step::Err(line) => events = dialect.heard(Stream::Err, &line).events,
            Step::Command(command) => {
                writeln!(told, "# {}", serde_json::to_string(&command).unwrap()).unwrap();
                writes.extend(dialect.command(&command).unwrap());
            }
            Step::In(line) => {
                assert!(!writes.is_empty(), "{name}: nobody would write {line}");
                assert_eq!(writes.remove(0), line, "{name}");
            }
            Step::End(code) => {
                writeln!(told, "$ {code:?}").unwrap();
                events = dialect.ended(code);
            }
        }
        for event in events {
            writeln!(told, "{}", serde_json::to_string(&event).unwrap()).unwrap();
        }
    }
    assert!(dialect.is_some_and(|dialect| !dialect.is_busy()), "{name}: the turn has no end");
    told
}
