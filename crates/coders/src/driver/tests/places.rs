//! A place in records that are not there any more, or are others: it is noticed, what comes from the end on is told, and
//! nothing twice.

use std::{fs, path::PathBuf};

use sandbox::{Record, Records, SandboxError, What};
use serde_json::Value;
use tempfile::TempDir;

use super::memory::{grant, parrots};
use crate::{
    CoderEvent, Cursor, Driver, Host, Launch, Lost, Order, RecordSource, StallLimits, Start, driver::cause::RunNote,
};

/// The records of a supervisor that is dead, as a file.
struct Dead {
    directory: PathBuf,
}

struct File(Records);

impl RecordSource for File {
    async fn next(&mut self) -> Option<Record> {
        self.0.next().await
    }
}

impl Host for Dead {
    type Records = File;

    fn last(&self) -> u64 {
        let text = fs::read(self.directory.join("records.jsonl")).unwrap();
        text.iter().filter(|byte| **byte == b'\n').count() as u64
    }

    fn records(&self) -> File {
        File(Records::of(&self.directory).unwrap())
    }

    async fn run(&self, _: &policy::Grant, _: &Launch, _: &[&str], _: Value) -> Result<u64, SandboxError> {
        Err(SandboxError::Gone)
    }

    fn write(&self, _: Value, _: Vec<String>) -> Order {
        Box::pin(async { Err(SandboxError::Gone) })
    }

    fn end_program(&self) -> Order {
        Box::pin(async { Err(SandboxError::Gone) })
    }
}

fn started() -> What {
    let note = RunNote { coder: "parrot".to_owned(), start: Start::default(), prompt: Some("go".to_owned()) };
    What::Started { run: 1, argv: Vec::new(), note: serde_json::to_value(note).unwrap() }
}

fn out(line: &str) -> What {
    What::Out { line: line.to_owned() }
}

/// The file of these records, and where each ends. Each is written `at` and some milliseconds.
fn file(all: &[What], at: i64) -> (Vec<u8>, Vec<usize>) {
    let (mut text, mut ends) = (Vec::new(), vec![0]);
    for (what, seq) in all.iter().cloned().zip(1..) {
        let record = Record { seq, at: at + i64::try_from(seq).unwrap(), what };
        serde_json::to_writer(&mut text, &record).unwrap();
        text.push(b'\n');
        ends.push(text.len());
    }
    (text, ends)
}

async fn told(directory: &TempDir, after: Cursor) -> (Option<Lost>, Cursor, u64, Vec<CoderEvent>) {
    let host = Dead { directory: directory.path().to_owned() };
    let mut driver = Driver::attach(host, parrots(), after, StallLimits::default()).await.unwrap();
    let (lost, place, commands) = (driver.lost(), driver.after(), driver.commands());
    let mut events = Vec::new();
    while let Some(said) = driver.unheard().await {
        events.push(said.event);
    }
    (lost, place, commands, events)
}

fn said(text: &str) -> [CoderEvent; 2] {
    [CoderEvent::Text { text: text.to_owned() }, CoderEvent::Note { text: text.to_owned() }]
}

#[tokio::test]
async fn a_cut_at_any_byte_of_the_last_records_is_noticed() {
    let all = [started(), out("started c"), out("say one"), out("say two"), out("say three")];
    let (text, ends) = file(&all, 100);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records.jsonl");
    // What was heard of: the first event of the last record.
    let heard = Cursor { seq: 5, index: 0, at: 105 };
    for cut in ends[2]..=text.len() {
        fs::write(&path, &text[..cut]).unwrap();
        // Whoever takes up the job finds nobody, and removes what was torn.
        assert!(sandbox::Supervised::attach(directory.path()).await.unwrap().is_none());
        let (lost, place, commands, events) = told(&directory, heard).await;
        assert_eq!(commands, 1, "what it was told counts wherever the cut is");
        if cut == text.len() {
            assert_eq!((lost, place, &events[..]), (None, heard, &said("three")[1..]));
            continue;
        }
        let whole = ends.iter().filter(|end| **end <= cut).count() as u64 - 1;
        assert_eq!((lost, events.len()), (Some(Lost::Short), 0), "at {cut}");
        assert_eq!(place, Cursor { seq: whole, index: u32::MAX, at: 100 + i64::try_from(whole).unwrap() });
        // The next supervisor goes on in the same file, and soon has a record of that number.
        let grown: Vec<What> = all.iter().take(usize::try_from(whole).unwrap()).cloned().collect();
        let kept = file(&grown, 100).0;
        let more = [grown, vec![out("say four"), out("say five"), out("say six"), out("say seven")]].concat();
        let later = file(&more, 900).0;
        fs::write(&path, [&kept[..], &later[kept.len()..]].concat()).unwrap();
        // Whoever took it up again stored the place from which that was done, and hears what came since, once.
        let (lost, _, _, events) = told(&directory, place).await;
        assert_eq!((lost, &events[..4]), (None, &[said("four"), said("five")].concat()[..]), "at {cut}");
        // Whoever was killed before that hears nothing that is not known to be new.
        let (lost, place, _, events) = told(&directory, heard).await;
        assert_eq!((lost, place.seq, events.len()), (Some(Lost::Other), whole + 4, 0));
    }
}

#[tokio::test]
async fn records_that_were_removed_or_are_others_are_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records.jsonl");
    let heard = Cursor { seq: 2, index: 0, at: 102 };
    fs::write(&path, "").unwrap();
    let (lost, place, commands, events) = told(&directory, heard).await;
    assert_eq!((lost, place, commands, events.len()), (Some(Lost::Short), Cursor::default(), 0, 0));
    fs::write(&path, file(&[started(), out("say one"), out("say two")], 500).0).unwrap();
    let (lost, place, _, events) = told(&directory, heard).await;
    assert_eq!((lost, place.seq, events.len()), (Some(Lost::Other), 3, 0));
    // Nothing was heard of yet: everything is told.
    let (lost, _, _, events) = told(&directory, Cursor::default()).await;
    assert_eq!((lost, events.len()), (None, 4));
    let launch = parrots().get("parrot").unwrap().launch(&Start::default(), None);
    assert!(Dead { directory: directory.path().to_owned() }.run(&grant(), &launch, &[], Value::Null).await.is_err());
}
